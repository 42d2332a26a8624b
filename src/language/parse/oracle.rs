//! A recogniser that follows the grammar rule by rule, with ordered choice and backtracking: slow, without any
//! recovery, and the measure of what the parser must accept.
#![cfg(test)]

use super::scan;

/// Whether the grammar accepts the text.
fn accepts(text: &str) -> bool {
    let text = text.as_bytes();
    let mut at = cs(text, 0);
    while let Some(end) = section(text, at) {
        at = cs(text, end);
    }
    at == text.len()
}

type Match = Option<usize>;

fn cs(text: &[u8], mut at: usize) -> usize {
    loop {
        match text.get(at) {
            Some(b' ' | b'\t' | b'\r' | b'\n') => at += 1,
            Some(b'#') => at = scan::line_end(text, at),
            _ => return at,
        }
    }
}

fn literal(text: &[u8], at: usize, what: &str) -> Match {
    scan::starts_with(text, at, what).then_some(at + what.len())
}

/// `cs what`
fn then(text: &[u8], at: usize, what: &str) -> Match {
    literal(text, cs(text, at), what)
}

fn any_of(text: &[u8], at: usize, words: &[&str]) -> Match {
    words.iter().find_map(|word| literal(text, at, word))
}

fn section(text: &[u8], at: usize) -> Match {
    block(text, any_of(text, at, &["input", "filter", "output"])?)
}

/// `cs "{" cs ((branch|plugin) cs)* "}"`
fn block(text: &[u8], at: usize) -> Match {
    let mut at = cs(text, then(text, at, "{")?);
    while let Some(end) = branch(text, at).or_else(|| plugin(text, at)) {
        at = cs(text, end);
    }
    literal(text, at, "}")
}

fn branch(text: &[u8], at: usize) -> Match {
    let conditional = |at: usize| block(text, cond(text, cs(text, literal(text, at, "if")?))?);
    let mut at = conditional(at)?;
    while let Some(end) = then(text, at, "else").and_then(|end| conditional(cs(text, end))) {
        at = end;
    }
    Some(
        then(text, at, "else")
            .and_then(|end| block(text, end))
            .unwrap_or(at),
    )
}

fn name(text: &[u8], at: usize) -> Match {
    Some(scan::name_end(text, at))
        .filter(|&end| end > at)
        .or_else(|| scan::string_end(text, at))
}

fn plugin(text: &[u8], at: usize) -> Match {
    let mut at = cs(text, then(text, name(text, at)?, "{")?);
    if let Some(end) = attr(text, at) {
        at = end;
        while text.get(at).is_some_and(|&b| scan::is_blank(b)) {
            match attr(text, cs(text, at)) {
                Some(end) => at = end,
                None => break,
            }
        }
    }
    then(text, at, "}")
}

fn attr(text: &[u8], at: usize) -> Match {
    value(text, cs(text, then(text, name(text, at)?, "=>")?))
}

fn bareword(text: &[u8], at: usize) -> Match {
    Some(scan::bareword_end(text, at)).filter(|&end| end >= at + 2)
}

fn value(text: &[u8], at: usize) -> Match {
    plugin(text, at)
        .or_else(|| bareword(text, at))
        .or_else(|| scan::string_end(text, at))
        .or_else(|| scan::number_end(text, at))
        .or_else(|| array(text, at))
        .or_else(|| hash(text, at))
}

fn array(text: &[u8], at: usize) -> Match {
    list(text, literal(text, at, "[")?, "]", value)
}

fn list(text: &[u8], at: usize, close: &str, element: fn(&[u8], usize) -> Match) -> Match {
    let mut at = cs(text, at);
    if let Some(end) = element(text, at) {
        at = end;
        while let Some(end) = then(text, at, ",").and_then(|end| element(text, cs(text, end))) {
            at = end;
        }
    }
    then(text, at, close)
}

fn hash(text: &[u8], at: usize) -> Match {
    let entry = |at: usize| {
        let key = scan::number_end(text, at)
            .or_else(|| bareword(text, at))
            .or_else(|| scan::string_end(text, at))?;
        value(text, cs(text, then(text, key, "=>")?))
    };
    let mut at = cs(text, literal(text, at, "{")?);
    while let Some(end) = entry(at) {
        at = cs(text, end);
    }
    literal(text, at, "}")
}

fn cond(text: &[u8], at: usize) -> Match {
    let mut at = expr(text, at)?;
    while let Some(end) = any_of(text, cs(text, at), &["and", "or", "xor", "nand"])
        .and_then(|end| expr(text, cs(text, end)))
    {
        at = end;
    }
    Some(at)
}

fn expr(text: &[u8], at: usize) -> Match {
    let parenthesised = |at: usize| {
        literal(text, at, "(")
            .and_then(|at| cond(text, cs(text, at)))
            .and_then(|at| then(text, at, ")"))
    };
    let negated = || {
        let at = cs(text, literal(text, at, "!")?);
        parenthesised(at).or_else(|| scan::selector_end(text, at))
    };
    let binary = |operator: &dyn Fn(usize) -> Match, right: fn(&[u8], usize) -> Match| {
        right(text, cs(text, operator(cs(text, rvalue(text, at)?))?))
    };
    parenthesised(at)
        .or_else(negated)
        .or_else(|| binary(&|at| literal(text, at, "in"), rvalue))
        .or_else(|| binary(&|at| then(text, literal(text, at, "not ")?, "in"), rvalue))
        .or_else(|| {
            binary(
                &|at| any_of(text, at, &["==", "!=", "<=", ">=", "<", ">"]),
                rvalue,
            )
        })
        .or_else(|| {
            let pattern =
                |text: &[u8], at| scan::string_end(text, at).or_else(|| scan::regex_end(text, at));
            binary(&|at| any_of(text, at, &["=~", "!~"]), pattern)
        })
        .or_else(|| rvalue(text, at))
}

