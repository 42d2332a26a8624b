//! Replaces `${NAME}` and `${NAME:default}` in the values of a configuration.

use crate::language::ast::{
    Cond, CondKind, Config, Item, Operand, OperandKind, Plugin, Span, Value, ValueKind,
};
use crate::language::diagnostic::Diagnostic;

/// Where a variable is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// In an option's value, at any depth.
    Option,
    /// In the value of the option `id`, which secrets must not reach.
    Id,
    /// As a whole string constant of a condition.
    Condition,
}

/// The value of an option's text after substitution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expanded {
    /// There was no variable in it.
    Unchanged,
    /// Text with its variables replaced and one pair of enclosing quotes removed.
    Text(String),
    /// The text became `[a, b]` and was split at its commas, each element without its quotes.
    List(Vec<String>),
}

/// A variable without value and default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndefinedVariable {
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for UndefinedVariable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "cannot evaluate `${{{}}}`: the variable is not set and no default is given",
            self.name
        )
    }
}

impl std::error::Error for UndefinedVariable {}

/// Replaces every variable of a text, wherever it stands in it; nothing else is changed. Values are not searched for
/// further variables.
///
/// # Errors
/// When a variable is unknown to `lookup` and has no default.
pub fn replace(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<String>, UndefinedVariable> {
    let mut out = String::new();
    let mut rest = text;
    let mut found = false;
    while let Some(variable) = Variable::find(rest) {
        found = true;
        out.push_str(variable.before);
        out.push_str(&variable.value(lookup)?);
        rest = variable.after;
    }
    out.push_str(rest);
    Ok(found.then_some(out))
}

/// Replaces the variables of an option's value. A text that had any is then refined: one pair of enclosing `'`, then
/// one of `"` is removed, and `[a, b]` becomes a list.
///
/// # Errors
/// When a variable is unknown to `lookup` and has no default.
pub fn expand(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Expanded, UndefinedVariable> {
    let Some(replaced) = replace(text, lookup)? else {
        return Ok(Expanded::Unchanged);
    };
    let refined = unquote(&replaced);
    let Some(inner) = refined
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    else {
        return Ok(Expanded::Text(refined.to_owned()));
    };
    let mut elements: Vec<String> = inner
        .split(',')
        .map(|element| unquote(element.trim()).to_owned())
        .collect();
    // As in the original empty elements count, but not at the end.
    let kept = inner
        .split(',')
        .collect::<Vec<_>>()
        .iter()
        .rposition(|raw| !raw.is_empty())
        .map_or(0, |last| last + 1);
    elements.truncate(kept);
    Ok(Expanded::List(elements))
}

/// Replaces the variable that is the whole of a condition's string constant; other texts stay as they are.
///
/// # Errors
/// When the variable is unknown to `lookup` and has no default.
pub fn expand_whole(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<String>, UndefinedVariable> {
    match Variable::find(text) {
        Some(variable) if variable.before.is_empty() && variable.after.is_empty() => {
            variable.value(lookup).map(Some)
        }
        _ => Ok(None),
    }
}

/// Replaces all variables of a configuration in place: in option values at any depth but not in hash keys, names or
/// regular expressions, and in conditions where one is the whole of a string constant. Returns an error for each
/// variable that has neither value nor default; its text stays.
pub fn substitute(
    config: &mut Config,
    lookup: &dyn Fn(&str, Place) -> Option<String>,
) -> Vec<Diagnostic> {
    let mut walk = Walk {
        lookup,
        diagnostics: Vec::new(),
    };
    for section in &mut config.sections {
        walk.items(&mut section.items);
    }
    walk.diagnostics
}

/// The first variable of a text.
struct Variable<'a> {
    before: &'a str,
    name: &'a str,
    default: Option<&'a str>,
    after: &'a str,
}

impl<'a> Variable<'a> {
    fn find(text: &'a str) -> Option<Variable<'a>> {
        let mut from = 0;
        loop {
            let start = from + text.get(from..)?.find("${")?;
            from = start + 2;
            let rest = text.get(from..)?;
            let len = rest
                .bytes()
                .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'))
                .count();
            let (name, tail) = rest.split_at(len);
            if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
                continue;
            }
            let before = text.get(..start)?;
            if let Some(after) = tail.strip_prefix('}') {
                return Some(Variable {
                    before,
                    name,
                    default: None,
                    after,
                });
            }
            if let Some((default, after)) =
                tail.strip_prefix(':').and_then(|tail| tail.split_once('}'))
            {
                return Some(Variable {
                    before,
                    name,
                    default: Some(default),
                    after,
                });
            }
        }
    }

    fn value(&self, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, UndefinedVariable> {
        lookup(self.name)
            .or_else(|| self.default.map(str::to_owned))
            .ok_or_else(|| UndefinedVariable {
                name: self.name.to_owned(),
            })
    }
}

fn unquote(text: &str) -> &str {
    strip_pair(strip_pair(text, '\''), '"')
}

/// Without the character at both ends. A lone one is both its ends.
fn strip_pair(text: &str, quote: char) -> &str {
    match text.strip_prefix(quote) {
        Some("") => "",
        Some(rest) => rest.strip_suffix(quote).unwrap_or(text),
        None => text,
    }
}

struct Walk<'a> {
    lookup: &'a dyn Fn(&str, Place) -> Option<String>,
    diagnostics: Vec<Diagnostic>,
}

impl Walk<'_> {
    fn items(&mut self, items: &mut [Item]) {
        for item in items {
            match item {
                Item::Plugin(plugin) => self.plugin(plugin),
                Item::Branch(branch) => {
                    for arm in &mut branch.arms {
                        self.condition(&mut arm.condition);
                        self.items(&mut arm.items);
                    }
                    self.items(branch.otherwise.as_deref_mut().unwrap_or_default());
                }
            }
        }
    }

    fn plugin(&mut self, plugin: &mut Plugin) {
        for attr in &mut plugin.attrs {
            let place = if attr.name.text == "id" {
                Place::Id
            } else {
                Place::Option
            };
            self.value(&mut attr.value, place);
        }
    }

    fn value(&mut self, value: &mut Value, place: Place) {
        match &mut value.kind {
            ValueKind::String(text) => {
                let span = value.span;
                let lookup = self.lookup;
                match expand(text, &|name| lookup(name, place)) {
                    Ok(Expanded::Unchanged) => {}
                    Ok(Expanded::Text(text)) => value.kind = ValueKind::String(text),
                    Ok(Expanded::List(elements)) => {
                        let element = |text| Value {
                            kind: ValueKind::String(text),
                            span,
                        };
                        value.kind = ValueKind::Array(elements.into_iter().map(element).collect());
                    }
                    Err(error) => self.undefined(&error, span),
                }
            }
            ValueKind::Array(elements) => elements
                .iter_mut()
                .for_each(|element| self.value(element, place)),
            ValueKind::Hash(entries) => entries
                .iter_mut()
                .for_each(|(_, value)| self.value(value, place)),
            ValueKind::Plugin(plugin) => self.plugin(plugin),
            ValueKind::Bareword(_) | ValueKind::Number(_) => {}
        }
    }

    fn condition(&mut self, condition: &mut Cond) {
        match &mut condition.kind {
            CondKind::And(left, right)
            | CondKind::Or(left, right)
            | CondKind::Xor(left, right)
            | CondKind::Nand(left, right) => {
                self.condition(left);
                self.condition(right);
            }
            CondKind::Not(inner) => self.condition(inner),
            CondKind::In {
                needle: left,
                haystack: right,
                ..
            }
            | CondKind::Compare { left, right, .. } => {
                self.operand(left);
                self.operand(right);
            }
            CondKind::Match { left: operand, .. } | CondKind::Truthy(operand) => {
                self.operand(operand);
            }
        }
    }

    fn operand(&mut self, operand: &mut Operand) {
        match &mut operand.kind {
            OperandKind::String(text) => {
                let lookup = self.lookup;
                match expand_whole(text, &|name| lookup(name, Place::Condition)) {
                    Ok(Some(value)) => *text = value,
                    Ok(None) => {}
                    Err(error) => self.undefined(&error, operand.span),
                }
            }
            OperandKind::Array(elements) => elements
                .iter_mut()
                .for_each(|element| self.operand(element)),
            OperandKind::Number(_) | OperandKind::Field(_) | OperandKind::Regex(_) => {}
        }
    }

    fn undefined(&mut self, error: &UndefinedVariable, span: Span) {
        let hint = format!(
            "set it in the environment, or give a default: `${{{}:value}}`",
            error.name
        );
        self.diagnostics
            .push(Diagnostic::error("undefined-variable", error.to_string(), span).hint(hint));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::parse::{ParseOptions, parse};
    use crate::language::source::SourceMap;

    fn lookup(name: &str) -> Option<String> {
        let value = match name {
            "A" => "1",
            "a.b_c" => "dotted",
            "EMPTY" => "",
            "QUOTED" => "'\"x\"'",
            "LIST" => "[\"a:9200\", 'b:9200' ,c,,]",
            "AGAIN" => "${A}",
            _ => return None,
        };
        Some(value.to_owned())
    }

    #[test]
    fn variables_anywhere_in_a_text() {
        let ask = |text| replace(text, &lookup).unwrap();
        assert_eq!(ask("x${A}y${a.b_c}").as_deref(), Some("x1ydotted"));
        assert_eq!(
            ask("${NO:default}${NO:}|${EMPTY:x}").as_deref(),
            Some("default|")
        );
        assert_eq!(ask("${AGAIN}").as_deref(), Some("${A}"));
        assert_eq!(ask("${NO:a:b${c}").as_deref(), Some("a:b${c"));
        for text in [
            "", "$A", "${}", "${1A}", "${A", "${A-b}", "$ {A}", "%{A}", "${A:x",
        ] {
            assert_eq!(ask(text), None, "{text}");
        }
        assert_eq!(ask("${${A}").as_deref(), Some("${1"));
        assert_eq!(replace("x${NO}", &lookup).unwrap_err().name, "NO");
    }

    #[test]
    fn values_are_refined_once_something_was_replaced() {
        let ask = |text| expand(text, &lookup).unwrap();
        assert_eq!(ask("'x'"), Expanded::Unchanged);
        assert_eq!(ask("${QUOTED}"), Expanded::Text("x".into()));
        assert_eq!(ask("${NO:'}"), Expanded::Text(String::new()));
        assert_eq!(
            ask("[${A},2]"),
            Expanded::List(vec!["1".into(), "2".into()])
        );
        let list = ["a:9200", "b:9200", "c"].map(String::from).to_vec();
        assert_eq!(ask("${LIST}"), Expanded::List(list));
        assert_eq!(ask("${NO:[]}"), Expanded::List(vec![]));
        assert_eq!(
            ask("${NO:[,a]}"),
            Expanded::List(vec![String::new(), "a".into()])
        );
        assert_eq!(ask("${NO:[}"), Expanded::Text("[".into()));
    }

    #[test]
    fn conditions_take_only_whole_constants() {
        let ask = |text| expand_whole(text, &lookup).unwrap();
        assert_eq!(ask("${A}").as_deref(), Some("1"));
        assert_eq!(ask("${NO:'x'}").as_deref(), Some("'x'"));
        assert_eq!(ask("x${A}"), None);
        assert_eq!(ask("${A}${A}"), None);
        assert!(expand_whole("${NO}", &lookup).is_err());
    }

    #[test]
    fn a_whole_configuration() {
        let text = r#"
            filter {
              if [a] == "${A}" and [b] in ["${A}", "x${A}"] and [c] =~ "${A}" {
                mutate { id => "${SECRET:x}" hosts => "${LIST}" h => { "${A}" => ["${A}"] } codec => json { c => "${A}" } }
              } else { drop { x => "${NO}" y => "${NO:1}" z => "${NO2}" } }
            }"#;
        let source = SourceMap::single("t", text).unwrap();
        let parsed = parse(&source, ParseOptions::default());
        assert!(!parsed.has_errors(), "{:?}", parsed.diagnostics);
        let mut config = parsed.config;
        let errors = substitute(&mut config, &|name, place| match (name, place) {
            ("SECRET", Place::Option) => Some("secret".into()),
            _ => lookup(name),
        });
        let places: Vec<&str> = errors
            .iter()
            .map(|error| source.slice(error.span))
            .collect();
        assert_eq!(places, ["\"${NO}\"", "\"${NO2}\""]);
        assert!(
            errors[0].message.contains("`${NO}`"),
            "{}",
            errors[0].message
        );
        let shown = format!("{config:?}");
        assert_eq!(shown.matches("String(\"1\")").count(), 5);
        assert!(
            shown.contains("String(\"x${A}\")") && shown.contains("pattern: \"${A}\""),
            "{shown}"
        );
        assert!(
            shown.contains("kind: String(\"${A}\")") && shown.contains("String(\"b:9200\")"),
            "{shown}"
        );
        assert!(!shown.contains("secret"));
    }
}
