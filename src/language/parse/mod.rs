//! The parser: sections, items and branches, and the bookkeeping that recovery from errors needs.
//!
//! The grammar is a PEG without keyword boundaries; where this parser decides by looking ahead instead of trying
//! alternatives in order, it reaches the same decision for every text that the grammar accepts. Texts it does not
//! accept are read on as their authors most likely meant them, after one error.

mod branch;
mod collection;
mod condition;
mod number;
mod oracle;
mod properties;
mod scan;
mod strings;
mod tests;
mod value;

use crate::language::ast::{Config, Item, Name, Section, SectionKind, Span};
use crate::language::diagnostic::{Diagnostic, did_you_mean};
use crate::language::field_path::EscapeStyle;
use crate::language::lint;
use crate::language::source::SourceMap;
use scan::{
    byte, first_on_line, has_newline, indent, is_blank, is_name, is_quote, line_end, matching_end,
    name_end, name_then, odd_blank, section_starts, skip_lexeme, skip_trivia, starts_with,
    string_end, unclosed_braces,
};

/// Deepest nesting of blocks, arrays, hashes and parentheses.
pub const MAX_DEPTH: usize = 250;

/// Most errors reported for one configuration.
pub const MAX_ERRORS: usize = 100;

/// How a configuration is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ParseOptions {
    /// Whether `\n` and the like are decoded in strings (`config.support_escapes`).
    pub support_escapes: bool,
    /// How field references escape brackets (`config.field_reference.escape_style`).
    pub escape_style: EscapeStyle,
}

/// What could be understood of a configuration, and everything there is to say about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The tree. Where an error stands it holds what could be saved.
    pub config: Config,
    /// Errors and warnings in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

impl Parsed {
    /// Whether the configuration must not run.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// Parses the files of a pipeline as one text. Reports every error, and warns of what is legal but surprising.
#[must_use]
pub fn parse(source: &SourceMap, options: ParseOptions) -> Parsed {
    let mut parser = Parser::new(source, options);
    let config = parser.config();
    let mut diagnostics = parser.diagnostics;
    // A tree with holes would be warned of for what only recovery put there.
    if parser.errors == 0 {
        lint::lint(&config, source, &mut diagnostics);
    }
    diagnostics.sort_by_key(|diagnostic| diagnostic.span);
    Parsed {
        config,
        diagnostics,
    }
}

/// What an error has decided about the blocks around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unwind {
    /// Nothing: parsing goes on.
    No,
    /// Plugins and values end here; items follow.
    ToItems,
    /// Everything ends here; a section, or the end of the text, follows.
    ToSections,
}

/// A block whose closing brace or bracket has not been seen.
#[derive(Debug, Clone)]
struct Open {
    /// What it is, for messages: `` `grok` ``.
    what: String,
    span: Span,
}

struct Parser<'a> {
    source: &'a SourceMap,
    text: &'a [u8],
    at: usize,
    options: ParseOptions,
    diagnostics: Vec<Diagnostic>,
    errors: usize,
    depth: usize,
    unwind: Unwind,
    /// Closing braces that the present section lacks, less those already reported.
    missing_braces: usize,
    /// The first block of the section that a brace with less indent than its own closed: where one is missing.
    suspect: Option<Open>,
    /// The string read last. When nonsense follows it, a quote was probably lost.
    last_string: Option<Span>,
    odd_blank_seen: bool,
    in_condition: bool,
}

