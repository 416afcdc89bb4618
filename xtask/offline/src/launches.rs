//! Every launch of the benchmark's models as a portable GPU would run it, and the distinct pipelines among them:
//! the WGSL as the planner patched it, overrides and bindings. No adapter is needed.

use bench::{MODELS, Step, drawing};
use naga::valid::Capabilities;
use oneiro::{
    error::{Error, Result},
    kernel::{
        self, Reflection,
        caps::{AdapterClass, Caps},
    },
    plan::Launch,
};
use serde::Serialize;
use serde_json::json;
use std::{borrow::Cow, collections::HashMap, fs, path::Path};

/// What the name of a file's entry point begins with, beside those of pipelines.
const FILE: &str = "file-";

/// The pipelines that are known, by entry point, overrides and text, and how many each kernel has.
#[derive(Default)]
struct Known {
    pipelines: HashMap<(&'static str, String, String), usize>,
    counts: HashMap<(&'static str, &'static str), usize>,
}

/// The launches of some models, and what they run.
pub struct Launches {
    /// The steps of each model.
    pub steps: Vec<PlannedStep>,
    /// The distinct pipelines of all steps.
    pub pipelines: Vec<Pipeline>,
}

/// A training step, or a step of drawing.
pub struct PlannedStep {
    /// The model's name.
    pub model: &'static str,
    /// The step in words, with its batch.
    pub title: String,
    /// The dispatches in order.
    pub launches: Vec<PlannedLaunch>,
}

/// A launch and its pipeline.
pub struct PlannedLaunch {
    /// The launch, as the plan describes it.
    pub launch: Launch,
    /// The pipeline's index in [`Launches::pipelines`].
    pub pipeline: usize,
}

/// A compute pipeline: a WGSL module, an entry point and the values of its overrides.
pub struct Pipeline {
    /// A name of its own, which can be a file's stem.
    pub id: String,
    /// The stem of the file in `shaders/`.
    pub stem: String,
    /// The entry point.
    pub entry: String,
    /// The values of the overrides.
    pub constants: Vec<(&'static str, f64)>,
    /// The whole WGSL, with the marked function replaced.
    pub text: String,
    /// The capabilities that naga's validator must allow the module.
    pub powers: Capabilities,
    /// The op and its epilogue, as the first launch that runs the pipeline names them.
    pub label: String,
    /// Bindings, `dims` layout, workgroup size and workgroup memory.
    pub reflection: Reflection,
}

impl Launches {
    /// Plans the steps of these models for a GPU with WebGPU's default limits: a training step and, of models that
    /// draw pixel by pixel, a step of drawing.
    ///
    /// # Errors
    /// What recording, planning or reflection refuses.
    pub fn of(models: &[&'static str]) -> Result<Self> {
        let caps = Caps::portable(AdapterClass::Gpu);
        let (mut out, mut known) = (Self { steps: vec![], pipelines: vec![] }, Known::default());
        for &model in models {
            let step = Step::new(model)?;
            let launches = step.plans(&caps)?.into_iter().flat_map(|plan| plan.launches).collect();
            out.push(model, step.title(model), launches, &mut known)?;
            if let Some(sampler) = drawing(model, &caps)? {
                let [_, step] = sampler.plans();
                let title = format!("{model}, one of {} steps of drawing", sampler.steps());
                out.push(model, title, step.launches.clone(), &mut known)?;
            }
        }
        Ok(out)
    }

    /// Adds a step and its pipelines.
    fn push(
        &mut self,
        model: &'static str,
        title: String,
        launches: Vec<Launch>,
        known: &mut Known,
    ) -> Result<()> {
        let mut planned = vec![];
        for launch in launches {
            let text = launch.text();
            let key = (launch.entry, format!("{:?}", launch.constants), text);
            let pipeline = match known.pipelines.get(&key) {
                Some(&pipeline) => pipeline,
                None => {
                    let count = known.counts.entry((launch.shader.stem, launch.entry)).or_default();
                    self.pipelines.push(Pipeline::new(&launch, key.2.clone(), *count)?);
                    *count += 1;
                    *known.pipelines.entry(key).or_insert(self.pipelines.len() - 1)
                }
            };
            planned.push(PlannedLaunch { launch, pipeline });
        }
        self.steps.push(PlannedStep { model, title, launches: planned });
        Ok(())
    }

    /// Plans the steps of all models of the benchmark.
    ///
    /// # Errors
    /// What [`Launches::of`] refuses.
    pub fn all() -> Result<Self> {
        Self::of(&MODELS)
    }

    /// Writes the WGSL, SPIR-V, HLSL and MSL of each pipeline, and a list of all launches as JSON, into a folder;
    /// and of each entry point of the files in `shaders/` the SPIR-V and, if its file needs no extension, HLSL and
    /// MSL.
    ///
    /// # Errors
    /// A folder or file that cannot be written, or a pipeline that does not translate.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let save = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            fs::write(&path, bytes).map_err(|e| Error::new(format!("cannot write {}: {e}", path.display())))
        };
        fs::create_dir_all(folder)
            .map_err(|e| Error::new(format!("cannot make the folder {}: {e}", folder.display())))?;
        for pipeline in &self.pipelines {
            save(&format!("{}.wgsl", pipeline.id), pipeline.text.as_bytes())?;
        }
        let of_files = of_files()?;
        for pipeline in self.pipelines.iter().chain(&of_files) {
            let bytes: Vec<u8> = pipeline.spirv()?.iter().flat_map(|word| word.to_le_bytes()).collect();
            save(&format!("{}.spv", pipeline.id), &bytes)?;
            if pipeline.powers.is_empty() {
                save(&format!("{}.hlsl", pipeline.id), pipeline.hlsl()?.as_bytes())?;
                save(&format!("{}.metal", pipeline.id), pipeline.msl()?.as_bytes())?;
            }
        }
        let rows: Vec<_> = self
            .steps
            .iter()
            .flat_map(|step| step.launches.iter().enumerate().map(|(i, l)| self.row(step, i, l)))
            .collect();
        let text = serde_json::to_string_pretty(&rows).map_err(|e| Error::new(e.to_string()))?;
        save("launches.json", text.as_bytes())
    }

