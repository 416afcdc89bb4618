//! Kernels under real GPU compilers, without a GPU.
//!
//! The benchmark's models are planned for a portable GPU ([`launches`]), each distinct pipeline is compiled by
//! Mesa's RADV on a device that does not exist ([`driver`]), its listing is read ([`isa`]), its loops are counted
//! by following an invocation ([`work`]), and a model of a card turns all that into time ([`time`]).

pub mod built;
pub mod chip;
pub mod compare;
pub mod driver;
pub mod isa;
pub mod launches;
pub mod limits;
pub mod options;
pub mod report;
pub mod shares;
pub mod table;
pub mod time;
pub mod translate;
mod vulkan;
pub mod work;
