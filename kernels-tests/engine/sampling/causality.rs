//! A logit sees the pixels before its own, and no others.

use super::{
    logits,
    networks::{HINTED, MODELS, Model, RECURRENT, SIGNALS, image},
};
use crate::subjects::adapter;
use oneiro::{
    graph::{
        Graph, Tensor,
        window::{Kernel, Taps},
    },
    models::{
        gated_pixelcnn::{self, GatedPixelCnn},
        likelihood::Likelihood::{self, Bernoulli},
    },
    nn::Conv2d,
};

/// A picture, and for each of its values the same picture with that value changed.
fn changes(size: usize) -> (Vec<f32>, impl Iterator<Item = (usize, Vec<f32>)>) {
    let x: Vec<f32> = (0..size).map(|i| (i * 7 % 5 % 2) as f32).collect();
    let whole = x.clone();
    (
        x,
        (0..size).map(move |j| {
            (j, whole.iter().enumerate().map(|(i, v)| if i == j { 1.0 - v } else { *v }).collect())
        }),
    )
}

/// Changing a pixel leaves every logit up to its own as it was, to the bit, and changes later ones.
#[test]
fn no_logit_sees_its_pixel_or_a_later_one() {
    let Some(gpu) = adapter("causality") else { return };
    let channels = |likelihood: Likelihood| if likelihood.has_levels() { 3 } else { 2 };
    let pictures = MODELS.into_iter().chain(RECURRENT).chain(HINTED);
    let pictures = pictures.map(|model| (model, [1, 3, 4, channels(model.1)]));
    for ((name, likelihood, model), shape) in pictures.chain(SIGNALS.map(|model| (model, [1, 1, 24, 1]))) {
        let c = shape[3];
        let (eval, (x, changes)) = (logits(gpu, shape, 2, model), changes(shape.iter().product()));
        let before = eval(&x);
        let mut reached = vec![false; before.len()];
        for (j, changed) in changes {
            let after = eval(&changed);
            // Channels follow each other but in these: one's channels do not see each other, a mixture has
            // them at once.
            let together = name == "stacks" || likelihood.steps(c) == 1;
            let until = if together { (j / c + 1) * c } else { j + 1 } * likelihood.outputs(c) / c;
            let same = before.iter().zip(&after).take(until).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "{name}: changing value {j} changes an output up to it");
            reached.iter_mut().zip(before.iter().zip(&after)).for_each(|(r, (a, b))| *r |= a != b);
        }
        let reached = &reached[likelihood.outputs(c)..];
        let blind = reached.iter().filter(|&&r| !r).count();
        assert!(blind == 0, "{name}: {blind} of {} outputs after the first pixel see nothing", reached.len());
    }
}

/// Every logit of a gated PixelCNN sees every pixel before it; some logits of a PixelCNN with windows as
/// large do not (van den Oord et al. 2016b, §2.2).
#[test]
fn only_the_gated_pixelcnn_has_no_blind_spot() {
    let Some(gpu) = adapter("blind spots") else { return };
    fn gated<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
        let config = gated_pixelcnn::Config {
            image: image(x),
            features: 16,
            layers: 4,
            kernel: 3,
            head: 16,
            classes: None,
            dropout: 0.0,
            likelihood: Bernoulli,
            hint: None,
        };
        GatedPixelCnn::new(g, &config).logits(x, None)
    }
    fn plain<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
        let conv = |i: usize, c, taps| Conv2d::new(g, &format!("{i}"), Kernel::same(3).taps(taps), c);
        let first = conv(0, [1, 16], Taps::MaskA).forward(x);
        let hidden = (1..4).fold(first, |x, i| conv(i, [16, 16], Taps::MaskB).forward(x.tanh()));
        Conv2d::new(g, "out", Kernel::square(1), [16, 1]).forward(hidden.tanh())
    }
    let blind = |model: Model| -> usize {
        let (eval, (x, changes)) = (logits(gpu, [1, 5, 5, 1], 2, model), changes(25));
        let before = eval(&x);
        changes
            .map(|(j, changed)| {
                eval(&changed).iter().zip(&before).skip(j + 1).filter(|(a, b)| a == b).count()
            })
            .sum()
    };
    let (gated, plain) = (blind(gated), blind(plain));
    assert!(gated == 0 && plain > 0, "a gated PixelCNN misses {gated} pairs of pixels, a plain one {plain}");
}
