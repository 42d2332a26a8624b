//! Conditionals: `if`, `else if`, `else`.

use super::scan::{
    self, byte, first_on_line, has_newline, is_name, name_end, skip_lexeme, skip_trivia,
    starts_with,
};
use super::{Open, Parser};
use crate::language::ast::{Arm, Branch, Cond, CondKind, Item, Operand, OperandKind};
use crate::language::diagnostic::Diagnostic;

impl Parser<'_> {
    /// Whether a conditional starts at `at` with the given keyword, which may touch what follows it: `if[a]`, and by
    /// the grammar even `if5` and `iffoo([a])`.
    pub(super) fn branch_starts(&self, at: usize, keyword: &str) -> bool {
        if !starts_with(self.text, at, keyword) {
            return false;
        }
        let rest = at + keyword.len();
        let end = name_end(self.text, at);
        let after = skip_trivia(self.text, end);
        if starts_with(self.text, after, "=>") {
            return false;
        }
        if end == rest || byte(self.text, after) == Some(b'(') {
            return true;
        }
        scan::number_end(self.text, rest).is_some_and(|number| {
            // `if5x {` is a plugin, `if5 {` is none.
            byte(self.text, after) != Some(b'{') || number >= end
        })
    }

    pub(super) fn branch(&mut self) -> Option<Branch> {
        let start = self.at;
        self.at += 2;
        let mut arms: Vec<Arm> = self.arm(start, "if").into_iter().collect();
        let mut otherwise = None;
        while !self.unwinding() {
            let end = self.at;
            self.trivia();
            let arm_start = self.at;
            if let Some(keyword) = self.else_if() {
                arms.extend(self.arm(arm_start, keyword));
            } else if self.sees("else")
                && byte(self.text, skip_trivia(self.text, self.at + 4)) == Some(b'{')
            {
                self.at = skip_trivia(self.text, self.at + 4);
                let open = Open {
                    what: "`else`".to_owned(),
                    span: self.span(arm_start, arm_start + 4),
                };
                otherwise = Some(self.block(&open).unwrap_or_default());
                break;
            } else {
                self.at = end;
                break;
            }
        }
        (!arms.is_empty()).then(|| Branch {
            arms,
            otherwise,
            span: self.since(start),
        })
    }

    /// Consumes `else if`, or what was meant as such.
    fn else_if(&mut self) -> Option<&'static str> {
        let start = self.at;
        let end = name_end(self.text, start);
        match self.slice(start, end) {
            word @ ("elsif" | "elif") => {
                let error = Diagnostic::error(
                    "elsif",
                    format!("there is no `{word}`"),
                    self.span(start, end),
                );
                self.report(error.hint("write `else if`"));
                self.at = end;
            }
            word if word.starts_with("elseif") && self.branch_starts(start + 4, "if") => {
                // The grammar wants no blank between the two words.
                self.at = start + 6;
                let warning = Diagnostic::warning(
                    "elseif",
                    "`elseif` is read as `else if`",
                    self.since(start),
                );
                self.report(warning.hint("write `else if`"));
            }
            "else" => {
                let condition = skip_trivia(self.text, end);
                if !self.branch_starts(condition, "if") {
                    return None;
                }
                self.at = condition + 2;
            }
            _ => return None,
        }
        Some("else if")
    }

    /// Condition and block, from behind the keyword.
    fn arm(&mut self, start: usize, keyword: &str) -> Option<Arm> {
        let open = Open {
            what: format!("`{keyword}`"),
            span: self.since(start),
        };
        self.trivia();
        let condition = self.arm_condition(&open);
        if self.unwinding() {
            return None;
        }
        self.trivia();
        let items = if self.peek() == Some(b'{') {
            self.block(&open)?
        } else if self.items_follow() && self.peek().is_some_and(is_name) {
            self.items(Some(&open))?
        } else {
            return None;
        };
        // What stands in the block is worth reading even if its condition is not.
        let condition = condition.unwrap_or_else(|| {
            let kind = OperandKind::String(String::new());
            Cond {
                kind: CondKind::Truthy(Operand {
                    kind,
                    span: open.span,
                }),
                span: open.span,
            }
        });
        Some(Arm {
            condition,
            items,
            span: self.since(start),
        })
    }

    /// The condition of an arm, and whatever stands between it and the block.
    fn arm_condition(&mut self, open: &Open) -> Option<Cond> {
        if self.peek() == Some(b'{') {
            let error = Diagnostic::error(
                "missing-condition",
                format!("{} has no condition", open.what),
                open.span,
            );
            self.report(error.hint("write for example `if [type] == \"apache\" {`"));
            return None;
        }
        let outer = std::mem::replace(&mut self.in_condition, true);
        let condition = self.condition();
        self.in_condition = outer;
        let end = self.at;
        self.trivia();
        if self.unwinding() || self.peek() == Some(b'{') {
            return condition;
        }
        if condition.is_some() {
            self.report_after_condition(end);
        }
        if has_newline(self.text, end, self.at) && self.items_follow() {
            return condition;
        }
        self.skip_to_block();
        condition
    }

    /// To the brace that opens the block of a broken condition, if there is one before the next item or brace.
    fn skip_to_block(&mut self) {
        while !self.at_end() && !matches!(self.peek(), Some(b'{' | b'}')) {
            self.at = skip_lexeme(self.text, self.at);
            if first_on_line(self.text, self.at) && self.items_follow() {
                return;
            }
        }
    }

    /// `else` and its misspellings without an `if` before them. Their blocks are read for the errors in them.
    pub(super) fn stray_else(&mut self, start: usize, word: &str) -> Option<Item> {
        self.at = start + word.len();
        let span = self.since(start);
        self.trivia();
        let error = Diagnostic::error(
            "else-without-if",
            format!("`{word}` without an `if` before it"),
            span,
        );
        self.report(error.hint("`else` must follow directly after the `}` of its `if`"));
        if word != "else" || self.branch_starts(self.at, "if") {
            self.at += if word == "else" { 2 } else { 0 };
            let _ = self.arm(start, word);
        } else if self.peek() == Some(b'{') {
            let open = Open {
                what: format!("`{word}`"),
                span,
            };
            let _ = self.block(&open);
        } else {
            self.skip_to_item();
        }
        None
    }
}
