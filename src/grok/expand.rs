//! Replaces `%{NAME:field:type}` by definitions until a plain regular expression is left.

use std::fmt::Write as _;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::GrokError;
use super::set::PatternSet;

/// So many references are replaced, then it is taken for a recursion.
const MAX_REPLACEMENTS: usize = 10_000;
/// The expression that comes out may be this long, in bytes.
const MAX_EXPANDED: usize = 1 << 20;

/// A `%{…}` that was read.
#[derive(Debug, PartialEq, Eq)]
struct Reference<'t> {
    name: &'t str,
    /// Field, and type if there is one, as written: `status:int`.
    field: Option<&'t str>,
    definition: Option<&'t str>,
    /// Length with the braces.
    len: usize,
}

/// Begins the names of groups that come from references, `%NAME:field:type`. Other groups' names are `field:type`.
pub(crate) const FROM_REFERENCE: char = '%';

/// Expands a pattern. References that capture become named groups, whose names keep all that was written: captures of
/// one field through two patterns stay apart, as in the original.
pub(crate) fn expand(
    pattern: &str,
    set: &PatternSet,
    named_captures_only: bool,
) -> Result<String, GrokError> {
    let mut out = String::new();
    let mut inline: FxHashMap<String, Arc<str>> = FxHashMap::default();
    // Texts still to be read, the innermost last, each with how far it was read.
    let mut texts: Vec<(Arc<str>, usize)> = vec![(Arc::from(pattern), 0)];
    let mut replaced = 0;
    while let Some((text, at)) = texts.pop() {
        let rest = text.get(at..).unwrap_or_default();
        let Some((begin, reference)) = find(rest) else {
            out.push_str(rest);
            if out.len() > MAX_EXPANDED {
                return Err(GrokError::TooLong);
            }
            continue;
        };
        replaced += 1;
        if replaced > MAX_REPLACEMENTS {
            return Err(GrokError::TooManyReplacements);
        }
        out.push_str(&rest[..begin]);
        if out.len() > MAX_EXPANDED {
            return Err(GrokError::TooLong);
        }
        if let Some(definition) = reference.definition {
            inline.insert(reference.name.to_owned(), Arc::from(definition));
        }
        let definition = inline
            .get(reference.name)
            .cloned()
            .or_else(|| set.shared(reference.name));
        let definition = definition.ok_or_else(|| GrokError::UnknownPattern {
            name: reference.name.to_owned(),
            candidates: set.similar(reference.name),
        })?;
        // Writing to a string never fails.
        let _ = match reference.field {
            Some(field) => write!(out, "(?<{FROM_REFERENCE}{}:{field}>", reference.name),
            None if named_captures_only => write!(out, "(?:"),
            None => write!(out, "(?<{FROM_REFERENCE}{}>", reference.name),
        };
        let after = at + begin + reference.len;
        texts.push((text.clone(), after));
        texts.push((Arc::from(")"), 0));
        texts.push((definition, 0));
    }
    Ok(out)
}

/// The leftmost reference.
fn find(text: &str) -> Option<(usize, Reference<'_>)> {
    let mut from = 0;
    loop {
        let begin = from + text.get(from..)?.find("%{")?;
        if let Some(reference) = read(&text[begin..]) {
            return Some((begin, reference));
        }
        from = begin + 2;
    }
}

/// Reads a reference at the beginning of the text. Whatever stands between its parts and the closing brace is dropped,
/// as the original does: `%{NOTSPACE:cs(User-Agent)}` captures as `cs`.
fn read(text: &str) -> Option<Reference<'_>> {
    let inside = text.strip_prefix("%{")?;
    // The range A to z holds brackets, backslash, caret, underscore and backquote too.
    let name = prefix(inside, |b| b.is_ascii_digit() || (b'A'..=b'z').contains(&b));
    if name.is_empty() {
        return None;
    }
    let mut rest = &inside[name.len()..];
    let mut field = None;
    if let Some(after) = rest.strip_prefix(':') {
        let written = prefix(after, |b| {
            b.is_ascii_digit() || (b'A'..=b'z').contains(&b) || b"@:.-".contains(&b)
        });
        if !written.is_empty() {
            field = Some(written);
            rest = &after[written.len()..];
        }
    }
    let definition = rest
        .strip_prefix('=')
        .and_then(balanced)
        .filter(|definition| !definition.is_empty());
    if let Some(definition) = definition {
        rest = &rest[1 + definition.len()..];
    }
    let close = rest.find('}')?;
    let len = text.len() - rest.len() + close + 1;
    Some(Reference {
        name,
        field,
        definition,
        len,
    })
}

fn prefix(text: &str, belongs: impl Fn(u8) -> bool) -> &str {
    let len = text.bytes().take_while(|byte| belongs(*byte)).count();
    &text[..len]
}

/// The text up to the brace that closes the reference; braces inside come in pairs, a backslash hides one.
fn balanced(text: &str) -> Option<&str> {
    let (mut depth, mut escaped) = (0u32, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'{' => depth += 1,
            b'}' if depth == 0 => return Some(&text[..at]),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(definitions: &[(&str, &str)]) -> PatternSet {
        let mut set = PatternSet::empty();
        for (name, pattern) in definitions {
            set.add(name, pattern);
        }
        set
    }

    #[test]
    fn references_become_groups() {
        let set = set(&[("A", "a+"), ("B", "%{A:inner}|b"), ("C^_", "c")]);
        let expanded = |text: &str| expand(text, &set, true).unwrap();
        assert_eq!(expanded("x%{A}y"), "x(?:a+)y");
        assert_eq!(
            expanded("%{B:outer:int}"),
            "(?<%B:outer:int>(?<%A:inner>a+)|b)"
        );
        assert_eq!(expanded("%{A:cs(User-Agent)}"), "(?<%A:cs>a+)");
        assert_eq!(expanded("%{A:[a][b]}%{C^_}"), "(?<%A:[a][b]>a+)(?:c)");
        assert_eq!(expanded("%{A:}%{ A}%{}"), "(?:a+)%{ A}%{}");
        assert_eq!(expand("%{A}", &set, false).unwrap(), "(?<%A>a+)");
    }

    #[test]
    fn definitions_may_stand_in_the_reference() {
        let set = set(&[("A", "a")]);
        assert_eq!(
            expand(r"%{N:n=x{2}\}|y} %{N}", &set, true).unwrap(),
            r"(?<%N:n>x{2}\}|y) (?:x{2}\}|y)"
        );
        assert_eq!(expand("%{A=b}", &set, true).unwrap(), "(?:b)");
    }

    #[test]
    fn recursion_and_unknown_names_end_with_an_error() {
        let set = set(&[("R", "r%{R}"), ("D", "%{D}%{D}"), ("GOOD", "g")]);
        assert!(matches!(
            expand("%{R}", &set, true),
            Err(GrokError::TooManyReplacements)
        ));
        assert!(matches!(
            expand("%{D}", &set, true),
            Err(GrokError::TooManyReplacements)
        ));
        let unknown = expand("%{GOD}", &set, true);
        assert_eq!(
            unknown,
            Err(GrokError::UnknownPattern {
                name: "GOD".to_owned(),
                candidates: vec!["GOOD".to_owned()]
            })
        );
    }
}
