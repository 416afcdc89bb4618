//! What views and copies share: kernels that move 32-bit words, whatever they mean.

use crate::{
    graph::{
        Tensor,
        shape::{DType, Type},
    },
    kernel::Shader,
};

pub(super) static SHADER: Shader = crate::shader!("views");
pub(super) const WORKGROUP: usize = 256;

pub(super) type Cotangents<'g> = Vec<Option<Tensor<'g>>>;

/// The inputs' common element type, which must be one of 32 bits.
pub(super) fn words(inputs: &[Type]) -> Result<DType, String> {
    let dtype = inputs.first().map_or(DType::F32, |t| t.dtype);
    match inputs.iter().find(|t| t.dtype != dtype || t.dtype == DType::U8) {
        Some(bad) if bad.dtype == DType::U8 => {
            Err("takes 32-bit elements, not U8; convert with `.to_f32()`".into())
        }
        Some(bad) => Err(format!("takes one element type, got {dtype:?} and {:?}", bad.dtype)),
        None => Ok(dtype),
    }
}