fn rvalue(text: &[u8], at: usize) -> Match {
    scan::string_end(text, at)
        .or_else(|| scan::number_end(text, at))
        .or_else(|| scan::selector_end(text, at))
        .or_else(|| array(text, at))
        .or_else(|| list(text, then(text, bareword(text, at)?, "(")?, ")", rvalue))
        .or_else(|| scan::regex_end(text, at))
}

mod tests {
    use super::super::{ParseOptions, parse};
    use super::accepts;
    use crate::language::source::SourceMap;
    use proptest::prelude::*;

    /// Errors about texts that the grammar accepts: limits, meanings, and plugins named like keywords.
    const BEYOND_GRAMMAR: [&str; 14] = [
        "mixed-operators",
        "method-call",
        "duplicate-key",
        "duplicate-codec",
        "too-deep",
        "bad-octal",
        "long-number",
        "hash-in-condition",
        "nested-section",
        "missing-condition",
        "else-without-if",
        "elsif",
        "option-outside-plugin",
        "bad-field",
    ];

    /// Whole elements, so that a good part of their sequences is legal.
    const WORDS: [&str; 64] = [
        "{",
        "}",
        "{",
        "}",
        "[",
        "]",
        "(",
        ")",
        " ",
        " ",
        " ",
        "\n",
        "\t",
        "#c\n",
        ",",
        "=>",
        "=>",
        "=>",
        "if",
        "if ",
        "else",
        "elseif",
        "else if ",
        "in",
        " in ",
        "not ",
        "and",
        " and ",
        "or",
        "xor",
        "==",
        "!=",
        "<",
        ">=",
        "=~",
        "!~",
        "!",
        "a",
        "ab",
        "foo",
        "x1",
        "5",
        "-5",
        "5.",
        "08",
        "\"s\"",
        "'t'",
        "\"\\\"\"",
        "/r/",
        "[f]",
        "[f][g]",
        "[\"x\"]",
        "[1,2]",
        "[]",
        "{}",
        "p {",
        "a1 => ",
        "a => 1 ",
        "codec => json ",
        "if [f] {",
        "}",
        "foo(",
        "-",
        "}",
    ];

    fn agree(text: &str) {
        let source = SourceMap::single("t", text).unwrap();
        let parsed = parse(&source, ParseOptions::default());
        let errors: Vec<&str> = parsed
            .diagnostics
            .iter()
            .filter(|d| d.is_error())
            .map(|d| d.code)
            .collect();
        if accepts(text) {
            assert!(
                errors.iter().all(|code| BEYOND_GRAMMAR.contains(code)),
                "{text:?} is legal, but {errors:?}"
            );
        } else {
            assert!(!errors.is_empty(), "{text:?} is not legal, but loads");
        }
    }

    #[test]
    fn on_known_texts() {
        assert!(accepts("") && accepts("filter { a { b => { \"a\"=>\"b\"\"c\"=>\"d\" } } }"));
        for text in [
            "input { } x",
            "filter { x { a => b } }",
            "filter { if [a,b] { } }",
            "filter { x { a => 1#c\nb => 2 } }",
        ] {
            assert!(!accepts(text), "{text}");
            agree(text);
        }
        for text in [
            "filter { iffy { } }",
            "filter { if5 { } if-5 { } if5x { } else_x { } elseiffy { } }",
            "input{}output{}",
        ] {
            assert!(accepts(text), "{text}");
            agree(text);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]

        #[test]
        fn on_plugins(words in proptest::collection::vec(proptest::sample::select(WORDS.to_vec()), 0..12)) {
            agree(&format!("filter {{ p {{ {} }} }}", words.concat()));
            agree(&format!("filter {{ p {{ a => {} }} }}", words.concat()));
        }

        #[test]
        fn on_hashes_and_arrays(words in proptest::collection::vec(proptest::sample::select(WORDS.to_vec()), 0..10)) {
            agree(&format!("filter {{ p {{ a => {{ {} }} }} }}", words.concat()));
            agree(&format!("filter {{ p {{ a => [ {} ] }} }}", words.concat()));
        }

        #[test]
        fn on_conditions(words in proptest::collection::vec(proptest::sample::select(WORDS.to_vec()), 0..8)) {
            agree(&format!("filter {{ if {} {{ }} }}", words.concat()));
            agree(&format!("filter {{ if [a] {} [b] {{ }} }}", words.concat()));
            agree(&format!("filter {{ if{} {{ }} }}", words.concat()));
        }

        #[test]
        fn on_items(words in proptest::collection::vec(proptest::sample::select(WORDS.to_vec()), 0..10)) {
            agree(&format!("filter {{ {} }}", words.concat()));
            agree(&format!("filter {{ if [a] {{ }} {} {{ }} }}", words.concat()));
            agree(&format!("filter {{ }} {}", words.concat()));
        }
    }
}
