//! What a user can get wrong in models that play against each other, that judge pictures, or that learn from few
//! labels.

use crate::engine::mistakes::{check, x};
use oneiro::{
    graph::{Graph, shape::Type},
    models::{
        classifier::{self, Classifier},
        dcgan,
        game::{Game, Rules},
        gan,
        labels::Labels,
        players::{self, Tricks},
        semi_supervised,
    },
    nn::{Mode, Weight, minibatch_stddev},
    optim::Optimizer,
};

fn adversary() -> dcgan::Config {
    let (weight, norm) = (Weight::Plain, dcgan::Norm::Batch);
    dcgan::Config {
        side: 16,
        channels: 1,
        latent: 3,
        generator: 2,
        discriminator: 2,
        weight,
        norm,
        mode: Mode::Training,
        classes: 0,
        hint: 0,
        scores: 1,
        tricks: Tricks::default(),
    }
}

fn perceptrons() -> gan::Config {
    let (weight, mode, tricks) = (Weight::Plain, Mode::Training, Tricks::default());
    gan::Config {
        pixels: 12,
        latent: 3,
        hidden: vec![5],
        discriminator: vec![5],
        weight,
        classes: 0,
        scores: 1,
        mode,
        tricks,
    }
}

fn game() -> Game<dcgan::Networks> {
    let networks = dcgan::Networks { latent: 3, generator: 2, discriminator: 2 };
    Game::new(networks, Rules { ema: Some(0.9), ..Rules::default() }, [15, 16, 1], [16, 16], 2, 4).unwrap()
}

fn judge() -> classifier::Config {
    classifier::Config::standard([9, 9, 1], 3)
}

