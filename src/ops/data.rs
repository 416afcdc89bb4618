//! Data sets that stay on the GPU as bytes, and what turns them into batches there. A step gathers its rows
//! by the step counter and the epoch's permutation, so that many steps go into one submission.

use super::random::{LANES, check_counter, counter, inputs, name_stream, quads};
use crate::{
    graph::{
        Tensor,
        op::{LaunchSpec, Lowered, Lowering, Op, Operand, grid_1d},
        shape::{Array, DType, Type},
    },
    kernel::Shader,
    rng::{self, RandomStream},
};

static SHADER: Shader = crate::shader!("data");
type Cotangents<'g> = Vec<Option<Tensor<'g>>>;

/// A batch of U8 data `[N, ...]` as f32 `[batch, ...]` in [0, 1]. The inputs are the data, the order (u32
/// `[N]`, a permutation), the step, and, with a stream, the seed. Step s takes the rows
/// `order[(s mod ⌊N/batch⌋)·batch + i]`; the rest of an epoch is dropped.
#[derive(Debug)]
pub struct GatherRows {
    /// The rows of a batch.
    pub batch: usize,
    /// The stream of a stochastic binarisation, if the batch is binarised: a value becomes 1 with itself as
    /// probability, else 0.
    pub stream: Option<RandomStream>,
}

/// The labels of the same rows: U8 `[N]` to u32 `[batch]`. The inputs are the labels, the order and the step.
#[derive(Debug)]
pub struct GatherLabels {
    /// The rows of a batch.
    pub batch: usize,
}

/// One-hot rows: u32 `[B]` to f32 `[B, classes]`, 1 at the label; a label out of range gives zeros.
#[derive(Debug)]
pub struct OneHot {
    /// The number of classes.
    pub classes: usize,
}

/// The same numbers, from u32 to f32; they are exact up to 2^24.
#[derive(Debug)]
pub struct ToF32;

/// Bytes as f32 in [0, 1]: byte/255.
#[derive(Debug)]
pub struct FromBytes;

/// Checks data, order and step of a batch.
fn check_rows(batch: usize, data: &Type, order: &Type, step: &Type) -> Result<(), String> {
    let rows = *data.shape.first().ok_or("takes data with rows, got a scalar")?;
    if data.dtype != DType::U8 {
        return Err(format!("takes U8 data, not {:?}", data.dtype));
    }
    if batch == 0 || rows < batch {
        return Err(format!("a batch of {batch} rows does not fit {rows} rows of data"));
    }
    if order != &Type::u32([rows]) || step != &Type::u32([1]) {
        return Err(format!(
            "takes the order as U32[{rows}] and the step as U32[1], got {order:?} and {step:?}"
        ));
    }
    Ok(())
}

/// The row of the data that is row `b` of the step's batch.
fn source(batch: usize, order: &Array, step: &Array, b: usize) -> usize {
    let at = step.data[0] as usize % (order.data.len() / batch);
    order.data[at * batch + b] as usize
}

/// Binds data, order and step, and describes the batch.
fn with_rows(launch: LaunchSpec, batch: usize, data: &Type) -> LaunchSpec {
    let rows = data.shape[0];
    launch
        .bind("bytes", Operand::Input(0))
        .bind("order", Operand::Input(1))
        .bind("time", Operand::Input(2))
        .dim("row", data.shape.numel() / rows)
        .dim("batch", batch)
        .dim("batches", rows / batch)
}

impl Op for GatherRows {
    fn name(&self) -> &'static str {
        "gather_rows"
    }

    fn infer(&self, types: &[Type]) -> Result<Type, String> {
        let [data, order, step] = match &self.stream {
            None => inputs::<3>(types)?.each_ref(),
            Some(_) => {
                let [data, order, step, seed] = inputs(types)?;
                check_counter(seed, step)?;
                [data, order, step]
            }
        };
        check_rows(self.batch, data, order, step)?;
        Ok(Type::f32([&[self.batch], &data.shape[1..]].concat()))
    }

    fn reference(&self, x: &[&Array]) -> Array {
        let (data, order, step) = (x[0], x[1], x[2]);
        let row = data.shape[1..].iter().product::<usize>();
        let draw = self.stream.as_ref().map(|stream| counter(stream, x[3], step));
        let first = self.stream.as_ref().map_or(0, |stream| stream.element(0, self.batch * row));
        Array::from_fn([&[self.batch], &data.shape[1..]].concat(), |e| {
            let byte = data.data[source(self.batch, order, step, e / row) * row + e % row];
            match draw {
                None => byte / 255.0,
                // Both sides are multiplied out, so that they are exact.
                Some((key, step)) => f64::from(u8::from(
                    f64::from(rng::uniform(key, step, first.wrapping_add(e as u32))) * 255.0 < byte,
                )),
            }
        })
    }

    fn vjp<'g>(&self, inputs: &[Tensor<'g>], _: Tensor<'g>, _: Tensor<'g>) -> Cotangents<'g> {
        vec![None; inputs.len()]
    }

    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        let (n, row) = (at.output.shape.numel(), at.output.shape.numel() / self.batch);
        let entry = match self.stream {
            None => ["gather_rows", "gather_rows_tail"],
            Some(_) => ["gather_binarised", "gather_binarised_tail"],
        };
        let launch = with_rows(quads(&SHADER, row.is_multiple_of(4), entry, n), self.batch, &at.inputs[0]);
        let mut launch = launch.cost(n, 5 * n as u64);
        if let Some(stream) = &self.stream {
            launch = name_stream(launch.bind("seed", Operand::Input(3)), stream, n);
        }
        Ok(launch.into())
    }
}

