//! Several kernels in one module: each runs in workgroups of its own, one kernel's after another's. What a kernel
//! declares gets its number behind the name, its buffers become those of the module, and its `dims` a member of the
//! module's. What several declare alike is declared once, so that they share workgroup memory.

use std::collections::{BTreeMap, BTreeSet};

/// A storage buffer that a kernel uses.
#[derive(Clone, Debug, PartialEq)]
pub struct Storage {
    /// The name in WGSL.
    pub name: String,
    /// The type in WGSL.
    pub ty: String,
    /// Whether the kernel writes it.
    pub writes: bool,
}

/// A declaration of a module.
#[derive(Clone, Debug)]
struct Item {
    /// The keyword: `fn`, `struct`, `const`, `alias`, `override` or `var`.
    kind: &'static str,
    name: String,
    tokens: Vec<String>,
    /// The declaration with all that it needs, as text, unless a buffer or an extent is among it. Where two kernels'
    /// texts are equal, one declaration serves both: only one kernel runs in a workgroup.
    meaning: Option<String>,
}

/// An entry point with all that it needs.
#[derive(Clone, Debug)]
pub struct Kernel {
    items: Vec<Item>,
    /// The tokens within the entry point's braces.
    body: Vec<String>,
    /// The invocations of a workgroup, in WGSL or as a number.
    pub workgroup: String,
    /// The storage buffers that the entry point uses.
    pub storage: Vec<Storage>,
    /// The variables in workgroup memory, with all that their types need. Kernels share those that are equal.
    pub memory: Vec<String>,
}

const KINDS: [&str; 6] = ["fn", "struct", "const", "alias", "override", "var"];

/// The words, signs and spaces of a text without its comments.
fn tokens(text: &str) -> Vec<&str> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut out = vec![];
    for line in text.lines() {
        let mut rest = line.split("//").next().unwrap_or_default();
        while let Some(first) = rest.chars().next() {
            let end =
                if word(first) { rest.find(|c| !word(c)).unwrap_or(rest.len()) } else { first.len_utf8() };
            out.push(&rest[..end]);
            rest = &rest[end..];
        }
        out.push("\n");
    }
    out
}

/// The declarations of a module.
fn items(text: &str) -> Vec<Item> {
    let (mut out, mut depth, mut open) = (vec![], 0usize, vec![]);
    for token in tokens(text) {
        open.push(token.to_string());
        match token {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth > 0 || !matches!(token, ";" | "}") {
            continue;
        }
        let tokens: Vec<String> = std::mem::take(&mut open);
        let found = tokens.iter().enumerate().find_map(|(i, t)| Some((i, *KINDS.iter().find(|k| *k == t)?)));
        let Some((at, kind)) = found else { continue };
        let mut rest = tokens[at + 1..].iter().skip_while(|t| t.trim().is_empty()).peekable();
        if rest.peek().is_some_and(|t| *t == "<") {
            rest.by_ref().find(|t| *t == ">");
        }
        let name = rest.find(|t| !t.trim().is_empty()).cloned().unwrap_or_default();
        out.push(Item { kind, name, tokens, meaning: None });
    }
    out
}

/// The declarations that these tokens need, in their order.
fn needs<'a>(all: &'a [Item], tokens: impl IntoIterator<Item = &'a String>) -> BTreeSet<usize> {
    let mut open: Vec<&String> = tokens.into_iter().collect();
    let mut needed = BTreeSet::new();
    while let Some(token) = open.pop() {
        for (i, item) in all.iter().enumerate().filter(|(_, item)| item.name == *token) {
            if needed.insert(i) {
                open.extend(&item.tokens);
            }
        }
    }
    needed
}

