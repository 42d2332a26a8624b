//! `dissect`: takes text apart at literal delimiters.

use std::any::Any;

use memchr::memmem::Finder;

use super::mutate::{decimal_float, decimal_integer};
use crate::choice;
use crate::event::{Batch, EventId, Kind, Path, Selection, Value};
use crate::language::ast::{Plugin, Span};
use crate::language::{EscapeStyle, FieldPath};
use crate::options;
use crate::plugin::common::dynamic_path;
use crate::plugin::{
    Build, Cx, Filter, Make, Options, Pairs, PluginMetrics, PluginSpec, Verdict, per_event,
};

options! {
    /// Options of the `dissect` filter.
    pub struct Config {
        /// Field → pattern. A pattern is text with fields in it: `%{name}` gets what stands up to the text that follows
        /// it; `%{}` and `%{?name}` are passed over; `%{+name}` is appended to the field, joined by the text before it
        /// (a blank where there is none); `%{+name/2}` in the given order; `%{&name}` goes to the field whose name was
        /// found for `name`; with `->` at its end (`%{name->}`) a field takes repetitions of the following text along.
        /// Names may be references, `%{[a][b]}`. The last field gets the rest.
        mapping: Pairs<String>;
        /// Field → `int` or `float`: what the field is converted to afterwards. A field that is missing gets the event the
        /// tag `_dataconversionnullvalue_<field>_<type>`, one that is no number `_dataconversionuncoercible_<field>_<type>`.
        convert_datatype: Pairs<Datatype>;
        /// Tags of an event that does not fit a pattern.
        tag_on_failure: Vec<String> = ["_dissectfailure"];
    }
}

/// The entry of the catalogue.
pub const SPEC: PluginSpec = PluginSpec {
    name: "dissect",
    about: "Takes the text of a field apart at literal delimiters: much faster than `grok`, for lines whose layout is \
            fixed.\n\nThe text before the first field must begin the text; then each field ends where the text behind it in \
            the pattern is first found. If one is not found, nothing is set and the event is tagged. Fields may be empty. \
            Two quirks of the original are kept: a delimiter at the very start of the text is not consumed, so that \
            `%{a},%{b}` makes of `,y` an empty a and the b `,y`; and fields without anything between them never match.\n\n\
            A missing field is passed over; a null or empty one does not fit. The common options are applied once for each \
            pattern of `mapping` that fits.",
    options: Config::specs,
    make: Make::Filter(make),
};

choice! {
    /// What `convert_datatype` converts to.
    pub enum Datatype {
        /// A whole number, cut towards zero.
        Int = "int",
        /// A number with a fraction; all digits are kept.
        Float = "float",
    }
}

struct Dissect {
    mapping: Vec<(Path, Pattern)>,
    conversions: Vec<Conversion>,
    tags: Vec<String>,
}

struct Conversion {
    field: Path,
    to: Datatype,
    null_tag: Vec<u8>,
    failure_tag: Vec<u8>,
}

/// A compiled pattern.
struct Pattern {
    /// What the text begins with.
    lead: Box<[u8]>,
    parts: Vec<Part>,
    /// What is set, in order.
    saves: Vec<Save>,
}

/// One field of a pattern.
struct Part {
    /// The text behind it; none at the end of the pattern.
    delimiter: Option<Delimiter>,
    /// Repetitions of the delimiter are skipped.
    greedy: bool,
}

/// The text behind a field, and how it is looked for.
struct Delimiter {
    finder: Finder<'static>,
    /// Its byte that is likely the rarest in logs, and where in it that stands.
    rare: u8,
    at: usize,
}

/// So many places that hold the rare byte are looked at before the text is searched in earnest.
const GLANCES: u32 = 4;

impl Delimiter {
    fn new(text: &str) -> Delimiter {
        let often = |byte: u8| match byte {
            b' ' => 3,
            _ if byte.is_ascii_alphanumeric() => 2,
            b'.' | b'-' | b'/' | b':' | b'"' | b',' => 1,
            _ => 0,
        };
        let rarest = text
            .bytes()
            .enumerate()
            .min_by_key(|(_, byte)| often(*byte));
        let (at, rare) = rarest.unwrap_or_default();
        Delimiter {
            finder: Finder::new(text).into_owned(),
            rare,
            at,
        }
    }

