//! Examples as processes: started in a folder of the test's own, watched, stopped, and judged by how they end
//! and what they print.

use oneiro::run::{Checkpoint, Checkpoints};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tempfile::{Builder, TempDir};

/// A folder of one test; it goes with the test unless that failed.
pub(crate) struct Folder(TempDir);

impl std::ops::Deref for Folder {
    type Target = Path;

    fn deref(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.0.disable_cleanup(std::thread::panicking());
    }
}

/// Makes an empty folder that no other test has; the name says whose it is.
pub(crate) fn empty(name: &str) -> Folder {
    Folder(Builder::new().prefix(&format!("oneiro-runs-{name}-")).tempdir().unwrap())
}

/// An example that runs. What it prints goes to a file, so that it never waits for a reader; it ends with its
/// test.
pub(crate) struct Process {
    child: Child,
    printed: PathBuf,
}

/// The path of an example as built beside this test.
pub(crate) fn built(name: &str) -> PathBuf {
    let built = std::env::current_exe().unwrap().parent().unwrap().with_file_name("examples").join(name);
    let built = built.with_extension(std::env::consts::EXE_EXTENSION);
    let path = built.display();
    assert!(built.is_file(), "{path} is missing: run `cargo xtask test`, which builds the examples too");
    built
}

/// The command of an example as built beside this test: its name, a subcommand and options, as they are typed.
/// It runs in a folder, by way of another program if one is given.
pub(crate) fn command(dir: &Path, by: &[&str], typed: &str) -> Command {
    let (name, args) = typed.split_once(' ').expect("an example and its subcommand");
    let (subcommand, options) = args.split_once(' ').unwrap_or((args, ""));
    let built = built(name);
    let mut words = by.iter().map(Path::new).chain([built.as_path()]);
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words).arg(subcommand).current_dir(dir);
    if let Some(adapter) = std::env::var("ONEIRO_ADAPTER").ok().filter(|_| !options.contains("--adapter")) {
        command.args(["--adapter", &adapter]);
    }
    command.args(options.split_whitespace());
    command
}

/// Starts an example in a folder.
pub(crate) fn start(dir: &Path, typed: &str) -> Process {
    start_by(dir, &[], typed)
}

/// Starts an example in a folder, by way of another program.
pub(crate) fn start_by(dir: &Path, by: &[&str], typed: &str) -> Process {
    static PROCESSES: AtomicUsize = AtomicUsize::new(0);
    let number = PROCESSES.fetch_add(1, Ordering::Relaxed);
    let printed = std::env::temp_dir().join(format!("oneiro-printed-{}-{number}", std::process::id()));
    let out = File::create(&printed).unwrap();
    let mut command = command(dir, by, typed);
    command.stderr(out.try_clone().unwrap()).stdout(out);
    Process { child: command.spawn().unwrap(), printed }
}

/// Sends a signal, such as `-INT`, to a process, and returns whether there is one. What ignores a signal hands that on
/// to all that it starts, so that a test would wait for ever.
#[cfg(unix)]
pub(crate) fn send(signal: &str, pid: &str) -> bool {
    let kill =
        |args: &[&str]| Command::new("sh").args(["-c", "kill $0 ${1:-$$}"]).args(args).output().unwrap();
    assert!(
        signal == "-0" || !kill(&[signal]).status.success(),
        "who started the tests ignores {signal}, as nohup and a script's & do: start them by `env --default-signal`"
    );
    kill(&[signal, pid]).status.success()
}

/// Runs an example to its end, which must be a good one; returns what it printed.
pub(crate) fn run(dir: &Path, typed: &str) -> String {
    start(dir, typed).ends(true)
}

/// Runs an example to its end, which must be an error; returns what it printed.
pub(crate) fn fails(dir: &Path, typed: &str) -> String {
    start(dir, typed).ends(false)
}

impl Process {
    /// Waits for the end, which must have this exit code; returns what was printed.
    #[cfg(unix)]
    pub(crate) fn ends_as(mut self, code: Option<i32>) -> String {
        assert_eq!(self.child.wait().unwrap().code(), code, "{}", self.text());
        self.text()
    }

    /// Waits for the end, which is a good one or not; returns what was printed.
    pub(crate) fn ends(mut self, good: bool) -> String {
        let status = self.child.wait().unwrap();
        assert_eq!(status.success(), good, "{}", self.text());
        self.text()
    }

