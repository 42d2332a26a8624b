//! Plugins, their options, and the values of options.

use super::number::{NumberError, number};
use super::scan::{
    bareword_end, byte, first_on_line, has_newline, is_blank, is_name, is_quote, line_end,
    matching_end, name_end, name_then, next_char, number_end, regex_end, section_starts,
    skip_lexeme, skip_trivia, starts_with, string_end,
};
use super::{Open, Parser, Unwind};
use crate::language::ast::{Attr, Name, Plugin, Value, ValueKind};
use crate::language::diagnostic::Diagnostic;

/// Where a value stands, which decides what may follow it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Option,
    Hash,
    Array,
}

impl Parser<'_> {
    // ---- plugins ----

    /// The block of a plugin whose name has been read, from its opening brace.
    pub(super) fn plugin(&mut self, name: Name) -> Option<Plugin> {
        let start = name.span.start as usize;
        let open = Open {
            what: format!("`{}`", name.text),
            span: name.span,
        };
        let attrs = self.nested(|parser| {
            parser.at += 1;
            Some(parser.attrs(&open))
        })?;
        let codecs: Vec<&Attr> = attrs
            .iter()
            .filter(|attr| attr.name.text == "codec")
            .collect();
        if let [first, second, ..] = codecs.as_slice() {
            let message = format!("`{}` has two codecs", name.text);
            let line = self.line(first.name.span.start as usize);
            let error = Diagnostic::error("duplicate-codec", message, second.name.span);
            self.report(error.hint(format!("the first one is on line {line}; keep one of them")));
        }
        Some(Plugin {
            name,
            attrs,
            span: self.since(start),
        })
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
                            let error = Diagnostic::error(
                                "comma",
                                "options are not separated by commas",
                                span,
                            );
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
        let next_option = has_newline(self.text, arrow_end, value_start)
            && name_then(self.text, value_start, "=>");
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
        let attr = Attr {
            name,
            value,
            span: self.since(start),
        };
        if !self.unwinding() {
            self.check_end(&attr.value, Place::Option);
        }
        Some(attr)
    }

    /// A name in a plugin that no arrow follows: a lost arrow, a lost brace before it, or words that belong to the
    /// value before.
    fn attr_without_arrow(
        &mut self,
        open: &Open,
        last: Option<&Attr>,
        name: Name,
        name_end: usize,
    ) -> Option<Attr> {
        let start = name.span.start as usize;
        if self.blame_string(start) {
            return None;
        }
        let is_conditional = matches!(
            self.slice(start, name_end),
            "if" | "else" | "elsif" | "elseif" | "elif"
        );
        let quoted_key = self.peek() == Some(b'{') && {
            let inner = skip_trivia(self.text, self.at + 1);
            byte(self.text, inner).is_some_and(is_quote)
        };
        if self.missing_braces > 0 && (is_conditional || (self.peek() == Some(b'{') && !quoted_key))
        {
            self.report_missing_brace(open, '}');
            self.at = start;
            self.unwind = Unwind::ToItems;
            return None;
        }
        if is_conditional {
            let message = format!(
                "a conditional cannot stand inside a plugin, here {}",
                open.what
            );
            let error = Diagnostic::error("conditional-in-plugin", message, name.span);
            self.report(error.hint("put the `if` around the plugin instead"));
            self.skip_conditional();
            return None;
        }
        if let Some(last) = last
            && !has_newline(self.text, last.value.span.end as usize, start)
        {
            let message = format!(
                "unexpected `{}` after the value of `{}`",
                name.text, last.name.text
            );
            let error = Diagnostic::error("unexpected", message, name.span);
            self.report(error.hint("a value of several words needs quotes around it"));
            self.skip_to_attr();
            return None;
        }
        let operator = ["->", "==", "=", ":"]
            .into_iter()
            .find(|operator| self.sees(operator));
        let same_line = !has_newline(self.text, name_end, self.at);
        let value_follows = same_line
            && self
                .peek()
                .is_some_and(|b| is_name(b) || is_quote(b) || b"[{".contains(&b));
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
        let mut unbalanced = false;
        loop {
            match self.peek() {
                None | Some(b'}') => return,
                Some(_) => self.skip_group(&mut unbalanced),
            }
            let after_blank = self
                .at
                .checked_sub(1)
                .and_then(|at| byte(self.text, at))
                .is_some_and(is_blank);
            if after_blank
                && (name_then(self.text, self.at, "=>")
                    || (first_on_line(self.text, self.at)
                        && (name_then(self.text, self.at, "{")
                            || self.branch_starts(self.at, "if"))))
            {
                return;
            }
        }
    }

    /// Over a whole group in brackets or braces, or one step of anything else. One opener without an end is enough:
    /// from then on there are only steps, which keeps skipping linear.
    pub(super) fn skip_group(&mut self, unbalanced: &mut bool) {
        if !*unbalanced && matches!(self.peek(), Some(b'{' | b'[')) {
            if let Some(end) = matching_end(self.text, self.at) {
                self.at = end;
                return;
            }
            *unbalanced = true;
        }
        self.at = skip_lexeme(self.text, self.at);
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
            let name = Name {
                text: self.slice(start + 1, end - 1).to_owned(),
                span: self.since(start),
            };
            return self.plugin_value(name);
        }
        Some(Value {
            kind: ValueKind::String(text),
            span: self.since(start),
        })
    }

    fn plugin_value(&mut self, name: Name) -> Option<Value> {
        self.trivia();
        let plugin = self.plugin(name)?;
        let span = plugin.span;
        Some(Value {
            kind: ValueKind::Plugin(Box::new(plugin)),
            span,
        })
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
        if self.options.support_escapes {
            unescape(inner)
        } else {
            inner.to_owned()
        }
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
        Some(Value {
            kind: ValueKind::Bareword(self.slice(start, end).to_owned()),
            span: self.since(start),
        })
    }

    pub(super) fn report_short(&mut self, start: usize) {
        let word = self.slice(start, start + 1);
        let message = format!("`{word}` is too short to stand without quotes");
        let error = Diagnostic::error("short-bareword", message, self.span(start, start + 1));
        self.report(error.hint(format!(
            "unquoted words need two characters or more; write `\"{word}\"`"
        )));
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
                        let message = format!(
                            "`{text}` is not a number: a leading zero asks for octal digits"
                        );
                        Diagnostic::error("bad-octal", message, self.since(start)).hint(format!(
                            "write `{}`, or quote it",
                            text.replacen('0', "", 1)
                        ))
                    }
                    NumberError::TooLong => Diagnostic::error(
                        "long-number",
                        "this number has too many digits",
                        self.since(start),
                    )
                    .hint("quote it"),
                };
                self.report(error);
                ValueKind::String(text.to_owned())
            }
        };
        Value {
            kind,
            span: self.span(start, end),
        }
    }

    /// What stands where a value should: nothing at all, or text that lacks quotes, which is taken as a string.
    fn no_value(&mut self) -> Option<Value> {
        let start = self.at;
        let (found, span) = self.found(start);
        if matches!(self.peek(), None | Some(b'}' | b']' | b')' | b',' | b'=')) {
            self.report(Diagnostic::error(
                "missing-value",
                format!("expected a value, found {found}"),
                span,
            ));
            return None;
        }
        let end = match self.peek() {
            Some(b'/') => regex_end(self.text, start).filter(|&end| {
                !has_newline(self.text, start, end) && !byte(self.text, end).is_some_and(is_name)
            }),
            _ => self.typographic_end(start),
        };
        let end = end.unwrap_or_else(|| self.junk_end(start));
        self.at = end;
        let text = self.slice(start, end);
        let hint = match byte(self.text, start) {
            Some(b'+') if number_end(self.text, start + 1) == Some(end) => {
                "numbers take no `+`".to_owned()
            }
            Some(b'/') if text.len() > 1 && text.ends_with('/') => {
                "a regular expression can stand only in conditions; quote it".to_owned()
            }
            Some(b) if !b.is_ascii() => format!(
                "use the plain quotes `\"` or `'`: `\"{}\"`",
                text.trim_matches(TYPOGRAPHIC)
            ),
            _ => format!("write `\"{text}\"`"),
        };
        let error = Diagnostic::error(
            "unquoted-value",
            format!("`{text}` is not a value"),
            self.since(start),
        );
        self.report(error.hint(hint));
        Some(Value {
            kind: ValueKind::String(text.to_owned()),
            span: self.since(start),
        })
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
            at = if b == b'%' || b == b'$' {
                skip_lexeme(self.text, at)
            } else {
                next_char(self.text, at)
            };
        }
        at
    }

    /// Reports what touches a value but cannot.
    pub(super) fn check_end(&mut self, value: &Value, place: Place) {
        let (start, end) = (value.span.start as usize, self.at);
        let next = byte(self.text, end).filter(|_| self.touches(end));
        let fits = next.is_none_or(|next| match place {
            Place::Option => b"},;".contains(&next) || starts_with(self.text, end, "=>"),
            Place::Hash => b"},#\"'".contains(&next) || name_then(self.text, end, "=>"),
            Place::Array => b",]}=)#!<>".contains(&next),
        });
        if matches!(&value.kind, ValueKind::Bareword(word) if word.len() == 1)
            && (fits || next == Some(b'#'))
        {
            self.report_short(start);
        }
        let Some(next) = next.filter(|_| !fits) else {
            return;
        };
        if next == b'#' {
            // The grammar wants a blank only where another option follows.
            if !matches!(
                byte(self.text, skip_trivia(self.text, end)),
                None | Some(b'}')
            ) {
                let error = Diagnostic::error(
                    "comment-after-value",
                    "a comment may not touch a value",
                    self.span(end, end + 1),
                );
                self.report(error.hint("put a blank before the `#`"));
            }
            return;
        }
        let unquoted = matches!(value.kind, ValueKind::Bareword(_) | ValueKind::Number(_));
        if !unquoted {
            if self.blame_string(end) {
                return;
            }
            if self.quote_in_string(value) {
                return;
            }
            if is_name(next) || is_quote(next) {
                if place == Place::Option {
                    let error = Diagnostic::error(
                        "missing-blank",
                        "a value must be followed by a blank",
                        self.span(end, end),
                    );
                    self.report(error.hint("put a blank or a new line here"));
                }
                return;
            }
            let (found, span) = self.found(end);
            self.report(Diagnostic::error(
                "unexpected",
                format!("unexpected {found} after a value"),
                span,
            ));
            self.at = self.junk_end(end);
            return;
        }
        self.at = self.junk_end(end);
        let text = self.slice(start, self.at);
        let exponent = matches!(value.kind, ValueKind::Number(_)) && text.parse::<f64>().is_ok();
        let error = if exponent {
            Diagnostic::error(
                "exponent",
                format!("`{text}`: numbers have no exponent"),
                self.since(start),
            )
            .hint("write the number out")
        } else {
            Diagnostic::error(
                "unquoted-value",
                format!("`{text}` needs quotes"),
                self.since(start),
            )
            .hint(format!("write `\"{text}\"`"))
        };
        self.report(error);
    }

    /// Reports a string that its own quotes cut short, as in `'it's'`, and goes on behind the last quote of the line
    /// that could end it.
    fn quote_in_string(&mut self, value: &Value) -> bool {
        let (start, end) = (value.span.start as usize, self.at);
        let quote = byte(self.text, start).filter(|_| matches!(value.kind, ValueKind::String(_)));
        let Some(quote) = quote.filter(|_| !name_then(self.text, end, "=>")) else {
            return false;
        };
        let line = self
            .text
            .get(end..line_end(self.text, end))
            .unwrap_or_default();
        let part = line
            .windows(2)
            .position(|pair| pair == b"=>")
            .map_or(line, |at| line.get(..at).unwrap_or_default());
        let ends = |at: &usize| {
            line.get(at + 1)
                .is_none_or(|&b| is_blank(b) || b",]})".contains(&b))
        };
        let Some(last) = (0..part.len())
            .rev()
            .filter(|&at| part.get(at) == Some(&quote))
            .find(ends)
        else {
            return false;
        };
        self.at = end + last + 1;
        let error = Diagnostic::error(
            "quote-in-string",
            "a quote inside the string ends it early",
            self.span(end - 1, end),
        );
        let other = if quote == b'"' { '\'' } else { '"' };
        self.report(error.hint(format!("put `{other}` around the whole string instead")));
        true
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

#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn escapes() {
        assert_eq!(
            unescape(r#"a\"b\'c\\d\n\r\t\0\x\"#),
            "a\"b'c\\d\n\r\t\0\\x\\"
        );
    }
}
