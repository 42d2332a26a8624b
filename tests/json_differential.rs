//! The JSON pass against `serde_json`: seeded mutants of varied documents must be accepted by both or by neither, and
//! read alike.
//!
//! 1,000,000 mutants, or those of `LOGMILL_FUZZ_SECONDS`; `LOGMILL_SEED` says which (see `differential`).
//!
//! Where the two differ on purpose the comparison is made equal: `serde_json` stops at a depth of 127, so the pass is
//! given that limit; it writes exponents as `e+5`, so number texts are compared in that form. Half surrogate pairs are
//! refused by both, as `serde_json` reads into owned strings here.

#![allow(clippy::cast_possible_truncation, reason = "test texts are short")]

mod differential;

use std::thread;

use differential::{Random, Rounds, seed};
use logmill::event::scan::shape::{At, Shapes, Spot};
use logmill::event::scan::{
    JsonError, KeyScratch, Limits, RawField, RawKind, Scanner, Stretch, elements_of_valid,
    fields_of_valid, has_duplicate_keys_deep, leading_kind, validate_value, walk_array,
    walk_object,
};
use logmill::event::text::{as_str, escape_into, needs_escape, unescape};
use serde_json::{Map, Value};

/// Depth at which `serde_json` gives up, less one.
const LIMITS: Limits = Limits {
    max_depth: 127,
    max_number_len: 10_000,
};

/// Records that share one block.
const RECORDS: usize = 50;

/// Documents of the kinds that come by, and of each corner of the grammar.
fn corpus() -> Vec<Vec<u8>> {
    let mut documents: Vec<Vec<u8>> = include_str!("json_differential_corpus.txt")
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| line.as_bytes().to_vec())
        .collect();
    documents.push(b"{\r\n\t\"a\" : [ 1 ,\t2 ],\n  \"b\"\n:\n{ } }\r".to_vec());
    documents.push(b"[\n\n{\"x\":\n\"y\"}\n,\nnull\n]\n".to_vec());
    documents.push([&b"["[..], &b"[".repeat(125), b"7", &b"]".repeat(125), b"]"].concat());
    documents.push([b"{\"a\":".repeat(126), b"{}".to_vec(), b"}".repeat(126)].concat());
    let many: Vec<String> = (0..40)
        .map(|key| format!("\"k{}\":{key}", key * key % 41))
        .collect();
    documents.push(format!("{{\"deep\":{{{}}}}}", many.join(",")).into_bytes());
    documents
}

/// Pieces that tend to hurt where they are put.
const PIECES: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"\"",
    b"\\",
    b" ",
    b"\t",
    b"\n",
    b"\r",
    b"-",
    b"+",
    b".",
    b"e",
    b"E",
    b"0",
    b"9",
    b"u",
    b"/",
    b"n",
    b"t",
    b"f",
    b"\x00",
    b"\x1F",
    b"\x7F",
    b"\x80",
    b"\xC2",
    b"\xC3\xA9",
    b"\xE2\x80\xA8",
    b"\xED\xA0\x80",
    b"\xF0\x9F\x98\x80",
    b"\xF4\x90\x80\x80",
    b"\xFF",
    b"\xC0\x80",
    b"\xEF\xBB\xBF",
    b"\\u0000",
    b"\\u00e9",
    b"\\uD83D",
    b"\\uDE00",
    b"\\ud83d\\ude00",
    b"\\uD83D\\u0041",
    b"\\x",
    b"\\\"",
    b"\\\\",
    b"\\n",
    b"null",
    b"true",
    b"false",
    b"NaN",
    b"-Infinity",
    b"1e5",
    b"-0",
    b"0.0",
    b"01",
    b"1.",
    b"1E+",
    b"12345678901234567890",
    b"\"a\":",
    b"\"a\":1,",
    b"[]",
    b"{}",
    b",,",
    b"\"\"",
    b"//",
    b"'",
];