    /// The first place of the delimiter, which is not empty. Fields are short: most delimiters are at the first
    /// place that holds their rare byte, and to look there costs less than to start a search.
    fn find(&self, text: &[u8]) -> Option<usize> {
        let needle = self.finder.needle();
        let mut from = self.at;
        for _ in 0..GLANCES {
            let found = from + memchr::memchr(self.rare, text.get(from..)?)?;
            let start = found - self.at;
            if text.get(start..)?.starts_with(needle) {
                return Some(start);
            }
            from = found + 1;
        }
        let start = from - self.at;
        self.finder
            .find(text.get(start..)?)
            .map(|found| start + found)
    }
}

/// Where the text of a part goes.
enum Save {
    Set {
        field: Path,
        part: usize,
    },
    Append {
        field: Path,
        part: usize,
        join: Box<[u8]>,
    },
    Indirect {
        name: NameOf,
        part: usize,
    },
}

/// Where an indirect field's name is found.
enum NameOf {
    Part(usize),
    Field(Path),
}

/// A field as it is written.
struct Written<'a> {
    name: &'a str,
    kind: WrittenKind,
    greedy: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum WrittenKind {
    Plain,
    Skip,
    Append(u32),
    Indirect,
}

fn make(plugin: &Plugin, build: &mut Build<'_>) -> Option<Box<dyn Filter>> {
    let config = Config::read(plugin, build)?;
    let span = |option: &str| {
        let attr = plugin.attrs.iter().find(|attr| attr.name.text == option);
        attr.map_or(plugin.name.span, |attr| attr.value.span)
    };
    let mut mapping = Vec::new();
    for (field, pattern) in &config.mapping.0 {
        mapping.push((
            path(field, span("mapping"), build)?,
            compile(pattern, span("mapping"), build)?,
        ));
    }
    let mut conversions = Vec::new();
    for (field, to) in config.convert_datatype.0 {
        let word = if to == Datatype::Int { "int" } else { "float" };
        conversions.push(Conversion {
            to,
            null_tag: format!("_dataconversionnullvalue_{field}_{word}").into_bytes(),
            failure_tag: format!("_dataconversionuncoercible_{field}_{word}").into_bytes(),
            field: path(&field, span("convert_datatype"), build)?,
        });
    }
    Some(Box::new(Dissect {
        mapping,
        conversions,
        tags: config.tag_on_failure,
    }))
}

fn path(name: &str, span: Span, build: &mut Build<'_>) -> Option<Path> {
    match FieldPath::parse(name, EscapeStyle::None) {
        Ok(reference) => Some(build.keys.path(&reference)),
        Err(error) => {
            build.error("field-reference", error.to_string(), span);
            None
        }
    }
}

/// The text before the first field, and each field with the text behind it.
fn pieces(pattern: &str) -> (&str, Vec<(&str, &str)>) {
    let next = |text: &str| {
        let open = text.find("%{")?;
        let close = open + text.get(open..)?.find('}')?;
        Some((open, close))
    };
    let Some((open, mut close)) = next(pattern) else {
        return (pattern, Vec::new());
    };
    let lead = pattern.get(..open).unwrap_or_default();
    let mut fields = Vec::new();
    let (mut rest, mut open) = (pattern, open);
    loop {
        let field = rest.get(open + 2..close).unwrap_or_default();
        rest = rest.get(close + 1..).unwrap_or_default();
        let Some((next_open, next_close)) = next(rest) else {
            fields.push((field, rest));
            return (lead, fields);
        };
        fields.push((field, rest.get(..next_open).unwrap_or_default()));
        (open, close) = (next_open, next_close);
    }
}