    /// A launch as JSON.
    fn row(&self, step: &PlannedStep, index: usize, planned: &PlannedLaunch) -> serde_json::Value {
        let (l, pipeline) = (&planned.launch, &self.pipelines[planned.pipeline]);
        let binding = |(name, place): &(&str, oneiro::plan::Place)| {
            let (buffer, writes) = (place.buffer.to_string(), l.writes.contains(name));
            json!({ "name": name, "buffer": buffer, "offset": place.offset, "bytes": place.bytes, "writes": writes })
        };
        json!({
            "model": step.model, "step": step.title, "launch": index, "label": l.label,
            "pipeline": pipeline.id, "shader": pipeline.stem,
            "entry": pipeline.entry, "constants": pairs(&pipeline.constants), "grid": l.grid, "flops": l.flops,
            "bytes": l.bytes, "workgroup": pipeline.reflection.workgroup, "dims": pairs(&l.dims),
            "workgroup_memory": pipeline.reflection.workgroup_memory, "dims_size": pipeline.reflection.dims_size,
            "bindings": l.bindings.iter().map(binding).collect::<Vec<_>>(), "why": l.why, "at": l.at,
        })
    }
}

/// The pipelines of all entry points of the files in `shaders/`.
fn of_files() -> Result<Vec<Pipeline>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shaders");
    let failed = |e| Error::new(format!("cannot read {}: {e}", folder.display()));
    let mut paths: Vec<_> =
        fs::read_dir(&folder).map_err(failed)?.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let mut pipelines = vec![];
    for path in paths.iter().filter(|path| path.extension().is_some_and(|end| end == "wgsl")) {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        pipelines.extend(Pipeline::of_file(&stem, &fs::read_to_string(path).map_err(failed)?)?);
    }
    Ok(pipelines)
}

