//! LSTMs whose states are the pixels of an image (van den Oord et al. 2016, "Pixel Recurrent Neural Networks",
//! §3): a scan over rows or diagonals, which is one node of the graph whatever the image's size.
//!
//! A scan step is two launches over the pixels of one [`Order`]'s front: the convolution of the states that
//! the front sees, which is `conv2d`'s, and the cell. On GPUs the two are one launch if the units are a
//! multiple of 4 and the taps at most 64. [`Scan`] makes and keeps states, cells and gates; [`Hidden`] is the
//! states, and carries the derivative; [`ScanBack`] is the scan backwards, to the cotangents of the gates. That
//! of the weights is one convolution over all pixels at once.

mod extents;
mod front;
mod launch;

pub use front::Order;

use super::conv2d::{self, Conv2d, Side};
use crate::graph::{
    Tensor,
    op::{Class, Footprint, Lowered, Lowering, Op, Operand},
    shape::{Array, Type},
};
use extents::{Extents, KEPT};
use launch::{BACKWARDS, FORWARDS, cell_launch, front_launch, joined, sweep};

/// Adds to `sum` the product of a row of `x` with the tap's weights `[units, 4·units]`, or their transpose.
fn multiply(sum: &mut [f64], x: &[f64], weight: &[f64], transposed: bool) {
    let made = sum.len();
    for (j, sum) in sum.iter_mut().enumerate() {
        let at = |k: usize| if transposed { j * x.len() + k } else { k * made + j };
        *sum += x.iter().enumerate().map(|(k, x)| x * weight[at(k)]).sum::<f64>();
    }
}

fn sigmoid(a: f64) -> f64 {
    1.0 / (1.0 + (-a).exp())
}

/// The states of all pixels: (gates `[N, H, W, 4U]`, weights `[T, U, 4U]`) to what is kept, `[6, N, H, W,
/// U]`: h, c, and in the last four the gates o, f, i, g of each unit side by side. The columns of gates and
/// weights are o, f, i, g of each unit, too.
#[derive(Clone, Debug)]
pub struct Scan {
    /// The order of the pixels.
    pub order: Order,
}

impl Op for Scan {
    fn name(&self) -> &'static str {
        "scan"
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let [gates, weight] = inputs else { return Err("takes two tensors".into()) };
        let e = Extents::new(self.order, gates, weight)?;
        Ok(Type::f32([KEPT, e.n, e.image[0], e.image[1], e.units]))
    }

    fn reference(&self, inputs: &[&Array]) -> Array {
        let (gates, weight) = (inputs[0], inputs[1]);
        let [n, h, w, _] = gates.shape[..] else { unreachable!("inferred") };
        let e = Extents { n, image: [h, w], units: weight.shape[1] };
        let (u, states) = (e.units, e.states());
        let mut kept = Array::from_fn([KEPT, n, h, w, u], |_| 0.0);
        for front in self.order.fronts(e.image) {
            for p in e.pixels(front) {
                let mut a = gates.data[4 * p * u..4 * (p + 1) * u].to_vec();
                for (t, &tap) in self.order.taps().iter().enumerate() {
                    if let Some(q) = e.neighbour(p, tap) {
                        let tap = &weight.data[4 * t * u * u..4 * (t + 1) * u * u];
                        multiply(&mut a, &kept.data[q * u..(q + 1) * u], tap, false);
                    }
                }
                let from = e.neighbour(p, self.order.carried());
                for j in 0..u {
                    let at = p * u + j;
                    let [o, f, i] = [0, 1, 2].map(|k| sigmoid(a[4 * j + k]));
                    let g = a[4 * j + 3].tanh();
                    let c = f * from.map_or(0.0, |q| kept.data[states + q * u + j]) + i * g;
                    (kept.data[at], kept.data[states + at]) = (o * c.tanh(), c);
                    kept.data[2 * states + 4 * at..][..4].copy_from_slice(&[o, f, i, g]);
                }
            }
        }
        kept
    }

    // The states carry the derivative; what is kept beside them has none.
    fn vjp<'g>(&self, _: &[Tensor<'g>], _: Tensor<'g>, _: Tensor<'g>) -> Vec<Option<Tensor<'g>>> {
        vec![None, None]
    }

    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        let e = Extents::new(self.order, &at.inputs[0], &at.inputs[1])?;
        if joined(at.caps, e, self.order) {
            let launch = |front| {
                front_launch(e, self.order, front, false)
                    .bind("gates", Operand::Input(0))
                    .bind("weights", Operand::Input(1))
                    .bind("y4", Operand::Output)
            };
            let launches = self.order.fronts(e.image).into_iter().map(launch).collect();
            return Ok(Lowered { launches, scratch: vec![] });
        }
        let window = self.order.window(e.image);
        let conv = Conv2d { side: Side::Output, window: window.clone() };
        let of = conv2d::Extents { n: e.n, c: e.units, o: 4 * e.units };
        let seen = Operand::Scratch(0);
        let (entry, y) = if e.at_once() == 4 { ("cell4", "y4") } else { ("cell", "y") };
        let mut launches = vec![];
        for (step, front) in self.order.fronts(e.image).into_iter().enumerate() {
            let cell = cell_launch(entry, e, self.order, front, FORWARDS)
                .dim("sees", usize::from(step > 0))
                .bind("gates", Operand::Input(0))
                .bind("seen", if step > 0 { seen } else { Operand::Input(0) }) // the first front sees nothing
                .bind(y, Operand::Output);
            if step > 0 {
                let front = [sweep(front, &window, false)];
                let operands = [Operand::Output, Operand::Input(1), seen];
                launches.extend(conv.summed(of, &front, at.caps, false, operands)?);
            }
            launches.push(cell);
        }
        Ok(Lowered { launches, scratch: vec![16 * e.states() as u64] })
    }
}

