//! Cached sampling: from the graph of whole pictures, the graph of one step of a wavefront.
//!
//! An autoregressive model draws pixel after pixel, each from what lies before it. Run whole for every pixel it computes the
//! same activations again and again; but a pixel needs only its own row of every layer, and of earlier pixels what the
//! windows see, which is kept in State. [`cached`] derives that from the model's own graph by its ops' footprints: elementwise
//! ops and products work on the rows of the pixels in flight, a window's input is placed into a cache and looked at.
//!
//! Several image rows are in flight at once (a wavefront): row i + 1 may follow row i as soon as what each single window
//! sees to the right is there. What looks to the right within its own row, as the vertical stack of a gated PixelCNN does, is
//! computed so many steps before the pixel is drawn. The result is exact, not an approximation.

use crate::{
    error::{Error, Result},
    graph::{
        Graph, NodeId, Origin, Recording, Tensor,
        op::{Class, Footprint, Op},
        shape::{Shape, Type},
        var::{Init, VarSpec},
        window::Window,
    },
    ops::{cursor::Wave, matmul::product},
};
use std::{collections::BTreeMap, sync::Arc};

/// The model's input within its graph.
pub const INPUT: &str = "x";
/// The model's output: parameters of the pixels' distributions.
pub const OUTPUT: &str = "logits";

/// What a node of the whole graph is in a step's graph.
#[derive(Clone, Copy)]
enum Part<'g> {
    /// The same: it does not depend on the picture.
    Whole(Tensor<'g>),
    /// `[N·F, C]`: its values at the pixels in flight.
    Rows(Tensor<'g>),
}

struct Deriving<'a, 'g> {
    from: &'a Recording,
    g: &'g Graph,
    /// Which nodes depend on the picture.
    depends: Vec<bool>,
    /// How many steps before its pixel is drawn a node is computed.
    early: Vec<i32>,
    /// N, H, W.
    size: [usize; 3],
    /// Of the pixels that are drawn.
    wave: Wave,
    step: Tensor<'g>,
    picture: Tensor<'g>,
    parts: BTreeMap<NodeId, Part<'g>>,
    caches: BTreeMap<NodeId, Tensor<'g>>,
}

/// Records into `g` one step of sampling: `whole` has the picture `[N, H, W, C]` as input [`INPUT`] and parameters of every
/// pixel as output [`OUTPUT`]; `picture` is the State's, `step` counts from 0, once for each of the `counts` channels that a pixel
/// draws one after another (or 1), and once more where the model asks for it. Returns the wavefront and the parameters
/// `[N·F, O]` of the pixels in flight; the caller draws them and places them into the picture. An error names the op that
/// forbids it: one that does not tell its footprint, or sees pixels that are not drawn yet.
pub fn cached<'g>(
    g: &'g Graph,
    whole: &Graph,
    picture: Tensor<'g>,
    step: Tensor<'g>,
    counts: usize,
) -> Result<(Wave, Tensor<'g>)> {
    whole.check()?;
    let from = whole.recording().clone();
    let find = |what: &str| Error::State(format!("the model's graph has no {what}"));
    let output =
        from.outputs.iter().find(|(name, _)| name == OUTPUT).ok_or_else(|| find("output `logits`"))?.1;
    let input = from.nodes.iter().position(|n| matches!(&n.origin, Origin::Input(name) if name == INPUT));
    let input = input.filter(|&i| from.nodes[i].ty == picture.ty() && picture.shape().len() == 4);
    let input = input.ok_or_else(|| find(&format!("input `x` of the picture's type {:?}", picture.ty())))?;
    let mut depends = vec![false; from.nodes.len()];
    depends[input] = true;
    for id in input + 1..from.nodes.len() {
        if let Origin::Op(_, inputs) = &from.nodes[id].origin {
            depends[id] = inputs.iter().any(|&i| depends[i]);
        }
    }
    if output == input || !depends[output] {
        return Err(find("output that is computed from the picture"));
    }
    let shape = picture.shape();
    let image = [shape[1], shape[2]];
    let Timing { early, first, lag } = timing(&from, &depends, input, output, image, counts)?;
    let counts = counts + usize::from(counts > 1 && settles(&from, &depends, input));
    // The counter starts where the earliest node does.
    let wave = Wave { image, lag, shift: -first, counts };
    let size = [shape[0], shape[1], shape[2]];
    let (parts, caches) = (BTreeMap::new(), BTreeMap::from([(input, picture)]));
    let mut this = Deriving { from: &from, g, depends, early, size, wave, step, picture, parts, caches };
    match this.part(output)? {
        Part::Rows(rows) => Ok((wave, rows)),
        Part::Whole(_) => unreachable!("the output depends on the picture"),
    }
}

