//! Weights as safetensors files, with PyTorch's names and layouts.
//!
//! Loading is strict, as `load_state_dict` is: [`apply`] refuses a file whose names are not exactly those
//! asked for. [`apply_partial`] takes what fits and tells what was left.

use crate::{
    error::{Error, Result},
    gpu::{Gpu, Promise, State},
    graph::{
        shape::{DType, Type},
        var::FileLayout,
    },
};
use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    path::Path,
};

/// The number of names that a message lists before it only counts.
const LISTED: usize = 6;

/// The tensors of a file by their names: shapes and elements, in PyTorch's layouts.
pub type Weights = HashMap<String, (Vec<usize>, Vec<f32>)>;

/// How the names in a weights file compare with the names that a model asks for. Each list is sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fit {
    /// The names that both have.
    pub taken: Vec<String>,
    /// The names that the model asks for and the file lacks.
    pub missing: Vec<String>,
    /// The names that only the file has.
    pub unexpected: Vec<String>,
}

impl Fit {
    /// Compares the names that a model asks for with those of a file.
    pub fn of(names: &[String], weights: &Weights) -> Self {
        let (asked, found) = (BTreeSet::from_iter(names), BTreeSet::from_iter(weights.keys()));
        let [taken, missing, unexpected] =
            [&asked & &found, &asked - &found, &found - &asked].map(|set| set.into_iter().cloned().collect());
        Self { taken, missing, unexpected }
    }

    /// Demands that file and model have the same names; `path` is named in the error.
    ///
    /// # Errors
    /// A missing or an unexpected name. The error lists both.
    pub fn strict(&self, path: &Path) -> Result<()> {
        if self.missing.is_empty() && self.unexpected.is_empty() {
            return Ok(());
        }
        let (missing, unexpected) = (listed(&self.missing), listed(&self.unexpected));
        let what = format!("does not fit the model: missing {missing}; unexpected {unexpected}");
        Err(bad(
            path,
            format!(
                "{what}; give the model the file's options, or rename the file's tensors as the model names them, or \
                 load only what fits (partially)"
            ),
        ))
    }

    /// Demands that file and model have a name in common; `path` is named in the error.
    ///
    /// # Errors
    /// No name that both have. The error lists those of each.
    pub fn some(&self, path: &Path) -> Result<()> {
        if !self.taken.is_empty() {
            return Ok(());
        }
        let (asked, found) = (listed(&self.missing), listed(&self.unexpected));
        Err(bad(
            path,
            format!("holds nothing that the model has: the model has {asked}; the file has {found}"),
        ))
    }
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [taken, missing, unexpected] = [&self.taken, &self.missing, &self.unexpected].map(|l| listed(l));
        write!(f, "taken {taken}; missing in the file {missing}; left in the file {unexpected}")
    }
}

/// Names as one line: their number, and the first of them.
fn listed(names: &[String]) -> String {
    let first: Vec<_> = names.iter().take(LISTED).map(|name| format!("`{name}`")).collect();
    match names.len() {
        0 => "none".into(),
        n if n > LISTED => format!("{n} ({} and {} more)", first.join(", "), n - LISTED),
        n => format!("{n} ({})", first.join(", ")),
    }
}

fn bad(path: &Path, what: impl Into<String>) -> Error {
    Error::File { path: path.display().to_string(), what: what.into() }
}

/// Reads a safetensors file. Tensors of f16, bf16, f32, f64 and i64 (PyTorch's counters) become f32.
///
/// # Errors
/// A file that cannot be read, is no whole safetensors file, or holds a tensor of another type.
pub fn load(path: &Path) -> Result<Weights> {
    let bytes = std::fs::read(path)
        .map_err(|e| bad(path, format!("{e}; give a safetensors file that can be read")))?;
    parse(&bytes).map_err(|what| bad(path, what.to_string()))
}

