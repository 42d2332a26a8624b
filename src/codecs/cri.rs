//! `cri`: lines as container runtimes write them, in the CRI format or as Docker's json-file.

use std::sync::Arc;
use std::time::Duration;

use super::charset::{strip_bom, tag_cut, without_bom};
use super::framing::{LineFramer, line_delimiter, max_record_bytes, small, whole_characters};
use super::plain;
use crate::event::scan::{self, Limits, RawField, RawKind, Scanner};
use crate::event::text::{push_invalid_utf8_escaped, unescape};
use crate::event::{Batch, EventId, Path, Value, slot};
use crate::language::ast::Plugin;
use crate::options;
use crate::plugin::block::REC_CUT;
use crate::plugin::{
    Block, Build, Codec, DecodeCx, Framer, Framing, Make, Options, PluginSpec, Rec,
};
use crate::time::{Zone, parse_event_timestamp};

/// Tag of an event whose line is in neither format.
pub const FAILURE_TAG: &[u8] = b"_criparsefailure";

/// A part whose rest does not come is complete after so long.
const PART_PATIENCE: Duration = Duration::from_secs(5);

options! {
    /// Options of the `cri` codec.
    pub struct Config {
        /// Whether the whole line is kept as `[event][original]` when ECS compatibility is on.
        keep_original: bool = true;
    }
}

/// `cri` for the catalogue.
pub const SPEC: PluginSpec = PluginSpec {
    name: "cri",
    about: "Reads the log files of container runtimes: CRI lines (`time stream P|F text`) and Docker's json-file lines \
            (`{\"log\":…,\"stream\":…,\"time\":…}`), also mixed. Parts of a long line are joined, for stdout and \
            stderr apart. The text of the container becomes `message`, the stream `[log][iostream]`, and the \
            runtime's time `@timestamp` and, as it was written, `[@metadata][cri][time]`. Any other line becomes an \
            event with the line as `message` and the tag `_criparsefailure`. A codec of logmill's own.",
    options: Config::specs,
    make: Make::Codec(make),
};

fn make(plugin: &Plugin, build: &mut Build<'_>) -> Option<Arc<dyn Codec>> {
    let config = Config::read(plugin, build)?;
    Some(Arc::new(Cri {
        stream: build.path("[log][iostream]"),
        time: build.path("[@metadata][cri][time]"),
        original: config.keep_original && build.ecs.enabled(),
        max: max_record_bytes(build.settings),
        zone: Zone::system(),
    }))
}

struct Cri {
    stream: Path,
    time: Path,
    original: bool,
    max: usize,
    zone: Zone,
}

impl Codec for Cri {
    fn framer(&self, framing: &Framing) -> Box<dyn Framer> {
        let delimiter = line_delimiter(framing, b"\n").unwrap_or(b"\n");
        Box::new(CriFramer {
            lines: LineFramer::new(delimiter, self.max),
            max: self.max,
            parts: [None, None],
            docker: DockerReader::default(),
            fresh: Vec::new(),
        })
    }

    fn decode(&self, batch: &mut Batch, recs: &[Rec], cx: &mut DecodeCx<'_>) {
        let mut docker = DockerReader::default();
        for rec in recs {
            if rec.len == 0 {
                cx.blank += 1;
                continue;
            }
            let id = batch.new_event(cx.run, rec.pos);
            let text = record_text(batch, rec, cx.buf);
            if self.original {
                batch.set_original(id, text);
            }
            let known = self.decode_cri(batch, id, text)
                || self.decode_docker(batch, id, text, &mut docker, cx.buf);
            if !known {
                batch.set_slot(id, slot::MESSAGE, text);
                batch.tag(id, FAILURE_TAG);
                cx.failed += 1;
            }
            tag_cut(batch, id, rec);
            cx.out.push(id);
        }
    }

    fn encode(&self, batch: &mut Batch, id: EventId, out: &mut Vec<u8>, _: &mut Vec<u8>) {
        plain::encode(None, batch, id, out);
    }
}

