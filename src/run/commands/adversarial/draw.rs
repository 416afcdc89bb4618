//! The commands `sample`, `interpolate`, `arithmetic` and `nearest`: pictures that a trained generator makes
//! from random noise, from walks between noise vectors, and from sums of them.

use super::{
    super::{
        one_hot,
        task::{Cases, DRAWS},
    },
    contest::{Adversarial, Contest},
    pictures::{Pictures, in_turn, noise, pictures},
};
use crate::{
    data::{Images, Task},
    error::{Error, Result},
    measure::nearest::nearest,
    models::game::Game,
    rng,
    run::{Bare, Look, Raw, Trained, animate, grid, save, whole},
    train::slerp,
};
use clap::Args;

/// The number of pictures from one noise vector to the next, in the strip and in the GIF.
const STRIP: usize = 12;
const FILM: usize = 30;
/// The largest change of a coordinate between a vector and its neighbours (Radford et al. 2015, §6.3.2).
const AROUND: f32 = 0.25;

/// The options of all commands that draw from noise.
#[derive(Args, Clone)]
pub struct NoiseDraw<M: Adversarial> {
    #[command(flatten)]
    bare: Bare<Contest<M>>,
    #[command(flatten)]
    pub(super) look: Look,
    /// Number of pictures
    #[arg(long, value_parser = whole::<u16>(1..))]
    pub(super) count: Option<u16>,
    /// Class to draw by its name, if the model is conditional [default: all in turn]
    #[arg(long, value_name = "NAME")]
    pub(super) class: Option<String>,
    #[command(flatten)]
    pub(super) raw: Raw,
}

/// The options of `arithmetic`. Pictures are given by their places in the grid that `sample` draws with the
/// same seed, counted from 0 row by row.
#[derive(Args)]
pub struct Arithmetic<M: Adversarial> {
    #[command(flatten)]
    pub(super) draw: NoiseDraw<M>,
    /// Pictures that have a quality (smiling women), whose noise is averaged
    #[arg(long, value_delimiter = ',', default_value = "0,1,2", value_name = "PLACES", value_parser = whole::<u16>(..))]
    from: Vec<u16>,
    /// Pictures without the quality (neutral women), whose mean noise is subtracted
    #[arg(long, value_delimiter = ',', default_value = "3,4,5", value_name = "PLACES", value_parser = whole::<u16>(..))]
    minus: Vec<u16>,
    /// Pictures that are to get the quality (neutral men), whose mean noise is added
    #[arg(long, value_delimiter = ',', default_value = "6,7,8", value_name = "PLACES", value_parser = whole::<u16>(..))]
    plus: Vec<u16>,
}

impl<M: Adversarial> Arithmetic<M> {
    /// The places of the three terms, an equal number in each.
    fn terms(&self) -> Result<[&[u16]; 3]> {
        let width = self.from.len();
        let terms = [("--from", &self.from), ("--minus", &self.minus), ("--plus", &self.plus)];
        match terms.iter().find(|(_, places)| places.len() != width || places.is_empty()) {
            Some((name, places)) => {
                let what = format!("{name} names {} pictures and --from {width}", places.len());
                Err(Error::new(format!("{what}; give every term as many, from the grid of `sample`")))
            }
            None => Ok(terms.map(|(_, places)| places.as_slice())),
        }
    }
}

/// The mean of vectors of equal length.
fn mean(vectors: &[Vec<f32>]) -> Vec<f32> {
    let n = vectors.len() as f32;
    (0..vectors[0].len()).map(|d| vectors.iter().map(|v| v[d]).sum::<f32>() / n).collect()
}

/// The options of `nearest`.
#[derive(Args)]
pub struct Nearest<M: Adversarial> {
    #[command(flatten)]
    pub(super) draw: NoiseDraw<M>,
    /// Number of training images below each sample
    #[arg(long, default_value_t = 4, value_parser = whole::<u8>(1..=20))]
    images: u8,
}

/// A trained generator and its discriminator.
pub(super) struct TrainedPlayers<'a, M: Adversarial> {
    pub(super) options: &'a NoiseDraw<M>,
    pub(super) trained: Trained<Contest<M>>,
    pub(super) game: Game<M::Networks>,
}

impl<'a, M: Adversarial> TrainedPlayers<'a, M> {
    pub(super) fn open(options: &'a NoiseDraw<M>) -> Result<Self> {
        let trained = Trained::open(&options.look, Some(&options.bare))?;
        let game = trained.options().game(trained.saved.image, trained.saved.classes)?;
        Ok(Self { options, trained, game })
    }

    pub(super) fn count(&self, default: u16) -> usize {
        self.options.count.unwrap_or(default).into()
    }

    /// Draws `count` noise vectors, `[count, latent]`.
    fn noise(&self, count: usize) -> Vec<f32> {
        noise(self.game.rules().uniform, self.trained.seed, count * self.game.latent())
    }

