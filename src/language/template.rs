//! Templates with `%{…}` placeholders: field references, dates and the time of day, parsed once at load.

use crate::language::field_path::{EscapeStyle, FieldPath, FieldPathError};

/// A parsed template.
///
/// The scan knows neither nesting nor escapes: a placeholder begins at `%{` and ends at the next `}`. What an absent
/// field or an unusable date pattern means is for whoever renders the template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Literals and placeholders in order; neighbouring literals are joined, empty ones left out.
    pub parts: Vec<TemplatePart>,
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplatePart {
    /// Text that is copied.
    Literal(String),
    /// The value of a field.
    Field {
        /// The field.
        path: FieldPath,
        /// The placeholder as written, `%{` and `}` included: rendered when the field is missing or null.
        raw: String,
    },
    /// Whole seconds since 1970 of the event's time: `%{+%s}` and, as in the original, `%{}`, `%{+}` and `%{+%}`.
    EpochSeconds,
    /// The event's time by a Joda-Time pattern: `%{+YYYY.MM.dd}`.
    Joda(String),
    /// The event's time by a `java.time` pattern: `%{{yyyy-MM-dd}}`.
    JavaTime(String),
    /// The present time in ISO 8601: `%{{TIME_NOW}}`.
    TimeNow,
}

impl Template {
    /// Parses a template whose field references use no escapes.
    ///
    /// # Errors
    /// When a placeholder is an illegal field reference, such as `%{[a}`.
    pub fn parse(text: &str) -> Result<Template, FieldPathError> {
        Template::parse_with(text, EscapeStyle::None)
    }

    /// Parses a template whose field references use the given escape style.
    ///
    /// # Errors
    /// When a placeholder is an illegal field reference, such as `%{[a}`.
    pub fn parse_with(text: &str, style: EscapeStyle) -> Result<Template, FieldPathError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(placeholder) = Placeholder::find(rest) {
            push_literal(&mut parts, placeholder.before);
            parts.push(placeholder.part(style)?);
            rest = placeholder.after;
        }
        push_literal(&mut parts, rest);
        Ok(Template { parts })
    }

    /// The whole text when the template has no placeholder.
    #[must_use]
    pub fn as_literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [TemplatePart::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// The fields that the template reads.
    pub fn fields(&self) -> impl Iterator<Item = &FieldPath> {
        self.parts.iter().filter_map(|part| match part {
            TemplatePart::Field { path, .. } => Some(path),
            _ => None,
        })
    }
}

fn push_literal(parts: &mut Vec<TemplatePart>, text: &str) {
    if !text.is_empty() {
        parts.push(TemplatePart::Literal(text.to_owned()));
    }
}

/// The first placeholder of a text.
struct Placeholder<'a> {
    before: &'a str,
    /// With `%{` and `}`.
    raw: &'a str,
    /// Without them.
    inner: &'a str,
    after: &'a str,
}