impl<'a> Parser<'a> {
    fn new(source: &'a SourceMap, options: ParseOptions) -> Parser<'a> {
        Parser {
            source,
            text: source.text().as_bytes(),
            at: 0,
            options,
            diagnostics: Vec::new(),
            errors: 0,
            depth: 0,
            unwind: Unwind::No,
            missing_braces: 0,
            suspect: None,
            last_string: None,
            odd_blank_seen: false,
            in_condition: false,
        }
    }

    // ---- text ----

    fn peek(&self) -> Option<u8> {
        byte(self.text, self.at)
    }

    fn at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    fn sees(&self, what: &str) -> bool {
        starts_with(self.text, self.at, what)
    }

    fn span(&self, from: usize, to: usize) -> Span {
        let clamp = |at: usize| u32::try_from(at.min(self.text.len())).unwrap_or(u32::MAX);
        Span::new(clamp(from), clamp(to))
    }

    fn since(&self, from: usize) -> Span {
        self.span(from, self.at)
    }

    fn slice(&self, from: usize, to: usize) -> &'a str {
        self.source.text().get(from..to).unwrap_or_default()
    }

    fn line(&self, at: usize) -> usize {
        self.source.locate(self.span(at, at).start).line
    }

    /// The word or character at `at`, as messages quote it.
    fn found(&self, at: usize) -> (String, Span) {
        let end = match byte(self.text, at) {
            None => return ("the end of the text".to_owned(), self.span(at, at)),
            Some(b) if is_name(b) => name_end(self.text, at),
            Some(b) if is_quote(b) => string_end(self.text, at)
                .unwrap_or(at + 1)
                .min(line_end(self.text, at))
                .max(at + 1),
            Some(_) => scan::next_char(self.text, at),
        };
        let shown: String = self.slice(at, end).chars().take(40).collect();
        (format!("`{shown}`"), self.span(at, end))
    }

    /// Past blanks and comments. Characters that only look blank are reported, once.
    fn trivia(&mut self) {
        let from = self.at;
        self.at = skip_trivia(self.text, from);
        if self.odd_blank_seen {
            return;
        }
        let mut at = from;
        while at < self.at {
            if let Some(len) = odd_blank(self.text, at) {
                self.odd_blank_seen = true;
                let code = self.slice(at, at + len).chars().next().map_or(0, u32::from);
                let message = format!("the character U+{code:04X} looks like a blank but is none");
                let error = Diagnostic::error("odd-blank", message, self.span(at, at + len));
                self.report(
                    error.hint("replace it by an ordinary space, here and wherever else it stands"),
                );
                return;
            }
            at = if byte(self.text, at) == Some(b'#') {
                line_end(self.text, at)
            } else {
                at + 1
            };
        }
    }

    // ---- errors ----

    fn report(&mut self, diagnostic: Diagnostic) {
        if !diagnostic.is_error() {
            self.diagnostics.push(diagnostic);
            return;
        }
        self.errors += 1;
        if self.errors <= MAX_ERRORS {
            self.diagnostics.push(diagnostic);
        }
        if self.errors == MAX_ERRORS {
            let end = self.span(self.text.len(), self.text.len());
            self.diagnostics.push(
                Diagnostic::error(
                    "too-many-errors",
                    format!("more than {MAX_ERRORS} errors; the rest is not read"),
                    end,
                )
                .hint("check that this is a pipeline configuration"),
            );
            self.give_up();
        }
    }

    /// Ends parsing without further errors.
    fn give_up(&mut self) {
        self.at = self.text.len();
        self.unwind = Unwind::ToSections;
    }

    fn unwinding(&self) -> bool {
        self.unwind != Unwind::No
    }

    /// Reports that `open`, or a block inside it that looks more like the culprit, lacks its closing brace.
    fn report_missing_brace(&mut self, open: &Open, closer: char) {
        let open = self.suspect.take().unwrap_or_else(|| open.clone());
        let line = self.line(open.span.start as usize);
        let message = format!(
            "missing `{closer}`: {} opened on line {line} is never closed",
            open.what
        );
        self.report(
            Diagnostic::error("missing-brace", message, open.span)
                .label("opened here")
                .hint(format!("add the `{closer}` where this block should end")),
        );
        self.missing_braces = self.missing_braces.saturating_sub(1);
    }

    /// To be called on a closing brace at `at`: notes the block as suspect if the layout says that the brace was
    /// meant for a block further out.
    fn check_layout(&mut self, open: &Open, at: usize) {
        if self.suspect.is_none() && first_on_line(self.text, at) {
            let opened = open.span.start as usize;
            if indent(self.text, at) < indent(self.text, opened) {
                self.suspect = Some(open.clone());
            }
        }
    }