fn refused(from: &Recording, id: NodeId, what: &str) -> Error {
    let Origin::Op(op, _) = &from.nodes[id].origin else { unreachable!("only ops are refused") };
    Error::Model {
        at: from.nodes[id].at.to_string(),
        what: format!("{}: {what}; cached sampling cannot be derived", op.name()),
    }
}

/// The window through which a node sees, if it does.
fn window(from: &Recording, id: NodeId) -> Option<&Window> {
    match &from.nodes[id].origin {
        Origin::Op(op, _) => match op.footprint() {
            Some(Footprint::Window(window)) => Some(window),
            _ => None,
        },
        _ => None,
    }
}

/// Whether windows see values that stem from a pixel's last channel by no window: they are kept only by a count after that channel.
fn settles(from: &Recording, depends: &[bool], input: NodeId) -> bool {
    let mut pointwise = vec![false; from.nodes.len()];
    pointwise[input] = true;
    for (id, node) in from.nodes.iter().enumerate().filter(|(id, _)| depends[*id] && *id != input) {
        let Origin::Op(_, inputs) = &node.origin else { continue };
        if window(from, id).is_none() {
            pointwise[id] = inputs.iter().any(|&i| pointwise[i]);
        } else if inputs[0] != input && pointwise[inputs[0]] {
            return true;
        }
    }
    false
}

/// When each node is computed: how many steps before its pixel is drawn, and the lag between image rows.
struct Timing {
    early: Vec<i32>,
    /// The earliest of them.
    first: i32,
    lag: usize,
}

/// Times the nodes between picture and output. A pixel is there one step after it was drawn, an output when its pixel is drawn.
/// A node must not come after one that sees it: so much earlier as that one looks to the right within the row; what it sees of
/// rows above says how far those must be ahead. Refuses windows that see what is not drawn yet; where channels are drawn one after
/// another, nodes may see the pixel itself, and their masks must leave out the channels that follow.
fn timing(
    from: &Recording,
    depends: &[bool],
    input: NodeId,
    output: NodeId,
    image: [usize; 2],
    counts: usize,
) -> Result<Timing> {
    const UNUSED: i32 = i32::MIN;
    let nodes: Vec<NodeId> = (input..=output).filter(|&id| depends[id]).collect();
    let inputs = |id: NodeId| match &from.nodes[id].origin {
        Origin::Op(_, inputs) => inputs.iter().copied().filter(|&i| depends[i]).collect(),
        _ => vec![],
    };
    // The rightmost pixel of its own row that a node sees, if it sees any.
    let right = |id: NodeId| {
        window(from, id).map_or(Some(0), |w| w.taps.iter().filter(|t| t[0] == 0).map(|t| t[1]).max())
    };
    // At most so early can a node be computed, by what it sees.
    let mut most = vec![i32::MAX; from.nodes.len()];
    most[input] = if counts > 1 { 0 } else { -1 };
    for &id in nodes.iter().filter(|&&id| id != input) {
        if let Some(window) = window(from, id) {
            if window.image != image || window.made != image || window.stride != [1, 1] {
                return Err(refused(from, id, "it changes the picture's extents"));
            }
            if window.taps.iter().any(|tap| tap[0] > 0) {
                return Err(refused(from, id, "it sees pixels that are not drawn yet"));
            }
        }
        most[id] = inputs(id)
            .into_iter()
            .filter_map(|i| Some(most[i].saturating_sub(right(id)?)))
            .min()
            .unwrap_or(i32::MAX);
    }
    let mut early = vec![UNUSED; from.nodes.len()];
    early[output] = 0;
    let mut lag = 1;
    for &id in nodes.iter().rev().filter(|&&id| id != input) {
        if early[id] == UNUSED {
            continue;
        }
        if early[id] > most[id] {
            return Err(refused(from, id, "it sees pixels that are not drawn yet"));
        }
        for i in inputs(id) {
            early[i] = early[i].max(right(id).map_or(early[id].min(most[i]), |x| early[id] + x));
        }
    }
    early[input] = -1;
    for &id in nodes.iter().filter(|&&id| early[id] != UNUSED) {
        let (Some(window), Some(&seen)) = (window(from, id), inputs(id).first()) else { continue };
        for [y, x] in window.taps.iter().filter(|tap| tap[0] < 0) {
            // What is at pixels in flight is final only when their last channel is drawn.
            let unfinished = i32::from(counts > 1);
            lag = lag.max((x + early[id] - early[seen] + unfinished + -y - 1).div_euclid(-y));
        }
    }
    let first = early.iter().copied().max().unwrap_or(0).max(0);
    // No row needs to wait for more than the whole row above.
    let lag = (lag.max(1) as usize).min(image[1] + first as usize);
    Ok(Timing { early, first, lag })
}

