//! Errors and warnings about a configuration, and how they are shown: for people in a terminal, or as JSON lines.

use std::fmt::Write as _;

use crate::language::ast::Span;
use crate::language::source::SourceMap;

/// How bad a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration cannot run.
    Error,
    /// It runs, but probably not as its author thinks.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// One thing to tell the author of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// A stable, short name of the kind of finding, such as `missing-arrow`.
    pub code: &'static str,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// The text that is meant.
    pub span: Span,
    /// A few words to stand beside the underlined text.
    pub label: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// An error at a place.
    #[must_use]
    pub fn error(code: &'static str, message: impl Into<String>, span: Span) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            code,
            message: message.into(),
            span,
            label: None,
            hint: None,
        }
    }

    /// A warning at a place.
    #[must_use]
    pub fn warning(code: &'static str, message: impl Into<String>, span: Span) -> Diagnostic {
        Diagnostic {
            severity: Severity::Warning,
            ..Diagnostic::error(code, message, span)
        }
    }

    /// With words beside the underlined text.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Diagnostic {
        self.label = Some(label.into());
        self
    }

    /// With advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Diagnostic {
        self.hint = Some(hint.into());
        self
    }

    /// Whether this keeps the configuration from running.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Most cells of a source line that are shown around the place of a diagnostic.
const LINE_WINDOW: usize = 160;
const TAB_WIDTH: usize = 4;

/// Shows diagnostics for people: message, place, the source line with the text underlined, and advice.
#[must_use]
pub fn render(diagnostics: &[Diagnostic], source: &SourceMap, color: bool) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        render_one(
            &mut out,
            diagnostic,
            source,
            &Palette::new(diagnostic.severity, color),
        );
        out.push('\n');
    }
    out
}

/// Escape sequences of one rendering; all empty without colour.
struct Palette {
    severity: &'static str,
    gutter: &'static str,
    bold: &'static str,
    reset: &'static str,
}

impl Palette {
    fn new(severity: Severity, color: bool) -> Palette {
        if !color {
            return Palette {
                severity: "",
                gutter: "",
                bold: "",
                reset: "",
            };
        }
        let severity = match severity {
            Severity::Error => "\x1b[1;31m",
            Severity::Warning => "\x1b[1;33m",
        };
        Palette {
            severity,
            gutter: "\x1b[1;34m",
            bold: "\x1b[1m",
            reset: "\x1b[0m",
        }
    }
}

fn render_one(out: &mut String, diagnostic: &Diagnostic, source: &SourceMap, palette: &Palette) {
    let Palette {
        severity,
        gutter,
        bold,
        reset,
    } = palette;
    let place = source.locate(diagnostic.span.start);
    let number = place.line.to_string();
    let indent = " ".repeat(number.len());
    let line = SourceLine::new(
        place.line_text,
        place.column - 1,
        source.slice(diagnostic.span),
    );
    let label = diagnostic
        .label
        .as_deref()
        .map(|label| format!(" {label}"))
        .unwrap_or_default();
    let name = diagnostic.severity.name();
    let (code, message) = (diagnostic.code, &diagnostic.message);
    let (file, column) = (printable(place.file), place.column);
    let (pad, carets) = (" ".repeat(line.caret_start), "^".repeat(line.caret_width));
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "{severity}{name}[{code}]{reset}{bold}: {}{reset}",
        printable(message)
    );
    let _ = writeln!(out, "{indent}{gutter}-->{reset} {file}:{number}:{column}");
    let _ = writeln!(out, "{indent} {gutter}|{reset}");
    let _ = writeln!(out, "{gutter}{number} |{reset} {}", line.shown.trim_end());
    let _ = writeln!(
        out,
        "{indent} {gutter}|{reset} {pad}{severity}{carets}{}{reset}",
        printable(&label)
    );
    if let Some(hint) = &diagnostic.hint {
        let _ = writeln!(
            out,
            "{indent} {gutter}={reset} {bold}help{reset}: {}",
            printable(hint)
        );
    }
}

/// A source line as it is printed, with the cells to underline.
struct SourceLine {
    shown: String,
    caret_start: usize,
    caret_width: usize,
}

