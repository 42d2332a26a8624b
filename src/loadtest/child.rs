//! Processes of our own program that are watched, measured, and never left behind.

use std::ffi::OsStr;
use std::io::BufRead as _;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

/// A folder that is removed with all it holds when this is dropped.
#[derive(Debug)]
pub struct TempFolder(PathBuf);

impl TempFolder {
    /// Makes a folder in the system's folder for temporary files, readable for this user only.
    ///
    /// # Errors
    /// A sentence, when it cannot be made.
    pub fn new(name: &str) -> Result<Self, String> {
        let nanos = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.subsec_nanos());
        let path =
            std::env::temp_dir().join(format!("logmill-{name}-{}-{nanos}", std::process::id()));
        let made = std::fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| {
            format!(
                "cannot make the folder {}: {error}; set TMPDIR to a writable folder",
                path.display()
            )
        })?;
        Ok(TempFolder(path))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            log::warn!("cannot remove {}: {error}", self.0.display());
        }
    }
}

/// A command line of our own program, whose messages go to a file. It gets a process group of its own, so that
/// ctrl-c on the terminal reaches only the one that waits for it.
pub struct Launch {
    command: Command,
    name: &'static str,
    messages: PathBuf,
}

impl Launch {
    /// Prepares `logmill` with arguments; `messages` takes what it writes to stderr.
    ///
    /// # Errors
    /// A sentence, when our own program or the file is not to be had.
    pub fn new(
        name: &'static str,
        arguments: &[&OsStr],
        messages: PathBuf,
    ) -> Result<Self, String> {
        let program = std::env::current_exe()
            .map_err(|error| format!("the path of this program is unknown: {error}"))?;
        let stderr = std::fs::File::create(&messages)
            .map_err(|error| format!("cannot write {}: {error}", messages.display()))?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr);
        Ok(Launch {
            command,
            name,
            messages,
        })
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Removes a variable from its environment.
    #[must_use]
    pub fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Lets what it writes to stdout go nowhere.
    #[must_use]
    pub fn silent(mut self) -> Self {
        self.command.stdout(Stdio::null());
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// A sentence, when it does not start.
    pub fn start(mut self) -> Result<Child, String> {
        let process = self
            .command
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", self.name))?;
        Ok(Child {
            process,
            name: self.name,
            messages: self.messages,
        })
    }
}

/// A running process; it is killed when this is dropped.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    name: &'static str,
    messages: PathBuf,
}

/// What a process used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// CPU time, user and system, of all its threads; seconds, in steps of 10 ms.
    pub cpu_seconds: f64,
    /// Most resident memory, bytes.
    pub peak_rss: u64,
    /// Resident memory at the moment without the pages of mapped files, bytes.
    pub rss: u64,
}

impl Child {
    /// The address that a `logmill sink` prints when it listens.
    ///
    /// # Errors
    /// A sentence, when it ends without one.
    pub fn address(&mut self) -> Result<SocketAddr, String> {
        let mut line = String::new();
        let output = self
            .process
            .stdout
            .take()
            .ok_or("the output was read already")?;
        let read = std::io::BufReader::new(output).read_line(&mut line);
        let address = line
            .trim()
            .rsplit('/')
            .next()
            .and_then(|address| address.parse().ok());
        match (read, address) {
            (Ok(_), Some(address)) => Ok(address),
            _ => Err(format!(
                "{} does not listen{}",
                self.name,
                self.last_messages()
            )),
        }
    }

    /// CPU and memory so far.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let folder = PathBuf::from(format!("/proc/{}", self.process.id()));
        let stat = std::fs::read_to_string(folder.join("stat")).unwrap_or_default();
        let status = std::fs::read_to_string(folder.join("status")).unwrap_or_default();
        parse_usage(&stat, &status)
    }

    /// Its exit status once it has ended.
    ///
    /// # Errors
    /// A sentence, when the system does not tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, String> {
        self.process
            .try_wait()
            .map_err(|error| format!("cannot wait for {}: {error}", self.name))
    }

    /// An error when it has ended.
    ///
    /// # Errors
    /// A sentence with its last messages.
    pub fn check_alive(&mut self) -> Result<(), String> {
        match self.ended()? {
            None => Ok(()),
            Some(status) => Err(format!(
                "{} stopped ({status}){}",
                self.name,
                self.last_messages()
            )),
        }
    }

    /// The last lines that it wrote to stderr, each on a line of its own; empty when there are none.
    #[must_use]
    pub fn last_messages(&self) -> String {
        let bytes = std::fs::read(&self.messages).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        let last = lines
            .get(lines.len().saturating_sub(12)..)
            .unwrap_or_default();
        last.iter().flat_map(|line| ["\n    ", line]).collect()
    }

    /// Its messages of level warning and error.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let bytes = std::fs::read(&self.messages).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let serious = |line: &&str| {
            ["][WARN", "][ERROR"].iter().any(|mark| line.contains(mark))
                || line.starts_with("ERROR")
        };
        text.lines().filter(serious).map(str::to_owned).collect()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // One that has ended already cannot be killed, which is as well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Reads `/proc/PID/stat` and `/proc/PID/status`.
fn parse_usage(stat: &str, status: &str) -> Usage {
    // The name in parentheses may hold blanks.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |at: usize| {
        fields
            .get(at)
            .and_then(|text| text.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|text| {
            text.trim()
                .trim_end_matches("kB")
                .trim()
                .parse::<u64>()
                .ok()
        })
        .map_or(0, |kib| kib * 1024)
    };
    Usage {
        // Linux reports in units of 1/100 s on every architecture.
        cpu_seconds: (ticks(11) + ticks(12)) / 100.0,
        peak_rss: bytes("VmHWM:"),
        rss: bytes("VmRSS:").saturating_sub(bytes("RssFile:")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_read_also_of_a_process_with_an_odd_name() {
        let stat = "12 (a ) Z 1) S 1 2 3 4 5 6 7 8 9 10 250 125 0 0 20";
        let usage = parse_usage(
            stat,
            "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 9 kB\nRssFile:\t 1 kB\n",
        );
        assert_eq!(
            usage,
            Usage {
                cpu_seconds: 3.75,
                peak_rss: 2 << 20,
                rss: 8 << 10,
            }
        );
        assert_eq!(parse_usage("", ""), Usage::default());
    }

    #[test]
    fn a_folder_goes_with_what_it_holds() {
        let folder = TempFolder::new("test").unwrap();
        let path = folder.path().to_owned();
        std::fs::create_dir(path.join("inner")).unwrap();
        std::fs::write(path.join("inner/file"), "x").unwrap();
        drop(folder);
        assert!(!path.exists());
    }
}
