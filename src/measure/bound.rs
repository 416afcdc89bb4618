//! How good a VAE is on test images: the ELBO with its two parts, and the importance-weighted bound for any
//! k.
//!
//! log p(x) ≥ E log 1/k Σ w_i (Burda, Grosse & Salakhutdinov 2015, eq. 8), and a larger k makes the bound
//! tighter. The k draws of an image are made in chunks. The State keeps the running maximum m of log w and s
//! = Σ exp(log w - m), so that a larger k costs time but no memory, and nothing overflows or underflows.

use crate::{
    data::Images,
    error::{Error, Result},
    gpu::{Executor, Gpu, State},
    graph::{Graph, Tensor, shape::Type, var::Init},
    kernel::caps::Caps,
    models::vae::Vae,
    optim::advance,
    plan::Plan,
    train::{Feed, Listener, Work, batch},
};

/// The number of images at a time.
const IMAGES: usize = 50;
/// The numbers of draws per image in one step, of which the largest that fits is taken. With 20 draws, 1,000
/// rows fill the tiles of the matrix product and keep a step short; models with large activations need fewer.
const CHUNKS: [usize; 3] = [20, 4, 1];
/// A finite number below any log weight: an infinity would turn into NaN.
const LOWEST: f32 = -3.0e38;

/// A mean over images, with half the width of its 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// Half the width of the interval: 1.96 standard errors. It is infinite for a single value.
    pub half: f64,
}

impl Mean {
    /// Computes the mean of independent values and its interval.
    pub fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
        Self { mean, half: if values.len() < 2 { f64::INFINITY } else { 1.96 * (variance / n).sqrt() } }
    }

    /// The half width as text to stand behind the mean, " ± 0.123"; empty for a single value.
    pub fn interval(&self) -> String {
        if self.half.is_finite() { format!(" ± {:.3}", self.half) } else { String::new() }
    }
}

/// The warning that stands over the figures of grey pixels.
pub(crate) const GREY: &str = "the pixels are grey: these are cross entropies, no log-likelihoods; \
                               train on binarised pixels for those";

/// Whether all pixels are black or white.
pub(crate) fn is_binary(pixels: &[u8]) -> bool {
    pixels.iter().all(|&value| value == 0 || value == 255)
}

/// The result of an evaluation, in nats per image.
#[derive(Clone, Debug, PartialEq)]
pub struct Bounds {
    /// The number of images that were evaluated.
    pub images: usize,
    /// Whether all pixels are black or white. Of grey pixels, the figures are cross entropies: what training
    /// minimises, but no log-likelihoods, since the model's densities of grey values do not add up to 1.
    pub binary: bool,
    /// The evidence lower bound (ELBO): `reconstruction` - `kl`.
    pub elbo: Mean,
    /// E_q log p(x|z), estimated by the mean over all draws.
    pub reconstruction: Mean,
    /// KL(q(z|x) || p(z)), in closed form.
    pub kl: Mean,
    /// The mean KL of each latent dimension.
    pub kl_per_dimension: Vec<f64>,
    /// Pairs of k and the bound on log p(x): k takes the powers of ten below the k that was asked for, then
    /// that k.
    pub bounds: Vec<(usize, Mean)>,
    /// The figures of each image, of which the others are means.
    pub scores: Scores,
}

/// The figures of single images, `[images]`, in nats.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    /// The bound on log p(x) for the k that was asked for.
    pub log_px: Vec<f64>,
    /// The ELBO.
    pub elbo: Vec<f64>,
    /// E_q log p(x|z).
    pub reconstruction: Vec<f64>,
    /// KL(q(z|x) || p(z)).
    pub kl: Vec<f64>,
}

impl Bounds {
    /// The number of latent dimensions whose mean KL exceeds 0.01 nats.
    pub fn active(&self) -> usize {
        self.kl_per_dimension.iter().filter(|kl| **kl > 0.01).count()
    }

