//! What a user can get wrong in models that learn from few labels.

use crate::engine::mistakes::{check, x};
use oneiro::{
    graph::Graph,
    models::{
        game::{Game, Rules},
        gan,
        semi_supervised::{Config, M2, SemiSupervised},
    },
    optim::Optimizer,
};

#[test]
fn few_labels_defer_mistakes() {
    fn m2(g: &Graph) -> M2<'_> {
        M2::new(g, &Config { inputs: 12, classes: 3, hidden: vec![5], latent: 2, ..Config::default() })
    }
    fn telling() -> Game<gan::Networks> {
        let networks = gan::Networks { latent: 3, hidden: vec![5] };
        Game::new(networks, Rules::default(), [16, 16, 1], [16, 16], 0, 4).unwrap().telling_apart(3)
    }
    fn whole(g: &Graph) -> SemiSupervised<'_> {
        SemiSupervised::new(None, m2(g))
    }
    check(
        file!(),
        &[
            (
                line!(),
                |g| _ = M2::new(g, &Config { hidden: vec![], ..Config::default() }),
                "one hidden layer",
            ),
            (line!(), |g| _ = M2::new(g, &Config { classes: 0, ..Config::default() }), "has no elements"),
            (line!(), |g| _ = m2(g).labelled(x(g, &[4, 12]), x(g, &[4, 2])), "matmul"),
            (line!(), |g| _ = m2(g).unlabelled(x(g, &[4, 11])), "matmul"),
            (line!(), |g| _ = m2(g).loss(x(g, &[4, 12]), x(g, &[2, 12]), x(g, &[3, 3])), ""),
            (line!(), |g| _ = whole(g).bound(x(g, &[4, 11])), "matmul"),
            (line!(), |g| _ = whole(g).styles(x(g, &[12])), ""),
            (line!(), |g| _ = whole(g).pictures(x(g, &[4, 3]), x(g, &[4, 3])), "matmul"),
            (
                line!(),
                |g| {
                    let (x, few, class) = (x(g, &[4, 12]), x(g, &[2, 11]), x(g, &[2, 3]));
                    _ = whole(g).training_step(x, few, class, &Optimizer::adam(0.1));
                },
                "matmul",
            ),
            (
                line!(),
                |g| {
                    telling().telling_step(g, |g| [&[4, 7][..], &[2, 256], &[2, 3]].map(|s| x(g, s)));
                },
                "reshape",
            ),
            (line!(), |g| _ = telling().matching_step(g, |g| x(g, &[4, 7])), "reshape"),
            (line!(), |g| _ = telling().class_logits(x(g, &[4, 7])), "reshape"),
        ],
    );
}
