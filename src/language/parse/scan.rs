//! Finds where the elements of a configuration text begin and end. Pure functions over bytes; offsets in, offsets out.

/// The byte at an offset, if the text goes that far.
pub(super) fn byte(text: &[u8], at: usize) -> Option<u8> {
    text.get(at).copied()
}

pub(super) fn starts_with(text: &[u8], at: usize, what: &str) -> bool {
    text.get(at..)
        .is_some_and(|rest| rest.starts_with(what.as_bytes()))
}

/// The offset behind the character at `at`; the end of the text stays where it is.
pub(super) fn next_char(text: &[u8], at: usize) -> usize {
    let mut next = (at + 1).min(text.len());
    while byte(text, next).is_some_and(|b| b & 0xc0 == 0x80) {
        next += 1;
    }
    next
}

pub(super) fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n')
}

pub(super) fn is_name(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b == b'-'
}

pub(super) fn is_quote(b: u8) -> bool {
    b == b'"' || b == b'\''
}

/// Length of a character that looks like a blank but is none in this language: no-break space and its kin.
pub(super) fn odd_blank(text: &[u8], at: usize) -> Option<usize> {
    const ODD: [&str; 8] = [
        "\u{a0}", "\u{feff}", "\u{200b}", "\u{202f}", "\u{2009}", "\u{3000}", "\u{2028}", "\u{c}",
    ];
    ODD.iter()
        .find(|odd| starts_with(text, at, odd))
        .map(|odd| odd.len())
}

/// Past blanks and comments.
pub(super) fn skip_trivia(text: &[u8], mut at: usize) -> usize {
    loop {
        match byte(text, at) {
            Some(b) if is_blank(b) => at += 1,
            Some(b'#') => at = line_end(text, at),
            Some(_) => match odd_blank(text, at) {
                Some(len) => at += len,
                None => return at,
            },
            None => return at,
        }
    }
}

/// The offset of the line feed that ends the line, or the end of the text.
pub(super) fn line_end(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    rest.iter()
        .position(|&b| b == b'\n')
        .map_or(text.len(), |n| at + n)
}

pub(super) fn line_start(text: &[u8], at: usize) -> usize {
    let before = text.get(..at).unwrap_or_default();
    before
        .iter()
        .rposition(|&b| b == b'\n')
        .map_or(0, |n| n + 1)
}

/// Blanks at the beginning of the line that holds `at`.
pub(super) fn indent(text: &[u8], at: usize) -> usize {
    let line = text.get(line_start(text, at)..).unwrap_or_default();
    line.iter()
        .take_while(|&&b| b == b' ' || b == b'\t')
        .count()
}

/// Whether only blanks stand before `at` on its line. Reads no more than those blanks.
pub(super) fn first_on_line(text: &[u8], at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default();
    before
        .iter()
        .rev()
        .find(|&&b| b != b' ' && b != b'\t')
        .is_none_or(|&b| b == b'\n')
}

pub(super) fn has_newline(text: &[u8], from: usize, to: usize) -> bool {
    text.get(from..to).is_some_and(|part| part.contains(&b'\n'))
}

/// The end of an unquoted name, `[A-Za-z0-9_-]+`; equals `at` when there is none.
pub(super) fn name_end(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|&&b| is_name(b)).count()
}

/// The end of a bareword, `[A-Za-z_][A-Za-z0-9_]*`; equals `at` when there is none.
pub(super) fn bareword_end(text: &[u8], at: usize) -> usize {
    if byte(text, at).is_some_and(|b| b.is_ascii_digit()) {
        return at;
    }
    let rest = text.get(at..).unwrap_or_default();
    at + rest
        .iter()
        .take_while(|&&b| is_name(b) && b != b'-')
        .count()
}