impl<'a> Placeholder<'a> {
    fn find(text: &'a str) -> Option<Placeholder<'a>> {
        let (before, from_open) = text.split_at(text.find("%{")?);
        let mut close = from_open.find('}')?;
        let mut inner = from_open.get(2..close)?;
        if inner.starts_with('{') && from_open.get(close + 1..)?.starts_with('}') {
            close += 1;
            inner = from_open.get(2..close)?;
        }
        let (raw, after) = from_open.split_at(close + 1);
        Some(Placeholder {
            before,
            raw,
            inner,
            after,
        })
    }

    fn part(&self, style: EscapeStyle) -> Result<TemplatePart, FieldPathError> {
        if "+%s".starts_with(self.inner) {
            return Ok(TemplatePart::EpochSeconds);
        }
        if self.raw.ends_with("}}") {
            // Only the `{{…}}` form keeps a closing brace inside.
            let pattern = self
                .inner
                .strip_prefix('{')
                .and_then(|inner| inner.strip_suffix('}'))
                .unwrap_or_default();
            return Ok(match pattern {
                "TIME_NOW" => TemplatePart::TimeNow,
                pattern => TemplatePart::JavaTime(pattern.to_owned()),
            });
        }
        if let Some(pattern) = self.inner.strip_prefix('+') {
            return Ok(TemplatePart::Joda(pattern.to_owned()));
        }
        let path = FieldPath::parse(self.inner, style)?;
        Ok(TemplatePart::Field {
            path,
            raw: self.raw.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TemplatePart::{EpochSeconds, JavaTime, Joda, TimeNow};

    fn parts(text: &str) -> Vec<TemplatePart> {
        Template::parse(text).unwrap().parts
    }

    fn literal(text: &str) -> TemplatePart {
        TemplatePart::Literal(text.to_owned())
    }

    fn field(reference: &str) -> TemplatePart {
        let path = FieldPath::parse(reference, EscapeStyle::None).unwrap();
        TemplatePart::Field {
            path,
            raw: format!("%{{{reference}}}"),
        }
    }

    #[test]
    fn fields_between_literals() {
        assert_eq!(
            parts("x%{a}y%{[h][k]}"),
            [literal("x"), field("a"), literal("y"), field("[h][k]")]
        );
        assert_eq!(parts("%{a}%{a}"), [field("a"), field("a")]);
        assert_eq!(parts("%%{a}"), [literal("%"), field("a")]);
        assert_eq!(parts("%{@timestamp}"), [field("@timestamp")]);
        assert_eq!(parts("%{[[a][b]][-1]}")[0], {
            let path = FieldPath {
                segments: vec!["a".into(), "b".into(), "-1".into()],
            };
            TemplatePart::Field {
                path,
                raw: "%{[[a][b]][-1]}".into(),
            }
        });
    }

    #[test]
    fn dates() {
        for text in ["%{+%s}", "%{}", "%{+}", "%{+%}"] {
            assert_eq!(parts(text), [EpochSeconds], "{text}");
        }
        assert_eq!(parts("%{+YYYY.MM.dd}"), [Joda("YYYY.MM.dd".into())]);
        assert_eq!(parts("%{+%s }"), [Joda("%s ".into())]);
        assert_eq!(
            parts("l-%{{yyyy-MM-dd'T'HH}}!"),
            [
                literal("l-"),
                JavaTime("yyyy-MM-dd'T'HH".into()),
                literal("!")
            ]
        );
        assert_eq!(parts("%{{TIME_NOW}}"), [TimeNow]);
        assert_eq!(parts("%{{}}"), [JavaTime(String::new())]);
    }

    #[test]
    fn what_is_no_placeholder_stays() {
        for text in ["", "a", "%{", "%{a", "100%{", "%", "a}b", "}%{", "{a}"] {
            let template = Template::parse(text).unwrap();
            assert_eq!(template.as_literal(), Some(text));
        }
    }

    #[test]
    fn no_nesting() {
        let odd = TemplatePart::Field {
            path: FieldPath::top_level("%{a"),
            raw: "%{%{a}".into(),
        };
        assert_eq!(parts("%{%{a}}"), [odd, literal("}")]);
        let lone = TemplatePart::Field {
            path: FieldPath::top_level("{a"),
            raw: "%{{a}".into(),
        };
        assert_eq!(parts("%{{a} }"), [lone.clone(), literal(" }")]);
        assert_eq!(parts("%{{a}"), [lone]);
        assert_eq!(parts("%{a}}"), [field("a"), literal("}")]);
    }

    #[test]
    fn illegal_references_are_errors() {
        for text in ["%{[a}", "%{a]}", "%{a[b]}", "x %{[]} y"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn escape_style_and_fields() {
        let template =
            Template::parse_with("%{[a%5Bb]} %{+YYYY} %{c}", EscapeStyle::Percent).unwrap();
        let names: Vec<_> = template
            .fields()
            .map(|path| path.segments.clone())
            .collect();
        assert_eq!(names, [["a[b"], ["c"]]);
        assert_eq!(template.as_literal(), None);
    }
}
