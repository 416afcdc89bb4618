//! The nearest images of a data set, in pixel space: whether a generator draws anew or remembers.
//!
//! |a - b|² = |a|² - 2·a·b + |b|² makes all distances of a batch one matrix product on the GPU. What it finds is measured again
//! on the host in f64, since the difference of large numbers leaves little of small distances.

use crate::{
    data::Images,
    error::{Error, Result},
    gpu::{Executor, Gpu, State},
    graph::{
        Graph,
        shape::{DType, Type},
    },
    ops::matmul::product,
    plan::Plan,
};

/// Most pictures at a time.
const PICTURES: usize = 128;
/// Images at a time.
const IMAGES: usize = 1000;

/// An image of a data set, and how far it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// Its place in the data set.
    pub index: usize,
    /// Squared Euclidean distance, pixels in [0, 1], summed over pixels and channels.
    pub distance: f64,
}

/// The `k` nearest images of each picture, nearest first; `pictures` are `[N, H, W, C]` in [0, 1].
///
/// # Errors
/// Pictures that are not whole images of the data set's size, or that are not finite; what the device refuses.
pub fn nearest(gpu: &Gpu, pictures: &[f32], images: &Images, k: usize) -> Result<Vec<Vec<Neighbour>>> {
    let pixels = images.height * images.width * images.channels;
    if pixels == 0
        || images.count == 0
        || !pictures.len().is_multiple_of(pixels)
        || pictures.iter().any(|v| !v.is_finite())
    {
        let size = [images.height, images.width, images.channels];
        return Err(Error::new(format!(
            "nearest images: wants finite pictures of {size:?}, got {} values",
            pictures.len()
        )));
    }
    let rows = (pictures.len() / pixels).clamp(1, PICTURES);
    let plan = distances(gpu, rows, pixels)?;
    let executor = Executor::new(gpu, &plan, &State::new(gpu, &[&plan], 0)?, &[])?;
    let mut found = vec![];
    for some in pictures.chunks(rows * pixels) {
        executor.write(gpu, "pictures", &filled(some, rows * pixels))?;
        let mut best: Vec<Vec<Neighbour>> = vec![vec![]; some.len() / pixels];
        for (batch, bytes) in images.pixels.chunks(IMAGES * pixels).enumerate() {
            executor.write(gpu, "images", &filled(bytes, IMAGES * pixels))?;
            executor.step(gpu);
            for (best, row) in best.iter_mut().zip(executor.read(gpu, "distances")?.chunks(IMAGES)) {
                let here = row.iter().take(bytes.len() / pixels).enumerate();
                best.extend(here.map(|(i, &d)| Neighbour { index: batch * IMAGES + i, distance: d.into() }));
                keep(best, k);
            }
        }
        for (mut best, picture) in best.into_iter().zip(some.chunks(pixels)) {
            best.iter_mut()
                .for_each(|n| n.distance = distance(picture, &images.pixels[n.index * pixels..][..pixels]));
            keep(&mut best, k);
            found.push(best);
        }
    }
    Ok(found)
}

/// Squared distances `[rows, IMAGES]` between pictures and a batch of images as bytes.
fn distances(gpu: &Gpu, rows: usize, pixels: usize) -> Result<Plan> {
    let g = Graph::new();
    let a = g.input("pictures", Type::f32([rows, pixels]));
    let b = g.input("images", Type { shape: [IMAGES, pixels].into(), dtype: DType::U8 }).unit_f32();
    let (aa, bb) = (a.square().sum(&[1]).reshape([rows, 1]), b.square().sum(&[1]));
    g.output("distances", aa - product(a, b, false, true) * 2.0 + bb);
    Plan::new(&g, gpu.caps())
}

/// So many elements, with zeros at the end.
fn filled<T: Clone + Default>(values: &[T], len: usize) -> Vec<T> {
    let mut values = values.to_vec();
    values.resize(len, T::default());
    values
}

/// The `k` nearest, nearest first; of equal distances the first in the data set.
fn keep(best: &mut Vec<Neighbour>, k: usize) {
    best.sort_by(|a, b| a.distance.total_cmp(&b.distance).then(a.index.cmp(&b.index)));
    best.truncate(k);
}

fn distance(picture: &[f32], bytes: &[u8]) -> f64 {
    picture.iter().zip(bytes).map(|(&a, &b)| (f64::from(a) - f64::from(b) / 255.0).powi(2)).sum()
}
