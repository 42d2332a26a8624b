//! `multiline`: lines that belong together become one event.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::charset::{Charset, strip_bom};
use super::framing::{LineFramer, line_delimiter, max_record_bytes, small, whole_characters};
use super::plain::{self, TextDecoder};
use crate::event::{Batch, EventId};
use crate::grok::{Bundled, CompileOptions, Grok, GrokCache, PatternSet};
use crate::language::ast::Plugin;
use crate::plugin::block::{REC_CUT, REC_JOINED, REC_MAX_BYTES, REC_MAX_LINES};
use crate::plugin::options::Reader;
use crate::plugin::{
    Block, Build, Codec, DecodeCx, Framer, Framing, FromSetting, Make, Options, PluginSpec, Rec,
    Setting,
};
use crate::{choice, options};

choice! {
    /// To which event a line belongs.
    pub enum What {
        /// To the one before it.
        Previous = "previous",
        /// To the one behind it.
        Next = "next",
    }
}

options! {
    /// Options of the `multiline` codec.
    pub struct Config {
        /// Grok expression (with the pattern names from before ECS) that is looked for in each line. A line in which
        /// it is found belongs to another one, see `what`.
        pattern: String;
        /// Whether such a line belongs to the event before it or to the one behind it.
        what: What;
        /// Turns the pattern round: lines in which it is *not* found belong to another one.
        negate: bool = false;
        /// Files with patterns, folders with such files, or file names with `*`.
        patterns_dir: Vec<PathBuf>;
        /// Character set of the input. The pattern is looked for before lines are converted.
        charset: Charset = "UTF-8";
        /// Tag of events that joined several lines. Empty: none.
        multiline_tag: String = "multiline";
        /// An event with more lines than this is ended and tagged `multiline_codec_max_lines_reached`.
        max_lines: usize = 500;
        /// An event with as many bytes as this is ended and tagged `multiline_codec_max_bytes_reached`.
        max_bytes: ByteSize = "10 MiB";
        /// After so many seconds without another line an event is complete. Without it, an event waits for the line
        /// that begins the next, or for the end of its stream.
        auto_flush_interval: Option<f64>;
        /// Whether `[event][original]` is set too when ECS compatibility is on. An option of logmill's own.
        keep_original: bool = true;
    }
}

/// `multiline` for the catalogue.
pub const SPEC: PluginSpec = PluginSpec {
    name: "multiline",
    about: "Joins lines into one event by a pattern: stack traces, statements, anything that begins in a way that can \
            be told. The lines of an event are joined by line feeds. Blank lines between two lines of one event are \
            kept; a blank line never makes or ends an event.",
    options: Config::specs,
    make: Make::Codec(make),
};

/// A number of bytes: `10485760`, `10 MiB`, `10 MB` (both count 1,024 × 1,024 to the unit).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub usize);

impl FromSetting for ByteSize {
    const KIND: &'static str = "bytes";

    fn from_setting(setting: &Setting, build: &mut Build<'_>) -> Result<Self, String> {
        let text = String::from_setting(setting, build)?;
        ByteSize::parse(&text).ok_or_else(|| {
            format!("must be a number of bytes such as `10485760` or `10 MiB`, not `{text}`")
        })
    }
}

impl ByteSize {
    fn parse(text: &str) -> Option<ByteSize> {
        let text = text.trim();
        let digits = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let power = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 1,
            "m" | "mb" | "mib" => 2,
            "g" | "gb" | "gib" => 3,
            _ => return None,
        };
        let number: f64 = number.parse().ok()?;
        let bytes = number * 1024_f64.powi(power);
        // Far below what a usize holds.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        (0.0..1e15)
            .contains(&bytes)
            .then_some(ByteSize(bytes as usize))
    }
}

