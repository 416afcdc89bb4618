//! Transfers between host and device. A read-back is a copy into a mappable buffer and a promise, in the
//! host's submission or in one of its own.

use super::{
    Gpu,
    device::STORAGE,
    health::one_line,
    promise::{self, Promise},
};
use crate::error::{Error, Result};
use futures::channel::oneshot;
use std::ops::Range;

/// The numbers that buffers hold.
pub trait Element: bytemuck::Pod + sealed::Sealed {
    /// Their type in graphs.
    const DTYPE: crate::graph::shape::DType;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! elements {
    ($($number:ty: $dtype:ident)*) => {$(
        impl sealed::Sealed for $number {}
        impl Element for $number {
            const DTYPE: crate::graph::shape::DType = crate::graph::shape::DType::$dtype;
        }
    )*};
}
elements! { f32: F32 u32: U32 u8: U8 }

impl Gpu {
    /// Records a copy of a range of a buffer to the host into the host's encoder. The promise is kept after the
    /// host's submission; it is an `Err` when the encoder is dropped unsubmitted or the device is lost.
    ///
    /// # Errors
    /// A range that does not start at a multiple of 4 bytes, is empty, or cannot be widened to whole words; a
    /// buffer without the usage `COPY_SRC`, of another device, or that is mapped; a lost device.
    pub fn record_read(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        from: wgpu::BufferSlice<'_>,
    ) -> Result<Promise<Vec<u8>>> {
        let (buffer, bytes) = (from.buffer(), from.size());
        let range = from.offset()..from.offset() + bytes;
        let whole = range.end.next_multiple_of(4);
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
        self.ours("the buffer to read", buffer)?;
        let size = whole - range.start;
        let usage = wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ;
        let staging = self.buffer("read-back", size, usage)?;
        encoder.copy_buffer_to_buffer(buffer, range.start, &staging, 0, size);
        let (send, receive) = oneshot::channel();
        encoder
            .map_buffer_on_submit(&staging, wgpu::MapMode::Read, .., move |result| drop(send.send(result)));
        let health = self.health.clone();
        Ok(Promise::new(&self.device, async move {
            match receive.await {
                Err(_) => return Err(promise::broken(&health, "the read-back failed")),
                // Nothing but a loss refuses the mapping of a buffer that is the engine's own.
                Ok(Err(_)) => health.note("the device was lost: a read-back failed".into()),
                Ok(Ok(())) => {}
            }
            health.check()?;
            let data = staging.get_mapped_range(..).map_err(|e| Error::Device(one_line(&e.to_string())))?;
            Ok(data[..bytes as usize].to_vec())
        }))
    }

    /// A promise that is kept when the host has submitted the encoder and its work is done, as the host's
    /// next poll or submission sees it. It is an `Err` when the encoder is dropped unsubmitted or the device is lost.
    pub fn completion(&self, encoder: &wgpu::CommandEncoder) -> Promise<()> {
        let (send, receive) = oneshot::channel();
        encoder.on_submitted_work_done(move || send.send(()).unwrap_or_default());
        let health = self.health.clone();
        Promise::new(&self.device, async move {
            match receive.await {
                Ok(()) => health.check(),
                Err(_) => Err(promise::broken(&health, "nothing was done")),
            }
        })
    }

    /// Copies a range of a buffer to the host in a submission of its own.
    pub fn read_async(&self, from: wgpu::BufferSlice<'_>) -> Promise<Vec<u8>> {
        let all = self.read_all(&[from]);
        Promise::new(&self.device, async move { Ok(all.await?.remove(0)) })
    }

