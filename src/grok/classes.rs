//! Named sets of characters as Ruby understands them: `\w` and its kin, `[:alpha:]`, `\p{Alpha}`.

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange, HirKind};

use super::ir::{Ir, any_char};

/// What the shorthands mean: `(?d)`, Ruby's default, `(?a)` or `(?u)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charset {
    /// `\w \d \s` are ASCII, POSIX sets know Unicode.
    Default,
    /// All are ASCII.
    Ascii,
    /// All know Unicode.
    Unicode,
}

fn ranges(list: &[(char, char)]) -> ClassUnicode {
    ClassUnicode::new(
        list.iter()
            .map(|(start, end)| ClassUnicodeRange::new(*start, *end)),
    )
}

/// All characters but the newline.
pub(crate) fn not_newline() -> ClassUnicode {
    let mut class = ranges(&[('\n', '\n')]);
    class.negate();
    class
}

/// The set of `\w`, `\d`, `\s` or `\h`.
pub(crate) fn shorthand(letter: char, charset: Charset) -> ClassUnicode {
    let name = match letter {
        'w' => "word",
        'd' => "digit",
        's' => "space",
        _ => "xdigit",
    };
    let known = if charset == Charset::Unicode {
        unicode(name)
    } else {
        ascii(name)
    };
    known.unwrap_or_else(ClassUnicode::empty)
}

/// The set of `[:name:]`; `None` if there is no such name.
pub(crate) fn posix(name: &str, charset: Charset) -> Option<ClassUnicode> {
    if charset == Charset::Ascii {
        ascii(name)
    } else {
        unicode(name)
    }
}

/// The set of `\p{name}`: POSIX names, general categories and scripts.
pub(crate) fn property(name: &str) -> Option<ClassUnicode> {
    let lower = name.to_ascii_lowercase();
    if lower == "any" {
        return Some(any_char());
    }
    unicode(&lower).or_else(|| {
        let known = name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ' ' | '-'));
        if known {
            expression(&format!("\\p{{{name}}}"))
        } else {
            None
        }
    })
}

/// `\R`: any kind of line break, never splitting CR LF.
pub(crate) fn line_break() -> Ir {
    let crlf = Ir::Concat(vec![Ir::Char('\r'), Ir::Char('\n')]);
    let single = ranges(&[('\n', '\r'), ('\u{85}', '\u{85}'), ('\u{2028}', '\u{2029}')]);
    Ir::Atomic(Box::new(Ir::Alt(vec![crlf, Ir::Set(single)])))
}

/// `\X`: a character with the marks that follow it.
pub(crate) fn grapheme() -> Ir {
    let marks = expression(r"\p{M}").unwrap_or_else(ClassUnicode::empty);
    let marks = Ir::Repeat {
        body: Box::new(Ir::Set(marks)),
        min: 0,
        max: None,
        lazy: false,
    };
    let character = Ir::Concat(vec![Ir::Set(any_char()), marks]);
    let crlf = Ir::Concat(vec![Ir::Char('\r'), Ir::Char('\n')]);
    Ir::Atomic(Box::new(Ir::Alt(vec![crlf, character])))
}

fn ascii(name: &str) -> Option<ClassUnicode> {
    Some(match name {
        "alnum" => ranges(&[('0', '9'), ('A', 'Z'), ('a', 'z')]),
        "alpha" => ranges(&[('A', 'Z'), ('a', 'z')]),
        "ascii" => ranges(&[('\0', '\x7f')]),
        "blank" => ranges(&[('\t', '\t'), (' ', ' ')]),
        "cntrl" => ranges(&[('\0', '\x1f'), ('\x7f', '\x7f')]),
        "digit" => ranges(&[('0', '9')]),
        "graph" => ranges(&[('!', '~')]),
        "lower" => ranges(&[('a', 'z')]),
        "print" => ranges(&[(' ', '~')]),
        "punct" => ranges(&[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')]),
        "space" => ranges(&[('\t', '\r'), (' ', ' ')]),
        "upper" => ranges(&[('A', 'Z')]),
        "xdigit" => ranges(&[('0', '9'), ('A', 'F'), ('a', 'f')]),
        "word" => ranges(&[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')]),
        _ => return None,
    })
}

fn unicode(name: &str) -> Option<ClassUnicode> {
    let source = match name {
        "alnum" => r"[\p{L}\p{M}\p{Nd}]",
        "alpha" => r"[\p{L}\p{M}]",
        "blank" => r"[\p{Zs}\t]",
        "cntrl" => r"[\p{Cc}\p{Cf}\p{Cn}\p{Co}]",
        "digit" => r"\p{Nd}",
        "graph" => r"[^\p{Zs}\p{Zl}\p{Zp}\t-\r\x{85}\p{Cc}\p{Cn}]",
        "lower" => r"\p{Lowercase}",
        "print" => r"[^\p{Zl}\p{Zp}\t-\r\x{85}\p{Cc}\p{Cn}]",
        "punct" => r"[\p{P}$+<=>\^`|~]",
        "space" => r"[\p{Zs}\p{Zl}\p{Zp}\t-\r\x{85}]",
        "upper" => r"\p{Uppercase}",
        "word" => r"[\p{L}\p{M}\p{Nd}\p{Pc}]",
        "ascii" | "xdigit" => return ascii(name),
        _ => return None,
    };
    expression(source)
}

/// The set that an expression of the regex crate stands for.
fn expression(source: &str) -> Option<ClassUnicode> {
    let hir = regex_syntax::parse(source).ok()?;
    match hir.into_kind() {
        HirKind::Class(regex_syntax::hir::Class::Unicode(class)) => Some(class),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(class: &ClassUnicode, c: char) -> bool {
        class
            .iter()
            .any(|range| range.start() <= c && c <= range.end())
    }

    #[test]
    fn shorthands_are_ascii_and_posix_sets_are_not() {
        let word = shorthand('w', Charset::Default);
        assert!(has(&word, '_') && !has(&word, 'é'));
        assert!(has(&posix("alpha", Charset::Default).unwrap(), 'é'));
        assert!(!has(&posix("alpha", Charset::Ascii).unwrap(), 'é'));
        assert!(has(&shorthand('s', Charset::Default), '\x0b'));
        assert!(posix("nonsense", Charset::Default).is_none());
    }

    #[test]
    fn every_posix_name_has_a_set_in_both_readings() {
        for name in [
            "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print",
            "punct", "space", "upper", "xdigit", "word",
        ] {
            assert!(ascii(name).is_some() && unicode(name).is_some(), "{name}");
        }
        assert!(has(&property("Greek").unwrap(), 'λ'));
        assert!(has(&property("Lu").unwrap(), 'É'));
        assert!(property("Nope").is_none());
    }
}
