//! The commands of models of sounds: they train, score, draw signals of any length, and let a beginning go on.
//!
//! A signal is an image of one row of μ-law levels, so that training and scoring are those of pictures. What is drawn
//! becomes WAV files, and a picture of waveforms and spectrograms.

use super::{
    draw::temperature,
    evaluate::Evaluate,
    fit::{Density, Fit, sound},
    show::titles,
    train,
    trained::TrainedDensity,
};
use crate::{
    data::{MAX_LENGTH, Sound},
    error::{Error, Result},
    run::{
        Bare, Look, Raw, Shown, Train, amplitudes, listener, parse::number, save_wav, say::counted,
        show_signals, sound::MOST_SOUNDS, whole,
    },
    train::{Draws, Method, Work},
};
use clap::{Arg, Args, Subcommand};
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    time::Instant,
};

/// The most submissions of a drawing that is watched.
const LOOKS: usize = 200;

/// The subcommands.
#[derive(Subcommand)]
pub enum Command<M: Density> {
    /// Train, or continue a run; writes weights, metrics, sounds with their spectrograms, curves and checkpoints
    #[command(mut_args(of_sounds))]
    Train(Train<Fit<M>>),
    /// Draw signals, sample by sample on the GPU, as WAV files and a picture of their spectrograms
    #[command(mut_args(of_sounds))]
    Sample(Sample<M>),
    /// Keep the beginning of a WAV file or of test signals, and draw how it goes on
    #[command(mut_args(of_sounds))]
    Continue(Continue<M>),
    /// Compute the exact bits per sample of test signals, in all and for each class
    #[command(mut_args(of_sounds))]
    Evaluate(Evaluate<M>),
}

/// An option that models of pictures have too, in the words of sounds. A size of images has no effect: `--length` and
/// the data say all.
fn of_sounds(arg: Arg) -> Arg {
    let id = arg.get_id().as_str().to_owned();
    let said = |text: String| {
        text.replace("images", "signals").replace("Images", "Signals").replace("pictures", "sounds")
    };
    let arg = match arg.get_help().map(ToString::to_string) {
        Some(text) => arg.help(said(text)),
        None => arg,
    };
    match id.as_str() {
        "image" | "classes" | "compare" => arg.hide(true),
        "images" => arg.long("signals").value_name("SIGNALS").alias("images"),
        _ => arg,
    }
}

/// Runs a subcommand.
///
/// # Errors
/// Fails with one line that says what is wrong and what to do.
pub fn run<M: Density>(command: Command<M>) -> Result<()> {
    match command {
        Command::Train(options) => train::train(&options),
        Command::Sample(options) => {
            TrainedDensity::open(&options.draw.look, &options.draw.bare)?.sample_sounds(&options)
        }
        Command::Continue(options) => {
            TrainedDensity::open(&options.draw.look, &options.draw.bare)?.go_on(&options)
        }
        Command::Evaluate(options) => TrainedDensity::open(&options.look, &options.bare)?.evaluate(&options),
    }
}

/// The options that say what a signal is.
#[derive(Args, Serialize, Deserialize, Clone)]
pub struct Signals {
    /// Samples of a second, to which sounds are resampled
    #[arg(long, value_name = "HZ", default_value_t = 16_000, value_parser = whole::<u32>(4_000..=96_000))]
    rate: u32,
    /// Samples of a signal to train and score on; what is drawn may be longer
    #[arg(long, value_name = "SAMPLES", default_value_t = 4096, value_parser = whole::<u32>(2..=u64::from(MAX_LENGTH)))]
    length: u32,
}

impl Signals {
    /// How sounds become images.
    pub fn sound(&self) -> Sound {
        Sound { rate: self.rate, length: self.length }
    }
}

/// The options of what draws.
#[derive(Args, Clone)]
pub struct SoundDraw<M: Density> {
    #[command(flatten)]
    bare: Bare<Fit<M>>,
    #[command(flatten)]
    look: Look,
    /// Number of signals
    #[arg(long, default_value_t = 4, value_parser = whole::<u16>(1..=MOST_SOUNDS as u64))]
    count: u16,
    /// Length of the signals in seconds, from 0.001 to 600, with what is given; it need not be that of training
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    seconds: f64,
    /// Temperature, from 0.001 to 1000: below 1 makes likely samples more likely, above 1 less likely
    #[arg(long, default_value_t = 1.0, value_parser = temperature)]
    temperature: f64,
    /// Class to draw by its name, if the model is conditional [default: all in turn, or those of the test signals
    /// that go on]
    #[arg(long, value_name = "NAME")]
    class: Option<String>,
    /// Run the whole network for every sample, for comparison
    #[arg(long)]
    naive: bool,
    #[command(flatten)]
    raw: Raw,
}

