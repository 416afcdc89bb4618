//! Weights as safetensors files, by PyTorch's names and in PyTorch's layouts.

use crate::{
    error::{Error, Result},
    gpu::{Gpu, State},
    graph::shape::DType,
};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::{collections::HashMap, path::Path};

/// Named f32 tensors of a file.
pub type Weights = HashMap<String, (Vec<usize>, Vec<f32>)>;

fn bad(path: &Path, what: impl Into<String>) -> Error {
    Error::File { path: path.display().to_string(), what: what.into() }
}

/// Reads the f32 and f64 tensors of a safetensors file, these rounded, and i64 ones (PyTorch's counters); others are passed over.
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

/// The State's variables with these names as the bytes of a safetensors file.
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

/// Writes a file's tensors into the State; every one of `names` must be there with its shape.
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