impl Written<'_> {
    fn parse(text: &str) -> Result<Written<'_>, String> {
        let (text, greedy) = text
            .strip_suffix("->")
            .map_or((text, false), |text| (text, true));
        if text.starts_with("+&") || text.starts_with("&+") {
            return Err(format!(
                "a field cannot be both appended to (+) and named by another (&): {text}"
            ));
        }
        let (kind, name) = if let Some(name) = text.strip_prefix('+') {
            match name.rsplit_once('/') {
                Some((name, order))
                    if !order.is_empty() && order.bytes().all(|byte| byte.is_ascii_digit()) =>
                {
                    (WrittenKind::Append(order.parse().unwrap_or(u32::MAX)), name)
                }
                _ => (WrittenKind::Append(0), name),
            }
        } else if let Some(name) = text.strip_prefix('?') {
            (WrittenKind::Skip, name)
        } else if let Some(name) = text.strip_prefix('&') {
            (WrittenKind::Indirect, name)
        } else {
            (
                if text.is_empty() {
                    WrittenKind::Skip
                } else {
                    WrittenKind::Plain
                },
                text,
            )
        };
        if name.is_empty() && kind != WrittenKind::Skip {
            return Err(format!("the field `%{{{text}}}` has no name"));
        }
        Ok(Written { name, kind, greedy })
    }
}

fn compile(pattern: &str, span: Span, build: &mut Build<'_>) -> Option<Pattern> {
    let (lead, pieces) = pieces(pattern);
    let mut written = Vec::with_capacity(pieces.len());
    for (field, _) in &pieces {
        match Written::parse(field) {
            Ok(field) => written.push(field),
            Err(error) => {
                build.error("dissect-pattern", format!("`{pattern}`: {error}"), span);
                return None;
            }
        }
    }
    warn_adjacent(pattern, &pieces, span, build);
    let mut saves: Vec<((u8, u32), Save)> = Vec::new();
    for (part, field) in written.iter().enumerate() {
        saves.push(match field.kind {
            WrittenKind::Skip => continue,
            WrittenKind::Plain => (
                (0, 0),
                Save::Set {
                    field: path(field.name, span, build)?,
                    part,
                },
            ),
            WrittenKind::Append(order) => {
                let before = part.checked_sub(1).and_then(|before| pieces.get(before));
                let join = before
                    .map_or(" ", |(_, delimiter)| delimiter)
                    .as_bytes()
                    .into();
                (
                    (1, order),
                    Save::Append {
                        field: path(field.name, span, build)?,
                        part,
                        join,
                    },
                )
            }
            WrittenKind::Indirect => {
                let named = |other: &Written<'_>| {
                    matches!(other.kind, WrittenKind::Plain | WrittenKind::Skip)
                        && other.name == field.name
                };
                let name = match written.iter().rposition(named) {
                    Some(part) => NameOf::Part(part),
                    None => NameOf::Field(path(field.name, span, build)?),
                };
                ((2, 0), Save::Indirect { name, part })
            }
        });
    }
    saves.sort_by_key(|(order, _)| *order);
    let last = pieces.len().saturating_sub(1);
    let part = |(at, ((_, delimiter), field)): (usize, (&(&str, &str), &Written<'_>))| Part {
        delimiter: (at < last || !delimiter.is_empty()).then(|| Delimiter::new(delimiter)),
        greedy: field.greedy,
    };
    Some(Pattern {
        lead: lead.as_bytes().into(),
        parts: pieces.iter().zip(&written).enumerate().map(part).collect(),
        saves: saves.into_iter().map(|(_, save)| save).collect(),
    })
}

fn warn_adjacent(pattern: &str, pieces: &[(&str, &str)], span: Span, build: &mut Build<'_>) {
    let inner = pieces.split_last().map_or(&[][..], |(_, inner)| inner);
    if inner.iter().any(|(_, delimiter)| delimiter.is_empty()) {
        build.warn(
            "dissect-pattern",
            format!("`{pattern}` never matches: there is nothing between two of its fields"),
            span,
        );
    }
}

