//! Databases that are open: one copy for all filters that name a file, read again when the file is replaced.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, SystemTime};

use maxminddb::Reader;

use super::fields::DatabaseKind;
use super::record::Data;
use crate::lock;

/// How often files are looked at. A changed file is read when it has stayed the same from one look to the next, so that a
/// copy in progress is left alone.
const CHECK_EVERY: Duration = Duration::from_secs(2);

/// The largest file that is read, in bytes: all of it stays in memory.
const MAX_FILE: u64 = 2 << 30;

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("there is no file {}", path.display())]
    Missing { path: PathBuf },
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        path: PathBuf,
        error: std::io::Error,
    },
    #[error("{} is larger than 2 GiB", path.display())]
    TooLarge { path: PathBuf },
    #[error("{} is no MaxMind database: {reason}", path.display())]
    Invalid { path: PathBuf, reason: String },
}

/// A database in memory.
pub(super) struct Database {
    reader: Reader<Vec<u8>>,
    pub kind: DatabaseKind,
}

/// A record's place in its database; with the network's prefix length where that matters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Place {
    pub offset: usize,
    pub prefix: u8,
}

impl Database {
    pub(super) fn open(path: &Path) -> Result<Database, OpenError> {
        let path = path.to_owned();
        match std::fs::metadata(&path) {
            Ok(meta) if meta.len() > MAX_FILE => return Err(OpenError::TooLarge { path }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(OpenError::Missing { path });
            }
            _ => {}
        }
        match std::fs::read(&path) {
            Ok(bytes) => {
                Database::from_bytes(bytes).map_err(|reason| OpenError::Invalid { path, reason })
            }
            Err(error) => Err(OpenError::Unreadable { path, error }),
        }
    }

    pub(super) fn from_bytes(bytes: Vec<u8>) -> Result<Database, String> {
        // The reader walks the tree before it can be asked how large the tree ought to be, and panics where a file is cut.
        let len = bytes.len() as u64;
        let opened = std::panic::catch_unwind(|| Reader::from_source(bytes));
        let reader = opened
            .map_err(|_| "it is damaged".to_owned())?
            .map_err(|error| error.to_string())?;
        let metadata = &reader.metadata;
        let tree = u64::from(metadata.node_count) * u64::from(metadata.record_size) / 4;
        if tree + 16 > len {
            return Err("a part of it is missing".to_owned());
        }
        let kind = DatabaseKind::of_type(&metadata.database_type);
        Ok(Database { reader, kind })
    }

    /// Where the record of an address is. `None` without one, or for an IPv6 address in a database of IPv4 ones.
    pub(super) fn find(
        &self,
        address: IpAddr,
        with_network: bool,
    ) -> Option<(Place, Option<String>)> {
        let found = self.reader.lookup(address).ok()?;
        let offset = found.offset()?;
        if !with_network {
            return Some((Place { offset, prefix: 0 }, None));
        }
        let network = found.network().ok()?;
        Some((
            Place {
                offset,
                prefix: network.prefix(),
            },
            Some(network.to_string()),
        ))
    }

    /// The record of an address; `None` where the database is damaged.
    pub(super) fn record(&self, address: IpAddr) -> Option<Data> {
        self.reader.lookup(address).ok()?.decode().ok().flatten()
    }
}

/// What tells a file from the one that was there before.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Signature {
    modified: Option<SystemTime>,
    len: u64,
    inode: u64,
}

impl Signature {
    fn of(path: &Path) -> Option<Signature> {
        let meta = std::fs::metadata(path).ok()?;
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(&meta);
        #[cfg(not(unix))]
        let inode = 0;
        Some(Signature {
            modified: meta.modified().ok(),
            len: meta.len(),
            inode,
        })
    }
}

/// A file and the database that was read from it last.
pub(super) struct Watched {
    path: PathBuf,
    current: Mutex<Arc<Database>>,
    generation: AtomicU64,
    seen: Mutex<Seen>,
}

/// What the watching thread knows of the file.
struct Seen {
    /// Signature of the file that was read, or tried, last.
    read: Option<Signature>,
    /// Signature at the last look.
    last: Option<Signature>,
}

impl Watched {
    fn open(path: &Path) -> Result<Watched, OpenError> {
        let signature = Signature::of(path);
        let database = Database::open(path)?;
        Ok(Watched {
            path: path.to_owned(),
            current: Mutex::new(Arc::new(database)),
            generation: AtomicU64::new(1),
            seen: Mutex::new(Seen {
                read: signature.clone(),
                last: signature,
            }),
        })
    }

    /// Grows with each database that takes the place of another; one read, for each batch.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The database of the moment.
    pub(super) fn current(&self) -> Arc<Database> {
        Arc::clone(&lock(&self.current))
    }