/// Reads the bytes of a safetensors file, such as [`to_bytes`] makes; see [`load`].
///
/// # Errors
/// One line about bytes that are no whole safetensors file, or about a tensor of another type.
pub fn parse(bytes: &[u8]) -> Result<Weights> {
    let file = tensors(bytes).map_err(|e| Error::new(format!("not a whole safetensors file: {e}")))?;
    let read = |(name, view): (String, TensorView<'_>)| {
        let values = widened(&view).ok_or_else(|| {
            let what = format!("`{name}` is of type {:?}", view.dtype());
            Error::new(format!("{what}; weights are read from F16, BF16, F32, F64 and I64"))
        })?;
        Ok((name, (view.shape().to_vec(), values)))
    };
    file.tensors().into_iter().map(read).collect()
}

/// Finds the tensors of a safetensors file; a header of more than 1 MiB is refused, since it takes many times its
/// size to read.
pub(crate) fn tensors(bytes: &[u8]) -> std::result::Result<SafeTensors<'_>, String> {
    const HEADER: u64 = 1 << 20;
    // A .pt file is a ZIP archive of pickles, an older one a pickle; either would be a header without end.
    let pytorchs = bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(&[0x80, 2]);
    match bytes.first_chunk().map(|length| u64::from_le_bytes(*length)) {
        Some(HEADER..) if pytorchs => {
            Err("it looks like PyTorch's own; save the state dict by safetensors.torch.save_file".into())
        }
        Some(length @ HEADER..) => Err(format!("a header of {length} bytes, more than any model's")),
        _ => SafeTensors::deserialize(bytes).map_err(|e| e.to_string()),
    }
}

/// The elements of a tensor as f32, if its type is one that weights have.
fn widened(view: &TensorView<'_>) -> Option<Vec<f32>> {
    fn each<const N: usize>(bytes: &[u8], widen: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        bytes.chunks_exact(N).map(|b| widen(b.try_into().expect("chunks have N bytes"))).collect()
    }
    let data = view.data();
    Some(match view.dtype() {
        Dtype::F16 => each(data, |b| f16::from_le_bytes(b).to_f32()),
        Dtype::BF16 => each(data, |b| bf16::from_le_bytes(b).to_f32()),
        Dtype::F32 => each(data, f32::from_le_bytes),
        Dtype::F64 => each(data, |b| f64::from_le_bytes(b) as f32),
        Dtype::I64 => each(data, |b| i64::from_le_bytes(b) as f32),
        _ => return None,
    })
}

/// Checks that the State holds f32 variables of all these names.
fn known(state: &State, names: &[String]) -> Result<()> {
    let held: BTreeSet<&str> =
        state.names().filter(|(_, ty)| ty.dtype == DType::F32).map(|(n, _)| n).collect();
    let lacking: Vec<String> = names.iter().filter(|n| !held.contains(n.as_str())).cloned().collect();
    match lacking.is_empty() {
        true => Ok(()),
        false => {
            let held: Vec<String> = held.into_iter().map(String::from).collect();
            let what = format!("there are no f32 variables {}", listed(&lacking));
            Err(Error::State(format!("{what}; the State holds {}", listed(&held))))
        }
    }
}

/// Reads a variable in PyTorch's layout: its shape there, and its elements. A masked convolution has zeros where it
/// has no weights.
///
/// # Errors
/// A name that the State does not have; a device that is lost.
#[cfg(not(target_arch = "wasm32"))]
pub fn read(gpu: &Gpu, state: &State, name: &str) -> Result<(Vec<usize>, Vec<f32>)> {
    in_file(state, name, &state.read(gpu, name)?)
}

/// Lays values that belong to a variable element by element, such as its gradient that an executor has read, out in
/// PyTorch's layout: the shape there, and the elements.
///
/// # Errors
/// A name that the State does not have; another number of values than the variable has elements.
pub fn in_file(state: &State, name: &str, values: &[f32]) -> Result<(Vec<usize>, Vec<f32>)> {
    let (layout, ty) = (state.file_layout(name)?, state.ty(name)?);
    let (wanted, got) = (ty.shape.numel(), values.len());
    match wanted == got {
        true => Ok(layout.to_file(&ty.shape, values)),
        false => Err(Error::State(format!("variable `{name}` has {wanted} elements, got {got}"))),
    }
}

