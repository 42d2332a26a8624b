//! `grok`: takes text apart by named patterns.

use std::any::Any;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, Weak};

use rustc_hash::FxHashMap;

use crate::event::{Batch, EventId, Kind, Path, Selection, SetError, Value};
use crate::grok::{
    Bundled, Candidates, CaptureKind, CompileOptions, Grok, GrokCache, GrokError, PatternSet,
    Prefilter,
};
use crate::language::ast::{Plugin, Span};
use crate::language::{EscapeStyle, FieldPath};
use crate::plugin::options::{NonEmptyPairs, Options, Pairs, Reader, Setting, SettingKind};
use crate::plugin::{Build, Cx, Filter, Make, PluginMetrics, PluginSpec, Verdict, per_event};
use crate::{lock, options};

options! {
    /// Options of the `grok` filter.
    pub struct Config {
        /// Fields and the patterns for each: `match => { "message" => ["%{IP:client} %{WORD:verb}", "%{GREEDYDATA:rest}"] }`.
        ///
        /// A pattern is a regular expression in Ruby's syntax in which `%{NAME}` stands for a named pattern and
        /// `%{NAME:field}` or `%{NAME:field:int}` (`float`) keeps what it matched; `%{NAME:field=regex}` defines a name on
        /// the spot. Fields may be nested: `%{IP:[source][ip]}`. Patterns are tried in order until one matches. A missing
        /// field is taken for empty text, the elements of an array are matched one by one, and other values in their text
        /// form.
        r#match: NonEmptyPairs<Vec<Setting>>;
        /// Files, or folders of files, with patterns of your own: lines of a name, blanks, and the pattern.
        patterns_dir: Vec<String>;
        /// Which files of a folder in `patterns_dir` are read.
        patterns_files_glob: String = "*";
        /// Patterns of your own by name; they go before those of files, and those before the ones that come with logmill.
        pattern_definitions: Pairs<String>;
        /// Stop at the first pattern that matches; otherwise all patterns of all fields are tried.
        break_on_match: bool = true;
        /// Keep only what has a field name; otherwise `%{WORD}` is kept as `WORD`, too.
        named_captures_only: bool = true;
        /// Keep captures that are empty (as empty text) or took no part (as null).
        keep_empty_captures: bool = false;
        /// Fields that are replaced when they exist. A capture is appended to any other field that exists: text becomes an
        /// array of the old and the new; numbers, booleans and objects stay as they are.
        overwrite: Vec<String>;
        /// The object under which all captures go.
        target: Option<String>;
        /// Tags of an event that no pattern matched.
        tag_on_failure: Vec<String> = ["_grokparsefailure"];
        /// Tag of an event with which a pattern could not be done within its limit of steps.
        tag_on_timeout: String = "_groktimeout";
    }
    no_effect {
        "timeout_millis" => "a search is bounded by steps, not by the clock: it ends within fractions of a second, with `tag_on_timeout` where it has no answer",
        "timeout_scope" => "each search is bounded by steps, not by the clock",
    }
}

/// Catalogue entry.
pub const SPEC: PluginSpec = PluginSpec {
    name: "grok",
    about: "Takes text apart by patterns that are put together from named ones, such as `%{COMBINEDAPACHELOG}`, and sets a field \
            for each named part. The patterns that come with logmill set fields of the Elastic Common Schema, or, with ECS \
            compatibility disabled, those from before it.",
    options: Config::specs,
    make: Make::Filter(make),
};

/// Largest pattern file that is read, in bytes.
const MAX_PATTERN_FILE: u64 = 16 << 20;

/// So much of a pattern and of a text goes to the log, in bytes.
const SHOWN: usize = 100;

/// Where one capture of a pattern goes.
#[derive(Debug)]
struct Capture {
    path: Path,
    kind: CaptureKind,
    overwrite: bool,
}

#[derive(Debug)]
struct Pattern {
    grok: Arc<Grok>,
    /// In the order of the grok's captures.
    captures: Vec<Capture>,
    /// As written, for the log.
    text: String,
    /// Number of its working memory in [`Scratch`].
    cache: usize,
}

/// One field of `match`.
#[derive(Debug)]
struct Entry {
    source: Path,
    patterns: Vec<Pattern>,
    /// Tells which of many patterns are worth trying.
    prefilter: Option<Prefilter>,
}