/// The text of a record without a byte order mark, invalid bytes made visible.
pub(super) fn record_text(batch: &mut Batch, rec: &Rec, buf: &mut Vec<u8>) -> Value {
    let (off, len) = without_bom(batch, rec);
    let raw = batch.block_text(off, len);
    let bytes = batch.bytes(raw);
    if simdutf8::basic::from_utf8(bytes).is_ok() {
        return raw;
    }
    buf.clear();
    push_invalid_utf8_escaped(bytes, buf);
    batch.push(buf)
}

impl Cri {
    fn decode_cri(&self, batch: &mut Batch, id: EventId, text: Value) -> bool {
        let bytes = batch.bytes(text);
        let Some(line) = CriLine::read(bytes) else {
            return false;
        };
        let end = small(bytes.len());
        let time = batch.substr(text, 0, small(line.time_end));
        let from = small(line.time_end + 1);
        let stream = batch.substr(text, from, from + 6);
        let message = batch.substr(text, small(line.text_start).min(end), end);
        self.set(batch, id, message, Some(stream), Some(time));
        true
    }

    fn decode_docker(
        &self,
        batch: &mut Batch,
        id: EventId,
        text: Value,
        reader: &mut DockerReader,
        buf: &mut Vec<u8>,
    ) -> bool {
        let Some(line) = reader.read(batch.bytes(text)) else {
            return false;
        };
        let (start, end) = line.log;
        let raw = batch.bytes(text).get(start..end).unwrap_or_default();
        let message = if memchr::memchr(b'\\', raw).is_some() {
            buf.clear();
            unescape(raw, buf);
            if buf.last() == Some(&b'\n') {
                buf.pop();
            }
            batch.push(buf)
        } else {
            batch.substr(text, small(start), small(end))
        };
        let plain = |(start, end): (usize, usize)| batch.substr(text, small(start), small(end));
        let (stream, time) = (line.stream.map(plain), line.time.map(plain));
        self.set(batch, id, message, stream, time);
        true
    }

    fn set(
        &self,
        batch: &mut Batch,
        id: EventId,
        message: Value,
        stream: Option<Value>,
        time: Option<Value>,
    ) {
        batch.set_slot(id, slot::MESSAGE, message);
        // The event has no other fields yet, so that nothing can stand in the way.
        if let Some(stream) = stream {
            let _ = batch.set(id, &self.stream, stream);
        }
        if let Some(time) = time {
            if let Some(at) = parse_event_timestamp(batch.bytes(time), &self.zone) {
                batch.set_timestamp(id, at);
            }
            let _ = batch.set(id, &self.time, time);
        }
    }
}

/// Where the parts of a CRI line lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CriLine {
    time_end: usize,
    stderr: bool,
    /// The line goes on in the next of its stream.
    partial: bool,
    tag_at: usize,
    text_start: usize,
}

impl CriLine {
    /// `time stream tags text`; the first of the tags, separated by colons, is `P` or `F`.
    fn read(line: &[u8]) -> Option<CriLine> {
        if !line.first()?.is_ascii_digit() {
            return None;
        }
        // Times are 20 to 35 bytes long.
        let time_end = memchr::memchr(b' ', line.get(..line.len().min(64))?)?;
        let stderr = match line.get(time_end + 1..time_end + 8)? {
            b"stdout " => false,
            b"stderr " => true,
            _ => return None,
        };
        let tag_at = time_end + 8;
        let partial = match line.get(tag_at)? {
            b'P' => true,
            b'F' => false,
            _ => return None,
        };
        let rest = line.get(tag_at + 1..)?;
        let tags = match rest.first() {
            None | Some(b' ') => 0,
            Some(b':') => memchr::memchr(b' ', rest).unwrap_or(rest.len()),
            Some(_) => return None,
        };
        let text_start = (tag_at + 2 + tags).min(line.len());
        Some(CriLine {
            time_end,
            stderr,
            partial,
            tag_at,
            text_start,
        })
    }
}

/// Finds the places in a Docker line.
#[derive(Default)]
struct DockerReader {
    scanner: Scanner,
    fields: Vec<RawField>,
}