    /// Runs `inner` one level deeper, or reports that the text nests too deep and skips the bracket at `self.at`.
    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        if self.depth >= MAX_DEPTH {
            let error = Diagnostic::error(
                "too-deep",
                format!(
                    "blocks, arrays and parentheses are nested more than {MAX_DEPTH} levels deep"
                ),
                self.span(self.at, self.at),
            );
            self.report(error);
            match matching_end(self.text, self.at) {
                Some(end) => self.at = end,
                None => self.give_up(),
            }
            return None;
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    // ---- sections ----

    fn config(&mut self) -> Config {
        let mut config = Config::default();
        // After an unmatched closing brace further ones tell nothing.
        let mut extra_brace_seen = false;
        loop {
            self.unwind = Unwind::No;
            self.trivia();
            let start = self.at;
            let Some(b) = self.peek() else { return config };
            let end = name_end(self.text, start);
            let brace = skip_trivia(self.text, end);
            if let (Some(kind), true) = (
                section_kind(self.slice(start, end)),
                byte(self.text, brace) == Some(b'{'),
            ) {
                self.at = brace;
                extra_brace_seen = false;
                config.sections.push(self.section(kind, start));
            } else if b == b'}' {
                if !std::mem::replace(&mut extra_brace_seen, true) {
                    self.extra_brace(config.sections.last());
                }
                self.at += 1;
            } else if let Some(section) = self.stray(
                start,
                end,
                brace,
                config.sections.last().map(|last| last.kind),
            ) {
                extra_brace_seen = true;
                config.sections.push(section);
            }
        }
    }

    fn section(&mut self, kind: SectionKind, start: usize) -> Section {
        self.missing_braces = unclosed_braces(self.text, self.at);
        self.suspect = None;
        let open = Open {
            what: format!("`{}`", kind.keyword()),
            span: self.span(start, self.at + 1),
        };
        let items = self.block(&open).unwrap_or_default();
        Section {
            kind,
            items,
            span: self.since(start),
        }
    }

    fn extra_brace(&mut self, last: Option<&Section>) {
        let mut error = Diagnostic::error(
            "extra-brace",
            "this `}` closes nothing",
            self.span(self.at, self.at + 1),
        );
        if let Some(last) = last {
            let line = self.line(last.span.start as usize);
            let keyword = last.kind.keyword();
            error = error.hint(format!(
                "`{keyword}` of line {line} is closed already; remove one `}}`"
            ));
        }
        self.report(error);
    }

    /// Something between sections that is none. Reads what follows as the section it was probably meant for.
    fn stray(
        &mut self,
        start: usize,
        end: usize,
        brace: usize,
        last: Option<SectionKind>,
    ) -> Option<Section> {
        let word = self.slice(start, end);
        let name_span = self.span(start, end);
        let is_block = byte(self.text, brace) == Some(b'{');
        let meant = did_you_mean(word, ["input", "filter", "output"].into_iter());
        if let Some(kind) = section_kind(word) {
            self.report(Diagnostic::error(
                "missing-brace",
                format!("expected `{{` after `{word}`"),
                name_span,
            ));
            self.at = brace;
            return self
                .items_follow()
                .then(|| self.rest_of_section(kind, start));
        }
        if let (true, Some(keyword), Some(kind)) = (is_block, meant, meant.and_then(section_kind)) {
            let error = Diagnostic::error(
                "unknown-section",
                format!("there is no section `{word}`"),
                name_span,
            );
            self.report(error.hint(format!("did you mean `{keyword}`?")));
            self.at = brace;
            return Some(self.section(kind, start));
        }
        let is_item =
            (is_block && end > start) || matches!(word, "if" | "else" | "elsif" | "elseif");
        if is_item || (end > start && starts_with(self.text, brace, "=>")) {
            let what = format!("`{word}` stands outside of any section");
            let hint = match last {
                Some(kind) => format!(
                    "an earlier `}}` closes `{}` too soon; remove it",
                    kind.keyword()
                ),
                None => format!("wrap it: `filter {{ {word} … }}`, or `input`, or `output`"),
            };
            self.report(Diagnostic::error("outside-section", what, name_span).hint(hint));
            if starts_with(self.text, brace, "=>") {
                self.at = skip_trivia(self.text, brace + 2);
                let _ = self.value();
            }
            return Some(self.rest_of_section(last.unwrap_or(SectionKind::Filter), start));
        }
        let (found, span) = self.found(start);
        self.report(
            Diagnostic::error(
                "expected-section",
                format!("expected a section, found {found}"),
                span,
            )
            .hint("a pipeline consists of `input { … }`, `filter { … }` and `output { … }`"),
        );
        self.skip_to_section();
        None
    }

    /// Whether what follows reads like the items of a section rather than noise.
    fn items_follow(&self) -> bool {
        name_then(self.text, self.at, "{") || self.sees("if")
    }

    /// Items that lack the head of their section, up to the brace that would close it.
    fn rest_of_section(&mut self, kind: SectionKind, start: usize) -> Section {
        self.missing_braces = 0;
        let items = self.items(None).unwrap_or_default();
        Section {
            kind,
            items,
            span: self.since(start),
        }
    }

    fn skip_to_section(&mut self) {
        loop {
            self.at = skip_lexeme(self.text, self.at);
            if self.at_end()
                || (first_on_line(self.text, self.at) && section_starts(self.text, self.at))
            {
                return;
            }
        }
    }

    // ---- items ----

    /// `{ items }`, from the opening brace.
    fn block(&mut self, open: &Open) -> Option<Vec<Item>> {
        self.nested(|parser| {
            parser.at += 1;
            parser.items(Some(open))
        })
    }

    /// Items up to and with the closing brace. Without `open` the end of the text is as good as a brace.
    fn items(&mut self, open: Option<&Open>) -> Option<Vec<Item>> {
        let mut items = Vec::new();
        loop {
            if self.unwind == Unwind::ToItems {
                self.unwind = Unwind::No;
            }
            if self.unwinding() {
                return Some(items);
            }
            self.trivia();
            match self.peek() {
                None => {
                    if let Some(open) = open {
                        self.report_missing_brace(open, '}');
                    }
                    self.unwind = Unwind::ToSections;
                }
                Some(b'}') => {
                    if let Some(open) = open {
                        self.check_layout(open, self.at);
                    }
                    self.at += 1;
                    return Some(items);
                }
                Some(_) if section_starts(self.text, self.at) => {
                    self.section_in_items(open, &mut items);
                }
                Some(_) if self.else_of_enclosing(open) => return Some(items),
                Some(_) => items.extend(self.item()),
            }
        }
    }

    /// Whether an `else` stands in the block of its own `if`, because a `}` meant for that block closed another one
    /// inside it that lacks its own. Reports the lost brace.
    fn else_of_enclosing(&mut self, open: Option<&Open>) -> bool {
        let word = self.slice(self.at, name_end(self.text, self.at));
        let is_else = matches!(word, "else" | "elsif" | "elseif" | "elif");
        let Some(open) = open.filter(|open| matches!(open.what.as_str(), "`if`" | "`else if`"))
        else {
            return false;
        };
        if !is_else || self.missing_braces == 0 || self.suspect.is_none() {
            return false;
        }
        self.report_missing_brace(open, '}');
        true
    }

    /// A section keyword where a plugin should stand: either a brace is missing before it, or sections are nested.
    fn section_in_items(&mut self, open: Option<&Open>, items: &mut Vec<Item>) {
        let end = name_end(self.text, self.at);
        let Some(open) = open else {
            self.unwind = Unwind::ToSections;
            return;
        };
        if self.missing_braces > 0 {
            self.report_missing_brace(open, '}');
            self.unwind = Unwind::ToSections;
            return;
        }
        let word = self.slice(self.at, end);
        let span = self.span(self.at, end);
        let message = format!("the section `{word}` stands inside {}", open.what);
        self.report(
            Diagnostic::error("nested-section", message, span)
                .hint("sections cannot be nested; move it out"),
        );
        self.at = skip_trivia(self.text, end);
        let inner = Open {
            what: format!("`{word}`"),
            span,
        };
        items.extend(self.block(&inner).unwrap_or_default());
    }

    fn item(&mut self) -> Option<Item> {
        let start = self.at;
        if self.branch_starts(start, "if") {
            return self.branch().map(Item::Branch);
        }
        let word_end = name_end(self.text, start);
        let word = self.slice(start, word_end);
        let after_word = byte(self.text, skip_trivia(self.text, word_end));
        if matches!(word, "else" | "elsif" | "elseif" | "elif") && after_word != Some(b'=') {
            return self.stray_else(start, word);
        }
        let Some(name) = self.name() else {
            let (found, span) = self.found(start);
            if !self.blame_string(start) {
                self.report(Diagnostic::error(
                    "expected-plugin",
                    format!("expected a plugin, found {found}"),
                    span,
                ));
                self.skip_to_item();
            }
            return None;
        };
        let name_end = self.at;
        self.trivia();
        if self.peek() == Some(b'{') {
            return self.plugin(name).map(Item::Plugin);
        }
        if self.blame_string(start) {
            return None;
        }
        if self.sees("=>") {
            let message = format!("the option `{}` stands outside of a plugin", name.text);
            let error = Diagnostic::error("option-outside-plugin", message, name.span);
            self.report(error.hint(
                "an earlier `}` closes its plugin too soon, or the plugin's name is missing",
            ));
            self.at += 2;
            self.trivia();
            let _ = self.value();
            return None;
        }
        let message = format!("expected `{{` after the plugin name `{}`", name.text);
        let error = Diagnostic::error("expected-brace", message, self.span(name_end, name_end));
        self.report(error.hint(format!("write `{} {{ … }}`", name.text)));
        self.at = name_end;
        self.skip_to_item();
        None
    }

    /// To the next place where an item, or the end of the block, may be: over a block on the same line, or to a line
    /// that begins like an item.
    fn skip_to_item(&mut self) {
        loop {
            match self.peek() {
                None | Some(b'}') => return,
                Some(b'{') => {
                    match matching_end(self.text, self.at) {
                        Some(end) => self.at = end,
                        None => self.at += 1,
                    }
                    return;
                }
                Some(_) => self.at = skip_lexeme(self.text, self.at),
            }
            if first_on_line(self.text, self.at)
                && (name_then(self.text, self.at, "{") || self.branch_starts(self.at, "if"))
            {
                return;
            }
        }
    }
}

fn section_kind(word: &str) -> Option<SectionKind> {
    match word {
        "input" => Some(SectionKind::Input),
        "filter" => Some(SectionKind::Filter),
        "output" => Some(SectionKind::Output),
        _ => None,
    }
}

impl Parser<'_> {
    /// A plugin or option name, quoted or not. Escapes stay as they are.
    fn name(&mut self) -> Option<Name> {
        let start = self.at;
        let (end, inner) = match self.peek() {
            Some(b) if is_quote(b) => {
                let end = string_end(self.text, start)?;
                (end, (start + 1, end - 1))
            }
            _ => {
                let end = name_end(self.text, start);
                (end, (start, end))
            }
        };
        if end == start {
            return None;
        }
        self.at = end;
        Some(Name {
            text: self.slice(inner.0, inner.1).to_owned(),
            span: self.since(start),
        })
    }

    /// Whether the value that ended at `end` is followed by something it may not touch.
    fn touches(&self, end: usize) -> bool {
        byte(self.text, end).is_some_and(|b| !is_blank(b) && odd_blank(self.text, end).is_none())
    }
}