impl Pattern {
    /// Finds the bounds of all parts; false when the text does not fit.
    fn find(&self, text: &[u8], bounds: &mut Vec<(u32, u32)>) -> bool {
        bounds.clear();
        if !text.starts_with(&self.lead) || u32::try_from(text.len()).is_err() {
            return false;
        }
        let bound = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let mut from = self.lead.len();
        for part in &self.parts {
            let Some(delimiter) = &part.delimiter else {
                bounds.push((bound(from), bound(text.len())));
                continue;
            };
            let needle = delimiter.finder.needle();
            if needle.is_empty() {
                return false;
            }
            let rest = text.get(from..).unwrap_or_default();
            let Some(at) = delimiter.find(rest).map(|at| from + at) else {
                return false;
            };
            bounds.push((bound(from), bound(at)));
            if at == 0 {
                continue;
            }
            from = at + needle.len();
            while part.greedy
                && text
                    .get(from..)
                    .is_some_and(|rest| rest.starts_with(needle))
            {
                from += needle.len();
            }
        }
        true
    }

    /// Sets the fields; false when one cannot be set.
    fn save(
        &self,
        batch: &mut Batch,
        id: EventId,
        text: Value,
        bounds: &[(u32, u32)],
        buf: &mut Vec<u8>,
    ) -> bool {
        let part_text = |batch: &Batch, part: usize| {
            let (start, end) = bounds.get(part).copied().unwrap_or_default();
            batch.substr(text, start, end)
        };
        self.saves.iter().all(|save| match save {
            Save::Set { field, part } => {
                let value = part_text(batch, *part);
                batch.set(id, field, value).is_ok()
            }
            Save::Append { field, part, join } => {
                let piece = part_text(batch, *part);
                let before = batch.get(id, field);
                let value = if before.is_nil() {
                    piece
                } else {
                    joined(batch, text, before, join, piece, buf)
                };
                batch.set(id, field, value).is_ok()
            }
            Save::Indirect { name, part } => {
                let value = part_text(batch, *part);
                buf.clear();
                match name {
                    NameOf::Part(part) => {
                        let name = part_text(batch, *part);
                        buf.extend_from_slice(batch.bytes(name));
                    }
                    NameOf::Field(field) => {
                        let name = batch.get(id, field);
                        batch.render(name, buf);
                    }
                }
                if buf.is_empty() {
                    return true;
                }
                dynamic_path(batch, buf).is_some_and(|path| batch.set(id, &path, value).is_ok())
            }
        })
    }
}

/// The text of two values with something between. Where the source has just that, it is not copied.
fn joined(
    batch: &mut Batch,
    source: Value,
    before: Value,
    join: &[u8],
    piece: Value,
    buf: &mut Vec<u8>,
) -> Value {
    if before.kind == Kind::Str
        && before.space == source.space
        && let Some(start) = before.off.checked_sub(source.off)
        && let (Some(between), Some(next)) = (
            start.checked_add(before.len),
            piece.off.checked_sub(source.off),
        )
        && batch.bytes(source).get(between as usize..next as usize) == Some(join)
    {
        return batch.substr(source, start, next + piece.len);
    }
    buf.clear();
    batch.render(before, buf);
    buf.extend_from_slice(join);
    buf.extend_from_slice(batch.bytes(piece));
    batch.push(buf)
}

impl Filter for Dissect {
    fn scratch(&self) -> Box<dyn Any + Send> {
        Box::new(Vec::<(u32, u32)>::new())
    }

    fn run(&self, batch: &mut Batch, sel: &mut Selection, cx: &mut Cx<'_>) {
        let (mut matched, mut failed) = (0, 0);
        per_event(batch, sel, cx, |batch, id, cx| {
            for (field, pattern) in &self.mapping {
                match dissect(batch, id, field, pattern, cx) {
                    Some(true) => {
                        matched += 1;
                        cx.common.apply(batch, id, cx.buf);
                    }
                    Some(false) => {
                        failed += 1;
                        self.tags
                            .iter()
                            .for_each(|tag| batch.tag(id, tag.as_bytes()));
                    }
                    None => {}
                }
            }
            for conversion in &self.conversions {
                conversion.apply(batch, id, cx.buf);
            }
            // The common options were applied for each pattern.
            Verdict::Unmatched
        });
        PluginMetrics::add(&cx.metrics.matches, matched);
        PluginMetrics::add(&cx.metrics.failures, failed);
    }
}

