//! The readers of data as functions of bytes alone, and what gives damaged bytes their right sums, so that a reader
//! looks behind these: for fuzzing and for tests.

use std::io::{Cursor, Write};
use std::path::Path;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use ureq::Agent;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

use super::{cifar, download, idx, picture, wav::Wav};

/// Reads an IDX file's bytes as images and as the labels of nine images; raw or gzip.
pub(crate) fn idx(bytes: &[u8]) -> bool {
    let source = || idx::Source::new(Path::new("file"), Cursor::new(bytes), bytes.len() as u64);
    let images = source().is_ok_and(|source| idx::read_images(source).is_ok());
    images | source().is_ok_and(|source| idx::read_labels(source, 9).is_ok())
}

/// Reads bytes as every file of CIFAR-10 and of CIFAR-100, also as the file that names the classes.
pub(crate) fn cifar(bytes: &[u8]) -> bool {
    let read = |kind: cifar::Kind| {
        let set = kind.collect("set", Some(bytes.to_vec()), |name, _| Ok((name.into(), bytes.to_vec())));
        set.is_ok()
    };
    cifar::SMALL.map(read).contains(&true)
}

/// Reads the archive of CIFAR-10, gzip.
pub(crate) fn archive(bytes: &[u8]) -> bool {
    cifar::unpack(cifar::SMALL[0], Path::new("archive"), bytes, bytes.len() as u64).is_ok()
}

/// Reads a picture: its header, its pixels, and these scaled, of a whole picture.
pub(crate) fn picture(bytes: &[u8]) -> bool {
    let header = picture::header(bytes);
    let decoded = picture::decode(bytes, None).is_ok();
    assert!(header.is_ok() || !decoded, "decoded without a header");
    picture::decode_whole(bytes, Some(5)).is_ok() && decoded
}

/// Reads a WAV file at a rate that is not its own, unless that is 16 kHz.
pub(crate) fn wav(bytes: &[u8]) -> bool {
    Wav::open(bytes, bytes.len() as u64).is_ok_and(|wav| {
        let most = wav.levels_at(16_000);
        wav.hear(16_000).is_ok_and(|heard| {
            assert_eq!(heard.levels.len() as u64, most);
            true
        })
    })
}

/// Reads what a mirror answers: status, headers, redirections and the body.
pub(crate) fn answer(bytes: &[u8]) -> bool {
    let answer = Answer(bytes.into());
    download::gives_zeros(|config| Agent::with_parts(config, answer, Nowhere))
}

/// The bytes as gzip.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = GzEncoder::new(vec![], Compression::fast());
    writer.write_all(bytes).expect("memory takes all");
    writer.finish().expect("memory takes all")
}

/// An archive whose headers have their right sums, as gzip.
pub(crate) fn summed_archive(bytes: &[u8]) -> Vec<u8> {
    let (mut tar, mut at) = (bytes.to_vec(), 0_usize);
    while let Some(header) = tar.get_mut(at..at.saturating_add(512)).filter(|header| header[0] != 0) {
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let digits = header[124..136].iter().filter(|digit| (b'0'..b'8').contains(digit));
        let size = digits.fold(0_usize, |size, digit| size.wrapping_mul(8) + usize::from(digit - b'0'));
        at = at.saturating_add(512).saturating_add(size.div_ceil(512).saturating_mul(512));
    }
    gzip(&tar)
}

/// A network on which every server answers with these bytes.
#[derive(Debug)]
struct Answer(Arc<[u8]>);

impl Connector for Answer {
    type Out = Played;

    fn connect(&self, details: &ConnectionDetails, _: Option<()>) -> Result<Option<Played>, ureq::Error> {
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(Some(Played { bytes: self.0.clone(), at: 0, buffers }))
    }
}

/// One connection to such a server.
#[derive(Debug)]
struct Played {
    bytes: Arc<[u8]>,
    at: usize,
    buffers: LazyBuffers,
}

impl Transport for Played {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, _: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
        let (rest, to) = (&self.bytes[self.at..], self.buffers.input_append_buf());
        let count = rest.len().min(to.len());
        to[..count].copy_from_slice(&rest[..count]);
        self.buffers.input_appended(count);
        self.at += count;
        Ok(count > 0)
    }

    fn is_open(&mut self) -> bool {
        false
    }
}

/// A resolver to which every name is one address.
#[derive(Debug)]
struct Nowhere;

impl Resolver for Nowhere {
    fn resolve(
        &self,
        _: &ureq::http::Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addresses = self.empty();
        addresses.push(([127, 0, 0, 1], 80).into());
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests;
