//! An op whose shader a browser refuses: the refusal must be an error that holds the browser's message, and never a
//! step that computes nothing.

use oneiro::{
    error::{Error, Result},
    gpu::{Choice, Executor, Gpu, State},
    graph::{
        Graph, Tensor,
        op::{LaunchSpec, Lowered, Lowering, Op, Operand},
        shape::{Array, Type},
    },
    kernel::Shader,
    plan::Plan,
};

static SHADER: Shader = Shader { stem: "refused", text: include_str!("refused.wgsl") };

#[derive(Debug)]
struct Largest;

impl Op for Largest {
    fn name(&self) -> &'static str {
        "largest"
    }

    fn infer(&self, inputs: &[Type]) -> std::result::Result<Type, String> {
        Ok(inputs[0].clone())
    }

    fn reference(&self, inputs: &[&Array]) -> Array {
        Array::from_fn(inputs[0].shape.clone(), |_| 0.0)
    }

    fn vjp<'g>(&self, _: &[Tensor<'g>], _: Tensor<'g>, _: Tensor<'g>) -> Vec<Option<Tensor<'g>>> {
        vec![None]
    }

    fn lower(&self, _: &Lowering<'_>) -> std::result::Result<Lowered, String> {
        let launch = LaunchSpec::new(&SHADER, "largest", [1; 3]);
        Ok(launch.bind("y", Operand::Output).bind("x", Operand::Input(0)).cost(1, 8).into())
    }
}

/// The error's line, of which the browser's own message is a part.
///
/// # Errors
/// What came before the shader; a device that took it.
pub(crate) async fn line() -> Result<String> {
    let gpu = Gpu::headless(&Choice::Best).await?;
    let g = Graph::new();
    g.output("y", g.apply(Largest, &[g.input("x", Type::f32([1]))]));
    let plan = Plan::new(&g, gpu.caps())?;
    let state = State::new(&gpu, &[&plan], 0)?;
    let made = Executor::new(&gpu, &plan, &state, &[]);
    let judged = match made {
        Ok(_) => gpu.settled().await,
        Err(error) => Err(error),
    };
    match judged {
        Err(Error::Device(line)) => Ok(line),
        Err(other) => Err(other),
        Ok(()) => Err(Error::new("a shader that is no WGSL was taken")),
    }
}
