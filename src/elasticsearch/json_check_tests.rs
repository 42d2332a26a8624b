//! The validator against examples and, by seeded mutants, against `serde_json`.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::*;

fn document(checker: &mut Checker, line: &[u8]) -> Result<usize, Fault> {
    checker.begin(line);
    checker.document(line, 0).map_err(|problem| problem.fault)
}

fn check(line: &[u8]) -> Result<usize, Fault> {
    document(&mut Checker::new(), line)
}

fn accepts(line: &str) {
    assert_eq!(check(line.as_bytes()), Ok(line.len()), "{line}");
}

fn refuses(line: &[u8], fault: Fault) {
    assert_eq!(check(line), Err(fault), "{}", String::from_utf8_lossy(line));
}

#[test]
fn valid_documents_pass() {
    for line in [
        "{}\n",
        " {\t} \r\n",
        r#"{"a":1,"b":[true,false,null,{"c":"d"}],"e":-0.5e+10}"#,
        "{\"a\" : 1 , \"b\" : [ ] , \"c\":[ 1 , 2 ] }\n",
        r#"{"quote\"d":"\u00fc\\ \/ \b\f\n\r\t","ü":"naïve 日本 😀"}"#,
        r#"{"half":"\ud800"}"#,
        r#"{"a.b":1,"a":{"b":2},"c.":3}"#,
        r#"{"o":{"_id":1},"_doc_count":1}"#,
        "{\"sixteen_bytes_key\":\"a string of more than sixteen bytes, and then some\"}\n",
    ] {
        accepts(line);
    }
    accepts(&format!("{{\"n\":{}}}", "1".repeat(400)));
    accepts(&format!("{{\"a\":{}{}}}", "[".repeat(999), "]".repeat(999)));
}

#[test]
fn faults_are_named() {
    for (line, fault) in [
        (&b"\n"[..], Fault::Incomplete),
        (b"[1]\n", Fault::NotAnObject),
        (b"\"x\"\n", Fault::NotAnObject),
        (b"12\n", Fault::NotAnObject),
        (b"[1\n", Fault::Incomplete),
        (b"{\"a\":1\n", Fault::Incomplete),
        (b"{\"a\":\"x\n", Fault::Incomplete),
        (b"{\"a\":\"x", Fault::Incomplete),
        (b"{\"a\":1}x\n", Fault::Syntax),
        (b"{\"a\":1}{}\n", Fault::Syntax),
        (b"{\"a\":1,}\n", Fault::Syntax),
        (b"{,}\n", Fault::Syntax),
        (b"{\"a\"1}\n", Fault::Syntax),
        (b"{'a':1}\n", Fault::Syntax),
        (b"{\"a\":01}\n", Fault::Syntax),
        (b"{\"a\":+1}\n", Fault::Syntax),
        (b"{\"a\":1.}\n", Fault::Syntax),
        (b"{\"a\":.5}\n", Fault::Syntax),
        (b"{\"a\":1e}\n", Fault::Syntax),
        (b"{\"a\":-}\n", Fault::Syntax),
        (b"{\"a\":NaN}\n", Fault::Syntax),
        (b"{\"a\":nul}\n", Fault::Syntax),
        (b"{\"a\":\"\\x\"}\n", Fault::Syntax),
        (b"{\"a\":\"\\u12g4\"}\n", Fault::Syntax),
        (b"{\"a\":\"tab\there\"}\n", Fault::Syntax),
        (b"{\"a\":\x0c1}\n", Fault::Syntax),
        (b"{\"a\":\"\xff\"}\n", Fault::Utf8),
        (b"{\"a\":\"\xc0\x80\"}\n", Fault::Utf8),
        (b"{\"a\":\"\xed\xa0\x80\"}\n", Fault::Utf8),
        (b"{\"a\":1,\"a\":2}\n", Fault::DuplicateKey),
        (b"{\"a\":1,\"b\":2,\"\\u0061\":3}\n", Fault::DuplicateKey),
        (b"{\"o\":{\"a\":1,\"a\":2}}\n", Fault::DuplicateKey),
        (b"{\"o\":[{\"a\":1,\"a\":2}]}\n", Fault::DuplicateKey),
        (b"{\"a\" :1,\"a\" :2}\n", Fault::DuplicateKey),
        (b"{\"\":1}\n", Fault::FieldName),
        (b"{\".\":1}\n", Fault::FieldName),
        (b"{\"a..b\":1}\n", Fault::FieldName),
        (b"{\".a\":1}\n", Fault::FieldName),
        (b"{\"o\":{\" \":1}}\n", Fault::FieldName),
        (b"{\"_id\":1}\n", Fault::MetadataField),
        (b"{\"_id\" :1}\n", Fault::MetadataField),
    ] {
        refuses(line, fault);
    }
    refuses(
        format!("{{\"a\":{}{}}}", "[".repeat(1000), "]".repeat(1000)).as_bytes(),
        Fault::TooDeep,
    );
    refuses("{\"a\":".repeat(20_000).as_bytes(), Fault::TooDeep);
    refuses(
        format!("{{\"n\":{}}}", "1".repeat(1001)).as_bytes(),
        Fault::LongNumber,
    );
}

