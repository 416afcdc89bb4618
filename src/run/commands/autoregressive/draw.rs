//! The commands `sample` and `complete`: pictures that are drawn pixel by pixel, and how they appeared.

use super::{
    super::{
        one_hot,
        task::{Cases, DRAWS},
    },
    fit::{Density, Fit, HINT},
    trained::{CLASS, TrainedDensity},
};
use crate::{
    data::{Task, picture},
    error::{Error, Result},
    gpu::State,
    run::{Bare, Look, Raw, animate, grid, listener, parse::number, save, say::counted, whole},
    train::{Draws, Method, Sampler, Work},
};
use clap::Args;
use std::{
    path::{Path, PathBuf},
    time::Instant,
};

/// The numbers of pictures in a GIF, before the last one, and in the strip, at most.
const FRAMES: usize = 60;
const STRIP: usize = 8;
/// The usual number of pictures.
const COUNT: u16 = 25;
/// The usual number of test images on which a task is done.
const TASKS: usize = 8;
/// The largest number of pictures that are drawn at once where a task is done.
const AT_ONCE: usize = 48;

/// The options of `sample`.
#[derive(Args, Clone)]
pub struct PixelDraw<M: Density> {
    #[command(flatten)]
    pub(super) bare: Bare<Fit<M>>,
    #[command(flatten)]
    pub(super) look: Look,
    /// Number of pictures [default: 25]; of a model with a task, of test images [default: 8], each drawn three times
    #[arg(long, value_parser = whole::<u16>(1..=1000))]
    count: Option<u16>,
    /// Temperature, from 0.001 to 1000: below 1 makes likely pixels more likely, above 1 less likely
    #[arg(long, default_value_t = 1.0, value_parser = temperature)]
    temperature: f64,
    /// Class to draw by its name [default: all in turn]
    #[arg(long, value_name = "NAME")]
    class: Option<String>,
    /// Also write a GIF of the pictures as they appear
    #[arg(long)]
    gif: bool,
    /// Run the whole network for every pixel, for comparison
    #[arg(long)]
    naive: bool,
    #[command(flatten)]
    raw: Raw,
}

/// The options of `complete`.
#[derive(Args)]
pub struct Complete<M: Density> {
    #[command(flatten)]
    pub(super) draw: PixelDraw<M>,
    /// Picture of the images' size whose bright, opaque pixels are kept [default: the upper half]; pixels are
    /// drawn row by row, so what is kept below guides nothing that is drawn above
    #[arg(long, value_name = "PNG")]
    mask: Option<PathBuf>,
}

impl<M: Density> TrainedDensity<M> {
    /// Draws pictures and shows the progress. Writes the pictures, a strip of the first one as it appears,
    /// and a GIF if asked.
    fn draw(
        &self,
        options: &PixelDraw<M>,
        count: usize,
        classes: &[usize],
        given: Option<(&[f32], &[f32])>,
        name: &str,
    ) -> Result<()> {
        let trained = &self.trained;
        let ([h, w, c], gpu) = (trained.saved.image, &trained.gpu);
        let (likelihood, temperature) = (self.model().likelihood(), options.temperature as f32);
        let method = if options.naive { Method::Naive } else { M::METHOD };
        let draws = Draws { shape: [count, h, w, c], likelihood, temperature, method };
        let (sampler, state) = self.sampler(draws, classes)?;
        let columns = (count as f64).sqrt().ceil() as usize;
        let (steps, mut told) = (sampler.steps(), listener());
        let due = |done: usize, parts: usize, have: usize| done * parts >= steps * (have + 1);
        let (mut strip, mut frames, began) = (vec![], vec![], Instant::now());
        let pictures =
            sampler.run(gpu, &state, given, if options.gif { FRAMES } else { STRIP }, |done, picture| {
                told(Work { what: "steps", done: done as u64, total: steps as u64 })?;
                let (next, frame) = (
                    due(done, STRIP, strip.len() / (h * w * c)),
                    options.gif && due(done, FRAMES, frames.len()),
                );
                if next || frame {
                    let so_far = picture()?;
                    if next {
                        strip.extend_from_slice(&so_far[..h * w * c]);
                    }
                    if frame {
                        frames.push(grid(&so_far, count, h, w, c, columns));
                    }
                }
                Ok(())
            })?;
        let took = began.elapsed().as_secs_f64();
        say!("{} in {took:.2} s, {}", counted(count, "picture"), counted(steps, "step"));
        self.trained.write(&format!("{name}.png"), &pictures, c, columns)?;
        options.raw.write(&[trained.numbers(&pictures)])?;
        let parts = strip.len() / (h * w * c);
        self.trained.write(&format!("{name}-strip.png"), &strip, c, parts)?;
        if options.gif {
            frames.push(grid(&pictures, count, h, w, c, columns));
            let path = trained.run.path(&format!("{name}.gif"));
            animate(&path, &frames, 80)?;
            say!("{}", path.display());
        }
        Ok(())
    }

