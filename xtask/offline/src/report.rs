//! The results as data: for each chip every pipeline and every model's step. The same data is printed, written
//! as JSON and compared.

use crate::{
    built::Built,
    chip::Chip,
    driver::Batch,
    isa::Counts,
    launches::{Launches, PlannedStep},
    time::{Bound, Load, modelled},
    work::Memory,
};
use oneiro::{
    disk::write_atomic,
    error::{Error, Result},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::Path, time::SystemTime};

/// The layout of the JSON. The number changes when the meaning of a field changes.
const FORMAT: &str = "oneiro-offline 1";

/// The results of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    format: String,
    /// The version of the project.
    version: String,
    /// The seconds since 1970.
    pub date: u64,
    /// The results for each chip.
    pub chips: Vec<ChipReport>,
}

/// The results for one chip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChipReport {
    /// The chip.
    pub chip: String,
    /// The card whose figures the model takes.
    pub card: String,
    /// The version of the driver.
    pub driver: String,
    /// The pipelines.
    pub pipelines: Vec<PipelineReport>,
    /// The steps of each model.
    pub steps: Vec<StepReport>,
}

/// What the compiler made of a pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PipelineReport {
    /// The pipeline.
    pub id: String,
    /// File, entry point and overrides.
    pub kernel: String,
    /// The op and its epilogue.
    pub label: String,
    /// The invocations of a workgroup.
    pub invocations: u32,
    /// The lanes of a wave.
    pub lanes: u64,
    /// The vector registers of a lane.
    pub vector_registers: u64,
    /// The scalar registers of a wave.
    pub scalar_registers: u64,
    /// Registers that are kept in memory for want of room.
    pub spilled_registers: u64,
    /// The bytes of memory that a lane needs for arrays and spilled values.
    pub scratch_bytes: u64,
    /// The bytes of workgroup memory.
    pub workgroup_memory: u64,
    /// The waves that a SIMD holds beside each other.
    pub waves: f64,
    /// The bytes of code.
    pub code_bytes: u64,
    /// The loop that holds the work, if there is a loop.
    pub hot: Option<HotReport>,
    /// The launches of all steps that run the pipeline.
    pub launches: usize,
    /// The fewest and the most workgroups of these launches.
    pub workgroups: [u64; 2],
}

/// One pass of the loop that holds the work.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HotReport {
    /// The instructions by kind.
    #[serde(flatten)]
    pub counts: Counts,
    /// The share of multiply-adds in the vector unit's cycles.
    pub share: f64,
    /// The bytes of workgroup memory that are moved for a multiply-add.
    pub lds_bytes_per_fma: f64,
    /// The modelled cycles of a wave that runs alone.
    pub cycles: u64,
}

/// The modelled time of a training step, or of a step of drawing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// The model.
    pub model: String,
    /// The step in words.
    pub title: String,
    /// The modelled seconds.
    pub seconds: f64,
    /// The floating-point operations.
    pub flops: u64,
    /// The launches in order.
    pub launches: Vec<LaunchReport>,
}

/// The modelled time of a launch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LaunchReport {
    /// The op and its epilogue.
    pub label: String,
    /// The pipeline.
    pub pipeline: String,
    /// File, entry point and overrides.
    pub kernel: String,
    /// The workgroups in each dimension.
    pub grid: [u32; 3],
    /// The passes of the loop that holds the work, 0 without a loop.
    pub passes: f64,
    /// The modelled seconds.
    pub seconds: f64,
    /// What limits the launch.
    pub bound: Bound,
    /// The floating-point operations.
    pub flops: u64,
}

