//! The lock of a run directory: one process at a time writes there. The system gives it back when the process
//! ends, however it ends, so that no lock is left behind by a killed run.

use crate::error::{Error, Result};
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    path::Path,
};

/// The file that is locked. It stays in the folder: deleting it would let two processes lock two files of one
/// name.
const NAME: &str = ".lock";

/// A locked run directory. Dropping it unlocks the directory.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Locks a folder that exists, and writes the number of this process into the lock's file.
    ///
    /// # Errors
    /// Fails if another process holds the lock; the error names it. Fails if the file cannot be written.
    pub(super) fn take(folder: &Path) -> Result<Self> {
        let path = folder.join(NAME);
        let advice = "choose a folder that you may write to";
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = open.map_err(|e| Error::at("lock", &path, e, advice))?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(taken(folder, &mut file)),
            // A file system without locks must not keep anyone from training.
            Err(TryLockError::Error(e)) if e.kind() != std::io::ErrorKind::Unsupported => {
                return Err(Error::at("lock", &path, e, advice));
            }
            _ => {}
        }
        let name = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            write!(file, "{}", std::process::id())
        };
        name(&mut file).map_err(|e| Error::at("write", &path, e, advice))?;
        Ok(Self { _file: file })
    }
}

/// The error of a folder in which another process trains.
fn taken(folder: &Path, file: &mut File) -> Error {
    let mut text = String::new();
    // Windows lets nobody read a locked file; then the other process has no number here.
    let process = match file.read_to_string(&mut text).is_ok() && text.parse::<u32>().is_ok() {
        true => format!("process {text}"),
        false => "another process".into(),
    };
    Error::new(format!(
        "{process} trains in {}; wait for its end or stop it, or choose another --out",
        folder.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::scratch::Folder;

    #[test]
    fn a_folder_is_locked_once_and_free_again_after_that() {
        let dir = Folder::new("lock");
        std::fs::write(dir.join(NAME), "4294967295, left by a process that was killed").unwrap();
        let lock = Lock::take(&dir).unwrap();
        let refused = Lock::take(&dir).unwrap_err().to_string();
        if cfg!(unix) {
            assert!(refused.contains(&format!("process {} trains", std::process::id())), "{refused}");
        }
        drop(lock);
        drop(Lock::take(&dir).unwrap());
    }
}
