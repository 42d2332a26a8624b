//! The parser on arbitrary text: it never panics, and every span lies inside the text.
#![cfg(test)]

use proptest::prelude::*;

use super::{ParseOptions, parse};
use crate::language::diagnostic::{render, to_json};
use crate::language::field_path::EscapeStyle;
use crate::language::source::SourceMap;
use crate::language::substitute::substitute;

const VALID: &str = r#"
input { stdin { codec => json { target => "x" } } beats { port => 5044 } }
filter {
  # a comment with "quotes" and { braces
  if [type] == "apache" and [status] >= 400 or "x" in [tags] {
    grok { match => { "message" => "%{IP:ip} \"%{DATA}\"" 'other' => ["a", "b"] } tag_on_failure => [] }
  } else if [a][b] =~ /^x\/y$/ or !([n] not in [1, 2.5]) or ![z] {
    mutate { add_field => { "[a][b]" => "${HOME:none}" key => 64 } id => "ü" }
  } else { drop { } }
}
output { elasticsearch { hosts => ["http://a:9200", "${H}"] index => "logs-%{+YYYY.MM.dd}" } }
"#;

/// Pieces that the parser treats in special ways.
const PIECES: [&str; 48] = [
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "\"",
    "'",
    "\\",
    "\\\"",
    "/",
    "=>",
    "=",
    "==",
    "=~",
    "!",
    "!~",
    ",",
    "#",
    "\n",
    "\t",
    " ",
    "input",
    "filter {",
    "output {",
    "if ",
    "else ",
    "elsif ",
    "in ",
    "not ",
    "and ",
    "or ",
    "xor ",
    "a",
    "foo",
    "[x]",
    "[\"x\"]",
    "\"s\"",
    "1",
    "08",
    "1e3",
    "-",
    "%{",
    "${A",
    "é",
    "“",
    "\u{a0}",
    "codec => json { ",
];

fn check(text: &str) {
    let source = SourceMap::single("t", text).unwrap();
    let options = ParseOptions {
        support_escapes: true,
        escape_style: EscapeStyle::Percent,
    };
    let mut parsed = parse(&source, options);
    for diagnostic in &parsed.diagnostics {
        let (start, end) = (diagnostic.span.start as usize, diagnostic.span.end as usize);
        assert!(
            source.text().get(start..end).is_some(),
            "{text:?} {diagnostic:?}"
        );
        assert!(!diagnostic.message.is_empty());
    }
    assert!(!render(&parsed.diagnostics, &source, true).contains('\0'));
    assert_eq!(
        to_json(&parsed.diagnostics, &source).lines().count(),
        parsed.diagnostics.len()
    );
    check_spans(&format!("{:?}", parsed.config), source.text());
    let _ = substitute(&mut parsed.config, &|_, _| None);
}

/// Every span of a printed tree lies on characters inside the text.
fn check_spans(tree: &str, text: &str) {
    for part in tree.split("Span { start: ").skip(1) {
        let mut numbers = part
            .split(|c: char| !c.is_ascii_digit())
            .filter(|n| !n.is_empty());
        let mut next = || {
            numbers
                .next()
                .and_then(|n| n.parse::<usize>().ok())
                .unwrap()
        };
        let (start, end) = (next(), next());
        assert!(text.get(start..end).is_some(), "{start}..{end} of {text:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        check(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn text_never_panics(text in "\\PC{0,200}") {
        check(&text);
    }

    #[test]
    fn pieces_never_panic(pieces in proptest::collection::vec(proptest::sample::select(PIECES.to_vec()), 0..60)) {
        check(&pieces.concat());
    }

    #[test]
    fn mutants_never_panic(
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), 0_usize..12, 0..PIECES.len()), 1..6),
    ) {
        let mut text: Vec<char> = VALID.chars().collect();
        for (at, removed, piece) in cuts {
            let at = at.index(text.len() + 1);
            let end = (at + removed).min(text.len());
            text.splice(at..end, PIECES[piece].chars());
        }
        check(&text.into_iter().collect::<String>());
    }
}

#[test]
fn prefixes_and_holes_never_panic() {
    let source = SourceMap::single("t", VALID).unwrap();
    let parsed = parse(&source, ParseOptions::default());
    assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
    for at in (0..VALID.len()).filter(|&at| VALID.is_char_boundary(at)) {
        check(&VALID[..at]);
        let rest = VALID[at..].chars().skip(1).collect::<String>();
        check(&format!("{}{rest}", &VALID[..at]));
    }
}
