//! Ranks that share a training compute what one rank with the whole batch computes, and the same bits again when
//! they do it twice.

use crate::{engine::collective::each, subjects::adapter};
use oneiro::{
    data::{Images, Order},
    gpu::{Executor, Gpu, State},
    graph::{Graph, Tensor, autodiff, shape::Type, share::Share},
    kernel::caps::Caps,
    models::{
        autoregressive::{Autoregressive, Given},
        classifier::{self, Classifier},
        dcgan,
        game::{Game, Rules},
        gan::{self, Objective},
        labels::Labels,
        likelihood::Likelihood,
        pixelcnn,
        players::Tricks,
        vae::Vae,
    },
    optim::Optimizer,
    plan::Plan,
    train::{Collective, Evaluation, Feed, Parts, Round, Steps, Threads, batch, exchange, labels},
};
use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

/// The images of the whole batch.
const BATCH: usize = 8;
const STEPS: u64 = 50;
const SIDE: usize = 8;

/// Records a round for a share of the batch.
type Record = fn(&Caps, Share, &Images) -> Round;

/// 50 images: six batches of 8, with images left over.
fn images() -> Images {
    images_of(50, SIDE)
}

/// Images of three classes.
fn images_of(count: usize, side: usize) -> Images {
    let pixel = |i: usize| (i * 37 % 251) as u8 ^ (i / 64 * 5) as u8;
    Images {
        count,
        height: side,
        width: side,
        channels: 1,
        classes: 3,
        pixels: (0..count * side * side).map(pixel).collect(),
        labels: Some((0..count).map(|i| (i % 3) as u8).collect()),
    }
}

/// The metrics of all steps, and the weights after them.
type Trained = (Vec<Vec<f64>>, Vec<(String, Vec<u32>)>);

/// Trains by so many ranks; returns what each of them has.
fn train(gpu: &Gpu, record: Record, size: usize) -> Vec<Trained> {
    each(size, |ranks| {
        let (share, images) = (ranks.share(), images());
        let round = record(gpu.caps(), share, &images);
        let plans: Vec<&Plan> = round.plans().collect();
        let state = State::new(gpu, &plans, 5).unwrap();
        let feed = Feed::new(gpu, &images).unwrap();
        let order = Order { seed: 5, batch: BATCH / size, batches: 1, count: 50, share };
        let mut steps = Steps::new(gpu, &state, &round, &feed, None, order).unwrap().with_ranks(ranks);
        let mut metrics = vec![];
        while steps.done() < STEPS {
            steps.submit(STEPS - steps.done()).unwrap();
            metrics.extend(steps.read().unwrap());
        }
        let words = |name: String| {
            let words = state.read_words(gpu, &name).unwrap();
            (name, words)
        };
        (metrics, round.weights().into_iter().map(words).collect())
    })
}

/// The largest difference of metrics, relative to those of one rank where these are above 1.
fn difference(one: &Trained, other: &Trained) -> f64 {
    let pairs = one.0.iter().flatten().zip(other.0.iter().flatten());
    pairs.map(|(a, b)| (a - b).abs() / a.abs().max(1.0)).fold(0.0, f64::max)
}

/// One, two and four ranks measure the same at every step within 1e-5; all ranks of a training have the same
/// weights, bit for bit, and so has the same training when it is run again.
fn ranks_agree(name: &str, record: Record) {
    let Some(gpu) = adapter(name) else { return };
    let one = train(gpu, record, 1).remove(0);
    assert_eq!(one.0.len() as u64, STEPS);
    assert!(one.0.iter().flatten().all(|value| value.is_finite()), "{name}: {:?}", one.0);
    for size in [2, 4] {
        let all = train(gpu, record, size);
        let worst = difference(&one, &all[0]);
        crate::harness::say(&format!("{name}, {size} ranks: losses within {worst:.1e} of one rank's"));
        assert!(worst < 1e-5, "{name}, {size} ranks: {worst:e}\n{:?}\n{:?}", one.0, all[0].0);
        assert!(all.iter().all(|rank| *rank == all[0]), "{name}: {size} ranks differ from each other");
        assert!(size == 4 || train(gpu, record, size) == all, "{name}: {size} ranks differ from themselves");
    }
}