/// Where the texts of a Docker line lie, between their quotes.
struct DockerLine {
    log: (usize, usize),
    stream: Option<(usize, usize)>,
    time: Option<(usize, usize)>,
}

impl DockerReader {
    /// None for what is no Docker line.
    fn read(&mut self, line: &[u8]) -> Option<DockerLine> {
        if line.trim_ascii_start().first() != Some(&b'{') {
            return None;
        }
        self.fields.clear();
        let limits = Limits::default();
        scan::walk_object(
            &mut self.scanner,
            line,
            0,
            small(line.len()),
            &limits,
            &mut self.fields,
        )
        .ok()?;
        let named = |name: &[u8], escapes: bool| {
            let field =
                self.fields.iter().rev().find(|field| {
                    line.get(field.key.0 as usize..field.key.1 as usize) == Some(name)
                })?;
            (field.kind == RawKind::Str || (escapes && field.kind == RawKind::EscStr))
                .then_some((field.value.0 as usize, field.value.1 as usize))
        };
        Some(DockerLine {
            log: named(b"log", true)?,
            stream: named(b"stream", false),
            time: named(b"time", false),
        })
    }
}

impl DockerLine {
    /// The text goes on in the next line of the stream.
    fn is_partial(&self, line: &[u8]) -> bool {
        !ends_with_newline(line.get(self.log.0..self.log.1).unwrap_or_default())
    }

    fn is_stderr(&self, line: &[u8]) -> bool {
        let stream = self.stream.and_then(|(start, end)| line.get(start..end));
        stream == Some(b"stderr")
    }
}

/// True when the body of a JSON string ends with the escape of a line feed.
fn ends_with_newline(body: &[u8]) -> bool {
    let Some(before) = body.strip_suffix(b"n") else {
        return body.to_ascii_lowercase().ends_with(b"\\u000a");
    };
    before
        .iter()
        .rev()
        .take_while(|byte| **byte == b'\\')
        .count()
        % 2
        == 1
}