/// The end of a number, `-?[0-9]+(\.[0-9]*)?`.
pub(super) fn number_end(text: &[u8], at: usize) -> Option<usize> {
    let digits = |from: usize| {
        let rest = text.get(from..).unwrap_or_default();
        from + rest.iter().take_while(|b| b.is_ascii_digit()).count()
    };
    let first = at + usize::from(byte(text, at) == Some(b'-'));
    let whole = digits(first);
    if whole == first {
        return None;
    }
    Some(if byte(text, whole) == Some(b'.') {
        digits(whole + 1)
    } else {
        whole
    })
}

/// Behind the closing quote of the string that begins at `at`. A backslash before the quote keeps it from ending the
/// string; two backslashes do as well.
pub(super) fn string_end(text: &[u8], at: usize) -> Option<usize> {
    delimited_end(text, at, byte(text, at).filter(|&b| is_quote(b))?)
}

/// Behind the closing slash of the regular expression that begins at `at`.
pub(super) fn regex_end(text: &[u8], at: usize) -> Option<usize> {
    delimited_end(text, at, byte(text, at).filter(|&b| b == b'/')?)
}

fn delimited_end(text: &[u8], at: usize, delimiter: u8) -> Option<usize> {
    let mut at = at + 1;
    loop {
        match byte(text, at)? {
            b'\\' if byte(text, at + 1) == Some(delimiter) => at += 2,
            b if b == delimiter => return Some(at + 1),
            _ => at += 1,
        }
    }
}

/// The end of a field selector, `("[" [^][,]+ "]")+`.
pub(super) fn selector_end(text: &[u8], at: usize) -> Option<usize> {
    let mut end = None;
    let mut at = at;
    while byte(text, at) == Some(b'[') {
        let rest = text.get(at + 1..).unwrap_or_default();
        let name = rest.iter().take_while(|b| !b"[],".contains(b)).count();
        if name == 0 || rest.get(name) != Some(&b']') {
            break;
        }
        at += name + 2;
        end = Some(at);
    }
    end
}

/// Whether a section keyword and its brace stand here.
pub(super) fn section_starts(text: &[u8], at: usize) -> bool {
    let end = name_end(text, at);
    matches!(text.get(at..end), Some(b"input" | b"filter" | b"output"))
        && byte(text, skip_trivia(text, end)) == Some(b'{')
}

/// Whether a name follows, quoted or not, and behind it `then`.
pub(super) fn name_then(text: &[u8], at: usize, then: &str) -> bool {
    let end = match byte(text, at) {
        Some(b) if is_quote(b) => string_end(text, at).unwrap_or(at),
        _ => name_end(text, at),
    };
    end > at && starts_with(text, skip_trivia(text, end), then)
}

/// One step over text of unknown meaning: a string, a comment, a regular expression behind its operator, a `%{…}`, or
/// a single character. A string is taken whole only if what follows it could follow a string, since in a text with a
/// lost quote inside and outside are swapped.
pub(super) fn skip_lexeme(text: &[u8], at: usize) -> usize {
    match byte(text, at) {
        Some(b'#') => line_end(text, at),
        Some(b'\\') if byte(text, at + 1).is_some_and(is_quote) => at + 2,
        Some(b) if is_quote(b) => match string_end(text, at) {
            Some(end) if !has_newline(text, at, end) || may_follow_string(text, end) => end,
            _ => at + 1,
        },
        Some(b'=' | b'!') if byte(text, at + 1) == Some(b'~') => {
            let operand = skip_trivia(text, at + 2);
            regex_end(text, operand)
                .filter(|&end| !has_newline(text, at, end))
                .unwrap_or(at + 2)
        }
        Some(b'%' | b'$') if byte(text, at + 1) == Some(b'{') => {
            let rest = text.get(at..line_end(text, at)).unwrap_or_default();
            rest.iter()
                .position(|&b| b == b'}')
                .map_or(at + 2, |n| at + n + 1)
        }
        _ => next_char(text, at),
    }
}

fn may_follow_string(text: &[u8], end: usize) -> bool {
    byte(text, end).is_none_or(|b| is_blank(b) || b"]},)=!<>#{\"'".contains(&b))
}