    /// Plans the drawing of pictures of these classes, and makes the State that holds the weights. Without classes,
    /// the caller writes those of a conditional model.
    pub(super) fn sampler(&self, draws: Draws, classes: &[usize]) -> Result<(Sampler, State)> {
        let gpu = &self.trained.gpu;
        let sampler = Sampler::new(gpu.caps(), draws, |g, x| self.model().network(g, self.given(x)).1)?;
        let state = self.trained.state(&sampler.plans())?;
        if self.model().conditional() && !classes.is_empty() {
            state.write(gpu, CLASS, &one_hot(classes.iter().copied(), self.classes()))?;
        }
        Ok((sampler, state))
    }

    /// The class of the option `--class` for each picture; `None` without the option.
    pub(super) fn class(&self, name: Option<&str>, count: usize) -> Result<Option<Vec<usize>>> {
        let Some(name) = name else { return Ok(None) };
        if !self.model().conditional() {
            let which =
                if M::SOUND.is_some() { "wavenet --conditional" } else { "pixelcnn --gated --conditional" };
            let what = "--class: the model is not conditioned on classes; leave it out, or train";
            return Err(Error::new(format!("{what} `{which}`")));
        }
        Ok(Some(vec![self.trained.saved.class(name)?; count]))
    }

    pub(super) fn sample(&self, options: &PixelDraw<M>) -> Result<()> {
        if let Some(task) = self.model().task() {
            return self.sample_task(options, task);
        }
        let count = options.count.unwrap_or(COUNT).into();
        let classes = self.class(options.class.as_deref(), count)?.unwrap_or_else(|| self.in_turn(count));
        self.draw(options, count, &classes, None, "samples")
    }

    /// Draws the model's task on the first test images, three times each, and writes the hints, the truth and the
    /// draws in a row.
    fn sample_task(&self, options: &PixelDraw<M>, task: Task) -> Result<()> {
        if options.gif || options.naive {
            let which = if options.gif { "--gif" } else { "--naive" };
            return Err(Error::new(format!(
                "{which} has no effect on a model with --task {task}; leave it out"
            )));
        }
        let (test, _) = self.test()?;
        let count = options.count.map_or(TASKS.min(test.count), usize::from);
        if count > test.count {
            let held = counted(test.count, "test image");
            return Err(Error::new(format!("the data hold only {held}; give a smaller --count")));
        }
        let cases = Cases::first(task, &test, count);
        let own: Vec<usize> = test.labels.iter().flatten().take(count).map(|&label| label.into()).collect();
        let classes = self.class(options.class.as_deref(), count)?.unwrap_or(own);
        let classes: Vec<usize> = classes.iter().flat_map(|&class| [class; DRAWS]).collect();
        let (began, often) = (Instant::now(), cases.often());
        let drawn = self.draw_cases(&often, &classes, options.temperature as f32)?;
        say!("{} in {:.2} s", counted(often.count(), "picture"), began.elapsed().as_secs_f64());
        let path = self.trained.run.path("samples.png");
        save(&path, &cases.sheet(&drawn))?;
        say!("{}: in each row what is given, the truth, and {DRAWS} draws", path.display());
        options.raw.write(&[self.trained.numbers(&often.pictures(&drawn))])
    }

    /// Draws each of these pictures once, `[N, H, W, drawn]`, some at a time.
    pub(super) fn draw_cases(&self, cases: &Cases, classes: &[usize], temperature: f32) -> Result<Vec<f32>> {
        let ([h, w, c], gpu, count) = (self.drawn(), &self.trained.gpu, cases.count());
        let size = count.clamp(1, AT_ONCE);
        let draws = Draws {
            shape: [size, h, w, c],
            likelihood: self.model().likelihood(),
            temperature,
            method: M::METHOD,
        };
        let (sampler, state) = self.sampler(draws, &[])?;
        let (mut told, mut all) = (listener(), vec![]);
        let total = (count.div_ceil(size) * sampler.steps()) as u64;
        for start in (0..count).step_by(size) {
            // The last pictures are filled up by repeating the last one.
            let rows: Vec<usize> = (start..start + size).map(|i| i.min(count - 1)).collect();
            let some = cases.pick(&rows);
            state.write(gpu, HINT, &some.hints)?;
            if self.model().conditional() {
                state.write(gpu, CLASS, &one_hot(rows.iter().map(|&i| classes[i]), self.classes()))?;
            }
            let known = some.given();
            let given = known.as_ref().map(|(pictures, known)| (&pictures[..], *known));
            let before = (start / size * sampler.steps()) as u64;
            let drawn = sampler.run(gpu, &state, given, STRIP, |done, _| {
                told(Work { what: "steps of drawing", done: before + done as u64, total })
            })?;
            all.extend_from_slice(&drawn[..size.min(count - start) * cases.of_drawn()]);
        }
        Ok(all)
    }