    /// Waits until something is so, however long that takes; fails if the process ends before.
    pub(crate) fn until(&mut self, what: &str, mut so: impl FnMut() -> bool) {
        while !so() {
            // The last look is after the end.
            let ended = self.ended();
            assert!(so() || !ended, "it ended before {what}: {}", self.text());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until the run has a checkpoint of this step or a later one.
    pub(crate) fn reaches(&mut self, dir: &Path, run: &str, step: u64) {
        let what = format!("{run} reached step {step}");
        self.until(&what, || newest(dir, run).is_some_and(|c| c.position.step >= step));
    }

    /// Whether the process has ended.
    pub(crate) fn ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Ends the process at once, wherever it is.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The number by which the system knows the process.
    #[cfg(unix)]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.printed).unwrap_or_default()).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail where the process has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.printed);
    }
}

/// The newest checkpoint of a run.
pub(crate) fn newest(dir: &Path, run: &str) -> Option<Checkpoint> {
    let read = || Checkpoints::new(dir.join(run).join("checkpoints"), 1).newest();
    // The run may delete a file between its being listed and read: a few tries.
    let found = std::iter::repeat_with(read).take(5).find(Result::is_ok).unwrap_or_else(read);
    found.unwrap_or_else(|e| panic!("{run}: {e}")).map(|(checkpoint, _)| checkpoint)
}

/// The bytes of a run's weights file.
pub(crate) fn weights(dir: &Path, run: &str) -> Vec<u8> {
    fs::read(dir.join(run).join("weights.safetensors")).unwrap()
}

/// The last step that a run's metrics tell of.
#[cfg(unix)]
pub(crate) fn logged(dir: &Path, run: &str) -> u64 {
    let text = fs::read_to_string(dir.join(run).join("metrics.jsonl")).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let step = |line: &str| line.strip_prefix("{\"step\":")?.split(',').next()?.parse().ok();
    whole.lines().last().and_then(step).unwrap_or(0)
}

/// A JSON file that an example wrote.
pub(crate) fn json(path: &Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Writes 64 grey images of `side`x`side` pixels to train on and as many to test with, as IDX files.
pub(crate) fn images(dir: &Path, side: u8, pixel: impl Fn(usize) -> u8) {
    for name in ["train-images-idx3-ubyte", "t10k-images-idx3-ubyte"] {
        let header = [0, 0, 8, 3, 0, 0, 0, 64, 0, 0, 0, side, 0, 0, 0, side];
        let pixels = (0..64 * usize::from(side).pow(2)).map(&pixel);
        fs::write(dir.join(name), header.into_iter().chain(pixels).collect::<Vec<u8>>()).unwrap();
    }
}

/// The pictures of each class of [`pictures`]. Of all three, 177 are trained on: 5 batches of 32 in an epoch, with 17
/// pictures left over.
#[cfg(feature = "folders")]
const PICTURES: u32 = 65;

/// A folder of 6x5 pictures in colours, of three classes, without test pictures, so that every tenth picture
/// is held out.
#[cfg(feature = "folders")]
pub(crate) fn pictures(name: &str) -> Folder {
    let dir = empty(name);
    for (class, blue) in [("cat", 0), ("dog", 100), ("eel", 200)] {
        fs::create_dir_all(dir.join("photos").join(class)).unwrap();
        for i in 0..PICTURES {
            let image = image::RgbImage::from_fn(6, 5, |x, y| {
                image::Rgb([(40 * x) as u8, (i * 3 + y * 7) as u8, blue + (i ^ x) as u8 % 50])
            });
            image.save(dir.join("photos").join(class).join(format!("{i:03}.png"))).unwrap();
        }
    }
    dir
}

/// Writes 64 images of 6x6 pixels and their labels 0, 1 and 2.
pub(crate) fn labelled(dir: &Path) {
    images(dir, 6, |i| (i * 7) as u8);
    for name in ["train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"] {
        let labels = [0, 0, 8, 1, 0, 0, 0, 64].into_iter().chain((0..64).map(|i| i % 3));
        fs::write(dir.join(name), labels.collect::<Vec<u8>>()).unwrap();
    }
}