fn make(plugin: &Plugin, build: &mut Build<'_>) -> Option<Arc<dyn Codec>> {
    let config = Config::read(plugin, build)?;
    let span = |build: &mut Build<'_>, name: &str| Reader::unchecked(plugin, build).span(name);
    let mut patterns = PatternSet::bundled(Bundled::Legacy);
    for place in &config.patterns_dir {
        if let Err(error) = add_patterns(&mut patterns, place) {
            let span = span(build, "patterns_dir");
            build.error(
                "option-value",
                format!("`patterns_dir` of `multiline`: {error}"),
                span,
            );
            return None;
        }
    }
    let pattern = match Grok::compile(&config.pattern, &patterns, CompileOptions::default()) {
        Ok(pattern) => pattern,
        Err(error) => {
            let span = span(build, "pattern");
            build.error(
                "pattern",
                format!("`pattern` of `multiline`: {error}"),
                span,
            );
            return None;
        }
    };
    let auto_flush = config.auto_flush_interval.filter(|seconds| *seconds > 0.0);
    Some(Arc::new(Multiline {
        text: TextDecoder::new(config.charset, config.keep_original, build),
        tag: config.multiline_tag.into_bytes(),
        rules: Arc::new(Rules {
            pattern,
            negate: config.negate,
            what: config.what,
            max_lines: config.max_lines,
            max_bytes: config.max_bytes.0,
            auto_flush: auto_flush.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        }),
        max: max_record_bytes(build.settings),
    }))
}

/// Adds the patterns of a file, of all files of a folder, or of all files that a name with `*` fits.
fn add_patterns(set: &mut PatternSet, place: &Path) -> Result<(), String> {
    let shown = place.display();
    let name = place
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let (folder, glob) = if place.is_dir() {
        (place, None)
    } else if name.contains(['*', '?', '[', '{']) {
        let glob = globset::Glob::new(&name).map_err(|error| format!("{shown}: {error}"))?;
        (
            place.parent().unwrap_or(Path::new(".")),
            Some(glob.compile_matcher()),
        )
    } else {
        let text = std::fs::read_to_string(place).map_err(|error| format!("{shown}: {error}"))?;
        set.add_file_text(&text);
        return Ok(());
    };
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{shown}: {error}"))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default();
            path.is_file() && glob.as_ref().is_none_or(|glob| glob.is_match(name))
        })
        .collect();
    files.sort_unstable();
    for file in files {
        let text = std::fs::read_to_string(&file)
            .map_err(|error| format!("{}: {error}", file.display()))?;
        set.add_file_text(&text);
    }
    Ok(())
}

struct Multiline {
    text: TextDecoder,
    tag: Vec<u8>,
    rules: Arc<Rules>,
    max: usize,
}

impl Codec for Multiline {
    fn framer(&self, framing: &Framing) -> Box<dyn Framer> {
        let delimiter = line_delimiter(framing, b"\n").unwrap_or(b"\n");
        Box::new(MultilineFramer {
            lines: LineFramer::new(delimiter, self.max),
            rules: Arc::clone(&self.rules),
            cache: self.rules.pattern.new_cache(),
            captures: Vec::new(),
            pending: None,
            held: Vec::new(),
            blanks: 0,
            fresh: Vec::new(),
        })
    }

    fn decode(&self, batch: &mut Batch, recs: &[Rec], cx: &mut DecodeCx<'_>) {
        self.text.decode_each(batch, recs, cx, |batch, id, rec| {
            let tags: [(u8, &[u8]); 3] = [
                (REC_JOINED, &self.tag),
                (REC_MAX_BYTES, b"multiline_codec_max_bytes_reached"),
                (REC_MAX_LINES, b"multiline_codec_max_lines_reached"),
            ];
            for (flag, tag) in tags {
                if rec.flags & flag != 0 && !tag.is_empty() {
                    batch.tag(id, tag);
                }
            }
        });
    }

    fn encode(&self, batch: &mut Batch, id: EventId, out: &mut Vec<u8>, _: &mut Vec<u8>) {
        plain::encode(None, batch, id, out);
    }
}

struct Rules {
    pattern: Grok,
    negate: bool,
    what: What,
    max_lines: usize,
    max_bytes: usize,
    auto_flush: Option<Duration>,
}

/// The event that is being put together.
struct Pending {
    pos: u64,
    lines: usize,
    /// Bytes of its lines, without what joins them.
    bytes: usize,
    flags: u8,
    /// Where it lies in the block that is being fed; none once it is in `held`.
    in_block: Option<(usize, usize)>,
}

/// Joins the lines that a [`LineFramer`] finds. Lines that follow each other in one block are not copied.
struct MultilineFramer {
    lines: LineFramer,
    rules: Arc<Rules>,
    cache: GrokCache,
    captures: Vec<(u16, u32, u32)>,
    pending: Option<Pending>,
    /// Its text, once it reached beyond a block.
    held: Vec<u8>,
    /// Blank lines behind it, which belong to it if another line does.
    blanks: usize,
    /// The lines of one feed.
    fresh: Vec<Rec>,
}

