//! A load made ready: its files on disk, and the config that ships them to a given place.

use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::configs::{self, Places, Reading};
use super::scenario::{self, Scenario, Shape, Written};
use super::user::UserConfig;
use super::{geo, project_ai};

/// Where the events of a load come from.
#[derive(Clone, Debug)]
pub enum Kind {
    /// One of ours.
    Built(Scenario),
    /// A config of ours that is not in the list: codec, filters (the text `DATABASE` stands for the database), index.
    Probe {
        /// Its name.
        name: String,
        /// Shape of its lines.
        shape: Shape,
        /// Each line is written so; the lines of the shape when none.
        line: Option<String>,
        /// The codec.
        codec: &'static str,
        /// The filters.
        filters: String,
        /// How many outputs get each event.
        outputs: u64,
    },
    /// The user's.
    User(UserConfig),
}

impl Kind {
    /// What it is called in results.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Kind::Built(scenario) => scenario.name().to_owned(),
            Kind::Probe { name, .. } => name.clone(),
            Kind::User(config) => config.name(),
        }
    }
}

/// The files of a load.
pub struct Load {
    kind: Kind,
    folder: PathBuf,
    prefix: String,
    database: PathBuf,
    /// The database is ours, so that it is known what it must answer.
    pub invented: bool,
    /// What is in the files.
    pub written: Written,
}

/// A config that ships a load.
#[derive(Clone, Debug)]
pub struct Job {
    /// What `-f` names.
    pub config: PathBuf,
    /// Its text.
    pub text: String,
    /// Variables that are set.
    pub environment: Vec<(&'static str, OsString)>,
    /// In this file the input notes that it is done.
    pub completed: PathBuf,
}

/// Which files a job reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The load's, once.
    Whole,
    /// Those that appear in the folder of rounds.
    Rounds,
    /// The file that grows.
    Growing,
    /// None: what is measured is the start.
    Nothing,
}

impl Load {
    /// Makes a load ready in a folder. Lines are not written when `events` is 0: somebody else will.
    ///
    /// # Errors
    /// A sentence, when a file cannot be written or the user's sample cannot be read.
    pub fn prepare(
        kind: Kind,
        folder: &Path,
        events: u64,
        hostile: u64,
        prefix: &str,
    ) -> Result<Load, String> {
        let (database, invented) = database(folder)?;
        let mut load = Load {
            kind,
            folder: folder.to_path_buf(),
            prefix: prefix.to_owned(),
            database,
            invented,
            written: Written::default(),
        };
        for name in ["empty", "rounds", "logs"] {
            let path = folder.join(name);
            std::fs::create_dir(&path)
                .map_err(|error| format!("cannot make {}: {error}", path.display()))?;
        }
        let path = load.lines();
        let written = match &load.kind {
            Kind::Built(Scenario::ProjectAi) => project_ai::write(&folder.join("logs"), events),
            _ if events == 0 => Ok(Written::default()),
            Kind::Built(scenario) => {
                let shape = scenario.shape().unwrap_or(Shape::Json);
                scenario::write(*scenario, shape, &path, events, hostile, prefix)
            }
            Kind::Probe {
                line: Some(line), ..
            } => scenario::repeat(line.as_bytes(), &path, events),
            Kind::Probe { shape, .. } => scenario::write(
                Scenario::Passthrough,
                *shape,
                &path,
                events,
                hostile,
                prefix,
            ),
            Kind::User(config) => scenario::repeat(&config.sample()?, &path, events),
        };
        load.written = written.map_err(|error| {
            format!("cannot write {}: {error}; set TMPDIR to a folder with more room, or ask for fewer `--events`", path.display())
        })?;
        let read = match &load.kind {
            Kind::Built(Scenario::ProjectAi) => warm_folder(&folder.join("logs")),
            _ if events == 0 => Ok(()),
            _ => warm(&path),
        };
        read.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        Ok(load)
    }

    /// The file with the lines.
    #[must_use]
    pub fn lines(&self) -> PathBuf {
        self.folder.join("lines.log")
    }

    /// The file that grows.
    #[must_use]
    pub fn growing(&self) -> PathBuf {
        self.folder.join("logs/growing.log")
    }

    /// The folder of rounds.
    #[must_use]
    pub fn rounds(&self) -> PathBuf {
        self.folder.join("rounds")
    }

    /// The scenario, if it is one.
    #[must_use]
    pub fn scenario(&self) -> Option<Scenario> {
        match self.kind {
            Kind::Built(scenario) => Some(scenario),
            _ => None,
        }
    }

