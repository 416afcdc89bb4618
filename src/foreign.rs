//! Every reader of bytes that others wrote, as a function of the bytes alone. Fuzzing drives these functions, and the
//! test of its seeds runs them once more; no program holds them.

use crate::{
    data::foreign as data,
    data::picture,
    models::classifier,
    run::{self, Checkpoint, Recipe, Saved},
    weights,
};
use serde::Deserialize;
use std::path::Path;

/// The seconds that a reader may take for one input.
pub const SECONDS: u64 = 10;

/// The bytes of memory that a reader may take for an input of so many bytes.
pub const fn memory(input: usize) -> u64 {
    4 * input as u64 + (64 << 20)
}

/// One reader of foreign bytes.
pub struct Reader {
    /// The name of the reader and of the folder with its seeds.
    pub name: &'static str,
    /// Makes the input that is read from the bytes that are changed: it gives them their right sums or packs them, so
    /// that the reader looks behind these.
    pub pack: fn(&[u8]) -> Vec<u8>,
    /// Reads an input and returns whether it was a good one.
    pub read: fn(&[u8]) -> bool,
}

const fn reader(name: &'static str, pack: fn(&[u8]) -> Vec<u8>, read: fn(&[u8]) -> bool) -> Reader {
    Reader { name, pack, read }
}

/// All readers.
pub const READERS: [Reader; 19] = [
    reader("idx", <[u8]>::to_vec, data::idx),
    reader("idx-gzip", data::gzip, data::idx),
    reader("cifar", <[u8]>::to_vec, data::cifar),
    reader("archive", data::summed_archive, data::archive),
    reader("archive-gzip", <[u8]>::to_vec, data::archive),
    reader("png", picture::summed, data::picture),
    reader("jpeg", <[u8]>::to_vec, data::picture),
    reader("gif", <[u8]>::to_vec, data::picture),
    reader("bmp", <[u8]>::to_vec, data::picture),
    reader("tiff", <[u8]>::to_vec, data::picture),
    reader("webp", <[u8]>::to_vec, data::picture),
    reader("pnm", <[u8]>::to_vec, data::picture),
    reader("wav", <[u8]>::to_vec, data::wav),
    reader("mask", picture::summed, mask),
    reader("weights", <[u8]>::to_vec, weights),
    reader("checkpoint", run::hashed, checkpoint),
    reader("config", <[u8]>::to_vec, config),
    reader("metrics", <[u8]>::to_vec, metrics),
    reader("answer", <[u8]>::to_vec, data::answer),
];

fn mask(bytes: &[u8]) -> bool {
    run::mask(bytes, 4, 4).is_ok()
}

/// Reads weights, also as an extractor's network.
fn weights(bytes: &[u8]) -> bool {
    weights::parse(bytes).is_ok_and(|weights| {
        let _ = classifier::Config::of_weights([8, 8, 1], &weights);
        true
    })
}

fn checkpoint(bytes: &[u8]) -> bool {
    Checkpoint::from_bytes(bytes).is_ok_and(|checkpoint| {
        let _ = checkpoint.first_bad();
        true
    })
}

/// Options of every kind that the examples have.
#[derive(Deserialize)]
struct Options {
    #[serde(flatten)]
    recipe: Recipe,
    #[serde(flatten)]
    others: toml::Table,
}

fn config(bytes: &[u8]) -> bool {
    let saved = str::from_utf8(bytes).ok().and_then(|text| Saved::<Options>::parse(text).ok());
    saved.is_some_and(|saved| saved.options.recipe.batch as usize + saved.options.others.len() > 0)
}

fn metrics(bytes: &[u8]) -> bool {
    run::curves(bytes, Path::new("metrics")).is_ok_and(|curves| {
        run::ranges(&curves);
        true
    })
}

#[cfg(test)]
mod tests;