    /// Copies ranges of buffers to the host in one submission.
    pub(crate) fn read_all(&self, from: &[wgpu::BufferSlice<'_>]) -> Promise<Vec<Vec<u8>>> {
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let read = |&from: &wgpu::BufferSlice<'_>| self.record_read(&mut encoder, from);
        let promises = from.iter().map(read).collect::<Result<Vec<_>>>();
        let promises = promises.and_then(|promises| self.hand_over(encoder).map(|()| promises));
        Promise::new(&self.device, async move {
            let mut all = vec![];
            for promise in promises? {
                all.push(promise.await?);
            }
            Ok(all)
        })
    }

    /// Copies ranges of f32 elements to the host in one submission.
    pub(super) fn read_floats<const N: usize>(
        &self,
        from: Result<Vec<wgpu::BufferSlice<'_>>>,
    ) -> Promise<[Vec<f32>; N]> {
        let all = from.map(|from| self.read_all(&from));
        Promise::new(&self.device, async move {
            let floats: Vec<_> =
                all?.await?.iter().map(|bytes| bytemuck::pod_collect_to_vec(bytes)).collect();
            Ok(floats.try_into().expect("one result for each name"))
        })
    }

    /// Waits for a range of a buffer and returns its bytes.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read(&self, from: wgpu::BufferSlice<'_>) -> Result<Vec<u8>> {
        let promise = self.read_async(from);
        self.wait()?;
        pollster::block_on(promise)
    }

    /// Waits for a range of a buffer and returns its 32-bit words; bytes that fill no word are followed by
    /// those behind the range.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read_words(&self, from: wgpu::BufferSlice<'_>) -> Result<Vec<u32>> {
        let end = from.offset() + from.size().next_multiple_of(4);
        let bytes = self.read(from.buffer().slice(from.offset()..end.min(from.buffer().size())))?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
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
        self.check()?;
        let buffer = self.buffer(label, size, STORAGE)?;
        self.write(&buffer, 0, bytes)?;
        Ok(buffer)
    }

    /// Writes bytes into a buffer, before what is submitted next. This is the engine's only way to write a buffer:
    /// devices copy whole words of 4 bytes, so zeros fill the last word.
    ///
    /// # Errors
    /// An offset that is no multiple of 4, bytes that do not fit, a buffer without the usage `COPY_DST`, of another
    /// device, or that is mapped; a lost device.
    pub fn write(&self, buffer: &wgpu::Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        let end = writable(buffer, offset, bytes.len())?;
        self.ours("the buffer to write", buffer)?;
        let whole = bytes.len() / 4 * 4;
        self.guarded("a write", |_| {
            self.queue.write_buffer(buffer, offset, &bytes[..whole]);
            if whole < bytes.len() {
                self.queue.write_buffer(buffer, end - 4, &tail(&bytes[whole..]));
            }
        })
    }

    /// Records a write into the host's encoder. What was recorded before it sees the old values, what is
    /// recorded after it the new ones, where [`Gpu::write`] takes effect before the whole submission.
    ///
    /// # Errors
    /// As [`Gpu::write`].
    pub fn record_write(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        buffer: &wgpu::Buffer,
        offset: u64,
        bytes: &[u8],
    ) -> Result<()> {
        let end = writable(buffer, offset, bytes.len())?;
        if end > offset {
            self.ours("the buffer to write", buffer)?;
            let usage = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
            let staging = self.buffer("recorded write", end - offset, usage)?;
            self.write(&staging, 0, bytes)?;
            encoder.copy_buffer_to_buffer(&staging, 0, buffer, offset, end - offset);
        }
        Ok(())
    }
}

/// The last bytes of a write as a whole word.
fn tail(bytes: &[u8]) -> [u8; 4] {
    let mut word = [0; 4];
    word[..bytes.len()].copy_from_slice(bytes);
    word
}

/// The end of so many bytes, rounded up to whole words, if they can be written there.
fn writable(buffer: &wgpu::Buffer, offset: u64, bytes: usize) -> Result<u64> {
    let Range { start, end } = offset..offset.saturating_add((bytes as u64).next_multiple_of(4));
    if !buffer.usage().contains(wgpu::BufferUsages::COPY_DST) {
        let what = format!("a buffer with the usages {:?} cannot be written", buffer.usage());
        return Err(Error::State(format!("{what}; create it with COPY_DST")));
    }
    if !start.is_multiple_of(4) || end > buffer.size() {
        let what = format!("bytes {start}..{end} cannot be written into a buffer of {}", buffer.size());
        return Err(Error::State(format!("{what}: whole words within it are written")));
    }
    Ok(end)
}
