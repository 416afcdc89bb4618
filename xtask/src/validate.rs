//! Validators that are not ours read all shaders and all pipelines of the benchmark's models: naga, which translates
//! the pipelines for Vulkan, DirectX 12 and Metal, then those readers of its texts that are found or can be had. What
//! is skipped is named.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Failure, root, setup, tool};

/// What compiles WGSL by Tint, for Node.js with the package `webgpu`.
const TINT: &str = include_str!("validate/tint.mjs");
/// The version of the package. Another may refuse more.
const WEBGPU: &str = "webgpu@0.6.2";
/// A program that compiles HLSL by DXC, with the headers and the library of the Python source package [`SHADERS`].
const DXC: &str = include_str!("validate/dxc.cpp");
/// The only package for Linux that brings DXC as a library, and its version.
const SHADERS: &str = "compushady-0.17.5";
/// A stand-in for Metal's library, by which a C++ compiler checks the types.
const METAL: &str = include_str!("validate/metal_stdlib");

/// Runs every validator that there is.
///
/// # Errors
/// A shader or a pipeline that one of them refuses.
pub(crate) fn run() -> Result<(), Failure> {
    let folder = root().join("target/validate");
    let dump = folder.join("dump");
    let unwritable = |e| Failure::new(format!("cannot write {}: {e}", folder.display()));
    // Pipelines of an earlier run are gone.
    if dump.exists() {
        fs::remove_dir_all(&dump).map_err(unwritable)?;
    }
    fs::create_dir_all(&folder).map_err(unwritable)?;
    tool("offline", &["--dump".into(), dump.display().to_string()])?;
    let spirv = files(&dump, "spv")?;
    println!("naga: {}, 0 refused", counted(&spirv));
    let spirv_good = spirv_val(&spirv)?;
    let tint_good = tint(&folder, &dump)?;
    let dxc_good = dxc(&folder, &files(&dump, "hlsl")?)?;
    let metal_good = metal(&folder, &files(&dump, "metal")?)?;
    let good = spirv_good && tint_good && dxc_good && metal_good;
    if good { Ok(()) } else { Err(Failure::new("some are refused, as told above")) }
}

/// Writes a file of ours beside what it is for, and returns where.
fn put(folder: &Path, name: &str, text: &str) -> Result<PathBuf, Failure> {
    let path = folder.join(name);
    let made = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, text));
    made.map(|()| path.clone()).map_err(|e| Failure::new(format!("cannot write {}: {e}", path.display())))
}

/// The files of a folder with this ending, in order.
fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>, Failure> {
    let entries =
        fs::read_dir(folder).map_err(|e| Failure::new(format!("cannot read {}: {e}", folder.display())))?;
    let paths = entries.flatten().map(|entry| entry.path());
    let mut found: Vec<_> = paths.filter(|path| path.extension().is_some_and(|e| e == ending)).collect();
    found.sort();
    Ok(found)
}

/// Counts the entry points of the shaders' files, which `offline --dump` names so, and the pipelines of models.
fn counted(texts: &[PathBuf]) -> String {
    let of_file =
        |path: &&PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("file-"));
    let files = texts.iter().filter(of_file).count();
    format!("{files} entry points of files and {} pipelines of models", texts.len() - files)
}

fn there(program: &str) -> bool {
    let quiet = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet.is_ok_and(|status| status.success())
}

/// Whether spirv-val accepts the modules.
fn spirv_val(modules: &[PathBuf]) -> Result<bool, Failure> {
    if let Some(e) = (!there("spirv-val")).then(setup::spirv).and_then(Result::err) {
        let why = e.text.unwrap_or_default();
        println!("spirv-val: skipped, since it is not on PATH: {}", why.replace('\n', " "));
        return Ok(true);
    }
    let mut refused = 0;
    for module in modules {
        let mut command = Command::new("spirv-val");
        let status = command.args(["--target-env", "vulkan1.3"]).arg(module).status();
        let good = status.map_err(|e| Failure::new(format!("cannot run spirv-val: {e}")))?.success();
        if !good {
            println!("{}: refused", module.display());
            refused += 1;
        }
    }
    println!("spirv-val: {}, {refused} refused", counted(modules));
    Ok(refused == 0)
}