/// True when a line begins as Docker's do and its text ends with a line feed: nothing is to be joined.
fn is_whole_docker_line(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"{\"log\":") else {
        return false;
    };
    let Some(rest) = rest.trim_ascii_start().strip_prefix(b"\"") else {
        return false;
    };
    let mut at = 0;
    // Texts that hold JSON are full of escapes: stepping over them byte by byte is faster than any search.
    while let Some(byte) = rest.get(at) {
        match byte {
            b'"' => return ends_with_newline(rest.get(..at).unwrap_or_default()),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    false
}

/// The beginning of a line whose rest has not come.
struct Part {
    /// The record so far: of a Docker line, up to where the log text ends.
    text: Vec<u8>,
    /// What follows the log text in a Docker line.
    tail: Vec<u8>,
    pos: u64,
    docker: bool,
    cut: bool,
}

/// Joins the parts that a runtime cuts long lines into. Lines that came whole are not copied.
struct CriFramer {
    lines: LineFramer,
    max: usize,
    /// Of stdout and of stderr.
    parts: [Option<Part>; 2],
    docker: DockerReader,
    /// The lines of one feed.
    fresh: Vec<Rec>,
}

impl CriFramer {
    fn join(&mut self, block: &mut Block, from: usize) {
        let mut fresh = std::mem::take(&mut self.fresh);
        fresh.clear();
        fresh.extend(block.recs.drain(from..));
        for line in &fresh {
            self.line(block, line);
        }
        self.fresh = fresh;
    }

    fn line(&mut self, block: &mut Block, rec: &Rec) {
        let from = rec.off as usize;
        let raw = block
            .buf
            .get(from..from + rec.len as usize)
            .unwrap_or_default();
        let text = strip_bom(raw);
        let start = from + raw.len() - text.len();
        let holding = self.parts.iter().any(Option::is_some);
        if let Some(line) = CriLine::read(text) {
            if line.partial || holding {
                self.cri_line(block, rec, start, line);
                return;
            }
        } else if text.first() == Some(&b'{')
            && (holding || !is_whole_docker_line(text))
            && let Some(line) = self.docker.read(text)
            && (holding || line.is_partial(text))
        {
            let (partial, which) = (line.is_partial(text), usize::from(line.is_stderr(text)));
            self.docker_line(block, rec, start, &line, partial, which);
            return;
        }
        block.recs.push(*rec);
    }

    fn cri_line(&mut self, block: &mut Block, rec: &Rec, start: usize, line: CriLine) {
        let which = usize::from(line.stderr);
        if self.parts[which].as_ref().is_some_and(|part| part.docker) {
            self.emit(block, which);
        }
        let (max, cut) = (self.max, rec.flags & REC_CUT != 0);
        let end = rec.off as usize + rec.len as usize;
        let Some(part) = &mut self.parts[which] else {
            if line.partial {
                let bytes = block.buf.get(start..end).unwrap_or_default();
                let mut text = bytes.to_vec();
                // What is joined is whole.
                if let Some(tag) = text.get_mut(line.tag_at) {
                    *tag = b'F';
                }
                if line.text_start == line.tag_at + 1 {
                    text.push(b' ');
                }
                self.parts[which] = Some(Part {
                    text,
                    tail: Vec::new(),
                    pos: rec.pos,
                    docker: false,
                    cut,
                });
            } else {
                block.recs.push(*rec);
            }
            return;
        };
        let more = block
            .buf
            .get(start + line.text_start..end)
            .unwrap_or_default();
        part.append(more, max, cut);
        if !line.partial {
            self.emit(block, which);
        }
    }

    fn docker_line(
        &mut self,
        block: &mut Block,
        rec: &Rec,
        start: usize,
        line: &DockerLine,
        partial: bool,
        which: usize,
    ) {
        if self.parts[which].as_ref().is_some_and(|part| !part.docker) {
            self.emit(block, which);
        }
        let end = rec.off as usize + rec.len as usize;
        let (from, to) = (start + line.log.0, start + line.log.1);
        let Some(part) = &mut self.parts[which] else {
            if partial {
                self.parts[which] = Some(Part {
                    text: block.buf.get(start..to).unwrap_or_default().to_vec(),
                    tail: block.buf.get(to..end).unwrap_or_default().to_vec(),
                    pos: rec.pos,
                    docker: true,
                    cut: false,
                });
            } else {
                block.recs.push(*rec);
            }
            return;
        };
        part.append(block.buf.get(from..to).unwrap_or_default(), self.max, false);
        if !partial {
            self.emit(block, which);
        }
    }

    /// What is held of a stream leaves as it is.
    fn emit(&mut self, block: &mut Block, which: usize) {
        if let Some(part) = self.parts[which].take() {
            let flags = if part.cut { REC_CUT } else { 0 };
            block.push_record(&[&part.text, &part.tail], part.pos, flags);
        }
    }
}

impl Part {
    /// Adds text up to the limit; what is beyond is skipped, and the record says so.
    fn append(&mut self, more: &[u8], max: usize, cut: bool) {
        let room = max.saturating_sub(self.text.len() + self.tail.len());
        if self.cut || more.len() > room {
            let fits = if self.cut {
                0
            } else {
                self.fitting(more.get(..room).unwrap_or_default())
            };
            self.text
                .extend_from_slice(more.get(..fits).unwrap_or_default());
            self.cut = true;
        } else {
            self.text.extend_from_slice(more);
            self.cut = cut;
        }
    }

    /// How much of a text can be taken without cutting a character, or an escape of a JSON string.
    fn fitting(&self, text: &[u8]) -> usize {
        let whole = whole_characters(text);
        if !self.docker {
            return whole;
        }
        let text = text.get(..whole).unwrap_or_default();
        // The last six bytes may hold the beginning of an escape.
        let from = text.len().saturating_sub(6);
        let Some(back) = memchr::memrchr(b'\\', text.get(from..).unwrap_or_default()) else {
            return whole;
        };
        let mut at = from + back;
        while at > 0 && text.get(at - 1) == Some(&b'\\') {
            at -= 1;
        }
        at
    }
}

impl Framer for CriFramer {
    fn feed(&mut self, block: &mut Block, from: usize, pos: u64) {
        let before = block.recs.len();
        self.lines.feed(block, from, pos);
        self.join(block, before);
    }

    fn flush(&mut self, block: &mut Block) {
        let before = block.recs.len();
        self.lines.flush(block);
        self.join(block, before);
        let first = usize::from(matches!(&self.parts, [Some(out), Some(err)] if err.pos < out.pos));
        self.emit(block, first);
        self.emit(block, 1 - first);
    }

    fn settled(&self) -> u64 {
        let held = self.parts.iter().flatten().map(|part| part.pos).min();
        held.unwrap_or(u64::MAX).min(self.lines.settled())
    }

    fn is_holding(&self) -> bool {
        self.parts.iter().any(Option::is_some) || self.lines.is_holding()
    }

    fn auto_flush(&self) -> Option<Duration> {
        // Half a line is no silence: its writer will go on.
        (!self.lines.is_holding()).then_some(PART_PATIENCE)
    }

    fn restart(&mut self, pos: u64) {
        self.lines.restart(pos);
        self.parts = [None, None];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::codecs::framing::testing::{Left, run};
    use crate::codecs::testing::{decode, make};
    use crate::plugin::Ecs;

    fn lines() -> Framing {
        Framing::Lines(b"\n".to_vec())
    }

    fn joined(text: &[u8], cuts: &[usize]) -> Vec<Left> {
        let (codec, ..) = make(Ecs::V8, SPEC, "cri {}");
        run(&mut *codec.unwrap().framer(&lines()), text, cuts)
    }

    fn events(text: &str) -> Vec<Json> {
        decode(
            SPEC,
            "cri { keep_original => false }",
            &lines(),
            text.as_bytes(),
        )
    }

    fn messages(text: &str) -> Vec<String> {
        events(text)
            .iter()
            .map(|event| event["message"].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn a_cri_line() {
        let left = events("2026-04-20T15:30:45.123456789Z stdout F INFO:  text\n");
        assert_eq!(
            left,
            [json!({
                "message": "INFO:  text",
                "@timestamp": "2026-04-20T15:30:45.123456789Z",
                "log": {"iostream": "stdout"}
            })]
        );
        assert_eq!(
            messages(
                "2026-04-20T15:30:45Z stderr F \n2026-04-20T15:30:45+02:00 stderr F\n2026-04-20T15:30:45Z stdout F:x y\n"
            ),
            ["", "", "y"]
        );
    }

    #[test]
    fn parts_are_joined_for_each_stream() {
        let text = "\
2026-04-20T15:30:45.1Z stdout P one 
2026-04-20T15:30:45.2Z stderr P err 
2026-04-20T15:30:45.3Z stdout P two 
2026-04-20T15:30:45.4Z stderr F or
2026-04-20T15:30:45.5Z stdout F three
2026-04-20T15:30:45.6Z stdout F alone
";
        let left = events(text);
        assert_eq!(messages(text), ["err or", "one two three", "alone"]);
        assert_eq!(left[0]["log"], json!({"iostream": "stderr"}));
        assert_eq!(left[1]["@timestamp"], "2026-04-20T15:30:45.100Z");
        let records = joined(text.as_bytes(), &[]);
        assert_eq!(
            records[1].0,
            b"2026-04-20T15:30:45.1Z stdout F one two three"
        );
        assert_eq!(records[1].1, 0);
    }

    #[test]
    fn a_part_without_its_rest_leaves_at_the_end() {
        assert_eq!(messages("2026-04-20T15:30:45Z stdout P half"), ["half"]);
    }

    #[test]
    fn docker_lines() {
        let left = events(
            "{\"log\":\"a \\\"b\\\"\\n\",\"stream\":\"stderr\",\"time\":\"2026-04-20T15:30:45.5Z\"}\n",
        );
        assert_eq!(
            left,
            [json!({
                "message": "a \"b\"",
                "@timestamp": "2026-04-20T15:30:45.500Z",
                "log": {"iostream": "stderr"}
            })]
        );
    }

    #[test]
    fn docker_parts_are_joined() {
        let text = r#"{"log":"one ","stream":"stdout","time":"2026-04-20T15:30:45.1Z"}
{"log": "err\n", "stream": "stderr", "time": "2026-04-20T15:30:45.2Z"}
{"log":"back\\n","stream":"stdout","time":"2026-04-20T15:30:45.3Z"}
{"stream":"stdout","log":" two\n","time":"2026-04-20T15:30:45.4Z"}
{"log":"last","stream":"stdout","time":"2026-04-20T15:30:45.5Z"}
"#;
        assert_eq!(messages(text), ["err", "one back\\n two", "last"]);
        assert_eq!(events(text)[1]["@timestamp"], "2026-04-20T15:30:45.100Z");
    }

    #[test]
    fn other_lines_arrive_flagged() {
        let bad = [
            "no such line",
            "2026-04-20T15:30:45Z stdlog F x",
            "{\"log\":1}",
            "{\"log\":\"x",
            "2026",
        ];
        for line in bad {
            let text = format!("{line}\n2026-04-20T15:30:45Z stdout F next\n");
            let left = events(&text);
            assert_eq!(
                left[0],
                json!({"message": line, "tags": ["_criparsefailure"]})
            );
            assert_eq!(left[1]["message"], "next");
        }
        assert_eq!(events("\n\n"), Vec::<Json>::new());
    }

    #[test]
    fn the_original_is_the_line() {
        let text = b"2026-04-20T15:30:45Z stdout F a\xFFb\n";
        let left = decode(SPEC, "cri {}", &lines(), text);
        assert_eq!(
            left[0]["event"]["original"],
            "2026-04-20T15:30:45Z stdout F a\\xFFb"
        );
        assert_eq!(left[0]["message"], "a\\xFFb");
    }

    #[test]
    fn a_joined_line_has_a_limit() {
        for (docker, expected) in [(false, 100), (true, 100)] {
            let mut framer = CriFramer {
                lines: LineFramer::new(b"\n", 100),
                max: 100,
                parts: [None, None],
                docker: DockerReader::default(),
                fresh: Vec::new(),
            };
            let line = |text: &str| {
                if docker {
                    format!("{{\"log\":\"{text}\",\"stream\":\"stdout\",\"time\":\"t\"}}\n")
                } else {
                    format!("2026-04-20T15:30:45Z stdout P {text}\n")
                }
            };
            let mut text = line(&"\\\"é".repeat(5)).repeat(20);
            text.push_str(&line("end\\n").replace(" P ", " F "));
            let left = run(&mut framer, text.as_bytes(), &[]);
            assert_eq!(left.len(), 1);
            assert_eq!(left[0].2, REC_CUT);
            assert!(
                left[0].0.len() <= expected && left[0].0.len() > 90,
                "{}",
                left[0].0.len()
            );
            let record = String::from_utf8(left[0].0.clone()).unwrap();
            assert!(
                !docker || serde_json::from_str::<Json>(&record).is_ok(),
                "{record}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
        #[test]
        fn any_pieces_give_the_same_records(
            kinds in prop::collection::vec((0..5_usize, any::<bool>()), 0..12),
            cuts in prop::collection::vec(0..1000_usize, 0..12),
        ) {
            let mut text = String::new();
            for (at, (kind, stderr)) in kinds.iter().enumerate() {
                let stream = if *stderr { "stderr" } else { "stdout" };
                let line = match kind {
                    0 => format!("2026-04-20T15:30:45Z {stream} P p{at}\n"),
                    1 => format!("2026-04-20T15:30:45Z {stream} F f{at}\n"),
                    2 => format!("{{\"log\":\"d{at}\",\"stream\":\"{stream}\",\"time\":\"t\"}}\n"),
                    3 => format!("{{\"log\":\"e{at}\\n\",\"stream\":\"{stream}\",\"time\":\"t\"}}\n"),
                    _ => "other\n".to_owned(),
                };
                text.push_str(&line);
            }
            prop_assert_eq!(joined(text.as_bytes(), &cuts), joined(text.as_bytes(), &[]));
        }
    }
}