    /// The classes of `count` pictures, one-hot: the class of `--class`, or all in turn. Empty if the model
    /// is told none.
    fn classes(&self, count: usize) -> Result<Vec<f32>> {
        let classes = self.game.classes();
        let Some(name) = &self.options.class else { return Ok(in_turn(classes, count)) };
        if classes == 0 {
            return Err(Error::new("--class: the model is not told classes; train one with --conditional"));
        }
        let class = self.trained.saved.class(name)?;
        Ok(one_hot(std::iter::repeat_n(class, count), classes))
    }

    /// Draws pictures `[N, H, W, C]` with values in [0, 1] from noise vectors `[N, latent]`.
    fn draw(&self, z: &[f32], classes: &[f32]) -> Result<Vec<f32>> {
        if let Some(task) = self.trained.options().task() {
            let what = format!("the model's --task is {task}, and it draws by hints");
            return Err(Error::new(format!(
                "{what}; see what it draws by `sample`, and measure it by `evaluate`"
            )));
        }
        self.draw_given(z, classes, &[])
    }

    /// [`Self::draw`] of pictures that belong to hints, `[N, H, W, hint]`.
    fn draw_given(&self, z: &[f32], classes: &[f32], hints: &[f32]) -> Result<Vec<f32>> {
        /// The largest number of pictures at a time.
        const BATCH: usize = 100;
        let (latent, k, gpu) = (self.game.latent(), self.game.classes(), &self.trained.gpu);
        let count = z.len() / latent;
        let hint = hints.len() / count;
        let size = BATCH.min(count);
        let plan = pictures(&self.game, gpu.caps(), size)?;
        let state = self.trained.state(&[&plan])?;
        let pictures = Pictures::new(gpu, &plan, &state)?;
        let mut all = vec![];
        for first in (0..count).step_by(size) {
            // The last batch is filled up by repeating the last picture.
            let rows = |values: &[f32], width: usize| -> Vec<f32> {
                (first..first + size)
                    .flat_map(|i| values[i.min(count - 1) * width..][..width].to_vec())
                    .collect()
            };
            let drawn = pictures.draw(&rows(z, latent), &rows(classes, k), &rows(hints, hint))?;
            let row = drawn.len() / size;
            all.extend_from_slice(&drawn[..row * size.min(count - first)]);
        }
        Ok(all)
    }

    fn write(&self, name: &str, pictures: &[f32], columns: usize) -> Result<()> {
        self.trained.write(name, pictures, self.trained.saved.image[2], columns)?;
        self.options.raw.write(&[self.trained.numbers(pictures)])
    }

    /// Draws `count` samples.
    pub(super) fn samples(&self, count: usize) -> Result<Vec<f32>> {
        self.draw(&self.noise(count), &self.classes(count)?)
    }

    /// The test images as the model's task takes them.
    pub(super) fn held_out(&self, task: Task) -> Result<Images> {
        let (mut test, _) = self.trained.saved.test()?;
        task.hold_out(&mut test);
        Ok(test)
    }

    /// Draws each of these pictures, of these classes, once.
    pub(super) fn draw_cases(&self, cases: &Cases, classes: &[usize]) -> Result<Vec<f32>> {
        let (count, k) = (cases.count(), self.game.classes());
        let classes = if k > 0 { one_hot(classes.iter().copied(), k) } else { vec![] };
        let mut drawn = self.draw_given(&self.noise(count), &classes, &cases.hints)?;
        cases.keep(&mut drawn);
        Ok(drawn)
    }

    /// Draws the model's task on the first test images, three times each, and writes the hints, the truth and the
    /// draws in a row.
    fn sample_task(&self, task: Task) -> Result<()> {
        if self.options.class.is_some() {
            return Err(Error::new(
                "--class has no effect: the test images that the hints are of have their own classes",
            ));
        }
        let (test, count) = (self.held_out(task)?, self.count(8));
        if count > test.count {
            return Err(Error::new(format!(
                "the data hold only {} test images; give a smaller --count",
                test.count
            )));
        }
        let cases = Cases::first(task, &test, count);
        let classes: Vec<usize> =
            test.labels.iter().flatten().take(count).flat_map(|&label| [usize::from(label); DRAWS]).collect();
        let often = cases.often();
        let drawn = self.draw_cases(&often, &classes)?;
        let path = self.trained.run.path("samples.png");
        save(&path, &cases.sheet(&drawn))?;
        say!("{}: in each row what is given, the truth, and {DRAWS} draws", path.display());
        self.options.raw.write(&[self.trained.numbers(&often.pictures(&drawn))])
    }

    pub(super) fn sample(&self) -> Result<()> {
        if let Some(task) = self.trained.options().task() {
            return self.sample_task(task);
        }
        let count = self.count(64);
        self.write("samples.png", &self.samples(count)?, count.isqrt().max(1))
    }