/// The states h `[N, H, W, U]` themselves, from (the states, what [`Scan`] kept, the gates, the weights). It
/// carries the derivative of the whole scan by the gates and the weights.
#[derive(Clone, Debug)]
pub struct Hidden {
    /// The order of the pixels.
    pub order: Order,
}

impl Op for Hidden {
    fn name(&self) -> &'static str {
        "hidden"
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let [states, kept, gates, weight] = inputs else { return Err("takes four tensors".into()) };
        let e = Extents::new(self.order, gates, weight)?;
        e.check([states, kept])?;
        Ok(states.clone())
    }

    fn reference(&self, inputs: &[&Array]) -> Array {
        inputs[0].clone()
    }

    fn vjp<'g>(&self, inputs: &[Tensor<'g>], h: Tensor<'g>, ct: Tensor<'g>) -> Vec<Option<Tensor<'g>>> {
        let (kept, weight, g) = (inputs[1], inputs[3], ct.graph());
        let shape = h.shape();
        let window = self.order.window([shape[1], shape[2]]);
        let gates = g.apply(ScanBack { order: self.order }, &[weight, kept, ct]);
        let weight = g.apply(Conv2d { side: Side::Weight, window }, &[h, gates]);
        vec![None, None, Some(gates), Some(weight)]
    }

    fn lower(&self, _: &Lowering<'_>) -> Result<Lowered, String> {
        Err("the states alias themselves".into())
    }

    fn class(&self) -> Class {
        Class::Alias
    }

    fn footprint(&self) -> Option<Footprint<'_>> {
        Some(Footprint::States { taps: self.order.taps(), carried: self.order.carried() })
    }
}

/// The output gates and the cells `[R, U]` of a scan step, from the sums `[R, 4U]` that the gates' functions
/// are applied to, and the cells that go on. A state is its output gate times the tanh of its cell.
pub(crate) fn cell<'g>(sums: Tensor<'g>, before: Tensor<'g>) -> [Tensor<'g>; 2] {
    let (rows, units) = (before.extent(0), before.extent(1));
    let [o, f, i, g] = [0, 1, 2, 3]
        .map(|gate| sums.reshape([rows, units, 4]).slice(2, gate..gate + 1).reshape([rows, units]));
    let cell = f.sigmoid() * before + i.sigmoid() * g.tanh();
    [o.sigmoid(), cell]
}

/// The scan backwards: (weights, what [`Scan`] kept, the cotangent of the states) to the cotangent of the
/// gates, `[N, H, W, 4U]`.
#[derive(Clone, Debug)]
pub struct ScanBack {
    /// The order of the scan forwards.
    pub order: Order,
}

