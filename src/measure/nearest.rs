//! The nearest images of a data set, in pixel space. They show whether a generator draws new pictures or
//! repeats training images.
//!
//! Because of |a - b|² = |a|² - 2·a·b + |b|², all distances of a batch are one matrix product on the GPU. The
//! distances of the images that it finds are computed again on the host in f64, since a difference of large
//! numbers loses the digits of a small distance.

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

/// The largest number of pictures at a time.
const PICTURES: usize = 128;
/// The number of images at a time.
const IMAGES: usize = 1000;

/// An image of a data set, and its distance from a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// The place of the image in the data set.
    pub index: usize,
    /// The squared Euclidean distance, summed over pixels and channels, with values in [0, 1].
    pub distance: f64,
}

/// Finds the `k` nearest images of each picture, and returns them nearest first. `pictures` are
/// `[N, H, W, C]` with values in [0, 1].
///
/// # Errors
/// Fails if the pictures are not whole images of the data set's size, if a value is not finite, or if the
/// device refuses the plan.
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
            executor.step(gpu)?;
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

/// Plans the squared distances `[rows, IMAGES]` between pictures and a batch of images, which are given as
/// bytes.
fn distances(gpu: &Gpu, rows: usize, pixels: usize) -> Result<Plan> {
    let g = Graph::new();
    let a = g.input("pictures", Type::f32([rows, pixels]));
    let b = g.input("images", Type { shape: [IMAGES, pixels].into(), dtype: DType::U8 }).unit_f32();
    let (aa, bb) = (a.square().sum(&[1]).reshape([rows, 1]), b.square().sum(&[1]));
    g.output("distances", aa - product(a, b, false, true) * 2.0 + bb);
    Plan::new(&g, gpu.caps())
}

/// The values, filled up with zeros to `len` elements.
fn filled<T: Clone + Default>(values: &[T], len: usize) -> Vec<T> {
    let mut values = values.to_vec();
    values.resize(len, T::default());
    values
}

/// Keeps the `k` nearest and sorts them, nearest first. Of images at equal distances, the first in the data
/// set comes first.
fn keep(best: &mut Vec<Neighbour>, k: usize) {
    best.sort_by(|a, b| a.distance.total_cmp(&b.distance).then(a.index.cmp(&b.index)));
    best.truncate(k);
}

fn distance(picture: &[f32], bytes: &[u8]) -> f64 {
    picture.iter().zip(bytes).map(|(&a, &b)| (f64::from(a) - f64::from(b) / 255.0).powi(2)).sum()
}
