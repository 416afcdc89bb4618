//! "tones" is the data set of sounds that needs no file: eight instruments, each of which plays note after note.
//!
//! Strings are plucked (Karplus & Strong 1983: noise in a ring that is as long as the period, and each turn
//! averages neighbours), chirps glide, a drum is a falling tone and a burst of noise that die away. A signal is a
//! window on one instrument that plays at a steady pace, notes of several pitches and strengths, and begins
//! somewhere within a note. It is an image of one row, `[N, 1, L, 1]`, of [μ-law](super::mulaw) levels.
//!
//! Signal i depends only on (seed, i) and the rate: a longer set begins with the shorter one, and a longer signal
//! with the shorter one. Only sums, products and quotients of `f64` are used, which IEEE 754 rounds in one way, so
//! the bytes are the same on every machine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use super::images::{Images, Sound};
use super::mulaw;
use super::order::{below, shuffle, stream};

/// The instruments' names, which are the classes.
pub const CLASSES: [&str; 8] =
    ["low string", "high string", "rising chirp", "falling chirp", "warble", "kick", "snare", "hat"];
/// The version of the playing; it goes up when any level of any signal changes.
pub const TONES_VERSION: u32 = 1;

/// The ratio of two neighbouring semitones, 2^(1/12).
const SEMITONE: f64 = 1.0594630943592953;

/// Plays `count` labelled signals, `[count, 1, L, 1]`, from `seed`.
///
/// Signal i depends only on `seed`, i and the sound's rate. Every eight signals, from the first on, hold each
/// instrument once, in random order.
pub fn tones(count: usize, seed: u64, sound: Sound) -> Images {
    play_set(count, seed, 0, sound)
}

/// Plays like [`tones`], but signals that no call of [`tones`] gives, whatever its seed.
pub fn held_out(count: usize, seed: u64, sound: Sound) -> Images {
    play_set(count, seed, 1, sound)
}

fn play_set(count: usize, seed: u64, split: u64, sound: Sound) -> Images {
    let length = sound.length as usize;
    let (mut pixels, mut labels) = (Vec::with_capacity(count * length), Vec::with_capacity(count));
    let mut order = [0_u8; CLASSES.len()];
    for index in 0..count {
        let (block, place) = (index / CLASSES.len(), index % CLASSES.len());
        if place == 0 {
            order = std::array::from_fn(|class| class as u8);
            shuffle(&mut stream(b"tonesort", seed, split, block as u64), &mut order);
        }
        let chance = Chance(stream(b"toneplay", seed, split, index as u64));
        play(order[place], chance, f64::from(sound.rate), length, &mut pixels);
        labels.push(order[place]);
    }
    let classes = CLASSES.len();
    Images { count, height: 1, width: length, channels: 1, classes, pixels, labels: Some(labels) }
}

/// The random numbers of one signal.
struct Chance(ChaCha8Rng);

