//! Action lines as the stand-in reads them: parsed once per form, compared afterwards.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::elasticsearch::action::Action;

/// Longest id that the quick way takes; longer ones are refused or empty ones answered on the slow way.
const MAX_QUICK_ID: usize = 512;

/// What an action line says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ActionLine {
    pub action: Action,
    pub index: Option<String>,
    pub id: Option<String>,
}

/// Parameters that a bulk action may have besides `_index` and `_id`.
const PARAMETERS: [&str; 14] = [
    "routing",
    "version",
    "version_type",
    "if_seq_no",
    "if_primary_term",
    "retry_on_conflict",
    "pipeline",
    "_source",
    "require_alias",
    "require_data_stream",
    "dynamic_templates",
    "list_executed_pipelines",
    "op_type",
    "_routing",
];

/// Parses one action line; `number` counts lines from 1.
pub(super) fn parse(line: &[u8], number: u64) -> Result<ActionLine, String> {
    let malformed = |what: String| format!("Malformed action/metadata line [{number}], {what}");
    if let Some(found) = no_object(line) {
        return Err(malformed(format!(
            "expected START_OBJECT but found [{found}]"
        )));
    }
    let mut reader = serde_json::Deserializer::from_slice(line);
    let parsed = reader
        .deserialize_map(LineVisitor)
        .and_then(|parsed| reader.end().map(|()| parsed));
    match parsed.map_err(|error| malformed(error.to_string()))? {
        Line::Good(parsed) => Ok(parsed),
        Line::Empty => Err(malformed(
            "expected FIELD_NAME but found [END_OBJECT]".to_owned(),
        )),
        Line::UnknownAction(name) => Err(malformed(format!(
            "expected field [create], [delete], [index] or [update] but found [{name}]"
        ))),
        Line::TwoActions => Err(malformed(
            "expected END_OBJECT but found another action".to_owned(),
        )),
        Line::UnknownParameter(name) => Err(format!(
            "Action/metadata line [{number}] contains an unknown parameter [{name}]"
        )),
    }
}

/// What stands where the line's brace should be, in Elasticsearch's words.
fn no_object(line: &[u8]) -> Option<&'static str> {
    match line.trim_ascii_start().first()? {
        b'{' => None,
        b'[' => Some("START_ARRAY"),
        b'"' => Some("VALUE_STRING"),
        b't' | b'f' => Some("VALUE_BOOLEAN"),
        b'n' => Some("VALUE_NULL"),
        b'-' | b'0'..=b'9' => Some("VALUE_NUMBER"),
        _ => Some("no JSON"),
    }
}

enum Line {
    Good(ActionLine),
    Empty,
    UnknownAction(String),
    TwoActions,
    UnknownParameter(String),
}

struct LineVisitor;

impl<'de> Visitor<'de> for LineVisitor {
    type Value = Line;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an action")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Line, A::Error> {
        let Some(name) = map.next_key::<String>()? else {
            return Ok(Line::Empty);
        };
        let Some(action) = Action::from_name(name.as_bytes()) else {
            drain(map)?;
            return Ok(Line::UnknownAction(name));
        };
        let parameters: Parameters = map.next_value()?;
        if map.next_key::<IgnoredAny>()?.is_some() {
            drain(map)?;
            return Ok(Line::TwoActions);
        }
        Ok(match parameters.unknown {
            Some(unknown) => Line::UnknownParameter(unknown),
            None => Line::Good(ActionLine {
                action,
                index: parameters.index,
                id: parameters.id,
            }),
        })
    }
}

/// Reads what is left of a map of which one key was taken.
fn drain<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>()?;
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

#[derive(Default)]
struct Parameters {
    index: Option<String>,
    id: Option<String>,
    unknown: Option<String>,
}

impl<'de> serde::Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ParametersVisitor)
    }
}

struct ParametersVisitor;

