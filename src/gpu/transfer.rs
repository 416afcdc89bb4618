//! Transfers between host and device. A read-back is a copy into a mappable buffer and a oneshot future, in
//! the host's submission or in one of its own.

use super::Gpu;
use crate::error::{Error, Result};
use futures::channel::oneshot;
use std::{fmt::Display, ops::Range};

impl Gpu {
    /// Records a copy of a byte range to the host into the host's encoder. Whoever submits the encoder and
    /// polls the device past it completes the future; it is an `Err` when the encoder is dropped unsubmitted
    /// or the device is lost.
    ///
    /// # Errors
    /// A range that does not start at a multiple of 4 bytes or lies outside the buffer; a buffer without the
    /// usage `COPY_SRC`.
    pub fn record_read(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        buffer: &wgpu::Buffer,
        range: Range<u64>,
    ) -> Result<impl Future<Output = Result<Vec<u8>>> + use<>> {
        let (bytes, whole) = (range.end.saturating_sub(range.start), range.end.next_multiple_of(4));
        if bytes == 0 || !range.start.is_multiple_of(4) || whole > buffer.size() {
            return Err(Error::State(format!(
                "bytes {range:?} cannot be read from a buffer of {}: whole words are copied",
                buffer.size()
            )));
        }
        if !buffer.usage().contains(wgpu::BufferUsages::COPY_SRC) {
            return Err(Error::State(format!(
                "a buffer with the usages {:?} cannot be read; create it with COPY_SRC",
                buffer.usage()
            )));
        }
        let (size, usage) =
            (whole - range.start, wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ);
        let desc =
            wgpu::BufferDescriptor { label: Some("read-back"), size, usage, mapped_at_creation: false };
        let staging = self.guarded(|d| d.create_buffer(&desc))?;
        encoder.copy_buffer_to_buffer(buffer, range.start, &staging, 0, size);
        let (send, receive) = oneshot::channel();
        encoder
            .map_buffer_on_submit(&staging, wgpu::MapMode::Read, .., move |result| drop(send.send(result)));
        Ok(async move {
            let lost = |what: &dyn Display| {
                Error::Device(format!("read-back failed: {what}; not submitted, or the device is lost"))
            };
            receive.await.map_err(|e| lost(&e))?.map_err(|e| lost(&e))?;
            let data = staging.get_mapped_range(..).map_err(|e| lost(&e))?;
            Ok(data[..bytes as usize].to_vec())
        })
    }

    /// A future that completes when the host has submitted the encoder and its work is done, as the host's
    /// next poll or submission sees it. It is an `Err` when the encoder is dropped unsubmitted. wgpu also
    /// completes it on a lost device, of which a host learns by its own device-lost callback.
    pub fn completion(&self, encoder: &wgpu::CommandEncoder) -> impl Future<Output = Result<()>> + use<> {
        let (send, receive) = oneshot::channel();
        encoder.on_submitted_work_done(move || send.send(()).unwrap_or_default());
        async move {
            receive.await.map_err(|_| Error::Device("the encoder was dropped without being submitted".into()))
        }
    }

    /// Copies a byte range to the host in a submission of its own. The future completes when the device is
    /// polled past the copy.
    pub fn read_async(
        &self,
        buffer: &wgpu::Buffer,
        offset: u64,
        bytes: u64,
    ) -> Result<impl Future<Output = Result<Vec<u8>>> + use<>> {
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let future = self.record_read(&mut encoder, buffer, offset..offset + bytes)?;
        self.queue.submit([encoder.finish()]);
        Ok(future)
    }

    /// Waits for a byte range of a buffer and returns its bytes.
    pub fn read(&self, buffer: &wgpu::Buffer, offset: u64, bytes: u64) -> Result<Vec<u8>> {
        let future = self.read_async(buffer, offset, bytes)?;
        self.wait()?;
        pollster::block_on(future)
    }

    /// Waits for a byte range of a buffer and returns its 32-bit words.
    pub fn read_words(&self, buffer: &wgpu::Buffer, offset: u64, bytes: u64) -> Result<Vec<u32>> {
        Ok(bytemuck::pod_collect_to_vec(&self.read(buffer, offset, bytes.next_multiple_of(4))?))
    }

    /// Makes a storage buffer that holds `bytes`, padded to whole vec4s, for executors' inputs such as data
    /// sets and labels.
    ///
    /// # Errors
    /// More bytes than the adapter binds; what the device refuses.
    pub fn upload(&self, label: &str, bytes: &[u8]) -> Result<wgpu::Buffer> {
        let size = (bytes.len() as u64).next_multiple_of(16).max(16);
        let limit = self.caps().max_binding;
        if size > limit {
            return Err(Error::Device(format!(
                "{label}: {size} bytes exceed the adapter's largest binding of {limit}; use fewer images"
            )));
        }
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        let buffer = self.guarded(|d| {
            d.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size,
                usage,
                mapped_at_creation: false,
            })
        })?;
        self.write(&buffer, 0, bytes);
        Ok(buffer)
    }

    /// Writes bytes into a buffer, before what is submitted next. This is the engine's only way to write a buffer:
    /// devices copy whole words of 4 bytes, so zeros fill the last word. `offset` must be a multiple of 4.
    pub fn write(&self, buffer: &wgpu::Buffer, offset: u64, bytes: &[u8]) {
        let whole = bytes.len() / 4 * 4;
        self.queue.write_buffer(buffer, offset, &bytes[..whole]);
        if whole < bytes.len() {
            let mut tail = [0; 4];
            tail[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
            self.queue.write_buffer(buffer, offset + whole as u64, &tail);
        }
    }
}