/// The bytes of a safetensors file that holds the State's variables of these names, which come to the host in one
/// submission.
///
/// # Errors
/// A name that the State does not have; what the device refuses.
pub fn to_bytes_async(gpu: &Gpu, state: &State, names: &[String]) -> Promise<Vec<u8>> {
    let asked = || {
        state.belongs(gpu)?;
        known(state, names)?;
        let asked = state.names().filter(|(n, _)| names.iter().any(|m| m == n));
        let kept =
            |(name, ty): (&str, &Type)| Ok((name.to_owned(), ty.clone(), state.file_layout(name)?.clone()));
        let kept = asked.map(kept).collect::<Result<Vec<_>>>()?;
        let slices = kept.iter().map(|(name, ..)| state.variable(name)).collect::<Result<Vec<_>>>()?;
        let all = gpu.read_all(&slices);
        Ok((kept, all))
    };
    let asked = asked();
    Promise::new(&gpu.device, async move {
        let (kept, all) = asked?;
        let lay_out = |((name, ty, layout), bytes): ((String, Type, FileLayout), Vec<u8>)| {
            let (shape, values) = layout.to_file(&ty.shape, &bytemuck::pod_collect_to_vec::<u8, f32>(&bytes));
            (name, shape, values)
        };
        let data: Vec<_> = kept.into_iter().zip(all.await?).map(lay_out).collect();
        let views = data.iter().map(|(name, shape, values)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytemuck::cast_slice(values));
            Ok((name, view.map_err(|e| Error::State(e.to_string()))?))
        });
        let views = views.collect::<Result<Vec<_>>>()?;
        safetensors::serialize(views, None).map_err(|e| Error::State(e.to_string()))
    })
}

/// Does what [`to_bytes_async`] does, and waits.
#[cfg(not(target_arch = "wasm32"))]
pub fn to_bytes(gpu: &Gpu, state: &State, names: &[String]) -> Result<Vec<u8>> {
    pollster::block_on(to_bytes_async(gpu, state, names))
}

/// Writes a file's tensors into the State's variables of these names, which must be all that the file holds;
/// `path` is named in errors. To take a part of a file, leave the other tensors out of `weights`.
///
/// # Errors
/// A name that the State lacks; names that the file lacks or has beyond those asked for, which are listed; a
/// tensor of another shape, or with a value that is not finite.
pub fn apply(gpu: &Gpu, state: &State, names: &[String], weights: &Weights, path: &Path) -> Result<()> {
    known(state, names)?;
    Fit::of(names, weights).strict(path)?;
    write(gpu, state, names, weights, path)
}

/// Writes those of a file's tensors that have one of these names into the State's variables, and returns what
/// was taken and what was left.
///
/// # Errors
/// As [`apply`] does, but missing and unexpected names are none.
pub fn apply_partial(
    gpu: &Gpu,
    state: &State,
    names: &[String],
    weights: &Weights,
    path: &Path,
) -> Result<Fit> {
    known(state, names)?;
    let fit = Fit::of(names, weights);
    write(gpu, state, &fit.taken, weights, path)?;
    Ok(fit)
}

/// Writes the tensors of these names, which State and file have. Where one is refused, none is written.
fn write(gpu: &Gpu, state: &State, names: &[String], weights: &Weights, path: &Path) -> Result<()> {
    let mut all = vec![];
    for (name, ty) in state.names().filter(|(n, _)| names.iter().any(|m| m == n)) {
        let (shape, values) = &weights[name];
        let layout = state.file_layout(name)?;
        let wanted = layout.shape(&ty.shape);
        if *shape != wanted {
            return Err(bad(
                path,
                format!(
                    "`{name}` is {shape:?} but the model wants {wanted:?}: give the model the file's sizes"
                ),
            ));
        }
        if let Some(value) = values.iter().find(|v| !v.is_finite()) {
            return Err(bad(
                path,
                format!("`{name}` holds {value}: its training went bad; give weights from before that"),
            ));
        }
        let places = layout.places(&ty.shape).into_iter();
        all.push((name, places.map(|place| values[place]).collect::<Vec<f32>>()));
    }
    all.iter().try_for_each(|(name, values)| state.write(gpu, name, values))
}