fn local(share: Share) -> usize {
    BATCH / share.size
}

#[test]
fn ranks_train_a_vae_as_one_does() {
    ranks_agree("VAE", |caps, share, images| {
        let g = Graph::shared(share);
        let vae = Vae::new(&g, &crate::subjects::config(SIDE * SIDE, 16, 3));
        let x = batch(&g, images, local(share), Some("binarise"));
        let metrics = vae.training_step(x, &Optimizer::adam(1e-3).clip_norm(20.0));
        Round::new(&g, &metrics, caps).unwrap()
    });
}

#[test]
fn ranks_train_a_pixelcnn_with_dropout_as_one_does() {
    ranks_agree("PixelCNN", |caps, share, images| {
        let g = Graph::shared(share);
        let config = pixelcnn::Config {
            image: [SIDE, SIDE, 1],
            features: 4,
            blocks: 1,
            dilations: vec![],
            head: 4,
            dropout: 0.3,
            likelihood: Likelihood::Bernoulli,
            hint: None,
        };
        let x = batch(&g, images, local(share), Some("binarise")).reshape([local(share), SIDE, SIDE, 1]);
        let given = Given { training: true, ..Given::pictures(x) };
        let metrics = config.training_step(&g, "pixelcnn", given, &Optimizer::adam(1e-3));
        Round::new(&g, &metrics, caps).unwrap()
    });
}

#[test]
fn ranks_train_a_dcgan_with_batch_norm_as_one_does() {
    ranks_agree("DCGAN", |caps, share, images| {
        let networks = dcgan::Networks { latent: 4, generator: 4, discriminator: 4 };
        let rules = Rules { instance_noise: 0.1, ema: Some(0.9), ..Rules::default() };
        let game = Game::new(networks, rules, [SIDE, SIDE, 1], [SIDE; 2], 3, local(share)).unwrap();
        let [discriminator, generator] = [0, 1].map(|_| Graph::shared(share));
        game.discriminator_step(&discriminator, |g| {
            (batch(g, images, local(share), None), Some(labels(g, images, local(share))))
        });
        let metrics = game.generator_step(&generator);
        let plan = Plan::new(&discriminator, caps).unwrap();
        Round::new(&generator, &metrics, caps).unwrap().after(plan, 1)
    });
}

#[test]
fn ranks_train_a_classifier_as_one_does() {
    ranks_agree("classifier", |caps, share, images| {
        let g = Graph::shared(share);
        let network = Classifier::new(&g, &classifier::Config::standard([SIDE, SIDE, 1], 3));
        let x = batch(&g, images, local(share), None).reshape([local(share), SIDE, SIDE, 1]);
        let class = labels(&g, images, local(share));
        let loss = network.logits(network.features(x)).cross_entropy(class).mean_all();
        Optimizer::adam(1e-3).step("classifier", loss, &network.params());
        Round::new(&g, &vec![("loss", loss * local(share) as f32)], caps).unwrap()
    });
}

/// Ranks share the batches of a test set, and draw for them what one rank draws.
#[test]
fn ranks_score_what_one_does() {
    let Some(gpu) = adapter("scores by ranks") else { return };
    let images = images();
    let score = Evaluation::in_batches(8, gpu.caps(), &images, |g, x| {
        Vae::new(g, &crate::subjects::config(SIDE * SIDE, 16, 3)).loss(x).metrics()
    });
    let score = score.unwrap();
    let state = State::new(gpu, &score.plans().collect::<Vec<_>>(), 5).unwrap();
    let score = score.ready(gpu, &state, &images).unwrap();
    let one = score.run().unwrap();
    // Seven batches, of which the last has two images; of ten ranks, some have none.
    for size in [2, 3, 10] {
        let parts: Vec<_> = (0..size).map(|rank| score.part(Share { rank, size }).unwrap()).collect();
        assert_eq!(parts.iter().map(|part| part.1).sum::<usize>(), 50, "{size} ranks");
        for (i, (name, mean)) in one.iter().enumerate() {
            let sum: f64 = parts.iter().map(|part| part.0[i].1).sum();
            assert!(
                (sum / 50.0 - mean).abs() < 1e-6 * mean.abs(),
                "{size} ranks, {name}: {}, not {mean}",
                sum / 50.0
            );
        }
    }
}