impl Chance {
    /// A uniform number in [0, 1), a multiple of 2^-24.
    fn unit(&mut self) -> f64 {
        f64::from(self.0.next_u32() >> 8) / 16_777_216.0
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// A uniform number in [-1, 1).
    fn noise(&mut self) -> f64 {
        self.between(-1.0, 1.0)
    }

    /// A frequency that is up to an octave above `lowest`, by whole semitones.
    fn pitch(&mut self, lowest: f64) -> f64 {
        (0..below(&mut self.0, 13)).fold(lowest, |pitch, _| pitch * SEMITONE)
    }
}

/// Appends the levels of one signal.
fn play(class: u8, mut chance: Chance, rate: f64, length: usize, levels: &mut Vec<u8>) {
    // The samples from one note to the next, at least one.
    let pace = (rate * chance.between(0.1, 0.22)) as usize + 1;
    let skipped = below(&mut chance.0, pace as u32) as usize;
    let mut note = Note::begin(class, &mut chance, rate, pace);
    for at in 0..skipped + length {
        if at % pace == 0 && at > 0 {
            note = Note::begin(class, &mut chance, rate, pace);
        }
        let sample = note.next(&mut chance);
        if at >= skipped {
            levels.push(mulaw::level(sample));
        }
    }
}

/// One note while it sounds.
enum Note {
    /// A string: the samples of its last period, of which `at` is the oldest.
    String { period: Vec<f64>, at: usize },
    /// A tone and noise that die away.
    Hit(Hit),
}

/// A tone that glides, and noise. All that changes in time does so from one sample to the next.
struct Hit {
    /// The amplitude of the tone and of the noise, and the factors by which they die away.
    loud: [f64; 2],
    fade: [f64; 2],
    /// The place in the tone's period, 0 to 1, and the step to the next.
    phase: f64,
    step: f64,
    /// The step grows by `glide`, and comes closer to `goal` by the share `pull`.
    glide: f64,
    goal: f64,
    pull: f64,
    /// The depth of a slow swing of the step, as a share of it, with the swing's own phase and step.
    swing: [f64; 3],
    /// Whether noise lacks low frequencies, and the last number of noise.
    bright: bool,
    last: f64,
}

/// A silent tone that does not fade or move; every instrument names only the fields in which it differs.
const TONE: Hit = Hit {
    loud: [0.0; 2],
    fade: [1.0; 2],
    phase: 0.0,
    step: 0.0,
    glide: 0.0,
    goal: 0.0,
    pull: 0.0,
    swing: [0.0; 3],
    bright: false,
    last: 0.0,
};

impl Note {
    /// Strikes a note of an instrument that plays a note every `pace` samples.
    fn begin(class: u8, chance: &mut Chance, rate: f64, pace: usize) -> Self {
        let loud = chance.between(0.35, 0.9);
        // The factor from a sample to the next of what dies away in so many seconds to a third.
        let fade = |seconds: f64| 1.0 - 1.0 / (seconds * rate + 1.0);
        // The step of a frequency. It is at most 0.45, since a sine needs more than two samples a period.
        let step = |pitch: f64| (pitch / rate).min(0.45);
        let hit = match class {
            0 | 1 => return Self::pluck(loud, if class == 0 { 82.4 } else { 329.6 }, chance, rate),
            2 | 3 => {
                let (low, high) = (step(chance.pitch(220.0)), step(chance.pitch(880.0)));
                let (from, to) = if class == 2 { (low, high) } else { (high, low) };
                Hit {
                    loud: [loud, 0.0],
                    step: from,
                    glide: (to - from) / pace as f64,
                    fade: [fade(0.3), 1.0],
                    ..TONE
                }
            }
            4 => {
                let swing = [chance.between(0.05, 0.15), 0.0, chance.between(12.0, 25.0) / rate];
                Hit {
                    loud: [loud, 0.0],
                    step: step(chance.pitch(440.0)),
                    swing,
                    fade: [fade(0.3), 1.0],
                    ..TONE
                }
            }
            5 => {
                let (from, goal) = (step(chance.pitch(130.0)), step(45.0));
                Hit {
                    loud: [loud, 0.0],
                    step: from,
                    goal,
                    pull: 1.0 - fade(0.03),
                    fade: [fade(0.09), 1.0],
                    ..TONE
                }
            }
            6 => {
                let loud = [0.4 * loud, 0.6 * loud];
                Hit { loud, step: step(chance.between(170.0, 220.0)), fade: [fade(0.05), fade(0.06)], ..TONE }
            }
            _ => Hit {
                loud: [0.0, 0.5 * loud],
                fade: [1.0, fade(chance.between(0.02, 0.06))],
                bright: true,
                ..TONE
            },
        };
        Self::Hit(hit)
    }

    /// A ring of noise, the length of which is the period.
    fn pluck(loud: f64, lowest: f64, chance: &mut Chance, rate: f64) -> Self {
        // The average of neighbours takes half a sample longer.
        let length = ((rate / chance.pitch(lowest)) as usize).max(2);
        let noise: Vec<f64> = (0..length).map(|_| chance.noise()).collect();
        // A mean would never die away. What averaging in turn keeps is the sum in which the first counts by half.
        let mean = (noise.iter().sum::<f64>() - 0.5 * noise[0]) / (length as f64 - 0.5);
        // The loudest sample stays within the note's amplitude.
        let scale = loud / (1.0 + mean.abs());
        let period = noise.iter().map(|x| scale * (x - mean)).collect();
        Self::String { period, at: 0 }
    }

    fn next(&mut self, chance: &mut Chance) -> f64 {
        match self {
            Self::String { period, at } => {
                let (sample, next) = (period[*at], (*at + 1) % period.len());
                period[*at] = 0.5 * (sample + period[next]);
                *at = next;
                sample
            }
            Self::Hit(hit) => hit.next(chance),
        }
    }
}

impl Hit {
    fn next(&mut self, chance: &mut Chance) -> f64 {
        let mut sample = self.loud[0] * sine(self.phase);
        if self.loud[1] > 0.0 {
            let noise = chance.noise();
            sample += self.loud[1] * if self.bright { noise - self.last } else { noise };
            self.last = noise;
        }
        let [depth, turn, slow] = self.swing;
        self.phase = wrapped(self.phase + self.step * (1.0 + depth * sine(turn)));
        self.swing[1] = wrapped(turn + slow);
        self.step += self.glide + (self.goal - self.step) * self.pull;
        self.loud = [self.loud[0] * self.fade[0], self.loud[1] * self.fade[1]];
        sample
    }
}

/// A phase in [0, 1), from one in [0, 2).
fn wrapped(phase: f64) -> f64 {
    if phase >= 1.0 { phase - 1.0 } else { phase }
}

/// sin(2π·phase) for a phase in [0, 1), by its series, whose error is below 1e-9 in a quarter of a turn.
fn sine(phase: f64) -> f64 {
    // The quarters are mirrored onto the first and the last.
    let half = phase - 0.5;
    let quarter = half.clamp(-0.25, 0.25) * 2.0 - half;
    let quarter = if half.abs() > 0.25 { quarter } else { half };
    let x = -std::f64::consts::TAU * quarter;
    let terms = [2.0 * 3.0, 4.0 * 5.0, 6.0 * 7.0, 8.0 * 9.0, 10.0 * 11.0, 12.0 * 13.0];
    x * terms.iter().rev().fold(1.0, |sum, term| 1.0 - x * x / term * sum)
}

#[cfg(test)]
mod tests;
