//! Read-backs: a copy into a mappable buffer and a oneshot future fed by `map_async`.

use super::Gpu;
use crate::error::{Error, Result};
use futures::channel::oneshot;

impl Gpu {
    /// Copies a range to the host; the future completes when the device is polled past the copy.
    pub fn read_async(&self, buffer: &wgpu::Buffer, offset: u64, bytes: u64) -> Result<impl Future<Output = Result<Vec<u8>>> + use<>> {
        let usage = wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ;
        let staging = self.guarded(|d| {
            d.create_buffer(&wgpu::BufferDescriptor { label: Some("read-back"), size: bytes, usage, mapped_at_creation: false })
        })?;
        self.submit(|encoder| encoder.copy_buffer_to_buffer(buffer, offset, &staging, 0, bytes));
        let (send, receive) = oneshot::channel();
        staging.map_async(wgpu::MapMode::Read, .., move |result| drop(send.send(result)));
        Ok(async move {
            let lost = |what: &dyn std::fmt::Display| Error::Device(format!("read-back failed: {what}; the device may be lost"));
            receive.await.map_err(|e| lost(&e))?.map_err(|e| lost(&e))?;
            let data = staging.get_mapped_range(..).map_err(|e| lost(&e))?.to_vec();
            Ok(data)
        })
    }

    /// Waits for a range of a buffer, as bytes.
    pub fn read(&self, buffer: &wgpu::Buffer, offset: u64, bytes: u64) -> Result<Vec<u8>> {
        let future = self.read_async(buffer, offset, bytes)?;
        self.wait()?;
        pollster::block_on(future)
    }

    /// Waits for a range of a buffer, as 32-bit words.
    pub fn read_words(&self, buffer: &wgpu::Buffer, offset: u64, bytes: u64) -> Result<Vec<u32>> {
        Ok(bytemuck::pod_collect_to_vec(&self.read(buffer, offset, bytes.next_multiple_of(4))?))
    }

    /// A storage buffer holding `bytes` (padded to whole vec4s), for executors' inputs: data sets, labels.
    pub fn upload(&self, label: &str, bytes: &[u8]) -> Result<wgpu::Buffer> {
        let size = (bytes.len() as u64).next_multiple_of(16).max(16);
        let limit = self.caps().max_binding;
        if size > limit {
            return Err(Error::Device(format!("{label}: {size} bytes exceed the adapter's largest binding of {limit}; use fewer images")));
        }
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        let buffer =
            self.guarded(|d| d.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false }))?;
        self.write_padded(&buffer, 0, bytes);
        Ok(buffer)
    }

    /// `write_buffer` wants multiples of 4 bytes: the tail is padded with zeros.
    pub(crate) fn write_padded(&self, buffer: &wgpu::Buffer, offset: u64, bytes: &[u8]) {
        let whole = bytes.len() / 4 * 4;
        self.queue.write_buffer(buffer, offset, &bytes[..whole]);
        if whole < bytes.len() {
            let mut tail = [0; 4];
            tail[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
            self.queue.write_buffer(buffer, offset + whole as u64, &tail);
        }
    }
}
