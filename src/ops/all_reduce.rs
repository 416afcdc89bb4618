//! Where ranks that share a training meet: a value of each rank becomes one that all of them have.
//!
//! The launch only copies the value. It is a cut in the step: the host takes the copy, exchanges it with the other
//! ranks, and puts what they have in common into its place before the next launch
//! ([`Executor::step_with`](crate::gpu::Executor::step_with)). A graph of one rank has no such op. The reference is
//! that of ranks which all bring the same value: the value itself.

use super::{random::inputs, views::Pack};
use crate::graph::{
    Tensor,
    op::{Lowered, Lowering, Op},
    shape::{Array, DType, Type},
    share::Merge,
};

/// What all ranks have in common of an f32 value.
#[derive(Debug)]
pub struct AllReduce {
    /// How the ranks' values become one.
    pub merge: Merge,
}

impl Op for AllReduce {
    fn name(&self) -> &'static str {
        "all_reduce"
    }

    fn infer(&self, types: &[Type]) -> Result<Type, String> {
        let [x] = inputs(types)?;
        match (self.merge, x.shape.as_ref()) {
            _ if x.dtype != DType::F32 => Err(format!("takes f32, not {:?}", x.dtype)),
            (Merge::Mean, _) | (Merge::Moments, [2, _]) => Ok(x.clone()),
            (Merge::Moments, _) => Err(format!("takes moments [2, C], got {x:?}")),
        }
    }

    fn reference(&self, x: &[&Array]) -> Array {
        x[0].clone()
    }

    /// What is minimised is the mean of the ranks' losses, so that the cotangent of the common value is the mean of
    /// theirs. A mean is its own derivative. A rank's mean of rows also moves the common variance, by twice its
    /// distance from the common mean.
    fn vjp<'g>(&self, x: &[Tensor<'g>], output: Tensor<'g>, ct: Tensor<'g>) -> Vec<Option<Tensor<'g>>> {
        let common = ct.graph().apply(AllReduce { merge: Merge::Mean }, &[ct]);
        let by_mean = || {
            let away = x[0].slice(0, 0..1) - output.slice(0, 0..1);
            (away * common.slice(0, 1..2) * 2.0).pad(0, 0, 1)
        };
        vec![Some(if self.merge == Merge::Moments { common + by_mean() } else { common })]
    }

    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        let mut copied = Pack { offsets: vec![0], len: at.output.shape.numel() }.lower(at)?;
        copied.launches.iter_mut().for_each(|launch| {
            launch.merge = Some(self.merge);
            launch.why = "copied for the exchange with other ranks";
        });
        Ok(copied)
    }
}

impl<'g> Tensor<'g> {
    /// The mean over all ranks that share the training, the same on each of them; self where there is one rank.
    #[track_caller]
    #[must_use]
    pub fn all_reduce(self) -> Tensor<'g> {
        self.merged(Merge::Mean)
    }

    /// What all ranks have in common; self where there is one rank.
    #[track_caller]
    pub(crate) fn merged(self, merge: Merge) -> Tensor<'g> {
        let op = AllReduce { merge };
        match op.infer(&[self.ty()]).is_ok() && self.graph().share().alone() {
            true => self,
            false => self.graph().apply(op, &[self]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Graph, share::Share};

    #[test]
    fn one_rank_has_no_exchanges() {
        let alone = Graph::new();
        let x = alone.input("x", Type::f32([3]));
        assert_eq!(x.all_reduce().id(), x.id());
        let shared = Graph::shared(Share { rank: 1, size: 2 });
        let x = shared.input("x", Type::f32([3]));
        assert_ne!(x.all_reduce().id(), x.id());
        assert!(shared.check().is_ok());
    }

    #[test]
    fn mistakes_are_named() {
        let moments = AllReduce { merge: Merge::Moments };
        assert!(moments.infer(&[Type::f32([3, 4])]).unwrap_err().contains("[2, C]"));
        assert!(AllReduce { merge: Merge::Mean }.infer(&[Type::u32([3])]).unwrap_err().contains("f32"));
        let graph = Graph::shared(Share { rank: 2, size: 2 });
        assert!(graph.check().unwrap_err().to_string().contains("rank 2 of 2"));
    }
}
