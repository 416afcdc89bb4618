//! A second driver for the tests: SwiftShader, Chromium's Vulkan driver for the CPU. Its subgroups have four
//! invocations where Mesa's software driver has eight, so that the planner chooses other kernels on it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Failure, root};

/// The driver's manifest, beside its library.
const MANIFEST: &str = "vk_swiftshader_icd.json";
const LIBRARY: &str = "libvk_swiftshader.so";
/// The variables that make the Vulkan loader take this driver alone: the newer name, and the older.
const VARIABLES: [&str; 2] = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"];
/// Where browsers that are installed keep the driver.
const BROWSERS: [&str; 4] =
    ["/usr/lib/chromium", "/usr/lib64/chromium-browser", "/opt/google/chrome", "/usr/lib/chromium-browser"];
/// What runs on the second driver unless the user names tests: kernels, random graphs, sampling, trajectories.
const TESTS: [&str; 4] = ["ops::", "engine::dag", "engine::sampling", "models::"];

/// What was typed after `test`.
#[derive(Debug, PartialEq)]
pub(crate) struct Asked {
    /// Whether the tests run on SwiftShader.
    pub(crate) swiftshader: bool,
    /// The rest, for `cargo test`.
    pub(crate) rest: Vec<String>,
}

impl Asked {
    /// Takes `--driver NAME` out of the options before a `--`.
    pub(crate) fn parse(typed: &[String]) -> Result<Self, Failure> {
        let end = typed.iter().position(|a| a == "--").unwrap_or(typed.len());
        let Some(at) = typed[..end].iter().position(|a| a == "--driver" || a.starts_with("--driver=")) else {
            return Ok(Self { swiftshader: false, rest: typed.to_vec() });
        };
        let (name, length) = match typed[at].split_once('=') {
            Some((_, name)) => (Some(name), 1),
            None => (typed[..end].get(at + 1).map(String::as_str), 2),
        };
        if name != Some("swiftshader") {
            return Err(Failure::new(
                "test: --driver knows `swiftshader`; without it, the system's driver is used",
            ));
        }
        let rest = [&typed[..at], &typed[at + length..]].concat();
        Ok(Self { swiftshader: true, rest })
    }

    /// The arguments of cargo, of which some turn on features.
    pub(crate) fn cargo(&self, features: &[String]) -> Vec<String> {
        let words = |words: &[&str]| words.iter().map(|word| word.to_string()).collect::<Vec<_>>();
        let workspace = [words(&["test", "--release", "--workspace"]), features.to_vec()].concat();
        if !self.swiftshader {
            return [workspace, self.rest.clone()].concat();
        }
        let mut all = [workspace, words(&["--test", "kernels-tests"]), self.rest.clone()].concat();
        let end = self.rest.iter().position(|a| a == "--");
        // Names of tests may stand on either side of `--`; a number is an option's value.
        let name = |word: &String| !word.starts_with('-') && word.parse::<u32>().is_err();
        if !self.rest.iter().any(name) {
            all.extend(end.is_none().then(|| "--".into()));
            all.extend(words(&TESTS));
        }
        all
    }
}

/// Finds the driver, or fetches it into `target/swiftshader`, and returns the variables that choose it.
pub(crate) fn swiftshader() -> Result<[(&'static str, String); 2], Failure> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        let other = "to test another driver, set VK_DRIVER_FILES to its manifest";
        return Err(Failure::new(format!("SwiftShader can be had for Linux on x86-64 only; {other}")));
    }
    let kept = root().join("target/swiftshader");
    let places = BROWSERS.iter().map(PathBuf::from).chain([kept.clone()]);
    let found = places.into_iter().find(|place| whole(place));
    let folder = found.map_or_else(|| fetch(&kept).map(|()| kept), Ok)?;
    let manifest = folder.join(MANIFEST).display().to_string();
    println!("driver: SwiftShader of {}", folder.display());
    Ok(VARIABLES.map(|name| (name, manifest.clone())))
}

fn whole(folder: &Path) -> bool {
    [MANIFEST, LIBRARY].iter().all(|name| folder.join(name).is_file())
}

/// The ways to the driver's files. Each is a shell script that leaves them in the folder `to`.
const WAYS: [[&str; 2]; 2] = [
    [
        "Debian's package chromium-common (32 MB; it is unpacked, not installed)",
        "apt-get download chromium-common && dpkg-deb -x chromium-common_*.deb . && \
         cp usr/lib/chromium/*vk_swiftshader* \"$to\"",
    ],
    [
        "npm's package @sparticuz/chromium (70 MB)",
        "npm pack --silent @sparticuz/chromium && tar -xzf sparticuz-chromium-*.tgz && node -e \"process.stdout.write(\
         require('zlib').brotliDecompressSync(require('fs').readFileSync('package/bin/swiftshader.tar.br')))\" \
         | tar -x -C \"$to\" libvk_swiftshader.so vk_swiftshader_icd.json",
    ],
];

fn fetch(to: &Path) -> Result<(), Failure> {
    let unwritable = |e| Failure::new(format!("cannot write {}: {e}", to.display()));
    let work = to.join("fetched");
    for [what, script] in WAYS {
        std::fs::create_dir_all(&work).map_err(unwritable)?;
        println!("driver: fetching SwiftShader from {what}\n> {script}");
        let shell = Command::new("sh")
            .args(["-c", &format!("set -e; {script}")])
            .current_dir(&work)
            .env("to", to)
            .status();
        std::fs::remove_dir_all(&work).map_err(unwritable)?;
        if shell.is_ok_and(|status| status.success()) && whole(to) {
            return Ok(());
        }
    }
    let advice = "install the package `chromium`, or npm, and try again";
    Err(Failure::new(format!("SwiftShader could not be fetched; {advice}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(typed: &str) -> Result<Asked, Failure> {
        Asked::parse(&typed.split_whitespace().map(String::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_driver_is_taken_out_and_the_rest_passed_on() {
        let words = |typed: &str| parse(typed).unwrap().cargo(&[]).join(" ");
        assert_eq!(words("vae -- --nocapture"), "test --release --workspace vae -- --nocapture");
        assert_eq!(words("-- --driver"), "test --release --workspace -- --driver");
        let mpi = ["--features", "oneiro/mpi"].map(String::from);
        let with = parse("vae").unwrap().cargo(&mpi).join(" ");
        assert_eq!(with, "test --release --workspace --features oneiro/mpi vae");
        let second = "test --release --workspace --test kernels-tests";
        assert_eq!(words("--driver swiftshader"), format!("{second} -- {}", TESTS.join(" ")));
        assert_eq!(words("--driver=swiftshader conv2d"), format!("{second} conv2d"));
        let shown = words("--driver swiftshader -- --nocapture");
        assert_eq!(shown, format!("{second} -- --nocapture {}", TESTS.join(" ")));
        let named = words("--driver swiftshader -- --test-threads 2 conv2d");
        assert_eq!(named, format!("{second} -- --test-threads 2 conv2d"));
        assert!(parse("--driver").is_err() && parse("--driver lavapipe").is_err());
    }
}