impl SourceLine {
    /// `column` is the character the underline begins at; it covers what `marked` has on this line.
    fn new(line: &str, column: usize, marked: &str) -> SourceLine {
        let marked = marked
            .split(['\n', '\r'])
            .next()
            .unwrap_or_default()
            .chars()
            .count();
        let mut cells = String::new();
        let (mut width, mut from, mut to) = (0, None, None);
        let skip = column.saturating_sub(LINE_WINDOW / 2);
        if skip > 0 {
            cells.push('…');
            width = 1;
        }
        for (i, c) in line.chars().enumerate().skip(skip) {
            if i == column {
                from = Some(width);
            }
            if i == column + marked {
                to = Some(width);
            }
            if width >= LINE_WINDOW {
                cells.push('…');
                break;
            }
            match c {
                '\t' => {
                    let spaces = TAB_WIDTH - width % TAB_WIDTH;
                    cells.extend(std::iter::repeat_n(' ', spaces));
                    width += spaces;
                }
                c => {
                    cells.push(if c.is_control() { '\u{fffd}' } else { c });
                    width += char_width(c);
                }
            }
        }
        let caret_start = from.unwrap_or(width);
        let caret_width = to.unwrap_or(width).saturating_sub(caret_start).max(1);
        SourceLine {
            shown: cells,
            caret_start,
            caret_width,
        }
    }
}

/// Cells that a terminal uses for a character: nothing for combining marks, two for the wide East Asian blocks and
/// most emoji. An approximation without tables; a wrong guess moves a caret by a cell.
fn char_width(c: char) -> usize {
    match u32::from(c) {
        0x300..=0x36f | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f
        | 0x1f900..=0x1f9ff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// Text from a configuration or a file name, made safe for a terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// Shows diagnostics for programs: one JSON object per line with `severity`, `code`, `message`, `file`, `line`,
/// `column`, `end_line`, `end_column` (characters, from 1; the end is exclusive) and `hint` (null if there is none).
#[must_use]
pub fn to_json(diagnostics: &[Diagnostic], source: &SourceMap) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        let start = source.locate(diagnostic.span.start);
        let end = source.locate(diagnostic.span.end);
        let object = serde_json::json!({
            "severity": diagnostic.severity.name(),
            "code": diagnostic.code,
            "message": diagnostic.message,
            "file": start.file,
            "line": start.line,
            "column": start.column,
            "end_line": end.line,
            "end_column": end.column,
            "hint": diagnostic.hint,
        });
        out.push_str(&object.to_string());
        out.push('\n');
    }
    out
}

/// The candidate that a misspelt word was probably meant to be, if one is close enough.
///
/// Case and `-` against `_` do not count as differences; an exchange of two neighbours counts as one.
#[must_use]
pub fn did_you_mean<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = comparable(word)?;
    let allowed = (word.len() / 3).clamp(1, 3);
    candidates
        .filter_map(|candidate| {
            let distance = edit_distance(&word, &comparable(candidate)?);
            // For the shortest names a single edit reaches everything.
            (distance <= allowed && distance < word.len()).then_some((distance, candidate))
        })
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// Longest name worth comparing; no plugin or option comes near it.
const MAX_COMPARED: usize = 64;

fn comparable(word: &str) -> Option<Vec<char>> {
    let chars: Vec<char> = word
        .chars()
        .take(MAX_COMPARED + 1)
        .map(|c| {
            if c == '-' {
                '_'
            } else {
                c.to_ascii_lowercase()
            }
        })
        .collect();
    (!chars.is_empty() && chars.len() <= MAX_COMPARED).then_some(chars)
}

