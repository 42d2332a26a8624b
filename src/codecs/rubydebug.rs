//! `rubydebug`: events as a person reads them.

use std::sync::Arc;

use super::charset::Charset;
use super::framing::{LineFramer, MessageFramer, line_delimiter, max_record_bytes};
use super::plain::TextDecoder;
use crate::event::{Batch, EventId, Kind, Path, Value};
use crate::language::ast::Plugin;
use crate::options;
use crate::plugin::{Build, Codec, DecodeCx, Framer, Framing, Make, Options, PluginSpec, Rec};

options! {
    /// Options of the `rubydebug` codec.
    pub struct Config {
        /// Whether `@metadata` is written too.
        metadata: bool = false;
    }
}

/// `rubydebug` for the catalogue.
pub const SPEC: PluginSpec = PluginSpec {
    name: "rubydebug",
    about: "Writes an event as an indented Ruby hash, a field a line, sorted by name: for looking at events on a \
            terminal. It is made for outputs; an input takes each line as a `message` with it.",
    options: Config::specs,
    make: Make::Codec(make),
};

/// Blanks that each level is indented by.
const INDENT: usize = 4;

fn make(plugin: &Plugin, build: &mut Build<'_>) -> Option<Arc<dyn Codec>> {
    let config = Config::read(plugin, build)?;
    Some(Arc::new(RubyDebug {
        metadata: config.metadata.then(|| build.path("[@metadata]")),
        text: TextDecoder::new(Charset::Utf8, true, build),
        max: max_record_bytes(build.settings),
    }))
}

struct RubyDebug {
    /// `@metadata`, when it is to be shown.
    metadata: Option<Path>,
    text: TextDecoder,
    max: usize,
}

impl Codec for RubyDebug {
    fn framer(&self, framing: &Framing) -> Box<dyn Framer> {
        match line_delimiter(framing, b"\n") {
            Some(delimiter) => Box::new(LineFramer::new(delimiter, self.max)),
            None => Box::new(MessageFramer::new(self.max)),
        }
    }

    fn decode(&self, batch: &mut Batch, recs: &[Rec], cx: &mut DecodeCx<'_>) {
        self.text.decode(batch, recs, cx);
    }

    fn encode(&self, batch: &mut Batch, id: EventId, out: &mut Vec<u8>, _: &mut Vec<u8>) {
        let mut fields = Vec::new();
        batch.for_each_field(id, |batch, name, value| {
            fields.push((batch.bytes(name).to_vec(), value));
        });
        if let Some(path) = &self.metadata {
            let metadata = batch.get_expanded(id, path);
            if batch.node_len(metadata) > 0 {
                fields.push((b"@metadata".to_vec(), metadata));
            }
        }
        write_hash(batch, fields, 0, out);
        out.push(b'\n');
    }
}

fn write_hash(
    batch: &mut Batch,
    mut fields: Vec<(Vec<u8>, Value)>,
    depth: usize,
    out: &mut Vec<u8>,
) {
    if fields.is_empty() {
        out.extend_from_slice(b"{}");
        return;
    }
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    let names: Vec<Vec<u8>> = fields
        .iter()
        .map(|(name, _)| {
            let mut quoted = Vec::new();
            inspect(&String::from_utf8_lossy(name), &mut quoted);
            quoted
        })
        .collect();
    let width = names.iter().map(|name| characters(name)).max().unwrap_or(0);
    out.extend_from_slice(b"{\n");
    let last = fields.len() - 1;
    for (at, ((_, value), name)) in fields.into_iter().zip(names).enumerate() {
        blanks((depth + 1) * INDENT + width - characters(&name), out);
        out.extend_from_slice(&name);
        out.extend_from_slice(b" => ");
        write_value(batch, value, depth + 1, out);
        out.extend_from_slice(if at == last { b"\n" } else { b",\n" });
    }
    blanks(depth * INDENT, out);
    out.push(b'}');
}

fn write_array(batch: &mut Batch, list: Value, depth: usize, out: &mut Vec<u8>) {
    let count = batch.node_len(list);
    if count == 0 {
        out.extend_from_slice(b"[]");
        return;
    }
    let width = (count - 1).to_string().len();
    out.extend_from_slice(b"[\n");
    for at in 0..count {
        blanks((depth + 1) * INDENT, out);
        out.extend_from_slice(format!("[{at:width$}] ").as_bytes());
        let value = batch.node_value(list, at);
        write_value(batch, value, depth + 1, out);
        out.extend_from_slice(if at + 1 == count { b"\n" } else { b",\n" });
    }
    blanks(depth * INDENT, out);
    out.push(b']');
}

