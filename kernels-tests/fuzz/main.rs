//! Fuzzing of one reader, the one that `ONEIRO_READER` names, within the bounds on its memory; libFuzzer bounds its
//! time. `cargo xtask figures --fuzz` gives each reader its turn.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oneiro::foreign::{READERS, Reader, memory};
use std::sync::LazyLock;

static READER: LazyLock<&Reader> = LazyLock::new(|| {
    let name = std::env::var("ONEIRO_READER").unwrap_or_default();
    let names = READERS.iter().map(|reader| reader.name).collect::<Vec<_>>().join(", ");
    READERS
        .iter()
        .find(|reader| reader.name == name)
        .unwrap_or_else(|| panic!("ONEIRO_READER is one of {names}"))
});

/// libFuzzer's hook ends the process at every panic, also at a decoder's, which a reader turns into an error. A panic
/// that leaves a reader ends it all the same.
static HOOK: LazyLock<()> = LazyLock::new(|| drop(std::panic::take_hook()));

fuzz_target!(|bytes: &[u8]| {
    LazyLock::force(&HOOK);
    let input = (READER.pack)(bytes);
    let taken = allocation_counter::measure(|| drop((READER.read)(&input))).bytes_max;
    assert!(taken <= memory(input.len()), "{taken} bytes of memory for {} of input", input.len());
});