fn mutate(random: &mut Random, corpus: &[Vec<u8>], document: &mut Vec<u8>) {
    let at = random.below(document.len() + 1);
    let len = 1 + random.below(8);
    let to = (at + len).min(document.len());
    match random.below(9) {
        0 if at < document.len() => document[at] ^= 1 << random.below(8),
        1 if at < document.len() => document[at] = random.next() as u8,
        2 if at < document.len() => document[at] = random.pick(PIECES)[0],
        0..=3 => drop(document.splice(at..at, random.pick(PIECES).iter().copied())),
        4 => drop(document.drain(at..to)),
        5 => {
            let piece = document[at..to].to_vec();
            let there = random.below(document.len() + 1);
            document.splice(there..there, piece);
        }
        6 if random.once_in(4) => document.truncate(at),
        6 => drop(document.splice(at..to, random.pick(PIECES).iter().copied())),
        7 => {
            let other = &corpus[random.below(corpus.len())];
            let from = random.below(other.len());
            let to = (from + 1 + random.below(24)).min(other.len());
            document.splice(at..at, other[from..to].iter().copied());
        }
        _ => {
            let other = &corpus[random.below(corpus.len())];
            document.truncate(at);
            document.extend_from_slice(&other[random.below(other.len())..]);
        }
    }
}

/// What is kept from mutant to mutant, as a worker would.
struct Pass {
    scanner: Scanner,
    scratch: KeyScratch,
    fields: Vec<RawField>,
    elements: Vec<(RawKind, Stretch)>,
    shapes: Shapes,
    spots: Vec<Spot>,
    /// Records whose shape was known.
    shaped: usize,
}

impl Pass {
    fn new(shapes: Shapes) -> Self {
        Pass {
            scanner: Scanner::default(),
            scratch: KeyScratch::default(),
            fields: Vec::new(),
            elements: Vec::new(),
            shapes,
            spots: Vec::new(),
            shaped: 0,
        }
    }

    /// A record of a known shape must be valid and have the fields that the walk found; others are learned.
    fn compare_shape(&mut self, block: &[u8], start: u32, end: u32, valid: bool) {
        let shown = || String::from_utf8_lossy(&block[start as usize..end as usize]).into_owned();
        let twins = valid && has_duplicate_keys_deep(block, start, end, &mut self.scratch);
        self.spots.clear();
        let Some(shape) = self.shapes.find(block, start, end, &mut self.spots) else {
            assert!(self.spots.is_empty());
            if valid && !twins {
                self.shapes.learn(block, start, end);
            }
            return;
        };
        self.shaped += 1;
        assert!(valid, "{}", shown());
        assert!(!twins, "{}", shown());
        let fields = self.shapes.fields(shape);
        assert_eq!(fields.len(), self.fields.len(), "{}", shown());
        for (field, walked) in fields.iter().zip(&self.fields) {
            let from = field.from.offset(start, &self.spots);
            let to = field.to.offset(start, &self.spots);
            let (kind, value) = match field.value {
                At::Spot(number) => {
                    let spot = self.spots[number as usize];
                    (spot.kind(), spot.stretch())
                }
                At::Nested { kind, from, to } => (
                    kind,
                    (
                        from.offset(start, &self.spots),
                        to.offset(start, &self.spots),
                    ),
                ),
            };
            let quote = u32::from(matches!(kind, RawKind::Str | RawKind::EscStr));
            let found = RawField {
                key: (from + 1, from + 1 + field.name.len() as u32),
                value,
                kind,
                key_escaped: false,
            };
            assert_eq!(found, *walked, "{}", shown());
            assert_eq!(to, value.1 + quote, "{}", shown());
            let name = &block[found.key.0 as usize..found.key.1 as usize];
            assert_eq!(&*field.name, name, "{}", shown());
        }
    }

    /// Reads the record with the pass; the value is built from what the pass hands out.
    fn read(&mut self, block: &[u8], start: u32, end: u32) -> Result<Value, JsonError> {
        let kind = validate_value(&mut self.scanner, block, start, end, &LIMITS)?;
        self.fields.clear();
        self.elements.clear();
        let as_object = walk_object(
            &mut self.scanner,
            block,
            start,
            end,
            &LIMITS,
            &mut self.fields,
        );
        let as_array = walk_array(
            &mut self.scanner,
            block,
            start,
            end,
            &LIMITS,
            &mut self.elements,
        );
        assert_eq!(as_object.is_ok(), kind == RawKind::Object);
        assert_eq!(as_array.is_ok(), kind == RawKind::Array);
        let leading = leading_kind(block, start, end).expect("a valid text begins a value");
        Ok(match kind {
            RawKind::Object => {
                assert_eq!(leading, kind);
                object(block, &self.fields)
            }
            RawKind::Array => {
                assert_eq!(leading, kind);
                array(block, &self.elements)
            }
            _ => Value::Null,
        })
    }
}

