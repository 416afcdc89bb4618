//! What the planner knows of an adapter, as plain data, so that plans are made, printed and tested without
//! one.

use super::{
    power::{INT64, words},
    shader::Shader,
};

/// How an adapter wants its kernels written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum AdapterClass {
    /// The driver runs subgroups as vector lanes of a CPU; kernels want register tiles and no workgroup
    /// memory.
    Cpu,
    /// The adapter is a real GPU; kernels want tiles in workgroup memory and coalesced loads.
    Gpu,
}

/// The adapter's properties that plans depend on.
#[derive(Clone, Debug, PartialEq)]
pub struct Caps {
    /// The adapter's name, as the driver tells it.
    pub name: String,
    /// The driver's name and version.
    pub driver: String,
    /// The back end: Vulkan, Metal or DX12.
    pub backend: String,
    /// How the adapter wants its kernels written.
    pub class: AdapterClass,
    /// The names of the [`POWERS`](super::power::POWERS) that the adapter has and whose self-tests it passed.
    pub powers: Vec<&'static str>,
    /// The largest binding in bytes.
    pub max_binding: u64,
    /// The largest buffer in bytes.
    pub max_buffer: u64,
    /// Whether timestamps can be written inside a pass.
    pub timestamps: bool,
}

impl Caps {
    /// WebGPU's default limits and no powers, so that the plan runs on every adapter.
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

    /// A software driver with subgroups of 8 lanes and 64-bit integers, as Mesa's lavapipe presents itself.
    pub fn software() -> Self {
        let powers = vec!["subgroup", "int64"];
        Self { name: "software".into(), powers, ..Self::portable(AdapterClass::Cpu) }
    }

    /// Whether the adapter has every power that the shader asks for.
    pub fn runs(&self, shader: &Shader) -> bool {
        words(shader.stem).all(|word| self.powers.contains(&word))
    }

    /// Whether a shader's kernels read and write four numbers as two words, which halves what a CPU driver does
    /// per load. Shaders that load words of their own store vec4s: docs/notes/matmul.md says what words cost them.
    pub fn in_words(&self, shader: &Shader) -> bool {
        let own = words(shader.stem).any(|word| word == "int64");
        self.class == AdapterClass::Cpu && self.runs(&INT64) && !own
    }

    /// The adapter as plans for other kinds of adapters would take it: without each of its powers, and as a GPU or a
    /// CPU driver. All of their kernels run on it, too.
    pub(crate) fn others(&self) -> Vec<Self> {
        let class = match self.class {
            AdapterClass::Cpu => AdapterClass::Gpu,
            AdapterClass::Gpu => AdapterClass::Cpu,
        };
        let weaker = |of: Self| self.powers.iter().map(move |power| of.clone().without(power));
        let other = Self { class, ..self.clone() };
        weaker(self.clone()).chain([other.clone()]).chain(weaker(other)).collect()
    }

    /// The same adapter without one of its powers, so that its plans take other kernel variants.
    #[must_use]
    pub fn without(mut self, power: &str) -> Self {
        self.powers.retain(|name| *name != power);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::power::POWERS;

    #[test]
    fn a_shader_runs_where_all_its_powers_are() {
        let shader = |stem| Shader { stem, text: "" };
        let none = Caps::portable(AdapterClass::Gpu);
        let all = Caps { powers: POWERS.iter().map(|power| power.name).collect(), ..none.clone() };
        assert!(all.runs(&shader("matmul")) && none.runs(&shader("matmul")));
        for power in POWERS {
            assert!(all.runs(&power.test) && !none.runs(&power.test));
            assert!(!all.clone().without(power.name).runs(&power.test));
        }
        assert!(!all.runs(&shader("matmul.unheard-of")));
    }
}