    pub(super) fn complete(&self, options: &Complete<M>) -> Result<()> {
        if let Some(task) = self.model().task() {
            let what = format!("complete: the model's --task is {task}, and it draws by hints");
            return Err(Error::new(format!(
                "{what}; see what it draws by `sample`, or take your pictures to `apply`"
            )));
        }
        let ([h, w, c], (test, _)) = (self.trained.saved.image, self.test()?);
        let asked = options.draw.count.map(usize::from);
        let images = self.trained.first(&test, asked, COUNT.into())?;
        let count = images.len() / self.trained.pixels();
        let mask = match &options.mask {
            Some(path) => read_mask(path, h, w)?,
            None => (0..h * w).map(|p| f32::from(u8::from(p / w < h / 2))).collect(),
        };
        if guided_late(&mask) {
            note!(
                "note: pixels are drawn row by row: what the mask keeps guides only what is drawn after it, to its \
                 right and below"
            );
        }
        let kept = |i: usize| mask[i / c % (h * w)];
        let n = count * h * w * c;
        let given: Vec<f32> = (0..n).map(kept).collect();
        let pictures: Vec<f32> = (0..n).map(|i| images[i] * kept(i)).collect();
        let own = || test.labels.iter().flatten().take(count).map(|&l| l.into()).collect();
        let classes = self.class(options.draw.class.as_deref(), count)?.unwrap_or_else(own);
        self.trained.write("given.png", &pictures, c, (count as f64).sqrt().ceil() as usize)?;
        self.draw(&options.draw, count, &classes, Some((&pictures, &given)), "completed")
    }
}

/// Parses a temperature, by which logits can be divided, for clap.
pub(super) fn temperature(text: &str) -> std::result::Result<f64, String> {
    number(text, 1e-3..=1e3, "wants a number from 0.001 to 1000")
}

/// Whether a mask keeps a pixel that comes after one that is drawn, so that it cannot guide that one.
fn guided_late(mask: &[f32]) -> bool {
    mask.iter().skip_while(|&&kept| kept == 1.0).any(|&kept| kept == 1.0)
}

/// Reads a mask `[height, width]` that is 1 where the picture is bright and opaque, else 0.
fn read_mask(path: &Path, height: usize, width: usize) -> Result<Vec<f32>> {
    let bad = |what: String| Error::at("use the mask", path, what, "give a PNG of the images' size");
    let bytes = std::fs::read(path).map_err(|e| bad(e.to_string()))?;
    mask(&bytes, height, width).map_err(bad)
}

/// The mask in a picture's bytes, or why there is none.
pub(crate) fn mask(bytes: &[u8], height: usize, width: usize) -> std::result::Result<Vec<f32>, String> {
    let picture = picture::upright(bytes)?.into_luma_alpha8();
    let (found, wanted) = (picture.dimensions(), (width as u32, height as u32));
    if found != wanted {
        return Err(format!("it is {}x{} pixels, the images are {width}x{height}", found.0, found.1));
    }
    Ok(picture.pixels().map(|p| f32::from(u8::from(p.0.iter().all(|&value| value >= 128)))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_keeps_what_is_bright_and_opaque() {
        let dir = crate::disk::scratch::Folder::new("mask");
        let path = dir.join("mask.png");
        let pixel = |value, alpha| image::Rgba([value, value, value, alpha]);
        let values = [pixel(255, 255), pixel(255, 0), pixel(0, 255), pixel(0, 0)];
        image::RgbaImage::from_fn(4, 1, |x, _| values[x as usize]).save(&path).unwrap();
        let mask = read_mask(&path, 1, 4).unwrap();
        assert_eq!(mask, [1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn a_mask_that_keeps_what_comes_late_is_known() {
        assert!(guided_late(&[1.0, 0.0, 1.0]) && guided_late(&[0.0, 0.0, 1.0]));
        assert!(!guided_late(&[1.0, 1.0, 0.0]) && !guided_late(&[1.0; 3]) && !guided_late(&[0.0; 3]));
    }
}
