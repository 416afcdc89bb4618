//! Cached sampling: the graph of one step of a wavefront, made from the graph of whole pictures.
//!
//! An autoregressive model draws pixel after pixel, each from those before it. Run whole for every pixel, it
//! computes the same activations again and again. But a pixel needs only its own row of every layer and, of
//! earlier pixels, what the windows see; that is kept in the State. [`cached`] derives this from the model's
//! own graph by its ops' footprints: elementwise ops and products work on the rows of the pixels in flight,
//! and a window's input is placed into a cache and looked at.
//!
//! Several image rows are in flight at once (a wavefront): row i + 1 follows row i as soon as what each
//! single window sees to the right is there (see `timing`). What looks to the right within its own row, as
//! the vertical stack of a gated PixelCNN does, is computed as many steps before the pixel is drawn. The
//! result is exact, not an approximation.

mod timing;
mod whole;

use crate::{
    error::{Error, Result},
    graph::{
        Graph, NodeId, Origin, Tensor,
        op::{Class, Footprint, Op},
        shape::{Shape, Type},
        var::Init,
    },
    ops::{
        cursor::{MAX_CHANNELS, Wave},
        matmul::{MatMul, product},
        recurrence,
    },
};
use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};
use timing::{Network, Timing};

/// The name of the model's input: the picture.
pub const INPUT: &str = "x";
/// The name of the model's output: the parameters of the pixels' distributions.
pub const OUTPUT: &str = "logits";

/// What a node of the whole graph is in a step's graph.
#[derive(Clone, Copy)]
enum Part<'g> {
    /// The node is the same in every step: it does not depend on the picture.
    Whole(Tensor<'g>),
    /// The node's values at the pixels in flight, `[N·F, C]`.
    Rows(Tensor<'g>),
}

/// A step's graph while it is derived.
struct Deriving<'a, 'b, 'g> {
    network: Network<'a>,
    /// The graph that runs once, before the steps.
    begin: &'b Graph,
    g: &'g Graph,
    /// How many steps before its pixel is drawn a node is computed.
    early: BTreeMap<NodeId, i32>,
    /// The nodes whose values are kept in images, since windows see them.
    kept: BTreeSet<NodeId>,
    /// N, H and W.
    size: [usize; 3],
    /// The wavefront of the pixels that are drawn.
    wave: Wave,
    step: Tensor<'g>,
    picture: Tensor<'g>,
    /// What the network's nodes are in the step's graph, as far as they are derived.
    parts: BTreeMap<NodeId, Part<'g>>,
    /// Nodes that do not depend on the picture, in the graph that runs once.
    before: BTreeMap<NodeId, Tensor<'b>>,
    /// Ranges of the channels of such nodes, kept by themselves.
    ranges: BTreeMap<(NodeId, [usize; 2]), Tensor<'g>>,
    /// The caches `[N, H, W, C]` of the nodes that windows see, with the pixels in flight placed; of a picture
    /// of one row, only the columns that are still seen.
    caches: BTreeMap<NodeId, Tensor<'g>>,
}

/// Records one step of sampling into `g`, and returns the wavefront and the parameters `[N·F, O]` of the
/// pixels in flight; the caller draws these pixels and places them into the picture. What is the same for all
/// pixels, as the shifts by a class, is recorded into `begin`, whose plan runs once before the steps.
///
/// - `whole` has the picture `[N, H, W, C]` as input [`INPUT`] and the parameters of every pixel as output
///   [`OUTPUT`];
/// - `picture` is the State's;
/// - `step` counts from 0: one step for each of the `counts` channels that a pixel draws one after another
///   (or 1), and one more where the model asks for it.
///
/// An error names the op that forbids it: one that does not tell its footprint, or that sees pixels which are
/// not drawn yet.
pub fn cached<'g>(
    begin: &Graph,
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
    let shape = picture.shape();
    let (size, image) = ([shape[0], shape[1], shape[2]], [shape[1], shape[2]]);
    let network = Network::new(&from, [input, output], image, counts);
    if output == input || !network.depends[output] {
        return Err(find("output that is computed from the picture"));
    }
    let Timing { early, first, lag } = network.timing()?;
    let counts = counts + usize::from(counts > 1 && network.settles());
    // The counter starts where the earliest node does.
    let wave = Wave { image, lag, shift: -first, counts, mirrored: false };
    let (parts, before, ranges) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let caches = BTreeMap::from([(input, picture)]);
    let kept = network.windowed(&early);
    let mut this =
        Deriving { network, kept, begin, g, early, size, wave, step, picture, parts, before, ranges, caches };
    match this.part(output)? {
        Part::Rows(rows) => Ok((wave, rows)),
        Part::Whole(_) => unreachable!("the output depends on the picture"),
    }
}

