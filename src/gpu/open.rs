//! Opening a device: an adapter of this machine or a host's own device, its limits and features, and the
//! self-test that both must pass.

use super::{
    device::Gpu,
    health::{Health, one_line},
    owned::AllOwned,
    selftest,
};
use crate::{
    error::{Error, Result},
    kernel::{
        caps::{AdapterClass, Caps},
        power::{POWERS, Power},
    },
};
use std::sync::{Arc, Mutex};

/// The choice of an adapter.
#[derive(Clone, Debug, Default)]
pub enum Choice {
    /// The best adapter is taken: a discrete GPU before an integrated one before a software driver.
    #[default]
    Best,
    /// The adapter with this index in the list is taken, or else the first whose name contains this text in
    /// upper or lower case, digits as a whole number: of three adapters, `2` is the last, and `3090` is a part of
    /// a name, but not of a version such as 3090.1.
    Named(String),
    /// Of the adapters that are of the best kind, the one with this number is taken, over and over: with two
    /// discrete GPUs, 3 is the second.
    Turn(usize),
}

fn backends() -> wgpu::Backends {
    wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12 | wgpu::Backends::BROWSER_WEBGPU
}

fn instance() -> wgpu::Instance {
    let mut desc = wgpu::InstanceDescriptor::new_without_display_handle();
    desc.backends = backends();
    wgpu::Instance::new(desc)
}

fn line(index: usize, info: &wgpu::AdapterInfo) -> String {
    format!(
        "  {index}: {} ({:?}, {:?}, {} {})",
        info.name, info.device_type, info.backend, info.driver, info.driver_info
    )
}

/// One line for each adapter of this machine, in the order of their indices.
pub async fn adapters() -> Vec<String> {
    let found = instance().enumerate_adapters(backends()).await;
    found.iter().enumerate().map(|(i, a)| line(i, &a.get_info())).collect()
}

/// The device's feature that a power needs.
fn feature(power: &Power) -> wgpu::Features {
    wgpu::Features::from_name(power.feature).expect("rows of the table name features")
}

/// The place, among adapters given by their indices and names, of the one that this text names.
fn named(text: &str, adapters: &[(usize, String)]) -> Option<usize> {
    let text = text.trim().to_lowercase();
    let digits = text.chars().all(|c| c.is_ascii_digit());
    let numbers =
        |name: &str| name.split(|c: char| !c.is_ascii_digit() && c != '.').any(|number| number == text);
    let within = |name: &str| if digits { numbers(name) } else { name.to_lowercase().contains(&text) };
    let by_index = adapters.iter().position(|(index, _)| text.parse() == Ok(*index));
    by_index.or_else(|| adapters.iter().position(|(_, name)| !text.is_empty() && within(name)))
}

/// The place of the adapter whose turn it is, among adapters of these kinds, the best first: those of the best kind
/// take turns.
fn turn(number: usize, kinds: &[wgpu::DeviceType]) -> Option<usize> {
    let best = kinds.iter().take_while(|&kind| *kind == kinds[0]).count();
    number.checked_rem(best)
}

fn rank(kind: wgpu::DeviceType) -> usize {
    match kind {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    }
}

impl Gpu {
    /// Opens an adapter of this machine and runs the start-up self-test on it.
    ///
    /// # Errors
    /// No adapter is there or matches, of which the error lists those that were found; one that fails the
    /// self-test.
    pub async fn headless(choice: &Choice) -> Result<Self> {
        let mut found: Vec<_> =
            instance().enumerate_adapters(backends()).await.into_iter().enumerate().collect();
        let list: Vec<_> = found.iter().map(|(i, a)| line(*i, &a.get_info())).collect();
        found.sort_by_key(|(i, a)| (rank(a.get_info().device_type), *i));
        let chosen = match choice {
            Choice::Best => found.into_iter().next(),
            Choice::Turn(number) => {
                let kinds: Vec<_> = found.iter().map(|(_, a)| a.get_info().device_type).collect();
                turn(*number, &kinds).map(|place| found.swap_remove(place))
            }
            Choice::Named(text) => {
                let names: Vec<_> = found.iter().map(|(i, a)| (*i, a.get_info().name)).collect();
                named(text, &names).map(|place| found.swap_remove(place))
            }
        };
        let Some((_, adapter)) = chosen else {
            let what = match (choice, list.is_empty()) {
                (_, true) if cfg!(target_arch = "wasm32") => {
                    "this browser offers no WebGPU adapter; try a recent Chrome, Edge, Firefox or Safari"
                        .into()
                }
                (_, true) => "no Vulkan, Metal or DX12 adapter was found; \
                              `cargo xtask setup` installs a software driver on Linux"
                    .into(),
                (Choice::Named(text), _) => {
                    format!("no adapter matches `{text}`; found:\n{}", list.join("\n"))
                }
                (Choice::Best | Choice::Turn(_), _) => "no adapter can be used".into(),
            };
            return Err(Error::Device(what));
        };
        let gpu = Self::open(&adapter).await?;
        selftest::run(gpu).await
    }

