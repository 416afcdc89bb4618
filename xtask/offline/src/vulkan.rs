//! A Vulkan device that compiles and runs nothing: Mesa's RADV presents any of AMD's chips without one, and tells
//! what its compiler made of a pipeline. The tool's unsafe code is in this file alone.
#![allow(unsafe_code)]

use ash::{khr::pipeline_executable_properties as properties, vk};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    ffi::{CStr, CString, c_char},
    ptr,
};

/// A pipeline to compile.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) entry: String,
    pub(crate) words: Vec<u32>,
    /// The index of each binding, and whether it is a uniform buffer.
    pub(crate) bindings: Vec<(u32, bool)>,
}

/// What the compiler tells of a pipeline.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Compiled {
    /// The lanes of a wave.
    pub(crate) lanes: u32,
    /// The driver's statistics, by its names.
    pub(crate) statistics: BTreeMap<String, f64>,
    /// The listing.
    pub(crate) listing: String,
}

/// A device of the null driver.
pub(crate) struct Null {
    device: ash::Device,
    properties: properties::Device,
    /// The chip, as the driver calls it.
    pub(crate) name: String,
    /// The driver's version.
    pub(crate) version: String,
    /// The library must outlive the device.
    _entry: ash::Entry,
}

impl Null {
    /// Opens the first device that the Vulkan loader finds. The driver and the chip are chosen by the environment.
    pub(crate) fn open() -> Result<Self, String> {
        // SAFETY: the system's Vulkan loader is trusted, as by every program that uses Vulkan.
        let entry = unsafe { ash::Entry::load() }.map_err(|e| format!("no Vulkan loader ({e})"))?;
        let failed = |what: &'static str| move |e: vk::Result| format!("{what}: {e}");
        let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
        let info = vk::InstanceCreateInfo::default().application_info(&application);
        // SAFETY: `info` and what it points to live until the call returns.
        let instance = unsafe { entry.create_instance(&info, None) }.map_err(failed("no Vulkan instance"))?;
        // SAFETY: the instance is valid.
        let found = unsafe { instance.enumerate_physical_devices() }.map_err(failed("no Vulkan device"))?;
        let &physical = found.first().ok_or("the driver presents no device")?;
        let mut driver = vk::PhysicalDeviceDriverProperties::default();
        let mut about = vk::PhysicalDeviceProperties2::default().push_next(&mut driver);
        // SAFETY: the device is one of the instance's; both structures are valid.
        unsafe { instance.get_physical_device_properties2(physical, &mut about) };
        let name = text(&about.properties.device_name);
        let version = text(&driver.driver_info);
        let device = device(&instance, physical).map_err(failed("the driver lacks what wgpu asks for"))?;
        let properties = properties::Device::new(&instance, &device);
        Ok(Self { device, properties, name, version, _entry: entry })
    }

    /// Compiles a pipeline as wgpu would, and asks for what the compiler made of it.
    pub(crate) fn compile(&self, job: &Job) -> Result<Compiled, String> {
        let failed = |e: vk::Result| format!("{}: {e}", job.id);
        let entry = CString::new(job.entry.as_str()).map_err(|e| e.to_string())?;
        let binding = |&(index, uniform): &(u32, bool)| {
            let kind =
                if uniform { vk::DescriptorType::UNIFORM_BUFFER } else { vk::DescriptorType::STORAGE_BUFFER };
            vk::DescriptorSetLayoutBinding::default()
                .binding(index)
                .descriptor_type(kind)
                .descriptor_count(1)
                .stage_flags(vk::ShaderStageFlags::COMPUTE)
        };
        let bindings: Vec<_> = job.bindings.iter().map(binding).collect();
        let set = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
        let module = vk::ShaderModuleCreateInfo::default().code(&job.words);
        // SAFETY: all handles are of this device and all structures live until the calls return. The few handles
        // that are not destroyed end with the process.
        unsafe {
            let sets = [self.device.create_descriptor_set_layout(&set, None).map_err(failed)?];
            let layout = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
            let layout = self.device.create_pipeline_layout(&layout, None).map_err(failed)?;
            let module = self.device.create_shader_module(&module, None).map_err(failed)?;
            let stage = vk::PipelineShaderStageCreateInfo::default()
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(module)
                .name(&entry);
            let flags = vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR
                | vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR;
            let info = [vk::ComputePipelineCreateInfo::default().stage(stage).layout(layout).flags(flags)];
            let made = self.device.create_compute_pipelines(vk::PipelineCache::null(), &info, None);
            let pipeline = made.map_err(|(_, e)| failed(e))?[0];
            let told = self.told(pipeline).map_err(failed);
            self.device.destroy_pipeline(pipeline, None);
            self.device.destroy_shader_module(module, None);
            told
        }
    }