impl<'b, 'g> Deriving<'_, 'b, 'g> {
    /// N·F: the rows of the pixels in flight.
    fn rows(&self) -> usize {
        self.size[0] * self.wave.flight()
    }

    /// The wave of the pixels at which a node is computed.
    fn wave(&self, id: NodeId) -> Wave {
        let mirrored = self.network.mirrored(id);
        let before = if mirrored { self.size[2] as i32 - 1 } else { 0 };
        Wave { shift: self.wave.shift + self.early[&id] + before, mirrored, ..self.wave }
    }

    /// What a node is in the step's graph.
    fn part(&mut self, id: NodeId) -> Result<Part<'g>> {
        if let Some(&part) = self.parts.get(&id) {
            return Ok(part);
        }
        if !self.network.depends[id] {
            return Ok(Part::Whole(self.whole(id)?));
        }
        let part = Part::Rows(match &self.network.from.nodes[id].origin {
            Origin::Op(op, inputs) => self.op(id, op, inputs)?,
            _ => self.look(self.picture, id),
        });
        self.parts.insert(id, part);
        Ok(part)
    }

    /// The pixels of images at which a node is computed, `[N·F, C]`.
    fn look(&self, images: Tensor<'g>, of: NodeId) -> Tensor<'g> {
        images.look(self.wave(of), &[[0, 0]], self.step)
    }

    /// Whether a node's values are looked at in images for a node: what is kept anyway need not be kept in rows
    /// as well.
    fn is_kept(&self, id: NodeId, of: NodeId) -> bool {
        self.network.depends[id] && (self.wave(id) != self.wave(of) || self.kept.contains(&id))
    }

    /// A node's values at the pixels at which another is computed, `[N·F, C]`.
    fn rows_of(&mut self, id: NodeId, channels: usize, of: NodeId) -> Result<Tensor<'g>> {
        if self.is_kept(id, of) {
            let cache = self.cache(id)?;
            let shape = [cache.extent(0), cache.extent(1), cache.extent(2), channels];
            return Ok(self.look(cache.reshape(shape), of));
        }
        if self.network.depends[id]
            && let Part::Rows(tensor) = self.part(id)?
        {
            return Ok(tensor);
        }
        if let Some(tensor) = self.repeated(id, 0..channels)? {
            return Ok(tensor);
        }
        let [n, h, w] = self.size;
        let tensor = self.whole(id)?;
        Ok(self.look(tensor.reshape([n, h, w, channels]), of))
    }

    /// A range of the channels of [`Self::rows_of`]. Elementwise functions are applied to the range alone, so that
    /// both halves of a product meet in the function that combines them.
    fn channels_of(
        &mut self,
        id: NodeId,
        channels: usize,
        range: Range<usize>,
        of: NodeId,
    ) -> Result<Tensor<'g>> {
        if self.network.depends[id]
            && !self.is_kept(id, of)
            && let Origin::Op(op, inputs) = &self.network.from.nodes[id].origin
        {
            let read = self.channels(&self.network.from.nodes[inputs[0]].ty.shape);
            match op.class() {
                Class::Elementwise(_) => {
                    let rows = inputs.iter().map(|&i| self.channels_of(i, channels, range.clone(), id));
                    let rows = rows.collect::<Result<Vec<_>>>()?;
                    return Ok(self.g.apply_shared(op.clone(), &rows));
                }
                Class::Alias if read == Some(channels) => {
                    return self.channels_of(inputs[0], channels, range, id);
                }
                _ => {}
            }
        } else if !self.network.depends[id] {
            if let Some(tensor) = self.repeated(id, range.clone())? {
                return Ok(tensor);
            }
            let tensor = self.whole_channels(id, channels, range)?;
            return Ok(self.look(tensor, of));
        }
        Ok(self.rows_of(id, channels, of)?.slice(1, range))
    }

    /// What is the same for all pixels of an image is not made for each of them: a range of the channels of a
    /// broadcast's rows.
    fn repeated(&mut self, id: NodeId, range: Range<usize>) -> Result<Option<Tensor<'g>>> {
        let Some(([per_image, width], source)) = self.source(id) else { return Ok(None) };
        let ([n, ..], flight, made) = (self.size, self.wave.flight(), range.len());
        let source = self.whole(source)?.reshape([per_image, width]);
        let source = if width == 1 { source } else { source.slice(1, range) };
        let width = source.extent(1);
        Ok(Some(match per_image {
            1 => source.broadcast_to([n * flight, made]),
            _ => source.reshape([n, 1, width]).broadcast_to([n, flight, made]).reshape([n * flight, made]),
        }))
    }

    /// The node that a broadcast over pixels repeats, and its extents: 1 or N, and 1 or C.
    fn source(&self, id: NodeId) -> Option<([usize; 2], NodeId)> {
        let Origin::Op(op, inputs) = &self.network.from.nodes[id].origin else { return None };
        let Some(Footprint::Repeat) = op.footprint() else { return None };
        let [from, to] = [inputs[0], id].map(|id| &self.network.from.nodes[id].ty.shape);
        let padded: Vec<usize> =
            std::iter::repeat_n(1, to.len().checked_sub(from.len())?).chain(from.iter().copied()).collect();
        let (width, pixels) = padded.split_last()?;
        match *pixels {
            [n, 1, 1] if to.len() == 4 => Some(([n, *width], inputs[0])),
            [1] if to.len() == 2 => Some(([1, *width], inputs[0])),
            _ => None,
        }
    }

    /// The channels of a pixel in a shape `[N, H, W, C]`, `[N·H·W, C]` or `[N·H·W]`.
    fn channels(&self, shape: &Shape) -> Option<usize> {
        let [n, h, w] = self.size;
        match shape[..] {
            [a, b, c, d] if [a, b, c] == self.size => Some(d),
            [a, b] if a == n * h * w => Some(b),
            [a] if a == n * h * w => Some(1),
            _ => None,
        }
    }

    /// An op that depends on the picture, applied to the rows of the pixels in flight.
    fn op(&mut self, id: NodeId, op: &Arc<dyn Op>, inputs: &[NodeId]) -> Result<Tensor<'g>> {
        let refuse = |what: &str| self.network.refused(id, what);
        let shape = &self.network.from.nodes[id].ty.shape;
        let channels = self.channels(shape).ok_or_else(|| refuse("it mixes pixels with channels"))?;
        let read = &self.network.from.nodes[inputs[0]].ty.shape;
        let first = self.channels(read);
        match (op.class(), op.footprint()) {
            (_, Some(Footprint::Moved(tap))) => {
                Ok(self.cache(inputs[0])?.look(self.wave(id), &[tap], self.step))
            }
            (_, Some(Footprint::States { taps, carried })) if !self.network.depends[inputs[3]] => {
                self.states(id, [inputs[2], inputs[3]], &taps, carried)
            }
            (Class::Elementwise(_), _) => {
                let rows =
                    inputs.iter().map(|&i| self.rows_of(i, channels, id)).collect::<Result<Vec<_>>>()?;
                Ok(self.g.apply_shared(op.clone(), &rows))
            }
            (Class::Alias, _) if first == Some(channels) => self.rows_of(inputs[0], channels, id),
            (_, Some(Footprint::Channels(range))) => {
                let all = first.ok_or_else(|| refuse("it moves pixels"))?;
                self.channels_of(inputs[0], all, range, id)
            }
            (_, Some(Footprint::Repeat)) if first == Some(1) && read.len() == shape.len() => {
                Ok(self.rows_of(inputs[0], 1, id)?.broadcast_to([self.rows(), channels]))
            }
            (Class::Strided(_), _) => Err(refuse("it moves pixels")),
            (_, Some(Footprint::Row)) if self.is_product(op, inputs) => {
                let (weights, beneath) = (self.whole(inputs[1])?, self.beneath(inputs[0]));
                if self.kept.contains(&beneath) && self.wave(beneath) == self.wave(id) {
                    return self.product(beneath, &[[0, 0]], weights, id);
                }
                let rows = self.rows_of(inputs[0], first.unwrap_or_default(), id)?;
                Ok(rows.look_times(self.wave(id), &[], weights, self.step))
            }
            (_, Some(Footprint::Row)) if inputs[1..].iter().all(|&i| !self.network.depends[i]) => {
                let mut args = vec![self.rows_of(inputs[0], first.unwrap_or_default(), id)?];
                for &i in &inputs[1..] {
                    args.push(self.whole(i)?);
                }
                Ok(self.g.apply_shared(op.clone(), &args).reshape([self.rows(), channels]))
            }
            (_, Some(Footprint::Window(window))) if !self.network.depends[inputs[1]] => {
                let weights = self.whole(inputs[1])?;
                let weights = weights.reshape([weights.extent(0) * weights.extent(1), channels]);
                self.product(inputs[0], &window.taps, weights, id)
            }
            _ => Err(refuse("it does not tell which pixels it reads")),
        }
    }

    /// Whether an op is the product of rows and a matrix that is the same for all pixels.
    fn is_product(&self, op: &Arc<dyn Op>, inputs: &[NodeId]) -> bool {
        let op: &dyn Any = &**op;
        let plain = op.downcast_ref::<MatMul>().is_some_and(|op| !op.ta && !op.tb);
        plain && {
            let weights = &self.network.from.nodes[inputs[1]].ty.shape;
            !self.network.depends[inputs[1]] && weights.len() == 2 && weights[0] <= MAX_CHANNELS
        }
    }

    /// The node whose pixels and channels another one has in the same order.
    fn beneath(&self, mut id: NodeId) -> NodeId {
        let nodes = &self.network.from.nodes;
        while let Origin::Op(op, inputs) = &nodes[id].origin
            && matches!(op.class(), Class::Alias)
            && self.channels(&nodes[id].ty.shape) == self.channels(&nodes[inputs[0]].ty.shape)
        {
            id = inputs[0];
        }
        id
    }

    /// What a node's pixels see of another's through taps, times weights.
    fn product(
        &mut self,
        seen: NodeId,
        taps: &[[i32; 2]],
        weights: Tensor<'g>,
        of: NodeId,
    ) -> Result<Tensor<'g>> {
        let (images, wave) = (self.cache(seen)?, self.wave(of));
        Ok(match images.extent(3) {
            ..=MAX_CHANNELS => images.look_times(wave, taps, weights, self.step),
            _ => product(images.look(wave, taps, self.step), weights, false, false),
        })
    }

    /// The states of a recurrence at the pixels in flight, from its gates and weights. States and cells of
    /// earlier pixels are kept.
    fn states(
        &mut self,
        id: NodeId,
        [gates, weight]: [NodeId; 2],
        taps: &[[i32; 2]],
        carried: [i32; 2],
    ) -> Result<Tensor<'g>> {
        let (wave, step) = (self.wave(id), self.step);
        let weight = self.whole(weight)?;
        let (taps_units, made) = (weight.extent(0) * weight.extent(1), weight.extent(2));
        let gates = self.rows_of(gates, made, id)?;
        let [states, cells] =
            ["states", "cells"].map(|what| self.kept(id, &format!("{what}/{id}"), made / 4));
        let seen = states.look_times(wave, taps, weight.reshape([taps_units, made]), step);
        let [o, cell] = recurrence::cell(gates + seen, cells.look(wave, &[carried], step));
        let kept = cells.place(wave, cell, step);
        self.g.assign(cells, kept);
        let placed = states.place(wave, o * kept.look(wave, &[[0, 0]], step).tanh(), step);
        self.g.assign(states, placed);
        self.caches.insert(id, placed);
        Ok(self.look(placed, id))
    }

    /// A variable for values of so many channels at a node's pixels; of a picture of one row, a ring `[N, 1, R,
    /// C]` of the columns that are still seen.
    fn kept(&self, id: NodeId, name: &str, channels: usize) -> Tensor<'g> {
        let [n, h, w] = self.size;
        let columns = if h == 1 { self.network.span(&self.early, id).min(w) } else { w };
        self.g.var(&format!("sampling/{name}"), Type::f32([n, h, columns, channels]), Init::Zeros)
    }

    /// The images in which a node's values at the pixels so far are kept, those in flight placed.
    fn cache(&mut self, id: NodeId) -> Result<Tensor<'g>> {
        if let Some(&cache) = self.caches.get(&id) {
            return Ok(cache);
        }
        let Part::Rows(rows) = self.part(id)? else { unreachable!("only what depends is cached") };
        // A recurrence has placed its states itself.
        if let Some(&cache) = self.caches.get(&id) {
            return Ok(cache);
        }
        let cache = self.kept(id, &format!("cache/{}", self.caches.len()), rows.extent(1));
        let placed = cache.place(self.wave(id), rows, self.step);
        self.g.assign(cache, placed);
        self.caches.insert(id, placed);
        Ok(placed)
    }
}
