//! Compiling for a chip, in a process of its own: the driver reads the chip from its environment, and a compiler
//! that crashes ends that process alone.

use crate::{
    built::Built,
    chip::Chip,
    launches::Pipeline,
    vulkan::{Compiled, Job, Null},
};
use oneiro::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::{
    env, fs,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

/// The word that makes this program the compiling process.
pub const WORD: &str = "compile-jobs-from-stdin";

/// The folders in which drivers list themselves.
const FOLDERS: [&str; 3] = ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"];

/// A line that the compiling process writes.
#[derive(Serialize, Deserialize)]
enum Line {
    /// The chip and the version of the driver.
    Device(String, String),
    /// There is no such device.
    Missing(String),
    /// A pipeline is about to be compiled.
    Begun(String),
    /// The pipeline is compiled.
    Done(Compiled),
    /// The driver refused the pipeline.
    Refused(String),
}

/// The results of compiling the pipelines for a chip.
pub struct Batch {
    /// The version of the driver.
    pub version: String,
    /// A result for each pipeline.
    pub(crate) compiled: Vec<Compiled>,
}

impl Batch {
    /// Reads the compiler's result for each pipeline.
    ///
    /// # Errors
    /// A driver that tells too little.
    pub fn built(&self, chip: &Chip) -> Result<Vec<Built>> {
        self.compiled.iter().map(|compiled| Built::read(compiled, chip)).collect()
    }

    /// The listing of each pipeline.
    pub fn listings(&self) -> impl Iterator<Item = &str> {
        self.compiled.iter().map(|compiled| compiled.listing.as_str())
    }
}

/// Why nothing was compiled.
pub enum Unable {
    /// This machine has no null driver; the text says what is missing.
    Missing(String),
    /// The driver or a pipeline is at fault.
    Failed(Error),
}

/// The file by which Mesa's RADV lists itself with the Vulkan loader.
fn manifest() -> Option<PathBuf> {
    let files = FOLDERS.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let named = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with("radeon_icd") && name.ends_with(".json") && !name.contains("i686")
    };
    files.map(|file| file.path()).filter(named).min()
}

/// Compiles pipelines for a chip, and calls `done` after each.
///
/// # Errors
/// A machine without the driver; a pipeline that does not translate, or that the driver refuses or dies of.
pub fn compile(chip: &Chip, pipelines: &[Pipeline], done: impl Fn()) -> std::result::Result<Batch, Unable> {
    let advice = "install Mesa's drivers (Debian, Ubuntu: mesa-vulkan-drivers and libvulkan1)";
    let missing = |what: String| Unable::Missing(format!("{what}; {advice}"));
    let manifest = manifest().ok_or_else(|| missing("Mesa's RADV is not on this machine".into()))?;
    let jobs = pipelines.iter().map(Pipeline::job).collect::<Result<Vec<_>>>().map_err(Unable::Failed)?;
    let failed = |what: String| Unable::Failed(Error::new(what));
    let mut child =
        start(chip, &manifest).map_err(|e| failed(format!("cannot start the compiling process: {e}")))?;
    let (mut input, mut said) = (child.stdin.take().expect("piped"), child.stderr.take().expect("piped"));
    let output = BufReader::new(child.stdout.take().expect("piped"));
    // A process that died early takes no more jobs; its exit is reported below.
    let feeding = thread::spawn(move || {
        let text = serde_json::to_vec(&jobs).map_err(io::Error::other)?;
        input.write_all(&text)
    });
    let listening = thread::spawn(move || {
        let mut text = String::new();
        let _ = said.read_to_string(&mut text);
        text
    });
    let (mut batch, mut now) = (Batch { version: String::new(), compiled: vec![] }, String::new());
    for line in output.lines() {
        let line = line.map_err(|e| failed(e.to_string()))?;
        match serde_json::from_str(&line)
            .map_err(|e| failed(format!("the compiling process wrote {line}: {e}")))?
        {
            Line::Device(_, version) => batch.version = version,
            Line::Missing(what) => return Err(missing(format!("RADV presents no {} ({what})", chip.name))),
            Line::Begun(id) => now = id,
            Line::Refused(what) => return Err(failed(format!("{} for {}: {what}", now, chip.name))),
            Line::Done(compiled) => {
                batch.compiled.push(compiled);
                done();
            }
        }
    }
    let status = child.wait().map_err(|e| failed(e.to_string()))?;
    let (_, said) = (feeding.join(), listening.join().unwrap_or_default());
    if !status.success() || batch.compiled.len() != pipelines.len() {
        let last = said.lines().last().unwrap_or_default();
        return Err(failed(format!("the driver died of {now} for {} ({status}): {last}", chip.name)));
    }
    Ok(batch)
}

fn start(chip: &Chip, manifest: &Path) -> io::Result<std::process::Child> {
    Command::new(env::current_exe()?)
        .arg(WORD)
        .env("RADV_FORCE_FAMILY", chip.name)
        // The older and the newer name.
        .env("VK_ICD_FILENAMES", manifest)
        .env("VK_DRIVER_FILES", manifest)
        .env("MESA_SHADER_CACHE_DISABLE", "true")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

/// The compiling process: jobs come in, a line goes out for each event.
///
/// # Errors
/// Jobs that cannot be read, or lines that cannot be written.
pub fn serve() -> io::Result<()> {
    let say = |line: &Line| -> io::Result<()> {
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, line)?;
        out.write_all(b"\n")?;
        out.flush()
    };
    let jobs: Vec<Job> = serde_json::from_reader(io::stdin().lock())?;
    let device = match Null::open() {
        Ok(device) => device,
        Err(what) => return say(&Line::Missing(what)),
    };
    say(&Line::Device(device.name.clone(), device.version.clone()))?;
    for job in &jobs {
        say(&Line::Begun(job.id.clone()))?;
        match device.compile(job) {
            Ok(compiled) => say(&Line::Done(compiled))?,
            Err(what) => return say(&Line::Refused(what)),
        }
    }
    Ok(())
}

impl Pipeline {
    fn job(&self) -> Result<Job> {
        let bindings = self.reflection.bindings.iter().map(|b| (b.index, b.uniform)).collect();
        Ok(Job { id: self.id.clone(), entry: self.entry.clone(), words: self.spirv()?, bindings })
    }
}