/// The options of `sample`.
#[derive(Args)]
pub struct Sample<M: Density> {
    #[command(flatten)]
    draw: SoundDraw<M>,
    /// Also write as many test signals, of the same classes, to compare: real.png and real-1.wav and so on
    #[arg(long)]
    real: bool,
}

/// The options of `continue`.
#[derive(Args)]
pub struct Continue<M: Density> {
    #[command(flatten)]
    draw: SoundDraw<M>,
    /// WAV file whose beginning goes on, as often as --count says [default: test signals, one for each]
    #[arg(long, value_name = "WAV")]
    from: Option<PathBuf>,
    /// Length of the beginning in seconds [default: half a signal of training, or half of --seconds if that is less]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    given: Option<f64>,
}

/// Parses a length in seconds, for clap.
fn seconds(text: &str) -> std::result::Result<f64, String> {
    number(text, 1e-3..=600.0, "wants seconds, from 0.001 to 600")
}

/// The beginnings of signals: so many samples of each, with values k/255 of levels k.
struct Given {
    samples: usize,
    values: Vec<f32>,
}

impl<M: Density> TrainedDensity<M> {
    fn rate(&self) -> u32 {
        sound(self.model()).unwrap_or_default().rate
    }

    /// The samples of so many seconds.
    fn samples(&self, seconds: f64) -> usize {
        ((seconds * f64::from(self.rate())).round() as usize).max(1)
    }

    fn sample_sounds(&self, Sample { draw, real }: &Sample<M>) -> Result<()> {
        let count = draw.count.into();
        let classes = self.class(draw.class.as_deref(), count)?.unwrap_or_else(|| self.in_turn(count));
        let real = real.then(|| self.real(&classes)).transpose()?;
        self.sound(draw, &classes, None, "samples")?;
        real.map_or(Ok(()), |signals| self.write_sounds("real", &signals, &classes, 0))
    }

    /// A test signal for each class: the next one of the class, or of all if the model is not conditional.
    fn real(&self, classes: &[usize]) -> Result<Vec<f32>> {
        let (test, length) = (self.test()?.0, self.trained.pixels());
        let (mut taken, mut values) = (vec![false; test.count], vec![]);
        for &class in classes {
            let of = |i: usize| test.labels.as_ref().is_some_and(|labels| usize::from(labels[i]) == class);
            let fits = |&i: &usize| !taken[i] && (!self.model().conditional() || of(i));
            let Some(next) = (0..test.count).find(fits) else {
                let what = match self.model().conditional() {
                    true => format!("test signals of the class {}", self.trained.saved.class_name(class)),
                    false => "test signals".into(),
                };
                return Err(Error::new(format!("--real: there are too few {what}; give a smaller --count")));
            };
            taken[next] = true;
            values
                .extend(test.pixels[next * length..][..length].iter().map(|&level| f32::from(level) / 255.0));
        }
        Ok(amplitudes(&values))
    }

    /// Writes a WAV file of each signal and a picture of all; so many samples of each were given. Files of an earlier
    /// drawing of more signals are deleted.
    fn write_sounds(&self, name: &str, signals: &[f32], classes: &[usize], given: usize) -> Result<()> {
        let titles = titles(self.model(), classes.iter().map(|&class| self.trained.saved.class_name(class)));
        let each = signals.chunks(signals.len() / classes.len()).zip(titles);
        let shown: Vec<Shown> = each.map(|(signal, title)| Shown { title, signal, given }).collect();
        for (i, one) in shown.iter().enumerate() {
            let path = self.trained.run.sound(name, i + 1);
            save_wav(&path, self.rate(), one.signal)?;
            say!("{}", path.display());
        }
        self.trained.run.clear_sounds(name, shown.len() + 1)?;
        let path = self.trained.run.path(&format!("{name}.png"));
        show_signals(&path, self.rate(), &shown)?;
        say!("{}", path.display());
        Ok(())
    }

