//! A data set on the GPU, as bytes: minibatches are gathered there, in an order that the host writes once an epoch.

use crate::{
    data::Images,
    error::Result,
    gpu::{Gpu, wgpu},
    graph::{
        Graph, Tensor,
        shape::{DType, Type},
    },
    plan::Plan,
};

/// A data set's images on the GPU, as bytes, with the order in which an epoch visits them.
pub struct Feed {
    /// Input `data`.
    pub data: wgpu::Buffer,
    /// Input `labels`, where the data set has any.
    pub labels: Option<wgpu::Buffer>,
    /// Input `order`.
    pub order: wgpu::Buffer,
    count: usize,
}

impl Feed {
    /// Uploads the images; the order starts as they are stored.
    pub fn new(gpu: &Gpu, images: &Images) -> Result<Self> {
        let order: Vec<u32> = (0..images.count as u32).collect();
        let data = gpu.upload("data", &images.pixels)?;
        let labels = images.labels.as_ref().map(|l| gpu.upload("labels", l)).transpose()?;
        Ok(Self {
            data,
            labels,
            order: gpu.upload("order", bytemuck::cast_slice(&order))?,
            count: images.count,
        })
    }

    /// Those of the inputs that [`batch`] and [`labels`] declare which the plan has.
    pub fn bindings(&self, plan: &Plan) -> Vec<(&str, &wgpu::Buffer)> {
        let all =
            [("data", Some(&self.data)), ("labels", self.labels.as_ref()), ("order", Some(&self.order))];
        let asked = |name: &str| plan.inputs.iter().any(|(n, _)| n == name);
        all.into_iter()
            .filter_map(|(name, buffer)| Some((name, buffer?)))
            .filter(|(name, _)| asked(name))
            .collect()
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

/// The labels of the same minibatch, one-hot `[batch, classes]`; the data set must have some.
#[track_caller]
pub fn labels<'g>(g: &'g Graph, images: &Images, size: usize) -> Tensor<'g> {
    let labels = g.input("labels", Type { shape: [images.count].into(), dtype: DType::U8 });
    labels.gather_labels(g.input("order", Type::u32([images.count])), size).one_hot(images.classes)
}
