//! Conditions: operands, comparisons, and boolean operators grouped as the original groups them.

use super::scan::{
    bareword_end, byte, is_blank, is_name, is_quote, line_end, name_end, number_end, regex_end,
    selector_end, skip_trivia, starts_with,
};
use super::{MAX_DEPTH, Parser};
use crate::language::ast::{
    CompareOp, Cond, CondKind, Operand, OperandKind, Span, Value, ValueKind,
};
use crate::language::diagnostic::Diagnostic;
use crate::language::field_path::FieldPath;

/// Most boolean operators at one level; the tree is as deep as this.
const MAX_OPERATORS: usize = 2 * MAX_DEPTH;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BoolOp {
    And,
    Or,
    Xor,
    Nand,
}

impl BoolOp {
    fn word(self) -> &'static str {
        match self {
            BoolOp::And => "and",
            BoolOp::Or => "or",
            BoolOp::Xor => "xor",
            BoolOp::Nand => "nand",
        }
    }

    fn apply(self, left: Cond, right: Cond) -> Cond {
        let span = left.span.to(right.span);
        let (left, right) = (Box::new(left), Box::new(right));
        let kind = match self {
            BoolOp::And => CondKind::And(left, right),
            BoolOp::Or => CondKind::Or(left, right),
            BoolOp::Xor => CondKind::Xor(left, right),
            BoolOp::Nand => CondKind::Nand(left, right),
        };
        Cond { kind, span }
    }
}