#[derive(Debug)]
struct GrokFilter {
    id: String,
    entries: Vec<Entry>,
    break_on_match: bool,
    keep_empty: bool,
    tags: Vec<String>,
    timeout_tag: String,
    /// Stands for fields that are missing.
    empty: Value,
}

/// Working memory of one worker.
struct Scratch {
    caches: Vec<GrokCache>,
    candidates: Candidates,
    found: Vec<(u16, u32, u32)>,
}

/// What became of one text, one field or one event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    Matched,
    Unmatched,
    /// A capture could not be set: the field counts as not matched, and no other pattern is tried on it.
    Broken,
    /// A pattern reached its limit: nothing else is tried on the event.
    Timeout,
}

fn make(plugin: &Plugin, build: &mut Build<'_>) -> Option<Box<dyn Filter>> {
    let config = Config::read(plugin, build)?;
    let reader = Reader::unchecked(plugin, build);
    let (dir_span, target_span, match_span) = (
        reader.span("patterns_dir"),
        reader.span("target"),
        reader.span("match"),
    );
    let target = match config
        .target
        .as_deref()
        .map(|text| FieldPath::parse(text, EscapeStyle::None))
    {
        None => Vec::new(),
        Some(Ok(target)) => target.segments,
        Some(Err(error)) => {
            build.error(
                "field-reference",
                format!("`target` of `grok`: {error}"),
                target_span,
            );
            return None;
        }
    };
    let own = own_patterns(&config, build, dir_span)?;
    let mut compiler = Compiler {
        set: None,
        own,
        config: &config,
        target,
        caches: 0,
    };
    let mut entries = Vec::new();
    let mut failed = false;
    for (field, settings) in &config.r#match.0 {
        let source = match FieldPath::parse(field, EscapeStyle::None) {
            Ok(source) => build.keys.path(&source),
            Err(error) => {
                build.error(
                    "field-reference",
                    format!("`match` of `grok`: {error}"),
                    match_span,
                );
                failed = true;
                continue;
            }
        };
        let patterns: Vec<Option<Pattern>> = settings
            .iter()
            .map(|setting| compiler.pattern(setting, build))
            .collect();
        match patterns.into_iter().collect::<Option<Vec<Pattern>>>() {
            Some(patterns) => {
                let groks: Vec<&Grok> = patterns.iter().map(|pattern| &*pattern.grok).collect();
                entries.push(Entry {
                    source,
                    prefilter: Prefilter::new(&groks),
                    patterns,
                });
            }
            None => failed = true,
        }
    }
    if failed {
        return None;
    }
    Some(Box::new(GrokFilter {
        id: build.id.clone(),
        entries,
        break_on_match: config.break_on_match,
        keep_empty: config.keep_empty_captures,
        tags: config.tag_on_failure,
        timeout_tag: config.tag_on_timeout,
        empty: build.keys.constant(b""),
    }))
}

/// The user's definitions: those of files first, since later ones win.
fn own_patterns(config: &Config, build: &mut Build<'_>, span: Span) -> Option<Vec<Definitions>> {
    let mut own = Vec::new();
    let mut failed = false;
    for entry in &config.patterns_dir {
        let path = build.find_file(entry);
        let files = match pattern_files(&path, &config.patterns_files_glob) {
            Ok(files) => files,
            Err(error) => {
                build.error(
                    "pattern-file",
                    format!("`patterns_dir` of `grok`: {error}"),
                    span,
                );
                failed = true;
                continue;
            }
        };
        if files.is_empty() {
            let message = format!(
                "`patterns_dir` of `grok`: no file matches {}",
                path.display()
            );
            build.warn("pattern-file", message, span);
        }
        for file in files {
            match read_pattern_file(&file) {
                Ok(text) => own.push(Definitions::File(text)),
                Err(error) => {
                    let message = format!(
                        "`patterns_dir` of `grok`: cannot read {}: {error}",
                        file.display()
                    );
                    build.error("pattern-file", message, span);
                    failed = true;
                }
            }
        }
    }
    own.extend(
        config
            .pattern_definitions
            .0
            .iter()
            .map(|(name, text)| Definitions::One(name.clone(), text.clone())),
    );
    (!failed).then_some(own)
}