/// Labels, dropout and noise are drawn for the whole batch, and its standard deviation is the whole batch's, in a
/// gradient penalty too.
#[test]
fn ranks_train_a_game_with_tricks_as_one_does() {
    fn record(caps: &Caps, share: Share, images: &Images, rules: Rules) -> Round {
        let networks = gan::Networks::mirrored(4, vec![6, 8]);
        let tricks = Tricks { stddev: true, dropout: 0.3, ..Tricks::default() };
        let rules = Rules { uniform: true, sgd: true, lr_discriminator: 0.01, tricks, ..rules };
        let game = Game::new(networks, rules, [SIDE, SIDE, 1], [SIDE; 2], 0, local(share)).unwrap();
        let [discriminator, generator] = [0, 1].map(|_| Graph::shared(share));
        game.discriminator_step(&discriminator, |g| (batch(g, images, local(share), None), None));
        let metrics = game.generator_step(&generator);
        let plan = Plan::new(&discriminator, caps).unwrap();
        Round::new(&generator, &metrics, caps).unwrap().after(plan, 1)
    }
    ranks_agree("GAN with soft and flipped labels", |caps, share, images| {
        let labels = Labels { real: [0.7, 1.2], fake: [0.0, 0.3], flipped: 0.2 };
        record(caps, share, images, Rules { labels, ..Rules::default() })
    });
    ranks_agree("GAN with a gradient penalty", |caps, share, images| {
        let objective = Objective::Wasserstein;
        record(caps, share, images, Rules { objective, penalty: Some(10.0), ..Rules::default() })
    });
}

/// A line that is as slow as a network: a message takes `latency`, and a byte the part of a second that it takes at
/// this rate. It counts what it carries.
struct Link<'a> {
    line: &'a Threads,
    latency: Duration,
    bytes_a_second: f64,
    carried: Mutex<Carried>,
}

/// The rounds, the bytes and the time of a line.
#[derive(Default)]
struct Carried {
    rounds: u64,
    bytes: u64,
    time: Duration,
}

impl Collective for Link<'_> {
    fn share(&self) -> Share {
        self.line.share()
    }

    fn swap(&self, parts: Parts) -> oneiro::error::Result<Parts> {
        let Share { rank, size } = self.share();
        let bytes: usize = (0..size).filter(|&other| other != rank).map(|other| parts[other].len()).sum();
        let begun = Instant::now();
        std::thread::sleep(self.latency + Duration::from_secs_f64(bytes as f64 / self.bytes_a_second));
        let got = self.line.swap(parts);
        let mut carried = self.carried.lock().unwrap();
        carried.rounds += 1;
        carried.bytes += bytes as u64;
        carried.time += begun.elapsed();
        got
    }
}

/// What steps of a rank took: the fastest one in seconds, the share of all steps' time that passed at the line, what
/// the line carried, and the gradients that a step exchanges.
struct Cost {
    fastest: f64,
    share: f64,
    carried: Carried,
    packed: u64,
}