/// Whether Tint accepts the shaders that a browser gets, and the pipelines.
fn tint(folder: &Path, dump: &Path) -> Result<bool, Failure> {
    let script = put(folder, "tint.mjs", TINT)?;
    let had = || {
        let npm = Command::new("npm")
            .args(["install", "--silent", "--fetch-retries=0", "--prefix"])
            .arg(folder)
            .arg(WEBGPU)
            .status();
        npm.is_ok_and(|status| status.success())
    };
    // A mark, since an installation that was cut off leaves the package's folder.
    let mark = folder.join(WEBGPU);
    if !there("node") || !(mark.is_file() || (had() && fs::write(&mark, "").is_ok())) {
        println!("Tint: skipped, since Node.js with npm's package {WEBGPU} could not be had");
        return Ok(true);
    }
    // WGSL has no 64-bit integers and asks for subgroups by a line that naga does not know: no browser gets these.
    let all = files(&root().join("shaders"), "wgsl")?;
    let native = |path: &PathBuf| path.file_stem().is_some_and(|stem| stem.to_string_lossy().contains('.'));
    let (native, portable): (Vec<_>, Vec<_>) = all.into_iter().partition(native);
    let names: Vec<_> = native.iter().filter_map(|path| path.file_name()?.to_str()).collect();
    println!("Tint: not asked about {}, which need extensions of naga's", names.join(", "));
    let mut command = Command::new("node");
    command.current_dir(folder).arg(&script).arg(dump.join("launches.json")).args(portable);
    let status = command.status().map_err(|e| Failure::new(format!("cannot run node: {e}")))?;
    Ok(status.success())
}

/// Says what a reader thinks that names each text that it refuses itself.
fn told(reader: &str, texts: &[PathBuf], good: bool) {
    println!("{reader}: {}, {} refused", counted(texts), if good { "none" } else { "those above" });
}

/// Whether DXC accepts the HLSL.
fn dxc(folder: &Path, texts: &[PathBuf]) -> Result<bool, Failure> {
    let source = put(folder, "dxc.cpp", DXC)?;
    let (parts, program) = (folder.join(SHADERS).join("compushady/backends"), folder.join("dxc"));
    let library = parts.join(format!("libdxcompiler_{}.so.3.7", std::env::consts::ARCH));
    let ran = |command: &mut Command| {
        let quiet = command.current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null()).status();
        quiet.is_ok_and(|status| status.success())
    };
    let had = || {
        let words = ["-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"];
        ran(Command::new("python3").args(words).arg(SHADERS.replace('-', "==")))
            && ran(Command::new("tar").args(["-xzf", &format!("{SHADERS}.tar.gz")]))
    };
    let built =
        || ran(Command::new("c++").args(["-w", "-I"]).args([&parts, &source]).arg("-o").args([&program]));
    let usable = (library.is_file() || had()) && library.is_file() && built();
    if !usable {
        println!(
            "DXC: skipped, since Python's package {SHADERS} could not be had, or c++ does not compile its caller"
        );
        return Ok(true);
    }
    // A second a pipeline: each core takes its share.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let share = texts.len().div_ceil(cores).max(1);
    let begin = |texts: &[PathBuf]| Command::new(&program).arg(&library).args(texts).spawn();
    let cannot = |e| Failure::new(format!("cannot run {}: {e}", program.display()));
    let running: Vec<_> = texts.chunks(share).map(begin).collect::<Result<_, _>>().map_err(cannot)?;
    let mut good = true;
    for mut one in running {
        good &= one.wait().map_err(cannot)?.success();
    }
    told("DXC", texts, good);
    Ok(good)
}

/// Whether the types of the MSL are right, as far as g++ can tell with a stand-in for Metal's library.
fn metal(folder: &Path, texts: &[PathBuf]) -> Result<bool, Failure> {
    put(folder, "metal/metal_stdlib", METAL)?;
    put(folder, "metal/simd/simd.h", "")?;
    if !there("g++") {
        println!("MSL: skipped, since g++ is not on PATH (Debian: g++)");
        return Ok(true);
    }
    let words = ["-std=c++20", "-fsyntax-only", "-w", "-fsingle-precision-constant", "-x", "c++", "-I"];
    let status = Command::new("g++").args(words).arg(folder.join("metal")).args(texts).status();
    let good = status.map_err(|e| Failure::new(format!("cannot run g++: {e}")))?.success();
    told("MSL, its types", texts, good);
    Ok(good)
}
