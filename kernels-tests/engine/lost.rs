//! A lost device is an error wherever one asks, whether somebody told the engine of the loss or not.

use super::misuse::{hosts, line, sum};
use crate::subjects::{adapter, noop};
use oneiro::{
    error::{Error, Result},
    gpu::{Executor, Gpu, State},
    kernel::caps::{AdapterClass, Caps},
    plan::Plan,
};

/// The objects that a host has made on a device of its own.
struct Hosted {
    gpu: Gpu,
    plan: Plan,
    state: State,
    executor: Executor,
}

impl Hosted {
    /// Makes a device, and ready what stands on it.
    fn ready(shared: &Gpu) -> Self {
        let [(device, queue)] = hosts(shared, true);
        let gpu = Gpu::from_existing_blocking(device, queue).unwrap();
        let plan = Plan::new(&sum(), gpu.caps()).unwrap();
        let state = State::new(&gpu, &[&plan], 0).unwrap();
        let executor = Executor::new(&gpu, &plan, &state, &[]).unwrap();
        executor.write(&gpu, "x", &[0.0f32; 64]).unwrap();
        executor.write(&gpu, "z", &[0.0f32; 64]).unwrap();
        executor.step(&gpu).unwrap();
        gpu.wait().unwrap();
        gpu.check().unwrap();
        Self { gpu, plan, state, executor }
    }

    /// Loses the device, and nobody tells the engine.
    fn lost(shared: &Gpu) -> Self {
        let on = Self::ready(shared);
        on.gpu.device.destroy();
        on
    }
}

/// Each call is the first one after a loss of which nobody has told the engine.
#[test]
fn a_lost_device_is_an_error_everywhere() {
    let Some(shared) = adapter("a_lost_device_is_an_error_everywhere") else { return };
    type Ask = fn(&Hosted) -> Result<()>;
    let asks: [(&str, Ask); 16] = [
        ("read", |on| on.executor.read(&on.gpu, "y").map(drop)),
        ("State::read", |on| on.state.read(&on.gpu, "w").map(drop)),
        ("read_async", |on| pollster::block_on(on.executor.read_async(&on.gpu, ["y"])).map(drop)),
        ("new", |on| Executor::new(&on.gpu, &on.plan, &on.state, &[]).map(drop)),
        ("State::new", |on| State::new(&on.gpu, &[&on.plan], 0).map(drop)),
        ("write", |on| on.executor.write(&on.gpu, "x", &[0.0f32; 64])),
        ("State::write", |on| on.state.write(&on.gpu, "w", &[0.0; 64])),
        ("upload", |on| on.gpu.upload("u", &[0; 4]).map(drop)),
        ("wait", |on| on.gpu.wait()),
        ("check", |on| on.gpu.check()),
        ("submit", |on| on.gpu.submit(|_| Ok(()))),
        ("step", |on| on.executor.step(&on.gpu)),
        ("step_with", |on| on.executor.step_with(&on.gpu, 1, &mut |_, _| Ok(()))),
        ("first_bad", |on| on.executor.first_bad(&on.gpu, &on.state).map(drop)),
        ("prepare", |on| Executor::prepare(&on.gpu, &on.plan).try_for_each(|share| share.map(drop))),
        ("settled", |on| pollster::block_on(on.gpu.settled())),
    ];
    for (what, ask) in asks {
        let error = ask(&Hosted::lost(shared)).expect_err(what);
        assert!(matches!(&error, Error::Device(line) if line.contains("lost")), "{what}: {error}");
    }
}

/// A device is lost between a read's submission and its end.
#[test]
fn a_promise_of_a_lost_device_is_one_line() {
    let Some(shared) = adapter("a_promise_of_a_lost_device_is_one_line") else { return };
    for _ in 0..8 {
        let on = Hosted::ready(shared);
        let promise = on.executor.read_async(&on.gpu, ["y"]);
        on.gpu.device.destroy();
        // A read that ended before the device was lost is no error.
        if let Err(error) = pollster::block_on(promise) {
            line::<()>(Err(error), &["lost"]);
        }
    }
}

#[test]
fn a_hosts_callback_serves_the_engine() {
    let (device, queue) = noop(Gpu::required_limits());
    let gpu = Gpu::untested(device, queue);
    let plan = Plan::new(&sum(), &Caps::portable(AdapterClass::Cpu)).unwrap();
    let state = State::new(&gpu, &[&plan], 0).unwrap();
    let executor = Executor::new(&gpu, &plan, &state, &[]).unwrap();
    gpu.note_loss("the driver was updated");
    gpu.note_loss("and once more");
    let words = ["lost", "the driver was updated"];
    line(gpu.check(), &words);
    line(executor.step(&gpu), &words);
    line(State::new(&gpu, &[&plan], 0), &words);
}
