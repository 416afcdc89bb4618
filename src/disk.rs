//! Whole files: whoever reads one, even after a crash, sees the old file or the new one and never half of one.

#[cfg(test)]
pub(crate) mod scratch;

use crate::error::{Error, Result};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

/// Writes a whole file beside its place and renames it: a reader sees the old content or the new, never a part. A
/// link is followed; what is no file, such as a device or a pipe, is written to and stays what it is.
///
/// # Errors
/// The folder is missing, is not writable or has no room; the old file stays.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let advice = "check that its folder exists, is yours to write to and has room";
    if fs::metadata(path).is_ok_and(|what| !what.is_file() && !what.is_dir()) {
        let write = || fs::OpenOptions::new().write(true).open(path)?.write_all(bytes);
        return write().map_err(|e| Error::at("write", path, e, advice));
    }
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let temporary = beside(path);
    let write = || {
        let mut file = fs::File::create(&temporary)?;
        file.write_all(bytes)?;
        // Without this a power cut may keep the rename and lose the content.
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        // The rename itself lasts once the folder is synced; Windows cannot open folders, and syncs by itself.
        #[cfg(unix)]
        fs::File::open(path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")))?
            .sync_all()?;
        Ok(())
    };
    write().map_err(|e: std::io::Error| {
        let _ = fs::remove_file(&temporary);
        Error::at("write", path, e, advice)
    })
}

/// A hidden name in the same folder, where a rename is one step of the file system.
pub(crate) fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.part", std::process::id()))
}

/// Bytes, such as a digest's, as hexadecimal digits.
pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

/// The 32 bytes of a digest that 64 hexadecimal digits write; `None` for any other text.
pub fn unhex(text: &str) -> Option<[u8; 32]> {
    let digit = |c: char| c.to_digit(16).map(|d| d as u8);
    let digits: Vec<u8> = text.chars().map(digit).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| 16 * pair[0] + pair[1]).collect();
    bytes.try_into().ok().filter(|_| digits.len() == 64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::scratch::Folder;

    #[test]
    fn a_whole_file_replaces_the_old_one_and_a_failure_leaves_it() {
        let dir = Folder::new("disk");
        let path = dir.join("config.json");
        write_atomic(&path, b"a longer old text").unwrap();
        write_atomic(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(write_atomic(&dir.join("absent/config.json"), b"x").is_err());
        assert_eq!(fs::read_dir(&*dir).unwrap().count(), 1);
    }

    #[test]
    fn digits_are_two_a_byte() {
        assert_eq!(hex([0, 10, 255]), "000aff");
        let bytes: [u8; 32] = std::array::from_fn(|i| (i * 9) as u8);
        assert_eq!(unhex(&hex(bytes)), Some(bytes));
        assert_eq!([unhex("000aff"), unhex(&"0".repeat(65)), unhex(&"g".repeat(64))], [None; 3]);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_devices_stay() {
        let dir = Folder::new("disk-links");
        let (file, link) = (dir.join("file"), dir.join("link"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write_atomic(&link, b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"new");
        let (device, null) = (dir.join("device"), Path::new("/dev/null"));
        std::os::unix::fs::symlink(null, &device).unwrap();
        write_atomic(&device, b"gone").unwrap();
        assert!(
            fs::symlink_metadata(&device).unwrap().is_symlink() && !fs::metadata(null).unwrap().is_file()
        );
    }
}