/// Whether the field fits the pattern; none when it is missing.
fn dissect(
    batch: &mut Batch,
    id: EventId,
    field: &Path,
    pattern: &Pattern,
    cx: &mut Cx<'_>,
) -> Option<bool> {
    let mut text = batch.get(id, field);
    if text.is_absent() {
        return None;
    }
    if !text.is_str() {
        cx.buf.clear();
        batch.render(text, cx.buf);
        text = batch.push(cx.buf);
    }
    let bounds = cx.scratch.downcast_mut::<Vec<(u32, u32)>>()?;
    let fits = !batch.bytes(text).is_empty() && pattern.find(batch.bytes(text), bounds);
    Some(fits && pattern.save(batch, id, text, bounds, cx.buf))
}

impl Conversion {
    fn apply(&self, batch: &mut Batch, id: EventId, buf: &mut Vec<u8>) {
        let value = batch.get(id, &self.field);
        if value.is_nil() {
            batch.tag(id, &self.null_tag);
            return;
        }
        buf.clear();
        if value.is_str() || value.is_number() {
            buf.extend_from_slice(batch.bytes(value));
        }
        let (kind, number) = match self.to {
            Datatype::Int => (Kind::Int, decimal_integer(buf)),
            Datatype::Float => (Kind::Float, decimal_float(buf)),
        };
        let Some(number) = number else {
            batch.tag(id, &self.failure_tag);
            return;
        };
        let number = batch.push_number(kind, number.as_bytes());
        if batch.set(id, &self.field, number).is_err() {
            batch.tag(id, &self.failure_tag);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::plugin::Ecs;
    use crate::plugin::testing::run_filter;
    use serde_json::{Value as Json, json};

    fn run(config: &str, event: Json) -> Json {
        let mut run =
            run_filter(&SPEC, Ecs::V8, &format!("dissect {{ {config} }}"), &[event]).unwrap();
        run.events.remove(0)
    }

    #[test]
    fn delimiters_are_found_where_they_first_stand() {
        let text = b"a | b|c || d - e  | f:=:g ::= h";
        for delimiter in [
            " | ",
            "|",
            " ",
            "||",
            ":=",
            "::=",
            "e",
            "  ",
            "zz",
            " f:=:g ::= h",
            "h",
        ] {
            for start in 0..=text.len() {
                let rest = &text[start..];
                let wanted = memchr::memmem::find(rest, delimiter.as_bytes());
                assert_eq!(
                    super::Delimiter::new(delimiter).find(rest),
                    wanted,
                    "{delimiter:?} from {start}"
                );
            }
        }
        assert_eq!(super::Delimiter::new("ab").find(&b"b".repeat(100)), None);
        let long = ["b".repeat(100), "ab".to_owned()].concat();
        assert_eq!(super::Delimiter::new("ab").find(long.as_bytes()), Some(100));
    }

    /// What a pattern makes of a text.
    fn fields(pattern: &str, text: &str) -> Json {
        let mut event = run(
            &format!("mapping => {{ 'm' => '{pattern}' }}"),
            json!({ "m": text }),
        );
        event.as_object_mut().unwrap().remove("m");
        event
    }

    #[test]
    fn a_syslog_line() {
        let pattern = "<%{pri}>%{ts} %{+ts} %{+ts} %{[host][name]} %{prog}[%{pid}]: %{msg}";
        let text = "<38>Feb 11 10:20:30 web-1 sshd[4711]: Accepted: a b";
        let expected = json!({"pri": "38", "ts": "Feb 11 10:20:30", "host": {"name": "web-1"}, "prog": "sshd", "pid": "4711", "msg": "Accepted: a b"});
        assert_eq!(fields(pattern, text), expected);
    }

    #[test]
    fn appending() {
        assert_eq!(
            fields("%{+a/2}, %{+a/1}; %{+a/3}", "1, 2; 3"),
            json!({"a": "2 1; 3"})
        );
        assert_eq!(
            fields("%{+a} %{a}", "1 2"),
            json!({"a": "2 1"}),
            "plain fields are set first"
        );
        assert_eq!(fields("%{a->} %{+a}", "1   2"), json!({"a": "1 2"}));
        let event = run("mapping => { 'm' => '%{+m}-%{+m}' }", json!({"m": "x-y"}));
        assert_eq!(event, json!({"m": "x-y x-y"}), "the source is appended to");
        let event = run(
            "mapping => { 'm' => '%{+n} %{}' }",
            json!({"m": "x y", "n": 5}),
        );
        assert_eq!(event["n"], "5 x");
    }

    #[test]
    fn names_found_in_the_text() {
        assert_eq!(
            fields("%{?k1}=%{&k1} %{k2}=%{&k2}", "x=1 y=2"),
            json!({"x": "1", "k2": "y", "y": "2"})
        );
        let event = run(
            "mapping => { 'm' => '%{&n}' }",
            json!({"m": "v", "n": "[a][b]"}),
        );
        assert_eq!(event["a"], json!({"b": "v"}));
        assert_eq!(
            fields("%{?k}=%{&k}|%{b}", "=1|2"),
            json!({"b": "2"}),
            "an empty name is none"
        );
        assert_eq!(
            fields("%{?k}=%{&k}", "a[=1"),
            json!({"tags": ["_dissectfailure"]})
        );
    }

    #[test]
    fn the_source_may_be_a_target() {
        let event = run(
            "mapping => { 'm' => '%{a} %{m}' }",
            json!({"m": "1 \"two\" 3"}),
        );
        assert_eq!(event, json!({"a": "1", "m": "\"two\" 3"}));
    }

    #[test]
    fn types_of_sources() {
        assert_eq!(
            run("mapping => { 'm' => '%{a}.%{b}' }", json!({"m": 1.5}))["b"],
            "5"
        );
        assert_eq!(
            run("mapping => { 'm' => '%{a}' }", json!({"m": null})),
            json!({"m": null, "tags": ["_dissectfailure"]})
        );
        assert_eq!(
            run(
                "mapping => { 'm' => '%{a}' } tag_on_failure => ['x', 'y']",
                json!({"m": ""})
            )["tags"],
            json!(["x", "y"])
        );
        assert_eq!(
            run("mapping => { 'zz' => '%{a}' }", json!({"m": 1})),
            json!({"m": 1})
        );
    }

    #[test]
    fn nothing_is_set_unless_all_fits() {
        assert_eq!(
            fields("%{a} %{b};", "1 2"),
            json!({"tags": ["_dissectfailure"]})
        );
        assert_eq!(fields("x%{a}", "y1"), json!({"tags": ["_dissectfailure"]}));
        assert_eq!(
            fields("%{@timestamp} %{a}", "1 2"),
            json!({"tags": ["_dissectfailure"]})
        );
    }

    #[test]
    fn common_options_are_applied_for_each_pattern() {
        let config = "mapping => { 'm' => '%{a} %{b}' 'n' => '%{c}-%{d}' 'o' => '%{e}' } add_tag => ['%{b}']";
        let event = run(config, json!({"m": "1 2", "n": "3", "o": "4"}));
        assert_eq!(event["tags"], json!(["2", "_dissectfailure", "2"]));
    }

    #[test]
    fn conversions() {
        let config = "mapping => { 'm' => '%{a} %{b} %{c} %{d}' } convert_datatype => { 'a' => 'int' 'b' => 'float' 'c' => 'int' 'z' => 'float' '[d]' => 'float' }";
        let event = run(config, json!({"m": "12.9 -0.50 x 7"}));
        let tags = json!([
            "_dataconversionuncoercible_c_int",
            "_dataconversionnullvalue_z_float"
        ]);
        assert_eq!(
            event,
            json!({"m": "12.9 -0.50 x 7", "a": 12, "b": serde_json::from_str::<Json>("-0.50").unwrap(), "c": "x", "d": 7.0, "tags": tags})
        );
    }

    #[test]
    fn wrong_patterns_are_refused() {
        for pattern in ["%{&+a} %{b}", "%{+} %{b}", "%{a[b} x", "%{[a]b}"] {
            let config = format!("dissect {{ mapping => {{ 'm' => '{pattern}' }} }}");
            assert!(
                run_filter(&SPEC, Ecs::V8, &config, &[]).is_err(),
                "{pattern}"
            );
        }
        assert!(
            run_filter(
                &SPEC,
                Ecs::V8,
                "dissect { convert_datatype => { 'a' => 'integer' } }",
                &[]
            )
            .is_err()
        );
    }
}