impl Parser<'_> {
    /// A condition, from its first character. `None` when nothing could be made of it; an error has been reported.
    pub(super) fn condition(&mut self) -> Option<Cond> {
        let first = self.expression()?;
        let mut operands = vec![first];
        let mut operators: Vec<(BoolOp, Span)> = Vec::new();
        loop {
            let end = self.at;
            self.trivia();
            let Some(operator) = self.bool_op() else {
                self.at = end;
                break;
            };
            self.trivia();
            operators.push(operator);
            operands.push(self.expression()?);
        }
        if operators.len() > MAX_OPERATORS {
            let span = self.span(
                operands
                    .first()
                    .map_or(0, |first| first.span.start as usize),
                self.at,
            );
            let message = format!("more than {MAX_OPERATORS} boolean operators at one level");
            self.report(
                Diagnostic::error("too-deep", message, span)
                    .hint("use `in [ … ]`, or nest with parentheses"),
            );
            return None;
        }
        self.check_operators(&operators, &operands);
        group(operands, &operators)
    }

    /// Consumes `and`, `or`, `xor` or `nand`, and after an error other spellings of them.
    fn bool_op(&mut self) -> Option<(BoolOp, Span)> {
        const OPERATORS: [(&str, BoolOp); 4] = [
            ("and", BoolOp::And),
            ("or", BoolOp::Or),
            ("xor", BoolOp::Xor),
            ("nand", BoolOp::Nand),
        ];
        const MISSPELT: [(&str, BoolOp); 6] = [
            ("&&", BoolOp::And),
            ("||", BoolOp::Or),
            ("AND", BoolOp::And),
            ("OR", BoolOp::Or),
            ("&", BoolOp::And),
            ("|", BoolOp::Or),
        ];
        let start = self.at;
        if let Some((word, operator)) = OPERATORS.into_iter().find(|(word, _)| self.sees(word)) {
            self.at += word.len();
            return Some((operator, self.since(start)));
        }
        let (word, operator) = MISSPELT.into_iter().find(|(word, _)| self.sees(word))?;
        self.at += word.len();
        let error = Diagnostic::error(
            "bad-operator",
            format!("there is no operator `{word}`"),
            self.since(start),
        );
        self.report(error.hint(format!("write `{}`", operator.word())));
        Some((operator, self.since(start)))
    }

    /// Reports mixtures that the original refuses, and groupings that surprise.
    fn check_operators(&mut self, operators: &[(BoolOp, Span)], operands: &[Cond]) {
        let exclusive = operators
            .iter()
            .find(|(operator, _)| matches!(operator, BoolOp::Xor | BoolOp::Nand));
        if let (Some(&(operator, span)), true) = (exclusive, operators.len() > 1) {
            let word = operator.word();
            let message = format!("`{word}` cannot stand beside another boolean operator");
            let error = Diagnostic::error("mixed-operators", message, span);
            self.report(error.hint(format!(
                "put parentheses around the parts: `([a] {word} [b]) and [c]`"
            )));
        } else if let Some(span) = surprising_or(operators) {
            let names = operand_names(self, operands);
            let (actual, usual) = (
                described(&names, operators, true),
                described(&names, operators, false),
            );
            let message = format!("`or` after two or more `and` is grouped as {actual}");
            let warning = Diagnostic::warning("and-or-grouping", message, span);
            self.report(warning.hint(format!(
                "use parentheses; the usual meaning would be {usual}"
            )));
        }
    }

    fn expression(&mut self) -> Option<Cond> {
        let start = self.at;
        match self.peek() {
            Some(b'(') => self.parenthesised(),
            Some(b'!') => {
                self.at += 1;
                self.trivia();
                let inner = if self.peek() == Some(b'(') {
                    self.parenthesised()
                } else {
                    self.negated(start)
                }?;
                Some(Cond {
                    kind: CondKind::Not(Box::new(inner)),
                    span: self.since(start),
                })
            }
            _ => self.comparison(),
        }
    }

    fn parenthesised(&mut self) -> Option<Cond> {
        let start = self.at;
        self.nested(|parser| {
            parser.at += 1;
            parser.trivia();
            let condition = parser.condition()?;
            let end = parser.at;
            parser.trivia();
            if parser.peek() == Some(b')') {
                parser.at += 1;
                return Some(condition);
            }
            if !parser.condition_ends() {
                parser.report_after_condition(end);
                return None;
            }
            let message = "missing `)`: this parenthesis is never closed";
            let error = Diagnostic::error(
                "missing-parenthesis",
                message,
                parser.span(start, start + 1),
            );
            parser.report(error.label("opened here"));
            parser.at = end;
            Some(condition)
        })
    }

    fn condition_ends(&self) -> bool {
        matches!(self.peek(), None | Some(b'{' | b'}'))
    }

    /// What follows a `!` without a parenthesis: by the grammar a lone field.
    fn negated(&mut self, bang: usize) -> Option<Cond> {
        let start = self.at;
        let is_field = selector_end(self.text, start).is_some();
        let condition = self.comparison()?;
        if is_field && matches!(condition.kind, CondKind::Truthy(_)) {
            return Some(condition);
        }
        let source = self.slice(start, self.at);
        let hint = match &condition.kind {
            CondKind::In {
                needle,
                haystack,
                negated: false,
            } => {
                let (needle, haystack) = (
                    self.source.slice(needle.span),
                    self.source.slice(haystack.span),
                );
                format!("write `{needle} not in {haystack}`, or `!({source})`")
            }
            _ => format!("write `!({source})`"),
        };
        let message = "`!` can stand only before a parenthesis or a lone field";
        self.report(
            Diagnostic::error("bad-negation", message, self.span(bang, bang + 1)).hint(hint),
        );
        Some(condition)
    }

    /// An operand alone, or compared with another.
    fn comparison(&mut self) -> Option<Cond> {
        let start = self.at;
        let left = self.operand(true)?;
        let end = self.at;
        self.trivia();
        let kind = if self.sees("in") {
            self.at += 2;
            self.membership(left, false)?
        } else if self.not_in() {
            self.membership(left, true)?
        } else if self.sees("=~") || self.sees("!~") {
            let negated = self.sees("!~");
            self.at += 2;
            self.trivia();
            let (pattern, pattern_span) = self.pattern()?;
            CondKind::Match {
                left,
                pattern,
                pattern_span,
                negated,
            }
        } else if let Some(op) = self.compare_op() {
            self.trivia();
            let right = self.operand(false)?;
            CondKind::Compare { left, op, right }
        } else {
            self.at = end;
            CondKind::Truthy(left)
        };
        Some(Cond {
            kind,
            span: self.since(start),
        })
    }

    fn membership(&mut self, needle: Operand, negated: bool) -> Option<CondKind> {
        self.trivia();
        let haystack = self.operand(false)?;
        Some(CondKind::In {
            needle,
            haystack,
            negated,
        })
    }

    /// Consumes `not in`. The grammar wants a space, no other blank, behind `not`.
    fn not_in(&mut self) -> bool {
        if !self.sees("not") {
            return false;
        }
        let start = self.at;
        let not_end = start + 3;
        let at = skip_trivia(self.text, not_end);
        if !starts_with(self.text, at, "in") {
            return false;
        }
        self.at = at + 2;
        if byte(self.text, not_end) != Some(b' ') {
            let message = "`not` must be followed by a space";
            let error = Diagnostic::error("not-in-blank", message, self.span(start, self.at));
            self.report(error.hint("write `not in` with a space, no tab or new line"));
        }
        true
    }

    fn compare_op(&mut self) -> Option<CompareOp> {
        const OPERATORS: [(&str, CompareOp); 6] = [
            ("==", CompareOp::Eq),
            ("!=", CompareOp::Ne),
            ("<=", CompareOp::Le),
            (">=", CompareOp::Ge),
            ("<", CompareOp::Lt),
            (">", CompareOp::Gt),
        ];
        const MISSPELT: [(&str, &str, CompareOp); 9] = [
            ("===", "==", CompareOp::Eq),
            ("!==", "!=", CompareOp::Ne),
            ("<>", "!=", CompareOp::Ne),
            ("=<", "<=", CompareOp::Le),
            ("=>", ">=", CompareOp::Ge),
            ("=", "==", CompareOp::Eq),
            ("is ", "==", CompareOp::Eq),
            ("eq ", "==", CompareOp::Eq),
            ("~=", "=~", CompareOp::Eq),
        ];
        let start = self.at;
        let misspelt = MISSPELT
            .into_iter()
            .find(|(wrong, ..)| self.sees(wrong) && !(*wrong == "=" && self.sees("==")));
        if let Some((wrong, right, op)) = misspelt {
            self.at += wrong.len();
            let wrong = wrong.trim_end();
            let error = Diagnostic::error(
                "bad-operator",
                format!("there is no operator `{wrong}`"),
                self.since(start),
            );
            self.report(error.hint(format!("write `{right}`")));
            return Some(op);
        }
        let (symbol, op) = OPERATORS
            .into_iter()
            .find(|(symbol, _)| self.sees(symbol))?;
        self.at += symbol.len();
        Some(op)
    }

    /// The right side of `=~`: a regular expression or a string.
    fn pattern(&mut self) -> Option<(String, Span)> {
        let start = self.at;
        match self.peek() {
            Some(b'/') => {
                let pattern = self.regex()?;
                Some((pattern, self.since(start)))
            }
            Some(b) if is_quote(b) => {
                let pattern = self.string();
                Some((pattern, self.since(start)))
            }
            _ => {
                let (found, span) = self.found(start);
                let message = format!("expected a regular expression, found {found}");
                self.report(
                    Diagnostic::error("expected-regex", message, span)
                        .hint("write `/…/` or a quoted string"),
                );
                None
            }
        }
    }

    /// `/…/`, whose body stays as it is. Flags are reported.
    fn regex(&mut self) -> Option<String> {
        let start = self.at;
        let Some(end) = regex_end(self.text, start) else {
            let message = "the regular expression that begins here has no closing `/`";
            self.report(Diagnostic::error(
                "unterminated-regex",
                message,
                self.span(start, start + 1),
            ));
            return None;
        };
        self.at = end;
        let word_end = name_end(self.text, end);
        let flags = self.slice(end, word_end);
        let operator_follows = ["and", "or", "xor", "nand", "in", "not"]
            .iter()
            .any(|word| flags.starts_with(word));
        if !flags.is_empty() && !operator_follows {
            self.at = word_end;
            let error = Diagnostic::error(
                "regex-flags",
                "a regular expression takes no flags",
                self.span(end, word_end),
            );
            self.report(error.hint(format!(
                "write them inside: `/(?{flags}){}`",
                self.slice(start + 1, end)
            )));
        }
        Some(self.slice(start + 1, end - 1).to_owned())
    }

    /// An operand. Words without quotes are reported and taken for what they were most likely meant to be.
    fn operand(&mut self, is_left: bool) -> Option<Operand> {
        let start = self.at;
        let kind = match self.peek() {
            Some(b) if is_quote(b) => OperandKind::String(self.string()),
            Some(b'[') => return self.field_or_array(),
            Some(b'/') => OperandKind::Regex(self.regex()?),
            _ => {
                if let Some(end) = number_end(self.text, start) {
                    let value = self.number(end);
                    return self.constant(value);
                }
                return self.word_operand(is_left);
            }
        };
        Some(Operand {
            kind,
            span: self.since(start),
        })
    }

    /// A field wherever the text can be one, so `["x"]` is the field named `"x"`, quotes included.
    fn field_or_array(&mut self) -> Option<Operand> {
        let start = self.at;
        let Some(end) = selector_end(self.text, start) else {
            if let Some(end) = self.unclosed_field(start) {
                return Some(self.report_unclosed_field(end));
            }
            let value = self.array()?;
            return self.constant(value);
        };
        self.at = end;
        let span = self.since(start);
        match FieldPath::parse(self.slice(start, end), self.options.escape_style) {
            Ok(path) => Some(Operand {
                kind: OperandKind::Field(path),
                span,
            }),
            Err(error) => {
                self.report(Diagnostic::error("bad-field", error.to_string(), span));
                None
            }
        }
    }

    /// The end of the name in `[name`, when the line, or the part of it before the block, has no `]`.
    fn unclosed_field(&self, start: usize) -> Option<usize> {
        let rest = self.slice(start + 1, line_end(self.text, start));
        let name = rest
            .bytes()
            .take_while(|&b| is_name(b) || b"@.".contains(&b))
            .count();
        let stop = rest.find(['[', ']', ',', '{']);
        let closed = stop.is_some_and(|at| !rest.get(at..).unwrap_or_default().starts_with('{'));
        (name > 0 && !closed).then_some(start + 1 + name)
    }

    fn report_unclosed_field(&mut self, end: usize) -> Operand {
        let start = self.at;
        self.at = end;
        let name = self.slice(start + 1, end);
        let span = self.since(start);
        let error = Diagnostic::error(
            "missing-bracket",
            format!("missing `]` after `[{name}`"),
            span,
        );
        self.report(error.hint(format!("write `[{name}]`")));
        Operand {
            kind: OperandKind::Field(FieldPath::top_level(name)),
            span,
        }
    }

    /// A value as an operand.
    fn constant(&mut self, value: Value) -> Option<Operand> {
        let span = value.span;
        let kind = match value.kind {
            ValueKind::String(text) | ValueKind::Bareword(text) => OperandKind::String(text),
            ValueKind::Number(number) => OperandKind::Number(number),
            ValueKind::Array(elements) => {
                let elements: Option<Vec<Operand>> = elements
                    .into_iter()
                    .map(|element| self.constant(element))
                    .collect();
                OperandKind::Array(elements?)
            }
            ValueKind::Hash(_) | ValueKind::Plugin(_) => {
                self.report(Diagnostic::error(
                    "hash-in-condition",
                    "a condition cannot hold a hash",
                    span,
                ));
                return None;
            }
        };
        Some(Operand { kind, span })
    }

    fn word_operand(&mut self, is_left: bool) -> Option<Operand> {
        let start = self.at;
        let end = bareword_end(self.text, start);
        if end > start && byte(self.text, skip_trivia(self.text, end)) == Some(b'(') {
            return self.method_call(end);
        }
        let mut end = start;
        while byte(self.text, end).is_some_and(|b| is_name(b) || b"@.".contains(&b)) {
            end += 1;
        }
        let word = self.slice(start, end);
        if word.is_empty() || is_boolean_word(word) {
            self.report_no_operand(start);
            return None;
        }
        self.at = end;
        let span = self.since(start);
        let after = skip_trivia(self.text, end);
        let compared = is_left && byte(self.text, after).is_some_and(|b| b"=!<>".contains(&b));
        let alone = is_left && matches!(byte(self.text, after), Some(b'{' | b')'));
        let (hint, kind) = if compared || alone || word.starts_with('@') {
            let path = FieldPath::top_level(word);
            (
                format!("for the field write `[{word}]`"),
                OperandKind::Field(path),
            )
        } else if matches!(word, "true" | "false") {
            let hint = format!(
                "for text write `\"{word}\"`; a boolean field is tested by `[field]` or `![field]`"
            );
            (hint, OperandKind::String(word.to_owned()))
        } else if matches!(word, "nil" | "null") {
            let hint = "there is no null; test for a missing field by `![field]`".to_owned();
            (hint, OperandKind::String(word.to_owned()))
        } else if word == "not" {
            (
                "write `!` before a field or a parenthesis".to_owned(),
                OperandKind::String(word.to_owned()),
            )
        } else {
            (
                format!("for text write `\"{word}\"`, for a field `[{word}]`"),
                OperandKind::String(word.to_owned()),
            )
        };
        let message =
            format!("the word `{word}` cannot stand in a condition without quotes or brackets");
        self.report(Diagnostic::error("bareword-in-condition", message, span).hint(hint));
        if word == "not" {
            self.trivia();
            return self.operand(is_left);
        }
        Some(Operand { kind, span })
    }

    fn report_no_operand(&mut self, start: usize) {
        if self.blame_string(start) {
            return;
        }
        let (found, span) = self.found(start);
        let error = Diagnostic::error(
            "expected-operand",
            format!("expected a field or a constant, found {found}"),
            span,
        );
        self.report(match self.peek() {
            Some(b'%') => {
                error.hint("placeholders do not work in conditions; write the field as `[name]`")
            }
            Some(b'$') => error.hint("put quotes around it"),
            _ => error,
        });
    }

    /// `name(operand)`: accepted by the grammar, and means the operand alone.
    fn method_call(&mut self, name_end: usize) -> Option<Operand> {
        let start = self.at;
        let name = self.slice(start, name_end);
        self.at = skip_trivia(self.text, name_end);
        let open = self.at;
        let mut arguments = self.nested(|parser| {
            parser.at += 1;
            parser.arguments(open)
        })?;
        let span = self.since(start);
        let count = arguments.len();
        let (Some(argument), true) = (arguments.pop(), count == 1) else {
            let message = format!("`{name}(…)` has {count} operands; exactly one can stand there");
            let error = Diagnostic::error("method-call", message, span);
            self.report(error.hint("there are no functions in conditions; remove it"));
            return None;
        };
        let source = self.source.slice(argument.span);
        let message = format!("`{name}(…)` calls nothing: it only means `{source}`");
        let warning = Diagnostic::warning("method-call", message, span);
        self.report(if name == "not" {
            warning.hint(format!("to negate write `!({source})`"))
        } else {
            warning.hint(format!("write `{source}`"))
        });
        Some(Operand {
            kind: argument.kind,
            span,
        })
    }

    fn arguments(&mut self, open: usize) -> Option<Vec<Operand>> {
        let mut arguments = Vec::new();
        self.trivia();
        if self.peek() == Some(b')') {
            self.at += 1;
            return Some(arguments);
        }
        loop {
            arguments.push(self.operand(false)?);
            let end = self.at;
            self.trivia();
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    self.trivia();
                }
                Some(b')') => {
                    self.at += 1;
                    return Some(arguments);
                }
                _ => {
                    let (found, span) = self.found(self.at);
                    let message = format!("expected `)`, found {found}");
                    let word = self
                        .slice(super::scan::line_start(self.text, open), open)
                        .trim();
                    let error = Diagnostic::error("method-call", message, span);
                    let is_not = word.ends_with("not");
                    let hint = if is_not {
                        "to negate write `!( … )`"
                    } else {
                        "there are no functions in conditions"
                    };
                    self.report(error.hint(hint));
                    self.at = end;
                    return None;
                }
            }
        }
    }

    /// Reports text behind a complete condition, where `{`, `)` or a boolean operator should stand.
    pub(super) fn report_after_condition(&mut self, end: usize) {
        let at = skip_trivia(self.text, end);
        if self.blame_string(at) {
            return;
        }
        let (found, span) = self.found(at);
        let missing_brace = super::has_newline(self.text, end, at) && self.items_follow();
        if missing_brace || at >= self.text.len() || byte(self.text, at) == Some(b'}') {
            let error = Diagnostic::error(
                "expected-brace",
                "expected `{` after the condition",
                self.span(end, end),
            );
            self.report(error);
            return;
        }
        let word = self.slice(at, name_end(self.text, at));
        let error = Diagnostic::error(
            "unexpected",
            format!("unexpected {found} in a condition"),
            span,
        );
        self.report(match byte(self.text, at) {
            Some(b'=' | b'!' | b'<' | b'>') => {
                error.hint("only two operands can be compared; join comparisons with `and`")
            }
            Some(b')') => error.hint("no parenthesis is open here; remove it"),
            Some(b'[') if !byte(self.text, end).is_some_and(is_blank) => {
                error.hint("write nested fields as `[a][b]`")
            }
            Some(b'"' | b'\'' | b'[') => error.hint("an operator is missing before it"),
            _ if ["contains", "includes", "has"].contains(&word) => {
                error.hint("write `\"text\" in [field]`")
            }
            _ if ["matches", "like", "match"].contains(&word) => {
                error.hint("write `[field] =~ /pattern/`")
            }
            _ if word == "not" => error.hint("write `not in`, or `!( … )` around a condition"),
            _ => {
                error.hint("conditions are joined by `and`, `or`, `xor` or `nand`, and end at `{`")
            }
        });
    }
}

