//! The project's own commands: `cargo xtask demo`, `test`, `web`, `figures`, `offline`, `validate` and `setup`.
//!
//! Each but `offline` and `validate` begins with the set-up. On a machine without a Vulkan driver it installs one
//! from the system's package manager, so that a fresh checkout needs one command and no reading.

mod demo;
mod driver;
mod explore;
mod figures;
mod ganhacks;
mod plan;
mod probe;
mod runtime;
mod setup;
mod validate;

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

const HELP: &str = "\
The project's own commands. Each but `offline` and `validate` does the set-up
first.

    cargo xtask demo [OPTIONS]              train three small models for three minutes, show what they draw on one
                                            page; demo --help
    cargo xtask explore [OPTIONS]           open the explorer, in which networks learn and dream before your eyes;
                                            explore --help
    cargo xtask test [CARGO TEST OPTIONS]   run every test, with optimization; those of trainings by several ranks as
                                            processes, too, where MPI is there; with --driver swiftshader, the tests
                                            of kernels, graphs, models and sampling on a second software driver; with
                                            --gui, the explorer in a window that nobody sees and as a page in a
                                            headless browser; both are installed first; with --mpi, the tests of
                                            several ranks alone; MPI is installed first
    cargo xtask web                         build the explorer's page into target/web and serve it on the loopback
                                            address
    cargo xtask figures [OPTIONS]           the long measurements that tests and CI leave out: kills, soaks, the
                                            benchmark, fuzzing, tricks of GANs; figures --help
    cargo xtask offline [OPTIONS]           what real compilers make of the kernels for GPUs that are not at hand, and
                                            a model of the time; offline --help
    cargo xtask validate                    all shaders and pipelines through the validators that are found: naga,
                                            spirv-val, Tint, DXC, and the types of the MSL; names those that
                                            are skipped
    cargo xtask setup                       only the set-up; with --mpi, Open MPI and libclang with apt
    cargo xtask features                    the options by which cargo builds what `test` builds on this machine

The set-up looks for a Vulkan driver. Where there is none (Linux only), it installs the
loader and Mesa's software driver with apt, dnf or pacman, through sudo where needed.
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match args.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("--help", [].as_slice()),
    };
    // After a `--`, the word is for the test binaries.
    let asked = rest.iter().take_while(|a| *a != "--").any(|a| a == "--help" || a == "-h");
    let result = match command {
        // It reads its own options, `--help` among them.
        "offline" => offline(rest),
        "demo" if asked => help(demo::HELP),
        "figures" if asked => help(figures::HELP),
        "explore" if asked => explore::run(rest),
        "explore" => setup::run().and_then(|()| explore::run(rest)),
        _ if asked => help(HELP),
        "help" | "--help" | "-h" => help(HELP),
        // Wrong options are reported before anything is installed.
        "demo" => demo::Options::parse(rest).and_then(|options| {
            setup::run()?;
            demo::run(&options)
        }),
        "test" if rest == ["--gui"] => setup::run().and_then(|()| {
            // What cannot be installed is left out, and said.
            if let Err(Failure { text: Some(text), .. }) = setup::screens() {
                eprintln!("xtask: {text}");
            }
            web("test")
        }),
        "test" if rest == ["--mpi"] => setup::mpi().and_then(|()| mpi()),
        "setup" if rest == ["--mpi"] => setup::mpi(),
        "features" if rest.is_empty() => help(&(setup::features(false).join(" ") + "\n")),
        "test" => driver::Asked::parse(rest).and_then(|asked| test(&asked)),
        "figures" => figures::Figures::parse(rest).and_then(|figures| {
            if figures.needs_device() {
                setup::run()?;
            }
            figures.run()
        }),
        "setup" if rest.is_empty() => setup::run(),
        "validate" if rest.is_empty() => validate::run(),
        "web" if rest.is_empty() => web("serve"),
        "setup" | "validate" | "web" | "features" => {
            Err(Failure::new(format!("`cargo xtask {command}` takes no such options; leave them out")))
        }
        _ => Err(Failure::new(format!("no command `{command}`; see `cargo xtask --help`"))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(text) = failure.text {
                eprintln!("xtask: {text}");
            }
            ExitCode::from(failure.code)
        }
    }
}

fn help(text: &str) -> Result<(), Failure> {
    print!("{text}");
    Ok(())
}

fn test(asked: &driver::Asked) -> Result<(), Failure> {
    setup::run()?;
    let words = asked.cargo(&setup::features(true));
    if !asked.swiftshader {
        return cargo(&words);
    }
    let variables = driver::swiftshader()?;
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    cargo_with(&words, &variables, Shown::Everything)
}