/// The cost of 20 steps of a VAE after a first one, with this whole batch and images of these sides, by so many ranks
/// on a line of this latency in seconds and bits a second.
fn cost(gpu: &Gpu, [batch_size, side]: [usize; 2], size: usize, latency: f64, bits: f64) -> Cost {
    let record = |share: Share, images: &Images| {
        let g = Graph::shared(share);
        let vae = Vae::new(&g, &crate::subjects::config(side * side, 400, 20));
        let x = batch(&g, images, batch_size / share.size, None);
        let metrics = vae.training_step(x, &Optimizer::adam(1e-3));
        Round::new(&g, &metrics, gpu.caps()).unwrap()
    };
    let all = each(size, |line| {
        let (share, images) = (line.share(), images_of(2 * batch_size, side));
        let round = record(share, &images);
        let state = State::new(gpu, &round.plans().collect::<Vec<_>>(), 5).unwrap();
        let feed = Feed::new(gpu, &images).unwrap();
        let order = Order { seed: 5, batch: batch_size / size, batches: 1, count: images.count, share };
        let (latency, carried) = (Duration::from_secs_f64(latency), Mutex::default());
        let link = Link { line, latency, bytes_a_second: bits / 8.0, carried };
        let mut steps = Steps::new(gpu, &state, &round, &feed, None, order).unwrap().with_ranks(&link);
        let all = Instant::now();
        let mut step = || {
            let begun = Instant::now();
            steps.submit(1).unwrap();
            gpu.wait().unwrap();
            begun.elapsed().as_secs_f64()
        };
        step();
        let fastest = (0..20).map(|_| step()).fold(f64::MAX, f64::min);
        let elements = |launch: &oneiro::plan::Launch| launch.exchange.map(|(_, elements)| elements as u64);
        let packed: u64 = round.plans().flat_map(|plan| &plan.launches).filter_map(elements).sum();
        let share = link.carried.lock().unwrap().time.as_secs_f64() / all.elapsed().as_secs_f64();
        Cost { fastest, share, carried: link.carried.into_inner().unwrap(), packed }
    });
    all.into_iter().next().unwrap()
}

/// A step's gradients go over the line once to be added up and once to be told, whatever the number of ranks. What a
/// step of a VAE on MNIST's images costs by 1, 2 and 4 ranks in turn is printed, for docs/scaling.md.
#[test]
fn a_step_carries_what_it_should() {
    let Some(gpu) = adapter("what a step carries") else { return };
    for size in [1, 2, 4, 1, 2, 4, 1, 2, 4] {
        let Cost { fastest, share, carried: Carried { rounds, bytes, .. }, packed } =
            cost(gpu, [128, 28], size, 0.0, 1e15);
        let [ms, percent] = [1e3 * fastest, 1e2 * share];
        crate::harness::say(&format!("{size} ranks: {ms:.1} ms a step, {percent:.0} % at the line"));
        let wanted = 2 * 4 * packed * (size as u64 - 1) / size as u64;
        let most = if size == 1 { 0 } else { 21 * 2 };
        assert_eq!((rounds, bytes), (most, 21 * wanted), "{size} ranks, {packed} gradients");
    }
}

/// A step takes at least the time of the line that docs/scaling.md says; how much goes over it was counted above.
#[test]
fn a_step_waits_for_its_line() {
    /// The seconds that a message takes: more than steps differ by beside other work.
    const LATENCY: f64 = 0.01;
    let Some(gpu) = adapter("what a line costs") else { return };
    for size in [2, 4] {
        let of = |latency, bits| cost(gpu, [BATCH, SIDE], size, latency, bits);
        let Cost { fastest: free, packed, .. } = of(0.0, 1e15);
        for bits in [1e9, 1e10, 1e11] {
            let slow = of(LATENCY, bits).fastest;
            let bytes = 2 * 4 * packed * (size as u64 - 1) / size as u64;
            let predicted = 2.0 * LATENCY + bytes as f64 * 8.0 / bits;
            assert!(
                slow > predicted,
                "{size} ranks: a step of {slow} s, of which the line takes {predicted} s"
            );
            crate::harness::say(&format!(
                "{size} ranks, {:.0} Gbit/s with 10 ms: a step takes {:.2} ms more, {:.2} are predicted",
                bits / 1e9,
                1e3 * (slow - free),
                1e3 * predicted
            ));
        }
    }
}

/// The outputs of a graph over rows `[R, 3]` by so many ranks: those of ranks stand one below the other.
fn rows(
    gpu: &Gpu,
    size: usize,
    graph: fn(Share) -> Graph,
    record: for<'g> fn(Tensor<'g>) -> Vec<Tensor<'g>>,
) -> Vec<Vec<f32>> {
    const ROWS: usize = 12;
    let x: Vec<f32> = (0..ROWS * 3).map(|i| 3.0 + (i as f32 * 1.7).sin()).collect();
    let parts = each(size, |ranks| {
        let (share, g) = (ranks.share(), graph(ranks.share()));
        let mine = share.part(ROWS);
        let outputs = record(g.input("x", Type::f32([mine.len(), 3])));
        outputs.iter().enumerate().for_each(|(i, y)| g.output(&i.to_string(), *y));
        let plan = Plan::new(&g, gpu.caps()).unwrap();
        let state = State::new(gpu, &[&plan], 0).unwrap();
        let executor = Executor::new(gpu, &plan, &state, &[]).unwrap();
        executor.write(gpu, "x", &x[3 * mine.start..3 * mine.end]).unwrap();
        executor.step_with(gpu, 3, &mut |merge, values| exchange(ranks, merge, values)).unwrap();
        (0..outputs.len()).map(|i| executor.read(gpu, &i.to_string()).unwrap()).collect::<Vec<_>>()
    });
    (0..parts[0].len()).map(|i| parts.iter().flat_map(|part| part[i].clone()).collect()).collect()
}

