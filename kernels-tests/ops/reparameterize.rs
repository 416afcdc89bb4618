//! z = mu + exp(logvar/2)·eps and its derivatives of the first and second order, which draw eps again.

use crate::harness::{Case, Fill};
use oneiro::{
    graph::{Graph, autodiff, shape::Type},
    ops::reparameterize::reparameterize,
};

const SIZES: [usize; 10] = [1, 3, 4, 20, 257, 1_023, 1_024, 1_025, 2_560, 10_007];

/// A case of order 0 compares the sample, of order 1 or 2 its derivative by logvar.
fn case(n: usize, order: usize) -> Case {
    let build = move |g: &Graph| {
        let (mu, logvar) = (g.input("mu", Type::f32([n])), g.input("logvar", Type::f32([n])));
        let z = reparameterize("eps", mu, logvar);
        let derive = |y, name: &str| autodiff::vjp(y, g.input(name, Type::f32([n])), &[logvar])[0];
        g.output(
            "y",
            match order {
                0 => z,
                1 => derive(z, "c1"),
                _ => derive(derive(z, "c1"), "c2"),
            },
        );
    };
    let name = ["reparameterize", "scaled_noise", "scaled_noise twice"][order];
    Case::new(name, format!("{n}"), build)
        .fill("logvar", Fill::Uniform(-4.0, 2.0))
        .state("step", [2.0])
        .tolerance(3e-5, 3e-5)
}

pub(crate) fn cases() -> Vec<Case> {
    let mut out: Vec<Case> = SIZES.into_iter().flat_map(|n| [0, 1, 2].map(|order| case(n, order))).collect();
    out.extend([257, 1_024].into_iter().flat_map(|n| [0, 1, 2].map(|order| case(n, order).holes("logvar"))));
    for n in [4 * 65_601, 4 * 65_601 + 1] {
        out.extend([case(n, 0).many_workgroups(1), case(n, 1).many_workgroups(1)]);
    }
    out
}

pub(crate) fn smooth() -> Vec<Case> {
    [0, 1, 2].map(|order| case(5, order)).into()
}
