//! The progress of training: a bar in a terminal, or a plain line now and then elsewhere.
//!
//! Training ends after a number of images or of seconds, whichever comes first. The bar and the time left
//! follow the nearer end.

use super::{interrupt, say::silent};
use crate::{
    error::{Error, Result},
    train::Work,
};
use std::collections::VecDeque;
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// A log file gets one line in this time.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// The speed is that of this many last seconds, so that compiling shaders at the start does not count.
const SPEED_OVER: f64 = 6.0;
/// The number of steps in which the bar moves.
const STEPS: u64 = 1000;

/// Shows epoch, metrics, speed and the time left on stderr.
#[derive(Debug)]
pub struct TrainingProgress {
    bar: Option<ProgressBar>,
    started: Instant,
    last_line: Option<Instant>,
    pace: Pace,
    text: String,
}

impl TrainingProgress {
    /// Makes a bar that is full after `total_images` images, each of which is called `one`.
    pub fn new(total_images: u64, one: &'static str) -> Self {
        let bar = (stderr().is_terminal() && !silent()).then(|| {
            let style = ProgressStyle::with_template("{bar:22.cyan/238} {percent:>3}%  {msg}");
            let style = style.expect("the template is a constant").progress_chars("━━╌");
            ProgressBar::new(STEPS).with_style(style)
        });
        let pace = Pace { total: total_images, one, seconds: None, recent: VecDeque::new() };
        Self { bar, started: Instant::now(), last_line: None, pace, text: String::new() }
    }

    /// Makes the bar full after `seconds` seconds, if that comes before the end of the images.
    pub fn with_seconds(mut self, seconds: f64) -> Self {
        self.pace.seconds = Some(seconds);
        self
    }

    /// Shows how much is done, and what was measured. `images_done` counts from the start of the run, `epoch`
    /// from 1 to `epochs`.
    pub fn update(&mut self, images_done: u64, epoch: u64, epochs: u64, metrics: &[(impl AsRef<str>, f64)]) {
        self.pace.push(self.started.elapsed().as_secs_f64(), images_done);
        self.text = self.pace.text(epoch, epochs, metrics);
        match &self.bar {
            Some(bar) => {
                bar.set_position((self.pace.share() * STEPS as f64) as u64);
                bar.set_message(self.text.clone());
            }
            None if self.last_line.is_none_or(|at| at.elapsed() >= LINE_EVERY) => self.line(),
            None => {}
        }
    }

    /// Prints a line, above the bar if there is one.
    pub fn println(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => note!("{line}"),
        }
    }

    /// Ends the bar and leaves its last state on the screen.
    pub fn finish(&mut self) {
        match &self.bar {
            Some(bar) => bar.abandon(),
            None if !self.text.is_empty() => self.line(),
            None => {}
        }
    }

    fn line(&mut self) {
        note!("{:3.0}%  {}", self.pace.share() * 100.0, self.text);
        self.last_line = Some(Instant::now());
    }
}

/// Makes a listener for long work. It shows a bar for each kind of work in a terminal, and prints a line for
/// each elsewhere. After Ctrl-C it returns an error, which ends the work.
pub fn listener() -> impl FnMut(Work<'_>) -> Result<()> {
    let mut bar: Option<(String, ProgressBar)> = None;
    move |Work { what, done, total }| {
        let (shown, bar) = bar.get_or_insert_with(|| (String::new(), ProgressBar::hidden()));
        if shown != what {
            bar.finish_and_clear();
            *shown = what.into();
            let template = "{bar:22.cyan/238} {percent:>3}%  {pos}/{len} {msg}  {eta} left";
            let style = ProgressStyle::with_template(template).expect("the template is a constant");
            // The bar hides itself if stderr is not a terminal.
            let shows = if silent() { ProgressBar::hidden() } else { ProgressBar::new(total) };
            *bar = shows.with_message(shown.clone());
            bar.set_style(style.progress_chars("━━╌"));
            if !stderr().is_terminal() {
                note!("{total} {what}");
            }
        }
        if done >= total {
            bar.finish_and_clear()
        } else {
            bar.set_position(done)
        }
        if interrupt::asked() {
            return Err(Error::new(format!("Ctrl-C was typed; stopped at {done} of {total} {what}")));
        }
        Ok(())
    }
}

/// How much is done and how fast, from pairs (seconds, images).
#[derive(Debug)]
struct Pace {
    total: u64,
    /// The word for an image.
    one: &'static str,
    seconds: Option<f64>,
    recent: VecDeque<(f64, u64)>,
}

