//! Warnings for text that is legal and surprising: quirks of the language that rarely do what their author meant.

use std::collections::HashMap;

use crate::language::ast::{
    CompareOp, Cond, CondKind, Config, Item, Number, Operand, OperandKind, Plugin, SectionKind,
    Span, Value, ValueKind,
};
use crate::language::diagnostic::Diagnostic;
use crate::language::field_path::FieldPath;
use crate::language::source::SourceMap;

/// Appends the warnings for a parsed configuration.
pub(super) fn lint(config: &Config, source: &SourceMap, diagnostics: &mut Vec<Diagnostic>) {
    let mut linter = Linter {
        source,
        diagnostics,
        compared: HashMap::new(),
    };
    for section in &config.sections {
        linter.items(&section.items, section.kind);
    }
}

struct Linter<'a> {
    source: &'a SourceMap,
    diagnostics: &'a mut Vec<Diagnostic>,
    /// The type that each field was first compared with, and where.
    compared: HashMap<FieldPath, (&'static str, Span)>,
}

impl Linter<'_> {
    fn warn(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.diagnostics
            .push(Diagnostic::warning(code, message, span).hint(hint));
    }

    fn items(&mut self, items: &[Item], kind: SectionKind) {
        for item in items {
            match item {
                Item::Plugin(plugin) => self.plugin(plugin),
                Item::Branch(branch) => {
                    if kind == SectionKind::Input {
                        let keyword =
                            Span::new(branch.span.start, branch.span.start.saturating_add(2));
                        self.warn(
                            "conditional-in-input",
                            keyword,
                            "a conditional in `input` has no event to test",
                            "move it to `filter`, or remove it",
                        );
                    }
                    for arm in &branch.arms {
                        self.condition(&arm.condition);
                        self.items(&arm.items, kind);
                    }
                    self.items(branch.otherwise.as_deref().unwrap_or_default(), kind);
                }
            }
        }
    }

    fn plugin(&mut self, plugin: &Plugin) {
        for attr in &plugin.attrs {
            // File modes are the one place where octal is what people mean.
            if !attr.name.text.ends_with("_mode") {
                self.value(&attr.value);
            }
        }
    }

    fn value(&mut self, value: &Value) {
        match &value.kind {
            ValueKind::Plugin(plugin) => self.plugin(plugin),
            ValueKind::Number(number) => self.octal(number, value.span),
            ValueKind::Array(elements) => elements.iter().for_each(|element| self.value(element)),
            ValueKind::Hash(entries) => entries.iter().for_each(|(_, value)| self.value(value)),
            ValueKind::Bareword(_) | ValueKind::String(_) => {}
        }
    }

    fn octal(&mut self, number: &Number, span: Span) {
        let Number::Int { value, text } = number else {
            return;
        };
        if text.parse() != Ok(*value) {
            let message = format!("`{text}` is octal and means {value}");
            self.warn(
                "octal",
                span,
                message,
                "leave out the leading zero, or quote it if it is not a number",
            );
        }
    }

    // ---- conditions ----

    fn condition(&mut self, condition: &Cond) {
        match &condition.kind {
            CondKind::And(left, right)
            | CondKind::Or(left, right)
            | CondKind::Xor(left, right)
            | CondKind::Nand(left, right) => {
                self.condition(left);
                self.condition(right);
            }
            CondKind::Not(inner) => self.condition(inner),
            CondKind::Truthy(operand) => {
                if is_constant(operand) {
                    self.constant_condition(condition.span);
                }
                self.operand(operand);
            }
            CondKind::Match { left, .. } => {
                if is_constant(left) {
                    self.constant_condition(condition.span);
                }
                self.operand(left);
            }
            CondKind::In {
                needle,
                haystack,
                negated,
            } => self.membership(condition.span, needle, haystack, *negated),
            CondKind::Compare { left, op, right } => {
                self.comparison(condition.span, left, *op, right);
            }
        }
    }

    fn constant_condition(&mut self, span: Span) {
        self.warn(
            "constant-condition",
            span,
            "this condition holds only constants, so it is always the same",
            "name a field in brackets, `[field]`, where one was meant",
        );
    }

    fn operand(&mut self, operand: &Operand) {
        match &operand.kind {
            OperandKind::Number(number) => self.octal(number, operand.span),
            OperandKind::Array(elements) => {
                for element in elements {
                    self.operand(element);
                }
            }
            OperandKind::String(_) | OperandKind::Field(_) | OperandKind::Regex(_) => {}
        }
    }

    fn membership(&mut self, span: Span, needle: &Operand, haystack: &Operand, negated: bool) {
        self.operand(needle);
        self.operand(haystack);
        let result = if negated { "true" } else { "false" };
        if let Some(literal) = self.one_element(haystack) {
            let hint = format!("write `[{literal}, {literal}]`, or compare with `==`");
            self.field_lookalike(haystack, &literal, hint);
        } else if is_constant(needle) && is_constant(haystack) {
            let message = match haystack.kind {
                OperandKind::Array(_) => {
                    format!("a constant is never in a literal array: this is always {result}")
                }
                _ => "between two constants `in` only tests for equality".to_owned(),
            };
            self.warn(
                "constant-in-constant",
                span,
                message,
                "name a field in brackets where one was meant",
            );
        }
        if let Some(literal) = self.one_element(needle) {
            self.field_lookalike(
                needle,
                &literal,
                format!("write `{literal}` without brackets"),
            );
        }
    }

    fn comparison(&mut self, span: Span, left: &Operand, op: CompareOp, right: &Operand) {
        self.operand(left);
        self.operand(right);
        for operand in [left, right] {
            if let Some(literal) = self.one_element(operand) {
                self.field_lookalike(
                    operand,
                    &literal,
                    format!("write `{literal}` without brackets"),
                );
            }
            if matches!(&operand.kind, OperandKind::Array(elements) if elements.len() >= 2) {
                let message = format!(
                    "`{}` with an array compares with its first string or number only",
                    op.symbol()
                );
                self.warn(
                    "array-comparison",
                    operand.span,
                    message,
                    "write `[field] in [ … ]`",
                );
            }
        }
        if is_constant(left) && is_constant(right) {
            self.constant_condition(span);
        }
        for (field, constant) in [(left, right), (right, left)] {
            if let OperandKind::Field(path) = &field.kind
                && self.one_element(field).is_none()
            {
                self.compared_types(path, op, constant);
            }
        }
    }

    /// One field compared with text here and with a number there cannot be right in both places.
    fn compared_types(&mut self, path: &FieldPath, op: CompareOp, constant: &Operand) {
        let (kind, example) = match &constant.kind {
            OperandKind::String(text) => {
                let ordered = !matches!(op, CompareOp::Eq | CompareOp::Ne);
                if ordered && text.parse::<f64>().is_ok() {
                    let message = format!(
                        "`{}` orders text by its bytes here: \"10\" is less than \"9\"",
                        op.symbol()
                    );
                    let hint =
                        format!("for numbers write `{text}` without quotes and convert the field");
                    self.warn("text-order", constant.span, message, hint);
                }
                ("text", "\"5\"")
            }
            OperandKind::Number(_) => ("a number", "5"),
            _ => return,
        };
        let &mut (first, place) = self
            .compared
            .entry(path.clone())
            .or_insert((kind, constant.span));
        if first != kind {
            let place = self.source.locate(place.start);
            let message = format!(
                "`{path}` is compared with {kind} here and with {first} in {} line {}",
                place.file, place.line
            );
            let hint = format!(
                "text never equals a number: `{example}` matches only fields of its own type"
            );
            self.warn("type-mismatch", constant.span, message, hint);
        }
    }

    fn field_lookalike(&mut self, operand: &Operand, literal: &str, hint: String) {
        let message = format!("an array with one element is read as the field named `{literal}`");
        self.warn("one-element-array", operand.span, message, hint);
    }

    /// The text between the brackets when a field looks like an array with one constant: `["x"]`, `[80]`.
    fn one_element(&self, operand: &Operand) -> Option<String> {
        if !matches!(operand.kind, OperandKind::Field(_)) {
            return None;
        }
        let inner = self
            .source
            .slice(operand.span)
            .strip_prefix('[')?
            .strip_suffix(']')?
            .trim();
        let quoted = inner.len() >= 2
            && ['"', '\'']
                .iter()
                .any(|&quote| inner.starts_with(quote) && inner.ends_with(quote))
            && !inner.contains(['[', ']']);
        (quoted || inner.parse::<f64>().is_ok_and(f64::is_finite)).then(|| inner.to_owned())
    }
}

