//! Shaders without a device: every file and every specialisation in use is valid WGSL within WebGPU's
//! default limits, and translates to SPIR-V, MSL and HLSL.

use crate::{
    harness,
    subjects::{all_caps, decoder, evaluation, training},
};
use naga::{
    back::{hlsl, msl, spv},
    valid::Capabilities,
};
use oneiro::{
    kernel::{
        self,
        power::{POWERS, words},
    },
    models::vae::Config,
    ops::elementwise::TABLE,
    plan::Plan,
};
use std::{
    collections::BTreeMap,
    io::Write,
    ops::Range,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const MAX_LINES: usize = 250;
const MAX_WIDTH: usize = 110;

fn path(stem: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders").join(stem.to_string() + ".wgsl")
}

/// (stem, text) of every file in `shaders/`.
fn files() -> Vec<(String, String)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let paths = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths
        .map(|path| {
            assert!(path.extension().is_some_and(|e| e == "wgsl"), "{} is no WGSL file", path.display());
            (
                path.file_stem().unwrap().to_string_lossy().into_owned(),
                std::fs::read_to_string(&path).unwrap(),
            )
        })
        .collect();
    files.sort();
    assert!(files.len() >= 9, "only {} shaders found in {}", files.len(), dir.display());
    files
}

/// (stem, name) of every entry point in `shaders/`.
pub(crate) fn entry_points() -> Vec<(String, String)> {
    let of_file = |(stem, text): (String, String)| {
        let (module, _) =
            kernel::parse(&text, kernel::powers(&stem)).unwrap_or_else(|e| panic!("{stem}.wgsl: {e}"));
        module.entry_points.into_iter().map(move |entry| (stem.clone(), entry.name))
    };
    files().into_iter().flat_map(of_file).collect()
}

/// One entry point of one text under given constants.
struct Variant {
    name: String,
    powers: Capabilities,
    text: String,
    entry: String,
    constants: Vec<(&'static str, f64)>,
    /// Names that the launch binds and sets; none where the file itself is looked at.
    bindings: Vec<&'static str>,
    dims: Vec<String>,
}

impl Variant {
    /// What of the portable baseline the variant breaks.
    fn beyond_the_baseline(&self) -> Vec<String> {
        let found = match kernel::reflect(&self.text, self.powers, &self.entry, &self.constants) {
            Ok(found) => found,
            Err(what) => return vec![format!("{}: {what}", self.name)],
        };
        let storage = found.bindings.iter().filter(|b| !b.uniform).count() as u32;
        let [x, y, z] = found.workgroup;
        let bound = |name: &str| found.bindings.iter().any(|b| b.name == name);
        let same_index = found.bindings.windows(2).any(|b| b[0].index == b[1].index);
        let rules = [
            (storage <= 8, format!("{storage} storage buffers, at most 8")),
            (
                found.workgroup_memory <= 16 << 10,
                format!("{} bytes of workgroup memory, at most 16 KiB", found.workgroup_memory),
            ),
            (x * y * z <= 256 && z <= 64, format!("a workgroup of {x}x{y}x{z}, at most 256 invocations")),
            (!same_index, "two bindings in use have one index".into()),
            (
                found.workgroup_memory == 0
                    || !self.text.contains(&format!("fn {}(id: Invocation)", self.entry)),
                "its barriers want the built-in values one by one: in a struct they count as not uniform"
                    .into(),
            ),
            (!found.bindings.is_empty(), "nothing is bound".into()),
            (
                self.bindings.iter().all(|name| bound(name)),
                format!("not all of {:?} are bindings", self.bindings),
            ),
            (
                // What a specialised entry point does not read is absent with the whole struct.
                found.dims_size == 0 || self.dims.iter().all(|name| found.dims.contains_key(name)),
                format!("not all of {:?} are dims", self.dims),
            ),
        ];
        rules
            .into_iter()
            .filter(|(holds, _)| !holds)
            .map(|(_, what)| format!("{}: {what}", self.name))
            .collect()
    }

