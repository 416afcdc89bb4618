//! A data set on the GPU, as bytes: minibatches are gathered there, in an order that the host writes once an epoch.

use super::Result;
use crate::{
    data::Images,
    gpu::{Gpu, wgpu},
    graph::{Graph, Tensor},
    shape::{DType, Type},
};

/// A data set's images on the GPU, as bytes, with the order in which an epoch visits them.
pub struct Feed {
    /// Input `data`.
    pub data: wgpu::Buffer,
    /// Input `order`.
    pub order: wgpu::Buffer,
    count: usize,
}

impl Feed {
    /// Uploads the images; the order starts as they are stored.
    pub fn new(gpu: &Gpu, images: &Images) -> Result<Self> {
        let order: Vec<u32> = (0..images.count as u32).collect();
        let data = gpu.upload("data", &images.pixels)?;
        Ok(Self { data, order: gpu.upload("order", bytemuck::cast_slice(&order))?, count: images.count })
    }

    /// The inputs that [`batch`] declares.
    pub fn bindings(&self) -> [(&str, &wgpu::Buffer); 2] {
        [("data", &self.data), ("order", &self.order)]
    }

    /// Makes the images' order this one from the next submission on.
    pub fn reorder(&self, gpu: &Gpu, order: &[u32]) {
        gpu.queue.write_buffer(&self.order, 0, bytemuck::cast_slice(order));
    }

    /// Number of images.
    pub fn count(&self) -> usize {
        self.count
    }
}

/// A minibatch `[batch, pixels]` of a [`Feed`] as the graph's input; binarised by a fresh draw where a stream is named.
#[track_caller]
pub fn batch<'g>(g: &'g Graph, images: &Images, size: usize, binarise: Option<&str>) -> Tensor<'g> {
    let pixels = images.height * images.width * images.channels;
    let data = g.input("data", Type { shape: [images.count, pixels].into(), dtype: DType::U8 });
    let order = g.input("order", Type::u32([images.count]));
    match binarise {
        Some(stream) => data.gather_rows_binarised(order, size, stream),
        None => data.gather_rows(order, size),
    }
}
