//! The seeds of the fuzzing: valid inputs, and those that once broke a reader.

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

#[test]
fn seeds_are_read_within_time_and_memory() {
    let (mut all, mut failures) = (0, vec![]);
    for reader in &READERS {
        let mut good = 0;
        for (path, bytes) in seeds(reader) {
            all += bytes.len();
            let (input, began) = ((reader.pack)(&bytes), Instant::now());
            let mut read = false;
            let taken = allocation_counter::measure(|| read = (reader.read)(&input)).bytes_max;
            good += usize::from(read);
            if taken > memory(input.len()) || began.elapsed() > Duration::from_secs(SECONDS) {
                failures.push(format!("{}: {taken} bytes, {:?}", path.display(), began.elapsed()));
            }
        }
        assert!(good > 0, "no seed of {} is a good input", reader.name);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(all < 1 << 20, "the seeds take {all} bytes; they are to stay below 1 MiB");
}
