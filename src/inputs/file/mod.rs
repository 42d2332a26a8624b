//! `file`: reads files that grow (tail) or are complete (read), and remembers how far everything was delivered.

mod durations;
mod gzip;
mod handles;
mod identity;
mod positions;
mod source;
mod tail;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::event::{Kind, Path as FieldPath};
use crate::language::ast::Plugin;
use crate::plugin::options::{CodecRef, NonEmpty, Options};
use crate::plugin::{
    Attr, Attrs, Build, Checkpoints, Codec, FieldRef, Input, Make, PluginMetrics, PluginSpec,
    StartCx, Started,
};
use crate::{choice, options};

use durations::{Days, Seconds};
use positions::{Completion, Pace, Positions, SharedPositions};
use source::FileSource;
use watch::{Pattern, Watch, name_globs};

choice! {
    /// How a file is taken.
    pub enum Mode {
        /// It grows for ever.
        Tail = "tail",
        /// It is complete; its end is the end.
        Read = "read",
    }
}

choice! {
    /// Where a file is read from that is not known yet.
    pub enum Start {
        /// Its first byte.
        Beginning = "beginning",
        /// Its end.
        End = "end",
    }
}

choice! {
    /// What files are sorted by.
    pub enum SortBy {
        /// When they were last written.
        LastModified = "last_modified",
        /// Their paths.
        Path = "path",
    }
}

choice! {
    /// Which files come first.
    pub enum SortDirection {
        /// Oldest, or first by name.
        Asc = "asc",
        /// Newest, or last by name.
        Desc = "desc",
    }
}

choice! {
    /// What is done with a file of read mode once all of it is delivered.
    pub enum CompletedAction {
        /// It is removed.
        Delete = "delete",
        /// Its path is appended to `file_completed_log_path`.
        Log = "log",
        /// Both.
        LogAndDelete = "log_and_delete",
    }
}

options! {
    /// Options of the `file` input.
    pub struct Config {
        /// Absolute paths of the files, as globs: `*`, `?`, `[a-z]`, `{a,b}`, and `**` for any number of folders.
        /// Hidden names are matched only by a glob that begins with a dot.
        path: NonEmpty<String>;
        /// `tail`: files grow; what is appended is read for ever. `read`: files are complete; each is read once to its
        /// end, `.gz` and `.gzip` unpacked. In tail mode a gzip file that matches is read to its end once, unless it
        /// is the compressed copy of a file that was read already.
        mode: Mode = "tail";
        /// Where a file without a remembered position is read from if it is there when the input starts. Files that
        /// come later are read from their beginning. Not used in read mode, which always begins at the beginning.
        start_position: Start = "end";
        /// Codec of the lines.
        codec: CodecRef = "plain";
        /// What ends a line. A carriage return before a line feed stays in the message.
        delimiter: String = "\n";
        /// File names that are left out, as globs (`*.gz`).
        exclude: Vec<String>;
        /// How often a quiet file is looked at, and the watched folders for new names. Seconds, or text with a unit.
        /// A file that grows is looked at up to twenty times a second.
        stat_interval: Seconds = 1;
        /// Every so many `stat_interval`s all folders are listed in full, changed or not.
        discover_interval: u64 = 15;
        /// Files without a remembered position whose last change is longer ago are not read, until they change; then
        /// what is new is read. Seconds, or text with a unit.
        ignore_older: Option<Seconds>;
        /// A file that did not grow for so long is closed, and read on when it grows. A last line without its end, or
        /// an open multiline event, is delivered then. Seconds, or text with a unit.
        close_older: Seconds = "1 hour";
        /// Files that are open at once at most (and no more than the process may open); others wait closed.
        max_open_files: usize = 4095;
        /// Bytes of a band; see `file_chunk_count`.
        file_chunk_size: u64 = 32_768;
        /// A file gives `file_chunk_count` × `file_chunk_size` bytes before it is the next file's turn. In read mode
        /// the default reads one file after another; in tail mode all files that have something take turns anyway.
        file_chunk_count: u64 = 4_611_686_018_427_387_903;
        /// What decides the order of files that are found together.
        file_sort_by: SortBy = "last_modified";
        /// Direction of that order.
        file_sort_direction: SortDirection = "asc";
        /// Where positions are remembered: beside this path, as `PATH.logmill`. What the original left at the path
        /// itself is taken over for files that are not known yet, and never written. `/dev/null` remembers nothing.
        /// Without it: a file in `plugins/inputs/file` of the data path, named after the globs.
        sincedb_path: Option<String>;
        /// Positions are written this often. Seconds, or text with a unit.
        sincedb_write_interval: Seconds = 15;
        /// Positions of files that were not read for so long, and are not watched, are forgotten. Days, or text with
        /// a unit.
        sincedb_clean_after: Days = "2 weeks";
        /// What is done with a file of read mode, after every event of it is answered and its position is on disk.
        /// Mind the default: the file is deleted. A file that grew meanwhile, or had a damaged part, is kept.
        file_completed_action: CompletedAction = "delete";
        /// File to which the paths of completed files are appended.
        file_completed_log_path: Option<String>;
        /// In read mode: the input ends when all files are read, delivered and completed.
        exit_after_read: bool = false;
        /// A gzip file is decoded once to see that it is whole before any of it is read; a damaged one is left out.
        check_archive_validity: bool = false;
        /// Field for the position of the event's first byte in its file (`[log][offset]`). Counts decoded bytes.
        /// Not in the original.
        offset_field: Option<FieldRef>;
        /// A last line without its end is delivered when its file did not grow for so long; what is appended to it
        /// later becomes a record of its own. Without it such a line waits for its end, or until the file is closed,
        /// renamed or deleted. Seconds, or text with a unit. Not in the original.
        last_line_timeout: Option<Seconds>;
    }
}