#[test]
fn adversaries_and_classifiers_defer_mistakes() {
    check(
        file!(),
        &[
            (
                line!(),
                |g| _ = dcgan::generator(g, "g", &dcgan::Config { side: 48, ..adversary() }),
                "a power of two from 8 on, not 48",
            ),
            (
                line!(),
                |g| _ = dcgan::discriminator(g, "d", &dcgan::Config { side: 0, ..adversary() }),
                "not 0",
            ),
            (
                line!(),
                |g| _ = dcgan::generator(g, "g", &dcgan::Config { generator: 0, ..adversary() }),
                "has no elements",
            ),
            (line!(), |g| _ = dcgan::generator(g, "g", &adversary()).forward(x(g, &[4, 1, 1, 5])), "conv2d"),
            (
                line!(),
                |g| _ = dcgan::discriminator(g, "d", &adversary()).activations(x(g, &[4, 8, 8, 1])),
                "conv2d",
            ),
            (line!(), |g| _ = players::beside(x(g, &[4]), Some(x(g, &[3]))), ""),
            (
                line!(),
                |g| _ = gan::generator(g, "g", &gan::Config { latent: 0, ..perceptrons() }),
                "has no elements",
            ),
            (
                line!(),
                |g| {
                    let config = gan::Config { latent: usize::MAX, classes: 3, ..perceptrons() };
                    _ = gan::generator(g, "g", &config);
                },
                "has too many elements",
            ),
            (
                line!(),
                |g| _ = dcgan::generator(g, "g", &dcgan::Config { generator: usize::MAX, ..adversary() }),
                "has too many elements",
            ),
            (
                line!(),
                |g| {
                    let labels = Labels { flipped: f32::NAN, ..Labels::default() };
                    _ = gan::Objective::NonSaturating.discriminator([x(g, &[4]); 2], &labels);
                },
                "flipped by a probability in [0, 1], not",
            ),
            (line!(), |g| _ = gan::Objective::Hinge.generator(g.input("u", Type::u32([2]))), "takes f32"),
            (line!(), |g| _ = gan::discriminator(g, "d", &perceptrons()).forward(x(g, &[4, 11])), "matmul"),
            (
                line!(),
                |g| _ = gan::gradient_penalty(|x| x.sum(&[1]), x(g, &[4, 3]), x(g, &[4, 2]), "p"),
                "do not broadcast",
            ),
            (line!(), |g| _ = gan::gradient_penalty(|x| x.sum(&[1]), x(g, &[]), x(g, &[]), "p"), ""),
            (line!(), |g| game().discriminator_step(g, |g| (x(g, &[4, 7]), None)), "reshape"),
            (line!(), |g| game().discriminator_step(g, |g| (x(g, &[3, 240]), Some(x(g, &[4, 2])))), ""),
            (
                line!(),
                |g| {
                    let networks = dcgan::Networks { latent: 0, generator: 2, discriminator: 2 };
                    let game = Game::new(networks, Rules::default(), [16, 16, 1], [16, 16], 0, 4).unwrap();
                    _ = game.generator_step(g);
                },
                "has no elements",
            ),
            (
                line!(),
                |g| {
                    let networks = gan::Networks::mirrored(3, vec![5]);
                    let game = Game::new(networks, Rules::default(), [16, 16, 1], [16, 16], 0, 4).unwrap();
                    game.discriminator_step(g, |g| (x(g, &[4, 7]), None));
                },
                "reshape",
            ),
            (line!(), |g| _ = gan::Objective::Minimax.judgement(g.input("u", Type::u32([2]))), "takes f32"),
            (line!(), |g| _ = game().pictures(x(g, &[4]), None), ""),
            (line!(), |g| _ = game().pictures(x(g, &[4, 2]), Some(x(g, &[4, 2]))), "conv2d"),
            (
                line!(),
                |g| _ = game().with_hints(1).pictures_of(x(g, &[4, 2]), None, Some(x(g, &[4, 7]))),
                "reshape",
            ),
            (
                line!(),
                |g| {
                    let networks = gan::Networks::mirrored(3, vec![5]);
                    let game = Game::new(networks, Rules::default(), [16, 16, 1], [16, 16], 0, 4).unwrap();
                    _ = game.with_hints(1).generator_step(g);
                },
                "these players take no hints",
            ),
            (
                line!(),
                |g| _ = dcgan::encoder(g, "g", &dcgan::Config { side: 12, hint: 1, ..adversary() }),
                "a power of two",
            ),
            (line!(), |g| _ = game().hidden(x(g, &[4, 7])), "reshape"),
            (line!(), |g| _ = minibatch_stddev(x(g, &[])), ""),
            (
                line!(),
                |g| {
                    let tricks = Tricks { dropout: 1.0, ..Tricks::default() };
                    let config = gan::Config { tricks, ..perceptrons() };
                    _ = gan::generator(g, "g", &config).forward(x(g, &[4, 3]));
                },
                "takes a rate in [0, 1)",
            ),
            (
                line!(),
                |g| {
                    let (networks, rules) = (gan::Networks::mirrored(3, vec![5]), Rules::default());
                    let rules = Rules { history: 3, ..rules };
                    let game = Game::new(networks, rules, [4, 4, 1], [4, 4], 0, 4).unwrap();
                    game.discriminator_step(g, |g| (x(g, &[4, 16]), None));
                },
                "a pool of 3 pictures is no multiple of half a batch of 4",
            ),
            (
                line!(),
                |g| {
                    let rules = Rules { history: 3, ..Rules::default() };
                    let networks = gan::Networks::mirrored(3, vec![5]);
                    let game = Game::new(networks, rules, [4, 4, 1], [4, 4], 0, 3).unwrap();
                    game.discriminator_step(g, |g| (x(g, &[3, 16]), None));
                },
                "half a batch of 3",
            ),
            (
                line!(),
                |g| _ = Classifier::new(g, &classifier::Config::standard([9, 9, 1], 0)),
                "has no elements",
            ),
            (line!(), |g| _ = Classifier::new(g, &judge()).features(x(g, &[2, 9, 9, 3])), "conv2d"),
            (line!(), |g| _ = Classifier::new(g, &judge()).features(x(g, &[9])), ""),
            (line!(), |g| _ = Classifier::new(g, &judge()).logits(x(g, &[2, 5])), "matmul"),
        ],
    );
}

#[test]
fn few_labels_defer_mistakes() {
    use semi_supervised::{Config, M2, SemiSupervised};
    fn m2(g: &Graph) -> M2<'_> {
        M2::new(g, &Config { inputs: 12, classes: 3, hidden: vec![5], latent: 2, ..Config::default() })
    }
    fn telling() -> Game<gan::Networks> {
        let networks = gan::Networks::mirrored(3, vec![5]);
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
            (
                line!(),
                |g| _ = M2::new(g, &Config { alpha: f32::NAN, ..Config::default() }),
                "alpha, share and noise are at least 0, not NaN",
            ),
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