fn value(block: &[u8], kind: RawKind, (start, end): Stretch) -> Value {
    let raw = &block[start as usize..end as usize];
    match kind {
        RawKind::Null => same_word(raw, b"null", Value::Null),
        RawKind::False => same_word(raw, b"false", Value::Bool(false)),
        RawKind::True => same_word(raw, b"true", Value::Bool(true)),
        RawKind::Int | RawKind::Float => {
            assert_eq!(
                kind == RawKind::Float,
                raw.iter().any(|byte| b".eE".contains(byte))
            );
            number(as_str(raw))
        }
        RawKind::Str => {
            assert!(!needs_escape(raw));
            Value::String(as_str(raw).to_owned())
        }
        RawKind::EscStr => Value::String(decoded(raw)),
        RawKind::Object => {
            let mut fields = Vec::new();
            fields_of_valid(block, start, end, &mut fields);
            object(block, &fields)
        }
        RawKind::Array => {
            let mut elements = Vec::new();
            elements_of_valid(block, start, end, &mut elements);
            array(block, &elements)
        }
    }
}

fn same_word(raw: &[u8], word: &[u8], value: Value) -> Value {
    assert_eq!(raw, word);
    value
}

fn number(text: &str) -> Value {
    let text = text.replace('E', "e");
    let text = match text.split_once('e') {
        Some((digits, power)) if !power.starts_with(['+', '-']) => format!("{digits}e+{power}"),
        _ => text,
    };
    Value::Number(text.parse().expect("a number"))
}

fn decoded(raw: &[u8]) -> String {
    assert!(raw.contains(&b'\\'));
    let mut text = Vec::new();
    unescape(raw, &mut text);
    String::from_utf8(text).expect("a validated string is text")
}

fn object(block: &[u8], fields: &[RawField]) -> Value {
    let map: Map<String, Value> = fields
        .iter()
        .map(|field| {
            let raw = &block[field.key.0 as usize..field.key.1 as usize];
            let key = if field.key_escaped {
                decoded(raw)
            } else {
                as_str(raw).to_owned()
            };
            (key, value(block, field.kind, field.value))
        })
        .collect();
    Value::Object(map)
}

fn array(block: &[u8], elements: &[(RawKind, Stretch)]) -> Value {
    Value::Array(
        elements
            .iter()
            .map(|&(kind, at)| value(block, kind, at))
            .collect(),
    )
}

/// The slow way to see doubled keys: how many there are, with and without folding.
fn holds_twins(block: &[u8], kind: RawKind, (start, end): Stretch) -> bool {
    match kind {
        RawKind::Object => {
            let mut fields = Vec::new();
            fields_of_valid(block, start, end, &mut fields);
            let Value::Object(map) = object(block, &fields) else {
                unreachable!()
            };
            map.len() < fields.len()
                || fields
                    .iter()
                    .any(|field| holds_twins(block, field.kind, field.value))
        }
        RawKind::Array => {
            let mut elements = Vec::new();
            elements_of_valid(block, start, end, &mut elements);
            elements
                .iter()
                .any(|&(kind, at)| holds_twins(block, kind, at))
        }
        _ => false,
    }
}