fn is_boolean_word(word: &str) -> bool {
    matches!(word, "and" | "or" | "xor" | "nand" | "in")
}

fn precedence(operator: BoolOp) -> u8 {
    if operator == BoolOp::And { 2 } else { 1 }
}

/// Groups operands as the original does. Its operator stack gives up at most one operator per step, and equal
/// operators associate to the right.
fn group(operands: Vec<Cond>, operators: &[(BoolOp, Span)]) -> Option<Cond> {
    reduce(operands, operators, true, BoolOp::apply)
}

/// The stack algorithm over any kind of operand. With `single_step` as in the original, else by precedence.
fn reduce<T>(
    operands: Vec<T>,
    operators: &[(BoolOp, Span)],
    single_step: bool,
    apply: impl Fn(BoolOp, T, T) -> T,
) -> Option<T> {
    let mut done: Vec<T> = Vec::new();
    let mut pending: Vec<BoolOp> = Vec::new();
    let mut operators = operators.iter();
    let collapse = |done: &mut Vec<T>, operator: BoolOp| {
        let (right, left) = (done.pop()?, done.pop()?);
        done.push(apply(operator, left, right));
        Some(())
    };
    for operand in operands {
        done.push(operand);
        let Some(&(operator, _)) = operators.next() else {
            break;
        };
        while pending
            .last()
            .is_some_and(|&last| precedence(last) > precedence(operator))
        {
            collapse(&mut done, pending.pop()?)?;
            if single_step {
                break;
            }
        }
        pending.push(operator);
    }
    while let Some(operator) = pending.pop() {
        collapse(&mut done, operator)?;
    }
    done.pop()
}