impl Op for GatherLabels {
    fn name(&self) -> &'static str {
        "gather_labels"
    }

    fn infer(&self, types: &[Type]) -> Result<Type, String> {
        let [labels, order, step] = inputs(types)?;
        check_rows(self.batch, labels, order, step)?;
        match labels.shape.len() {
            1 => Ok(Type::u32([self.batch])),
            _ => Err(format!("takes one label per row, got {labels:?}")),
        }
    }

    fn reference(&self, x: &[&Array]) -> Array {
        Array::from_fn([self.batch], |b| x[0].data[source(self.batch, x[1], x[2], b)])
    }

    fn vjp<'g>(&self, _: &[Tensor<'g>], _: Tensor<'g>, _: Tensor<'g>) -> Cotangents<'g> {
        vec![None; 3]
    }

    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        let launch = LaunchSpec::new(&SHADER, "gather_labels", grid_1d(self.batch.div_ceil(LANES)))
            .constant("WORKGROUP", LANES as f64)
            .bind("labels", Operand::Output)
            .dim("n", self.batch)
            .cost(0, 9 * self.batch as u64)
            .why("one invocation per label");
        Ok(with_rows(launch, self.batch, &at.inputs[0]).into())
    }
}

impl Op for OneHot {
    fn name(&self) -> &'static str {
        "one_hot"
    }

    fn infer(&self, types: &[Type]) -> Result<Type, String> {
        let [labels] = inputs(types)?;
        match (labels.dtype, labels.shape.as_ref(), self.classes) {
            (DType::U32, &[rows], 1..) => Ok(Type::f32([rows, self.classes])),
            _ => Err(format!(
                "takes U32 labels [B] and at least one class, got {labels:?} and {}",
                self.classes
            )),
        }
    }

    fn reference(&self, x: &[&Array]) -> Array {
        let hot = |e: usize| x[0].data[e / self.classes] as usize == e % self.classes;
        Array::from_fn([x[0].data.len(), self.classes], |e| f64::from(u8::from(hot(e))))
    }

    fn vjp<'g>(&self, _: &[Tensor<'g>], _: Tensor<'g>, _: Tensor<'g>) -> Cotangents<'g> {
        vec![None]
    }

    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        let n = at.output.shape.numel();
        let launch = quads(&SHADER, n.is_multiple_of(4), ["one_hot", "one_hot_tail"], n);
        Ok(launch.bind("classes", Operand::Input(0)).dim("row", self.classes).cost(0, 4 * n as u64).into())
    }
}

impl Op for ToF32 {
    fn name(&self) -> &'static str {
        "to_f32"
    }

    fn infer(&self, types: &[Type]) -> Result<Type, String> {
        let [x] = inputs(types)?;
        match x.dtype {
            DType::U32 => Ok(Type::f32(x.shape.clone())),
            other => Err(format!("takes U32, not {other:?}")),
        }
    }

    fn reference(&self, x: &[&Array]) -> Array {
        x[0].clone()
    }

    fn vjp<'g>(&self, _: &[Tensor<'g>], _: Tensor<'g>, _: Tensor<'g>) -> Cotangents<'g> {
        vec![None]
    }

    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        let n = at.output.shape.numel();
        let launch = quads(&SHADER, n.is_multiple_of(4), ["to_f32", "to_f32_tail"], n);
        Ok(launch.bind("values", Operand::Input(0)).cost(n, 8 * n as u64).into())
    }
}

impl Op for FromBytes {
    fn name(&self) -> &'static str {
        "unit_f32"
    }

    fn infer(&self, types: &[Type]) -> Result<Type, String> {
        let [x] = inputs(types)?;
        match x.dtype {
            DType::U8 => Ok(Type::f32(x.shape.clone())),
            other => Err(format!("takes U8, not {other:?}")),
        }
    }

    fn reference(&self, x: &[&Array]) -> Array {
        Array::from_fn(x[0].shape.clone(), |e| x[0].data[e] / 255.0)
    }

    fn vjp<'g>(&self, _: &[Tensor<'g>], _: Tensor<'g>, _: Tensor<'g>) -> Cotangents<'g> {
        vec![None]
    }

    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        let n = at.output.shape.numel();
        let launch = quads(&SHADER, n.is_multiple_of(4), ["unit_f32", "unit_f32_tail"], n);
        Ok(launch.bind("bytes", Operand::Input(0)).cost(n, 5 * n as u64).into())
    }
}