#[test]
fn learned_shapes_still_see_everything() {
    let mut checker = Checker::new();
    let mut fault = |line: &str| document(&mut checker, line.as_bytes()).err();
    for _ in 0..2 {
        assert_eq!(fault("{\"a\":1,\"b\":{\"c\":2,\"d\":3},\"e\":4}\n"), None);
        assert_eq!(fault("{\"b\":{\"d\":2},\"a\":1}\n"), None);
        assert_eq!(
            fault("{\"a\":1,\"b\":{\"c\":2,\"c\":3}}\n"),
            Some(Fault::DuplicateKey)
        );
        assert_eq!(
            fault("{\"b\":{\"d\":2},\"a\":1,\"b\":2}\n"),
            Some(Fault::DuplicateKey)
        );
        assert_eq!(fault("{\"a\": 1, \"a\":1}\n"), Some(Fault::DuplicateKey));
        assert_eq!(
            fault("{\"b\":{\"_id\":2},\"_id\":1}\n"),
            Some(Fault::MetadataField)
        );
        assert_eq!(fault("{\"a\":1,\"b\""), Some(Fault::Incomplete));
        assert_eq!(fault("{\"a\":1\t,\"t\":\"x\"\t}\n"), None);
        assert_eq!(fault("{\"a\":1\\n\t,\"t\":\"x\"\t}\n"), Some(Fault::Syntax));
        assert_eq!(fault("{\"a\":1\t,\"t\":\"x\"\\n\t}\n"), Some(Fault::Syntax));
        assert_eq!(fault("{\"a\":1\t,\"t\":\"\\\\\\\"\\u00e9\"\t}\n"), None);
        assert_eq!(
            fault("{\"a\":1\t,\"t\":\"\\u00g9\"\t}\n"),
            Some(Fault::Syntax)
        );
        assert_eq!(fault("{\"a\":1\t,\"t\":\"a\tb\"\t}\n"), Some(Fault::Syntax));
    }
}

#[test]
fn shapes_are_bounded() {
    let mut checker = Checker::new();
    for number in 0..20_000 {
        let line = format!("{{\"a\":1,\"key{number}\":{{\"x{number}\":1}}}}\n");
        assert_eq!(document(&mut checker, line.as_bytes()), Ok(line.len()));
        assert!(checker.nodes.len() <= MAX_NODES + 1);
    }
    let wide: String = (0..3000).map(|n| format!("\"k{n}\":{n},")).collect();
    assert_eq!(
        document(&mut checker, format!("{{{wide}\"z\":0}}").as_bytes()).map(|_| ()),
        Ok(())
    );
    assert_eq!(
        document(&mut checker, format!("{{{wide}\"k7\":0}}").as_bytes()),
        Err(Fault::DuplicateKey)
    );
}

#[test]
fn documents_are_found_behind_each_other() {
    let lines = b"{\"a\":1}\n{\"a\":\"a longer one than before\"} \n{}\n";
    let mut checker = Checker::new();
    checker.begin(lines);
    let first = checker.document(lines, 0).unwrap();
    let second = checker.document(lines, first).unwrap();
    assert_eq!(
        (first, checker.document(lines, second)),
        (8, Ok(lines.len()))
    );
}

/// What `serde_json` and the rules on names make of a value.
struct Oracle {
    names_are_good: bool,
    is_object: bool,
}

impl<'de> Deserialize<'de> for Oracle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OracleVisitor)
    }
}

const SCALAR: Oracle = Oracle {
    names_are_good: true,
    is_object: false,
};

struct OracleVisitor;

