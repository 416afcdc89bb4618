//! The start-up self-test: small kernels with known answers. A driver that fails is refused; a variant
//! that fails (subgroup tiles) is not offered to plans.

use super::Gpu;
use crate::{
    error::{Error, Result},
    graph::shape::DType,
    kernel::Shader,
    plan::Launch,
};

static BASE: Shader = crate::shader!("selftest");
static SUBGROUP: Shader = crate::shader!("selftest.subgroup");
static INT64: Shader = crate::shader!("selftest.int64");

fn launch(shader: &'static Shader, entry: &'static str) -> Launch {
    Launch {
        label: "self-test".into(),
        shader,
        function: None,
        entry,
        constants: vec![],
        bindings: vec![],
        writes: vec![],
        dims: vec![],
        grid: [1; 3],
        flops: 0,
        bytes: 0,
        dtype: DType::U32,
        why: "",
        at: String::new(),
    }
}

/// Runs the self-test; returns the device with what it can be trusted with.
pub(super) fn run(mut gpu: Gpu) -> Result<Gpu> {
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
    let make = |label, size| {
        gpu.guarded(|d| {
            d.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size,
                usage,
                mapped_at_creation: false,
            })
        })
    };
    let (question, answer) = (make("question", 16)?, make("answer", 64)?);
    let asked = [1.0f32, 2f32.powi(-24), f32::NAN, f32::INFINITY];
    gpu.queue.write_buffer(&question, 0, bytemuck::cast_slice(&asked));
    let subgroup = gpu.caps.subgroup == Some(8);
    let mut entries = vec![(&BASE, "selftest")];
    entries.extend(subgroup.then_some((&SUBGROUP, "shuffle")));
    entries.extend(gpu.caps.int64.then_some((&INT64, "split")));
    for (shader, entry) in entries {
        let pipeline = match gpu.pipeline(&launch(shader, entry)) {
            // An optional power whose kernels do not compile is not offered: its answer stays zero.
            Err(_) if shader.stem != BASE.stem => continue,
            pipeline => pipeline?,
        };
        let entries = pipeline.reflection.bindings.iter().map(|b| wgpu::BindGroupEntry {
            binding: b.index,
            resource: if b.name == "answer" { &answer } else { &question }.as_entire_binding(),
        });
        let entries: Vec<_> = entries.collect();
        let layout = pipeline.pipeline.get_bind_group_layout(0);
        let group = gpu.guarded(|d| {
            d.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &layout,
                entries: &entries,
            })
        })?;
        gpu.submit(|encoder| {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(&pipeline.pipeline);
            pass.set_bind_group(0, &group, &[]);
            pass.dispatch_workgroups(1, 1, 1);
        });
    }
    let words = gpu.read_words(&answer, 0, 64)?;
    let squares: u32 = (0..64).map(|i| i * i).sum();
    let known = [
        ("60,000 loop iterations", 60_000 + 30_000),
        ("workgroup barriers", squares),
        ("NaN and infinity bits", 3),
        ("rounding to even", 1.0f32.to_bits()),
    ];
    for (i, (what, expected)) in known.into_iter().enumerate() {
        if words[i] != expected {
            return Err(Error::Device(format!(
                "{} ({}) fails the self-test on {what}: {} instead of {expected}",
                gpu.caps.name, gpu.caps.driver, words[i]
            )));
        }
    }
    let sum: u32 = (0..8).map(|i| i * (i + 1) + 4).sum();
    if subgroup && (0..8).any(|lane| words[8 + lane] != sum + 1000 * lane as u32) {
        gpu.caps.subgroup = None;
    }
    gpu.caps.int64 &= asked.iter().zip(&words[4..8]).all(|(a, b)| a.to_bits() == *b);
    gpu.check()?;
    Ok(gpu)
}
