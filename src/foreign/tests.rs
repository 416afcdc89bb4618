//! The seeds of the fuzzing, which are valid inputs and those that once broke a reader, and inputs that are larger than
//! any that the fuzzer makes.

use super::*;
use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

fn seeds(reader: &Reader) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels-tests/fuzz/seeds").join(reader.name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Reads an input within the bounds, and returns whether it is a good one.
fn read(reader: &Reader, bytes: &[u8], what: &str) -> bool {
    let (input, began) = ((reader.pack)(bytes), Instant::now());
    let mut good = false;
    let taken = allocation_counter::measure(|| good = (reader.read)(&input)).bytes_max;
    let (name, time, size) = (reader.name, began.elapsed(), input.len());
    assert!(taken <= memory(size), "{name}, {what}: {taken} bytes of memory for {size} of input");
    assert!(time <= Duration::from_secs(SECONDS), "{name}, {what}: {time:?}");
    good
}

#[test]
fn seeds_are_read_within_time_and_memory() {
    let mut all = 0;
    for reader in &READERS {
        let mut good = 0;
        for (path, bytes) in seeds(reader) {
            all += bytes.len();
            good += usize::from(read(reader, &bytes, &path.display().to_string()));
        }
        assert!(good > 0, "no seed of {} is a good input", reader.name);
    }
    assert!(all < 1 << 20, "the seeds take {all} bytes; they are to stay below 1 MiB");
}

#[test]
fn large_inputs_are_read_within_time_and_memory() {
    let shaped = |axes: usize| {
        let shape = "1,".repeat(axes);
        let header = format!(r#"{{"a":{{"dtype":"F32","shape":[{shape}1],"data_offsets":[0,4]}}}}"#);
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[0; 4]].concat()
    };
    let line = |from: usize, names: usize| {
        let values: String = (from..from + names).map(|i| format!(",\"{i}\":1")).collect();
        format!("{{\"step\":1{values}}}\n")
    };
    for (name, good, bytes) in [
        ("weights", true, shaped(500_000)),
        ("weights", false, shaped(20_000_000)),
        ("checkpoint", false, shaped(20_000_000)),
        ("config", false, format!("a = [{}]", "[],".repeat(4 << 20)).into_bytes()),
        ("metrics", true, line(0, 1).repeat(1 << 20).into_bytes()),
        ("metrics", true, line(0, 9).repeat(1 << 19).into_bytes()),
        ("metrics", false, (0..1 << 19).map(|i| line(9 * i, 9)).collect::<String>().into_bytes()),
        ("metrics", false, format!("{{\"step\":1,\"a\":[{}1]}}\n", "[],".repeat(8 << 20)).into_bytes()),
    ] {
        let reader = READERS.iter().find(|reader| reader.name == name).unwrap();
        assert_eq!(read(reader, &bytes, &format!("{} bytes", bytes.len())), good, "{name}");
    }
}
