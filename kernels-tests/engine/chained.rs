//! One executor's output is another's input: it holds something once the launch that fills it was recorded.

use super::misuse::{line, sum};
use crate::subjects::{Ready, adapter};
use oneiro::{
    gpu::{Executor, State},
    graph::{Graph, shape::Type},
    plan::Plan,
};

#[test]
fn one_executors_output_is_anothers_input() {
    let Some(gpu) = adapter("one_executors_output_is_anothers_input") else { return };
    let first = Ready::new(gpu, &sum(), 0);
    first.write("x", &[1.0f32; 64]).write("z", &[2.0f32; 64]);
    let plan = Plan::new(&sum(), gpu.caps()).unwrap();
    let state = State::new(gpu, &[&plan], 0).unwrap();
    state.write(gpu, "w", &[0.5; 64]).unwrap();
    let inputs = [("x", first.executor.output("y").unwrap()), ("z", first.state.variable("w").unwrap())];
    let second = Executor::new(gpu, &plan, &state, &inputs).unwrap();
    gpu.submit(|e| first.executor.record(e).and_then(|()| second.record(e))).unwrap();
    assert_eq!(second.read(gpu, "y").unwrap(), [3.5; 64]);
}

/// An output holds nothing before its executor has recorded the launch that fills it, in a whole step or in parts; a
/// host may write it itself.
#[test]
fn an_output_that_no_step_has_filled_is_no_input() {
    let Some(gpu) = adapter("an_output_that_no_step_has_filled_is_no_input") else { return };
    let plan = Plan::new(&sum(), gpu.caps()).unwrap();
    let state = State::new(gpu, &[&plan], 0).unwrap();
    let pair = || {
        let first = Ready::new(gpu, &sum(), 0);
        first.write("x", &[1.0f32; 64]).write("z", &[2.0f32; 64]);
        let bound = [("x", first.executor.output("y").unwrap())];
        let second = Executor::new(gpu, &plan, &state, &bound).unwrap();
        second.write(gpu, "z", &[0.25f32; 64]).unwrap();
        (first, second)
    };
    let empty = ["input `x`", "never written", "has not recorded the launch", "write the input"];
    let (first, second) = pair();
    line(second.step(gpu), &empty);
    line(second.first_bad(gpu, &state), &empty);
    line(gpu.submit(|e| second.record(e).and_then(|()| first.executor.record(e))), &empty);
    first.step();
    second.step(gpu).unwrap();
    assert_eq!(second.read(gpu, "y").unwrap(), [3.25; 64]);

    let (first, second) = pair();
    let launches = first.executor.labels().len();
    let part = |part| gpu.submit(|e| first.executor.record_part(e, part));
    part(0..0).unwrap();
    part(launches..launches).unwrap();
    line(second.step(gpu), &empty);
    part(0..launches).unwrap();
    second.step(gpu).unwrap();
    let (_first, second) = pair();
    second.write(gpu, "x", &[0.5f32; 64]).unwrap();
    second.step(gpu).unwrap();
    assert_eq!(second.read(gpu, "y").unwrap(), [0.75; 64]);
}

/// Parts of a step fill the outputs that their launches write, and no others; a part counts after those before it.
#[test]
fn a_part_of_a_step_fills_its_own_outputs() {
    let Some(gpu) = adapter("a_part_of_a_step_fills_its_own_outputs") else { return };
    let g = Graph::new();
    let x = g.input("x", Type::f32([64]));
    let products = x.reshape([8, 8]).matmul(x.reshape([8, 8]));
    g.output("early", products.reshape([64]));
    g.output("late", products.matmul(products).reshape([64]));
    let plan = Plan::new(&sum(), gpu.caps()).unwrap();
    let state = State::new(gpu, &[&plan], 0).unwrap();
    let first = Ready::new(gpu, &g, 0);
    first.write("x", &[0.5f32; 64]);
    let reader = |name| {
        let reader =
            Executor::new(gpu, &plan, &state, &[("x", first.executor.output(name).unwrap())]).unwrap();
        reader.write(gpu, "z", &[0.25f32; 64]).unwrap();
        reader
    };
    let (early, late) = (reader("early"), reader("late"));
    let launches = first.executor.labels().len();
    assert_eq!(launches, 2, "{:?}", first.executor.labels());
    let part = |part| gpu.submit(|e| first.executor.record_part(e, part)).unwrap();
    let empty = ["input `x`", "never written", "has not recorded the launch"];
    part(1..2);
    line(early.step(gpu), &empty);
    line(late.step(gpu), &empty);
    part(0..1);
    early.step(gpu).unwrap();
    line(late.step(gpu), &empty);
    part(1..2);
    late.step(gpu).unwrap();
    part(0..1);
    line(late.step(gpu), &empty);
    part(1..2);
    late.step(gpu).unwrap();
    part(0..1);
    part(0..1);
    early.step(gpu).unwrap();
    line(late.step(gpu), &empty);
    part(1..2);
    late.step(gpu).unwrap();
    assert_eq!(early.read(gpu, "y").unwrap(), [2.25; 64]);
    assert_eq!(late.read(gpu, "y").unwrap(), [32.25; 64]);
}

/// An output that is a view of an input is that input: it holds something once the input does.
#[test]
fn an_output_that_is_an_unwritten_input_is_no_input() {
    let Some(gpu) = adapter("an_output_that_is_an_unwritten_input_is_no_input") else { return };
    let g = Graph::new();
    g.output("view", g.input("x", Type::f32([8, 8])).reshape([64]));
    let plan = Plan::new(&sum(), gpu.caps()).unwrap();
    let state = State::new(gpu, &[&plan], 0).unwrap();
    let first = Ready::new(gpu, &g, 0);
    let second = Executor::new(gpu, &plan, &state, &[("x", first.executor.output("view").unwrap())]).unwrap();
    second.write(gpu, "z", &[0.25f32; 64]).unwrap();
    line(second.step(gpu), &["input `x`", "never written", "other executor's input", "write one of them"]);
    first.write("x", &[0.5f32; 64]);
    second.step(gpu).unwrap();
    assert_eq!(second.read(gpu, "y").unwrap(), [0.75; 64]);
}

#[test]
fn an_output_of_another_type_is_no_input() {
    let Some(gpu) = adapter("an_output_of_another_type_is_no_input") else { return };
    let g = Graph::new();
    g.output("places", g.input("rows", Type::u32([8, 8])).reshape([64]));
    let plan = Plan::new(&sum(), gpu.caps()).unwrap();
    let state = State::new(gpu, &[&plan], 0).unwrap();
    let first = Ready::new(gpu, &g, 0);
    let bound = [("x", first.executor.output("places").unwrap())];
    line(Executor::new(gpu, &plan, &state, &bound), &["input `x` is F32", "U32", "the same type"]);
}
