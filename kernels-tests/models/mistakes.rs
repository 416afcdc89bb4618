//! What a user can get wrong in models, checked as in `engine/mistakes.rs`.

mod players;

use crate::engine::mistakes::{check, x};
use oneiro::{
    models::{
        autoencoder::{self, Autoencoder},
        autoregressive::{Autoregressive, Given},
        conv_vae,
        fvbn::{self, Fvbn},
        gated_pixelcnn::{self, GatedPixelCnn},
        hint,
        likelihood::{Likelihood, log_probability},
        pixelcnn::{self, PixelCnn},
        pixelrnn::{self, Cell, PixelRnn},
        vae::{self, Vae},
        wavenet::{self, WaveNet},
    },
    nn::Mode,
    optim::Optimizer,
};

fn conv_vae() -> conv_vae::Config {
    conv_vae::Config { image: [8, 8, 1], widths: vec![2, 4], latent: 2, ..conv_vae::Config::default() }
}

fn small_vae() -> vae::Config {
    vae::Config { pixels: 12, hidden: vec![5], latent: 2, ..vae::Config::default() }
}

#[test]
fn autoencoders_defer_mistakes() {
    use autoencoder::Config as Code;
    check(
        file!(),
        &[
            (
                line!(),
                |g| {
                    let vae = Vae::new(g, &vae::Config { hidden: vec![], ..small_vae() });
                    let _ = (
                        vae.loss(x(g, &[3, 12])),
                        vae.log_weights(x(g, &[3, 12]), x(g, &[3, 2]), x(g, &[3, 2]), 4),
                    );
                },
                "vae: the network needs at least one hidden layer",
            ),
            (
                line!(),
                |g| _ = Vae::new(g, &vae::Config { hidden: vec![], ..small_vae() }),
                "vae: the network needs at least one",
            ),
            (
                line!(),
                |g| _ = Vae::new(g, &vae::Config { hidden: vec![5, 0], ..small_vae() }),
                "has no elements",
            ),
            (
                line!(),
                |g| _ = Vae::new(g, &vae::Config { latent: 0, ..small_vae() }).loss(x(g, &[3, 12])),
                "has no elements",
            ),
            (line!(), |g| _ = Vae::new(g, &small_vae()).loss(x(g, &[3, 11])), "matmul"),
            (
                line!(),
                |g| _ = Vae::new(g, &vae::Config { beta: f32::NAN, ..small_vae() }),
                "beta is at least 0, not NaN",
            ),
            (
                line!(),
                |g| {
                    let config = conv_vae::Config { beta: -1.0, ..conv_vae() };
                    _ = Vae::convolutional(g, &config, Mode::Training);
                },
                "beta is at least 0, not -1",
            ),
            (
                line!(),
                |g| _ = autoencoder::Encoder::new(g, &Code { hidden: vec![0], ..Code::default() }),
                "has no elements",
            ),
            (line!(), |g| _ = Vae::new(g, &small_vae()).loss(x(g, &[12])), "matmul"),
            (line!(), |g| _ = Vae::new(g, &small_vae()).decode(x(g, &[3, 4])), "matmul"),
            (
                line!(),
                |g| _ = Vae::new(g, &small_vae()).log_weights(x(g, &[12]), x(g, &[3, 2]), x(g, &[3, 2]), 4),
                "",
            ),
            (
                line!(),
                |g| {
                    _ = Vae::convolutional(
                        g,
                        &conv_vae::Config { widths: vec![], ..conv_vae() },
                        Mode::Training,
                    )
                    .loss(x(g, &[3, 64]))
                },
                "conv_vae: 0 layers",
            ),
            (
                line!(),
                |g| {
                    _ = Vae::convolutional(
                        g,
                        &conv_vae::Config { image: [6, 8, 1], ..conv_vae() },
                        Mode::Training,
                    )
                    .loss(x(g, &[3, 48]))
                },
                "multiples of 4",
            ),
            (
                line!(),
                |g| _ = Vae::convolutional(g, &conv_vae(), Mode::Training).loss(x(g, &[3, 63])),
                "reshape",
            ),
            (
                line!(),
                |g| _ = Vae::convolutional(g, &conv_vae(), Mode::Training).decode(x(g, &[3, 4])),
                "matmul",
            ),
            (line!(), |g| _ = Vae::new(g, &small_vae()).encode(x(g, &[3, 11])), "matmul"),
            (line!(), |g| _ = Vae::kl(x(g, &[3, 2]), x(g, &[3, 3])), "do not broadcast"),
            (
                line!(),
                |g| _ = Vae::new(g, &small_vae()).training_step(x(g, &[3, 11]), &Optimizer::adam(0.1)),
                "matmul",
            ),
            (
                line!(),
                |g| {
                    _ = Autoencoder::new(g, &Code::default())
                        .training_step(x(g, &[3, 12]), &Optimizer::adam(0.1))
                },
                "matmul",
            ),
            (line!(), |g| _ = Autoencoder::new(g, &Code::default()).restore(x(g, &[3, 12])), "matmul"),
            (line!(), |g| _ = Autoencoder::new(g, &Code { noise: 1.5, ..Code::default() }), "a share of 1.5"),
            (line!(), |g| _ = Autoencoder::new(g, &Code { code: 0, ..Code::default() }), "has no elements"),
            (line!(), |g| _ = Autoencoder::new(g, &Code::default()).loss(x(g, &[3, 12]), true), "matmul"),
            (line!(), |g| _ = autoencoder::Classifier::new(g, &Code::default(), 0), "has no elements"),
            (
                line!(),
                |g| _ = autoencoder::Classifier::new(g, &Code::default(), 3).forward(x(g, &[784])),
                "matmul",
            ),
            (line!(), |g| _ = autoencoder::correct(x(g, &[3]), x(g, &[3, 2])), ""),
        ],
    );
}

