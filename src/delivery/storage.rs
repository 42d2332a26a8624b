//! The few file operations that checkpoints need, as a trait, so that tests can tear writes and pull the plug.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

/// The longest file that [`Storage::read`] takes, in bytes.
pub const MAX_BYTES: u64 = 256 << 20;

/// A place that keeps small files.
///
/// Contents are durable once [`Storage::write_synced`] returns; names (new files and renames) once
/// [`Storage::sync_dir`] returns. A crash before that may leave any part of the content, and undo the latest renames.
pub trait Storage: Send {
    /// The whole file, or `None` if there is none.
    ///
    /// # Errors
    /// The file exists and cannot be read, or is longer than [`MAX_BYTES`].
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>>;

    /// Creates or overwrites a file (and the folders above it) and waits until its content is durable.
    ///
    /// # Errors
    /// Whatever the file system says; the file may be left with a part of the content.
    fn write_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Gives a file another name, in place of a file that had it.
    ///
    /// # Errors
    /// Whatever the file system says; nothing was renamed then.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Waits until the names in a folder are durable.
    ///
    /// # Errors
    /// Whatever the file system says.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// The real file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Storage for Disk {
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        if !file.metadata()?.is_file() {
            // Above all no device: the next flush would rename it away.
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a regular file",
            ));
        }
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("the file is longer than {MAX_BYTES} bytes"),
            ));
        }
        Ok(Some(bytes))
    }

    fn write_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let create = || {
            OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .open(path)
        };
        let mut file = match (create(), path.parent()) {
            (Err(e), Some(dir)) if e.kind() == io::ErrorKind::NotFound => {
                self.create_folders(dir)?;
                create()?
            }
            (opened, _) => opened?,
        };
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        // A bare file name has an empty parent, which means the working directory.
        let dir = if dir.as_os_str().is_empty() {
            Path::new(".")
        } else {
            dir
        };
        File::open(dir)?.sync_all()
    }
}

impl Disk {
    /// Creates the missing folders, each durable in the one above it.
    fn create_folders(self, dir: &Path) -> io::Result<()> {
        let Some(above) = dir.parent() else {
            return Ok(());
        };
        if dir.as_os_str().is_empty() || dir.is_dir() {
            return Ok(());
        }
        self.create_folders(above)?;
        match fs::create_dir(dir) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        self.sync_dir(above)
    }
}

/// Keeps nothing: for inputs that are told to remember nothing (`sincedb_path => "/dev/null"`).
#[derive(Debug, Clone, Copy, Default)]
pub struct Nowhere;

impl Storage for Nowhere {
    fn read(&self, _: &Path) -> io::Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn write_synced(&self, _: &Path, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_written_into_new_folders_read_and_renamed() {
        let home = tempfile::tempdir().unwrap();
        let (a, b) = (
            home.path().join("plugins/inputs/a"),
            home.path().join("plugins/inputs/b"),
        );
        assert_eq!(Disk.read(&a).unwrap(), None);
        Disk.write_synced(&a, b"longer than the next").unwrap();
        Disk.write_synced(&a, b"short").unwrap();
        Disk.rename(&a, &b).unwrap();
        Disk.sync_dir(b.parent().unwrap()).unwrap();
        assert_eq!(Disk.read(&a).unwrap(), None);
        assert_eq!(Disk.read(&b).unwrap().as_deref(), Some(&b"short"[..]));
    }

    #[test]
    fn a_folder_in_the_way_is_an_error() {
        let home = tempfile::tempdir().unwrap();
        assert!(Disk.read(home.path()).is_err());
        assert!(
            Disk.read(Path::new("/dev/null")).is_err(),
            "a device is no file to replace"
        );
        assert!(Disk.write_synced(home.path(), b"x").is_err());
        assert!(
            Disk.rename(&home.path().join("none"), &home.path().join("other"))
                .is_err()
        );
    }
}
