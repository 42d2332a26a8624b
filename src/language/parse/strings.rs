//! Strings that end elsewhere than their author meant: a lost quote, or a backslash before it.

use super::scan::{self, byte, line_end, skip_trivia, string_end};
use super::{Parser, Unwind};
use crate::language::diagnostic::Diagnostic;

impl Parser<'_> {
    /// When the string read last stands right before `unexpected` and looks as if it lost its closing quote, reports
    /// that, goes back to where it was probably meant to end, and says so.
    pub(super) fn blame_string(&mut self, unexpected: usize) -> bool {
        let Some(span) = self.last_string.take() else {
            return false;
        };
        let (start, end) = (span.start as usize, span.end as usize);
        if skip_trivia(self.text, end) != unexpected {
            return false;
        }
        if let Some(at) = self.escaped_end(start, end) {
            self.report_escaped_end(at);
            return true;
        }
        let first_line = line_end(self.text, start);
        let rest = self.slice(first_line.min(end), end);
        let looks_like_config = rest.contains("=>")
            || rest.lines().skip(1).any(|line| {
                line.trim_start().starts_with(['}', ']']) || line.trim_end().ends_with('{')
            });
        if !looks_like_config {
            return false;
        }
        self.report_open_string(start, end);
        true
    }

    /// Where inside a string `\"` stands like the end of a string: before the end of a line, or before a closer.
    pub(super) fn escaped_end(&self, start: usize, end: usize) -> Option<usize> {
        let quote = byte(self.text, start)?;
        let mut at = start + 1;
        while at + 1 < end {
            if byte(self.text, at) == Some(b'\\') && byte(self.text, at + 1) == Some(quote) {
                let rest = self.slice(at + 2, line_end(self.text, at)).trim();
                if rest.is_empty()
                    || rest.starts_with("=>")
                    || rest.starts_with([']', '}', ',', '#'])
                {
                    return Some(at);
                }
                at += 1;
            }
            at += 1;
        }
        None
    }

    pub(super) fn report_escaped_end(&mut self, at: usize) {
        let span = self.span(at, at + 2);
        let quoted = self.slice(at, at + 2);
        let message = format!(
            "the string does not end here: a backslash keeps `{}` from ending it",
            quoted.trim_start_matches('\\')
        );
        let error = Diagnostic::error("unterminated-string", message, span);
        self.report(
            error
                .hint("a string cannot end in a backslash; leave it out, or write a path with `/`"),
        );
        self.resume(at + 2);
    }

    /// Reports that a string lacks its closing quote, and goes on behind its first line, before the closing brackets
    /// of that line whose openers stand before the string.
    pub(super) fn report_open_string(&mut self, start: usize, end: usize) {
        let quote = self.slice(start, start + 1);
        let last = self.line(end.saturating_sub(1));
        let message = if end >= self.text.len() && string_end(self.text, start).is_none() {
            format!("the string that begins here has no closing `{quote}`")
        } else {
            format!(
                "the string that begins here runs on to line {last}; its closing `{quote}` is missing"
            )
        };
        let error = Diagnostic::error(
            "unterminated-string",
            message,
            self.span(start, line_end(self.text, start)),
        );
        self.report(error.hint(format!("add the closing `{quote}`")));
        let before = self.slice(scan::line_start(self.text, start), start);
        let count = |chars: [char; 2]| before.matches(chars).count();
        let mut closers = count(['{', '[']).saturating_sub(count(['}', ']']));
        let mut line = self.slice(start + 1, line_end(self.text, start)).trim_end();
        while closers > 0 && line.ends_with(['}', ']']) {
            line = line.get(..line.len() - 1).unwrap_or_default().trim_end();
            closers -= 1;
        }
        if self.in_condition {
            line = line.strip_suffix('{').unwrap_or(line).trim_end();
        }
        self.resume(start + 1 + line.len());
    }

    /// Goes on from `at`, unless parsing was given up.
    pub(super) fn resume(&mut self, at: usize) {
        if self.unwind != Unwind::ToSections {
            self.at = at;
        }
    }
}