    pub(super) fn interpolate(&self) -> Result<()> {
        let (rows, latent) = (self.count(6), self.game.latent());
        let z = self.noise(2 * rows);
        let [h, w, c] = self.trained.saved.image;
        // Only normal noise lies near a sphere.
        let between = |a: &[f32], b: &[f32], t: f32| match self.game.rules().uniform {
            true => a.iter().zip(b).map(|(a, b)| a * (1.0 - t) + b * t).collect(),
            false => slerp(a, b, t),
        };
        let walk = |steps: usize, closed: bool| -> Result<Vec<f32>> {
            let at = |s: usize| s as f32 / (steps - 1) as f32;
            // A closed walk goes back the same way, so that the film does not jump.
            let t = |s: usize| if closed { 1.0 - (2.0 * at(s) - 1.0).abs() } else { at(s) };
            let points: Vec<f32> = z
                .chunks(2 * latent)
                .map(|ends| ends.split_at(latent))
                .flat_map(|(a, b)| (0..steps).flat_map(move |s| between(a, b, t(s))))
                .collect();
            let classes = self.classes(rows)?;
            let classes: Vec<f32> = match self.game.classes() {
                0 => vec![],
                k => classes.chunks(k).flat_map(|class| class.repeat(steps)).collect(),
            };
            self.draw(&points, &classes)
        };
        self.write("interpolation.png", &walk(STRIP, false)?, STRIP)?;
        let (film, row) = (walk(2 * FILM - 1, true)?, h * w * c);
        let frame =
            |s: usize| film.chunks(row).skip(s).step_by(2 * FILM - 1).flatten().copied().collect::<Vec<_>>();
        let frames: Vec<_> =
            (0..2 * FILM - 2).map(|s| grid(&frame(s), rows, h, w, c, rows.isqrt().max(1))).collect();
        let path = self.trained.run.path("interpolation.gif");
        animate(&path, &frames, 60)?;
        say!("{}", path.display());
        Ok(())
    }

    /// Draws one row for each term: its pictures, the picture of their mean, and three of nine pictures. The
    /// nine are the result, in the middle, and its neighbours.
    pub(super) fn arithmetic(&self, options: &Arithmetic<M>) -> Result<()> {
        let (terms, latent) = (options.terms()?, self.game.latent());
        let inputs =
            self.inputs(terms.into_iter().flatten().max().map_or(0, |&place| usize::from(place) + 1))?;
        let of =
            |term: &[u16]| term.iter().map(|&place| inputs[usize::from(place)].clone()).collect::<Vec<_>>();
        let means = terms.map(|term| mean(&of(term)));
        let [from, minus, plus] = &means;
        let result: Vec<f32> = (0..from.len()).map(|d| from[d] - minus[d] + plus[d]).collect();
        let around: Vec<_> = (0..9).map(|i| self.neighbour(&result, i)).collect();
        let mut all = vec![];
        for ((term, mean), around) in terms.into_iter().zip(&means).zip(around.chunks(3)) {
            all.extend(of(term).into_iter().chain([mean.clone()]).chain(around.iter().cloned()));
        }
        let (z, classes): (Vec<_>, Vec<_>) = all.iter().map(|input| input.split_at(latent)).unzip();
        self.write("arithmetic.png", &self.draw(&z.concat(), &classes.concat())?, options.from.len() + 4)?;
        say!("rows: --from, --minus, --plus, and their means");
        say!("last three columns: from - minus + plus among its neighbours");
        Ok(())
    }

    /// The generator's inputs for the first `count` pictures that `sample` draws. Each is a noise vector,
    /// followed by the one-hot class if the model is conditional, since the arithmetic covers both.
    fn inputs(&self, count: usize) -> Result<Vec<Vec<f32>>> {
        let (latent, k) = (self.game.latent(), self.game.classes());
        let (z, classes) = (self.noise(count), self.classes(count)?);
        Ok((0..count).map(|i| [&z[i * latent..][..latent], &classes[i * k..][..k]].concat()).collect())
    }

    /// The neighbour number `i` of nine around an input: each coordinate of the noise moves by at most
    /// [`AROUND`]. The fifth neighbour is the input itself.
    fn neighbour(&self, input: &[f32], i: usize) -> Vec<f32> {
        let (seed, latent) = (self.trained.seed, self.game.latent());
        let key = rng::RandomStream::new("arithmetic").key([seed as u32, (seed >> 32) as u32]);
        let away = |d: usize| (2.0 * rng::uniform(key, 0, (i * latent + d) as u32) - 1.0) * AROUND;
        let moved = |(d, &x): (usize, &f32)| if i == 4 || d >= latent { x } else { x + away(d) };
        input.iter().enumerate().map(moved).collect()
    }

    pub(super) fn nearest(&self, options: &Nearest<M>) -> Result<()> {
        let (count, below) = (self.count(8), usize::from(options.images));
        let (samples, set) = (self.samples(count)?, self.trained.saved.load()?.train);
        if set.count < below {
            return Err(Error::new(format!(
                "--images {below}: there are {} training images at hand",
                set.count
            )));
        }
        let [h, w, c] = self.trained.saved.image;
        let found = nearest(&self.trained.gpu, &samples, &set, below)?;
        let picture = |i: usize| {
            set.pixels[i * h * w * c..][..h * w * c].iter().map(|&b| f32::from(b) / 255.0).collect::<Vec<_>>()
        };
        let rows =
            (0..below).flat_map(|r| found.iter().flat_map(|f| picture(f[r].index)).collect::<Vec<_>>());
        let all: Vec<f32> = samples.iter().copied().chain(rows).collect();
        self.write("nearest.png", &all, count)
    }
}