/// Fewest insertions, deletions, replacements and exchanges of neighbours that turn one word into the other.
fn edit_distance(a: &[char], b: &[char]) -> usize {
    let cell = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(MAX_COMPARED);
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(last.len());
        row.push(i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = cell(&last, j) + usize::from(x != y);
            let mut best = replaced.min(cell(&last, j + 1) + 1).min(cell(&row, j) + 1);
            if i > 0 && j > 0 && b.get(j - 1) == Some(x) && a.get(i - 1) == Some(y) {
                best = best.min(cell(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span_of(source: &SourceMap, needle: &str) -> Span {
        let start = u32::try_from(source.text().find(needle).unwrap()).unwrap();
        Span::new(start, start + u32::try_from(needle.len()).unwrap())
    }

    #[test]
    fn rendering_underlines_the_text() {
        let source = SourceMap::single("a.conf", "input {\n\tgrün => ü\n}").unwrap();
        let error = Diagnostic::error("some-code", "this is wrong", span_of(&source, "ü\n"))
            .label("here")
            .hint("write it in another way");
        let shown = render(&[error], &source, false);
        assert_eq!(
            shown,
            "error[some-code]: this is wrong\n --> a.conf:2:10\n  |\n2 |     grün => ü\n  |             ^ here\n  = help: write it \
             in another way\n\n"
        );
    }

    #[test]
    fn wide_text_and_tabs_keep_the_caret_in_place() {
        let source = SourceMap::single("a.conf", "\"日本\"\tbad").unwrap();
        let shown = render(
            &[Diagnostic::warning("x", "y", span_of(&source, "bad"))],
            &source,
            false,
        );
        assert!(
            shown.contains("1 | \"日本\"  bad\n  |         ^^^\n"),
            "{shown}"
        );
    }

    #[test]
    fn colours_only_when_asked_and_control_characters_never() {
        let source = SourceMap::single("a.conf", "x \x1b[31m y").unwrap();
        let diagnostic = Diagnostic::error("x", "bad \x1b text", Span::new(0, 1));
        assert!(!render(std::slice::from_ref(&diagnostic), &source, false).contains('\x1b'));
        let coloured = render(&[diagnostic], &source, true);
        assert!(
            coloured.starts_with("\x1b[1;31merror[x]\x1b[0m"),
            "{coloured}"
        );
        assert!(!coloured.contains("\x1b[31m"));
    }

    #[test]
    fn long_lines_are_cut_around_the_place() {
        let text = format!("{}BAD{}", "a".repeat(100_000), "b".repeat(100_000));
        let source = SourceMap::single("a.conf", &text).unwrap();
        let shown = render(
            &[Diagnostic::error("x", "y", span_of(&source, "BAD"))],
            &source,
            false,
        );
        assert!(shown.len() < 1000);
        let lines: Vec<&str> = shown.lines().collect();
        let caret = lines[4].chars().position(|c| c == '^').unwrap();
        assert_eq!(
            lines[3].chars().skip(caret).take(3).collect::<String>(),
            "BAD"
        );
    }

    #[test]
    fn a_span_at_the_end_or_over_lines_is_shown() {
        let source = SourceMap::single("a.conf", "abc\ndef").unwrap();
        let at_end = render(
            &[Diagnostic::error("x", "y", Span::new(7, 7))],
            &source,
            false,
        );
        assert!(at_end.contains("2 | def\n  |    ^\n"), "{at_end}");
        let both = render(
            &[Diagnostic::error("x", "y", Span::new(1, 7))],
            &source,
            false,
        );
        assert!(both.contains("1 | abc\n  |  ^^\n"), "{both}");
    }

    #[test]
    fn json_has_a_line_each() {
        let source = SourceMap::single("a \"b\".conf", "abc\ndef").unwrap();
        let both = [
            Diagnostic::error("one", "m\"1", Span::new(1, 5)).hint("h"),
            Diagnostic::warning("two", "m2", Span::new(0, 1)),
        ];
        let text = to_json(&both, &source);
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(
            lines[0],
            serde_json::json!({"severity": "error", "code": "one", "message": "m\"1", "file": "a \"b\".conf", "line": 1,
                "column": 2, "end_line": 2, "end_column": 2, "hint": "h"})
        );
        assert_eq!(lines[1]["severity"], "warning");
        assert_eq!(lines[1]["hint"], serde_json::Value::Null);
    }

    #[test]
    fn suggestions() {
        let options = [
            "match",
            "patterns_dir",
            "break_on_match",
            "tag_on_failure",
            "id",
        ];
        let ask = |word| did_you_mean(word, options.iter().copied());
        assert_eq!(ask("mathc"), Some("match"));
        assert_eq!(ask("patern_dir"), Some("patterns_dir"));
        assert_eq!(ask("Tag-On-Failure"), Some("tag_on_failure"));
        assert_eq!(ask("ecs"), None);
        assert_eq!(ask("x"), None);
        assert_eq!(ask(""), None);
        assert_eq!(ask(&"y".repeat(1000)), None);
    }
}