/// The `or` whose grouping surprises: it follows at least two `and`.
fn surprising_or(operators: &[(BoolOp, Span)]) -> Option<Span> {
    operators.windows(3).find_map(|window| match window {
        [(BoolOp::And, _), (BoolOp::And, _), (BoolOp::Or, span)] => Some(*span),
        _ => None,
    })
}

/// Longest operand that a message quotes; longer ones are named by letters.
const QUOTED_OPERAND: usize = 24;

fn operand_names(parser: &Parser<'_>, operands: &[Cond]) -> Vec<String> {
    let sources: Vec<&str> = operands
        .iter()
        .map(|operand| parser.source.slice(operand.span))
        .collect();
    if operands.len() <= 6
        && sources
            .iter()
            .all(|source| source.len() <= QUOTED_OPERAND && !source.contains('\n'))
    {
        return sources.into_iter().map(str::to_owned).collect();
    }
    ('A'..='Z')
        .map(String::from)
        .chain(std::iter::repeat("…".to_owned()))
        .take(operands.len())
        .collect()
}

/// The grouping as text with all its parentheses.
fn described(names: &[String], operators: &[(BoolOp, Span)], single_step: bool) -> String {
    let pairs: Vec<(String, Option<BoolOp>)> =
        names.iter().map(|name| (name.clone(), None)).collect();
    let wrap = |(text, operator): (String, Option<BoolOp>), outer: BoolOp| match operator {
        Some(inner) if inner != outer => format!("({text})"),
        _ => text,
    };
    let joined = reduce(pairs, operators, single_step, |operator, left, right| {
        (
            format!(
                "{} {} {}",
                wrap(left, operator),
                operator.word(),
                wrap(right, operator)
            ),
            Some(operator),
        )
    });
    format!("`{}`", joined.map(|(text, _)| text).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operators(words: &[bool]) -> Vec<(BoolOp, Span)> {
        words
            .iter()
            .map(|&and| (if and { BoolOp::And } else { BoolOp::Or }, Span::default()))
            .collect()
    }

    fn evaluate(values: u32, operators: &[(BoolOp, Span)], single_step: bool) -> bool {
        let operands = (0..=operators.len())
            .map(|i| values >> i & 1 == 1)
            .collect();
        reduce(operands, operators, single_step, |operator, a, b| {
            if operator == BoolOp::And {
                a && b
            } else {
                a || b
            }
        })
        .unwrap()
    }

    #[test]
    fn the_warning_stands_exactly_where_the_results_differ() {
        for length in 1..=7_u32 {
            for pattern in 0..1_u32 << length {
                let words: Vec<bool> = (0..length).map(|i| pattern >> i & 1 == 1).collect();
                let operators = operators(&words);
                let differs = (0..1 << (length + 1))
                    .any(|v| evaluate(v, &operators, true) != evaluate(v, &operators, false));
                assert_eq!(differs, surprising_or(&operators).is_some(), "{words:?}");
            }
        }
    }

    #[test]
    fn groupings_of_the_original() {
        let names: Vec<String> = ["a", "b", "c", "d", "e"].map(String::from).to_vec();
        let (and, or) = (true, false);
        let show = |words: &[bool]| described(&names[..=words.len()], &operators(words), true);
        assert_eq!(show(&[and, or]), "`(a and b) or c`");
        assert_eq!(show(&[or, and]), "`a or (b and c)`");
        assert_eq!(show(&[and, and, or]), "`a and ((b and c) or d)`");
        assert_eq!(show(&[and, and, and, or]), "`a and b and ((c and d) or e)`");
        assert_eq!(show(&[or, and, and, or]), "`a or (b and ((c and d) or e))`");
        assert_eq!(
            described(&names[..4], &operators(&[and, and, or]), false),
            "`(a and b and c) or d`"
        );
    }
}