impl<'g> Deriving<'_, 'g> {
    fn rows(&self) -> usize {
        self.size[0] * self.wave.flight()
    }

    /// The wave of the pixels at which a node is computed.
    fn wave(&self, id: NodeId) -> Wave {
        Wave { shift: self.wave.shift + self.early[id], ..self.wave }
    }

    fn part(&mut self, id: NodeId) -> Result<Part<'g>> {
        if let Some(&part) = self.parts.get(&id) {
            return Ok(part);
        }
        let node = &self.from.nodes[id];
        let part = match &node.origin {
            Origin::Input(_) if self.depends[id] => {
                Part::Rows(self.picture.look(self.wave(id), &[[0, 0]], self.step))
            }
            Origin::Input(name) => Part::Whole(self.g.input(name, node.ty.clone())),
            Origin::Var(v) => {
                Part::Whole(self.g.declare(VarSpec { home: None, ..self.from.vars[*v].clone() }))
            }
            Origin::Op(op, inputs) if self.depends[id] => Part::Rows(self.op(id, op, inputs)?),
            Origin::Op(op, inputs) => {
                let inputs = inputs.iter().map(|&i| self.whole(i)).collect::<Result<Vec<_>>>()?;
                Part::Whole(self.g.apply_shared(op.clone(), &inputs))
            }
            Origin::Arena(_) | Origin::Poison => {
                return Err(Error::State("a model's graph has no optimizer".into()));
            }
        };
        self.parts.insert(id, part);
        Ok(part)
    }

    fn whole(&mut self, id: NodeId) -> Result<Tensor<'g>> {
        match self.part(id)? {
            Part::Whole(tensor) => Ok(tensor),
            Part::Rows(_) => unreachable!("what does not depend on the picture is whole"),
        }
    }

    /// A node's values at the pixels at which another is computed, `[N·F, C]`.
    fn rows_of(&mut self, id: NodeId, channels: usize, of: NodeId) -> Result<Tensor<'g>> {
        let rows = self.rows();
        if self.depends[id] && self.early[id] != self.early[of] {
            return Ok(self.cache(id)?.reshape([self.size[0], self.size[1], self.size[2], channels]).look(
                self.wave(of),
                &[[0, 0]],
                self.step,
            ));
        }
        if let Part::Rows(tensor) = self.part(id)? {
            return Ok(tensor);
        }
        let [n, h, w] = self.size;
        // What is the same for all pixels of an image is not made for all of them.
        if let Some((from, source)) = self.repeated(id) {
            let source = self.whole(source)?;
            let [per_image, width] = from;
            let tensor = match per_image {
                1 => source.reshape([1, width]).broadcast_to([rows, channels]),
                _ => source
                    .reshape([n, 1, width])
                    .broadcast_to([n, self.wave.flight(), channels])
                    .reshape([rows, channels]),
            };
            return Ok(tensor);
        }
        let tensor = self.whole(id)?;
        Ok(tensor.reshape([n, h, w, channels]).look(self.wave(of), &[[0, 0]], self.step))
    }

    /// The source of a broadcast over pixels: (1 or N, 1 or C), node.
    fn repeated(&self, id: NodeId) -> Option<([usize; 2], NodeId)> {
        let Origin::Op(op, inputs) = &self.from.nodes[id].origin else { return None };
        let Some(Footprint::Repeat) = op.footprint() else { return None };
        let [from, to] = [inputs[0], id].map(|id| &self.from.nodes[id].ty.shape);
        let padded: Vec<usize> =
            std::iter::repeat_n(1, to.len().checked_sub(from.len())?).chain(from.iter().copied()).collect();
        let (width, pixels) = padded.split_last()?;
        match *pixels {
            [n, 1, 1] if to.len() == 4 => Some(([n, *width], inputs[0])),
            [1] if to.len() == 2 => Some(([1, *width], inputs[0])),
            _ => None,
        }
    }

    /// The pixels' channels of a shape `[N, H, W, C]`, `[N·H·W, C]` or `[N·H·W]`.
    fn channels(&self, shape: &Shape) -> Option<usize> {
        let [n, h, w] = self.size;
        match shape[..] {
            [a, b, c, d] if [a, b, c] == self.size => Some(d),
            [a, b] if a == n * h * w => Some(b),
            [a] if a == n * h * w => Some(1),
            _ => None,
        }
    }

    fn op(&mut self, id: NodeId, op: &Arc<dyn Op>, inputs: &[NodeId]) -> Result<Tensor<'g>> {
        let refuse = |what: &str| refused(self.from, id, what);
        let shape = &self.from.nodes[id].ty.shape;
        let channels = self.channels(shape).ok_or_else(|| refuse("it mixes pixels with channels"))?;
        let first = self.channels(&self.from.nodes[inputs[0]].ty.shape);
        match (op.class(), op.footprint()) {
            (Class::Elementwise(_), _) => {
                let rows =
                    inputs.iter().map(|&i| self.rows_of(i, channels, id)).collect::<Result<Vec<_>>>()?;
                Ok(self.g.apply_shared(op.clone(), &rows))
            }
            (Class::Alias, _) if first == Some(channels) => self.rows_of(inputs[0], channels, id),
            (_, Some(Footprint::Channels(range))) => {
                let all = first.ok_or_else(|| refuse("it moves pixels"))?;
                Ok(self.rows_of(inputs[0], all, id)?.slice(1, range))
            }
            (Class::Strided(_), _) => Err(refuse("it moves pixels")),
            (_, Some(Footprint::Row)) if inputs[1..].iter().all(|&i| !self.depends[i]) => {
                let mut args = vec![self.rows_of(inputs[0], first.unwrap_or_default(), id)?];
                for &i in &inputs[1..] {
                    args.push(self.whole(i)?);
                }
                Ok(self.g.apply_shared(op.clone(), &args).reshape([self.rows(), channels]))
            }
            (_, Some(Footprint::Window(window))) if !self.depends[inputs[1]] => {
                let seen = self.cache(inputs[0])?.look(self.wave(id), &window.taps, self.step);
                let weights = self.whole(inputs[1])?.reshape([seen.shape()[1], channels]);
                Ok(product(seen, weights, false, false))
            }
            _ => Err(refuse("it does not tell which pixels it reads")),
        }
    }

    /// The images `[N, H, W, C]` in which a node's values at all pixels so far are kept, those in flight placed.
    fn cache(&mut self, id: NodeId) -> Result<Tensor<'g>> {
        if let Some(&cache) = self.caches.get(&id) {
            return Ok(cache);
        }
        let ([n, h, w], Part::Rows(rows)) = (self.size, self.part(id)?) else {
            unreachable!("only what depends is cached")
        };
        let shape = [n, h, w, rows.shape()[1]];
        let cache =
            self.g.var(&format!("sampling/cache/{}", self.caches.len()), Type::f32(shape), Init::Zeros);
        let placed = cache.place(self.wave(id), rows, self.step);
        self.g.assign(cache, placed);
        self.caches.insert(id, placed);
        Ok(placed)
    }
}