/// Patterns of the user.
#[derive(Debug)]
enum Definitions {
    File(String),
    One(String, String),
}

/// The files that an entry of `patterns_dir` means: a folder's, by name; a file itself; or what a glob matches.
fn pattern_files(path: &FilePath, glob: &str) -> Result<Vec<PathBuf>, String> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let (folder, glob) = match (path.is_dir(), path.parent(), path.file_name()) {
        (false, Some(parent), Some(name)) => (
            if parent.as_os_str().is_empty() {
                FilePath::new(".")
            } else {
                parent
            },
            name.to_string_lossy().into_owned(),
        ),
        _ => (path, glob.to_owned()),
    };
    let matcher = globset::GlobBuilder::new(&glob)
        .literal_separator(true)
        .build()
        .map_err(|error| error.to_string())?;
    let matcher = matcher.compile_matcher();
    let listed = match std::fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(format!(
                "cannot read the folder {}: {error}",
                folder.display()
            ));
        }
    };
    let mut files = Vec::new();
    for entry in listed {
        let entry = entry
            .map_err(|error| format!("cannot read the folder {}: {error}", folder.display()))?;
        let name = entry.file_name();
        let hidden = name.to_string_lossy().starts_with('.') && !glob.starts_with('.');
        if !hidden && matcher.is_match(&name) && entry.path().is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

fn read_pattern_file(path: &FilePath) -> std::io::Result<String> {
    if std::fs::metadata(path)?.len() > MAX_PATTERN_FILE {
        return Err(std::io::Error::other("it is larger than 16 MiB"));
    }
    Ok(String::from_utf8_lossy(&std::fs::read(path)?).into_owned())
}

/// Compiles the patterns of one filter.
struct Compiler<'c> {
    /// Made when a pattern is not known already.
    set: Option<PatternSet>,
    own: Vec<Definitions>,
    config: &'c Config,
    target: Vec<String>,
    caches: usize,
}

impl Compiler<'_> {
    fn pattern(&mut self, setting: &Setting, build: &mut Build<'_>) -> Option<Pattern> {
        let text = match &setting.kind {
            SettingKind::Text(text) => text.as_str(),
            SettingKind::Number(number) => number.text(),
            _ => {
                build.error(
                    "option-value",
                    "`match` of `grok` must name a pattern or a list of patterns for each field",
                    setting.span,
                );
                return None;
            }
        };
        let grok = match self.compile(text, build.ecs.enabled()) {
            Ok(grok) => grok,
            Err(error) => {
                report(&error, setting.span, build);
                return None;
            }
        };
        let captures = grok
            .captures()
            .iter()
            .map(|capture| self.capture(capture, setting.span, build));
        let captures = captures.collect::<Option<Vec<Capture>>>()?;
        self.caches += 1;
        Some(Pattern {
            grok,
            captures,
            text: text.to_owned(),
            cache: self.caches - 1,
        })
    }

    fn capture(
        &self,
        capture: &crate::grok::Capture,
        span: Span,
        build: &mut Build<'_>,
    ) -> Option<Capture> {
        match FieldPath::parse(&capture.name, EscapeStyle::None) {
            Ok(mut reference) => {
                reference.segments.splice(0..0, self.target.iter().cloned());
                let overwrite = self.config.overwrite.contains(&capture.name);
                Some(Capture {
                    path: build.keys.path(&reference),
                    kind: capture.kind,
                    overwrite,
                })
            }
            Err(error) => {
                build.error(
                    "field-reference",
                    format!("a capture of the pattern: {error}"),
                    span,
                );
                None
            }
        }
    }

    /// The compiled pattern: one that a filter with the same definitions has compiled before, where there is one.
    fn compile(&mut self, text: &str, ecs: bool) -> Result<Arc<Grok>, GrokError> {
        let named_captures_only = self.config.named_captures_only;
        let key = format!("{ecs} {named_captures_only} {:?} {text}", self.own);
        if let Some(grok) = lock(&COMPILED).get(&key).and_then(Weak::upgrade) {
            return Ok(grok);
        }
        let own = &self.own;
        let set = self.set.get_or_insert_with(|| pattern_set(ecs, own));
        let grok = Arc::new(Grok::compile(
            text,
            set,
            CompileOptions {
                named_captures_only,
            },
        )?);
        let mut compiled = lock(&COMPILED);
        compiled.retain(|_, grok| grok.strong_count() > 0);
        compiled.insert(key, Arc::downgrade(&grok));
        Ok(grok)
    }
}