    /// Asks for a pipeline's statistics and listing.
    ///
    /// # Safety
    /// The pipeline is a living compute pipeline of this device, made with both flags that capture.
    unsafe fn told(&self, pipeline: vk::Pipeline) -> Result<Compiled, vk::Result> {
        let of = vk::PipelineInfoKHR::default().pipeline(pipeline);
        let first = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline);
        // SAFETY: the caller's promise; a compute pipeline has one executable. A statistic's format says which
        // member of its union is set.
        let (executables, statistics) = unsafe {
            let executables = self.properties.get_pipeline_executable_properties(&of)?;
            let statistics = self.properties.get_pipeline_executable_statistics(&first)?;
            let value = |s: &vk::PipelineExecutableStatisticKHR<'_>| match s.format {
                vk::PipelineExecutableStatisticFormatKHR::UINT64 => s.value.u64 as f64,
                vk::PipelineExecutableStatisticFormatKHR::INT64 => s.value.i64 as f64,
                vk::PipelineExecutableStatisticFormatKHR::FLOAT64 => s.value.f64,
                _ => f64::from(s.value.b32),
            };
            (executables, statistics.iter().map(|s| (text(&s.name), value(s))).collect())
        };
        let lanes = executables.first().map_or(0, |e| e.subgroup_size);
        // SAFETY: the caller's promise.
        let listing = unsafe { self.listing(&first) }?;
        Ok(Compiled { lanes, statistics, listing })
    }

    /// Asks for the assembly: once for the sizes of all texts, once for the texts.
    ///
    /// # Safety
    /// As for [`Null::told`].
    unsafe fn listing(&self, info: &vk::PipelineExecutableInfoKHR<'_>) -> Result<String, vk::Result> {
        let ask = self.properties.fp().get_pipeline_executable_internal_representations_khr;
        let (device, mut count) = (self.device.handle(), 0);
        // SAFETY: the caller's promise; the pointers lead to as many structures and bytes as they say.
        unsafe {
            ask(device, info, &mut count, ptr::null_mut()).result()?;
            let mut texts = vec![vk::PipelineExecutableInternalRepresentationKHR::default(); count as usize];
            ask(device, info, &mut count, texts.as_mut_ptr()).result()?;
            let mut bytes: Vec<Vec<u8>> = texts.iter().map(|t| vec![0; t.data_size + 1]).collect();
            texts.iter_mut().zip(&mut bytes).for_each(|(t, b)| t.p_data = b.as_mut_ptr().cast());
            ask(device, info, &mut count, texts.as_mut_ptr()).result()?;
            let assembly = texts.iter().zip(&bytes).find(|(t, _)| text(&t.name).contains("ssembly"));
            Ok(assembly.map_or(String::new(), |(_, b)| {
                String::from_utf8_lossy(b).trim_end_matches('\0').to_string()
            }))
        }
    }
}

/// Makes a device with the features that wgpu asks of it, and those that tell of pipelines.
fn device(instance: &ash::Instance, physical: vk::PhysicalDevice) -> Result<ash::Device, vk::Result> {
    let queues = [vk::DeviceQueueCreateInfo::default().queue_family_index(0).queue_priorities(&[1.0])];
    let names = [properties::NAME.as_ptr(), ash::ext::robustness2::NAME.as_ptr()];
    let features = vk::PhysicalDeviceFeatures::default().robust_buffer_access(true).shader_int64(true);
    let mut told =
        vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default().pipeline_executable_info(true);
    let mut robust = vk::PhysicalDeviceRobustness2FeaturesEXT::default().robust_buffer_access2(true);
    let mut later = vk::PhysicalDeviceVulkan13Features::default()
        .subgroup_size_control(true)
        .compute_full_subgroups(true)
        .shader_zero_initialize_workgroup_memory(true);
    let info = vk::DeviceCreateInfo::default()
        .queue_create_infos(&queues)
        .enabled_extension_names(&names)
        .enabled_features(&features)
        .push_next(&mut told)
        .push_next(&mut robust)
        .push_next(&mut later);
    // SAFETY: the physical device is the instance's, and all structures live until the call returns.
    unsafe { instance.create_device(physical, &info, None) }
}

/// The text of a fixed array that Vulkan ends with a zero.
fn text(chars: &[c_char]) -> String {
    let bytes: Vec<u8> = chars.iter().map(|&c| c as u8).collect();
    CStr::from_bytes_until_nul(&bytes).map_or(String::new(), |s| s.to_string_lossy().into_owned())
}