/// The plugin.
pub const SPEC: PluginSpec = PluginSpec {
    name: "file",
    about: "Reads lines of files: of files that grow, for ever, or of complete files, once. Files are found by globs, \
            new ones within `stat_interval`. A file that is renamed is followed and read to its end before the one that \
            takes its place; one that is truncated is read anew from its beginning; a deleted one is read to its end. \
            An uncompressed copy of a file (logrotate's `copytruncate`) is another file: `exclude` it.\n\n\
            A position is saved only when everything before it is answered by the outputs, so that no event is lost by \
            a crash; some may be delivered twice. A file is recognised by its inode, its time of birth and its first \
            bytes, whatever its name. Each event gets `[log][file][path]` and `[host][name]` (`path` and `host` without \
            ECS compatibility), unless it has them, and always `[@metadata][path]` and `[@metadata][host]`.",
    options: Config::specs,
    make: Make::Input(make),
};

/// Fields that the events of a file get.
#[derive(Debug)]
struct Fields {
    file_path: FieldPath,
    host: FieldPath,
    metadata_path: FieldPath,
    metadata_host: FieldPath,
    offset: Option<FieldPath>,
}

/// What all files of one input share.
pub struct Shared {
    globs: Vec<String>,
    mode: Mode,
    start: Start,
    delimiter: Vec<u8>,
    stat_interval: Duration,
    discovery_interval: Duration,
    ignore_older: Option<Duration>,
    close_older: Duration,
    last_line_timeout: Option<Duration>,
    max_open_files: usize,
    band: usize,
    sort_by: SortBy,
    sort_direction: SortDirection,
    exit_after_read: bool,
    check_archives: bool,
    codec: Arc<dyn Codec>,
    positions: SharedPositions,
    metrics: Arc<PluginMetrics>,
    fields: Arc<Fields>,
    host: String,
}

impl Shared {
    /// The fields of the events of one file.
    fn attrs(&self, path: &Path) -> Arc<Attrs> {
        let text = path.to_string_lossy().into_owned().into_bytes();
        let attr = |path: &FieldPath, text: &[u8]| Attr {
            path: path.clone(),
            kind: Kind::Str,
            text: text.to_vec(),
        };
        let fields = &self.fields;
        let host = self.host.as_bytes();
        Arc::new(Attrs {
            fields: vec![
                attr(&fields.metadata_path, &text),
                attr(&fields.metadata_host, host),
                attr(&fields.host, host),
                attr(&fields.file_path, &text),
            ],
            offset_field: fields.offset.clone(),
        })
    }
}