/// A loss whose gradients go through the statistics of the whole batch, to the first and the second order; it is a
/// mean of the ranks' losses.
fn normalised(x: Tensor<'_>) -> Vec<Tensor<'_>> {
    let g = x.graph();
    let [w, b] = [1.3, -0.2].map(|value| g.full([3], value));
    let [mean, variance] = x.moments();
    let y = x.batch_norm(w, b, 1e-3);
    let loss = (y * y * y).mean_all() + (mean * variance).mean_all();
    let first = autodiff::grad(loss, &[x])[0];
    let second = autodiff::grad((first * first).sum_all(), &[x])[0];
    // The loss of all rows is the mean of the ranks' losses, so that its gradient is a rank's over their number.
    let size = g.share().size as f32;
    vec![y, first * (1.0 / size), second * (1.0 / (size * size))]
}

#[test]
fn ranks_differentiate_as_one_does() {
    let Some(gpu) = adapter("derivatives of exchanges") else { return };
    let one = rows(gpu, 1, Graph::shared, normalised);
    for size in [2, 3, 4] {
        for (i, (one, shared)) in one.iter().zip(rows(gpu, size, Graph::shared, normalised)).enumerate() {
            let scale = one.iter().fold(0.0f32, |most, v| most.max(v.abs()));
            let worst = one.iter().zip(&shared).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(
                one.len() == shared.len() && worst < 2e-5 * scale,
                "{size} ranks, order {i}: {worst:e} of {scale}"
            );
        }
    }
}

/// Normalised rows, and a gradient through them.
fn batch_norm(x: Tensor<'_>) -> Vec<Tensor<'_>> {
    let [w, b] = [1.3, -0.2].map(|value| x.graph().full([3], value));
    let y = x.batch_norm(w, b, 1e-3);
    vec![y, autodiff::grad((y * y * y).mean_all(), &[x])[0]]
}

/// Batch norm by a rank's own rows is what it is in a graph that knows no other ranks.
#[test]
fn ranks_may_normalise_by_their_own_rows() {
    let Some(gpu) = adapter("local batch norm") else { return };
    let of = |graph| rows(gpu, 3, graph, batch_norm);
    let local = of(|share| Graph::shared(share).with_local_batch_norm());
    assert!(local == of(|_| Graph::new()) && local != of(Graph::shared));
}

/// What one rank exchanges is nothing: its plan is that of a graph which knows no ranks.
#[test]
fn one_rank_plans_as_if_there_were_none() {
    let plan = |g: Graph| {
        let x = g.input("x", Type::f32([6, 4]));
        let [w, b] =
            ["w", "b"].map(|name| g.param(name, Type::f32([4]), oneiro::graph::var::Init::Constant(1.0)));
        let loss = x.batch_norm(w, b, 1e-5).dropout("d", 0.5).square().mean_all();
        Optimizer::adam(1e-3).clip_norm(1.0).summed().step("fit", loss, &[w, b]);
        oneiro::optim::advance(&g);
        let plan = Plan::new(&g, &Caps::software()).unwrap();
        format!("{plan}{:?}", plan.launches)
    };
    let apart = |text: String| text.lines().map(str::to_string).collect::<Vec<_>>();
    assert_eq!(apart(plan(Graph::new())), apart(plan(Graph::shared(Share::default()))));
    let own = Graph::shared(Share { rank: 0, size: 2 }).with_local_batch_norm();
    assert_eq!(plan(own).matches("Some((Mean").count(), 1, "only the gradients are exchanged");
}