/// Behind the bracket or brace that closes the one at `open`. Both kinds are counted together, so that a lost one of
/// either kind shows as `None` at the end of the text. Parentheses are counted for themselves, up to the next brace.
pub(super) fn matching_end(text: &[u8], open: usize) -> Option<usize> {
    let parentheses = byte(text, open) == Some(b'(');
    let mut depth = 0_usize;
    let mut at = open;
    while let Some(b) = byte(text, at) {
        match b {
            b'(' if parentheses => depth += 1,
            b')' if parentheses && depth <= 1 => return Some(at + 1),
            b')' if parentheses => depth -= 1,
            b'{' | b'}' if parentheses => return None,
            b'{' | b'[' if !parentheses => depth += 1,
            b'}' | b']' if !parentheses && depth <= 1 => return Some(at + 1),
            b'}' | b']' if !parentheses => depth -= 1,
            _ => {}
        }
        at = skip_lexeme(text, at);
    }
    None
}

/// How many braces are still open where the section whose brace is at `open` ends: at the next section that is
/// indented no deeper than this one, or at the end of the text. Zero when it is closed properly.
pub(super) fn unclosed_braces(text: &[u8], open: usize) -> usize {
    let own_indent = indent(text, open);
    let mut depth = 0_usize;
    let mut at = open;
    while let Some(b) = byte(text, at) {
        match b {
            b'{' => depth += 1,
            b'}' if depth <= 1 => return 0,
            b'}' => depth -= 1,
            b'i' | b'f' | b'o'
                if first_on_line(text, at)
                    && indent(text, at) <= own_indent
                    && section_starts(text, at) =>
            {
                return depth;
            }
            _ => {}
        }
        at = skip_lexeme(text, at);
    }
    depth
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_end_at_an_unescaped_quote() {
        assert_eq!(string_end(br#""ab" "#, 0), Some(4));
        assert_eq!(string_end(br#""a\"b""#, 0), Some(6));
        assert_eq!(string_end(br#""C:\" x""#, 0), Some(8));
        assert_eq!(string_end(br#""\\" x""#, 0), Some(7));
        assert_eq!(string_end(br#"'a"b'"#, 0), Some(5));
        assert_eq!(string_end(br#""open"#, 0), None);
        assert_eq!(string_end(b"x", 0), None);
    }

    #[test]
    fn numbers() {
        assert_eq!(number_end(b"-12.5x", 0), Some(5));
        assert_eq!(number_end(b"5.", 0), Some(2));
        assert_eq!(number_end(b"1e3", 0), Some(1));
        assert_eq!(number_end(b"-", 0), None);
        assert_eq!(number_end(b"+1", 0), None);
    }

    #[test]
    fn selectors() {
        assert_eq!(selector_end(b"[a][b] ", 0), Some(6));
        assert_eq!(selector_end(b"[a b]", 0), Some(5));
        assert_eq!(selector_end(b"[\"x\"]", 0), Some(5));
        assert_eq!(selector_end(b"[a][]", 0), Some(3));
        assert_eq!(selector_end(b"[a,b]", 0), None);
        assert_eq!(selector_end(b"[]", 0), None);
        assert_eq!(selector_end(b"[a", 0), None);
    }

    #[test]
    fn braces_in_strings_comments_and_regexes_do_not_count() {
        let text = b"filter { if [a] =~ /}\\/{/ { x { y => \"}\" # }\n z => '%{b}' } } } rest";
        assert_eq!(matching_end(text, 7), Some(text.len() - 5));
        assert_eq!(unclosed_braces(text, 7), 0);
    }

    #[test]
    fn missing_braces_are_counted_up_to_the_next_section() {
        let text = b"filter {\n a {\n  b => 1\n}\noutput { x { } }";
        assert_eq!(unclosed_braces(text, 7), 1);
        assert_eq!(unclosed_braces(b"input { a { b {", 6), 3);
        assert_eq!(unclosed_braces(b"filter {\n  output { }\n}", 7), 0);
    }
}