    fn go_on(&self, options: &Continue<M>) -> Result<()> {
        let (count, length) = (usize::from(options.draw.count), self.samples(options.draw.seconds));
        let usual = (self.trained.pixels() / 2).min(length / 2).max(1);
        let asked = options.given.map(|given| self.samples(given));
        let (given, own) = match &options.from {
            Some(path) => (self.beginning(path, asked, usual, count)?, None),
            None => {
                let (test, samples) = (self.test()?.0, asked.unwrap_or(usual));
                if samples > test.width {
                    return Err(Error::new(format!(
                        "--given: test signals have {:.3} s; give less, or a file by --from",
                        test.width as f64 / f64::from(self.rate())
                    )));
                }
                let signals = self.trained.first(&test, Some(count), count)?;
                let values =
                    signals.chunks(test.width).flat_map(|signal| &signal[..samples]).copied().collect();
                let own = test.labels.map(|labels| labels.iter().take(count).map(|&l| l.into()).collect());
                (Given { samples, values }, own)
            }
        };
        if given.samples >= length {
            return Err(Error::new(format!(
                "--seconds {}: {:.3} s are given, so that nothing is left to draw; give more seconds, or less by --given",
                options.draw.seconds,
                given.samples as f64 / f64::from(self.rate())
            )));
        }
        let class = self.class(options.draw.class.as_deref(), count)?;
        let classes = class.or(own).unwrap_or_else(|| self.in_turn(count));
        self.sound(&options.draw, &classes, Some(&given), "continued")
    }

    /// The beginning of a file, `count` times: as many samples as were asked for, or `usual` many or all.
    #[cfg(feature = "sound")]
    fn beginning(&self, path: &Path, asked: Option<usize>, usual: usize, count: usize) -> Result<Given> {
        let levels = crate::data::sounds::read(path, self.rate()).map_err(|e| Error::new(e.to_string()))?;
        if levels.is_empty() {
            return Err(Error::new(format!("{}: it holds no sound; give another file", path.display())));
        }
        let samples = asked.unwrap_or(usual.min(levels.len()));
        let Some(beginning) = levels.get(..samples) else {
            let (held, rate) = (counted(levels.len(), "sample"), self.rate());
            let what =
                format!("{}: it has {held} at {rate} Hz, and {samples} are to be kept", path.display());
            return Err(Error::new(format!("{what}; give less by --given, or a longer file")));
        };
        let values: Vec<f32> = beginning.iter().map(|&level| f32::from(level) / 255.0).collect();
        Ok(Given { samples, values: values.repeat(count) })
    }

    /// A build without the reader of WAV files has no beginnings of them.
    #[cfg(not(feature = "sound"))]
    fn beginning(&self, path: &Path, _: Option<usize>, _: usize, _: usize) -> Result<Given> {
        let what = format!("{}: this build lacks the feature `sound`", path.display());
        Err(Error::new(what + "; build with it, or leave --from out"))
    }

    /// Draws a signal for each class and shows the progress. Writes WAV files and a picture.
    fn sound(
        &self,
        options: &SoundDraw<M>,
        classes: &[usize],
        given: Option<&Given>,
        name: &str,
    ) -> Result<()> {
        let (count, length, rate) = (classes.len(), self.samples(options.seconds), self.rate());
        let method = if options.naive { Method::Naive } else { M::METHOD };
        let (likelihood, temperature) = (self.model().likelihood(), options.temperature as f32);
        let draws = Draws { shape: [count, 1, length, 1], likelihood, temperature, method };
        let (sampler, state) = self.sampler(draws, classes)?;
        let start = given.map_or(0, |given| given.samples);
        let (mut values, mut mask) = (vec![0.0; count * length], vec![]);
        for (signal, own) in values.chunks_mut(length).zip(given.iter().flat_map(|g| g.values.chunks(start)))
        {
            signal[..start].copy_from_slice(own);
            mask.extend((0..length).map(|i| f32::from(u8::from(i < start))));
        }
        let (began, mut told, total) = (Instant::now(), listener(), sampler.steps() as u64);
        let given = given.map(|_| (values.as_slice(), mask.as_slice()));
        let drawn = sampler.run(&self.trained.gpu, &state, given, LOOKS, |done, _| {
            told(Work { what: "samples of each signal", done: done as u64, total })
        })?;
        let (of, took) = (length as f64 / f64::from(rate), began.elapsed().as_secs_f64());
        let each = 1e3 * took / length as f64;
        say!("{} of {of:.3} s in {took:.2} s, {each:.3} ms for one sample of each", counted(count, "signal"));
        let signals = amplitudes(&drawn);
        self.write_sounds(name, &signals, classes, start)?;
        options.raw.write(&[("signals", vec![count, length], &signals)])
    }
}