/// Compiled patterns that are in use, by all that they depend on.
static COMPILED: LazyLock<Mutex<FxHashMap<String, Weak<Grok>>>> = LazyLock::new(Mutex::default);

fn pattern_set(ecs: bool, own: &[Definitions]) -> PatternSet {
    static LEGACY: LazyLock<PatternSet> = LazyLock::new(|| PatternSet::bundled(Bundled::Legacy));
    static ECS: LazyLock<PatternSet> = LazyLock::new(|| PatternSet::bundled(Bundled::EcsV1));
    let mut set = if ecs { ECS.clone() } else { LEGACY.clone() };
    for definitions in own {
        match definitions {
            Definitions::File(text) => set.add_file_text(text),
            Definitions::One(name, text) => set.add(name, text),
        }
    }
    set
}

fn report(error: &GrokError, span: Span, build: &mut Build<'_>) {
    let GrokError::UnknownPattern { name, candidates } = error else {
        build.error("grok-pattern", format!("`match` of `grok`: {error}"), span);
        return;
    };
    let hint = match candidates.first() {
        Some(close) => format!("did you mean `%{{{close}}}`?"),
        None => {
            "define it in `pattern_definitions`, or in a file that `patterns_dir` names".to_owned()
        }
    };
    build.error_with_hint(
        "grok-pattern",
        format!("the pattern `%{{{name}}}` is not defined"),
        span,
        hint,
    );
}

impl GrokFilter {
    fn call(&self, batch: &mut Batch, id: EventId, cx: &mut Cx<'_>) -> Outcome {
        let Some(scratch) = cx.scratch.downcast_mut::<Scratch>() else {
            return Outcome::Unmatched;
        };
        let mut matched = false;
        for entry in &self.entries {
            match self.field(batch, id, entry, scratch, cx.buf) {
                Outcome::Timeout => return Outcome::Timeout,
                Outcome::Matched if self.break_on_match => return Outcome::Matched,
                outcome => matched |= outcome == Outcome::Matched,
            }
        }
        if matched {
            Outcome::Matched
        } else {
            Outcome::Unmatched
        }
    }

    fn field(
        &self,
        batch: &mut Batch,
        id: EventId,
        entry: &Entry,
        scratch: &mut Scratch,
        buf: &mut Vec<u8>,
    ) -> Outcome {
        let value = batch.get(id, &entry.source);
        if !value.is_array() {
            let text = self.text(batch, value, buf);
            return self.patterns(batch, id, entry, text, scratch, buf);
        }
        let list = batch.get_expanded(id, &entry.source);
        let mut all = Outcome::Unmatched;
        for at in 0..batch.node_len(list) {
            let element = batch.node_value(list, at);
            let text = self.text(batch, element, buf);
            match self.patterns(batch, id, entry, text, scratch, buf) {
                Outcome::Matched => all = Outcome::Matched,
                Outcome::Unmatched => {}
                outcome => return outcome,
            }
        }
        all
    }

    /// The text of a value, as a value.
    fn text(&self, batch: &mut Batch, value: Value, buf: &mut Vec<u8>) -> Value {
        if value.kind() == Kind::Str {
            return value;
        }
        buf.clear();
        if !batch.render(value, buf) {
            return self.empty;
        }
        batch.push(buf)
    }

    fn patterns(
        &self,
        batch: &mut Batch,
        id: EventId,
        entry: &Entry,
        text: Value,
        scratch: &mut Scratch,
        buf: &mut Vec<u8>,
    ) -> Outcome {
        let mut all = Outcome::Unmatched;
        let Scratch {
            caches,
            candidates,
            found,
        } = scratch;
        if let Some(prefilter) = &entry.prefilter {
            prefilter.candidates(batch.bytes(text), candidates);
        }
        let mut from = 0;
        loop {
            let at = match &entry.prefilter {
                Some(_) => candidates.next(from),
                None => Some(from),
            };
            let Some((at, pattern)) = at.and_then(|at| Some((at, entry.patterns.get(at)?))) else {
                return all;
            };
            from = at + 1;
            let Some(cache) = caches.get_mut(pattern.cache) else {
                continue;
            };
            match pattern.grok.matches(cache, batch.bytes(text), found) {
                Ok(false) => continue,
                Ok(true) => {}
                Err(_) => {
                    self.log_overrun(at, pattern, batch.bytes(text));
                    return Outcome::Timeout;
                }
            }
            if self
                .store_all(batch, id, pattern, text, found, buf)
                .is_err()
            {
                return Outcome::Broken;
            }
            all = Outcome::Matched;
            if self.break_on_match {
                return all;
            }
        }
    }

