//! A folder for the variable `XDG_RUNTIME_DIR`, for machines that set none.
//!
//! Without it, as in containers and over plain SSH, the window-system layer of Linux's Vulkan drivers prints
//! an error whenever a program starts, although nothing here opens a window.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const VARIABLE: &str = "XDG_RUNTIME_DIR";

/// An empty folder that only this user may open. It is removed when this value is dropped.
pub(crate) struct Private(PathBuf);

impl Private {
    /// Makes a folder; `None` if the variable names one already, or if the system is not Linux.
    pub(crate) fn where_needed() -> Option<Self> {
        let named = env::var_os(VARIABLE).is_some_and(|dir| Path::new(&dir).is_dir());
        if !cfg!(target_os = "linux") || named { None } else { Self::new() }
    }

    /// Makes a folder; `None` if that fails, since the error that the folder prevents is harmless.
    fn new() -> Option<Self> {
        let dir = env::temp_dir().join(format!("oneiro-xtask-{}", std::process::id()));
        make(&dir).ok().map(|()| Self(dir))
    }

    /// Sets the variable for a program that will be started.
    pub(crate) fn give(&self, command: &mut Command) {
        command.env(VARIABLE, &self.0);
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Makes a folder that only this user may open, as the specification of the variable demands.
#[cfg(unix)]
fn make(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().mode(0o700).create(dir)
}

#[cfg(not(unix))]
fn make(dir: &Path) -> std::io::Result<()> {
    fs::create_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_named_to_the_program_and_goes_with_the_guard() {
        let private = Private::new().unwrap();
        let mut command = Command::new("program");
        private.give(&mut command);
        let (_, dir) = command.get_envs().find(|(name, _)| *name == VARIABLE).unwrap();
        let dir = PathBuf::from(dir.unwrap());
        assert!(dir.is_dir());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        }
        drop(private);
        assert!(!dir.exists());
    }
}
