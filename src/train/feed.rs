//! A data set on the GPU, as bytes. Minibatches are gathered there, in an order that the host writes once per
//! epoch.

use crate::{
    data::Images,
    error::{Error, Result},
    gpu::{Gpu, wgpu, within},
    graph::{Graph, Tensor, shape::Type},
    plan::Plan,
};

/// The names of the inputs of all images, and of the few labelled ones beside them: pixels, labels and order.
const INPUTS: [&str; 3] = ["data", "labels", "order"];
const FEW: [&str; 3] = ["labelled.data", "labelled.labels", "labelled.order"];

/// A data set's images on the GPU, as bytes, with the order in which an epoch visits them.
pub struct Feed {
    /// The input `data`: U8 `[N, pixels]`.
    pub data: wgpu::Buffer,
    /// The input `labels`: U8 `[N]`, if the data set has labels.
    pub labels: Option<wgpu::Buffer>,
    /// The input `order`: u32 `[N]`, the places of the images in the order of the epoch.
    pub order: wgpu::Buffer,
    count: usize,
    /// The number of bytes of all pixels.
    bytes: usize,
    /// The few labelled images that steps take beside the others.
    few: Option<Box<Feed>>,
}

impl Feed {
    /// Uploads the images. They are visited in their stored order until [`Feed::reorder`] is called.
    ///
    /// # Errors
    /// Fails if the images do not fit into a buffer of the adapter.
    pub fn new(gpu: &Gpu, images: &Images) -> Result<Self> {
        let order: Vec<u32> = (0..images.count as u32).collect();
        let data = gpu.upload("data", &images.pixels)?;
        let labels = images.labels.as_ref().map(|l| gpu.upload("labels", l)).transpose()?;
        Ok(Self {
            data,
            labels,
            order: gpu.upload("order", bytemuck::cast_slice(&order))?,
            count: images.count,
            bytes: images.pixels.len(),
            few: None,
        })
    }

    /// Adds few labelled images, which steps take beside the others by [`labelled`]. They are visited in their stored
    /// order, again and again.
    ///
    /// # Errors
    /// Fails if the images do not fit into a buffer of the adapter.
    pub fn beside(self, gpu: &Gpu, few: &Images) -> Result<Self> {
        Ok(Self { few: Some(Box::new(Self::new(gpu, few)?)), ..self })
    }

    /// The inputs of the plan that [`batch`], [`labels`] and [`labelled`] declare, each with its buffer.
    pub fn bindings(&self, plan: &Plan) -> Vec<(&str, wgpu::BufferSlice<'_>)> {
        let few = self.few.as_ref().map_or([None; 3], |few| few.buffers());
        let asked = |name: &str| plan.inputs.iter().any(|(n, _)| n == name);
        let all = INPUTS.into_iter().zip(self.buffers()).chain(FEW.into_iter().zip(few));
        all.filter_map(|(name, buffer)| Some((name, buffer?.slice(..))))
            .filter(|(name, _)| asked(name))
            .collect()
    }

    /// The buffers of pixels, labels and order.
    fn buffers(&self) -> [Option<&wgpu::Buffer>; 3] {
        [Some(&self.data), self.labels.as_ref(), Some(&self.order)]
    }

    /// Sets the order of the images, `[N]`, from the next submission on.
    ///
    /// # Errors
    /// Fails if the order has not a place for each image or points outside them, or if the device is lost.
    pub fn reorder(&self, gpu: &Gpu, order: &[u32]) -> Result<()> {
        within("order", self.count, order)?;
        gpu.write(&self.order, 0, bytemuck::cast_slice(order))
    }

    /// Sets the order of the images, `[N]`, for the steps that are recorded after this, so that an epoch may begin
    /// between two steps of one submission.
    ///
    /// # Errors
    /// As [`Feed::reorder`].
    pub fn record_reorder(&self, gpu: &Gpu, encoder: &mut wgpu::CommandEncoder, order: &[u32]) -> Result<()> {
        within("order", self.count, order)?;
        gpu.record_write(encoder, &self.order, 0, bytemuck::cast_slice(order))
    }

    /// Replaces the first images by other pixels, `[n, H·W·C]` with n at most N, from the next submission on. The
    /// images behind them become black.
    ///
    /// # Errors
    /// Fails if there are more pixels than the feed holds.
    pub fn replace(&self, gpu: &Gpu, pixels: &[u8]) -> Result<()> {
        if pixels.len() > self.bytes {
            let what = format!("{} bytes of pixels for a feed of {}", pixels.len(), self.bytes);
            return Err(Error::State(format!("{what}; give at most as many images")));
        }
        gpu.write(&self.data, 0, &[pixels, &vec![0; self.bytes - pixels.len()]].concat())
    }

    /// The number of images, N.
    pub fn count(&self) -> usize {
        self.count
    }
}

/// Declares the inputs of a [`Feed`] in the graph and returns this step's minibatch `[size, pixels]`, with
/// values in [0, 1]. If `binarise` names a random stream, each value becomes 1 with its own value as the
/// probability, else 0, drawn anew in every step.
#[track_caller]
pub fn batch<'g>(g: &'g Graph, images: &Images, size: usize, binarise: Option<&str>) -> Tensor<'g> {
    rows(g, INPUTS, images, size, binarise)
}

/// Returns the labels of the same minibatch, one-hot `[size, classes]`. The data set must have labels.
#[track_caller]
pub fn labels<'g>(g: &'g Graph, images: &Images, size: usize) -> Tensor<'g> {
    classes(g, INPUTS, images, size)
}

/// Declares the inputs of [`Feed::beside`] in the graph and returns this step's minibatch of the few labelled images,
/// `[size, pixels]` as [`batch`] does, and its labels, one-hot `[size, classes]`.
#[track_caller]
pub fn labelled<'g>(
    g: &'g Graph,
    few: &Images,
    size: usize,
    binarise: Option<&str>,
) -> (Tensor<'g>, Tensor<'g>) {
    (rows(g, FEW, few, size, binarise), classes(g, FEW, few, size))
}

#[track_caller]
fn rows<'g>(
    g: &'g Graph,
    [data, _, order]: [&str; 3],
    images: &Images,
    size: usize,
    binarise: Option<&str>,
) -> Tensor<'g> {
    let pixels = images.height * images.width * images.channels;
    let data = g.input(data, Type::u8([images.count, pixels]));
    let order = g.input(order, Type::u32([images.count]));
    match binarise {
        Some(stream) => data.gather_rows_binarised(order, size, stream),
        None => data.gather_rows(order, size),
    }
}

#[track_caller]
fn classes<'g>(g: &'g Graph, [_, labels, order]: [&str; 3], images: &Images, size: usize) -> Tensor<'g> {
    let labels = g.input(labels, Type::u8([images.count]));
    labels.gather_labels(g.input(order, Type::u32([images.count])), size).one_hot(images.classes)
}
