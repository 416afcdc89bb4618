//! What the planner knows of an adapter, as plain data: plans are made, printed and tested without one.

/// How an adapter wants its kernels written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum AdapterClass {
    /// A driver that runs subgroups as vector lanes of a CPU: register tiles, no workgroup memory.
    Cpu,
    /// Real GPUs: workgroup-memory tiles, coalesced loads.
    Gpu,
}

/// The adapter's properties that plans depend on.
#[derive(Clone, Debug, PartialEq)]
pub struct Caps {
    /// Adapter name as the driver tells it.
    pub name: String,
    /// Driver name and version.
    pub driver: String,
    /// Vulkan, Metal or DX12.
    pub backend: String,
    /// Kernel class.
    pub class: AdapterClass,
    /// Subgroup size where it is fixed and subgroup operations passed the self-test.
    pub subgroup: Option<u32>,
    /// Whether shaders may use 64-bit integers, and that passed the self-test.
    pub int64: bool,
    /// Largest binding in bytes.
    pub max_binding: u64,
    /// Largest buffer in bytes.
    pub max_buffer: u64,
    /// Whether timestamps can be written inside a pass.
    pub timestamps: bool,
}

impl Caps {
    /// WebGPU's default limits and nothing else: what every adapter can run.
    pub fn portable(class: AdapterClass) -> Self {
        Self {
            name: "portable".into(),
            driver: "none".into(),
            backend: "none".into(),
            class,
            subgroup: None,
            int64: false,
            max_binding: 128 << 20,
            max_buffer: 256 << 20,
            timestamps: false,
        }
    }

    /// A software driver with 8-lane subgroups and 64-bit integers, as Mesa's lavapipe presents itself.
    pub fn software() -> Self {
        Self { name: "software".into(), subgroup: Some(8), int64: true, ..Self::portable(AdapterClass::Cpu) }
    }
}