    /// Documents that the sink must have at the end, if that can be known.
    #[must_use]
    pub fn documents(&self) -> Option<u64> {
        match &self.kind {
            Kind::User(_) => None,
            Kind::Probe { outputs, .. } => Some(self.written.events * outputs),
            Kind::Built(_) => Some(self.written.events),
        }
    }

    /// Of these documents so many may come a moment later: an event of several lines ends when the next begins, and
    /// the last one when nothing came for a second.
    #[must_use]
    pub fn late(&self) -> u64 {
        u64::from(self.scenario() == Some(Scenario::ProjectAi))
    }

    /// Writes the config of a run, which ships to where `connection` says.
    ///
    /// # Errors
    /// A sentence, when it cannot be written.
    pub fn job(&self, run: &str, input: Input, connection: &Connection) -> Result<Job, String> {
        let folder = self.folder.join(format!("run-{run}"));
        std::fs::create_dir_all(&folder)
            .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        let completed = folder.join("completed.log");
        let (glob, reading) = match input {
            Input::Whole => (self.lines(), Reading::Whole(&completed)),
            Input::Rounds => (self.rounds().join("*.log"), Reading::Rounds),
            Input::Growing => (self.growing(), Reading::Growing),
            Input::Nothing => (self.folder.join("empty/*.log"), Reading::Growing),
        };
        let glob = glob.display().to_string();
        let places = Places {
            input: &glob,
            reading,
            database: &self.database,
            connection: &connection.options,
            prefix: &self.prefix,
        };
        let mut environment = Vec::new();
        let (config, text) = match &self.kind {
            Kind::Built(Scenario::ProjectAi) => {
                let logs = if input == Input::Nothing {
                    "empty"
                } else {
                    "logs"
                };
                environment.extend(self.project_ai(logs, connection)?);
                let config = project_ai::pipelines(None)?;
                let text = format!("the files of {}", config.display());
                (config, text)
            }
            Kind::User(user) => user.write(&folder, places)?,
            Kind::Built(scenario) => {
                let text = configs::config(*scenario, places).unwrap_or_default();
                (written(&folder, &text)?, text)
            }
            Kind::Probe {
                codec,
                filters,
                outputs,
                ..
            } => {
                let filters = filters.replace("DATABASE", &self.database.display().to_string());
                let text = configs::whole(codec, &filters, "raw", places, *outputs);
                (written(&folder, &text)?, text)
            }
        };
        Ok(Job {
            config,
            text,
            environment,
            completed,
        })
    }

    fn project_ai(
        &self,
        logs: &str,
        connection: &Connection,
    ) -> Result<Vec<(&'static str, OsString)>, String> {
        let asn = self.folder.join("asn.mmdb");
        if !asn.exists() {
            geo::write_asn(&asn)?;
        }
        Ok(vec![
            ("PROJECT_AI_LOGS", self.folder.join(logs).into()),
            ("PROJECT_AI_TIMEZONE", "UTC".into()),
            ("GEOIP_CITY_DB", self.database.clone().into()),
            ("GEOIP_ASN_DB", asn.into()),
            ("ELASTICSEARCH_URL", connection.url.clone().into()),
            ("ELASTICSEARCH_API_KEY", OsString::new()),
        ])
    }
}

/// Where a job ships to.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The URL.
    pub url: String,
    /// The same as options of the elasticsearch output, a line each.
    pub options: String,
}

fn written(folder: &Path, text: &str) -> Result<PathBuf, String> {
    let config = folder.join("load.conf");
    std::fs::write(&config, text)
        .map_err(|error| format!("cannot write {}: {error}", config.display()))?;
    Ok(config)
}

/// The database of `GEOIP_CITY_DB`, or an invented one (and true).
fn database(folder: &Path) -> Result<(PathBuf, bool), String> {
    if let Some(given) = std::env::var_os("GEOIP_CITY_DB").filter(|given| !given.is_empty()) {
        let given = PathBuf::from(given);
        let absolute = std::fs::canonicalize(&given);
        return Ok((
            absolute
                .map_err(|error| format!("GEOIP_CITY_DB names {}: {error}", given.display()))?,
            false,
        ));
    }
    let path = folder.join("city.mmdb");
    geo::write_city(&path)?;
    Ok((path, true))
}

/// Brings a file into the page cache.
fn warm(path: &Path) -> std::io::Result<()> {
    let mut file = std::fs::File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    while file.read(&mut buffer)? > 0 {}
    Ok(())
}

fn warm_folder(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        warm(&entry?.path())?;
    }
    Ok(())
}