fn pixels() -> pixelcnn::Config {
    pixelcnn::Config { image: [6, 6, 1], features: 4, blocks: 2, head: 4, ..pixelcnn::Config::mnist() }
}

fn gated() -> gated_pixelcnn::Config {
    let likelihood = Likelihood::Bernoulli;
    let (image, features, layers, kernel, head) = ([6, 6, 1], 4, 2, 3, 4);
    gated_pixelcnn::Config {
        image,
        features,
        layers,
        kernel,
        head,
        classes: Some(3),
        dropout: 0.0,
        likelihood,
        hint: None,
    }
}

fn signals() -> wavenet::Config {
    wavenet::Config { features: 4, skip: 4, head: 4, layers: 2, blocks: 1, classes: None }
}

fn belief() -> fvbn::Config {
    fvbn::Config { pixels: 12, hidden: vec![8], direct: true }
}

#[test]
fn density_models_defer_mistakes() {
    check(
        file!(),
        &[
            (
                line!(),
                |g| _ = Fvbn::new(g, &fvbn::Config { pixels: 0, ..belief() }).loss(x(g, &[2, 1])),
                "has no elements",
            ),
            (line!(), |g| _ = Fvbn::new(g, &fvbn::Config { hidden: vec![0], ..belief() }), "has no elements"),
            (line!(), |g| _ = Fvbn::new(g, &belief()).loss(x(g, &[2, 11])), "matmul"),
            (
                line!(),
                |g| _ = Fvbn::new(g, &fvbn::Config { pixels: usize::MAX, ..belief() }),
                "too many weights",
            ),
            (
                line!(),
                |g| _ = PixelCnn::new(g, &pixelcnn::Config { features: 1 << 63, ..pixels() }),
                "has too many elements",
            ),
            (
                line!(),
                |g| _ = GatedPixelCnn::new(g, &gated_pixelcnn::Config { features: 1 << 63, ..gated() }),
                "has too many elements",
            ),
            (
                line!(),
                |g| _ = WaveNet::new(g, &wavenet::Config { features: 1 << 63, ..signals() }),
                "has too many elements",
            ),
            (
                line!(),
                |g| _ = WaveNet::new(g, &wavenet::Config { layers: 17, ..signals() }),
                "at least one block of 1 to 16 layers",
            ),
            (
                line!(),
                |g| _ = WaveNet::new(g, &signals()).logits(x(g, &[2, 1, 8, 2]), None),
                "wants signals [N, 1, L, 1]",
            ),
            (
                line!(),
                |g| {
                    let config = hint::Config { channels: 0, features: 3, layers: 1 };
                    _ = hint::Network::new(g, &config, [4]);
                },
                "has no elements",
            ),
            (
                line!(),
                |g| {
                    let all = Likelihood::Mixture(usize::MAX);
                    _ = all.nats(x(g, &[2, 6, 6, 7]), x(g, &[2, 6, 6, 1]));
                },
                "wants outputs",
            ),
            (
                line!(),
                |g| _ = Likelihood::Mixture(usize::MAX).draw(x(g, &[4, 3]), 1.0, x(g, &[4, 2])),
                "slice",
            ),
            (line!(), |g| _ = Fvbn::new(g, &belief()).loss(x(g, &[12])), "matmul"),
            (
                line!(),
                |g| {
                    _ = PixelCnn::new(g, &pixelcnn::Config { dilations: vec![0], ..pixels() })
                        .loss(x(g, &[2, 36]))
                },
                "has a 0",
            ),
            (
                line!(),
                |g| _ = PixelCnn::new(g, &pixelcnn::Config { features: 0, ..pixels() }),
                "has no elements",
            ),
            (
                line!(),
                |g| {
                    _ = PixelCnn::new(g, &pixelcnn::Config { likelihood: Likelihood::Mixture(0), ..pixels() })
                },
                "has no elements",
            ),
            (
                line!(),
                |g| {
                    let image = || x(g, &[2, 6, 6, 1]);
                    let (likelihood, cell) = (Likelihood::Bernoulli, Cell::Row(3));
                    let config = pixelrnn::Config {
                        image: [6, 6, 1],
                        cell,
                        features: 4,
                        layers: 1,
                        head: 4,
                        likelihood,
                        hint: None,
                    };
                    _ = PixelRnn::new(g, &config).logits_hinted(image(), Some(image()));
                },
                "takes no hint",
            ),
            (line!(), |g| _ = PixelCnn::new(g, &pixels()).loss(x(g, &[2, 35])), "reshape"),
            (line!(), |g| _ = PixelCnn::new(g, &pixels()).logits(x(g, &[2, 6, 6, 3])), "conv2d"),
            (
                line!(),
                |g| _ = PixelCnn::new(g, &pixels()).logits_dropping(x(g, &[2, 6, 6, 1]), None, 1.0),
                "dropout",
            ),
            (line!(), |g| _ = pixels().nats(g, Given::pictures(x(g, &[36]))), ""),
            (line!(), |g| _ = belief().network(g, Given::pictures(x(g, &[5]))), ""),
            (
                line!(),
                |g| {
                    _ = GatedPixelCnn::new(g, &gated_pixelcnn::Config { kernel: 4, ..gated() })
                        .loss(x(g, &[2, 36]), None)
                },
                "windows of odd size, got 2 of 4x4",
            ),
            (
                line!(),
                |g| {
                    _ = GatedPixelCnn::new(g, &gated_pixelcnn::Config { layers: 0, ..gated() })
                        .loss(x(g, &[2, 36]), None)
                },
                "at least one layer",
            ),
            (line!(), |g| _ = GatedPixelCnn::new(g, &gated()).loss(x(g, &[2, 35]), None), "reshape"),
            (
                line!(),
                |g| _ = GatedPixelCnn::new(g, &gated()).loss(x(g, &[2, 36]), Some(x(g, &[2, 4]))),
                "matmul",
            ),
            (
                line!(),
                |g| _ = GatedPixelCnn::new(g, &gated()).loss(x(g, &[2, 36]), None),
                "wants the classes one-hot, [N, 3], got none",
            ),
            (
                line!(),
                |g| {
                    let plain = gated_pixelcnn::Config { classes: None, ..gated() };
                    _ = GatedPixelCnn::new(g, &plain).logits(x(g, &[2, 6, 6, 1]), Some(x(g, &[2, 3])));
                },
                "is not conditioned on classes",
            ),
            (
                line!(),
                |g| {
                    let given = Given { class: Some(x(g, &[2, 3])), ..Given::pictures(x(g, &[2, 6, 6, 1])) };
                    _ = pixels().training_step(g, "fit", given, &Optimizer::adam(0.1));
                },
                "is not conditioned on classes",
            ),
            (
                line!(),
                |g| {
                    let given =
                        Given { hint: Some(x(g, &[2, 6, 6, 1])), ..Given::pictures(x(g, &[2, 6, 6, 1])) };
                    _ = pixels().nats(g, given);
                },
                "the model takes no hint",
            ),
            (
                line!(),
                |g| {
                    let hint = Some(hint::Config { channels: 2, features: 3, layers: 1 });
                    let hinted = gated_pixelcnn::Config { classes: None, hint, ..gated() };
                    _ = hinted.nats(g, Given::pictures(x(g, &[2, 6, 6, 1])));
                },
                "wants a hint",
            ),
            (
                line!(),
                |g| _ = log_probability(x(g, &[4, 1]), x(g, &[4, 2]), x(g, &[4, 3])),
                "do not broadcast",
            ),
            (
                line!(),
                |g| _ = Likelihood::Softmax.draw(x(g, &[4, 1024]), 1.0, x(g, &[4, 4])),
                "1 to 3 channels",
            ),
            (
                line!(),
                |g| _ = Likelihood::Bernoulli.draw(x(g, &[4, 1]), 0.0, x(g, &[4, 1])),
                "a temperature is above 0, not 0",
            ),
            (
                line!(),
                |g| _ = Likelihood::Softmax.nats(x(g, &[2, 6, 6, 7]), x(g, &[2, 6, 6, 1])),
                "wants outputs",
            ),
            (line!(), |g| _ = Likelihood::Bernoulli.nats(x(g, &[2, 6]), x(g, &[2, 6])), "wants pixels"),
            (
                line!(),
                |g| _ = Likelihood::Mixture(2).draw(x(g, &[4, 9]), 1.0, x(g, &[4])),
                "[R, 2] or more, got [4]",
            ),
            (line!(), |g| _ = Likelihood::Mixture(2).draw(x(g, &[4, 3]), 1.0, x(g, &[4, 2])), "slice"),
            (line!(), |g| _ = Likelihood::Softmax.draw(x(g, &[4, 9]), 1.0, x(g, &[4, 1])), "reshape"),
        ],
    );
}
