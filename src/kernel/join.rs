//! Several kernels in one module: each runs in the workgroups of one z. What a kernel declares gets its number
//! behind the name, its buffers become those of the module, and its `dims` a member of the module's.

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
        out.push(Item { kind, name, tokens });
    }
    out
}

impl Item {
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
        let mut needed: BTreeSet<String> = body.iter().cloned().chain([size.clone()]).collect();
        loop {
            let known = needed.len();
            for item in all.iter().filter(|i| needed.contains(&i.name)).collect::<Vec<_>>() {
                needed.extend(item.tokens.iter().cloned());
            }
            if needed.len() == known {
                break;
            }
        }
        let storage = |i: &Item| i.kind == "var" && i.has("storage");
        // A parameter may have the name of a buffer that this entry point does not use.
        let used = |i: &Item| needed.contains(&i.name) && (!storage(i) || bound.contains(&i.name.as_str()));
        all.retain(|i| used(i) && !i.has("compute"));
        for item in all.iter_mut().filter(|i| i.kind == "override") {
            let value = constants.iter().find(|c| c.0 == item.name).map(|c| c.1);
            (item.kind, item.tokens) = ("const", item.constant(value));
        }
        let storage = all.iter().filter(|i| storage(i)).map(|i| Storage {
            name: i.name.clone(),
            ty: i.between(":", &[";"]),
            writes: i.has("read_write"),
        });
        let storage = storage.collect();
        let workgroup = all.iter().find(|i| i.name == size).map_or(size, |i| i.between("=", &[";"]));
        Some(Self { items: all, body, workgroup: workgroup.trim_end_matches('u').into(), storage })
    }

    /// The name of workgroup memory that all parts share, since only one of them runs in a workgroup: memory of one
    /// name and of one type that the module does not declare.
    fn shared(&self, item: &Item) -> Option<String> {
        let ty = item.between(":", &[";"]);
        let plain = !tokens(&ty).iter().any(|t| self.items.iter().any(|item| item.name == *t));
        let name = || format!("{}_{}", item.name, ty.replace(|c: char| !c.is_ascii_alphanumeric(), ""));
        (item.kind == "var" && item.has("workgroup") && plain).then(name)
    }

    /// The tokens with names of the module's declarations made those of part `j`.
    fn renamed(&self, tokens: &[String], j: usize, buffers: &BTreeMap<&str, String>, fields: bool) -> String {
        let mut out = String::new();
        let (mut before, mut skip) = ("", false);
        for (i, token) in tokens.iter().enumerate() {
            let next =
                tokens[i + 1..].iter().map(String::as_str).find(|t| !t.trim().is_empty()).unwrap_or("");
            let item = self.items.iter().find(|item| item.name == *token);
            let field = before == "." || (fields && next == ":");
            match item {
                _ if skip => skip = false,
                _ if token == "id" && next == "." => skip = true,
                Some(item) if !field && item.has("uniform") => out += &format!("dims.j{j}"),
                Some(item) if !field => {
                    let buffer = buffers.get(item.name.as_str()).cloned();
                    out += &buffer.or(self.shared(item)).unwrap_or_else(|| format!("{token}_{j}"));
                }
                _ => out += token,
            }
            if !token.trim().is_empty() {
                before = token;
            }
        }
        out
    }
}

/// A module with the entry point `joined`, which runs kernel j in the workgroups of z = j. The buffers' names
/// are given for each kernel by its own names.
pub fn join(parts: &[(&Kernel, BTreeMap<&str, String>)]) -> String {
    let (mut declared, mut text) = (BTreeSet::new(), String::new());
    let (mut shared, mut members, mut branches) = (BTreeSet::new(), String::new(), vec![]);
    for (j, (kernel, buffers)) in parts.iter().enumerate() {
        let renamed = |tokens: &[String], fields| kernel.renamed(tokens, j, buffers, fields);
        for item in &kernel.items {
            let ty: Vec<String> = tokens(&item.between(":", &[";"])).into_iter().map(String::from).collect();
            match buffers.get(item.name.as_str()) {
                Some(buffer) if !declared.insert(buffer.clone()) => {}
                Some(buffer) => {
                    let access = if item.has("read_write") { "read_write" } else { "read" };
                    let binding = declared.len() - 1;
                    let ty = renamed(&ty, false).trim().to_string();
                    text +=
                        &format!("@group(0) @binding({binding}) var<storage, {access}> {buffer}: {ty};\n");
                }
                None if item.has("uniform") => {
                    members += &format!("  @align(16) j{j}: {},\n", renamed(&ty, false).trim());
                }
                None if kernel.shared(item).is_some_and(|name| !shared.insert(name)) => {}
                None => {
                    text += renamed(&item.tokens, item.kind == "struct").trim();
                    text += "\n";
                }
            }
        }
        branches.push(format!("if (group.z == {j}u) {{{}}}", renamed(&kernel.body, false)));
    }
    let binding = declared.len();
    format!(
        "{text}struct Joined {{\n{members}}}\n@group(0) @binding({binding}) var<uniform> dims: Joined;\n\n\
         @compute @workgroup_size({})\nfn joined(\n  @builtin(workgroup_id) group: vec3<u32>,\n  \
         @builtin(num_workgroups) groups: vec3<u32>,\n  @builtin(local_invocation_index) lane: u32,\n) {{\n  {}\n}}\n",
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
        let module = join(&[
            (&cluster, names(&[("y", "b0"), ("x0", "b1"), ("x1", "b2")])),
            (&rows, names(&[("x4", "b1"), ("y", "b3")])),
            (&columns, names(&[("x4", "b1"), ("y4", "b4")])),
        ]);
        let it = reflect(&module, powers(""), "joined", &[]).unwrap_or_else(|e| panic!("{e}\n{module}"));
        let bound: Vec<_> = it.bindings.iter().map(|b| (b.name.as_str(), b.writes)).collect();
        let buffers = [("b0", true), ("b1", false), ("b2", false), ("b3", true), ("b4", true)];
        assert_eq!(bound, [&buffers[..], &[("dims", false)]].concat());
        // Only one kernel runs in a workgroup, so that they share its memory.
        assert_eq!((it.workgroup, it.workgroup_memory), ([256, 1, 1], 2 * 256 * 16));
        assert!(["j0.n4", "j0.access[6].offset", "j2.inner"].iter().all(|path| it.dims.contains_key(*path)));
        assert!(it.dims["j1.n"].is_multiple_of(16) && it.dims["j1.n"] < it.dims["j2.n"]);
    }

    /// Entry points that are told more than the joined one are left alone.
    #[test]
    fn other_kernels_are_refused() {
        let text = "@compute @workgroup_size(1)\nfn a(@builtin(global_invocation_id) at: vec3<u32>) {}";
        assert!(Kernel::new(text, "a", &[], &[]).is_none());
        assert!(Kernel::new("fn a() {}", "a", &[], &[]).is_none());
    }
}