impl Item {
    fn meaning(&self, all: &[Self]) -> Option<String> {
        let needed = needs(all, [&self.name]);
        let bound = |i: &usize| all[*i].kind == "var" && (all[*i].has("storage") || all[*i].has("uniform"));
        let words = || needed.iter().flat_map(|&i| &all[i].tokens).filter(|token| !token.trim().is_empty());
        let text = || words().map(String::as_str).collect::<Vec<_>>().join(" ");
        (!needed.iter().any(bound)).then(|| format!("{}: {}", self.name, text()))
    }

    fn has(&self, token: &str) -> bool {
        self.tokens.iter().any(|t| t == token)
    }

    /// The text between two signs, the second of which may be one of several.
    fn between(&self, from: &str, to: &[&str]) -> String {
        let inside = self.tokens.iter().skip_while(|t| *t != from).skip(1);
        let text: String = inside.take_while(|t| !to.contains(&t.as_str())).map(String::as_str).collect();
        text.trim().into()
    }

    /// The declaration of a constant in the place of an `override`.
    fn constant(&self, value: Option<f64>) -> Vec<String> {
        let (ty, own) = (self.between(":", &["=", ";"]), self.between("=", &[";"]));
        let value = match (value, ty.as_str()) {
            (None, _) => own,
            (Some(v), "u32") => format!("{}u", v as u32),
            (Some(v), "i32") => format!("{}i", v as i32),
            (Some(v), "bool") => (v != 0.0).to_string(),
            (Some(v), _) => format!("{v:?}"),
        };
        tokens(&format!("const {}: {ty} = {value};", self.name)).into_iter().map(String::from).collect()
    }
}

impl Kernel {
    /// Reads an entry point out of a module, under these override values and with these storage buffers bound. The
    /// entry point must be told its workgroup, the number of workgroups and its lane under these names, or by an
    /// `Invocation`.
    pub fn new(text: &str, entry: &str, constants: &[(&str, f64)], bound: &[&str]) -> Option<Self> {
        let mut all = items(text);
        let at = all.iter().position(|i| i.kind == "fn" && i.name == entry && i.has("compute"))?;
        let entry = all.remove(at);
        let open = entry.tokens.iter().position(|t| t == "{")?;
        const TOLD: [&str; 3] = ["workgroup_id", "num_workgroups", "local_invocation_index"];
        let builtins = entry.tokens.windows(3).filter(|w| w[0] == "builtin").map(|w| w[2].as_str());
        if builtins.into_iter().any(|b| !TOLD.contains(&b)) {
            return None;
        }
        let body = entry.tokens[open + 1..entry.tokens.len() - 1].to_vec();
        let size = entry.tokens.iter().skip_while(|t| *t != "workgroup_size").nth(2)?.clone();
        let storage = |i: &Item| i.kind == "var" && i.has("storage");
        // A parameter may have the name of a buffer that this entry point does not use.
        all.retain(|i| !i.has("compute") && (!storage(i) || bound.contains(&i.name.as_str())));
        let needed = needs(&all, body.iter().chain([&size]));
        all = needed.into_iter().map(|i| all[i].clone()).collect();
        for item in all.iter_mut().filter(|i| i.kind == "override") {
            let value = constants.iter().find(|c| c.0 == item.name).map(|c| c.1);
            (item.kind, item.tokens) = ("const", item.constant(value));
        }
        let meanings: Vec<_> = all.iter().map(|i| i.meaning(&all)).collect();
        all.iter_mut().zip(meanings).for_each(|(item, meaning)| item.meaning = meaning);
        let storage = all.iter().filter(|i| storage(i)).map(|i| Storage {
            name: i.name.clone(),
            ty: i.between(":", &[";"]),
            writes: i.has("read_write"),
        });
        let storage = storage.collect();
        let memory = all.iter().filter(|i| i.kind == "var" && i.has("workgroup"));
        let memory = memory.filter_map(|i| i.meaning.clone()).collect();
        let workgroup = all.iter().find(|i| i.name == size).map_or(size, |i| i.between("=", &[";"]));
        Some(Self { items: all, body, workgroup: workgroup.trim_end_matches('u').into(), storage, memory })
    }