    /// Looks at the file; reads it if it has changed since it was read and not since the last look.
    fn check(&self) {
        let signature = Signature::of(&self.path);
        let mut seen = lock(&self.seen);
        let stable = seen.last == signature;
        seen.last.clone_from(&signature);
        // A file that is gone is no reason to forget what it said.
        if !stable || signature.is_none() || seen.read == signature {
            return;
        }
        seen.read = signature;
        drop(seen);
        match Database::open(&self.path) {
            Ok(database) => {
                *lock(&self.current) = Arc::new(database);
                self.generation.fetch_add(1, Ordering::Release);
                log::info!(
                    "geoip: read {} again, since it was replaced",
                    self.path.display()
                );
            }
            Err(error) => log::error!("geoip: the database in memory stays in use: {error}"),
        }
    }
}

/// All files that are watched, and whether the thread that watches them runs.
#[derive(Default)]
struct Registry {
    files: Vec<Weak<Watched>>,
    running: bool,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry {
    files: Vec::new(),
    running: false,
});

/// Opens a database, or takes the one that another filter has opened by the same name.
pub(super) fn open(path: &Path) -> Result<Arc<Watched>, OpenError> {
    let mut registry = lock(&REGISTRY);
    let known = registry
        .files
        .iter()
        .filter_map(Weak::upgrade)
        .find(|watched| watched.path == path);
    if let Some(watched) = known {
        drop(registry);
        // A plan that is loaded anew expects the file as it is.
        watched.check();
        return Ok(watched);
    }
    let watched = Arc::new(Watched::open(path)?);
    registry.files.retain(|file| file.strong_count() > 0);
    registry.files.push(Arc::downgrade(&watched));
    if !registry.running {
        let started = std::thread::Builder::new()
            .name("geoip-reload".to_owned())
            .spawn(watch);
        registry.running = started.is_ok();
        if let Err(error) = started {
            log::error!("geoip: replaced databases will not be noticed: {error}");
        }
    }
    Ok(watched)
}

fn watch() {
    loop {
        std::thread::sleep(CHECK_EVERY);
        let mut registry = lock(&REGISTRY);
        registry.files.retain(|file| file.strong_count() > 0);
        if registry.files.is_empty() {
            registry.running = false;
            return;
        }
        let files: Vec<Arc<Watched>> = registry.files.iter().filter_map(Weak::upgrade).collect();
        drop(registry);
        for file in files {
            file.check();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::geoip::writer::MmdbWriter;
    use serde_json::json;

    fn bytes(city: &str) -> Vec<u8> {
        let mut writer = MmdbWriter::new();
        writer
            .insert("81.2.69.0/24", &json!({"city": city}))
            .unwrap();
        writer.write("city", "test", 0).unwrap()
    }

    fn city(watched: &Watched) -> Option<Data> {
        watched.current().record("81.2.69.1".parse().unwrap())
    }

    fn named(city: &str) -> Data {
        Data::Map(vec![("city".to_owned(), Data::Text(city.to_owned()))])
    }

    #[test]
    fn a_replaced_file_is_read_when_it_has_settled() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.mmdb");
        std::fs::write(&path, bytes("Old")).unwrap();
        let watched = open(&path).unwrap();
        assert!(Arc::ptr_eq(&watched, &open(&path).unwrap()));
        assert_eq!(
            (watched.generation(), city(&watched)),
            (1, Some(named("Old")))
        );
        let new = dir.path().join("b.mmdb");
        std::fs::write(&new, bytes("Newer")).unwrap();
        std::fs::rename(&new, &path).unwrap();
        watched.check();
        watched.check();
        assert_eq!(
            (watched.generation(), city(&watched)),
            (2, Some(named("Newer")))
        );
        watched.check();
        assert_eq!(watched.generation(), 2);
    }

    #[test]
    fn a_broken_or_missing_file_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.mmdb");
        std::fs::write(&path, bytes("Old")).unwrap();
        let watched = Watched::open(&path).unwrap();
        std::fs::write(&path, b"half a file").unwrap();
        (0..3).for_each(|_| watched.check());
        std::fs::remove_file(&path).unwrap();
        (0..3).for_each(|_| watched.check());
        assert_eq!(
            (watched.generation(), city(&watched)),
            (1, Some(named("Old")))
        );
        std::fs::write(&path, bytes("New")).unwrap();
        (0..3).for_each(|_| watched.check());
        assert_eq!(
            (watched.generation(), city(&watched)),
            (2, Some(named("New")))
        );
    }

    #[test]
    fn damaged_files_are_refused() {
        assert!(matches!(
            Database::open(Path::new("/no/such.mmdb")),
            Err(OpenError::Missing { .. })
        ));
        let whole = bytes("x");
        for cut in (0..whole.len()).step_by(7) {
            assert!(
                Database::from_bytes(whole[..cut].to_vec()).is_err() || cut > whole.len() - 20,
                "{cut}"
            );
            // The end tells where the tree ought to be, so a file without its beginning is the nastier one.
            if let Ok(database) = Database::from_bytes(whole[cut..].to_vec()) {
                let _ = database.record("81.2.69.1".parse().unwrap());
            }
        }
    }
}
