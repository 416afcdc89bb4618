//! What does not depend on the picture: it is the same in every step. What is computed of it is computed before the
//! steps, in a graph that runs once, and kept in the State.

use super::{Deriving, Part};
use crate::{
    error::{Error, Result},
    graph::{
        Graph, NodeId, Origin, Tensor,
        op::Class,
        shape::Type,
        var::{Init, VarSpec},
    },
};
use std::ops::Range;

impl<'b, 'g> Deriving<'_, 'b, 'g> {
    /// A node that does not depend on the picture. What is computed is computed before the steps, and kept.
    pub(super) fn whole(&mut self, id: NodeId) -> Result<Tensor<'g>> {
        if let Some(&Part::Whole(tensor)) = self.parts.get(&id) {
            return Ok(tensor);
        }
        let node = &self.network.from.nodes[id];
        let tensor = match &node.origin {
            Origin::Op(op, inputs) if let Class::Alias | Class::Constant(_) = op.class() => {
                let inputs = inputs.iter().map(|&i| self.whole(i)).collect::<Result<Vec<_>>>()?;
                self.g.apply_shared(op.clone(), &inputs)
            }
            Origin::Op(..) => {
                let (name, value) = (format!("sampling/whole/{id}"), self.before(id)?);
                self.begin.assign(self.begin.var(&name, node.ty.clone(), Init::Zeros), value);
                self.g.var(&name, node.ty.clone(), Init::Zeros)
            }
            origin => self.leaf(self.g, origin, &node.ty)?,
        };
        self.parts.insert(id, Part::Whole(tensor));
        Ok(tensor)
    }

    /// A range of the channels of a node that does not depend on the picture, `[N, H, W, range]`. It is kept by itself,
    /// so that steps read it in place at their pixels.
    pub(super) fn whole_channels(
        &mut self,
        id: NodeId,
        channels: usize,
        range: Range<usize>,
    ) -> Result<Tensor<'g>> {
        let key = (id, [range.start, range.end]);
        if let Some(&tensor) = self.ranges.get(&key) {
            return Ok(tensor);
        }
        let [n, h, w] = self.size;
        let made = Type::f32([n, h, w, range.len()]);
        let name = format!("sampling/whole/{id}/{}-{}", range.start, range.end);
        let value = self.before(id)?.reshape([n, h, w, channels]).slice(3, range);
        self.begin.assign(self.begin.var(&name, made.clone(), Init::Zeros), value);
        let tensor = self.g.var(&name, made, Init::Zeros);
        self.ranges.insert(key, tensor);
        Ok(tensor)
    }

    /// The same node in the graph that runs once.
    fn before(&mut self, id: NodeId) -> Result<Tensor<'b>> {
        if let Some(&tensor) = self.before.get(&id) {
            return Ok(tensor);
        }
        let node = &self.network.from.nodes[id];
        let tensor = match &node.origin {
            Origin::Op(op, inputs) => {
                let inputs = inputs.iter().map(|&i| self.before(i)).collect::<Result<Vec<_>>>()?;
                self.begin.apply_shared(op.clone(), &inputs)
            }
            origin => self.leaf(self.begin, origin, &node.ty)?,
        };
        self.before.insert(id, tensor);
        Ok(tensor)
    }

    /// An input or a variable of the whole graph in another one.
    fn leaf<'x>(&self, g: &'x Graph, origin: &Origin, ty: &Type) -> Result<Tensor<'x>> {
        match origin {
            Origin::Input(name) => Ok(g.input(name, ty.clone())),
            Origin::Var(v) => Ok(g.declare(VarSpec { home: None, ..self.network.from.vars[*v].clone() })),
            _ => Err(Error::State("a model's graph has no optimizer".into())),
        }
    }
}
