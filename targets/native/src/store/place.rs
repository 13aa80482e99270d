//! Whether the store's file is still where it was opened.
//!
//! A file that was removed or moved away can be written as before, and what is written is gone with
//! the process. So every transaction asks first: no token leaves whose record nobody will find.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file, by its name and by what the file system knows it as.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Place {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let found = fs::metadata(path)?;
        Ok(Self { path: path.into(), device: found.dev(), inode: found.ino() })
    }

    /// The file's name, where another file or none has it now.
    pub(super) fn lost(&self) -> Option<&Path> {
        let found = fs::metadata(&self.path);
        let same = found.is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode));
        (!same).then_some(&self.path)
    }
}