impl<'g> Tensor<'g> {
    /// This step's batch of U8 data `[N, ...]` as f32 `[batch, ...]` in [0, 1]; `order` is u32 `[N]`.
    #[track_caller]
    #[must_use]
    pub fn gather_rows(self, order: Tensor<'g>, batch: usize) -> Tensor<'g> {
        let graph = self.graph();
        graph.apply(GatherRows { batch, stream: None }, &[self, order, graph.step()])
    }

    /// The batch with each value binarised anew: 1 with the value as probability, else 0 (Salakhutdinov &
    /// Murray 2008). A bound stream holds the uniform numbers to compare with, in the batch's shape.
    #[track_caller]
    #[must_use]
    pub fn gather_rows_binarised(self, order: Tensor<'g>, batch: usize, stream: &str) -> Tensor<'g> {
        let graph = self.graph();
        graph.claim_stream(stream);
        if graph.is_bound(stream) {
            let rows = self.gather_rows(order, batch);
            return graph.input(stream, rows.ty()).lt(rows);
        }
        let stream = Some(graph.stream(stream));
        graph.apply(GatherRows { batch, stream }, &[self, order, graph.step(), graph.seed()])
    }

    /// The labels (U8 `[N]`) of this step's batch, as u32 `[batch]`.
    #[track_caller]
    #[must_use]
    pub fn gather_labels(self, order: Tensor<'g>, batch: usize) -> Tensor<'g> {
        self.graph().apply(GatherLabels { batch }, &[self, order, self.graph().step()])
    }

    /// One-hot rows of labels: u32 `[B]` to f32 `[B, classes]`.
    #[track_caller]
    #[must_use]
    pub fn one_hot(self, classes: usize) -> Tensor<'g> {
        self.graph().apply(OneHot { classes }, &[self])
    }

    /// The same numbers, from u32 to f32; they are exact up to 2^24.
    #[track_caller]
    #[must_use]
    pub fn to_f32(self) -> Tensor<'g> {
        self.graph().apply(ToF32, &[self])
    }

    /// Bytes as f32 in [0, 1]: byte/255.
    #[track_caller]
    #[must_use]
    pub fn unit_f32(self) -> Tensor<'g> {
        self.graph().apply(FromBytes, &[self])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_walk_the_permutation_and_wrap() {
        let data = Array::from_fn([5, 3], |e| e as f64);
        let order = Array::new([5], vec![4.0, 2.0, 0.0, 1.0, 3.0]);
        let rows = |step: f64| {
            GatherRows { batch: 2, stream: None }.reference(&[&data, &order, &Array::new([1], vec![step])])
        };
        assert_eq!(rows(0.0).data, [12.0, 13.0, 14.0, 6.0, 7.0, 8.0].map(|b| b / 255.0));
        assert_eq!(rows(1.0).data, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0].map(|b| b / 255.0));
        assert_eq!(rows(2.0), rows(0.0), "the fifth row is dropped");
        let labels = Array::new([5], vec![5.0, 6.0, 7.0, 8.0, 9.0]);
        let step = Array::new([1], vec![3.0]);
        assert_eq!(GatherLabels { batch: 2 }.reference(&[&labels, &order, &step]).data, [5.0, 6.0]);
    }

    #[test]
    fn binarisation_keeps_black_and_white() {
        let data = Array::new([1, 4], vec![0.0, 255.0, 0.0, 255.0]);
        let (order, seed) = (Array::new([1], vec![0.0]), Array::new([2], vec![1.0, 2.0]));
        for step in 0..50 {
            let step = Array::new([1], vec![f64::from(step)]);
            let op = GatherRows { batch: 1, stream: Some(RandomStream::new("x")) };
            assert_eq!(op.reference(&[&data, &order, &step, &seed]).data, [0.0, 1.0, 0.0, 1.0]);
        }
    }

    #[test]
    fn mistakes_are_named() {
        let u8s = |n: usize| Type { shape: [n, 3].into(), dtype: DType::U8 };
        let op = GatherRows { batch: 8, stream: None };
        assert_eq!(op.infer(&[u8s(9), Type::u32([9]), Type::u32([1])]), Ok(Type::f32([8, 3])));
        let error = op.infer(&[u8s(7), Type::u32([7]), Type::u32([1])]).unwrap_err();
        assert_eq!(error, "a batch of 8 rows does not fit 7 rows of data");
        assert!(op.infer(&[Type::f32([9, 3]), Type::u32([9]), Type::u32([1])]).unwrap_err().contains("U8"));
        assert!(OneHot { classes: 3 }.infer(&[Type::f32([2])]).is_err());
        assert_eq!(
            OneHot { classes: 3 }.reference(&[&Array::new([2], vec![2.0, 7.0])]).data,
            [0., 0., 1., 0., 0., 0.]
        );
    }
}