/// Compares one record; true when it is valid.
fn compare(pass: &mut Pass, block: &[u8], start: usize, end: usize) -> bool {
    let text = &block[start..end];
    let shown = || String::from_utf8_lossy(text).into_owned();
    let (from, to) = (start as u32, end as u32);
    let ours = pass.read(block, from, to);
    let is_object = ours.as_ref().is_ok_and(Value::is_object);
    pass.compare_shape(block, from, to, is_object);
    let theirs: Result<Value, _> = serde_json::from_slice(text);

    // Alone, the same record ends where its buffer ends.
    let alone = pass.read(text, 0, to - from);
    match (&ours, &alone) {
        (Ok(ours), Ok(alone)) => assert_eq!(ours, alone, "{}", shown()),
        (Err(ours), Err(alone)) => assert_eq!(
            (ours.at - from, ours.what),
            (alone.at, alone.what),
            "{}",
            shown()
        ),
        _ => panic!("{ours:?} in a block, {alone:?} alone: {}", shown()),
    }
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => {
            if theirs.is_object() || theirs.is_array() {
                assert_eq!(ours, theirs, "{}", shown());
                let kind = if theirs.is_object() {
                    RawKind::Object
                } else {
                    RawKind::Array
                };
                let twins = has_duplicate_keys_deep(block, from, to, &mut pass.scratch);
                assert_eq!(twins, holds_twins(block, kind, (from, to)), "{}", shown());
            }
            true
        }
        (Err(_), Err(_)) => false,
        (ours, theirs) => panic!("{ours:?}, but serde_json: {theirs:?}: {}", shown()),
    }
}

/// Mutants of one worker's share that are compared before it looks at the clock.
const ROUND: usize = 10_000;

/// Compares mutants, [`RECORDS`] to a block; how many there were, and how many of them were valid.
fn run(seed: u64, mut rounds: Rounds) -> (usize, usize) {
    let corpus = corpus();
    let mut random = Random::new(seed);
    let fresh = |round: usize| {
        if round.is_multiple_of(2) {
            Shapes::new(LIMITS)
        } else {
            Shapes::portable(LIMITS)
        }
    };
    let mut pass = Pass::new(fresh(0));
    let mut round = 0;
    let mut block = Vec::new();
    let mut records = Vec::new();
    let mut document = Vec::new();
    let (mut valid, mut count) = (0, 0);
    while rounds.another() {
        round += 1;
        pass.shapes = fresh(round);
        for _ in 0..ROUND / RECORDS {
            block.clear();
            records.clear();
            for _ in 0..RECORDS {
                document.clone_from(&corpus[random.below(corpus.len())]);
                for _ in 0..=random.below(3) {
                    mutate(&mut random, &corpus, &mut document);
                }
                let start = block.len();
                block.extend_from_slice(&document);
                records.push((start, block.len()));
                // What stands between records must not matter either.
                block.push(
                    *random
                        .pick(&[b"\n", b"\n", b"\n", b"\"", b"\\", b"1", b"\xFF"])
                        .first()
                        .unwrap_or(&b'\n'),
                );
            }
            count += records.len();
            valid += records
                .iter()
                .filter(|(start, end)| compare(&mut pass, &block, *start, *end))
                .count();
        }
    }
    assert!(
        pass.shaped > valid / 20,
        "{} of {valid} valid records had a known shape",
        pass.shaped
    );
    (count, valid)
}

#[test]
fn mutants_are_read_as_serde_json_reads_them() {
    let threads = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(8);
    let rounds = (1_000_000 / ROUND).div_ceil(threads) as u64;
    let (count, valid) = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|worker| {
                scope.spawn(move || run(seed() * 1_000 + worker as u64, Rounds::new(rounds)))
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("a worker found a difference"))
            .fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
    });
    println!("{valid} of {count} mutants are valid");
    assert!(
        valid * 20 > count,
        "too few valid mutants to prove anything: {valid} of {count}"
    );
}

#[test]
fn the_corpus_itself_is_valid() {
    let mut pass = Pass::new(Shapes::new(LIMITS));
    for document in corpus() {
        assert!(
            compare(&mut pass, &document, 0, document.len()),
            "{}",
            String::from_utf8_lossy(&document)
        );
    }
}

#[test]
fn escaped_text_is_written_as_serde_json_reads_it() {
    let mut random = Random::new(7);
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..random.below(40) {
            let code = match random.below(4) {
                0 => random.below(0x30),
                1 => random.below(0x3000),
                2 => random.below(0x11_0000),
                _ => 0x20 + random.below(0x5F),
            };
            text.extend(char::from_u32(code as u32));
        }
        let mut written = b"\"".to_vec();
        escape_into(text.as_bytes(), &mut written);
        written.push(b'"');
        assert_eq!(
            serde_json::from_slice::<String>(&written).expect("JSON"),
            text
        );
        let mut back = Vec::new();
        unescape(&written[1..written.len() - 1], &mut back);
        assert_eq!(back, text.as_bytes());
    }
}