/// Pairs as a JSON object.
fn pairs<V: Serialize>(pairs: &[(impl ToString, V)]) -> serde_json::Value {
    pairs
        .iter()
        .map(|(name, value)| (name.to_string(), json!(value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

impl Pipeline {
    fn new(launch: &Launch, text: String, count: usize) -> Result<Self> {
        let (stem, entry) = (launch.shader.stem.to_string(), launch.entry.to_string());
        let (id, constants) = (format!("{stem}-{entry}-{count:02}"), launch.constants.clone());
        Self::reflected([id, stem, entry, launch.label.clone()], constants, text, launch.powers())
    }

    /// Makes the pipelines of all entry points of a file of `shaders/`, with the overrides' own values.
    ///
    /// # Errors
    /// Fails if naga refuses the file.
    pub fn of_file(stem: &str, text: &str) -> Result<Vec<Self>> {
        let powers = kernel::powers(stem);
        let (module, _) = kernel::parse(text, powers).map_err(|e| Error::new(format!("{stem}.wgsl: {e}")))?;
        let pipeline = |entry: naga::EntryPoint| {
            let (id, label) = (format!("{FILE}{stem}-{}", entry.name), entry.name.clone());
            Self::reflected([id, stem.to_string(), entry.name, label], vec![], text.to_string(), powers)
        };
        module.entry_points.into_iter().map(pipeline).collect()
    }

    fn reflected(
        [id, stem, entry, label]: [String; 4],
        constants: Vec<(&'static str, f64)>,
        text: String,
        powers: Capabilities,
    ) -> Result<Self> {
        let reflection = kernel::reflect(&text, powers, &entry, &constants)
            .map_err(|e| Error::new(format!("{stem}/{entry}: {e}")))?;
        Ok(Self { id, stem, entry, constants, text, powers, label, reflection })
    }

    /// The kernel that the pipeline runs, whatever was fused into it: file, entry point, and overrides beside the
    /// workgroup size.
    pub fn kernel(&self) -> String {
        let told = self.constants.iter().filter(|(name, _)| *name != "WORKGROUP");
        let constants: String = told.map(|(name, value)| format!(" {name}={value}")).collect();
        format!("{}/{}{constants}", self.stem, self.entry)
    }

    /// The number of invocations of a workgroup.
    pub fn invocations(&self) -> u32 {
        self.reflection.workgroup.iter().product()
    }

    /// Hands the validated module with its overrides' values to a function.
    ///
    /// # Errors
    /// What naga refuses, or what the function returns.
    pub fn module<T>(
        &self,
        then: impl FnOnce(&naga::Module, &naga::valid::ModuleInfo) -> std::result::Result<T, String>,
    ) -> Result<T> {
        let whole = || {
            let (module, info) = kernel::parse(&self.text, self.powers)?;
            let (module, info): (Cow<'_, _>, Cow<'_, _>) =
                kernel::specialise(&module, &info, &self.entry, &self.constants)?;
            then(&module, &info)
        };
        whole().map_err(|e| Error::new(format!("{}: {e}", self.id)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_is_planned_without_an_adapter_and_keeps_the_limits() {
        let launches = Launches::all().unwrap();
        assert!(MODELS.iter().all(|model| launches.steps.iter().any(|step| step.model == *model)));
        assert!(launches.steps.iter().any(|step| step.title.ends_with("steps of drawing")));
        let ids: std::collections::BTreeSet<_> = launches.pipelines.iter().map(|p| &p.id).collect();
        assert_eq!(ids.len(), launches.pipelines.len(), "each has a name of its own");
        assert_eq!(crate::limits::faults(&launches), Vec::<String>::new());
    }

    #[test]
    fn a_kernel_is_named_without_what_was_fused_into_it() {
        let launches = Launches::of(&["vae"]).unwrap();
        let same: Vec<_> =
            launches.pipelines.iter().filter(|p| p.kernel() == "matmul4/tile TA=0 TB=1").collect();
        assert!(same.len() > 1 && same[0].text != same[1].text);
        assert!(launches.pipelines.iter().any(|p| p.kernel() == "reparameterize/scaled_noise"));
    }

    #[test]
    fn a_dump_holds_every_pipeline_and_every_launch() {
        let folder = tempfile::tempdir().unwrap();
        let launches = Launches::of(&["vae"]).unwrap();
        launches.write(folder.path()).unwrap();
        let rows: Vec<serde_json::Value> =
            serde_json::from_slice(&fs::read(folder.path().join("launches.json")).unwrap()).unwrap();
        assert_eq!(rows.len(), launches.steps[0].launches.len());
        for row in rows {
            let file = |end: &str| folder.path().join(format!("{}.{end}", row["pipeline"].as_str().unwrap()));
            let (text, words) = (fs::read_to_string(file("wgsl")).unwrap(), fs::read(file("spv")).unwrap());
            assert!(text.contains(&format!("fn {}(", row["entry"].as_str().unwrap())));
            assert_eq!(words[..4], 0x0723_0203_u32.to_le_bytes(), "SPIR-V begins with its magic number");
        }
        let file = |name: &str| folder.path().join(name).is_file();
        assert!(file("file-pool-gather4.hlsl") && file("file-matmul.subgroup.int64-lanes.spv"));
        assert!(!file("file-matmul.subgroup.int64-lanes.hlsl"), "only drivers of Vulkan get it");
    }
}
