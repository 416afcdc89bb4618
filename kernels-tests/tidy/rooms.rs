//! The order of src's rooms: a room imports only what stands above it in the list, and the files of a room do
//! not import each other in circles.

use super::{
    imports::{Import, imports},
    rust_files, text,
};
use std::collections::{BTreeMap, BTreeSet};

/// The rooms from the ground up, which ARCHITECTURE.md's code map describes in the same order.
const ROOMS: [&str; 18] = [
    "error.rs",
    "rng.rs",
    "disk.rs",
    "kernel",
    "graph",
    "data",
    "ops",
    "plan",
    "nn",
    "optim.rs",
    "sampling.rs",
    "gpu",
    "weights.rs",
    "models",
    "train",
    "measure",
    "run",
    "foreign.rs",
];

/// Imports that close a circle all the same: (file, what it imports, why).
const CIRCLES: [(&str, &str, &str); 1] =
    [("graph/op.rs", "graph/mod.rs", "a graph holds ops, and an op records its derivative as graph")];

/// A source file: its path within src, its module's path, and what it imports.
struct File {
    name: String,
    module: Vec<String>,
    imports: Vec<Import>,
}

fn files() -> Vec<File> {
    let file = |path: String| {
        let name = path.strip_prefix("src/").expect("a file of src").to_string();
        let stem = name.strip_suffix(".rs").expect("a Rust file");
        let parts = stem.split('/').filter(|part| !["mod", "lib"].contains(part));
        let module: Vec<String> = parts.map(String::from).collect();
        let imports = imports(&text(&path), &module);
        File { name, module, imports }
    };
    rust_files("src").into_iter().map(file).collect()
}

/// The place of a module's room in [`ROOMS`].
fn room(module: &[String]) -> usize {
    let name = &module[0];
    let place = ROOMS.iter().position(|room| room.trim_end_matches(".rs") == name);
    place.unwrap_or_else(|| {
        panic!("`{name}` is no room: ROOMS in kernels-tests/tidy/rooms.rs gives it its place")
    })
}

#[test]
fn rooms_import_only_what_stands_above_them() {
    let (files, mut seen, mut wrong) = (files(), 0, vec![]);
    for file in files.iter().filter(|f| !f.module.is_empty()) {
        let own = room(&file.module);
        for Import { line, path, .. } in file.imports.iter().filter(|import| !import.path.is_empty()) {
            let other = room(path);
            seen += usize::from(other < own);
            if other > own {
                let (name, path) = (&file.name, path.join("::"));
                wrong.push(format!("src/{name}:{line}: {} imports {path} of {}", ROOMS[own], ROOMS[other]));
            }
        }
    }
    assert!(seen > 500, "only {seen} imports were found");
    assert!(wrong.is_empty(), "{} imports run up:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_code_map_has_the_rooms_order() {
    let document = text("ARCHITECTURE.md");
    let map = document.split("\n## ").find(|section| section.starts_with("Code map")).expect("a code map");
    let first = map.lines().filter_map(|line| line.strip_prefix("| `src/")?.split(" |").next());
    let rooms: Vec<&str> = first.flat_map(|cell| cell.split("`, `src/")).collect();
    let rooms: Vec<&str> = rooms.iter().map(|room| room.trim_end_matches(['`', '/'])).collect();
    assert_eq!(rooms, ROOMS);
}

/// The file of the longest module on this path; a name that a file only passes on leads to the file that
/// makes it.
fn target<'a>(files: &'a [File], path: &[String]) -> Option<&'a File> {
    let of = |n: usize| files.iter().find(|f| f.module == path[..n]);
    let (n, file) = (1..=path.len()).rev().find_map(|n| Some((n, of(n)?)))?;
    let passes = |import: &&Import| import.passed_on && import.path.last() == path.get(n);
    match file.imports.iter().find(passes) {
        Some(import) if import.path != path => target(files, &import.path),
        _ => Some(file),
    }
}

/// The files of its own room that each file imports.
fn neighbours(files: &[File]) -> BTreeMap<&str, BTreeMap<&str, usize>> {
    let of = |file: &File| {
        let (mut found, used) = (BTreeMap::new(), file.imports.iter().filter(|import| import.used));
        for import in used.filter(|import| import.path.first() == file.module.first()) {
            let target = target(files, &import.path).filter(|target| target.name != file.name);
            target
                .into_iter()
                .for_each(|target| _ = found.entry(target.name.as_str()).or_insert(import.line));
        }
        found
    };
    files.iter().map(|file| (file.name.as_str(), of(file))).collect()
}

/// Whether imports lead from one file to another.
fn leads(neighbours: &BTreeMap<&str, BTreeMap<&str, usize>>, from: &str, to: &str) -> bool {
    let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(next) = open.pop() {
        open.extend(neighbours[next].keys().filter(|&&name| seen.insert(name)));
    }
    seen.contains(to)
}

#[test]
fn files_of_a_room_import_each_other_in_no_circle() {
    let files = files();
    let mut neighbours = neighbours(&files);
    let needed = |&(file, other, _): &(&str, &str, &str)| {
        let imports = neighbours.get(file).is_some_and(|imported| imported.contains_key(other));
        imports && leads(&neighbours, other, file)
    };
    let stale: Vec<_> = CIRCLES.iter().filter(|circle| !needed(circle)).collect();
    assert!(stale.is_empty(), "CIRCLES lists what is no circle: {stale:?}");
    for (file, other, _) in CIRCLES {
        neighbours.get_mut(file).map(|imported| imported.remove(other));
    }
    let mut wrong = vec![];
    for (&file, imported) in &neighbours {
        for (&other, line) in imported.iter().filter(|(other, _)| leads(&neighbours, other, file)) {
            wrong.push(format!("src/{file}:{line}: imports {other}, which leads back"));
        }
    }
    assert!(wrong.is_empty(), "{} imports are part of circles:\n{}", wrong.len(), wrong.join("\n"));
}
