//! The window of open files: when it is full, the one that was read least recently is closed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::gzip::Unzip;

/// No more open files for the process, or the system.
const TOO_MANY_OPEN: [i32; 2] = [libc::EMFILE, libc::ENFILE];
/// Open files left to the rest of the process (sockets, logs, checkpoints).
const RESERVED: usize = 256;

/// An open file.
#[derive(Debug)]
pub enum Handle {
    /// Read as it is; `at` is where its cursor stands.
    Plain {
        /// The file.
        file: File,
        /// Where its cursor stands.
        at: u64,
    },
    /// Unpacked while it is read.
    Gzip(Box<Unzip>),
}

impl Handle {
    /// The file on disk.
    #[must_use]
    pub fn file(&self) -> &File {
        match self {
            Handle::Plain { file, .. } => file,
            Handle::Gzip(unzip) => unzip.file(),
        }
    }

    /// Appends up to `want` bytes from position `pos` on; 0 at the end.
    ///
    /// # Errors
    /// What the system says; nothing was appended then.
    pub fn read(&mut self, buf: &mut Vec<u8>, pos: u64, want: usize) -> io::Result<usize> {
        match self {
            Handle::Gzip(unzip) => unzip.read(buf, want),
            Handle::Plain { file, at } => {
                if *at != pos {
                    file.seek(SeekFrom::Start(pos))?;
                    *at = pos;
                }
                let from = buf.len();
                buf.reserve(want);
                let result = file.take(want as u64).read_to_end(buf);
                let read = buf.len() - from;
                *at += read as u64;
                match result {
                    Err(error) if read == 0 => Err(error),
                    _ => Ok(read),
                }
            }
        }
    }
}

#[derive(Debug)]
struct Slot {
    handle: Handle,
    used: u64,
}

/// Open files by the number of their tail.
#[derive(Debug)]
pub struct Handles {
    slots: Vec<Option<Slot>>,
    by_use: BTreeMap<u64, u32>,
    window: usize,
    clock: u64,
}

impl Handles {
    /// A window of at most `wanted` files, and of what the process may open.
    #[must_use]
    pub fn new(wanted: usize) -> Self {
        let window = match open_files_limit() {
            Some(limit) => wanted.min(limit.saturating_sub(RESERVED).max(limit / 2)),
            None => wanted,
        };
        if window < wanted {
            log::info!(
                "file: at most {window} files are kept open at once, since the process may open no more (ulimit -n); \
                 the others are opened when they grow"
            );
        }
        Handles {
            slots: Vec::new(),
            by_use: BTreeMap::new(),
            window: window.max(1),
            clock: 0,
        }
    }

    /// How many files are open.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.by_use.len()
    }

    /// The open file of a tail.
    pub fn get(&mut self, key: u32) -> Option<&mut Handle> {
        self.slots
            .get_mut(key as usize)?
            .as_mut()
            .map(|slot| &mut slot.handle)
    }

    /// The open file of a tail that is about to be read: the last one that is closed to make room.
    pub fn reading(&mut self, key: u32) -> Option<&mut Handle> {
        let slot = self.slots.get_mut(key as usize)?.as_mut()?;
        self.by_use.remove(&slot.used);
        self.clock += 1;
        slot.used = self.clock;
        self.by_use.insert(slot.used, key);
        Some(&mut slot.handle)
    }

    /// Opens a file, closing another where the window is full.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(&mut self, path: &Path) -> io::Result<File> {
        while self.by_use.len() >= self.window {
            self.close_least_used();
        }
        match File::open(path) {
            Err(error)
                if error
                    .raw_os_error()
                    .is_some_and(|code| TOO_MANY_OPEN.contains(&code)) =>
            {
                self.shrink(&error);
                File::open(path)
            }
            result => result,
        }
    }

    /// Keeps a file open for a tail.
    pub fn keep(&mut self, key: u32, handle: Handle) {
        self.close(key);
        let at = key as usize;
        if self.slots.len() <= at {
            self.slots.resize_with(at + 1, || None);
        }
        self.clock += 1;
        self.slots[at] = Some(Slot {
            handle,
            used: self.clock,
        });
        self.by_use.insert(self.clock, key);
    }

    /// Closes the file of a tail.
    pub fn close(&mut self, key: u32) {
        if let Some(slot) = self.slots.get_mut(key as usize).and_then(Option::take) {
            self.by_use.remove(&slot.used);
        }
    }

    fn close_least_used(&mut self) {
        if let Some((_, key)) = self.by_use.pop_first()
            && let Some(slot) = self.slots.get_mut(key as usize)
        {
            *slot = None;
        }
    }

    fn shrink(&mut self, error: &io::Error) {
        let open = self.by_use.len();
        if open > 1 {
            self.window = open - 1;
            log::warn!(
                "file: cannot open more than {open} files: {error}; goes on with {} at once. Raise the limit of open \
                 files (ulimit -n, or LimitNOFILE= of the service) for more",
                self.window
            );
        }
        self.close_least_used();
    }
}

/// The soft limit of open files, where the system tells it as text.
fn open_files_limit() -> Option<usize> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_read_file_makes_room() {
        let home = tempfile::tempdir().unwrap();
        let mut handles = Handles::new(2);
        for key in 0..3u32 {
            let path = home.path().join(key.to_string());
            fs::write(&path, "abc").unwrap();
            let file = handles.open(&path).unwrap();
            handles.keep(key, Handle::Plain { file, at: 0 });
            if key == 1 {
                let mut buf = Vec::new();
                assert_eq!(handles.reading(0).unwrap().read(&mut buf, 1, 9).unwrap(), 2);
                assert_eq!(buf, b"bc");
            }
        }
        assert_eq!(handles.len(), 2);
        assert!(handles.get(1).is_none(), "0 was read after 1 was opened");
        handles.close(0);
        handles.close(0);
        assert_eq!(handles.len(), 1);
    }

    #[test]
    fn the_limit_of_the_process_is_known() {
        assert!(open_files_limit().is_none_or(|limit| limit > 2));
    }
}