fn is_constant(operand: &Operand) -> bool {
    !matches!(operand.kind, OperandKind::Field(_))
}

#[cfg(test)]
mod tests {
    use crate::language::parse::{ParseOptions, parse};
    use crate::language::source::SourceMap;

    fn codes(text: &str) -> Vec<&'static str> {
        let source = SourceMap::single("t", text).unwrap();
        let parsed = parse(&source, ParseOptions::default());
        assert!(!parsed.has_errors(), "{text}: {:?}", parsed.diagnostics);
        parsed
            .diagnostics
            .iter()
            .map(|diagnostic| diagnostic.code)
            .collect()
    }

    fn condition(text: &str) -> Vec<&'static str> {
        codes(&format!("filter {{ if {text} {{ drop {{ }} }} }}"))
    }

    #[test]
    fn ordinary_conditions_are_silent() {
        for text in [
            "[type] == \"apache\" and [status] >= 400",
            "[tags] and \"x\" in [tags]",
            "[a] in [\"x\", \"y\"] or ![b]",
            "[a][b] =~ /x/",
            "[a] in [b]",
            "[a] == [b]",
            "[status] == \"200\"",
            "[list] in [active]",
            "[a][0] == 5",
            "([a] and [b] and [c]) or [d]",
            "[a] and [b] or [c]",
        ] {
            assert_eq!(condition(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn each_quirk_has_its_warning() {
        for (text, code) in [
            ("[a] and [b] and [c] or [d]", "and-or-grouping"),
            ("[a] in [\"x\"]", "one-element-array"),
            ("[a] not in [ 80 ]", "one-element-array"),
            ("[a] == ['x']", "one-element-array"),
            ("[\"x\"] in [tags]", "one-element-array"),
            ("[a] == [\"x\", \"y\"]", "array-comparison"),
            ("1 == 1.0", "constant-condition"),
            ("\"x\"", "constant-condition"),
            ("\"x\" =~ /x/", "constant-condition"),
            ("\"a\" in [\"a\", \"b\"]", "constant-in-constant"),
            ("\"a\" in \"abc\"", "constant-in-constant"),
            ("[n] > \"10\"", "text-order"),
            ("[n] == 010", "octal"),
            ("foo([a])", "method-call"),
            ("not([a])", "method-call"),
            ("[n] == 5 and [n] == \"5\"", "type-mismatch"),
        ] {
            assert_eq!(condition(text), [code], "{text}");
        }
    }

    #[test]
    fn outside_conditions() {
        assert_eq!(
            codes("filter { mutate { x => 0640 y => [0, 010] } }"),
            ["octal", "octal"]
        );
        assert_eq!(codes("output { file { file_mode => 0640 } }"), [""; 0]);
        assert_eq!(
            codes("filter { mutate { x => 07 y => 00 z => -0 } }"),
            [""; 0]
        );
        assert_eq!(
            codes("input { if [a] { stdin { } } }"),
            ["conditional-in-input"]
        );
        assert_eq!(
            codes("filter { if [a] { x { } } elseif [b] { x { } } }"),
            ["elseif"]
        );
    }
}