impl<'de> Visitor<'de> for ParametersVisitor {
    type Value = Parameters;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the parameters of the action")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parameters, A::Error> {
        let mut found = Parameters::default();
        let mut names: Vec<String> = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if names.contains(&name) {
                return Err(serde::de::Error::custom(format_args!(
                    "Duplicate field '{name}'"
                )));
            }
            match name.as_str() {
                "_index" => found.index = text(map.next_value()?)?,
                "_id" => found.id = text(map.next_value()?)?,
                "version" | "if_seq_no" | "if_primary_term" | "retry_on_conflict" => {
                    whole(&map.next_value()?)?;
                }
                known => {
                    if !PARAMETERS.contains(&known) && found.unknown.is_none() {
                        found.unknown = Some(known.to_owned());
                    }
                    map.next_value::<IgnoredAny>()?;
                }
            }
            names.push(name);
        }
        Ok(found)
    }
}

/// A string, or a number as its text; `null` counts as absent.
fn text<E: serde::de::Error>(value: serde_json::Value) -> Result<Option<String>, E> {
    match value {
        serde_json::Value::Null => Ok(None),
        serde_json::Value::String(text) => Ok(Some(text)),
        serde_json::Value::Number(number) => Ok(Some(number.to_string())),
        other => Err(E::custom(format_args!(
            "expected a string but found [{other}]"
        ))),
    }
}

fn whole<E: serde::de::Error>(value: &serde_json::Value) -> Result<(), E> {
    let good = match value {
        serde_json::Value::Null => true,
        serde_json::Value::Number(number) => number.to_string().parse::<i64>().is_ok(),
        serde_json::Value::String(text) => text.parse::<i64>().is_ok(),
        _ => false,
    };
    if good {
        Ok(())
    } else {
        Err(E::custom(format_args!("For input string: {value}")))
    }
}

/// The form of an action line of which only the id changes.
pub(super) struct Template {
    pub action: Action,
    pub index: u32,
    /// Up to the opening quote of the id; the whole line when it has none.
    head: Box<[u8]>,
    /// From the closing quote of the id to the newline.
    tail: Box<[u8]>,
    has_id: bool,
    /// The last bytes of `head`: lines of other indices differ there, for the names' lengths if for nothing else.
    end: Option<[u8; END]>,
}

/// Bytes of a form's head that are compared before all others.
const END: usize = 16;

/// None for a head that is shorter.
fn end_of(head: &[u8]) -> Option<[u8; END]> {
    head.last_chunk().copied()
}

impl Template {
    /// The form of `line`, which says `parsed`; `None` when the id cannot be told apart.
    pub fn learn(parsed: &ActionLine, line: &[u8], index: u32) -> Option<Self> {
        let Some(id) = &parsed.id else {
            return Some(Self {
                action: parsed.action,
                index,
                head: line.into(),
                tail: Box::default(),
                has_id: false,
                end: end_of(line),
            });
        };
        let needle = [b"\"_id\":\"", id.as_bytes(), b"\""].concat();
        let at = memchr::memmem::find(line, &needle)?;
        if line.contains(&b'\\') || memchr::memmem::find(line.get(at + 1..)?, b"\"_id\"").is_some()
        {
            return None;
        }
        let id_at = at + b"\"_id\":\"".len();
        let (head, rest) = line.split_at_checked(id_at)?;
        Some(Self {
            action: parsed.action,
            index,
            head: head.into(),
            tail: rest.get(id.len()..)?.into(),
            has_id: true,
            end: end_of(head),
        })
    }

