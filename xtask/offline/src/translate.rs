//! What wgpu gives to the three kinds of driver: SPIR-V for Vulkan, HLSL for DirectX 12, MSL for Metal. The options
//! are those of wgpu-hal 30, so that other compilers read the text that a user's driver would get.

use crate::launches::Pipeline;
use naga::{
    ShaderStage,
    back::{hlsl, msl, spv},
    proc::{BoundsCheckPolicies, BoundsCheckPolicy},
};
use oneiro::error::Result;

impl Pipeline {
    /// The SPIR-V that wgpu gives a driver.
    ///
    /// # Errors
    /// Fails if naga refuses the module.
    pub fn spirv(&self) -> Result<Vec<u32>> {
        let (shader_stage, entry_point) = self.asked();
        let asked = spv::PipelineOptions { shader_stage, entry_point };
        self.module(|module, info| {
            spv::write_vec(module, info, &wgpus_options(), Some(&asked)).map_err(|e| e.to_string())
        })
    }

    /// The HLSL that wgpu gives to DirectX 12. Its first line is a comment that names the entry point.
    ///
    /// # Errors
    /// Fails if naga refuses the module.
    pub fn hlsl(&self) -> Result<String> {
        let options = hlsl::Options {
            shader_model: hlsl::ShaderModel::V6_0,
            fake_missing_bindings: true,
            zero_initialize_workgroup_memory: true,
            restrict_indexing: true,
            force_loop_bounding: true,
            ..Default::default()
        };
        self.module(|module, info| {
            let (mut text, asked) = (String::new(), self.asked());
            let asked = hlsl::PipelineOptions { entry_point: Some(asked) };
            let written = hlsl::Writer::new(&mut text, &options, &asked).write(module, info, None);
            let names = written.map_err(|e| e.to_string())?.entry_point_names;
            headed(names, &text)
        })
    }

    /// The MSL that wgpu gives to Metal. Its first line is a comment that names the entry point.
    ///
    /// # Errors
    /// Fails if naga refuses the module.
    pub fn msl(&self) -> Result<String> {
        let options = msl::Options {
            lang_version: (2, 4),
            fake_missing_bindings: true,
            zero_initialize_workgroup_memory: true,
            bounds_check_policies: checks(BoundsCheckPolicy::Restrict),
            force_loop_bounding: true,
            ..Default::default()
        };
        let asked = msl::PipelineOptions { entry_point: Some(self.asked()), ..Default::default() };
        self.module(|module, info| {
            let (text, told) =
                msl::write_string(module, info, &options, &asked).map_err(|e| e.to_string())?;
            headed(told.entry_point_names, &text)
        })
    }

    fn asked(&self) -> (ShaderStage, String) {
        (ShaderStage::Compute, self.entry.clone())
    }
}

/// The text below a comment with the name that naga gave the entry point.
fn headed<E: ToString>(
    names: Vec<std::result::Result<String, E>>,
    text: &str,
) -> std::result::Result<String, String> {
    let name = names.into_iter().next().ok_or("naga wrote no entry point")?.map_err(|e| e.to_string())?;
    Ok(format!("// {name}\n{text}"))
}

/// Bounds checks of arrays, and of buffers where `buffer` says so.
fn checks(buffer: BoundsCheckPolicy) -> BoundsCheckPolicies {
    BoundsCheckPolicies {
        index: BoundsCheckPolicy::Restrict,
        buffer,
        image_load: buffer,
        binding_array: BoundsCheckPolicy::Unchecked,
    }
}

/// The options of wgpu-hal 30 for a driver with Vulkan 1.3 and robustBufferAccess2, as desktop drivers have: the
/// driver checks buffers, naga checks arrays and bounds every loop.
fn wgpus_options() -> spv::Options<'static> {
    spv::Options {
        lang_version: (1, 6),
        flags: spv::WriterFlags::FORCE_POINT_SIZE | spv::WriterFlags::LABEL_VARYINGS,
        bounds_check_policies: checks(BoundsCheckPolicy::Unchecked),
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::Native,
        force_loop_bounding: true,
        fake_missing_bindings: true,
        ..Default::default()
    }
}
