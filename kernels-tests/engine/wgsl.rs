//! Shaders without a device: every file and every specialisation in use is valid WGSL within WebGPU's
//! default limits, and translates to SPIR-V, MSL and HLSL.

use crate::{
    harness,
    subjects::{all_caps, decoder, evaluation, training},
};
use naga::back::{hlsl, msl, spv};
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
    path::Path,
    process::{Command, Stdio},
};

const MAX_LINES: usize = 250;

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

/// One entry point of one text under given constants.
struct Variant {
    name: String,
    stem: String,
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
        let found =
            match kernel::reflect(&self.text, kernel::powers(&self.stem), &self.entry, &self.constants) {
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
        let powers = kernel::powers(&self.stem);
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
        let options = hlsl::Options { shader_model, ..Default::default() };
        let pipeline = hlsl::PipelineOptions { entry_point: entry };
        let mut text = String::new();
        hlsl::Writer::new(&mut text, &options, &pipeline)
            .write(&module, &info, None)
            .map_err(|e| bad("HLSL", e.to_string()))?;
        assert!(text.contains("[numthreads("), "{}: HLSL without a kernel", self.name);

        let options = spv::Options { lang_version: (1, 3), ..Default::default() };
        let pipeline = spv::PipelineOptions {
            shader_stage: naga::ShaderStage::Compute,
            entry_point: self.entry.clone(),
        };
        spv::write_vec(&module, &info, &options, Some(&pipeline)).map_err(|e| bad("SPIR-V", e.to_string()))
    }
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
                stem: stem.clone(),
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
                let text = launch
                    .function
                    .as_ref()
                    .map_or(shader.text.to_string(), |f| kernel::patch(shader.text, f));
                let key = format!("{}|{:?}|{text}", launch.entry, launch.constants);
                variants.entry(key).or_insert(Variant {
                    name: format!("{adapter}: {}/{} of {}", shader.stem, launch.entry, launch.label),
                    stem: shader.stem.into(),
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
        assert!(text.starts_with("// "), "{stem}.wgsl does not open with a comment");
        let known = |word: &str| POWERS.iter().any(|power| power.name == word);
        assert!(words(&stem).all(known), "{stem}.wgsl asks for a power that no row of POWERS describes");
        let lines = text.lines().count();
        assert!(lines <= MAX_LINES, "{stem}.wgsl has {lines} lines, at most {MAX_LINES}");
    }
}

/// WGSL has no includes: what several files hold between marks is one text.
#[test]
fn shared_blocks_are_identical() {
    for (mark, at_least) in [("threefry", 2), ("normal", 2), ("access", 2), ("lattice", 2), ("products", 3)] {
        let (open, close) = (format!("// <{mark}>\n"), format!("// </{mark}>\n"));
        // The block's own depth: where it is nested deeper it is indented more.
        let unindented = |part: &str| {
            let depth = part
                .lines()
                .filter(|l| !l.trim().is_empty())
                .map(|l| l.len() - l.trim_start().len())
                .min()
                .unwrap_or(0);
            part.lines().map(|l| l.get(depth..).unwrap_or_default().to_string() + "\n").collect::<String>()
        };
        let mut found: Vec<(String, String)> = vec![];
        for (stem, text) in files() {
            assert_eq!(
                text.matches(&open).count(),
                text.matches(&close).count(),
                "{stem}.wgsl: <{mark}> is not closed"
            );
            for part in text.split(&open).skip(1) {
                let block = part.split(&close).next().unwrap().trim_end_matches(' ');
                found.push((stem.clone(), unindented(block)));
            }
        }
        assert!(found.len() >= at_least, "<{mark}> stands in {} files", found.len());
        let (first, block) = &found[0];
        for (stem, other) in &found[1..] {
            let differs = block.lines().zip(other.lines()).find(|(a, b)| a != b);
            assert_eq!(block, other, "<{mark}> of {first}.wgsl and {stem}.wgsl differ at {differs:?}");
        }
    }
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