    /// The tokens with these names in place of the module's own.
    fn renamed(&self, tokens: &[String], names: &BTreeMap<&str, String>, fields: bool) -> String {
        let mut out = String::new();
        let (mut before, mut skip) = ("", false);
        for (i, token) in tokens.iter().enumerate() {
            let next =
                tokens[i + 1..].iter().map(String::as_str).find(|t| !t.trim().is_empty()).unwrap_or("");
            let field = before == "." || (fields && next == ":");
            match names.get(token.as_str()) {
                _ if skip => skip = false,
                _ if token == "id" && next == "." => skip = true,
                Some(name) if !field => out += name,
                _ => out += token,
            }
            if !token.trim().is_empty() {
                before = token;
            }
        }
        out
    }
}

/// The kernels' numbers of workgroups, and the end of their workgroups in the module's row of all.
const GRIDS: &str = "struct Joined {\n  grids: array<vec4<u32>, COUNT>,\nMEMBERS}\n\
                     @group(0) @binding(BINDING) var<uniform> dims: Joined;\n\n\
                     fn nth_group(i: u32, grid: vec3<u32>) -> vec3<u32> {\n  \
                     return vec3<u32>(i % grid.x, i / grid.x % grid.y, i / (grid.x * grid.y));\n}\n\n";

