//! The properties of this machine. Finding them out changes nothing on it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::plan::{Driver, Mpi, Os, Packages, System};

const LOADER: &str = "libvulkan.so.1";
/// The variables that limit the loader to the drivers they name. The first is the newer name.
const RESTRICTING: [&str; 2] = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"];
/// The names under which systems have Chromium, one a line.
pub(crate) const BROWSERS: &str = include_str!("../browsers.txt");
const LIBRARY_DIRS: [&str; 7] = [
    "/lib",
    "/usr/lib",
    "/lib64",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
];

/// Finds out everything on which the set-up depends.
pub(crate) fn system() -> System {
    let os = match env::consts::OS {
        "macos" => Os::Mac,
        "windows" => Os::Windows,
        "linux" => Os::Linux,
        _ => Os::Other,
    };
    let cache = if os == Os::Linux { linker_cache() } else { String::new() };
    let restricted_by =
        RESTRICTING.into_iter().find(|name| env::var_os(name).is_some_and(|value| !value.is_empty()));
    let manifests = manifests(restricted_by);
    System {
        os,
        loader: library_exists(Path::new(LOADER), &cache),
        drivers: manifests.iter().filter_map(|path| driver(path, &cache)).collect(),
        restricted_by,
        gpu: gpu(),
        packages: packages(),
        root: output("id", &["-u"]).is_some_and(|id| id.trim() == "0"),
        sudo: program_exists("sudo"),
    }
}

/// Finds out what ranks that are processes need.
pub(crate) fn mpi() -> Mpi {
    let open = output("mpirun", &["--version"]).is_some_and(|text| text.contains("Open MPI"));
    Mpi { programs: open && program_exists("mpicc"), libclang: libclang() }
}

/// Whether there is a libclang where the bindings' generator looks for one.
fn libclang() -> bool {
    let of_llvm = output("llvm-config", &["--libdir"]).map(|dir| PathBuf::from(dir.trim()));
    let versions =
        fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path().join("lib"));
    let named = env::var_os("LIBCLANG_PATH").map(PathBuf::from);
    let dirs = LIBRARY_DIRS.map(PathBuf::from).into_iter().chain(versions).chain(of_llvm).chain(named);
    let library = |name: &str| {
        let rest = name.strip_prefix("libclang").filter(|rest| !rest.starts_with("-cpp"));
        rest.is_some_and(|rest| rest.contains(".so") || rest == ".dylib")
    };
    let holds = |dir: PathBuf| {
        fs::read_dir(dir).is_ok_and(|mut entries| {
            entries.any(|entry| entry.is_ok_and(|entry| library(&entry.file_name().to_string_lossy())))
        })
    };
    dirs.into_iter().any(holds)
}

fn gpu() -> bool {
    let render = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with("renderD");
    let nodes = fs::read_dir("/dev/dri").into_iter().flatten().flatten();
    nodes.into_iter().any(render) || Path::new("/dev/nvidia0").exists()
}

fn packages() -> Option<Packages> {
    let known = [("apt-get", Packages::Apt), ("dnf", Packages::Dnf), ("pacman", Packages::Pacman)];
    known.into_iter().find(|(name, _)| program_exists(name)).map(|(_, packages)| packages)
}

/// The manifests that the loader would read: those in its folders, or those that the variable names.
fn manifests(restricted_by: Option<&str>) -> Vec<PathBuf> {
    let listed = |name: &str| match env::var_os(name) {
        Some(value) => env::split_paths(&value).collect(),
        None => Vec::new(),
    };
    let places = match restricted_by {
        Some(name) => listed(name),
        None => {
            let mut roots: Vec<PathBuf> =
                ["/usr/share", "/etc", "/usr/local/share"].map(PathBuf::from).to_vec();
            roots.extend(env::var_os("XDG_DATA_HOME").map(PathBuf::from));
            roots.extend(env::home_dir().map(|home| home.join(".local/share")));
            roots.extend(listed("XDG_DATA_DIRS"));
            roots.into_iter().map(|root| root.join("vulkan/icd.d")).collect()
        }
    };
    let mut found = Vec::new();
    for place in places {
        match fs::read_dir(&place) {
            Ok(entries) => found.extend(entries.flatten().map(|entry| entry.path())),
            Err(_) => found.push(place),
        }
    }
    found.retain(|path| path.is_file() && path.extension().is_some_and(|e| e == "json"));
    found.sort();
    found.dedup();
    found
}