impl MultilineFramer {
    /// Joins the lines that came after the first `from` records.
    fn join(&mut self, block: &mut Block, from: usize) {
        let mut fresh = std::mem::take(&mut self.fresh);
        fresh.clear();
        fresh.extend(block.recs.drain(from..));
        for line in &fresh {
            self.line(block, line);
        }
        self.fresh = fresh;
    }

    fn line(&mut self, block: &mut Block, line: &Rec) {
        if line.len == 0 {
            self.blanks += usize::from(self.pending.is_some());
            return;
        }
        let belongs = self.belongs(block, line);
        match self.rules.what {
            What::Previous => {
                let full = self
                    .pending
                    .as_ref()
                    .is_some_and(|event| self.limits(event) != 0);
                if !belongs || full {
                    self.emit(block);
                }
                self.append(block, line);
            }
            What::Next => {
                self.append(block, line);
                let full = self
                    .pending
                    .as_ref()
                    .is_some_and(|event| self.limits(event) != 0);
                if !belongs || full {
                    self.emit(block);
                }
            }
        }
    }

    fn belongs(&mut self, block: &Block, line: &Rec) -> bool {
        let from = line.off as usize;
        let text = block
            .buf
            .get(from..from + line.len as usize)
            .unwrap_or_default();
        // A line on which the pattern runs without end counts as one in which it is not found.
        let found = self
            .rules
            .pattern
            .matches(&mut self.cache, strip_bom(text), &mut self.captures)
            .unwrap_or(false);
        found != self.rules.negate
    }

    fn limits(&self, event: &Pending) -> u8 {
        let mut flags = 0;
        if event.lines > self.rules.max_lines {
            flags |= REC_MAX_LINES;
        }
        if event.bytes >= self.rules.max_bytes {
            flags |= REC_MAX_BYTES;
        }
        flags
    }

    /// Adds a line, and the blank ones before it, to the pending event, or begins one.
    fn append(&mut self, block: &mut Block, line: &Rec) {
        let full = self
            .pending
            .as_ref()
            .is_some_and(|event| event.lines.saturating_add(self.blanks) > self.rules.max_lines);
        if self.blanks > 0 && full {
            // Blank lines without end are no part of an event.
            self.emit(block);
        }
        let (off, len) = (line.off as usize, line.len as usize);
        let Some(event) = &mut self.pending else {
            self.blanks = 0;
            self.pending = Some(Pending {
                pos: line.pos,
                lines: 1,
                bytes: len,
                flags: line.flags,
                in_block: Some((off, len)),
            });
            return;
        };
        let feeds = self.blanks + 1;
        self.blanks = 0;
        event.lines += feeds;
        event.bytes += len;
        event.flags |= line.flags;
        if let Some((start, before)) = event.in_block {
            let gap = block.buf.get(start + before..off).unwrap_or_default();
            if gap.len() == feeds && gap.iter().all(|byte| *byte == b'\n') {
                event.in_block = Some((start, off + len - start));
                return;
            }
        }
        hold(event, &mut self.held, block);
        self.held.extend(std::iter::repeat_n(b'\n', feeds));
        self.held
            .extend_from_slice(block.buf.get(off..off + len).unwrap_or_default());
    }

    /// The pending event leaves.
    fn emit(&mut self, block: &mut Block) {
        let Some(event) = self.pending.take() else {
            return;
        };
        self.blanks = 0;
        let joined = if event.lines > 1 { REC_JOINED } else { 0 };
        let flags = event.flags | joined | self.limits(&event);
        let (off, len) = event.in_block.unwrap_or_else(|| {
            let off = block.buf.len();
            block.buf.extend_from_slice(&self.held);
            (off, self.held.len())
        });
        self.held.clear();
        self.held.shrink_to(64 << 10);
        let kept = if flags & REC_CUT == 0 {
            len
        } else {
            whole_characters(block.buf.get(off..off + len).unwrap_or_default())
        };
        block.recs.push(Rec {
            off: small(off),
            len: small(kept),
            pos: event.pos,
            flags,
        });
    }

    /// The block leaves: what is pending is kept here.
    fn leave(&mut self, block: &Block) {
        if let Some(event) = &mut self.pending {
            hold(event, &mut self.held, block);
        }
    }
}

fn hold(event: &mut Pending, held: &mut Vec<u8>, block: &Block) {
    if let Some((off, len)) = event.in_block.take() {
        held.clear();
        held.extend_from_slice(block.buf.get(off..off + len).unwrap_or_default());
    }
}