fn write_value(batch: &mut Batch, value: Value, depth: usize, out: &mut Vec<u8>) {
    match value.kind() {
        Kind::RawObject | Kind::Map => {
            let map = batch.expand(value);
            let fields = (0..batch.node_len(map))
                .map(|at| {
                    let key = batch.map_key(map, at);
                    (batch.bytes(key).to_vec(), batch.node_value(map, at))
                })
                .collect();
            write_hash(batch, fields, depth, out);
        }
        Kind::RawArray | Kind::List => {
            let list = batch.expand(value);
            write_array(batch, list, depth, out);
        }
        Kind::Str | Kind::EscStr => {
            let text = String::from_utf8_lossy(batch.bytes(value)).into_owned();
            inspect(&text, out);
        }
        Kind::Float => {
            let text = String::from_utf8_lossy(batch.bytes(value)).into_owned();
            match text.parse::<f64>() {
                Ok(number) if number.is_finite() => ruby_float(number, out),
                _ => out.extend_from_slice(text.as_bytes()),
            }
        }
        Kind::Absent | Kind::Null => out.extend_from_slice(b"nil"),
        Kind::Int | Kind::True | Kind::False | Kind::Time => {
            batch.render(value, out);
        }
    }
}

fn blanks(count: usize, out: &mut Vec<u8>) {
    out.extend(std::iter::repeat_n(b' ', count));
}

/// Number of characters of UTF-8 text.
fn characters(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte & 0xC0 != 0x80).count()
}

/// Appends text in quotes with the escapes of Ruby's `String#inspect`.
fn inspect(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        let escape = match char {
            '"' | '\\' => char,
            '#' if matches!(chars.peek(), Some('{' | '$' | '@')) => '#',
            '\n' => 'n',
            '\r' => 'r',
            '\t' => 't',
            '\u{c}' => 'f',
            '\u{b}' => 'v',
            '\u{8}' => 'b',
            '\u{7}' => 'a',
            '\u{1b}' => 'e',
            '\u{7f}' => {
                out.extend_from_slice(b"\\x7F");
                continue;
            }
            char if char.is_control() => {
                out.extend_from_slice(format!("\\u{:04X}", u32::from(char)).as_bytes());
                continue;
            }
            char => {
                out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
        };
        out.push(b'\\');
        out.extend_from_slice(escape.encode_utf8(&mut [0; 4]).as_bytes());
    }
    out.push(b'"');
}

/// Appends a number as Ruby's `Float#inspect` prints it: plain for 1e-4 ≤ |x| < 1e16, else with an exponent of two
/// digits and its sign.
fn ruby_float(number: f64, out: &mut Vec<u8>) {
    let magnitude = number.abs();
    if number == 0.0 || (1e-4..1e16).contains(&magnitude) {
        let text = format!("{number:?}");
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let text = format!("{number:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    out.extend_from_slice(mantissa.as_bytes());
    if !mantissa.contains('.') {
        out.extend_from_slice(b".0");
    }
    let (sign, digits) = exponent
        .strip_prefix('-')
        .map_or(('+', exponent), |digits| ('-', digits));
    out.extend_from_slice(format!("e{sign}{digits:0>2}").as_bytes());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::codecs::testing::encode;

    #[test]
    fn an_event_as_a_ruby_hash() {
        let event = json!({
            "@timestamp": "2024-01-02T03:04:05.678Z",
            "message": "a \"b\"\n#{c} \u{1b}[0m é",
            "host": {"name": "h", "ip": null},
            "list": [1, {"k": true}, []],
            "none": {},
            "n": 1.5
        });
        let expected = r#"{
    "@timestamp" => 2024-01-02T03:04:05.678Z,
      "@version" => "1",
          "host" => {
          "ip" => nil,
        "name" => "h"
    },
          "list" => [
        [0] 1,
        [1] {
            "k" => true
        },
        [2] []
    ],
       "message" => "a \"b\"\n\#{c} \e[0m é",
             "n" => 1.5,
          "none" => {}
}
"#;
        let written = String::from_utf8(encode(SPEC, "rubydebug {}", &event)).unwrap();
        assert_eq!(written, expected);
    }

    #[test]
    fn metadata_only_when_asked_for() {
        let event = json!({"@timestamp": "2024-01-02T03:04:05.678Z", "@metadata": {"a": 1}});
        let text = |config| String::from_utf8(encode(SPEC, config, &event)).unwrap();
        assert!(!text("rubydebug {}").contains("@metadata"));
        assert!(
            text("rubydebug { metadata => true }")
                .contains("     \"@metadata\" => {\n        \"a\" => 1\n    },\n")
        );
        let bare = encode(SPEC, "rubydebug { metadata => true }", &json!({}));
        assert!(!String::from_utf8(bare).unwrap().contains("@metadata"));
    }

    #[test]
    fn floats_as_ruby_prints_them() {
        for (number, text) in [
            (0.0, "0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e15, "1000000000000000.0"),
            (1e16, "1.0e+16"),
            (1.5e-7, "1.5e-07"),
            (1e-4, "0.0001"),
            (-2.5e300, "-2.5e+300"),
        ] {
            let mut out = Vec::new();
            ruby_float(number, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
