//! Arrays and hashes.

use std::collections::HashMap;

use super::scan::{
    bareword_end, byte, first_on_line, has_newline, is_blank, is_name, is_quote, name_end,
    name_then, next_char, number_end, section_starts, selector_end, skip_lexeme, skip_trivia,
    starts_with,
};
use super::value::Place;
use super::{Open, Parser, Unwind};
use crate::language::ast::{Value, ValueKind};
use crate::language::diagnostic::Diagnostic;

impl Parser<'_> {
    // ---- arrays ----

    pub(super) fn array(&mut self) -> Option<Value> {
        let start = self.at;
        let elements = self.nested(|parser| {
            parser.at += 1;
            Some(parser.elements(start))
        })?;
        Some(Value {
            kind: ValueKind::Array(elements),
            span: self.since(start),
        })
    }

    fn elements(&mut self, start: usize) -> Vec<Value> {
        let mut elements = Vec::new();
        let mut comma: Option<usize> = None;
        while !self.unwinding() {
            let gap = self.at;
            self.trivia();
            let next_option = has_newline(self.text, gap, self.at)
                && self.peek().is_some_and(is_name)
                && name_then(self.text, self.at, "=>");
            match self.peek() {
                Some(b']') => {
                    if let Some(comma) = comma {
                        let span = self.span(comma, comma + 1);
                        let error = Diagnostic::error(
                            "trailing-comma",
                            "the array ends with a comma",
                            span,
                        );
                        self.report(error.hint("remove it"));
                    }
                    self.at += 1;
                    break;
                }
                Some(b',') => {
                    let error = Diagnostic::error(
                        "missing-value",
                        "expected a value before `,`",
                        self.span(self.at, self.at + 1),
                    );
                    self.report(error.hint("remove the comma"));
                    self.at += 1;
                }
                None | Some(b'}') => {
                    self.report_missing_bracket(start);
                    self.resume(gap);
                    break;
                }
                Some(_) if next_option => {
                    self.report_missing_bracket(start);
                    self.resume(gap);
                    break;
                }
                Some(_) => {
                    let Some(element) = self.value() else {
                        if !self.unwinding() {
                            self.skip_to_element();
                        }
                        comma = self.comma();
                        continue;
                    };
                    elements.push(element);
                    if self.unwinding() || !self.after_element(start, &elements) {
                        break;
                    }
                    comma = self.comma();
                }
            }
        }
        elements
    }

    fn comma(&mut self) -> Option<usize> {
        let at = skip_trivia(self.text, self.at);
        (byte(self.text, at) == Some(b',')).then(|| {
            self.trivia();
            self.at += 1;
            at
        })
    }

    /// Checks what follows an element; false when the array must be taken as closed.
    fn after_element(&mut self, start: usize, elements: &[Value]) -> bool {
        if let Some(last) = elements.last() {
            self.check_end(last, Place::Array);
        }
        let end = self.at;
        self.trivia();
        let at = self.at;
        let Some(next) = self.peek() else { return true };
        if b",]}".contains(&next) || self.blame_string(at) {
            return true;
        }
        let condition_goes_on = b"=!<>{)".contains(&next)
            || ["in", "not", "and", "or", "xor", "nand"]
                .contains(&self.slice(at, name_end(self.text, at)));
        if self.in_condition && condition_goes_on {
            self.report_missing_bracket(start);
            self.resume(end);
            return false;
        }
        if self.sees("=>") {
            let error = Diagnostic::error(
                "arrow-in-array",
                "`=>` inside an array",
                self.span(at, at + 2),
            );
            self.report(
                error.hint("use braces for pairs, `{ key => value }`, or commas between elements"),
            );
            self.at += 2;
            return true;
        }
        if has_newline(self.text, end, at) && name_then(self.text, at, "=>") {
            self.report_missing_bracket(start);
            self.resume(end);
            return false;
        }
        if is_quote(next) || is_name(next) || b"[{".contains(&next) {
            let error = Diagnostic::error(
                "missing-comma",
                "expected `,` between two elements",
                self.span(end, end),
            );
            self.report(error);
            return true;
        }
        let (found, span) = self.found(at);
        self.report(Diagnostic::error(
            "unexpected",
            format!("expected `,` or `]`, found {found}"),
            span,
        ));
        self.skip_to_element();
        true
    }

    fn report_missing_bracket(&mut self, start: usize) {
        let line = self.line(start);
        let message = format!("missing `]`: the array opened on line {line} is never closed");
        let error = Diagnostic::error("missing-bracket", message, self.span(start, start + 1));
        self.report(
            error
                .label("opened here")
                .hint("add the `]` where the array should end"),
        );
        if self.at_end() {
            self.unwind = Unwind::ToSections;
        }
    }

    fn skip_to_element(&mut self) {
        let mut unbalanced = false;
        while !matches!(self.peek(), None | Some(b',' | b']' | b'}')) {
            self.skip_group(&mut unbalanced);
            if first_on_line(self.text, self.at) && name_then(self.text, self.at, "=>") {
                return;
            }
        }
    }

    // ---- hashes ----

    pub(super) fn hash(&mut self) -> Option<Value> {
        let start = self.at;
        let open = Open {
            what: "the hash".to_owned(),
            span: self.span(start, start + 1),
        };
        let entries = self.nested(|parser| {
            parser.at += 1;
            Some(parser.entries(&open))
        })?;
        self.report_duplicate_keys(&entries);
        Some(Value {
            kind: ValueKind::Hash(entries),
            span: self.since(start),
        })
    }

    fn entries(&mut self, open: &Open) -> Vec<(Value, Value)> {
        let mut entries = Vec::new();
        let mut comma_seen = false;
        while !self.unwinding() {
            self.trivia();
            match self.peek() {
                None => {
                    self.report_missing_brace(open, '}');
                    self.unwind = Unwind::ToSections;
                }
                Some(b'}') => {
                    self.check_layout(open, self.at);
                    self.at += 1;
                    break;
                }
                Some(b',' | b';') => {
                    if !self.blame_string(self.at) {
                        if !std::mem::replace(&mut comma_seen, true) {
                            let span = self.span(self.at, self.at + 1);
                            let error = Diagnostic::error(
                                "comma-in-hash",
                                "the entries of a hash are not separated by commas",
                                span,
                            );
                            self.report(error.hint("a blank or a new line is enough; remove it"));
                        }
                        self.at += 1;
                    }
                }
                Some(_) if self.lost_brace_in_hash() => {
                    let to_sections = section_starts(self.text, self.at);
                    self.report_missing_brace(open, '}');
                    self.unwind = if to_sections {
                        Unwind::ToSections
                    } else {
                        Unwind::ToItems
                    };
                }
                Some(_) => entries.extend(self.entry()),
            }
        }
        entries
    }

    /// Whether an item stands where a key should, in a section that lacks closing braces.
    fn lost_brace_in_hash(&self) -> bool {
        self.missing_braces > 0
            && first_on_line(self.text, self.at)
            && (name_then(self.text, self.at, "{") || self.branch_starts(self.at, "if"))
    }

    fn entry(&mut self) -> Option<(Value, Value)> {
        let start = self.at;
        let Some(key) = self.key() else {
            if !self.blame_string(start) {
                let (found, span) = self.found(start);
                let message = format!("expected a key or `}}`, found {found}");
                self.report(Diagnostic::error("expected-key", message, span));
                self.skip_to_entry();
            }
            return None;
        };
        let key_end = self.at;
        let string_before = self.last_string.filter(|span| span.end as usize <= start);
        self.trivia();
        if self.sees("=>") {
            self.at += 2;
        } else {
            let string_of_key = std::mem::replace(&mut self.last_string, string_before);
            if self.blame_string(start) {
                return None;
            }
            self.last_string = string_of_key;
            if self.blame_string(self.at) {
                return None;
            }
            let message = format!("expected `=>` after the key {}", self.slice(start, key_end));
            self.report(Diagnostic::error(
                "missing-arrow",
                message,
                self.span(key_end, key_end),
            ));
            let operator = ["->", "==", "=", ":"]
                .into_iter()
                .find(|operator| self.sees(operator));
            let value_follows = self
                .peek()
                .is_some_and(|b| is_name(b) || is_quote(b) || b"[{".contains(&b));
            if operator.is_none() && (!value_follows || name_then(self.text, self.at, "=>")) {
                if !value_follows {
                    self.skip_to_entry();
                }
                return None;
            }
            self.at += operator.map_or(0, str::len);
        }
        self.entry_value(key)
    }

    fn entry_value(&mut self, key: Value) -> Option<(Value, Value)> {
        let arrow_end = self.at;
        self.trivia();
        // `5key =>` is the value 5 and the next key.
        let glued =
            number_end(self.text, self.at).is_some_and(|end| end < name_end(self.text, self.at));
        let next_entry = has_newline(self.text, arrow_end, self.at)
            && !glued
            && name_then(self.text, self.at, "=>");
        if next_entry || matches!(self.peek(), None | Some(b'}' | b',' | b']' | b')')) {
            let source = self.source.slice(key.span);
            self.report(Diagnostic::error(
                "missing-value",
                format!("the key {source} has no value"),
                key.span,
            ));
            return None;
        }
        let Some(value) = self.value() else {
            if !self.unwinding() {
                self.skip_to_entry();
            }
            return None;
        };
        if !self.unwinding() {
            self.check_end(&value, Place::Hash);
        }
        Some((key, value))
    }

    /// A key: number, bareword or string. Other text before an arrow is reported and taken as a string.
    fn key(&mut self) -> Option<Value> {
        let start = self.at;
        if self.peek().is_some_and(is_quote) {
            let text = self.string();
            return Some(Value {
                kind: ValueKind::String(text),
                span: self.since(start),
            });
        }
        let word_end = self.key_end(start);
        if number_end(self.text, start) == Some(word_end) {
            return Some(self.number(word_end));
        }
        let is_bareword = bareword_end(self.text, start) == word_end && word_end > start;
        if word_end == start
            || !(is_bareword || starts_with(self.text, skip_trivia(self.text, word_end), "=>"))
        {
            return None;
        }
        self.at = word_end;
        let text = self.slice(start, word_end);
        if !is_bareword {
            let error = Diagnostic::error(
                "unquoted-key",
                format!("the key `{text}` needs quotes"),
                self.since(start),
            );
            self.report(error.hint(format!("write `\"{text}\"`")));
        } else if text.len() == 1 {
            self.report_short(start);
        }
        Some(Value {
            kind: ValueKind::Bareword(text.to_owned()),
            span: self.since(start),
        })
    }

    /// The end of the unquoted text at `start` that may be meant as a key: before an arrow, a blank or a closer.
    fn key_end(&self, start: usize) -> usize {
        let mut at = start;
        while let Some(b) = byte(self.text, at) {
            if is_blank(b) || b",}{\"'#".contains(&b) || starts_with(self.text, at, "=>") {
                break;
            }
            at = if b == b'%' || b == b'$' {
                skip_lexeme(self.text, at)
            } else {
                next_char(self.text, at)
            };
        }
        // A blank belongs to no bareword, but `[a b]` is one reference.
        if byte(self.text, start) == Some(b'[') {
            at = selector_end(self.text, start).unwrap_or(at);
        }
        at
    }

    fn skip_to_entry(&mut self) {
        let mut unbalanced = false;
        loop {
            match self.peek() {
                None | Some(b'}') => return,
                Some(_) => self.skip_group(&mut unbalanced),
            }
            let before = self.at.checked_sub(1).and_then(|at| byte(self.text, at));
            if before.is_some_and(|b| is_blank(b) || b == b',')
                && name_then(self.text, self.at, "=>")
            {
                return;
            }
        }
    }

    /// Keys are compared as they are written: `a` and `"a"` differ, and the later one wins without a word.
    fn report_duplicate_keys(&mut self, entries: &[(Value, Value)]) {
        let mut seen = HashMap::new();
        for (key, _) in entries {
            let source = self.source.slice(key.span);
            if let Some(first) = seen.insert(source, key.span) {
                let line = self.line(first.start as usize);
                let error = Diagnostic::error(
                    "duplicate-key",
                    format!("the key {source} occurs twice in this hash"),
                    key.span,
                );
                self.report(error.hint(format!(
                    "it is also on line {line}; for several values write one array"
                )));
            }
        }
    }
}
