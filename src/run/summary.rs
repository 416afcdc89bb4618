//! The files for people at the end of a run, `loss.png` and `summary.txt`. They are made from the metrics
//! file, so that they cover all sittings of a resumed run.

use super::{Curve, RunDir, Session, plot, read};
use crate::{disk::write_atomic, error::Result, train::Stream};
use std::time::Duration;

/// Draws the curves, writes the summary, and prints the paths.
pub(super) fn write(
    session: &Session,
    run: &RunDir,
    step: u64,
    best: Option<(f64, u64)>,
    metrics: &[&str],
    unit: &str,
    took: Duration,
) -> Result<()> {
    let curves = read(run.metrics())?;
    draw(session, run, &curves, metrics, unit)?;
    let (caps, recipe) = (session.gpu.caps(), &session.recipe);
    let one = recipe.one();
    let mut text = format!("{} on {}, {} training {one}s\n", session.model, recipe.data, session.count());
    text += &format!("steps      {step} of {} {one}s, seed {}\n", recipe.batch, recipe.seed);
    let lossy = if session.set.lossy {
        "; changed pixels: likelihoods compare with no published figures"
    } else {
        ""
    };
    text += &format!("data       {}, {} test {one}s{lossy}\n", session.set.name, session.set.test.count);
    if let Some(count) = session.stream.as_ref().map(Stream::left_out).filter(|&count| count > 0) {
        text += &format!("left out   {count} training pictures that could not be read any more\n");
    }
    text += &format!("time       {:.0} s in the last sitting\n", took.as_secs_f64());
    text += &format!("adapter    {} ({}, {})\n", caps.name, caps.backend, caps.driver.trim());
    if let Some((score, step)) = best {
        text += &format!("best       {score:.4} at step {step}\n");
    }
    for curve in curves.iter().filter(|c| c.label != "epoch") {
        if let Some((step, value)) = curve.points.last() {
            text += &format!("{:<24} {value:.4} at step {step}\n", curve.label);
        }
    }
    text +=
        &format!("weights    {}\ngo on with --resume {}\n", run.weights().display(), run.root().display());
    write_atomic(&run.summary(), text.as_bytes())?;
    say!(
        "weights: {}\nloss curve: {}\nsummary: {}",
        run.weights().display(),
        run.loss_plot().display(),
        run.summary().display()
    );
    Ok(())
}

/// Draws the curves. Several metrics are drawn over the steps; a single loss is drawn over the epochs if at
/// least two are done, else over the steps.
fn draw(session: &Session, run: &RunDir, curves: &[Curve], metrics: &[&str], unit: &str) -> Result<()> {
    let per_epoch = (session.count() as f64 / f64::from(session.recipe.batch)).floor().max(1.0);
    let of = |name: &str, label: &str, scale: f64| {
        let curve = curves.iter().find(|c| c.label == name)?;
        Some(Curve::new(label, curve.points.iter().map(|&(x, y)| (x / scale, y)).collect()))
    };
    let (loss, title) = (metrics[0], format!("{} on {}", session.model, session.set.name));
    if metrics.len() > 1 {
        return plot(
            &run.loss_plot(),
            &title,
            "step",
            unit,
            &metrics.iter().filter_map(|name| of(name, name, 1.0)).collect::<Vec<_>>(),
        );
    }
    let whole = [("train_", "train"), ("test_", "test")]
        .map(|(prefix, label)| of(&format!("{prefix}{loss}"), label, per_epoch));
    let whole: Vec<Curve> = whole.into_iter().flatten().collect();
    match whole.first().is_some_and(|c| c.points.len() > 1) {
        true => plot(&run.loss_plot(), &title, "epoch", unit, &whole),
        false => {
            plot(&run.loss_plot(), &title, "step", unit, &of(loss, loss, 1.0).into_iter().collect::<Vec<_>>())
        }
    }
}
