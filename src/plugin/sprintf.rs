//! `%{…}` templates, compiled once and rendered per event.

use super::build::Build;
use crate::event::{Batch, EventId, Path, Value};
use crate::language::ast::Span;
use crate::language::{Template, TemplatePart};
use crate::time::{JavaTimeFormatter, JodaFormatter, Timestamp};

#[derive(Debug)]
enum Part {
    Text(Box<[u8]>),
    Field {
        path: Path,
        placeholder: Box<[u8]>,
    },
    EpochSeconds,
    Joda(JodaFormatter),
    JavaTime(JavaTimeFormatter),
    TimeNow,
    /// A date pattern that the original refuses when it is used; kept literally and reported at load.
    Broken(Box<[u8]>),
}

/// A template such as `project-ai-%{[service][name]}-%{+YYYY.MM.dd}`.
///
/// Source: Logstash `StringInterpolation`; a missing or null field leaves its placeholder as it is.
#[derive(Debug)]
pub struct Sprintf {
    source: String,
    parts: Vec<Part>,
    constant: Option<Value>,
}

impl Sprintf {
    /// Compiles a template. An illegal field reference is an error of the config; so is an illegal date
    /// pattern.
    pub fn compile(text: &str, build: &mut Build<'_>, span: Span) -> Option<Sprintf> {
        let template = match Template::parse(text) {
            Ok(template) => template,
            Err(error) => {
                build.error(
                    "field-reference",
                    format!("`{text}` holds an illegal field reference: {error}"),
                    span,
                );
                return None;
            }
        };
        let mut parts = Vec::with_capacity(template.parts.len());
        let mut broken = None;
        for part in template.parts {
            parts.push(match part {
                TemplatePart::Literal(text) => Part::Text(text.into_bytes().into()),
                TemplatePart::Field {
                    path,
                    raw: placeholder,
                } => Part::Field {
                    path: build.keys.path(&path),
                    placeholder: placeholder.into_bytes().into(),
                },
                TemplatePart::EpochSeconds => Part::EpochSeconds,
                TemplatePart::TimeNow => Part::TimeNow,
                TemplatePart::Joda(pattern) => match JodaFormatter::compile(&pattern) {
                    Ok(formatter) => Part::Joda(formatter),
                    Err(error) => {
                        broken = Some(error.to_string());
                        Part::Broken(format!("%{{+{pattern}}}").into_bytes().into())
                    }
                },
                TemplatePart::JavaTime(pattern) => match JavaTimeFormatter::compile(&pattern) {
                    Ok(formatter) => Part::JavaTime(formatter),
                    Err(error) => {
                        broken = Some(error.to_string());
                        Part::Broken(format!("%{{{{{pattern}}}}}").into_bytes().into())
                    }
                },
            });
        }
        if let Some(error) = broken {
            build.error(
                "date-pattern",
                format!("`{text}` holds an illegal date pattern: {error}"),
                span,
            );
        }
        let constant = match parts.as_slice() {
            [] => Some(build.keys.constant(b"")),
            [Part::Text(text)] => Some(build.keys.constant(text)),
            _ => None,
        };
        Some(Sprintf {
            source: text.to_owned(),
            parts,
            constant,
        })
    }

    /// A template without placeholders.
    #[must_use]
    pub fn literal(text: &str, build: &mut Build<'_>) -> Sprintf {
        let constant = Some(build.keys.constant(text.as_bytes()));
        Sprintf {
            source: text.to_owned(),
            parts: vec![Part::Text(text.as_bytes().into())],
            constant,
        }
    }

    /// The template as written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The value, when it is the same for all events.
    #[must_use]
    pub fn constant(&self) -> Option<Value> {
        self.constant
    }

    /// The text, when it is the same for all events.
    #[must_use]
    pub fn as_literal(&self) -> Option<&str> {
        self.constant.is_some().then_some(self.source.as_str())
    }

    /// The field, when the template is nothing but one `%{field}`.
    #[must_use]
    pub fn as_field(&self) -> Option<&Path> {
        match self.parts.as_slice() {
            [Part::Field { path, .. }] => Some(path),
            _ => None,
        }
    }

    /// Appends the text for an event. False when a placeholder stayed unresolved.
    pub fn render(&self, batch: &mut Batch, id: EventId, out: &mut Vec<u8>) -> bool {
        let mut resolved = true;
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Field { path, placeholder } => {
                    let value = batch.get(id, path);
                    if !batch.render(value, out) {
                        out.extend_from_slice(placeholder);
                        resolved = false;
                    }
                }
                Part::EpochSeconds => {
                    if let Some(at) = batch.timestamp(id) {
                        out.extend_from_slice(at.secs.to_string().as_bytes());
                    }
                }
                Part::Joda(formatter) => {
                    if let Some(at) = batch.timestamp(id) {
                        formatter.write(at, out);
                    }
                }
                Part::JavaTime(formatter) => {
                    if let Some(at) = batch.timestamp(id) {
                        formatter.write(at, out);
                    }
                }
                Part::TimeNow => Timestamp::now().write_iso8601(out),
                Part::Broken(text) => {
                    out.extend_from_slice(text);
                    resolved = false;
                }
            }
        }
        resolved
    }

    /// The field, when the text depends on exactly one field and the day of `@timestamp`.
    #[must_use]
    pub fn daily_field(&self) -> Option<&Path> {
        let mut found = None;
        for part in &self.parts {
            match part {
                Part::Field { path, .. } if found.is_none() => found = Some(path),
                Part::Text(_) => {}
                Part::Joda(formatter)
                    if formatter.granularity() == crate::time::Granularity::Day => {}
                _ => return None,
            }
        }
        found
    }

    /// True when the text depends on nothing finer than the day of `@timestamp`, so that it can be kept
    /// from event to event of one day.
    #[must_use]
    pub fn is_daily(&self) -> bool {
        self.parts.iter().all(|part| match part {
            Part::Text(_) => true,
            Part::Joda(formatter) => formatter.granularity() == crate::time::Granularity::Day,
            Part::JavaTime(formatter) => formatter.granularity() == crate::time::Granularity::Day,
            _ => false,
        })
    }
}
