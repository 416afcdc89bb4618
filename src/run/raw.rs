//! Numbers for other programs: pictures and scores as arrays of safetensors or of NumPy.

use crate::{
    disk::write_atomic,
    error::{Error, Result},
};
use clap::Args;
use safetensors::{Dtype, tensor::TensorView};
use std::path::{Path, PathBuf};

/// An array: its name, its shape, and its elements in row-major order.
pub type Numbers<'a> = (&'a str, Vec<usize>, &'a [f32]);

/// The option that asks for numbers beside pictures and tables.
#[derive(Args, Clone, Debug, Default)]
pub struct Raw {
    /// Also write pictures and scores as numbers (f32): a .safetensors file of all arrays by their names, or a
    /// .npy file of the first
    #[arg(long, value_name = "FILE", value_parser = known)]
    raw: Option<PathBuf>,
}

impl Raw {
    /// Whether numbers were asked for.
    pub fn asked(&self) -> bool {
        self.raw.is_some()
    }

    /// Writes the arrays into the file that was asked for, if one was, and prints what it holds.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn write(&self, arrays: &[Numbers<'_>]) -> Result<()> {
        let Some(path) = &self.raw else { return Ok(()) };
        let held = if is_npy(path) { &arrays[..1] } else { arrays };
        let bytes = if is_npy(path) { npy(&arrays[0]) } else { safetensors(arrays)? };
        write_atomic(path, &bytes)?;
        let held: Vec<_> = held.iter().map(|(name, shape, _)| format!("{name} {shape:?}")).collect();
        say!("{}: {}", path.display(), held.join(", "));
        Ok(())
    }
}

fn is_npy(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "npy")
}

/// Parses a path whose ending says what the file is, for clap.
fn known(text: &str) -> std::result::Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match is_npy(&path) || path.extension().is_some_and(|e| e == "safetensors") {
        true => Ok(path),
        false => Err("wants a name that ends in .safetensors or .npy".into()),
    }
}

fn safetensors(arrays: &[Numbers<'_>]) -> Result<Vec<u8>> {
    let views = arrays.iter().map(|(name, shape, values)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytemuck::cast_slice(values));
        Ok((*name, view.map_err(|e| Error::State(format!("{name}: {e}")))?))
    });
    let views = views.collect::<Result<Vec<_>>>()?;
    safetensors::serialize(views, None).map_err(|e| Error::State(e.to_string()))
}

/// A file of NumPy's format 1.0: a magic string, a header padded to a multiple of 64 bytes, and the elements.
fn npy((_, shape, values): &Numbers<'_>) -> Vec<u8> {
    let extents = shape.iter().map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    // Python's tuple of one number ends in a comma.
    let extents = if shape.len() == 1 { extents + "," } else { extents };
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({extents}), }}");
    let length = (10 + header.len() + 1).next_multiple_of(64) - 10;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((length as u16).to_le_bytes());
    bytes.extend(format!("{header:<width$}\n", width = length - 1).bytes());
    bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes are those of `np.save` (NumPy 2.4) for the same arrays.
    #[test]
    fn npy_files_are_numpys() {
        for (shape, text) in [(vec![2, 3], "(2, 3)"), (vec![6], "(6,)"), (vec![1, 2, 3, 1], "(1, 2, 3, 1)")] {
            let values = [0.5, -1.0, 2.0, 3.0, 4.0, 5.0];
            let bytes = npy(&("a", shape.clone(), &values));
            let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {text}, }}");
            assert_eq!(bytes[..10], *b"\x93NUMPY\x01\x00\x76\x00");
            assert_eq!(
                std::str::from_utf8(&bytes[10..128]).unwrap(),
                format!("{header:<117}\n"),
                "{shape:?}"
            );
            assert_eq!(bytes[128..], *bytemuck::cast_slice::<f32, u8>(&values));
        }
    }

    #[test]
    fn other_endings_are_refused() {
        assert!(known("a.npy").is_ok() && known("b/c.safetensors").is_ok());
        assert!(known("a.npz").unwrap_err().contains(".npy"));
    }
}