    /// Translates for the three back ends; returns the SPIR-V.
    fn translate(&self) -> Result<Vec<u32>, String> {
        let powers = self.powers;
        let bad = |target: &str, what: String| format!("{} to {target}: {what}", self.name);
        let (module, info) = kernel::parse(&self.text, powers).map_err(|e| bad("naga", e))?;
        let (module, info) =
            kernel::specialise(&module, &info, &self.entry, &self.constants).map_err(|e| bad("naga", e))?;
        let entry = Some((naga::ShaderStage::Compute, self.entry.clone()));

        let options = msl::Options { lang_version: (2, 4), ..Default::default() };
        let pipeline = msl::PipelineOptions { entry_point: entry.clone(), ..Default::default() };
        let (text, _) =
            msl::write_string(&module, &info, &options, &pipeline).map_err(|e| bad("MSL", e.to_string()))?;
        assert!(text.contains("kernel void"), "{}: MSL without a kernel", self.name);

        let shader_model = if !powers.is_empty() { hlsl::ShaderModel::V6_0 } else { hlsl::ShaderModel::V5_1 };
        let special_constants_binding = Some(hlsl::BindTarget::default());
        let options = hlsl::Options { shader_model, special_constants_binding, ..Default::default() };
        let pipeline = hlsl::PipelineOptions { entry_point: entry };
        let mut text = String::new();
        hlsl::Writer::new(&mut text, &options, &pipeline)
            .write(&module, &info, None)
            .map_err(|e| bad("HLSL", e.to_string()))?;
        assert!(text.contains("[numthreads("), "{}: HLSL without a kernel", self.name);
        // Where naga does not recognise the number of workgroups, its HLSL reads the workgroup's id instead.
        let counts = text.contains("uint3(_NagaConstants");
        assert!(
            counts || !counts_workgroups(&module),
            "{}: HLSL without the number of workgroups",
            self.name
        );

        let options = spv::Options { lang_version: (1, 3), ..Default::default() };
        let pipeline = spv::PipelineOptions {
            shader_stage: naga::ShaderStage::Compute,
            entry_point: self.entry.clone(),
        };
        spv::write_vec(&module, &info, &options, Some(&pipeline)).map_err(|e| bad("SPIR-V", e.to_string()))
    }
}

/// Whether an entry point of the module asks for the number of workgroups.
fn counts_workgroups(module: &naga::Module) -> bool {
    let asks = |binding: &Option<naga::Binding>| {
        matches!(binding, Some(naga::Binding::BuiltIn(naga::BuiltIn::NumWorkGroups)))
    };
    let arguments = module.entry_points.iter().flat_map(|entry| &entry.function.arguments);
    arguments.into_iter().any(|argument| match &module.types[argument.ty].inner {
        naga::TypeInner::Struct { members, .. } => members.iter().any(|member| asks(&member.binding)),
        _ => asks(&argument.binding),
    })
}

/// Complaints of Khronos' validator about a module.
fn spirv_val(words: &[u32]) -> Option<String> {
    let mut command = Command::new("spirv-val");
    command
        .args(["--target-env", "vulkan1.1", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytemuck::cast_slice(words)).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (!output.status.success()).then(|| String::from_utf8_lossy(&text).into_owned())
}

fn check(variants: &[Variant]) {
    let validator = Command::new("spirv-val").arg("--version").output().is_ok();
    if !validator {
        harness::say(
            "SKIPPED: spirv-val is not on PATH (Debian: spirv-tools), so the SPIR-V was generated but not validated",
        );
    }
    let mut problems = vec![];
    for variant in variants {
        problems.extend(variant.beyond_the_baseline());
        match variant.translate() {
            Ok(words) if validator => {
                problems.extend(spirv_val(&words).map(|e| format!("{}: spirv-val: {e}", variant.name)))
            }
            Ok(_) => {}
            Err(what) => problems.push(what),
        }
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn every_entry_point_is_portable_and_translates() {
    let mut variants = vec![];
    for (stem, text) in files() {
        let (module, _) =
            kernel::parse(&text, kernel::powers(&stem)).unwrap_or_else(|e| panic!("{stem}.wgsl: {e}"));
        assert!(!module.entry_points.is_empty(), "{stem}.wgsl has no entry point");
        for entry in &module.entry_points {
            let name = format!("{stem}/{}", entry.name);
            variants.push(Variant {
                name,
                powers: kernel::powers(&stem),
                text: text.clone(),
                entry: entry.name.clone(),
                constants: vec![],
                bindings: vec![],
                dims: vec![],
            });
        }
    }
    check(&variants);
}

/// naga takes some WGSL that browsers refuse; Chromium's compiler knows neither 64-bit words nor native subgroups.
#[test]
fn browsers_take_the_portable_files() {
    if Command::new("tint").arg("--help").output().is_err() {
        return harness::say("SKIPPED: tint is not on PATH, so no file was read as a browser reads it");
    }
    for (stem, _) in files().iter().filter(|(stem, _)| kernel::powers(stem).is_empty()) {
        let output = Command::new("tint").args(["--format", "none"]).arg(path(stem)).output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!said.contains(" error: "), "tint refuses {stem}.wgsl:\n{said}");
    }
}

#[test]
fn every_specialisation_of_the_vae_is_portable_and_translates() {
    let mut variants = BTreeMap::new();
    let config = Config::default();
    for (adapter, caps) in all_caps() {
        for graph in [training(&config, 60_000, 128), evaluation(&config, 10_000, 500), decoder(&config, 100)]
        {
            for launch in Plan::new(&graph, &caps).unwrap().launches {
                let shader = launch.shader;
                assert!(caps.runs(shader), "{adapter}: {} needs more than it has", shader.stem);
                let (text, powers) = (launch.text(), launch.powers());
                let key = format!("{}|{:?}|{text}", launch.entry, launch.constants);
                variants.entry(key).or_insert(Variant {
                    name: format!("{adapter}: {}/{} of {}", shader.stem, launch.entry, launch.label),
                    powers,
                    text,
                    entry: launch.entry.into(),
                    constants: launch.constants,
                    bindings: launch.bindings.iter().map(|(name, _)| *name).collect(),
                    dims: launch.dims.into_iter().map(|(name, _)| name).collect(),
                });
            }
        }
    }
    assert!(variants.len() > 20, "only {} variants", variants.len());
    check(&variants.into_values().collect::<Vec<_>>());
}

#[test]
fn files_are_short_and_say_what_they_do() {
    for (stem, text) in files() {
        let known = |word: &str| POWERS.iter().any(|power| power.name == word);
        assert!(words(&stem).all(known), "{stem}.wgsl asks for a power that no row of POWERS describes");
        let lines = text.lines().count();
        assert!(lines <= MAX_LINES, "{stem}.wgsl has {lines} lines, at most {MAX_LINES}");
        for (i, line) in text.lines().enumerate() {
            let width = line.chars().count();
            assert!(width <= MAX_WIDTH, "{stem}.wgsl:{}: {width} columns, at most {MAX_WIDTH}", i + 1);
        }
        let header: Vec<_> = text.lines().take_while(|line| line.starts_with("//")).collect();
        for part in ["// ", "// Index map: ", "// Bound: "] {
            let said = header.iter().any(|line| line.starts_with(part));
            assert!(said, "{stem}.wgsl: the comment at its top has no line `{part}...`");
        }
    }
}

/// A block that several files hold, since WGSL has no includes. One file is its master, where the block opens with
/// `// <name, master>`; in its readers it opens with `// <name, from FILE.wgsl>`. Both close it with `// </name>`.
struct Block {
    name: String,
    /// The stem of the file that holds the block.
    stem: String,
    /// The stem of its master's file.
    master: String,
    indent: String,
    /// The block's lines in the file, without the marks.
    place: Range<usize>,
    /// The block's text, without the indentation of its marks.
    lines: Vec<String>,
}

fn blocks((stem, text): &(String, String)) -> Vec<Block> {
    let lines: Vec<&str> = text.lines().collect();
    let block = |(i, line): (usize, &&str)| {
        // The planner's own marks, `// <fused>` and `// <functions>`, have no comma.
        let (name, of) = line.trim_start().strip_prefix("// <")?.strip_suffix('>')?.split_once(", ")?;
        let from = of.strip_prefix("from ").and_then(|file| file.strip_suffix(".wgsl"));
        let master = if of == "master" { Some(stem.as_str()) } else { from };
        let master = master.unwrap_or_else(|| panic!("{stem}.wgsl:{}: `{line}` is no mark", i + 1));
        let indent = &line[..line.len() - line.trim_start().len()];
        let end = lines.iter().skip(i).position(|line| *line == format!("{indent}// </{name}>"));
        let end = i + end.unwrap_or_else(|| panic!("{stem}.wgsl:{}: <{name}> is not closed", i + 1));
        let unindented = |line: &&str| line.strip_prefix(indent).unwrap_or(line).to_string();
        Some(Block {
            name: name.into(),
            stem: stem.clone(),
            master: master.into(),
            indent: indent.into(),
            place: i + 1..end,
            lines: lines[i + 1..end].iter().map(unindented).collect(),
        })
    };
    lines.iter().enumerate().filter_map(block).collect()
}

/// With `ONEIRO_BLESS=1` the masters' blocks are copied into their readers.
#[test]
fn shared_blocks_are_their_masters() {
    let (files, bless) = (files(), std::env::var("ONEIRO_BLESS").is_ok_and(|v| v == "1"));
    let all: Vec<Block> = files.iter().flat_map(blocks).collect();
    let (masters, readers): (Vec<_>, Vec<_>) = all.iter().partition(|block| block.stem == block.master);
    for master in &masters {
        let named = |blocks: &[&Block]| blocks.iter().filter(|block| block.name == master.name).count();
        assert_eq!(named(&masters), 1, "<{}> has several masters", master.name);
        assert!(named(&readers) > 0, "<{}> of {}.wgsl has no readers", master.name, master.stem);
    }
    let mut texts: BTreeMap<String, Vec<String>> =
        files.into_iter().map(|(stem, text)| (stem, text.lines().map(String::from).collect())).collect();
    let mut differ = vec![];
    // Backwards, so that the places of the blocks above stay true.
    for reader in readers.iter().rev() {
        let master = masters.iter().find(|m| m.name == reader.name && m.stem == reader.master);
        let master = master
            .unwrap_or_else(|| panic!("{0}.wgsl is not the master of <{1}>", reader.master, reader.name));
        if master.lines != reader.lines {
            differ.push(format!("<{}> of {}.wgsl", reader.name, reader.stem));
            let indented = |line: &String| format!("{}{line}", reader.indent).trim_end().to_string();
            let text = texts.get_mut(&reader.stem).unwrap();
            text.splice(reader.place.clone(), master.lines.iter().map(indented));
            if bless {
                std::fs::write(path(&reader.stem), text.join("\n") + "\n").unwrap();
            }
        }
    }
    assert!(bless || differ.is_empty(), "{differ:?} differ from their masters; ONEIRO_BLESS=1 copies those");
}

/// Lines of code that stand alike in two files would drift apart without marks.
#[test]
fn what_stands_in_two_files_is_marked() {
    const RUN: usize = 5;
    let mut seen: BTreeMap<Vec<&str>, (&str, usize)> = BTreeMap::new();
    let (files, mut twice) = (files(), vec![]);
    for file in &files {
        let (stem, copies) = (file.0.as_str(), blocks(file));
        let copied = |i: usize| copies.iter().any(|block| block.master != stem && block.place.contains(&i));
        let counts = |line: &str| {
            !["", "}", ");"].contains(&line) && !line.starts_with("//") && !line.starts_with("@compute")
        };
        let lines = file.1.lines().map(str::trim).enumerate();
        let code: Vec<_> = lines.filter(|(i, line)| copied(*i) || counts(line)).collect();
        for run in code.windows(RUN).filter(|run| !run.iter().any(|(i, _)| copied(*i))) {
            let place = (stem, run[0].0 + 1);
            let first = *seen.entry(run.iter().map(|(_, line)| *line).collect()).or_insert(place);
            if first.0 != stem {
                twice.push(format!("{}.wgsl:{} and {}.wgsl:{}", first.0, first.1, place.0, place.1));
            }
        }
    }
    assert!(twice.is_empty(), "{RUN} lines stand alike and unmarked at\n{}", twice.join("\n"));
}

#[test]
fn every_row_of_the_table_has_its_function() {
    let (_, text) = files().into_iter().find(|(stem, _)| stem == "elementwise").unwrap();
    let (module, _) = kernel::parse(&text, kernel::powers("")).unwrap();
    let functions = module.functions.iter().filter_map(|(_, f)| Some((f.name.clone()?, f.arguments.len())));
    let mut functions: Vec<_> =
        functions.filter_map(|(name, n)| Some((name.strip_prefix("e_")?.to_string(), n))).collect();
    let mut rows: Vec<_> = TABLE.iter().map(|row| (row.name.to_string(), row.arity)).collect();
    functions.sort();
    rows.sort();
    assert_eq!(functions, rows, "shaders/elementwise.wgsl against ops::elementwise::TABLE (name, arguments)");
}
