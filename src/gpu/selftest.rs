//! The start-up self-test by small kernels with known answers. A driver that fails the baseline's is refused;
//! a power whose test fails is not offered to plans.

use super::device::Gpu;
use crate::{
    error::{Error, Result},
    graph::shape::DType,
    kernel::{
        Shader,
        power::{POWERS, QUESTION},
    },
    plan::Launch,
};

static BASE: Shader = crate::shader!("selftest");
/// The number of words of an answer.
const WORDS: u64 = 16;

fn launch(shader: &'static Shader, entry: &'static str) -> Launch {
    Launch {
        label: "self-test".into(),
        shader,
        function: None,
        in_words: false,
        entry,
        constants: vec![],
        bindings: vec![],
        writes: vec![],
        dims: vec![],
        grid: [1; 3],
        flops: 0,
        bytes: 0,
        dtype: DType::U32,
        exchange: None,
        why: "",
        others: vec![],
        parts: vec![],
        at: String::new(),
    }
}

/// Runs the self-test and returns the device with what it can be trusted with.
pub(super) async fn run(mut gpu: Gpu) -> Result<Gpu> {
    let words = ask(&gpu, &BASE, "selftest").await?;
    let squares: u32 = (0..64).map(|i| i * i).sum();
    let known = [
        ("60,000 loop iterations", 60_000 + 30_000),
        ("workgroup barriers", squares),
        ("NaN and infinity bits", 3),
        ("rounding to even", QUESTION[0]),
    ];
    for (i, (what, expected)) in known.into_iter().enumerate() {
        if words[i] != expected {
            return Err(Error::Device(format!(
                "{} ({}) fails the self-test on {what}: {} instead of {expected}",
                gpu.caps.name, gpu.caps.driver, words[i]
            )));
        }
    }
    for power in POWERS {
        // A power whose kernels do not compile fails its test, too.
        if gpu.caps.powers.contains(&power.name) {
            let answer = ask(&gpu, &power.test, power.entry).await;
            if !answer.is_ok_and(|words| (power.passes)(&words)) {
                gpu.caps.powers.retain(|name| *name != power.name);
            }
        }
    }
    gpu.settled().await?;
    Ok(gpu)
}

/// The words that one workgroup answers to [`QUESTION`].
async fn ask(gpu: &Gpu, shader: &'static Shader, entry: &'static str) -> Result<Vec<u32>> {
    let question = gpu.upload("question", bytemuck::cast_slice(&QUESTION))?;
    let answer = gpu.upload("answer", &[0; 4 * WORDS as usize])?;
    let pipeline = gpu.pipeline(&launch(shader, entry))?;
    let entries = pipeline.reflection.bindings.iter().map(|b| wgpu::BindGroupEntry {
        binding: b.index,
        resource: if b.name == "answer" { &answer } else { &question }.as_entire_binding(),
    });
    let entries: Vec<_> = entries.collect();
    let group = gpu.guarded("self-test", |device| {
        let layout = &pipeline.pipeline.get_bind_group_layout(0);
        device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries })
    })?;
    gpu.submit(|encoder| {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&pipeline.pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(1, 1, 1);
        Ok(())
    })?;
    Ok(bytemuck::pod_collect_to_vec(&gpu.read_async(answer.slice(..)).await?))
}