    /// The result as text for a terminal.
    pub fn table(&self) -> String {
        let row = |name: &str, m: &Mean| format!("{name:<24} {:>10.3}{}\n", m.mean, m.interval());
        let s = if self.images == 1 { "" } else { "s" };
        let mut text = format!("{} test image{s}, nats per image, ± 95 % confidence\n", self.images);
        if !self.binary {
            text += &format!("{GREY}\n");
        }
        let of = if self.binary { "log p(x), IWAE" } else { "IWAE's bound" };
        text += &row("ELBO", &self.elbo);
        text += &row("  reconstruction", &self.reconstruction);
        text += &row("  KL", &self.kl);
        for (k, bound) in &self.bounds {
            text += &row(&format!("{of} k = {k}"), bound);
        }
        if let Some((k, bound)) = self.bounds.last().filter(|_| self.binary) {
            text += &row(&format!("NLL at k = {k}"), &Mean { mean: -bound.mean, half: bound.half });
        }
        text += &format!(
            "{} of {} latent dimensions active (KL > 0.01)\n",
            self.active(),
            self.kl_per_dimension.len()
        );
        for (i, row) in self.kl_per_dimension.chunks(10).enumerate() {
            let row: Vec<_> = row.iter().map(|kl| format!("{kl:6.3}")).collect();
            text += &format!(
                "KL of dimensions {:>3} to {:>3}: {}\n",
                10 * i,
                10 * i + row.len() - 1,
                row.join(" ")
            );
        }
        text
    }

    /// The result as JSON for other programs.
    pub fn json(&self) -> serde_json::Value {
        let mean = |m: &Mean| serde_json::json!({ "mean": m.mean, "half_width_95": m.half });
        let bounds: Vec<_> =
            self.bounds.iter().map(|(k, m)| serde_json::json!({ "k": k, "log_px": mean(m) })).collect();
        serde_json::json!({
            "images": self.images, "likelihood": self.binary, "elbo": mean(&self.elbo), "reconstruction": mean(&self.reconstruction), "kl": mean(&self.kl),
            "kl_per_dimension": self.kl_per_dimension, "active_dimensions": self.active(), "iwae": bounds,
        })
    }
}

/// The plans of an evaluation: one begins a batch of images, the others add a chunk of draws to it.
pub struct Bound {
    begin: Plan,
    /// The number of draws in a step, and its plan: first the largest chunk that the adapter holds, then a
    /// chunk of one draw for what is left.
    draw: [(usize, Plan); 2],
    latent: usize,
    pixels: usize,
}