    /// Says which pattern took too many steps on which text.
    fn log_overrun(&self, at: usize, pattern: &Pattern, text: &[u8]) {
        let shown = |text: &[u8]| {
            let cut = text.get(..SHOWN).unwrap_or(text);
            let more = if text.len() > SHOWN { "…" } else { "" };
            format!("{}{more}", String::from_utf8_lossy(cut).escape_debug())
        };
        log::warn!(
            "grok {}: pattern {} of its list, `{}`, reached its limit of steps on a text of {} bytes, `{}`: make its \
             repetitions less ambiguous",
            self.id,
            at + 1,
            shown(pattern.text.as_bytes()),
            text.len(),
            shown(text)
        );
    }

    fn store_all(
        &self,
        batch: &mut Batch,
        id: EventId,
        pattern: &Pattern,
        text: Value,
        found: &[(u16, u32, u32)],
        buf: &mut Vec<u8>,
    ) -> Result<(), SetError> {
        if !self.keep_empty {
            for &(index, start, end) in found {
                let Some(capture) = pattern.captures.get(usize::from(index)) else {
                    continue;
                };
                if start < end || capture.kind != CaptureKind::String {
                    let value = convert(batch, text, start, end, capture.kind, buf);
                    store(batch, id, capture, value)?;
                }
            }
            return Ok(());
        }
        let mut found = found.iter().peekable();
        for (index, capture) in pattern.captures.iter().enumerate() {
            let value = match found.next_if(|taken| usize::from(taken.0) == index) {
                Some(&(_, start, end)) => convert(batch, text, start, end, capture.kind, buf),
                None => Value::NULL,
            };
            store(batch, id, capture, value)?;
        }
        Ok(())
    }
}

/// Sets a capture, or adds it to what the field holds.
fn store(batch: &mut Batch, id: EventId, capture: &Capture, value: Value) -> Result<(), SetError> {
    if capture.overwrite {
        return batch.set(id, &capture.path, value);
    }
    let before = batch.get(id, &capture.path);
    if before.is_nil() {
        return batch.set(id, &capture.path, value);
    }
    let list = if before.is_array() {
        let before = batch.get_expanded(id, &capture.path);
        let list = batch.new_list();
        for at in 0..batch.node_len(before) {
            let element = batch.node_value(before, at);
            batch.list_push(list, element);
        }
        list
    } else if before.is_str() {
        let list = batch.new_list();
        batch.list_push(list, before);
        list
    } else {
        return Ok(());
    };
    batch.list_push(list, value);
    batch.set(id, &capture.path, list)
}

/// The captured part of the text: as it is, without a copy, or as a number.
fn convert(
    batch: &mut Batch,
    text: Value,
    start: u32,
    end: u32,
    kind: CaptureKind,
    buf: &mut Vec<u8>,
) -> Value {
    let part = batch.substr(text, start, end);
    match kind {
        CaptureKind::String => part,
        CaptureKind::Int => {
            leading_integer(batch.bytes(part), buf);
            batch.push_number(Kind::Int, buf)
        }
        CaptureKind::Float => {
            if leading_float(batch.bytes(part), buf) {
                return batch.push_number(Kind::Float, buf);
            }
            let number = std::str::from_utf8(buf)
                .ok()
                .and_then(|text| text.parse().ok())
                .unwrap_or(0.0);
            batch.push_float(number)
        }
    }
}