/// Builds the examples that the tests of ranks start, and runs these tests.
fn mpi() -> Result<(), Failure> {
    let words = |words: &str| words.split(' ').map(String::from).collect::<Vec<_>>();
    build(&["autoencoder", "dcgan", "gan", "pixelcnn", "vae"].map(|name| ["--example", name]).concat())?;
    test(&driver::Asked { swiftshader: false, rest: words("--test kernels-tests ranks") })
}

/// Builds some of what `cargo xtask test` builds, with its features: none of its libraries is built twice then.
fn build(targets: &[&str]) -> Result<(), Failure> {
    let words = ["build", "--release", "--workspace"].iter().chain(targets).map(|word| word.to_string());
    cargo(&words.chain(setup::features(false)).collect::<Vec<_>>())
}

/// Builds, serves or tests the page, by a tool of its own: what binds WebAssembly to JavaScript weighs on nobody else.
fn web(what: &str) -> Result<(), Failure> {
    tool("web", &[vec![what.into()], setup::features(false)].concat())
}

fn offline(rest: &[String]) -> Result<(), Failure> {
    tool("offline", rest)
}

/// Builds one of the workspace's tools, and runs it. It is built with the features that the tests turn on in its
/// libraries, which an example asks for too, so that no library is built twice.
pub(crate) fn tool(name: &str, args: &[String]) -> Result<(), Failure> {
    build(&["--bin", name, "--example", "hello"])?;
    // This program's folder lies beside the one of release builds.
    let here = std::env::current_exe().map_err(|e| Failure::new(format!("cannot find {name}: {e}")))?;
    let program = here.with_file_name("").join("../release").join(name);
    let mut command = Command::new(&program);
    at_home(command.args(args));
    let runtime = runtime::Private::where_needed();
    runtime.iter().for_each(|folder| folder.give(&mut command));
    let status = command.status();
    let status = status.map_err(|e| Failure::new(format!("cannot run {}: {e}", program.display())))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    if status.success() { Ok(()) } else { Err(Failure { text: None, code }) }
}

/// The reason why a command ended early, and its exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The message; `None` if the program that failed has printed one.
    text: Option<String>,
    code: u8,
}

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), code: 1 }
    }
}

/// The root of the workspace, wherever the command was typed.
pub(crate) fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let parent = package.and_then(|p| p.parent().map(PathBuf::from));
    parent.or_else(|| std::env::current_dir().ok()).unwrap_or_default()
}

/// Runs cargo in the root. This program ends with cargo's exit code.
pub(crate) fn cargo(args: &[String]) -> Result<(), Failure> {
    cargo_with(args, &[], Shown::Everything)
}

/// The part of a program's output that the user sees.
#[derive(PartialEq)]
pub(crate) enum Shown {
    /// All output, when it comes.
    Everything,
    /// The errors, if the program fails.
    Failure,
}

/// Lets a program run in the root, and without the variables that cargo sets for this one.
fn at_home(command: &mut Command) {
    apart(command);
    if root().is_dir() {
        command.current_dir(root());
    }
}

/// Lets a program run without the variables that cargo sets for this one: they would make build scripts run again, and
/// other programs be built twice.
fn apart(command: &mut Command) {
    let ours = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
}

pub(crate) fn cargo_with(args: &[String], variables: &[(&str, &str)], shown: Shown) -> Result<(), Failure> {
    let set: String = variables.iter().map(|(name, value)| format!("{name}={value} ")).collect();
    println!("> {set}cargo {}", args.join(" "));
    let mut command = cargo_itself();
    at_home(command.args(args).envs(variables.iter().copied()));
    finish(command, shown)
}

fn cargo_itself() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Waits for cargo, whose exit code is this program's where it fails.
fn finish(mut command: Command, shown: Shown) -> Result<(), Failure> {
    if shown == Shown::Everything {
        command.stdout(Stdio::inherit()).stderr(Stdio::inherit());
    }
    let runtime = runtime::Private::where_needed();
    runtime.iter().for_each(|folder| folder.give(&mut command));
    let output = command.output().map_err(|e| Failure::new(format!("cannot run cargo: {e}")))?;
    match output.status.code() {
        Some(0) => Ok(()),
        code => {
            eprint!("{}", String::from_utf8_lossy(&output.stderr));
            let code = code.and_then(|c| u8::try_from(c).ok()).unwrap_or(1);
            Err(Failure { text: None, code })
        }
    }
}
