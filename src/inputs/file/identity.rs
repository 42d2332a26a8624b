//! What a file is, as the file system tells it.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::delivery::checkpoint::{FileKey, HEAD_BYTES, Head};

/// Device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    /// `st_dev`.
    pub device: u64,
    /// `st_ino`.
    pub inode: u64,
}

/// One look at a file.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Which file it is.
    pub id: FileId,
    /// When it was made, in nanoseconds since 1970, where the file system says so.
    pub birth: Option<u64>,
    /// Its size on disk.
    pub size: u64,
    /// When its content last changed.
    pub modified: SystemTime,
    /// When its content, name or rights last changed; unlike `modified` no program can set it.
    pub changed: SystemTime,
    /// How many names it has.
    pub links: u64,
    /// It is neither a folder nor a pipe, device or socket.
    pub regular: bool,
}

impl Look {
    /// What the metadata say.
    #[must_use]
    pub fn of(meta: &Metadata) -> Self {
        let nanos = |age: Duration| u64::try_from(age.as_nanos()).ok();
        let birth = meta
            .created()
            .ok()
            .and_then(|at| at.duration_since(UNIX_EPOCH).ok())
            .and_then(nanos);
        let seconds = u64::try_from(meta.ctime()).unwrap_or(0);
        let fraction = u32::try_from(meta.ctime_nsec()).unwrap_or(0);
        Look {
            id: FileId {
                device: meta.dev(),
                inode: meta.ino(),
            },
            birth,
            size: meta.len(),
            modified: meta.modified().unwrap_or(UNIX_EPOCH),
            changed: UNIX_EPOCH + Duration::new(seconds, fraction),
            links: meta.nlink(),
            regular: meta.is_file(),
        }
    }

    /// A look of which only the identity is known.
    #[must_use]
    pub fn nameless(id: FileId) -> Self {
        Look {
            id,
            birth: None,
            size: 0,
            modified: UNIX_EPOCH,
            changed: UNIX_EPOCH,
            links: 1,
            regular: true,
        }
    }

    /// Looks at what a path names, links followed.
    ///
    /// # Errors
    /// What the system says.
    pub fn at(path: &Path) -> io::Result<Self> {
        std::fs::metadata(path).map(|meta| Look::of(&meta))
    }

    /// Looks at an open file.
    ///
    /// # Errors
    /// What the system says.
    pub fn into(file: &File) -> io::Result<Self> {
        file.metadata().map(|meta| Look::of(&meta))
    }

    /// Whether both looks can be of one file.
    #[must_use]
    pub fn is_same(&self, id: FileId, birth: Option<u64>) -> bool {
        self.id == id && (self.birth.is_none() || birth.is_none() || self.birth == birth)
    }

    /// The key of the file for the checkpoint store.
    #[must_use]
    pub fn key(&self, head: Head, path: &Path) -> FileKey {
        FileKey {
            device: self.id.device,
            inode: self.id.inode,
            birth: self.birth,
            head,
            path: path.to_owned(),
        }
    }
}

/// The first bytes of a file, as many as a [`Head`] covers; the file's cursor stays.
///
/// # Errors
/// What the system says.
pub fn first_bytes(file: &File) -> io::Result<Vec<u8>> {
    let mut start = vec![0; HEAD_BYTES as usize];
    let mut len = 0;
    while len < start.len() {
        match file.read_at(&mut start[len..], len as u64) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    start.truncate(len);
    Ok(start)
}
