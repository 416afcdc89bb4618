//! Pooling: windows that overlap, leave gaps or reach over the edges, their derivatives of both orders, and
//! maxima that occur twice.

use crate::harness::{Case, Fill, of_order};
use oneiro::graph::{Graph, Tensor, shape::Type, window::Kernel};

type Pool = for<'g> fn(Tensor<'g>, &Kernel) -> Tensor<'g>;
const POOLS: [(&str, Pool); 2] = [("avg_pool", |x, k| x.avg_pool(k)), ("max_pool", |x, k| x.max_pool(k))];

fn kernels() -> [Kernel; 6] {
    [
        Kernel::square(2).stride(2),
        Kernel::square(3).stride(2).padding(1),
        Kernel::same(3),
        Kernel::square(1).stride(3),
        Kernel { size: [3, 2], stride: [1, 2], padding: [1, 0], ..Kernel::square(1) },
        Kernel::square(2).dilation(2),
    ]
}

/// A case of order 0 compares the tensor, of order 1 its gradient, of order 2 the gradient of the gradient by
/// the cotangent.
fn case((name, pool): (&'static str, Pool), kernel: &Kernel, image: [usize; 4], order: usize) -> Case {
    let of = kernel.clone();
    let build = move |g: &Graph| {
        let x = g.input("x", Type::f32(image));
        g.output("y", of_order(g, x, pool(x, &of), order));
    };
    let Kernel { size, stride, padding, .. } = kernel;
    Case::new(
        ["", " gradient", " twice"].map(|part| format!("{name}{part}"))[order].clone(),
        format!("{size:?} {stride:?} {padding:?} {image:?}"),
        build,
    )
    .tolerance(1e-6, 1e-6)
}

pub(crate) fn cases() -> Vec<Case> {
    let images = [[1, 3, 3, 1], [2, 5, 4, 3], [1, 4, 7, 4], [3, 8, 8, 8], [2, 9, 6, 12], [1, 17, 16, 5]];
    let mut out = vec![];
    for pool in POOLS {
        for kernel in kernels() {
            out.extend(
                images.into_iter().flat_map(|image| [0, 1, 2].map(|order| case(pool, &kernel, image, order))),
            );
        }
        // Many equal elements: the first in raster order.
        let ties = |image| {
            [0, 1].map(|order| case(pool, &Kernel::same(3), image, order).fill("x", Fill::Whole(0, 3)))
        };
        out.extend([[2, 7, 6, 3], [1, 9, 8, 4]].into_iter().flat_map(ties));
        // More workgroups than a dispatch's x holds.
        for c in [3, 4] {
            out.extend(
                [0, 1, 2].map(|order| case(pool, &kernels()[0], [1, 600, 450, c], order).many_workgroups(1)),
            );
        }
    }
    out
}

pub(crate) fn smooth() -> Vec<Case> {
    POOLS.into_iter().flat_map(|pool| kernels().map(|kernel| case(pool, &kernel, [1, 4, 5, 2], 0))).collect()
}