/// What is said once per file and kind.
#[derive(Debug, Default)]
pub struct Notices {
    said: HashSet<(&'static str, PathBuf)>,
    last_unreadable: Option<PathBuf>,
    truncations: u64,
}

impl Notices {
    /// Most sentences that are remembered; then they are said again.
    const MAX: usize = 10_000;

    fn is_news(&mut self, kind: &'static str, path: &Path) -> bool {
        if self.said.len() >= Self::MAX {
            self.said.clear();
        }
        self.said.insert((kind, path.to_owned()))
    }

    fn unreadable(&mut self, path: &Path, error: &std::io::Error) {
        self.last_unreadable = Some(path.to_owned());
        if self.is_news("unreadable", path) {
            log::warn!(
                "file: cannot read {}: {error}; it is tried again. Give the user that runs logmill the right to read it",
                path.display()
            );
        }
    }

    fn truncated(&mut self, path: &Path) {
        self.truncations += 1;
        log::info!(
            "file: {} was truncated or rewritten and is read from its beginning ({} such cases so far)",
            path.display(),
            self.truncations
        );
    }

    fn damaged(&mut self, path: &Path, what: &str) {
        if self.is_news("damaged", path) {
            log::warn!(
                "file: {} {what}; what could be unpacked before that was read",
                path.display()
            );
        }
    }

    fn skipped(&mut self, path: &Path, error: &std::io::Error) {
        if self.is_news("skipped", path) {
            log::warn!(
                "file: {} is no valid archive and is not read: {error}",
                path.display()
            );
        }
    }

    fn too_many(&mut self, most: usize) {
        if self.is_news("too many", Path::new("/")) {
            log::warn!(
                "file: the globs match more than {most} files; the rest is left out, so narrow the globs"
            );
        }
    }

    fn last_unreadable(&self) -> Option<&Path> {
        self.last_unreadable.as_deref()
    }
}

/// The configured input.
struct FileInput {
    config: Config,
    fields: Arc<Fields>,
}

fn make(plugin: &Plugin, build: &mut Build<'_>) -> Option<Box<dyn Input>> {
    let config = Config::read(plugin, build)?;
    let span = |name: &str| {
        let attr = plugin.attrs.iter().find(|attr| attr.name.text == name);
        attr.map_or(plugin.name.span, |attr| attr.value.span)
    };
    let before = build.diagnostics.iter().filter(|it| it.is_error()).count();
    for glob in &config.path.0 {
        if let Err(error) = Pattern::parse(glob) {
            build.error(
                "option-value",
                format!("`path` of `file` {error}"),
                span("path"),
            );
        }
    }
    if let Err(error) = name_globs(&config.exclude) {
        build.error(
            "option-value",
            format!("`exclude` of `file` {error}"),
            span("exclude"),
        );
    }
    if config
        .sincedb_path
        .as_deref()
        .is_some_and(|path| Path::new(path).is_dir())
    {
        build.error(
            "option-value",
            "`sincedb_path` of `file` must name a file, not a folder",
            span("sincedb_path"),
        );
    }
    if config.delimiter.is_empty() {
        build.error(
            "option-value",
            "`delimiter` of `file` must not be empty",
            span("delimiter"),
        );
    }
    let logs = config.file_completed_action != CompletedAction::Delete;
    if config.mode == Mode::Read && logs && config.file_completed_log_path.is_none() {
        let message =
            "`file_completed_action` of `file` needs the option `file_completed_log_path`";
        build.error("missing-option", message, span("file_completed_action"));
    }
    let given = |name: &str| plugin.attrs.iter().any(|attr| attr.name.text == name);
    let read_only = [
        "file_completed_action",
        "file_completed_log_path",
        "exit_after_read",
    ];
    for name in read_only
        .into_iter()
        .filter(|name| config.mode == Mode::Tail && given(name))
    {
        build.warn(
            "option-no-effect",
            format!("`{name}` of `file` has an effect in read mode only"),
            span(name),
        );
    }
    if config.mode == Mode::Read && given("start_position") {
        let message =
            "`start_position` of `file` has no effect in read mode, which begins at the beginning";
        build.warn("option-no-effect", message, span("start_position"));
    }
    if build.diagnostics.iter().filter(|it| it.is_error()).count() > before {
        return None;
    }
    let (file_path, host) = if build.ecs.enabled() {
        ("[log][file][path]", "[host][name]")
    } else {
        ("path", "host")
    };
    let fields = Fields {
        file_path: build.path(file_path),
        host: build.path(host),
        metadata_path: build.path("[@metadata][path]"),
        metadata_host: build.path("[@metadata][host]"),
        offset: config.offset_field.as_ref().map(|field| field.path.clone()),
    };
    Some(Box::new(FileInput {
        config,
        fields: Arc::new(fields),
    }))
}

impl FileInput {
    fn completion(&self) -> Completion {
        let action = self.config.file_completed_action;
        let logs = action != CompletedAction::Delete;
        Completion {
            delete: action != CompletedAction::Log,
            log: self
                .config
                .file_completed_log_path
                .as_ref()
                .filter(|_| logs)
                .map(PathBuf::from),
        }
    }

