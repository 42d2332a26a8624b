//! Plugins, their options, and the values of options.

use std::collections::HashMap;

use super::number::{NumberError, number};
use super::scan::{
    bareword_end, byte, first_on_line, has_newline, is_blank, is_name, is_quote, line_end, matching_end, name_end,
    name_then, next_char, number_end, regex_end, section_starts, skip_lexeme, skip_trivia, starts_with, string_end,
};
use super::{Open, Parser, Unwind};
use crate::language::ast::{Attr, Name, Plugin, Value, ValueKind};
use crate::language::diagnostic::Diagnostic;

/// Where a value stands, which decides what may follow it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Option,
    Hash,
    Array,
}

impl Parser<'_> {
    // ---- plugins ----

    /// The block of a plugin whose name has been read, from its opening brace.
    pub(super) fn plugin(&mut self, name: Name) -> Option<Plugin> {
        let start = name.span.start as usize;
        let open = Open { what: format!("`{}`", name.text), span: name.span };
        let attrs = self.nested(|parser| {
            parser.at += 1;
            Some(parser.attrs(&open))
        })?;
        let codecs: Vec<&Attr> = attrs.iter().filter(|attr| attr.name.text == "codec").collect();
        if let [first, second, ..] = codecs.as_slice() {
            let message = format!("`{}` has two codecs", name.text);
            let line = self.line(first.name.span.start as usize);
            let error = Diagnostic::error("duplicate-codec", message, second.name.span);
            self.report(error.hint(format!("the first one is on line {line}; keep one of them")));
        }
        Some(Plugin { name, attrs, span: self.since(start) })
    }

    fn attrs(&mut self, open: &Open) -> Vec<Attr> {
        let mut attrs: Vec<Attr> = Vec::new();
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
                            let error = Diagnostic::error("comma", "options are not separated by commas", span);
                            self.report(error.hint("a blank or a new line is enough; remove it"));
                        }
                        self.at += 1;
                    }
                }
                Some(_) if section_starts(self.text, self.at) && self.missing_braces > 0 => {
                    self.report_missing_brace(open, '}');
                    self.unwind = Unwind::ToSections;
                }
                Some(_) => {
                    let attr = self.attr(open, attrs.last());
                    attrs.extend(attr);
                }
            }
        }
        attrs
    }

    fn attr(&mut self, open: &Open, last: Option<&Attr>) -> Option<Attr> {
        let start = self.at;
        let Some(name) = self.name() else {
            if !self.blame_string(start) {
                let (found, span) = self.found(start);
                let message = format!("expected an option of {} or `}}`, found {found}", open.what);
                self.report(Diagnostic::error("expected-option", message, span));
                self.skip_to_attr();
            }
            return None;
        };
        let name_end = self.at;
        self.trivia();
        if !self.sees("=>") {
            return self.attr_without_arrow(open, last, name, name_end);
        }
        self.at += 2;
        self.attr_value(name)
    }

    /// The value of an option, from behind the arrow.
    fn attr_value(&mut self, name: Name) -> Option<Attr> {
        let start = name.span.start as usize;
        let arrow_end = self.at;
        self.trivia();
        let value_start = self.at;
        // A name on a later line with an arrow of its own is the next option.
        let next_option = has_newline(self.text, arrow_end, value_start) && name_then(self.text, value_start, "=>");
        if next_option || matches!(self.peek(), None | Some(b'}' | b',' | b']' | b')')) {
            let message = format!("the option `{}` has no value", name.text);
            self.report(Diagnostic::error("missing-value", message, name.span));
            return None;
        }
        let Some(value) = self.value() else {
            if !self.unwinding() {
                self.skip_to_attr();
            }
            return None;
        };
        let attr = Attr { name, value, span: self.since(start) };
        if !self.unwinding() {
            self.check_end(&attr.value, Place::Option);
        }
        Some(attr)
    }

    /// A name in a plugin that no arrow follows: a lost arrow, a lost brace before it, or words that belong to the
    /// value before.
    fn attr_without_arrow(&mut self, open: &Open, last: Option<&Attr>, name: Name, name_end: usize) -> Option<Attr> {
        let start = name.span.start as usize;
        if self.blame_string(start) {
            return None;
        }
        let is_conditional = matches!(self.slice(start, name_end), "if" | "else" | "elsif" | "elseif" | "elif");
        let quoted_key = self.peek() == Some(b'{') && {
            let inner = skip_trivia(self.text, self.at + 1);
            byte(self.text, inner).is_some_and(is_quote)
        };
        if self.missing_braces > 0 && (is_conditional || (self.peek() == Some(b'{') && !quoted_key)) {
            self.report_missing_brace(open, '}');
            self.at = start;
            self.unwind = Unwind::ToItems;
            return None;
        }
        if is_conditional {
            let message = format!("a conditional cannot stand inside a plugin, here {}", open.what);
            let error = Diagnostic::error("conditional-in-plugin", message, name.span);
            self.report(error.hint("put the `if` around the plugin instead"));
            self.skip_conditional();
            return None;
        }
        if let Some(last) = last
            && !has_newline(self.text, last.value.span.end as usize, start)
        {
            let message = format!("unexpected `{}` after the value of `{}`", name.text, last.name.text);
            let error = Diagnostic::error("unexpected", message, name.span);
            self.report(error.hint("a value of several words needs quotes around it"));
            self.skip_to_attr();
            return None;
        }
        let operator = ["->", "==", "=", ":"].into_iter().find(|operator| self.sees(operator));
        let same_line = !has_newline(self.text, name_end, self.at);
        let value_follows = same_line && self.peek().is_some_and(|b| is_name(b) || is_quote(b) || b"[{".contains(&b));
        let message = format!("expected `=>` after `{}`", name.text);
        let error = Diagnostic::error("missing-arrow", message, self.span(name_end, name_end));
        self.report(error.hint(format!("write `{} => …`", name.text)));
        if operator.is_some() || value_follows {
            self.at += operator.map_or(0, str::len);
            return self.attr_value(name);
        }
        self.skip_to_attr();
        None
    }

    /// Over an `if` with its alternatives inside a plugin.
    fn skip_conditional(&mut self) {
        loop {
            while !self.at_end() && !matches!(self.peek(), Some(b'{' | b'}')) {
                self.at = skip_lexeme(self.text, self.at);
            }
            match (self.peek(), matching_end(self.text, self.at)) {
                (Some(b'{'), Some(end)) => self.at = end,
                (Some(b'{'), None) => self.at += 1,
                _ => return,
            }
            if !starts_with(self.text, skip_trivia(self.text, self.at), "els") {
                return;
            }
        }
    }

    /// To the next option of the plugin, the end of its block, or what looks like an item after a lost brace.
    fn skip_to_attr(&mut self) {
        loop {
            match self.peek() {
                None | Some(b'}') => return,
                Some(b'{' | b'[') => self.at = matching_end(self.text, self.at).unwrap_or(self.at + 1),
                Some(_) => self.at = skip_lexeme(self.text, self.at),
            }
            let after_blank = self.at.checked_sub(1).and_then(|at| byte(self.text, at)).is_some_and(is_blank);
            if after_blank
                && (name_then(self.text, self.at, "=>")
                    || (first_on_line(self.text, self.at)
                        && (name_then(self.text, self.at, "{") || self.branch_starts(self.at, "if"))))
            {
                return;
            }
        }
    }

    // ---- values ----

    pub(super) fn value(&mut self) -> Option<Value> {
        match self.peek() {
            Some(b) if is_quote(b) => self.string_or_plugin(),
            Some(b'[') => self.array(),
            Some(b'{') => self.hash(),
            Some(b) if is_name(b) => self.word(),
            _ => self.no_value(),
        }
    }

    fn string_or_plugin(&mut self) -> Option<Value> {
        let start = self.at;
        let text = self.string();
        let end = self.at;
        if !self.in_condition && byte(self.text, skip_trivia(self.text, end)) == Some(b'{') {
            let name = Name { text: self.slice(start + 1, end - 1).to_owned(), span: self.since(start) };
            return self.plugin_value(name);
        }
        Some(Value { kind: ValueKind::String(text), span: self.since(start) })
    }

    fn plugin_value(&mut self, name: Name) -> Option<Value> {
        self.trivia();
        let plugin = self.plugin(name)?;
        let span = plugin.span;
        Some(Value { kind: ValueKind::Plugin(Box::new(plugin)), span })
    }

    /// The string at the present quote, without its quotes, escapes decoded if asked for.
    pub(super) fn string(&mut self) -> String {
        let start = self.at;
        let inner = if let Some(end) = string_end(self.text, start) {
            self.at = end;
            self.last_string = Some(self.since(start));
            self.slice(start + 1, end - 1)
        } else {
            self.last_string = None;
            match self.escaped_end(start, self.text.len()) {
                Some(at) => self.report_escaped_end(at),
                None => self.report_open_string(start, self.text.len()),
            }
            self.slice(start + 1, self.at)
        };
        if self.options.support_escapes { unescape(inner) } else { inner.to_owned() }
    }

    /// A value that begins like a name: a plugin, a bareword or a number.
    fn word(&mut self) -> Option<Value> {
        let start = self.at;
        let end = name_end(self.text, start);
        if !self.in_condition && byte(self.text, skip_trivia(self.text, end)) == Some(b'{') {
            let name = self.name()?;
            return self.plugin_value(name);
        }
        if let Some(end) = number_end(self.text, start) {
            return Some(self.number(end));
        }
        let end = bareword_end(self.text, start);
        if end == start {
            return self.no_value();
        }
        self.at = end;
        let touching = byte(self.text, end).is_some_and(|b| !is_blank(b) && !b",]}=#".contains(&b));
        if end == start + 1 && !touching {
            self.report_short(start);
        }
        Some(Value { kind: ValueKind::Bareword(self.slice(start, end).to_owned()), span: self.since(start) })
    }

    fn report_short(&mut self, start: usize) {
        let word = self.slice(start, start + 1);
        let message = format!("`{word}` is too short to stand without quotes");
        let error = Diagnostic::error("short-bareword", message, self.span(start, start + 1));
        self.report(error.hint(format!("unquoted words need two characters or more; write `\"{word}\"`")));
    }

    pub(super) fn number(&mut self, end: usize) -> Value {
        let start = self.at;
        self.at = end;
        let text = self.slice(start, end);
        let kind = match number(text) {
            Ok(number) => ValueKind::Number(number),
            Err(reason) => {
                let error = match reason {
                    NumberError::NotOctal => {
                        let message = format!("`{text}` is not a number: a leading zero asks for octal digits");
                        Diagnostic::error("bad-octal", message, self.since(start))
                            .hint(format!("write `{}`, or quote it", text.replacen('0', "", 1)))
                    }
                    NumberError::TooLong => {
                        Diagnostic::error("long-number", "this number has too many digits", self.since(start))
                            .hint("quote it")
                    }
                };
                self.report(error);
                ValueKind::String(text.to_owned())
            }
        };
        Value { kind, span: self.span(start, end) }
    }

    /// What stands where a value should: nothing at all, or text that lacks quotes, which is taken as a string.
    fn no_value(&mut self) -> Option<Value> {
        let start = self.at;
        let (found, span) = self.found(start);
        if matches!(self.peek(), None | Some(b'}' | b']' | b')' | b',' | b'=')) {
            self.report(Diagnostic::error("missing-value", format!("expected a value, found {found}"), span));
            return None;
        }
        let end = match self.peek() {
            Some(b'/') => regex_end(self.text, start)
                .filter(|&end| !has_newline(self.text, start, end) && !byte(self.text, end).is_some_and(is_name)),
            _ => self.typographic_end(start),
        };
        let end = end.unwrap_or_else(|| self.junk_end(start));
        self.at = end;
        let text = self.slice(start, end);
        let hint = match byte(self.text, start) {
            Some(b'+') if number_end(self.text, start + 1) == Some(end) => "numbers take no `+`".to_owned(),
            Some(b'/') if text.len() > 1 && text.ends_with('/') => {
                "a regular expression can stand only in conditions; quote it".to_owned()
            }
            Some(b) if !b.is_ascii() => format!("use the plain quotes `\"` or `'`: `\"{}\"`", text.trim_matches(TYPOGRAPHIC)),
            _ => format!("write `\"{text}\"`"),
        };
        let error = Diagnostic::error("unquoted-value", format!("`{text}` is not a value"), self.since(start));
        self.report(error.hint(hint));
        Some(Value { kind: ValueKind::String(text.to_owned()), span: self.since(start) })
    }

    /// Behind the closing one of a pair of typographic quotes on this line.
    fn typographic_end(&self, start: usize) -> Option<usize> {
        let line = self.slice(start, line_end(self.text, start));
        let first = line.chars().next().filter(|c| TYPOGRAPHIC.contains(c))?;
        let rest = line.get(first.len_utf8()..)?;
        let close = rest.find(TYPOGRAPHIC)?;
        Some(next_char(self.text, start + first.len_utf8() + close))
    }

    /// The end of text that lacks quotes: a blank or what could close or separate values, but not inside `%{…}`.
    fn junk_end(&self, start: usize) -> usize {
        let mut at = start;
        while let Some(b) = byte(self.text, at) {
            let stops = is_blank(b) || b",]})\"'".contains(&b) || starts_with(self.text, at, "=>");
            if stops && at > start {
                break;
            }
            at = if b == b'%' || b == b'$' { skip_lexeme(self.text, at) } else { next_char(self.text, at) };
        }
        at
    }

    /// Reports what touches a value but cannot.
    fn check_end(&mut self, value: &Value, place: Place) {
        let (start, end) = (value.span.start as usize, self.at);
        let Some(next) = byte(self.text, end).filter(|_| self.touches(end)) else { return };
        let fits = match place {
            Place::Option => matches!(next, b'}' | b',' | b';'),
            Place::Hash => b"},#\"'".contains(&next) || name_then(self.text, end, "=>"),
            Place::Array => b",]}=)#!<>".contains(&next),
        };
        if fits || (place == Place::Option && next == b'=') {
            return;
        }
        if next == b'#' {
            // The grammar wants a blank only where another option follows.
            if !matches!(byte(self.text, skip_trivia(self.text, end)), None | Some(b'}')) {
                let error = Diagnostic::error("comment-after-value", "a comment may not touch a value", self.span(end, end + 1));
                self.report(error.hint("put a blank before the `#`"));
            }
            return;
        }
        let unquoted = matches!(value.kind, ValueKind::Bareword(_) | ValueKind::Number(_));
        if !unquoted {
            if self.blame_string(end) {
                return;
            }
            if is_name(next) || is_quote(next) {
                if place == Place::Option {
                    let error = Diagnostic::error("missing-blank", "a value must be followed by a blank", self.span(end, end));
                    self.report(error.hint("put a blank or a new line here"));
                }
                return;
            }
            let (found, span) = self.found(end);
            self.report(Diagnostic::error("unexpected", format!("unexpected {found} after a value"), span));
            self.at = self.junk_end(end);
            return;
        }
        self.at = self.junk_end(end);
        let text = self.slice(start, self.at);
        let exponent = matches!(value.kind, ValueKind::Number(_)) && text.parse::<f64>().is_ok();
        let error = if exponent {
            Diagnostic::error("exponent", format!("`{text}`: numbers have no exponent"), self.since(start))
                .hint("write the number out")
        } else {
            Diagnostic::error("unquoted-value", format!("`{text}` needs quotes"), self.since(start))
                .hint(format!("write `\"{text}\"`"))
        };
        self.report(error);
    }

    // ---- arrays ----

    pub(super) fn array(&mut self) -> Option<Value> {
        let start = self.at;
        let elements = self.nested(|parser| {
            parser.at += 1;
            Some(parser.elements(start))
        })?;
        Some(Value { kind: ValueKind::Array(elements), span: self.since(start) })
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
                        let error = Diagnostic::error("trailing-comma", "the array ends with a comma", span);
                        self.report(error.hint("remove it"));
                    }
                    self.at += 1;
                    break;
                }
                Some(b',') => {
                    let error = Diagnostic::error("missing-value", "expected a value before `,`", self.span(self.at, self.at + 1));
                    self.report(error.hint("remove the comma"));
                    self.at += 1;
                }
                None | Some(b'}') => {
                    self.report_missing_bracket(start);
                    break;
                }
                Some(_) if next_option => {
                    self.report_missing_bracket(start);
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
            || ["in", "not", "and", "or", "xor", "nand"].contains(&self.slice(at, name_end(self.text, at)));
        if self.in_condition && condition_goes_on {
            self.report_missing_bracket(start);
            return false;
        }
        if self.sees("=>") {
            let error = Diagnostic::error("arrow-in-array", "`=>` inside an array", self.span(at, at + 2));
            self.report(error.hint("use braces for pairs, `{ key => value }`, or commas between elements"));
            self.at += 2;
            return true;
        }
        if has_newline(self.text, end, at) && is_name(next) && name_then(self.text, at, "=>") {
            return true;
        }
        if is_quote(next) || is_name(next) || b"[{".contains(&next) {
            let error = Diagnostic::error("missing-comma", "expected `,` between two elements", self.span(end, end));
            self.report(error);
            return true;
        }
        let (found, span) = self.found(at);
        self.report(Diagnostic::error("unexpected", format!("expected `,` or `]`, found {found}"), span));
        self.skip_to_element();
        true
    }

    fn report_missing_bracket(&mut self, start: usize) {
        let line = self.line(start);
        let message = format!("missing `]`: the array opened on line {line} is never closed");
        let error = Diagnostic::error("missing-bracket", message, self.span(start, start + 1));
        self.report(error.label("opened here").hint("add the `]` where the array should end"));
        if self.at_end() {
            self.unwind = Unwind::ToSections;
        }
    }

    fn skip_to_element(&mut self) {
        while !matches!(self.peek(), None | Some(b',' | b']' | b'}')) {
            self.at = match self.peek() {
                Some(b'{' | b'[') => matching_end(self.text, self.at).unwrap_or(self.at + 1),
                _ => skip_lexeme(self.text, self.at),
            };
            if first_on_line(self.text, self.at) && name_then(self.text, self.at, "=>") {
                return;
            }
        }
    }

    // ---- hashes ----

    fn hash(&mut self) -> Option<Value> {
        let start = self.at;
        let open = Open { what: "the hash".to_owned(), span: self.span(start, start + 1) };
        let entries = self.nested(|parser| {
            parser.at += 1;
            Some(parser.entries(&open))
        })?;
        self.report_duplicate_keys(&entries);
        Some(Value { kind: ValueKind::Hash(entries), span: self.since(start) })
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
                            let error = Diagnostic::error("comma-in-hash", "the entries of a hash are not separated by commas", span);
                            self.report(error.hint("a blank or a new line is enough; remove it"));
                        }
                        self.at += 1;
                    }
                }
                Some(_) if self.lost_brace_in_hash() => {
                    let to_sections = section_starts(self.text, self.at);
                    self.report_missing_brace(open, '}');
                    self.unwind = if to_sections { Unwind::ToSections } else { Unwind::ToItems };
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
            self.report(Diagnostic::error("missing-arrow", message, self.span(key_end, key_end)));
            let operator = ["->", "==", "=", ":"].into_iter().find(|operator| self.sees(operator));
            let value_follows = self.peek().is_some_and(|b| is_name(b) || is_quote(b) || b"[{".contains(&b));
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
        let next_entry = has_newline(self.text, arrow_end, self.at) && name_then(self.text, self.at, "=>");
        if next_entry || matches!(self.peek(), None | Some(b'}' | b',' | b']' | b')')) {
            let source = self.source.slice(key.span);
            self.report(Diagnostic::error("missing-value", format!("the key {source} has no value"), key.span));
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
            return Some(Value { kind: ValueKind::String(text), span: self.since(start) });
        }
        let word_end = self.key_end(start);
        if number_end(self.text, start) == Some(word_end) {
            return Some(self.number(word_end));
        }
        let is_bareword = bareword_end(self.text, start) == word_end && word_end > start;
        if word_end == start || !(is_bareword || starts_with(self.text, skip_trivia(self.text, word_end), "=>")) {
            return None;
        }
        self.at = word_end;
        let text = self.slice(start, word_end);
        if !is_bareword {
            let error = Diagnostic::error("unquoted-key", format!("the key `{text}` needs quotes"), self.since(start));
            self.report(error.hint(format!("write `\"{text}\"`")));
        } else if text.len() == 1 {
            self.report_short(start);
        }
        Some(Value { kind: ValueKind::Bareword(text.to_owned()), span: self.since(start) })
    }

    /// The end of the unquoted text at `start` that may be meant as a key: before an arrow, a blank or a closer.
    fn key_end(&self, start: usize) -> usize {
        let mut at = start;
        while let Some(b) = byte(self.text, at) {
            if is_blank(b) || b",}{\"'#".contains(&b) || starts_with(self.text, at, "=>") {
                break;
            }
            at = if b == b'%' || b == b'$' { skip_lexeme(self.text, at) } else { next_char(self.text, at) };
        }
        // A blank belongs to no bareword, but `[a b]` is one reference.
        if byte(self.text, start) == Some(b'[') {
            at = super::scan::selector_end(self.text, start).unwrap_or(at);
        }
        at
    }

    fn skip_to_entry(&mut self) {
        loop {
            match self.peek() {
                None | Some(b'}') => return,
                Some(b'{' | b'[') => self.at = matching_end(self.text, self.at).unwrap_or(self.at + 1),
                Some(_) => self.at = skip_lexeme(self.text, self.at),
            }
            let before = self.at.checked_sub(1).and_then(|at| byte(self.text, at));
            if before.is_some_and(|b| is_blank(b) || b == b',') && name_then(self.text, self.at, "=>") {
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
                let error = Diagnostic::error("duplicate-key", format!("the key {source} occurs twice in this hash"), key.span);
                self.report(error.hint(format!("it is also on line {line}; for several values write one array")));
            }
        }
    }
}

const TYPOGRAPHIC: [char; 7] = ['“', '”', '„', '‘', '’', '«', '»'];

/// Decodes the escapes of `config.support_escapes`; unknown ones stay as two characters.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some(quoted @ ('"' | '\'' | '\\')) => out.push(quoted),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('0') => out.push('\0'),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}

/// Whether the string that spans `start..end` ended at its own quote.
#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn escapes() {
        assert_eq!(unescape(r#"a\"b\'c\\d\n\r\t\0\x\"#), "a\"b'c\\d\n\r\t\0\\x\\");
    }
}
