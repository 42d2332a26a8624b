//! A disk in memory that fails on demand, loses what was not synced, and tears what it was writing.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use logmill::delivery::storage::Storage;

use crate::rng::Rng;

/// A disk whose contents are durable when synced, whose names are durable in order, and that fails on demand.
#[derive(Clone)]
pub struct FaultyDisk(Arc<Mutex<DiskState>>);

pub struct DiskState {
    rng: Rng,
    /// Syncing does nothing.
    lies: bool,
    files: Vec<File>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Changes of names since the last sync of their folder.
    unsynced: Vec<NameChange>,
    /// The operation, counted from here, that fails.
    pub fail_at: Option<usize>,
    /// The operation, counted from here, that is interrupted by a power cut; all later ones fail.
    pub power_fails_at: Option<usize>,
}

struct File {
    content: Vec<u8>,
    durable: Vec<u8>,
}

#[derive(Clone)]
enum NameChange {
    Create(PathBuf, usize),
    Rename(PathBuf, PathBuf),
}

impl NameChange {
    fn apply(self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Create(name, file) => {
                names.insert(name, file);
            }
            Self::Rename(from, to) => {
                if let Some(file) = names.remove(&from) {
                    names.insert(to, file);
                }
            }
        }
    }
}

impl FaultyDisk {
    pub fn new(seed: u64, lies: bool) -> Self {
        Self(Arc::new(Mutex::new(DiskState {
            rng: Rng(seed),
            lies,
            files: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            unsynced: Vec::new(),
            fail_at: None,
            power_fails_at: None,
        })))
    }

    pub fn state(&self) -> MutexGuard<'_, DiskState> {
        self.0
            .lock()
            .expect("no test panics while it holds the disk")
    }

    /// The power fails and comes back: some of what was not synced is there, some is not, some is torn.
    pub fn crash(&self) {
        let disk = &mut *self.state();
        disk.fail_at = None;
        disk.power_fails_at = None;
        let survive = disk.rng.below(disk.unsynced.len() + 1);
        for change in disk.unsynced.drain(..).take(survive) {
            change.apply(&mut disk.durable_names);
        }
        disk.names.clone_from(&disk.durable_names);
        for file in disk.files.iter_mut().filter(|it| it.content != it.durable) {
            let part = disk.rng.below(file.content.len() + 1);
            match disk.rng.below(4) {
                0 => file.content.clone_from(&file.durable),
                1 => file.content.truncate(part),
                2 => file.content[part..].fill(0),
                _ => {}
            }
            file.durable.clone_from(&file.content);
        }
    }
}

impl DiskState {
    /// Counts an operation; says whether it goes through.
    fn operate(&mut self) -> io::Result<()> {
        if let Some(left) = &mut self.power_fails_at {
            if *left == 0 {
                return Err(io::Error::other("the power is gone"));
            }
            *left -= 1;
        }
        match &mut self.fail_at {
            Some(0) => {
                self.fail_at = None;
                Err(io::Error::new(io::ErrorKind::StorageFull, "no space left"))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn change(&mut self, change: NameChange) {
        change.clone().apply(&mut self.names);
        self.unsynced.push(change);
    }
}

impl Storage for FaultyDisk {
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let disk = self.state();
        Ok(disk
            .names
            .get(path)
            .map(|file| disk.files[*file].content.clone()))
    }

    fn write_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let disk = &mut *self.state();
        let file = disk.names.get(path).copied().unwrap_or_else(|| {
            disk.files.push(File {
                content: Vec::new(),
                durable: Vec::new(),
            });
            disk.files.len() - 1
        });
        if !disk.names.contains_key(path) {
            disk.change(NameChange::Create(path.to_owned(), file));
        }
        let outcome = disk.operate();
        let written = if outcome.is_ok() {
            bytes.len()
        } else {
            disk.rng.below(bytes.len() + 1)
        };
        disk.files[file].content = bytes[..written].to_vec();
        outcome?;
        if !disk.lies {
            disk.files[file].durable = bytes.to_vec();
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let disk = &mut *self.state();
        disk.operate()?;
        if !disk.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        disk.change(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        let disk = &mut *self.state();
        disk.operate()?;
        if !disk.lies {
            for change in disk.unsynced.drain(..) {
                change.apply(&mut disk.durable_names);
            }
        }
        Ok(())
    }
}
