//! Kernels as data. naga reflects a WGSL file's bindings, overrides, workgroup sizes and `dims` layout, so
//! that Rust never restates them; no device is needed.

pub mod caps;
pub mod join;
pub mod power;
mod shader;

pub use shader::Shader;

use self::power::{POWERS, Power};
use naga::{AddressSpace, Module, TypeInner, valid};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

/// The lines around the one function of a shader that the planner may rewrite.
pub const MARK: [&str; 2] = ["// <fused>", "// </fused>"];

/// The marks around what a shader takes for four numbers in a buffer.
const QUAD: [&str; 2] = ["// <quad, ", "// </quad>"];

/// The shader's text with the marked function replaced.
pub fn patch(text: &str, function: &str) -> String {
    let (start, end) = (text.find(MARK[0]), text.find(MARK[1]));
    let (Some(start), Some(end)) = (start, end) else { panic!("the shader has no marked function") };
    format!("{}{}\n{}\n{}", &text[..start], MARK[0], function, &text[end..])
}

/// The shader's text with the numbers of its buffers read and written as two words each: its block `<quad>`
/// becomes `<quad64>` of the self-test of `int64`.
pub fn in_words(text: &str) -> String {
    let block =
        |text: &'static str| Some(text.split_once("// <quad64, master>\n")?.1.split_once("// </quad64>")?.0);
    let words = block(power::INT64.text).unwrap_or_else(|| panic!("the self-test of int64 has no <quad64>"));
    match (text.find(QUAD[0]), text.find(QUAD[1])) {
        (Some(start), Some(end)) => format!("{}{words}{}", &text[..start], &text[end..]),
        _ => text.into(),
    }
}

/// One binding of an entry point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The name in WGSL.
    pub name: String,
    /// The index, which is `@binding` in WGSL.
    pub index: u32,
    /// Whether it is a uniform buffer (the `dims` struct) rather than storage.
    pub uniform: bool,
    /// Whether the kernel writes it.
    pub writes: bool,
}

/// What reflection tells about one entry point.
#[derive(Clone, Debug)]
pub struct Reflection {
    /// The bindings that the entry point uses, in the order of their indices.
    pub bindings: Vec<Binding>,
    /// The byte offset of each scalar of the `dims` struct, by its path (`m`, `x[1].shape[0]`).
    pub dims: BTreeMap<String, u32>,
    /// The size of the `dims` struct in bytes, 0 without one.
    pub dims_size: u32,
    /// The workgroup size under the overrides' values.
    pub workgroup: [u32; 3],
    /// The workgroup memory in bytes.
    pub workgroup_memory: u32,
}

/// What the validator must allow a shader beyond the portable baseline, read from its stem.
pub fn powers(stem: &str) -> valid::Capabilities {
    let asked = |power: &&Power| power::words(stem).any(|word| word == power.name);
    POWERS.iter().filter(asked).map(|power| power.allows).collect()
}

/// Parses and validates a module. The error is naga's, with source line and caret.
pub fn parse(text: &str, powers: valid::Capabilities) -> Result<(Module, valid::ModuleInfo), String> {
    let module = naga::front::wgsl::parse_str(text).map_err(|e| e.emit_to_string(text))?;
    // WebGPU's baseline has pack2x16float; naga counts it as a power of its own.
    let powers = powers | valid::Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    let mut validator = valid::Validator::new(valid::ValidationFlags::all(), powers);
    let info = validator.validate(&module).map_err(|e| e.emit_to_string(text))?;
    Ok((module, info))
}

/// The module with its overrides' values applied, as a back end sees it. The error is naga's.
pub fn specialise<'m>(
    module: &'m Module,
    info: &'m valid::ModuleInfo,
    entry: &str,
    constants: &[(&str, f64)],
) -> Result<(Cow<'m, Module>, Cow<'m, valid::ModuleInfo>), String> {
    let constants = constants.iter().map(|(k, v)| (k.to_string(), *v)).collect();
    let stage = Some((naga::ShaderStage::Compute, entry));
    naga::back::pipeline_constants::process_overrides(module, info, stage, &constants)
        .map_err(|e| e.to_string())
}

/// The names of the buffers that a module's kernels may write. The error is naga's.
pub fn writable(text: &str) -> Result<BTreeSet<String>, String> {
    let module = naga::front::wgsl::parse_str(text).map_err(|e| e.emit_to_string(text))?;
    let variables = module.global_variables.iter().map(|(_, variable)| variable);
    Ok(variables.filter(|v| stores(v.space)).filter_map(|v| v.name.clone()).collect())
}

fn stores(space: AddressSpace) -> bool {
    matches!(space, AddressSpace::Storage { access } if access.contains(naga::StorageAccess::STORE))
}

/// Reflects one entry point under these override values.
///
/// # Errors
/// Text that is not valid WGSL within these powers, or lacks the entry point.
pub fn reflect(
    text: &str,
    powers: valid::Capabilities,
    entry: &str,
    constants: &[(&str, f64)],
) -> Result<Reflection, String> {
    let (module, info) = parse(text, powers)?;
    let (module, info) = specialise(&module, &info, entry, constants)?;
    let position = module.entry_points.iter().position(|e| e.name == entry);
    let position = position.ok_or_else(|| format!("no entry point `{entry}`"))?;
    let uses = info.get_entry_point(position);
    let mut out = Reflection {
        bindings: vec![],
        dims: BTreeMap::new(),
        dims_size: 0,
        workgroup: module.entry_points[position].workgroup_size,
        workgroup_memory: 0,
    };
    for (handle, variable) in module.global_variables.iter() {
        if uses[handle].is_empty() {
            continue;
        }
        let size = module.types[variable.ty].inner.size(module.to_ctx());
        if variable.space == AddressSpace::WorkGroup {
            out.workgroup_memory += size;
        }
        let (Some(binding), Some(name)) = (&variable.binding, &variable.name) else { continue };
        let uniform = variable.space == AddressSpace::Uniform;
        if uniform {
            flatten(&module, variable.ty, "", 0, &mut out.dims);
            out.dims_size = size;
        }
        let writes = stores(variable.space);
        out.bindings.push(Binding { name: name.clone(), index: binding.binding, uniform, writes });
    }
    out.bindings.sort_by_key(|b| b.index);
    Ok(out)
}

/// Collects the paths of all 32-bit scalars within a type, with their byte offsets.
fn flatten(
    module: &Module,
    ty: naga::Handle<naga::Type>,
    path: &str,
    at: u32,
    out: &mut BTreeMap<String, u32>,
) {
    match &module.types[ty].inner {
        TypeInner::Struct { members, .. } => {
            for member in members {
                let name = member.name.as_deref().unwrap_or_default();
                let path = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
                flatten(module, member.ty, &path, at + member.offset, out);
            }
        }
        TypeInner::Vector { size, .. } => {
            for i in 0..*size as u32 {
                out.insert(format!("{path}[{i}]"), at + 4 * i);
            }
        }
        TypeInner::Array { base, size: naga::ArraySize::Constant(n), stride } => {
            for i in 0..n.get() {
                flatten(module, *base, &format!("{path}[{i}]"), at + i * stride, out);
            }
        }
        _ => {
            out.insert(path.to_string(), at);
        }
    }
}
