//! The loss of the window's device. egui draws on a lost device by a panic, so that whoever opened the window must know
//! of the loss when that has ended.

use eframe::egui_wgpu::wgpu;
use std::sync::{Arc, OnceLock};

/// A watch over the device of a window.
#[derive(Default)]
pub struct Watch {
    device: OnceLock<wgpu::Device>,
    reason: Arc<OnceLock<String>>,
}

impl Watch {
    /// Begins to watch a device, whose device-lost callback this takes.
    pub(crate) fn over(&self, device: &wgpu::Device) {
        let noted = self.reason.clone();
        device.set_device_lost_callback(move |_, reason| {
            #[cfg(target_arch = "wasm32")]
            crate::web::tell_loss(&reason);
            noted.get_or_init(|| if reason.is_empty() { "no reason is known".into() } else { reason });
        });
        self.device.get_or_init(|| device.clone());
    }

    /// Notes a loss that was found otherwise.
    pub(crate) fn note(&self) {
        self.reason.get_or_init(|| "it answers no more".into());
    }

    /// The reason for which the device was lost, if it was.
    pub fn reason(&self) -> Option<&str> {
        if let (None, Some(device)) = (self.reason.get(), self.device.get()) {
            // The callback is called from here.
            let _ = device.poll(wgpu::PollType::Poll);
        }
        self.reason.get().map(String::as_str)
    }
}
