//! What a layer is used for: some layers keep statistics while they train.

/// What a layer is used for. A layer that keeps statistics is told where it is declared; a graph that uses it in two
/// modes declares it twice, within [`Graph::sharing`](crate::graph::Graph::sharing).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Training: the layer uses the batch's statistics, which the kept ones follow.
    Training,
    /// Taking part in another model's training: the layer uses the batch's statistics, the kept ones stay as
    /// they are.
    Batch,
    /// Evaluation: the layer uses the kept statistics.
    Evaluation,
}
