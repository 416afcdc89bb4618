//! What the planner knows of an adapter, as plain data: plans are made, printed and tested without one.

use super::{
    power::{POWERS, words},
    shader::Shader,
};

/// How an adapter wants its kernels written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum AdapterClass {
    /// A driver that runs subgroups as vector lanes of a CPU: register tiles, no workgroup memory.
    Cpu,
    /// A real GPU: workgroup-memory tiles, coalesced loads.
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
    /// How the adapter wants its kernels written.
    pub class: AdapterClass,
    /// Names of the [`POWERS`] that the adapter has and whose self-tests it passed.
    pub powers: Vec<&'static str>,
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
            powers: vec![],
            max_binding: 128 << 20,
            max_buffer: 256 << 20,
            timestamps: false,
        }
    }

    /// A software driver with all powers, as Mesa's lavapipe presents itself.
    pub fn software() -> Self {
        let powers = POWERS.iter().map(|power| power.name).collect();
        Self { name: "software".into(), powers, ..Self::portable(AdapterClass::Cpu) }
    }

    /// Whether the adapter has every power that the shader asks for.
    pub fn runs(&self, shader: &Shader) -> bool {
        words(shader.stem).all(|word| self.powers.contains(&word))
    }

    /// The adapter without one of its powers: its plans take other kernel variants.
    #[must_use]
    pub fn without(mut self, power: &str) -> Self {
        self.powers.retain(|name| *name != power);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shader_runs_where_all_its_powers_are() {
        let shader = |stem| Shader { stem, text: "" };
        let (all, none) = (Caps::software(), Caps::portable(AdapterClass::Gpu));
        assert!(all.runs(&shader("matmul")) && none.runs(&shader("matmul")));
        for power in &POWERS {
            assert!(all.runs(&power.test) && !none.runs(&power.test));
            assert!(!all.clone().without(power.name).runs(&power.test));
        }
        assert!(!all.runs(&shader("matmul.unheard-of")));
    }
}
