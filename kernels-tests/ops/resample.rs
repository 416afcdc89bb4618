//! Upsampling: factors, edges and single pixels, with the derivatives of both orders.

use crate::harness::{Case, of_order};
use oneiro::graph::{Graph, Tensor, shape::Type};

type Up = for<'g> fn(Tensor<'g>, usize) -> Tensor<'g>;
const UPS: [(&str, Up); 2] = [
    ("upsample_nearest", |x, f| x.upsample_nearest(f)),
    ("upsample_bilinear", |x, f| x.upsample_bilinear(f)),
];

/// A case of order 0 compares the tensor, of order 1 its gradient, of order 2 the gradient of the gradient by
/// the cotangent.
fn case((name, up): (&'static str, Up), factor: usize, image: [usize; 4], order: usize) -> Case {
    let build = move |g: &Graph| {
        let x = g.input("x", Type::f32(image));
        g.output("y", of_order(g, x, up(x, factor), order));
    };
    let what = ["", " gradient", " twice"][order];
    Case::new(format!("{name}{what}"), format!("{factor} of {image:?}"), build)
        .tolerance(1e-6, 1e-6)
        .terms(factor * factor)
}

pub(crate) fn cases() -> Vec<Case> {
    let images = [[1, 1, 1, 1], [2, 1, 5, 3], [1, 4, 1, 4], [2, 3, 4, 5], [3, 4, 4, 8], [1, 7, 5, 16]];
    let mut out = vec![];
    for up in UPS {
        for factor in [1, 2, 3, 4, 5] {
            out.extend(
                images.into_iter().flat_map(|image| [0, 1].map(|order| case(up, factor, image, order))),
            );
        }
        out.extend(images.map(|image| case(up, 2, image, 2)));
        out.extend([3, 4].map(|c| case(up, 2, [1, 200, 120, c], 0).many_workgroups(1)));
    }
    out.extend([3, 4].map(|c| case(UPS[1], 2, [1, 300, 230, c], 1).many_workgroups(1)));
    out.push(case(UPS[1], 64, [1, 2, 2, 4], 1));
    out
}

pub(crate) fn smooth() -> Vec<Case> {
    UPS.into_iter().flat_map(|up| [1, 2, 3].map(|factor| case(up, factor, [1, 2, 3, 2], 0))).collect()
}