    /// Does what [`Gpu::headless`] does, for programs without an async runtime.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn headless_blocking(choice: &Choice) -> Result<Self> {
        pollster::block_on(Self::headless(choice))
    }

    async fn open(adapter: &wgpu::Adapter) -> Result<Self> {
        let has = adapter.limits();
        let mut limits = Self::required_limits();
        limits.max_storage_buffer_binding_size = has.max_storage_buffer_binding_size;
        limits.max_buffer_size = has.max_buffer_size;
        let desc = wgpu::DeviceDescriptor {
            label: Some("oneiro"),
            required_features: adapter.features() & Self::useful_features(),
            required_limits: limits,
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        };
        let (device, queue) =
            adapter.request_device(&desc).await.map_err(|e| Error::Device(one_line(&e.to_string())))?;
        let gpu = Self::assemble(device, queue);
        let note = gpu.health.trouble.clone();
        gpu.device
            .on_uncaptured_error(Arc::new(move |error: wgpu::Error| note.note(one_line(&error.to_string()))));
        let note = gpu.health.trouble.clone();
        gpu.device.set_device_lost_callback(move |_, text| note.note(format!("the device was lost: {text}")));
        Ok(gpu)
    }

    /// Uses a host's device and queue, a software driver's too, and runs the start-up self-test on it, which
    /// makes a few submissions. No callback is installed on the device. [`Gpu::useful_features`] are used
    /// where the host enabled them; [`Gpu::advice`] says what is missed.
    ///
    /// # Errors
    /// A device that lacks a compute limit of [`Gpu::required_limits`], which the error names, or fails the
    /// self-test.
    pub async fn from_existing(device: wgpu::Device, queue: wgpu::Queue) -> Result<Self> {
        let (has, need) = (device.limits(), Self::required_limits());
        if let Some((name, has, need, bound)) = lacking(&has, &need) {
            let what = format!(
                "{name} is {has}, the engine needs {bound}{need}; request the device with Gpu::required_limits()"
            );
            return Err(Error::Device(what));
        }
        let mut gpu = Self::assemble(device, queue);
        gpu.advice = missed(&gpu.caps, gpu.device.features());
        selftest::run(gpu).await
    }

    /// Does what [`Gpu::from_existing`] does, for programs without an async runtime.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn from_existing_blocking(device: wgpu::Device, queue: wgpu::Queue) -> Result<Self> {
        pollster::block_on(Self::from_existing(device, queue))
    }

    /// Uses a device without checking its limits or testing it, for devices that validate but do not compute.
    #[doc(hidden)]
    pub fn untested(device: wgpu::Device, queue: wgpu::Queue) -> Self {
        let mut gpu = Self::assemble(device, queue);
        let features = gpu.device.features();
        let enabled = POWERS.iter().filter(|power| features.contains(feature(power)));
        gpu.caps.powers = enabled.map(|power| power.name).collect();
        gpu
    }

    /// The limits that the engine asks of a host's device, which are WebGPU's defaults. Models whose buffers
    /// and bindings exceed them want a larger `max_buffer_size` and `max_storage_buffer_binding_size`; plans
    /// adapt to what the device has.
    pub fn required_limits() -> wgpu::Limits {
        wgpu::Limits::default()
    }

    /// The features that make kernels faster (subgroups, 64-bit integers) or measurable (timestamps). None is
    /// required.
    pub fn useful_features() -> wgpu::Features {
        let timestamps = wgpu::Features::TIMESTAMP_QUERY
            | wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES
            | wgpu::Features::TIMESTAMP_QUERY_INSIDE_ENCODERS;
        POWERS.iter().map(feature).fold(timestamps, |all, feature| all | feature)
    }

    fn assemble(device: wgpu::Device, queue: wgpu::Queue) -> Self {
        let (info, features, limits) = (device.adapter_info(), device.features(), device.limits());
        let lanes = [info.subgroup_min_size, info.subgroup_max_size];
        // Browsers ask for subgroups by a line that naga does not know, and have no 64-bit integers.
        let native = info.backend != wgpu::Backend::BrowserWebGpu;
        let has = |power: &&Power| {
            native && features.contains(feature(power)) && power.lanes.is_none_or(|fixed| lanes == [fixed; 2])
        };
        let caps = Caps {
            // Browsers may keep it to themselves.
            name: if info.name.is_empty() { "an unnamed adapter".into() } else { info.name.clone() },
            driver: format!("{} {}", info.driver, info.driver_info),
            backend: format!("{:?}", info.backend),
            class: if info.device_type == wgpu::DeviceType::Cpu {
                AdapterClass::Cpu
            } else {
                AdapterClass::Gpu
            },
            powers: POWERS.iter().filter(has).map(|power| power.name).collect(),
            max_binding: limits.max_storage_buffer_binding_size,
            max_buffer: limits.max_buffer_size,
            timestamps: features
                .contains(wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES),
        };
        let health = Health::new(&device);
        Self {
            device,
            queue,
            caps,
            pipelines: Mutex::default(),
            health,
            owned: AllOwned::default(),
            advice: None,
        }
    }
}

