//! Programs of segments against another engine, byte for byte, on lines that match and on lines that nearly do; and
//! lists of patterns with and without the search for what is worth trying.

use std::time::{Duration, Instant};

use super::*;

const PATTERNS: [&str; 14] = [
    r"%{TIMESTAMP_ISO8601:time} \| %{LOGLEVEL:level} \| %{WORD:code} \| %{GREEDYDATA:pairs}",
    "%{COMBINEDAPACHELOG}",
    "^%{COMBINEDAPACHELOG}$",
    "%{COMMONAPACHELOG}",
    "%{SYSLOGBASE} %{GREEDYDATA:rest}",
    r"%{SYSLOGTIMESTAMP:ts} %{HOSTNAME:host} %{DATA:prog}(?:\[%{POSINT:pid}\])?: %{GREEDYDATA:rest}",
    r"^\[%{TIMESTAMP_ISO8601:ts}\]\[%{LOGLEVEL:level} *\]\[%{DATA:class}\] %{GREEDYDATA:text}",
    "%{IP:client} %{WORD:method} %{URIPATHPARAM:request} %{NUMBER:bytes} %{NUMBER:duration}",
    "%{IPV4:from}:%{POSINT:port} -> %{IPV4:to}:%{POSINT}(?: %{WORD:flag})?",
    "%{YEAR:y}-%{MONTHNUM:m}-%{MONTHDAY:d}T%{HOUR:h}%{MINUTE:min}%{SECOND:s}",
    "%{MONTHNUM:m}%{MONTHDAY:d}%{YEAR:y}",
    "%{NUMBER:a}%{NUMBER:b}? ?%{BASE16NUM:c}",
    "%{UUID:id} %{MAC:mac} %{HOSTPORT:at} (?<left>[a-z]+(?:-[a-z0-9]+)*)-(?<right>[a-z]+)",
    "%{HTTPDATE:ts} %{QS:quoted} %{DAY:day}(?:, %{MONTH:month})+ %{TIME:t}",
];

/// Calls with ever new dice: for so many rounds, or as long as `LOGMILL_FUZZ_SECONDS` says.
fn rounds(default: usize, mut call: impl FnMut(&mut Dice)) {
    let seconds: Option<u64> = std::env::var("LOGMILL_FUZZ_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    for round in 0.. {
        let done = end.map_or(round >= default, |end| Instant::now() > end);
        if done {
            break;
        }
        call(&mut Dice(0x005e_6000 + round as u64 * 7919 + 1));
    }
}

#[test]
fn segments_capture_what_another_engine_captures() {
    for which in [Bundled::Legacy, Bundled::EcsV1] {
        let set = PatternSet::bundled(which);
        let mut compiled = Vec::new();
        for pattern in PATTERNS {
            let grok = compile(pattern, &set);
            let ir = tree(&grok);
            let other = fancy_regex::Regex::new(&fancy(&ir)).unwrap();
            compiled.push((pattern, grok.new_cache(), grok, ir, other));
        }
        let (mut compared, mut matched) = (0, 0);
        rounds(20, |dice| {
            for (pattern, cache, grok, ir, other) in &mut compiled {
                let mut text = String::new();
                invent(ir, dice, &mut text);
                let (once, twice) = (disturb(&text, dice), disturb(&text, dice));
                for text in [text, once, twice] {
                    let wanted = run_fancy(grok, other, &text);
                    compared += 1;
                    matched += usize::from(wanted.is_some());
                    assert_eq!(raw(grok, cache, &text), wanted, "{pattern} on {text:?}");
                }
            }
        });
        assert!(matched * 4 > compared, "{matched} of {compared} matched");
    }
}

#[test]
fn a_list_matches_as_its_patterns_do_one_by_one() {
    let set = PatternSet::bundled(Bundled::EcsV1);
    let mut texts: Vec<String> = PATTERNS
        .iter()
        .map(|pattern| (*pattern).to_owned())
        .collect();
    texts.extend((0..60).map(|n| format!("event-{n}: %{{WORD:what}} took %{{INT:ms}}ms")));
    texts.extend([
        "ent-1".to_owned(),
        "nt-1".to_owned(),
        "%{DATA:all}ms".to_owned(),
    ]);
    let groks: Vec<Grok> = texts.iter().map(|text| compile(text, &set)).collect();
    let trees: Vec<Ir> = groks.iter().map(tree).collect();
    let mut caches: Vec<GrokCache> = groks.iter().map(Grok::new_cache).collect();
    let filter = Prefilter::new(&groks.iter().collect::<Vec<_>>()).unwrap();
    let mut left = Candidates::default();
    rounds(60, |dice| {
        let mut text = String::new();
        invent(&trees[dice.below(trees.len())], dice, &mut text);
        let text = disturb(&text, dice);
        filter.candidates(text.as_bytes(), &mut left);
        for (at, (grok, cache)) in groks.iter().zip(&mut caches).enumerate() {
            let matches = raw(grok, cache, &text).is_some();
            let tried = left.next(at) == Some(at);
            assert!(tried || !matches, "{} on {text:?}", texts[at]);
        }
    });
}

#[test]
fn usual_patterns_become_segments() {
    let set = PatternSet::bundled(Bundled::EcsV1);
    for pattern in [PATTERNS[0], "%{HTTPDATE:ts}]", "%{INT:a} %{INT:b}"] {
        let grok = compile(pattern, &set);
        let told = grok.explain();
        assert!(
            told.contains("field: a table") || pattern.contains("INT"),
            "{told}"
        );
        assert!(!told.contains("may end in several places"), "{told}");
    }
}

#[test]
fn a_field_ends_where_the_rest_can_go_on() {
    let set = PatternSet::empty();
    for (pattern, text, wanted) in [
        // The first alternative that matches is not the one that fits.
        ("(?<a>[1-9]|1[0-2]) x", "12 x", Some("12")),
        (
            "(?<a>25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)x",
            "223x",
            Some("223"),
        ),
        // It could go on with what follows: left to the machine.
        ("(?<a>[0-9]+(?:\\.[0-9]+)*)\\.5", "1.2.5", Some("1.2")),
        ("(?<a>(?:ab|abab)+)ab!", "ababab!", Some("abab")),
        ("(?<a>(?:ab|a)(?:bc)?)c", "abc", Some("ab")),
        ("(?<a>(?:ab|a)(?:bc)?)", "abc", Some("ab")),
        ("(?<a>(?>a|ab)(?:x|y))c", "abxc", None),
    ] {
        let grok = compile(pattern, &set);
        let found = raw(&grok, &mut grok.new_cache(), text);
        let found = found.map(|found| &text[found[0].1 as usize..found[0].2 as usize]);
        assert_eq!(found, wanted, "{pattern} on {text}\n{}", grok.explain());
    }
}