impl<'de> Visitor<'de> for OracleVisitor {
    type Value = Oracle;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_bool<E>(self, _: bool) -> Result<Oracle, E> {
        Ok(SCALAR)
    }
    fn visit_unit<E>(self) -> Result<Oracle, E> {
        Ok(SCALAR)
    }
    fn visit_str<E>(self, _: &str) -> Result<Oracle, E> {
        Ok(SCALAR)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Oracle, E> {
        Ok(SCALAR)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Oracle, E> {
        Ok(SCALAR)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Oracle, E> {
        Ok(SCALAR)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Oracle, A::Error> {
        let mut good = true;
        while let Some(inner) = seq.next_element::<Oracle>()? {
            good &= inner.names_are_good;
        }
        Ok(Oracle {
            names_are_good: good,
            is_object: false,
        })
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Oracle, A::Error> {
        let (mut names, mut good) = (HashSet::new(), true);
        while let Some(name) = map.next_key::<String>()? {
            if name == "$serde_json::private::Number" {
                map.next_value::<IgnoredAny>()?;
                return Ok(SCALAR);
            }
            good &= !name
                .trim_end_matches('.')
                .split('.')
                .any(|part| part.bytes().all(|b| b.is_ascii_whitespace()));
            good &= map.next_value::<Oracle>()?.names_are_good;
            good &= names.insert(name);
        }
        Ok(Oracle {
            names_are_good: good,
            is_object: true,
        })
    }
}

fn oracle_accepts(line: &[u8]) -> bool {
    std::str::from_utf8(line).is_ok_and(|text| {
        serde_json::from_str::<Oracle>(text)
            .is_ok_and(|oracle| oracle.names_are_good && oracle.is_object)
    })
}

/// xorshift64: the same mutants on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % limit.max(1)
    }
}

const SEEDS: [&str; 7] = [
    r#"{"@timestamp":"2024-05-01T12:00:00.000Z","level":"INFO","n":123,"f":-1.5e3,"ok":true,"none":null}"#,
    r#"{"message":"a \"quoted\" line with \\ and \u00e9 and é日本","log":{"file":{"path":"/var/log/x"},"offset":99}}"#,
    r#"{"tags":["a","b",{"x":[]},[1,2,[3]]],"empty":{},"list":[]}"#,
    r#"{ "spaced" : 1 , "out" : [ 1 , 2 ] , "o": {"a": "b", "c": {}} }"#,
    r#"{"a":"exactly sixteen.","key of more than sixteen bytes":"0123456789abcdef0123456789abcdef"}"#,
    r#"{"geo":{"location":{"lat":52.52,"lon":13.4},"country":"DE"},"x":0,"y":-0,"z":0.0e-0}"#,
    r#"{"":1}"#,
];

fn mutate(random: &mut Random, line: &mut Vec<u8>) {
    const BYTES: &[u8] = b"\"\\{}[]:,.eE+-0123456789 \ttfnu/ab_\x00\x1f\x7f\x80\xc3\xa9\xff\r";
    for _ in 0..=random.below(3) {
        let at = random.below(line.len());
        let byte = BYTES[random.below(BYTES.len())];
        match random.below(6) {
            0 => line[at] = byte,
            1 => line.insert(at, byte),
            2 => {
                line.remove(at);
            }
            3 => {
                let end = (at + random.below(24)).min(line.len());
                let piece = line[at..end].to_vec();
                let to = random.below(line.len());
                line.splice(to..to, piece);
            }
            4 => {
                let end = (at + random.below(12)).min(line.len());
                line.drain(at..end);
            }
            _ => {
                let other = random.below(line.len());
                line.swap(at, other);
            }
        }
        if line.is_empty() {
            line.push(b'{');
        }
    }
}

#[test]
fn mutants_are_judged_as_by_serde_json() {
    let mut random = Random(0x5eed_0bad_cafe);
    let mut warm = Checker::new();
    let mut accepted = 0;
    for round in 0..150_000 {
        let mut line = SEEDS[round % SEEDS.len()].as_bytes().to_vec();
        mutate(&mut random, &mut line);
        // Halves of surrogate pairs are the one thing on which serde_json is stricter for strings that it builds.
        if line
            .windows(3)
            .any(|w| w[0] == b'\\' && w[1] == b'u' && w[2].eq_ignore_ascii_case(&b'd'))
        {
            continue;
        }
        let want = oracle_accepts(&line);
        line.push(b'\n');
        let text = String::from_utf8_lossy(&line);
        let (cold, warm) = (check(&line), document(&mut warm, &line));
        assert_eq!(cold.is_ok(), want, "cold: {text} {cold:?}");
        assert_eq!(warm.is_ok(), want, "warm: {text} {warm:?}");
        assert!(!want || warm == Ok(line.len()));
        accepted += u32::from(want);
    }
    assert!(
        accepted > 10_000,
        "too few valid mutants to mean anything: {accepted}"
    );
}