/// A module with this entry point, which runs the kernels one after another in a row of workgroups. The
/// buffers' names are given for each kernel by its own names. `dims.grids[j]` holds the numbers of workgroups of
/// kernel j, and the end of its workgroups in the row; `dims.j0`, ... are the kernels' own.
pub fn join(entry: &str, parts: &[(&Kernel, BTreeMap<&str, String>)]) -> String {
    let (mut declared, mut meant) = (BTreeSet::new(), BTreeMap::new());
    let (mut text, mut members, mut branches) = (String::new(), String::new(), vec![]);
    for (j, (kernel, buffers)) in parts.iter().enumerate() {
        let (mut names, mut own) = (buffers.clone(), vec![]);
        for item in kernel.items.iter().filter(|i| !buffers.contains_key(i.name.as_str())) {
            let first = item.meaning.as_ref().map_or(j, |meaning| *meant.entry(meaning).or_insert(j));
            let name =
                if item.has("uniform") { format!("dims.j{j}") } else { format!("{}_{first}", item.name) };
            names.insert(&item.name, name);
            if first == j {
                own.push(item);
            }
        }
        let ty = |item: &Item| {
            let tokens: Vec<String> =
                tokens(&item.between(":", &[";"])).into_iter().map(String::from).collect();
            kernel.renamed(&tokens, &names, false).trim().to_string()
        };
        for item in kernel.items.iter().filter(|i| buffers.contains_key(i.name.as_str())) {
            let buffer = &buffers[item.name.as_str()];
            if declared.insert(buffer.clone()) {
                let access = if item.has("read_write") { "read_write" } else { "read" };
                let binding = declared.len() - 1;
                text += &format!(
                    "@group(0) @binding({binding}) var<storage, {access}> {buffer}: {};\n",
                    ty(item)
                );
            }
        }
        for item in own {
            if item.has("uniform") {
                members += &format!("  @align(16) j{j}: {},\n", ty(item));
            } else {
                text += kernel.renamed(&item.tokens, &names, item.kind == "struct").trim();
                text += "\n";
            }
        }
        let before = j.checked_sub(1).map_or(String::new(), |i| format!(" - dims.grids[{i}].w"));
        branches.push(format!(
            "if (row.x < dims.grids[{j}].w) {{\n  let groups = dims.grids[{j}].xyz;\n  \
             let group = nth_group(row.x{before}, groups);{}}}",
            kernel.renamed(&kernel.body, &names, false)
        ));
    }
    let grids = GRIDS
        .replace("COUNT", &parts.len().to_string())
        .replace("MEMBERS", &members)
        .replace("BINDING", &declared.len().to_string());
    format!(
        "{text}{grids}@compute @workgroup_size({})\nfn {entry}(@builtin(workgroup_id) row: vec3<u32>, \
         @builtin(local_invocation_index) lane: u32) {{\n  {}\n}}\n",
        parts[0].0.workgroup,
        branches.join(" else ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{powers, reflect};

    fn kernel(text: &str, entry: &str, bound: &[&str]) -> Kernel {
        Kernel::new(text, entry, &[("WIDE", 4.0), ("WORKGROUP", 256.0)], bound).unwrap()
    }

    #[test]
    fn kernels_share_a_module() {
        let text = |stem: &str| {
            let path = format!("{}/shaders/{stem}.wgsl", env!("CARGO_MANIFEST_DIR"));
            std::fs::read_to_string(path).unwrap()
        };
        let cluster = kernel(&text("elementwise"), "elementwise", &["y", "x0", "x1"]);
        let [rows, columns] = ["rows4", "columns4"].map(|entry| {
            kernel(&text("reduce_tree"), entry, if entry == "rows4" { &["x4", "y"] } else { &["x4", "y4"] })
        });
        let names = |names: &[(&'static str, &str)]| names.iter().map(|(a, b)| (*a, b.to_string())).collect();
        let module = join(
            "joined",
            &[
                (&cluster, names(&[("y", "b0"), ("x0", "b1"), ("x1", "b2")])),
                (&rows, names(&[("x4", "b1"), ("y", "b3")])),
                (&columns, names(&[("x4", "b1"), ("y4", "b4")])),
            ],
        );
        let it = reflect(&module, powers(""), "joined", &[]).unwrap_or_else(|e| panic!("{e}\n{module}"));
        let bound: Vec<_> = it.bindings.iter().map(|b| (b.name.as_str(), b.writes)).collect();
        let buffers = [("b0", true), ("b1", false), ("b2", false), ("b3", true), ("b4", true)];
        assert_eq!(bound, [&buffers[..], &[("dims", false)]].concat());
        // Only one kernel runs in a workgroup, so that they share its memory.
        assert_eq!((it.workgroup, it.workgroup_memory), ([256, 1, 1], 2 * 256 * 16));
        let dims = ["grids[0][0]", "grids[2][3]", "j0.n4", "j0.access[6].offset", "j2.inner"];
        assert!(dims.iter().all(|path| it.dims.contains_key(*path)));
        assert!(it.dims["j1.n"].is_multiple_of(16) && it.dims["j1.n"] < it.dims["j2.n"]);
    }

    /// Two tiles of a product lie in the same workgroup memory, whose type is of the module.
    #[test]
    fn tiles_share_workgroup_memory() {
        let path = format!("{}/shaders/matmul4.wgsl", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let tile = |transposed: f64| {
            Kernel::new(&text, "tile", &[("TA", transposed), ("TB", 1.0)], &["a", "b", "c"]).unwrap()
        };
        let (forward, backward) = (tile(0.0), tile(1.0));
        let names = |c: &str| [("a", "b0"), ("b", "b1"), ("c", c)].map(|(a, b)| (a, b.to_string())).into();
        let module = join("products", &[(&forward, names("b2")), (&backward, names("b3"))]);
        let alone = reflect(&text, powers(""), "tile", &[]).unwrap().workgroup_memory;
        let both = reflect(&module, powers(""), "products", &[]).unwrap_or_else(|e| panic!("{e}\n{module}"));
        assert_eq!((both.workgroup_memory, both.bindings.len()), (alone, 5));
    }

    /// Entry points that are told more than the joined one are left alone.
    #[test]
    fn other_kernels_are_refused() {
        let text = "@compute @workgroup_size(1)\nfn a(@builtin(global_invocation_id) at: vec3<u32>) {}";
        assert!(Kernel::new(text, "a", &[], &[]).is_none());
        assert!(Kernel::new("fn a() {}", "a", &[], &[]).is_none());
    }
}