    fn open(
        &self,
        data_dir: &Path,
        metrics: Arc<PluginMetrics>,
    ) -> Result<(FileSource, SharedPositions), String> {
        let config = &self.config;
        let globs = config.path.0.clone();
        let pace = Pace {
            write_interval: config.sincedb_write_interval.0,
            clean_after: config.sincedb_clean_after.0,
        };
        let sincedb = config.sincedb_path.as_deref().map(Path::new);
        let positions = Arc::new(Positions::open(
            sincedb,
            data_dir,
            &globs,
            self.completion(),
            pace,
        )?);
        let mut patterns = Vec::new();
        for glob in &globs {
            patterns.extend(Pattern::parse(glob)?);
        }
        let watch = Watch::new(patterns, name_globs(&config.exclude)?);
        let stat_interval = config.stat_interval.0.max(Duration::from_millis(5));
        let times = u32::try_from(config.discover_interval.max(1)).unwrap_or(u32::MAX);
        let band = config
            .file_chunk_size
            .max(1)
            .saturating_mul(config.file_chunk_count.max(1));
        let shared = Shared {
            globs,
            mode: config.mode,
            start: config.start_position,
            delimiter: config.delimiter.clone().into_bytes(),
            stat_interval,
            discovery_interval: stat_interval
                .saturating_mul(times)
                .min(Duration::from_hours(24)),
            ignore_older: config.ignore_older.map(|limit| limit.0),
            close_older: config.close_older.0,
            last_line_timeout: config.last_line_timeout.map(|limit| limit.0),
            max_open_files: config.max_open_files.max(1),
            band: usize::try_from(band).unwrap_or(usize::MAX),
            sort_by: config.file_sort_by,
            sort_direction: config.file_sort_direction,
            exit_after_read: config.exit_after_read && config.mode == Mode::Read,
            check_archives: config.check_archive_validity,
            codec: Arc::clone(&config.codec.codec),
            positions: Arc::clone(&positions),
            metrics,
            fields: Arc::clone(&self.fields),
            host: crate::inputs::hostname(),
        };
        Ok((FileSource::new(Arc::new(shared), watch), positions))
    }
}

impl Input for FileInput {
    fn start(&self, cx: StartCx) -> Result<Started, String> {
        if self.config.mode == Mode::Read && self.completion().delete {
            log::info!(
                "file: mode read deletes each file of {} once all of it is delivered (file_completed_action)",
                self.config.path.0.join(", ")
            );
        }
        let (source, positions) = self.open(&cx.data_dir, cx.metrics)?;
        let checkpoints: Arc<dyn Checkpoints> = positions;
        Ok(Started {
            source: Box::new(source),
            checkpoints: Some(checkpoints),
            codec: Arc::clone(&self.config.codec.codec),
            ordered: false,
        })
    }

    fn replayable(&self) -> bool {
        true
    }
}
