//! Weights as safetensors files, with PyTorch's names and layouts.

use crate::{
    error::{Error, Result},
    gpu::{Gpu, State},
    graph::shape::DType,
};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::{collections::HashMap, path::Path};

/// The tensors of a file by their names: shapes and elements.
pub type Weights = HashMap<String, (Vec<usize>, Vec<f32>)>;

fn bad(path: &Path, what: impl Into<String>) -> Error {
    Error::File { path: path.display().to_string(), what: what.into() }
}

/// Reads a safetensors file's tensors of f32, f64 and i64 (PyTorch's counters) as f32; tensors of other types
/// are passed over.
///
/// # Errors
/// A file that cannot be read or is no whole safetensors file.
pub fn load(path: &Path) -> Result<Weights> {
    let bytes = std::fs::read(path).map_err(|e| bad(path, e.to_string()))?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|e| bad(path, format!("not a whole safetensors file: {e}")))?;
    let mut out = HashMap::new();
    for (name, view) in file.tensors() {
        let values = match view.dtype() {
            Dtype::F32 => bytemuck::pod_collect_to_vec(view.data()),
            Dtype::F64 => {
                bytemuck::pod_collect_to_vec::<u8, f64>(view.data()).into_iter().map(|v| v as f32).collect()
            }
            Dtype::I64 => {
                bytemuck::pod_collect_to_vec::<u8, i64>(view.data()).into_iter().map(|v| v as f32).collect()
            }
            _ => continue,
        };
        out.insert(name, (view.shape().to_vec(), values));
    }
    Ok(out)
}

/// The bytes of a safetensors file that holds the State's variables of these names.
///
/// # Errors
/// What the device refuses.
pub fn to_bytes(gpu: &Gpu, state: &State, names: &[String]) -> Result<Vec<u8>> {
    let mut data: Vec<(&str, Vec<usize>, Vec<f32>)> = vec![];
    for (name, ty) in state.names().filter(|(n, ty)| ty.dtype == DType::F32 && names.iter().any(|m| m == n)) {
        let layout = state.file_layout(name)?;
        let shape = layout.shape(&ty.shape);
        let mut values = vec![0.0; shape.iter().product()];
        layout
            .places(&ty.shape)
            .into_iter()
            .zip(state.read(gpu, name)?)
            .for_each(|(place, value)| values[place] = value);
        data.push((name, shape, values));
    }
    let views = data.iter().map(|(name, shape, values)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytemuck::cast_slice(values));
        Ok((*name, view.map_err(|e| Error::State(e.to_string()))?))
    });
    let views = views.collect::<Result<Vec<_>>>()?;
    safetensors::serialize(views, None).map_err(|e| Error::State(e.to_string()))
}

/// Writes a file's tensors into the State's variables of these names; `path` is named in errors.
///
/// # Errors
/// A file that lacks one of the variables, or holds it in another shape or with a value that is not finite.
pub fn apply(gpu: &Gpu, state: &State, names: &[String], weights: &Weights, path: &Path) -> Result<()> {
    for (name, ty) in state.names().filter(|(n, _)| names.iter().any(|m| m == n)) {
        let (shape, values) = weights.get(name).ok_or_else(|| {
            bad(path, format!("has no f32 or f64 tensor `{name}`; it holds {:?}", sorted(weights)))
        })?;
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
        let values: Vec<f32> = layout.places(&ty.shape).into_iter().map(|place| values[place]).collect();
        state.write(gpu, name, &values)?;
    }
    Ok(())
}

fn sorted(weights: &Weights) -> Vec<&String> {
    let mut names: Vec<_> = weights.keys().collect();
    names.sort();
    names
}