impl Framer for MultilineFramer {
    fn feed(&mut self, block: &mut Block, from: usize, pos: u64) {
        let before = block.recs.len();
        self.lines.feed(block, from, pos);
        self.join(block, before);
        self.leave(block);
    }

    fn flush(&mut self, block: &mut Block) {
        let before = block.recs.len();
        self.lines.flush(block);
        self.join(block, before);
        self.emit(block);
    }

    fn settled(&self) -> u64 {
        self.pending
            .as_ref()
            .map_or_else(|| self.lines.settled(), |event| event.pos)
    }

    fn is_holding(&self) -> bool {
        self.pending.is_some() || self.lines.is_holding()
    }

    fn auto_flush(&self) -> Option<Duration> {
        // Half a line is no silence: its writer will go on, and it may belong to the event.
        self.rules.auto_flush.filter(|_| !self.lines.is_holding())
    }

    fn restart(&mut self, pos: u64) {
        self.lines.restart(pos);
        self.pending = None;
        self.held.clear();
        self.blanks = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::codecs::framing::testing::{Left, run};
    use crate::codecs::testing::{decode, decode_in, errors, make};
    use crate::plugin::Ecs;

    fn lines() -> Framing {
        Framing::Lines(b"\n".to_vec())
    }

    fn joined(options: &str, framing: &Framing, text: &[u8], cuts: &[usize]) -> Vec<Left> {
        let (codec, _, diagnostics) = make(Ecs::V8, SPEC, &format!("multiline {{ {options} }}"));
        let codec = codec.unwrap_or_else(|| panic!("{diagnostics:?}"));
        run(&mut *codec.framer(framing), text, cuts)
    }

    fn texts(options: &str, text: &str) -> Vec<String> {
        joined(options, &lines(), text.as_bytes(), &[])
            .into_iter()
            .map(|(text, ..)| String::from_utf8(text).unwrap())
            .collect()
    }

    const INDENTED: &str = "pattern => '^\\s' what => previous";
    const DATED: &str = "pattern => '^%{YEAR}-' negate => true what => previous";

    #[test]
    fn lines_belong_to_the_one_before() {
        assert_eq!(texts(INDENTED, "a\n b\n c\nd\ne"), ["a\n b\n c", "d", "e"]);
        assert_eq!(
            texts(DATED, "x\n2024-1\ny\n\nz\n2025-2\n\n"),
            ["x", "2024-1\ny\n\nz", "2025-2"]
        );
        assert_eq!(texts(DATED, "\u{feff}2024-1\ny\n"), ["\u{feff}2024-1\ny"]);
    }

    #[test]
    fn lines_belong_to_the_one_behind() {
        let options = "pattern => '\\\\$' what => next";
        assert_eq!(
            texts(options, "a\\\nb\\\nc\nd\ne\\\n"),
            ["a\\\nb\\\nc", "d", "e\\"]
        );
    }

    #[test]
    fn events_carry_their_tags() {
        let config = format!("multiline {{ {INDENTED} keep_original => false }}");
        let events = decode(SPEC, &config, &lines(), b"a\n b\nc");
        assert_eq!(
            events,
            [
                json!({"message": "a\n b", "tags": ["multiline"]}),
                json!({"message": "c"})
            ]
        );
        let config = format!("multiline {{ {INDENTED} multiline_tag => '' }}");
        let events = decode_in(Ecs::Disabled, SPEC, &config, &lines(), b"a\n b");
        assert_eq!(events, [json!({"message": "a\n b"})]);
        let events = decode(SPEC, &config, &Framing::Message, b"a\n b\n\n");
        assert_eq!(
            events,
            [json!({"message": "a\n b", "event": {"original": "a\n b"}})]
        );
    }

    #[test]
    fn limits_end_an_event_and_say_so() {
        let options = format!("{INDENTED} max_lines => 2");
        let left = joined(&options, &lines(), b"a\n 1\n 2\n 3\n 4\nb", &[]);
        let flags: Vec<(&[u8], u8)> = left
            .iter()
            .map(|(text, _, flags)| (&text[..], *flags))
            .collect();
        assert_eq!(
            flags,
            [
                (&b"a\n 1\n 2"[..], REC_JOINED | REC_MAX_LINES),
                (b" 3\n 4", REC_JOINED),
                (b"b", 0)
            ]
        );
        let options = format!("{INDENTED} max_bytes => 4");
        let left = joined(&options, &lines(), b"a\n 12\n 3\n", &[]);
        let flags: Vec<(&[u8], u8)> = left
            .iter()
            .map(|(text, _, flags)| (&text[..], *flags))
            .collect();
        assert_eq!(
            flags,
            [(&b"a\n 12"[..], REC_JOINED | REC_MAX_BYTES), (b" 3", 0)]
        );
        let config = format!("multiline {{ {INDENTED} max_lines => 1 keep_original => false }}");
        let events = decode(SPEC, &config, &lines(), b"a\n b\n c");
        assert_eq!(
            events[0]["tags"],
            json!(["multiline", "multiline_codec_max_lines_reached"])
        );
    }

    #[test]
    fn neighbours_in_a_block_are_not_copied() {
        let (codec, ..) = make(Ecs::V8, SPEC, &format!("multiline {{ {INDENTED} }}"));
        let mut framer = codec.unwrap().framer(&lines());
        let mut block = Block {
            buf: b"a\n b\n\n c\nd\n".to_vec(),
            ..Block::default()
        };
        framer.feed(&mut block, 0, 0);
        assert_eq!(block.buf.len(), 11);
        assert_eq!(
            block.recs,
            [Rec {
                off: 0,
                len: 8,
                pos: 0,
                flags: REC_JOINED
            }]
        );
        assert_eq!((framer.settled(), framer.is_holding()), (9, true));
    }

    #[test]
    fn silence_completes_an_event_but_not_half_a_line() {
        let (codec, ..) = make(
            Ecs::V8,
            SPEC,
            &format!("multiline {{ {INDENTED} auto_flush_interval => 1 }}"),
        );
        let mut framer = codec.unwrap().framer(&lines());
        let mut block = Block {
            buf: b"a\n b\n".to_vec(),
            ..Block::default()
        };
        framer.feed(&mut block, 0, 0);
        assert_eq!(framer.auto_flush(), Some(Duration::from_secs(1)));
        block.clear();
        block.buf.extend_from_slice(b" half");
        framer.feed(&mut block, 0, 5);
        assert!(framer.is_holding() && framer.auto_flush().is_none());
    }

    #[test]
    fn bad_options_are_told() {
        assert!(errors(SPEC, "multiline { pattern => '(' what => next }").contains("pattern"));
        assert!(errors(SPEC, "multiline { pattern => '%{NOPE}' what => next }").contains("NOPE"));
        assert!(errors(SPEC, "multiline { pattern => 'a' what => later }").contains("previous"));
        assert!(errors(SPEC, "multiline { what => next }").contains("pattern"));
        let missing = errors(
            SPEC,
            "multiline { pattern => 'a' what => next patterns_dir => '/nowhere/at/all' }",
        );
        assert!(missing.contains("/nowhere/at/all"), "{missing}");
        assert!(
            errors(
                SPEC,
                "multiline { pattern => 'a' what => next max_bytes => 'many' }"
            )
            .contains("bytes")
        );
    }

    #[test]
    fn patterns_come_from_folders_too() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("mine"), "CONT ^\\|\n").unwrap();
        for place in ["", "/mine", "/m*"] {
            let options = format!(
                "pattern => '%{{CONT}}' what => previous patterns_dir => '{}{place}'",
                folder.path().display()
            );
            assert_eq!(texts(&options, "a\n|b\nc"), ["a\n|b", "c"]);
        }
    }

    #[test]
    fn sizes_in_bytes() {
        for (text, bytes) in [
            ("12", 12),
            ("10 MiB", 10 << 20),
            ("5MB", 5 << 20),
            ("1.5 kb", 1536),
        ] {
            assert_eq!(ByteSize::parse(text), Some(ByteSize(bytes)), "{text}");
        }
        assert_eq!(ByteSize::parse("ten"), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
        #[test]
        fn any_pieces_give_the_same_events(
            bytes in prop::collection::vec(prop::sample::select(b"\n\n ab\\".to_vec()), 0..60),
            cuts in prop::collection::vec(0..80_usize, 0..10),
            next in any::<bool>(),
            negate in any::<bool>(),
            max_lines in 1..5_usize,
        ) {
            let what = if next { "next" } else { "previous" };
            let options = format!("pattern => '^\\s' what => {what} negate => {negate} max_lines => {max_lines}");
            let whole = joined(&options, &lines(), &bytes, &[]);
            prop_assert_eq!(joined(&options, &lines(), &bytes, &cuts), whole);
        }
    }
}