impl Op for ScanBack {
    fn name(&self) -> &'static str {
        "scan_back"
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let [weight, kept, cotangent] = inputs else { return Err("takes three tensors".into()) };
        let &[_, n, h, w, units] = &kept.shape[..] else {
            return Err(format!("takes what a scan kept, got {kept:?}"));
        };
        let gates = Type::f32([n, h, w, 4 * units]);
        Extents::new(self.order, &gates, weight)?.check([cotangent, kept])?;
        Ok(gates)
    }

    fn reference(&self, inputs: &[&Array]) -> Array {
        let (weight, kept, cotangent) = (inputs[0], inputs[1], inputs[2]);
        let e = Extents::of_kept(&kept.shape);
        let (u, states) = (e.units, e.states());
        let mut out = Array::from_fn(e.shape(4 * u), |_| 0.0);
        let mut cells = vec![0.0; states];
        let back = |[dy, dx]: [i32; 2]| [-dy, -dx];
        for front in self.order.fronts(e.image).into_iter().rev() {
            for p in e.pixels(front) {
                let mut dh = cotangent.data[p * u..(p + 1) * u].to_vec();
                for (t, &tap) in self.order.taps().iter().enumerate() {
                    if let Some(q) = e.neighbour(p, back(tap)) {
                        let tap = &weight.data[4 * t * u * u..4 * (t + 1) * u * u];
                        multiply(&mut dh, &out.data[4 * q * u..4 * (q + 1) * u], tap, true);
                    }
                }
                let [from, to] =
                    [self.order.carried(), back(self.order.carried())].map(|d| e.neighbour(p, d));
                for j in 0..u {
                    let at = p * u + j;
                    let gates = &kept.data[2 * states + 4 * at..][..4];
                    let (o, f, i, g) = (gates[0], gates[1], gates[2], gates[3]);
                    let t = kept.data[states + at].tanh();
                    let before = from.map_or(0.0, |q| kept.data[states + q * u + j]);
                    let dc = dh[j] * o * (1.0 - t * t) + to.map_or(0.0, |q| cells[q * u + j]);
                    cells[at] = dc * f;
                    out.data[4 * at..][..4].copy_from_slice(&[
                        dh[j] * t * o * (1.0 - o),
                        dc * before * f * (1.0 - f),
                        dc * g * i * (1.0 - i),
                        dc * i * (1.0 - g * g),
                    ]);
                }
            }
        }
        out
    }

    fn vjp<'g>(&self, _: &[Tensor<'g>], _: Tensor<'g>, ct: Tensor<'g>) -> Vec<Option<Tensor<'g>>> {
        let what = "the derivative of a recurrence's derivative is not offered";
        let poison = ct.graph().poison(format!("scan_back: {what}"));
        vec![Some(poison); 3]
    }

    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        let e = Extents::of_kept(&at.inputs[1].shape);
        if joined(at.caps, e, self.order) {
            let launch = |front| {
                front_launch(e, self.order, front, true)
                    .bind("weights", Operand::Input(0))
                    .bind("kept4", Operand::Input(1))
                    .bind("cotangent4", Operand::Input(2))
                    .bind("cells4", Operand::Scratch(0))
                    .bind("y4", Operand::Output)
            };
            let launches = self.order.fronts(e.image).into_iter().rev().map(launch).collect();
            return Ok(Lowered { launches, scratch: vec![4 * e.states() as u64] });
        }
        let window = self.order.window(e.image);
        let conv = Conv2d { side: Side::Input, window: window.clone() };
        let of = conv2d::Extents { n: e.n, c: e.units, o: 4 * e.units };
        let [asked, cells] = [Operand::Scratch(0), Operand::Scratch(1)];
        let (entry, names) = match e.at_once() {
            4 => ("back4", ["kept4", "cotangent4", "cells4", "asked4"]),
            _ => ("back", ["kept", "cotangent", "cells", "asked"]),
        };
        let mut launches = vec![];
        for (step, front) in self.order.fronts(e.image).into_iter().rev().enumerate() {
            let cell = cell_launch(entry, e, self.order, front, BACKWARDS)
                .dim("sees", usize::from(step > 0))
                .bind(names[0], Operand::Input(1))
                .bind(names[1], Operand::Input(2))
                .bind(names[2], cells)
                .bind(names[3], if step > 0 { asked } else { Operand::Input(2) }) // nothing asks the first
                .bind("y4", Operand::Output);
            if step > 0 {
                let operands = [Operand::Output, Operand::Input(0), asked];
                launches.extend(conv.summed(of, &[sweep(front, &window, true)], at.caps, false, operands)?);
            }
            launches.push(cell);
        }
        Ok(Lowered { launches, scratch: vec![4 * e.states() as u64; 2] })
    }
}

impl<'g> Tensor<'g> {
    /// The hidden states `[N, H, W, U]` of an LSTM over the pixels of images, in this order, for gates
    /// `[N, H, W, 4U]` before the recurrence (biases included) and state-to-state weights `[T, U, 4U]`, whose T
    /// taps are [`Order::taps`] (van den Oord et al. 2016, eq. 3). Columns are o, f, i, g of each unit side by
    /// side. States and cells outside the image are zero. The derivative of its derivative is not offered.
    #[track_caller]
    #[must_use]
    pub fn lstm(self, weight: Tensor<'g>, order: Order) -> Tensor<'g> {
        let kept = self.graph().apply(Scan { order }, &[self, weight]);
        let [_, n, h, w, units] = kept.shape()[..] else { return kept };
        let states = kept.slice(0, 0..1).reshape([n, h, w, units]);
        self.graph().apply(Hidden { order }, &[states, kept, self, weight])
    }
}