    /// Whether `rest` begins with a line of this form: its id and its length.
    #[inline]
    pub fn matches<'a>(&self, rest: &'a [u8]) -> Option<(Option<&'a [u8]>, usize)> {
        let end = rest.get(..self.head.len())?.last_chunk::<END>();
        if end != self.end.as_ref() {
            return None;
        }
        let behind = rest.strip_prefix(&*self.head)?;
        if !self.has_id {
            return Some((None, self.head.len()));
        }
        let len = behind
            .iter()
            .take(MAX_QUICK_ID + 1)
            .position(|&b| !(0x20..0x80).contains(&b) || b == b'"' || b == b'\\')?;
        let (id, tail) = behind.split_at_checked(len)?;
        if id.is_empty() || !tail.starts_with(&self.tail) {
            return None;
        }
        Some((Some(id), self.head.len() + len + self.tail.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(line: &str) -> ActionLine {
        parse(line.as_bytes(), 1).unwrap()
    }

    fn bad(line: &str) -> String {
        parse(line.as_bytes(), 7).unwrap_err()
    }

    #[test]
    fn lines_are_read_as_elasticsearch_reads_them() {
        assert_eq!(
            good("{\"index\":{}}\n"),
            ActionLine {
                action: Action::Index,
                index: None,
                id: None
            }
        );
        let full = good(
            r#" {"create" : {"_id":5,"routing":null,"_index":"a","version":"3","pipeline":"p"} }"#,
        );
        assert_eq!(
            full,
            ActionLine {
                action: Action::Create,
                index: Some("a".into()),
                id: Some("5".into())
            }
        );
        assert_eq!(good(r#"{"delete":{"_id":null}}"#).id, None);
    }

    #[test]
    fn malformed_lines_say_why_in_its_words() {
        for (line, want) in [
            (
                "[1]",
                "Malformed action/metadata line [7], expected START_OBJECT but found [START_ARRAY]",
            ),
            (
                "\"index\"",
                "expected START_OBJECT but found [VALUE_STRING]",
            ),
            ("{}", "expected FIELD_NAME but found [END_OBJECT]"),
            (
                r#"{"foo":{"a":1}}"#,
                "expected field [create], [delete], [index] or [update] but found [foo]",
            ),
            (r#"{"index":1}"#, "Malformed action/metadata line [7], "),
            (
                r#"{"index":{"_type":"x"}}"#,
                "Action/metadata line [7] contains an unknown parameter [_type]",
            ),
            (
                r#"{"index":{"_index":"a","_index":"a"}}"#,
                "Duplicate field '_index'",
            ),
            (r#"{"index":{"version":"x"}}"#, "For input string"),
            (r#"{"index":{}} x"#, "trailing characters"),
            (r#"{"index":{}"#, "EOF"),
            (r#"{"index":{},"create":{}}"#, "another action"),
        ] {
            assert!(bad(line).contains(want), "{line}: {}", bad(line));
        }
    }

    #[test]
    fn a_form_takes_other_ids_and_nothing_else() {
        let line = b"{\"create\":{\"_index\":\"a\",\"_id\":\"x-1\",\"routing\":\"r\"}}\n";
        let template = Template::learn(&parse(line, 1).unwrap(), line, 3).unwrap();
        let other = b"{\"create\":{\"_index\":\"a\",\"_id\":\"another\",\"routing\":\"r\"}}\n{}\n";
        assert_eq!(
            template.matches(other),
            Some((Some(&b"another"[..]), other.len() - 3))
        );
        for unlike in [
            &b"{\"create\":{\"_index\":\"b\",\"_id\":\"x\",\"routing\":\"r\"}}\n"[..],
            b"{\"create\":{\"_index\":\"a\",\"_id\":\"x\",\"routing\":\"s\"}}\n",
            b"{\"create\":{\"_index\":\"a\",\"_id\":\"x\\\"\",\"routing\":\"r\"}}\n",
            b"{\"create\":{\"_index\":\"a\",\"_id\":\"\",\"routing\":\"r\"}}\n",
            b"{\"create\":{\"_index\":\"a\",\"_id\":\"x",
        ] {
            assert_eq!(
                template.matches(unlike),
                None,
                "{}",
                String::from_utf8_lossy(unlike)
            );
        }
        let plain = b"{\"index\":{\"_index\":\"a\"}}\n";
        let template = Template::learn(&parse(plain, 1).unwrap(), plain, 0).unwrap();
        assert_eq!(template.matches(plain), Some((None, plain.len())));
        let short = b"{\"index\":{}}\n";
        let template = Template::learn(&parse(short, 1).unwrap(), short, 0).unwrap();
        assert_eq!(template.matches(short), Some((None, short.len())));
    }
}