impl Report {
    /// Makes a report, dated now.
    pub fn new(chips: Vec<ChipReport>) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |t| t.as_secs());
        Self { format: FORMAT.into(), version: env!("CARGO_PKG_VERSION").into(), date: now, chips }
    }

    /// Writes the report as JSON.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(|e| Error::new(e.to_string()))?;
        write_atomic(path, (text + "\n").as_bytes())
    }

    /// Reads the JSON of an earlier run.
    ///
    /// # Errors
    /// A file that cannot be read, or that is no report of this program.
    pub fn load(path: &Path) -> Result<Self> {
        let advice = "`cargo xtask offline --json FILE` makes one";
        let fail = |what: String| Error::new(format!("{}: {what}; {advice}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|e| fail(e.to_string()))?;
        let value: serde_json::Value =
            serde_json::from_str(&text).map_err(|e| fail(format!("no JSON ({e})")))?;
        match value["format"].as_str() {
            Some(FORMAT) => {
                serde_json::from_value(value).map_err(|e| fail(format!("a damaged report ({e})")))
            }
            Some(other) => Err(fail(format!("of format `{other}`, this program reads `{FORMAT}`"))),
            None => Err(fail("JSON, but no report of this program".into())),
        }
    }
}

impl ChipReport {
    /// Puts together what the compiler told and what the model makes of it.
    ///
    /// # Errors
    /// A driver that tells too little, or a pipeline that naga refuses.
    pub fn new(chip: &Chip, launches: &Launches, batch: &Batch, memory: &mut Memory) -> Result<Self> {
        let built = batch.built(chip)?;
        let steps = launches
            .steps
            .iter()
            .map(|step| StepReport::new(chip, launches, &built, step, memory))
            .collect::<Result<_>>()?;
        let pipelines = (0..built.len())
            .map(|i| PipelineReport::new(chip, launches, &built[i], i, memory))
            .collect::<Result<_>>()?;
        let driver = batch.version.clone();
        Ok(Self { chip: chip.name.into(), card: chip.card.into(), driver, pipelines, steps })
    }
}

impl PipelineReport {
    fn new(
        chip: &Chip,
        launches: &Launches,
        built: &Built,
        index: usize,
        memory: &mut Memory,
    ) -> Result<Self> {
        let pipeline = &launches.pipelines[index];
        let all = launches.steps.iter().flat_map(|step| &step.launches);
        let own: Vec<_> = all.filter(|l| l.pipeline == index).map(|l| &l.launch).collect();
        // Its first launch says how often a loop inside a loop is passed.
        let passes = match own.first() {
            Some(launch) => built.passes(&memory.work(index, pipeline, launch)?),
            None => vec![1.0; built.loops.len()],
        };
        let hot = built.hot(&passes).map(|hot| HotReport {
            counts: hot.counts,
            share: hot.counts.share(),
            lds_bytes_per_fma: hot.counts.lds_bytes_per_fma(),
            cycles: hot.cycles,
        });
        let groups = own.iter().map(|l| l.grid.iter().map(|&n| u64::from(n)).product::<u64>());
        Ok(Self {
            id: pipeline.id.clone(),
            kernel: pipeline.kernel(),
            label: pipeline.label.clone(),
            invocations: pipeline.invocations(),
            lanes: built.lanes,
            vector_registers: built.registers,
            scalar_registers: built.scalars,
            spilled_registers: built.spilled,
            scratch_bytes: built.scratch,
            workgroup_memory: built.memory,
            waves: built.waves(chip, pipeline.invocations()),
            code_bytes: built.code,
            hot,
            launches: own.len(),
            workgroups: [groups.clone().min().unwrap_or(0), groups.max().unwrap_or(0)],
        })
    }
}

impl StepReport {
    fn new(
        chip: &Chip,
        launches: &Launches,
        built: &[Built],
        step: &PlannedStep,
        memory: &mut Memory,
    ) -> Result<Self> {
        let mut rows = vec![];
        for planned in &step.launches {
            let (pipeline, built) = (&launches.pipelines[planned.pipeline], &built[planned.pipeline]);
            let launch = &planned.launch;
            let passes = built.passes(&memory.work(planned.pipeline, pipeline, launch)?);
            let groups = launch.grid.iter().map(|&n| u64::from(n)).product();
            let (invocations, bytes) = (pipeline.invocations(), launch.bytes);
            let load = Load { built, passes: &passes, groups, invocations, bytes };
            let (seconds, bound) = modelled(&load, chip);
            rows.push(LaunchReport {
                label: launch.label.clone(),
                pipeline: pipeline.id.clone(),
                kernel: pipeline.kernel(),
                grid: launch.grid,
                passes: built.hot(&passes).map_or(0.0, |hot| passes[hot.index]),
                seconds,
                bound,
                flops: launch.flops,
            });
        }
        let (seconds, flops) = (rows.iter().map(|r| r.seconds).sum(), rows.iter().map(|r| r.flops).sum());
        Ok(Self { model: step.model.into(), title: step.title.clone(), seconds, flops, launches: rows })
    }

    /// The launches of each kernel, the kernel that takes the most time first.
    pub fn by_kernel(&self) -> Vec<(&str, Vec<&LaunchReport>)> {
        let mut groups: BTreeMap<&str, Vec<&LaunchReport>> = BTreeMap::new();
        self.launches.iter().for_each(|l| groups.entry(&l.kernel).or_default().push(l));
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_by(|a, b| seconds(&b.1).total_cmp(&seconds(&a.1)));
        groups
    }
}

/// The modelled seconds of some launches.
pub fn seconds(launches: &[&LaunchReport]) -> f64 {
    launches.iter().map(|l| l.seconds).sum()
}

#[cfg(test)]
pub(crate) mod tests;