/// The kind of the driver behind a manifest; `None` if this program cannot load it.
fn driver(manifest: &Path, cache: &str) -> Option<Driver> {
    let text = fs::read_to_string(manifest).ok()?;
    let name = manifest.file_name()?.to_string_lossy().into_owned();
    if foreign(&name) {
        return None;
    }
    let library = PathBuf::from(library_path(&text)?);
    // A path that contains a folder is relative to the manifest; a name alone is searched for.
    let library = match library.components().count() {
        1 => library,
        _ => manifest.parent()?.join(library),
    };
    let kind = if name.starts_with("lvp_icd") { Driver::Software } else { Driver::Hardware };
    library_exists(&library, cache).then_some(kind)
}

/// Whether the name of a manifest says that it is for 32-bit programs.
fn foreign(name: &str) -> bool {
    cfg!(target_pointer_width = "64") && ["i386", "i586", "i686"].iter().any(|a| name.contains(a))
}

/// The value of `"library_path"`, the only entry of a manifest that is needed.
fn library_path(json: &str) -> Option<&str> {
    let (_, after) = json.split_once("\"library_path\"")?;
    let (_, value) = after.trim_start().strip_prefix(':')?.split_once('"')?;
    value.split('"').next()
}

fn library_exists(library: &Path, cache: &str) -> bool {
    if library.components().count() > 1 {
        return library.exists();
    }
    let preferred = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let mut dirs = env::split_paths(&preferred).chain(LIBRARY_DIRS.map(PathBuf::from));
    cache_holds(cache, &library.to_string_lossy()) || dirs.any(|dir| dir.join(library).exists())
}

/// Whether `ldconfig -p` lists the library, and its file exists.
fn cache_holds(cache: &str, library: &str) -> bool {
    cache.lines().any(|line| {
        let Some((name, path)) = line.split_once(" => ") else {
            return false;
        };
        let other_width = cfg!(target_pointer_width = "64") && !name.contains("64");
        let same = name.split_whitespace().next() == Some(library);
        same && !other_width && Path::new(path).exists()
    })
}

fn linker_cache() -> String {
    // On Debian, ldconfig is not in the search path of ordinary users.
    let programs = ["ldconfig", "/sbin/ldconfig", "/usr/sbin/ldconfig"];
    programs.into_iter().find_map(|program| output(program, &["-p"])).unwrap_or_default()
}

fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a program of this name is on `PATH`.
pub(crate) fn program_exists(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|dir| dir.join(name).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(test: &str, name: &str, library: &str) -> PathBuf {
        let dir = env::temp_dir().join(format!("xtask-{test}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join(name);
        fs::write(&path, format!("{{ \"ICD\": {{ \"library_path\" : \"{library}\" }} }}")).unwrap();
        path
    }

    #[test]
    fn a_manifest_counts_where_its_library_exists() {
        let path = manifest("driver", "lvp_icd.x86_64.json", "./libvulkan_lvp.so");
        assert_eq!(driver(&path, ""), None);
        fs::write(path.with_file_name("libvulkan_lvp.so"), "").unwrap();
        assert_eq!(driver(&path, ""), Some(Driver::Software));
        let radeon = manifest("driver", "radeon_icd.json", "./libvulkan_lvp.so");
        assert_eq!(driver(&radeon, ""), Some(Driver::Hardware));
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_32_bit_manifest_does_not_count() {
        let path = manifest("foreign", "lvp_icd.i686.json", "./there.so");
        fs::write(path.with_file_name("there.so"), "").unwrap();
        assert_eq!(driver(&path, ""), None);
    }

    #[test]
    fn a_manifest_without_a_library_does_not_count() {
        assert_eq!(library_path("{ \"ICD\": {} }"), None);
        assert_eq!(library_path("not json"), None);
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn the_linker_cache_is_read_by_whole_names_of_this_width() {
        let there = env::current_exe().unwrap();
        let line = |kind: &str| format!("\tliba.so.1 ({kind}) => {}\n", there.display());
        assert!(cache_holds(&line("libc6,x86-64"), "liba.so.1"));
        assert!(cache_holds(&line("libc6,AArch64"), "liba.so.1"));
        assert!(!cache_holds(&line("libc6"), "liba.so.1"));
        assert!(!cache_holds(&line("libc6,x86-64"), "liba.so"));
        assert!(!cache_holds("\tliba.so.1 (libc6,x86-64) => /absent/liba.so.1\n", "liba.so.1"));
    }
}
