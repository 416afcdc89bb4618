//! How many steps a frame holds: as many as fit its share of time, and none while the device is still busy.

use oneiro::{
    error::Result,
    gpu::{Gpu, Promise, wgpu},
};
use std::time::Duration;
use web_time::Instant;

/// The time between two frames: a GPU shows 30 a second, a software driver 10, and the rest of it is for training.
const GPU: Duration = Duration::from_millis(33);
const SOFTWARE: Duration = Duration::from_millis(100);
/// The most steps in a frame.
const MOST: f64 = 64.0;

/// The pace of the open room.
pub(crate) struct Pace {
    period: Duration,
    /// The number of steps that a frame holds, of which the whole part is recorded.
    fit: f64,
    /// When the last frame was recorded, the number of its steps, and its end.
    flying: Option<(Instant, u64, Promise<()>)>,
    /// The steps of a second, as the last frames told.
    rate: Option<f64>,
}

impl Pace {
    pub(crate) fn new(software: bool) -> Self {
        Self { period: if software { SOFTWARE } else { GPU }, fit: 1.0, flying: None, rate: None }
    }

    /// Forgets what was measured, as when another room is opened.
    pub(crate) fn reset(&mut self) {
        (self.fit, self.flying, self.rate) = (1.0, None, None);
    }

    /// The steps of a second beside all that the window draws, where some are done.
    pub(crate) fn rate(&self) -> Option<f64> {
        self.rate
    }

    /// The number of steps that fit this frame, or as many of `least` as fit two periods; `None` while the device is
    /// busy with the last frame's.
    ///
    /// # Errors
    /// The device was lost.
    pub(crate) fn steps(&mut self, least: u64) -> Result<Option<u64>> {
        if let Some((begun, steps, done)) = &mut self.flying {
            let Some(done) = done.ready() else { return Ok(None) };
            done?;
            if *steps > 0 {
                let took = begun.elapsed().as_secs_f64();
                let now = *steps as f64 / took.max(1e-6);
                self.rate = Some(self.rate.map_or(now, |rate| 0.8 * rate + 0.2 * now));
                self.fit = next(self.fit, self.period.as_secs_f64(), took, least as f64);
            }
            self.flying = None;
        }
        Ok(Some(self.fit as u64))
    }

    /// Notes that the encoder holds so many steps.
    pub(crate) fn recorded(&mut self, gpu: &Gpu, encoder: &wgpu::CommandEncoder, steps: u64) {
        self.flying = Some((Instant::now(), steps, gpu.completion(encoder)));
    }
}

/// The number of steps of the next frame, where one of `fit` steps took so many seconds and a period is wanted. A
/// window that takes the whole period would leave a room nothing to learn by: up to `least` steps may take another one.
fn next(fit: f64, period: f64, took: f64, least: f64) -> f64 {
    let within = |period: f64| fit * (period / took.max(1e-6)).clamp(0.5, 1.3);
    within(period).max(within(2.0 * period).min(least)).clamp(1.0, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_to_hold_the_steps_that_fit() {
        // A step takes 4 ms, and the window itself 20 ms.
        for (period, least, steps) in [
            (0.1, 6.0, 20.0),
            (0.033, 1.0, 3.0),
            (0.01, 1.0, 1.0),
            (1.0, 6.0, MOST),
            (0.033, 6.0, 6.0),
            (0.02, 12.0, 5.0),
        ] {
            let (mut fit, mut took) = (1.0, 0.0);
            for _ in 0..40 {
                took = 0.02 + 0.004 * f64::floor(fit);
                fit = next(fit, period, took, least);
            }
            assert!((fit - steps).abs() < 1.5, "{fit} steps in {period} s");
            assert!(took < 2.0 * period + 0.006, "a frame of {took} s, where {period} s are wanted");
        }
        // On a machine so busy that even one step does not fit, there is one.
        let slow = (0..40).fold(6.0, |fit, _| next(fit, 0.1, 0.3 + 0.05 * f64::floor(fit), 6.0));
        assert!(slow < 2.0, "{slow} steps");
    }
}
