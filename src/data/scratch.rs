//! An empty folder of one test, removed when dropped.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::{env, fs, process};

/// The folder; it dereferences to its path.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes the folder; no two tests may share a name.
    pub(super) fn new(name: &str) -> Self {
        let dir = env::temp_dir().join(format!("oneiro-{name}-{}", process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    /// Writes a file, and the folders that it lies in.
    pub(super) fn put(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

impl Deref for Folder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