/// Ruby's `to_i`: the integer at the beginning of the text, of any size, else 0. Underscores between digits do not count.
fn leading_integer(text: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let text = text.trim_ascii_start();
    let (negative, digits) = split_sign(text);
    if negative {
        out.push(b'-');
    }
    let sign = out.len();
    push_digits(digits, out);
    let zeros = out[sign..]
        .iter()
        .take_while(|digit| **digit == b'0')
        .count();
    out.drain(sign..sign + zeros);
    if out.len() == sign {
        out.clear();
        out.push(b'0');
    }
}

/// Ruby's `to_f`: the number at the beginning of the text goes to `out`, in a form that can be parsed. True when that is
/// also the form in which Java prints it.
fn leading_float(text: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    let text = text.trim_ascii_start();
    let (negative, mut rest) = split_sign(text);
    if negative {
        out.push(b'-');
    }
    let sign = out.len();
    rest = push_digits(rest, out);
    let whole = out.len() - sign;
    if whole == 0 {
        out.push(b'0');
    }
    let whole_end = out.len();
    out.push(b'.');
    let mut fraction = 0;
    if let Some(after) = rest.strip_prefix(b".")
        && after.first().is_some_and(u8::is_ascii_digit)
    {
        rest = push_digits(after, out);
        fraction = out.len() - whole_end - 1;
    }
    if fraction == 0 {
        out.push(b'0');
    }
    let digits = (&out[sign..whole_end], &out[whole_end + 1..]);
    let plain = is_java_form(digits.0, digits.1);
    if whole + fraction > 0 && push_exponent(rest, out) {
        false
    } else {
        plain
    }
}

/// True when digits before and behind a point are what Java prints for that number.
fn is_java_form(whole: &[u8], fraction: &[u8]) -> bool {
    whole.len() <= 7
        && whole.len() + fraction.len() <= 15
        && (whole == b"0" || whole.first() != Some(&b'0'))
        && (fraction == b"0"
            || (fraction.last() != Some(&b'0')
                && (whole != b"0" || fraction.first() != Some(&b'0'))))
}

fn push_exponent(text: &[u8], out: &mut Vec<u8>) -> bool {
    let Some((b'e' | b'E', rest)) = text.split_first() else {
        return false;
    };
    let (negative, digits) = split_sign(rest);
    if !digits.first().is_some_and(u8::is_ascii_digit) {
        return false;
    }
    out.extend_from_slice(if negative { b"e-" } else { b"e" });
    push_digits(digits, out);
    true
}

fn split_sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] | rest => (false, rest),
    }
}

/// Appends the digits that the text begins with, and returns what follows them.
fn push_digits<'t>(text: &'t [u8], out: &mut Vec<u8>) -> &'t [u8] {
    let mut rest = text;
    loop {
        rest = match rest {
            [digit @ b'0'..=b'9', b'_', after @ ..]
                if after.first().is_some_and(u8::is_ascii_digit) =>
            {
                out.push(*digit);
                after
            }
            [digit @ b'0'..=b'9', after @ ..] => {
                out.push(*digit);
                after
            }
            _ => return rest,
        };
    }
}

impl Filter for GrokFilter {
    fn scratch(&self) -> Box<dyn Any + Send> {
        let patterns = self.entries.iter().flat_map(|entry| &entry.patterns);
        Box::new(Scratch {
            caches: patterns.map(|pattern| pattern.grok.new_cache()).collect(),
            candidates: Candidates::default(),
            found: Vec::new(),
        })
    }

    fn run(&self, batch: &mut Batch, sel: &mut Selection, cx: &mut Cx<'_>) {
        let (mut matches, mut failures, mut timeouts) = (0, 0, 0);
        per_event(batch, sel, cx, |batch, id, cx| {
            match self.call(batch, id, cx) {
                Outcome::Matched => {
                    matches += 1;
                    Verdict::Matched
                }
                Outcome::Timeout => {
                    timeouts += 1;
                    batch.tag(id, self.timeout_tag.as_bytes());
                    Verdict::Unmatched
                }
                Outcome::Unmatched | Outcome::Broken => {
                    failures += 1;
                    for tag in &self.tags {
                        batch.tag(id, tag.as_bytes());
                    }
                    Verdict::Unmatched
                }
            }
        });
        PluginMetrics::add(&cx.metrics.matches, matches);
        PluginMetrics::add(&cx.metrics.failures, failures + timeouts);
    }
}

#[cfg(test)]
mod tests;
