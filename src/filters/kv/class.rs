//! Sets of characters, written as what stands between the brackets of a regular expression.

/// A set of characters.
#[derive(Clone, Debug)]
pub(super) struct CharClass {
    ascii: [bool; 128],
    ranges: Vec<(char, char)>,
}

type Ranges = &'static [(char, char)];

const BLANK: Ranges = &[('\t', '\r'), (' ', ' ')];
const DIGIT: Ranges = &[('0', '9')];
const WORD: Ranges = &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];
const HEX: Ranges = &[('0', '9'), ('A', 'F'), ('a', 'f')];

/// One item of a class.
enum Item {
    One(char),
    Set(Ranges),
    /// All but the set, which is in ascending order.
    Not(Ranges),
}

impl CharClass {
    /// Reads the inside of a class: single characters, ranges (`a-z`), a leading `^`, the escapes `\t \n \r \f \v \a \e
    /// \s \d \w \h` and their opposites, `\xHH`, `\uHHHH`, and names such as `[:punct:]`. A backslash before any other
    /// character stands for that character; a lone one at the end for itself.
    pub fn parse(text: &str) -> CharClass {
        let negated = text.len() > 1 && text.starts_with('^');
        let mut rest = if negated { &text[1..] } else { text };
        let mut ranges = Vec::new();
        while let Some((item, after)) = item(rest) {
            rest = after;
            match item {
                Item::One(from) => match after.strip_prefix('-').and_then(self::item) {
                    Some((Item::One(to), after)) if from <= to => {
                        ranges.push((from, to));
                        rest = after;
                    }
                    _ => ranges.push((from, from)),
                },
                Item::Set(set) => ranges.extend_from_slice(set),
                Item::Not(set) => complement(set, &mut ranges),
            }
        }
        if negated {
            ranges.sort_unstable();
            let listed = std::mem::take(&mut ranges);
            complement(&listed, &mut ranges);
        }
        let mut ascii = [false; 128];
        for (byte, member) in (0_u8..).zip(&mut ascii) {
            *member = within(&ranges, char::from(byte));
        }
        ranges.retain(|(_, to)| !to.is_ascii());
        CharClass { ascii, ranges }
    }

    pub fn contains(&self, char: char) -> bool {
        match self.ascii.get(char as usize) {
            Some(member) => *member,
            None => within(&self.ranges, char),
        }
    }

    /// True when no character beyond ASCII is in the class.
    pub fn is_ascii(&self) -> bool {
        self.ranges.is_empty()
    }
}

fn within(ranges: &[(char, char)], char: char) -> bool {
    ranges
        .iter()
        .any(|(from, to)| (*from..=*to).contains(&char))
}

/// Adds the characters that are in none of the ranges, which are in ascending order.
fn complement(of: &[(char, char)], out: &mut Vec<(char, char)>) {
    let mut next = Some('\0');
    for (from, to) in of {
        if let Some(start) = next
            && start < *from
            && let Some(end) = ('\0'..*from).next_back()
        {
            out.push((start, end));
        }
        let behind = (*to..=char::MAX).nth(1);
        next = next.and_then(|start| behind.map(|behind| behind.max(start)));
    }
    out.extend(next.map(|start| (start, char::MAX)));
}

fn item(text: &str) -> Option<(Item, &str)> {
    if let Some((set, rest)) = text
        .strip_prefix("[:")
        .and_then(|text| text.split_once(":]"))
        && let Some(set) = named(set)
    {
        return Some((set, rest));
    }
    let mut chars = text.chars();
    let first = chars.next()?;
    if first != '\\' {
        return Some((Item::One(first), chars.as_str()));
    }
    let Some(letter) = chars.next() else {
        return Some((Item::One('\\'), ""));
    };
    let item = match letter {
        't' => Item::One('\t'),
        'n' => Item::One('\n'),
        'r' => Item::One('\r'),
        'f' => Item::One('\u{c}'),
        'v' => Item::One('\u{b}'),
        'a' => Item::One('\u{7}'),
        'e' => Item::One('\u{1b}'),
        's' => Item::Set(BLANK),
        'd' => Item::Set(DIGIT),
        'w' => Item::Set(WORD),
        'h' => Item::Set(HEX),
        'S' => Item::Not(BLANK),
        'D' => Item::Not(DIGIT),
        'W' => Item::Not(WORD),
        'H' => Item::Not(HEX),
        'x' | 'u' => match coded(chars.as_str(), if letter == 'x' { 2 } else { 4 }) {
            Some((char, rest)) => return Some((Item::One(char), rest)),
            None => Item::One(letter),
        },
        other => Item::One(other),
    };
    Some((item, chars.as_str()))
}

/// A character by its number of so many hexadecimal digits.
fn coded(text: &str, digits: usize) -> Option<(char, &str)> {
    let (digits, rest) = text.split_at_checked(digits)?;
    let code = u32::from_str_radix(digits, 16).ok()?;
    Some((char::from_u32(code)?, rest))
}

fn named(name: &str) -> Option<Item> {
    Some(match name {
        "alnum" => Item::Set(&[('0', '9'), ('A', 'Z'), ('a', 'z')]),
        "alpha" => Item::Set(&[('A', 'Z'), ('a', 'z')]),
        "blank" => Item::Set(&[('\t', '\t'), (' ', ' ')]),
        "cntrl" => Item::Set(&[('\0', '\u{1f}'), ('\u{7f}', '\u{7f}')]),
        "digit" => Item::Set(DIGIT),
        "lower" => Item::Set(&[('a', 'z')]),
        "punct" => Item::Set(&[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')]),
        "space" => Item::Set(BLANK),
        "upper" => Item::Set(&[('A', 'Z')]),
        "xdigit" => Item::Set(HEX),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::CharClass;

    fn members(class: &str, of: &str) -> String {
        let class = CharClass::parse(class);
        of.chars().filter(|char| class.contains(*char)).collect()
    }

    #[test]
    fn classes_are_read_as_in_a_regular_expression() {
        let all = "aAmz09-_,;| \t\n\\[]<>^é€";
        for (class, expected) in [
            ("<>[]", "[]<>"),
            ("<>\\[\\],", ",[]<>"),
            ("a-z", "amz"),
            ("a\\-z", "az-"),
            ("-a", "a-"),
            ("a-", "a-"),
            ("\\s,", ", \t\n"),
            ("\\t", "\t"),
            ("\\d\\\\", "09\\"),
            ("^a-zA-Z0-9é€", "-_,;| \t\n\\[]<>^"),
            ("^", "^"),
            ("a^", "a^"),
            ("é-€", "é€"),
            ("\\W", "-,;| \t\n\\[]<>^é€"),
            ("[:alpha:]_", "aAmz_"),
            ("\\x41\\u20ac", "A€"),
            ("\\", "\\"),
            ("", ""),
        ] {
            assert_eq!(members(class, all), expected, "[{class}]");
        }
        assert!(CharClass::parse("\\s").is_ascii());
        assert!(!CharClass::parse("\\S").is_ascii());
        assert!(!CharClass::parse("é").is_ascii());
    }
}
