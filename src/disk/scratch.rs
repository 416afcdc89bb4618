//! An empty folder of one test, removed when dropped.

use std::{fs, ops::Deref, path::Path};
use tempfile::{Builder, TempDir};

/// The folder; it dereferences to its path.
pub(crate) struct Folder(TempDir);

impl Folder {
    /// Makes a folder that no other test has; the name says whose it is.
    pub(crate) fn new(name: &str) -> Self {
        Self(Builder::new().prefix(&format!("oneiro-{name}-")).tempdir().unwrap())
    }

    /// Writes a file, and the folders that it lies in.
    pub(crate) fn put(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

impl Deref for Folder {
    type Target = Path;

    fn deref(&self) -> &Path {
        self.0.path()
    }
}