impl Bound {
    /// Plans the evaluation of the VAE that `model` declares in a graph. Its images have `pixels` values
    /// each.
    ///
    /// # Errors
    /// Fails if the graph is wrong, or if it needs more than the adapter allows.
    pub fn new(caps: &Caps, pixels: usize, model: impl for<'g> Fn(&'g Graph) -> Vae<'g>) -> Result<Self> {
        let g = Graph::new();
        g.count_by("bound.batch");
        let some = Images {
            count: IMAGES,
            height: 1,
            width: pixels,
            channels: 1,
            classes: 0,
            pixels: vec![],
            labels: None,
        };
        let x = batch(&g, &some, IMAGES, None);
        let vae = model(&g);
        let (mu, logvar) = vae.encode(x);
        kept(&g, pixels, vae.latent())
            .into_iter()
            .zip([x, mu, logvar])
            .for_each(|(var, value)| g.assign(var, value));
        g.output("kl", Vae::kl(mu, logvar));
        let draws = |count| Ok((count, draws(caps, pixels, count, &model)?));
        let [most, fewer, one] = CHUNKS;
        let draw = [draws(most).or_else(|_: Error| draws(fewer)).or_else(|_| draws(one))?, draws(one)?];
        Ok(Self { begin: Plan::new(&g, caps)?, draw, latent: vae.latent(), pixels })
    }

    /// The plans, for making the State that also holds the weights.
    pub fn plans(&self) -> Vec<&Plan> {
        std::iter::once(&self.begin).chain(self.draw.iter().map(|(_, plan)| plan)).collect()
    }

    /// Evaluates the first `count` images with `k` draws each, by the random stream `vae/importance`. `told` hears of the
    /// progress after each batch of images.
    ///
    /// # Errors
    /// Fails if the device refuses a buffer or a pipeline, if it is lost, or with the error that `told`
    /// returns.
    pub fn run(
        &self,
        gpu: &Gpu,
        state: &State,
        images: &Images,
        count: usize,
        k: usize,
        told: &mut Listener<'_>,
    ) -> Result<Bounds> {
        let (count, k) = (count.min(images.count).max(1), k.max(1));
        let first = Images { count: IMAGES, pixels: vec![0; IMAGES * self.pixels], labels: None, ..*images };
        let feed = Feed::new(gpu, &first)?;
        let begin = Executor::new(gpu, &self.begin, state, &feed.bindings(&self.begin))?;
        let ready =
            |(chunk, plan): &(usize, Plan)| Executor::new(gpu, plan, state, &[]).map(|draw| (*chunk, draw));
        let (many, one) = (ready(&self.draw[0])?, ready(&self.draw[1])?);
        let marks: Vec<usize> =
            std::iter::successors(Some(1), |m| Some(m * 10)).take_while(|m| *m < k).chain([k]).collect();
        let (mut bounds, mut reconstruction, mut kl) = (vec![vec![]; marks.len()], vec![], vec![]);
        for start in (0..count).step_by(IMAGES) {
            let here = IMAGES.min(count - start);
            feed.replace(gpu, &images.pixels[start * self.pixels..][..here * self.pixels])?;
            state.write_words(gpu, "bound.batch", &[(start / IMAGES) as u32])?;
            state.write(gpu, "bound.top", &[LOWEST; IMAGES])?;
            ["bound.sum", "bound.reconstruction"]
                .iter()
                .try_for_each(|name| state.write(gpu, name, &[0.0; IMAGES]))?;
            begin.step(gpu)?;
            kl.extend(
                begin
                    .read(gpu, "kl")?
                    .chunks(self.latent)
                    .take(here)
                    .map(|c| c.iter().map(|&v| f64::from(v)).collect::<Vec<_>>()),
            );
            let mut done = 0;
            for (mark, bounds) in marks.iter().zip(&mut bounds) {
                while done < *mark {
                    let (chunk, draw) = if mark - done < many.0 { &one } else { &many };
                    draw.step(gpu)?;
                    gpu.wait()?;
                    done += chunk;
                }
                let (top, sum) = (state.read(gpu, "bound.top")?, state.read(gpu, "bound.sum")?);
                bounds.extend(
                    top.iter()
                        .zip(&sum)
                        .take(here)
                        .map(|(&m, &s)| f64::from(m) + (f64::from(s) / *mark as f64).ln()),
                );
            }
            reconstruction.extend(
                state.read(gpu, "bound.reconstruction")?.iter().take(here).map(|&v| f64::from(v) / k as f64),
            );
            told(Work { what: "images", done: (start + here) as u64, total: count as u64 })?;
        }
        let kls: Vec<f64> = kl.iter().map(|dimensions| dimensions.iter().sum()).collect();
        let elbo: Vec<f64> = reconstruction.iter().zip(&kls).map(|(r, kl)| r - kl).collect();
        let seen = &images.pixels[..count * self.pixels];
        Ok(Bounds {
            images: count,
            binary: is_binary(seen),
            elbo: Mean::of(&elbo),
            reconstruction: Mean::of(&reconstruction),
            kl: Mean::of(&kls),
            kl_per_dimension: (0..self.latent)
                .map(|d| kl.iter().map(|row| row[d]).sum::<f64>() / count as f64)
                .collect(),
            bounds: marks.into_iter().zip(bounds.iter().map(|b| Mean::of(b))).collect(),
            scores: Scores { log_px: bounds.pop().unwrap_or_default(), elbo, reconstruction, kl: kls },
        })
    }
}

/// The variables that a batch's first step writes for its draws: x, mu and logvar.
fn kept(g: &Graph, pixels: usize, latent: usize) -> [Tensor<'_>; 3] {
    [("bound.x", pixels), ("bound.mu", latent), ("bound.logvar", latent)]
        .map(|(n, width)| g.var(n, Type::f32([IMAGES, width]), Init::Zeros))
}

/// Plans a step that adds `count` draws of every image to the running sums.
fn draws(
    caps: &Caps,
    pixels: usize,
    count: usize,
    model: &impl for<'g> Fn(&'g Graph) -> Vae<'g>,
) -> Result<Plan> {
    let g = Graph::new();
    g.count_by("bound.draw");
    let vae = model(&g);
    let [x, mu, logvar] = kept(&g, pixels, vae.latent());
    let [top, sum, reconstruction] = ["bound.top", "bound.sum", "bound.reconstruction"]
        .map(|n| g.var(n, Type::f32([IMAGES]), Init::Zeros));
    let [log_w, log_px] = vae.log_weights(x, mu, logvar, count);
    let new_top = top.max(log_w.max_over(&[0]));
    g.assign(sum, sum * (top - new_top).exp() + (log_w - new_top).exp().sum(&[0]));
    g.assign(top, new_top);
    g.assign(reconstruction, reconstruction + log_px.sum(&[0]));
    advance(&g);
    Plan::new(&g, caps)
}