impl Pace {
    fn push(&mut self, now: f64, images: u64) {
        self.recent.push_back((now, images));
        while self.recent.len() > 2 && self.recent[1].0 < now - SPEED_OVER {
            self.recent.pop_front();
        }
    }

    fn now(&self) -> (f64, u64) {
        self.recent.back().copied().unwrap_or_default()
    }

    fn images_per_second(&self) -> Option<f64> {
        let (first, last) = (self.recent.front()?, self.recent.back()?);
        let images = last.1.saturating_sub(first.1) as f64;
        (last.0 > first.0 && images > 0.0).then(|| images / (last.0 - first.0))
    }

    /// The share that is done, from 0 to 1.
    fn share(&self) -> f64 {
        let (now, images) = self.now();
        let by_images = images as f64 / self.total.max(1) as f64;
        let by_time = self.seconds.map_or(0.0, |seconds| now / seconds.max(1e-9));
        by_images.max(by_time).clamp(0.0, 1.0)
    }

    fn seconds_left(&self) -> Option<f64> {
        let (now, images) = self.now();
        let missing = self.total.saturating_sub(images) as f64;
        let by_images = self.images_per_second().map(|speed| missing / speed);
        let by_time = self.seconds.map(|seconds| (seconds - now).max(0.0));
        [by_images, by_time].into_iter().flatten().reduce(f64::min)
    }

    fn text(&self, epoch: u64, epochs: u64, metrics: &[(impl AsRef<str>, f64)]) -> String {
        let mut text = format!("epoch {epoch}/{epochs}");
        metrics
            .iter()
            .for_each(|(name, value)| text.push_str(&format!("  {} {}", name.as_ref(), short(*value))));
        if let Some(speed) = self.images_per_second() {
            text.push_str(&format!("  {} {}s/s", short(speed), self.one));
        }
        if let Some(left) = self.seconds_left() {
            text.push_str(&format!("  {} left", clock(left)));
        }
        text
    }
}

/// The value with about four digits.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size < 1e-3 && size > 0.0 => format!("{value:.1e}"),
        _ => format!("{value:.4}"),
    }
}

fn clock(seconds: f64) -> String {
    let s = seconds.ceil() as u64;
    match s / 3600 {
        0 => format!("{}:{:02}", s / 60, s % 60),
        hours => format!("{hours}:{:02}:{:02}", s / 60 % 60, s % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(total: u64, seconds: Option<f64>) -> Pace {
        Pace { total, one: "image", seconds, recent: VecDeque::new() }
    }

    #[test]
    fn speed_and_time_left_follow_the_images() {
        let mut p = pace(10_000, None);
        p.push(0.0, 0);
        assert_eq!(p.text(1, 5, &[("loss", 500.0)]), "epoch 1/5  loss 500.0");
        p.push(2.0, 2_500);
        assert_eq!(p.share(), 0.25);
        assert_eq!(p.text(1, 5, &[("loss", 0.25)]), "epoch 1/5  loss 0.2500  1250 images/s  0:06 left");
    }

    #[test]
    fn a_slow_start_is_forgotten() {
        let mut p = pace(1_000_000, None);
        p.push(0.0, 0);
        p.push(30.0, 64);
        for i in 1..=100 {
            p.push(30.0 + i as f64 / 10.0, 64 + i * 100);
        }
        let speed = p.images_per_second().unwrap();
        assert!((speed - 1000.0).abs() < 1.0, "{speed}");
        assert!(p.recent.len() < 70);
    }

    #[test]
    fn the_nearer_end_counts() {
        let mut p = pace(1_000_000, Some(60.0));
        p.push(0.0, 0);
        p.push(45.0, 1_000);
        assert_eq!(p.share(), 0.75);
        assert_eq!(p.seconds_left(), Some(15.0));
        p.push(50.0, 999_999);
        assert!(p.share() > 0.99 && p.seconds_left().unwrap() < 1.0);
    }

    #[test]
    fn resuming_in_the_middle_does_not_count_as_speed() {
        let mut p = pace(1_000, None);
        p.push(0.0, 500);
        assert_eq!(p.images_per_second(), None);
        p.push(1.0, 600);
        assert_eq!(p.seconds_left(), Some(4.0));
    }

    #[test]
    fn clocks_are_read_at_a_glance() {
        let times = [clock(0.0), clock(59.2), clock(3599.0), clock(3725.0)];
        assert_eq!(times, ["0:00", "1:00", "59:59", "1:02:05"]);
    }
}