/// The first limit that kernels rely on and a device lacks: its name, what the device has, what is needed,
/// and "at most " where that is an upper bound.
fn lacking(has: &wgpu::Limits, need: &wgpu::Limits) -> Option<(&'static str, u64, u64, &'static str)> {
    macro_rules! limits {
        ($($name:ident)*) => { [$((stringify!($name), u64::from(has.$name), u64::from(need.$name))),*] };
    }
    let least = limits! {
        max_bindings_per_bind_group max_storage_buffers_per_shader_stage max_uniform_buffers_per_shader_stage
        max_uniform_buffer_binding_size max_compute_workgroup_storage_size max_compute_invocations_per_workgroup
        max_compute_workgroup_size_x max_compute_workgroup_size_y max_compute_workgroup_size_z
        max_compute_workgroups_per_dimension
    };
    // Arena members, slots and uniforms start at multiples of 256 bytes.
    let most = limits! { min_uniform_buffer_offset_alignment min_storage_buffer_offset_alignment };
    let weak =
        least.into_iter().find(|(_, has, need)| has < need).map(|(name, has, need)| (name, has, need, ""));
    weak.or_else(|| {
        most.into_iter()
            .find(|(_, has, need)| has > need)
            .map(|(name, has, need)| (name, has, need, "at most "))
    })
}

/// The advice to a host whose device was requested without features that kernels for its class use.
fn missed(caps: &Caps, features: wgpu::Features) -> Option<String> {
    let browser = caps.backend == format!("{:?}", wgpu::Backend::BrowserWebGpu);
    let missing: Vec<_> =
        POWERS.iter().filter(|p| !features.contains(feature(p))).map(|p| p.feature).collect();
    (caps.class == AdapterClass::Cpu && !browser && !missing.is_empty()).then(|| {
        let what = format!("the device was requested without {}", missing.join(" and "));
        format!(
            "{what}, which make kernels on {} several times faster where it has them; request it with \
             `required_features: Gpu::useful_features() & adapter.features()`",
            caps.name
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{named, turn};
    use wgpu::DeviceType::{Cpu, DiscreteGpu, IntegratedGpu};

    #[test]
    fn adapters_of_the_best_kind_take_turns() {
        let of = |kinds: &[_]| [0, 1, 2, 7].map(|number| turn(number, kinds));
        assert_eq!(of(&[DiscreteGpu, DiscreteGpu, IntegratedGpu, Cpu]), [Some(0), Some(1), Some(0), Some(1)]);
        assert_eq!(of(&[IntegratedGpu, Cpu]), [Some(0); 4]);
        assert_eq!(of(&[Cpu]), [Some(0); 4]);
        assert_eq!(of(&[]), [None; 4]);
    }

    #[test]
    fn digits_are_an_index_where_it_is_one_and_else_a_part_of_a_name() {
        let names =
            [(1, "NVIDIA GeForce RTX 3090"), (0, "Intel UHD 630"), (2, "llvmpipe (LLVM 15, 256 bits)")];
        let adapters = names.map(|(index, name)| (index, name.to_string()));
        let found = |text: &str| named(text, &adapters).map(|place| adapters[place].0);
        assert_eq!(["0", "1", "2"].map(found), [Some(0), Some(1), Some(2)]);
        assert_eq!(
            ["3090", "630", "15", "256", "LLVMPIPE"].map(found),
            [Some(1), Some(0), Some(2), Some(2), Some(2)]
        );
        assert_eq!(["7", "4090", "-1"].map(found), [None; 3]);
        // Neither nothing nor a digit of a longer number or of a version names an adapter.
        let only = [(0, "llvmpipe (LLVM 15.0.6, 256 bits)".to_string())];
        assert_eq!(["", " ", "1", "15", "5", "25"].map(|text| named(text, &only)), [None; 6]);
        assert_eq!(["256", "0", "llvm 15.0.6"].map(|text| named(text, &only)), [Some(0); 3]);
    }
}
