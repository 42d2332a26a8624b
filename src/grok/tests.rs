//! Grok against recorded behaviour, the third-party definitions, and other regular-expression engines.

mod segments;

use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::ir::{Assert, Ir};
use super::*;

/// The bundled files, by the names that the third party gives them.
const CORE: [&str; 5] = ["grok-patterns", "haproxy", "httpd", "java", "linux-syslog"];
const SETS: [(Bundled, &str); 2] = [(Bundled::Legacy, "legacy"), (Bundled::EcsV1, "ecs-v1")];

fn oracles() -> Option<PathBuf> {
    let path = std::env::var_os("LOGMILL_ORACLES").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        PathBuf::from,
    );
    if path.join("grok-patterns").is_dir() {
        return Some(path);
    }
    println!(
        "skipped: no oracle data at {} (set LOGMILL_ORACLES)",
        path.display()
    );
    None
}

/// The third-party definitions of a set: of the core files, or of all.
fn oracle_set(path: &std::path::Path, name: &str, core_only: bool) -> PatternSet {
    let mut set = PatternSet::empty();
    let mut files: Vec<_> = std::fs::read_dir(path.join("grok-patterns").join(name))
        .unwrap()
        .flatten()
        .collect();
    files.sort_by_key(std::fs::DirEntry::file_name);
    for file in files {
        let name = file.file_name().into_string().unwrap();
        let foreign = ["LICENSE", "NOTICE.TXT"].contains(&name.as_str());
        if !foreign && (!core_only || CORE.contains(&name.as_str())) {
            set.add_file_text(&std::fs::read_to_string(file.path()).unwrap());
        }
    }
    set
}

fn converted(kind: CaptureKind, text: &str) -> Value {
    match kind {
        CaptureKind::String => json!(text),
        CaptureKind::Int => {
            let end = text
                .bytes()
                .take_while(|b| b.is_ascii_digit() || b"+-".contains(b))
                .count();
            json!(text[..end].parse::<i64>().unwrap_or(0))
        }
        CaptureKind::Float => json!(text.parse::<f64>().unwrap_or(0.0)),
    }
}

/// The captures that are not empty, as (name, value) pairs; `None` without a match.
fn run(grok: &Grok, text: &str) -> Option<Vec<Value>> {
    let (mut cache, mut out) = (grok.new_cache(), Vec::new());
    if !grok.matches(&mut cache, text.as_bytes(), &mut out).unwrap() {
        return None;
    }
    let pairs = out
        .into_iter()
        .filter(|(_, begin, end)| begin < end)
        .map(|(index, begin, end)| {
            let capture = &grok.captures()[usize::from(index)];
            json!([
                capture.name,
                converted(capture.kind, &text[begin as usize..end as usize])
            ])
        });
    Some(pairs.collect())
}

fn compile(pattern: &str, set: &PatternSet) -> Grok {
    Grok::compile(pattern, set, CompileOptions::default())
        .unwrap_or_else(|error| panic!("{pattern}: {error}"))
}

fn golden(path: &std::path::Path, sets: &[PatternSet; 2]) -> (usize, Vec<String>) {
    let text = std::fs::read_to_string(path.join("golden/golden-grok.jsonl")).unwrap();
    let (mut passed, mut failures) = (0, Vec::new());
    for line in text.lines() {
        let vector: Value = serde_json::from_str(line).unwrap();
        let set = &sets[usize::from(vector["set"] != "legacy")];
        let pattern = vector["pattern"].as_str().unwrap();
        let compiled = match Grok::compile(pattern, set, CompileOptions::default()) {
            Ok(compiled) => compiled,
            Err(GrokError::UnknownPattern { .. }) => continue,
            Err(error) => panic!("{pattern}: {error}"),
        };
        let captures = run(&compiled, vector["text"].as_str().unwrap()).map(Value::from);
        if captures.as_ref() == Some(&vector["captures"]) {
            passed += 1;
        } else {
            failures.push(format!(
                "{pattern} on {}\n got {captures:?}\n not {}",
                vector["text"], vector["captures"]
            ));
        }
    }
    (passed, failures)
}

#[test]
fn recorded_captures_come_out_of_our_definitions() {
    let Some(path) = oracles() else { return };
    let (passed, failures) = golden(&path, &SETS.map(|(set, _)| PatternSet::bundled(set)));
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(passed >= 58, "only {passed} vectors use bundled patterns");
}

#[test]
fn recorded_captures_come_out_of_the_third_party_definitions() {
    let Some(path) = oracles() else { return };
    let (passed, failures) = golden(&path, &SETS.map(|(_, name)| oracle_set(&path, name, false)));
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(passed, 70);
    let (passed, failures) = golden(
        &path,
        &SETS.map(|(bundled, name)| {
            let (mut set, mut ours) =
                (oracle_set(&path, name, false), PatternSet::bundled(bundled));
            let foreign: Vec<String> = set.names().into_iter().map(str::to_owned).collect();
            for name in foreign {
                if ours.get(&name).is_none() {
                    ours.add(&name, set.get(&name).unwrap());
                }
            }
            std::mem::swap(&mut set, &mut ours);
            set
        }),
    );
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(passed, 70);
}

#[test]
fn every_third_party_pattern_compiles() {
    let Some(path) = oracles() else { return };
    for (_, name) in SETS {
        let set = oracle_set(&path, name, false);
        for name in set.names() {
            compile(&format!("%{{{name}}}"), &set);
        }
    }
}

#[test]
fn our_core_set_has_the_names_captures_and_types_of_the_third_party() {
    let Some(path) = oracles() else { return };
    for (bundled, name) in SETS {
        let (ours, theirs) = (PatternSet::bundled(bundled), oracle_set(&path, name, true));
        assert_eq!(ours.names(), theirs.names(), "{name}");
        for pattern in theirs.names() {
            let reference = format!("%{{{pattern}}}");
            assert_eq!(
                compile(&reference, &ours).captures(),
                compile(&reference, &theirs).captures(),
                "{pattern}"
            );
        }
    }
}

/// A small generator of pseudo-random numbers, so that failures can be repeated.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % bound.max(1)
    }
}

/// A text that the tree matches, but for its tests of positions.
fn invent(ir: &Ir, dice: &mut Dice, out: &mut String) {
    match ir {
        Ir::Char(c) => out.push(*c),
        Ir::Set(class) => {
            // Mostly characters that logs are made of, if the set has any.
            let has = |c: char| {
                class
                    .iter()
                    .any(|range| range.start() <= c && c <= range.end())
            };
            let likely: Vec<char> = "abcxyzABCZ0123456789-_./:;,= \"[](){}<>@%+'\\\n"
                .chars()
                .filter(|c| has(*c))
                .collect();
            if likely.is_empty() || dice.below(20) == 0 {
                let range = class.ranges()[dice.below(class.ranges().len())];
                out.push([range.start(), range.end()][dice.below(2)]);
            } else {
                out.push(likely[dice.below(likely.len())]);
            }
        }
        Ir::Group(_, body) | Ir::Atomic(body) => invent(body, dice, out),
        Ir::Concat(items) => items.iter().for_each(|item| invent(item, dice, out)),
        Ir::Alt(items) => invent(&items[dice.below(items.len())], dice, out),
        Ir::Repeat { body, min, max, .. } => {
            let most = max.unwrap_or(u32::MAX).min(min + 4);
            let times = *min as usize + dice.below((most - min) as usize + 1);
            (0..times).for_each(|_| invent(body, dice, out));
        }
        _ => {}
    }
}

/// Spoils a text in a place or two, and puts something before or after it.
fn disturb(text: &str, dice: &mut Dice) -> String {
    let alphabet: Vec<char> = "a1 .:-\"/[%\né".chars().collect();
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..dice.below(3) {
        let at = dice.below(chars.len().max(1));
        match dice.below(4) {
            _ if chars.is_empty() => {}
            0 => drop(chars.remove(at)),
            1 => chars.insert(at, alphabet[dice.below(alphabet.len())]),
            2 => chars[at] = alphabet[dice.below(alphabet.len())],
            _ => chars.truncate(at),
        }
    }
    let mut around =
        || ["", "", "", " ", "x", "1", "9.", "\"", "\\", "-", "/", "\n"][dice.below(12)].to_owned();
    around() + &chars.into_iter().collect::<String>() + &around()
}

fn tree(grok: &Grok) -> Ir {
    let options = SyntaxOptions {
        dot_newline: true,
        ignore_case: false,
    };
    syntax::parse(&grok.expanded, options).unwrap().ir
}

/// The tree in the syntax of fancy-regex.
fn fancy(ir: &Ir) -> String {
    let all =
        |items: &[Ir], between: &str| items.iter().map(fancy).collect::<Vec<_>>().join(between);
    match ir {
        Ir::Empty => "(?:)".to_owned(),
        Ir::Char(c) => format!("\\x{{{:x}}}", u32::from(*c)),
        Ir::Set(class) if class.ranges().is_empty() => r"[^\x{0}-\x{10ffff}]".to_owned(),
        Ir::Set(class) => {
            let range = |range: &regex_syntax::hir::ClassUnicodeRange| {
                format!(
                    "\\x{{{:x}}}-\\x{{{:x}}}",
                    u32::from(range.start()),
                    u32::from(range.end())
                )
            };
            format!("[{}]", class.iter().map(range).collect::<String>())
        }
        Ir::Assert(assert) => match assert {
            Assert::LineStart => "(?m:^)",
            Assert::LineEnd => "(?m:$)",
            Assert::TextStart => r"\A",
            Assert::TextEnd => r"\z",
            Assert::TextEndNewline => r"(?=\n?\z)",
            Assert::SearchStart => r"\G",
            Assert::Word => r"\b",
            Assert::NotWord => r"\B",
        }
        .to_owned(),
        Ir::Group(_, body) => format!("({})", fancy(body)),
        Ir::Concat(items) => format!("(?:{})", all(items, "")),
        Ir::Alt(items) => format!("(?:{})", all(items, "|")),
        Ir::Repeat {
            body,
            min,
            max,
            lazy,
        } => {
            let max = max.map_or(String::new(), |max| max.to_string());
            format!(
                "(?:{}){{{min},{max}}}{}",
                fancy(body),
                if *lazy { "?" } else { "" }
            )
        }
        Ir::Atomic(body) => format!("(?>{})", fancy(body)),
        Ir::Look {
            behind,
            negative,
            body,
        } => {
            format!(
                "(?{}{}{})",
                if *behind { "<" } else { "" },
                if *negative { "!" } else { "=" },
                fancy(body)
            )
        }
        Ir::Backref { groups, .. } => format!("(?:\\{})", groups[0]),
        Ir::Keep => r"\K".to_owned(),
        Ir::Cond { group, yes, no } => format!("(?({group}){}|{})", fancy(yes), fancy(no)),
    }
}

/// The captures that fancy-regex finds, as [`Grok::matches`] gives them.
fn run_fancy(grok: &Grok, regex: &fancy_regex::Regex, text: &str) -> Option<Vec<(u16, u32, u32)>> {
    let found = regex.captures(text).ok()??;
    let place = |at: usize| u32::try_from(at).unwrap();
    let groups = (0..).zip(&grok.groups);
    Some(
        groups
            .filter_map(|(index, group)| {
                let group = found.get(*group as usize)?;
                Some((index, place(group.start()), place(group.end())))
            })
            .collect(),
    )
}

fn raw(grok: &Grok, cache: &mut GrokCache, text: &str) -> Option<Vec<(u16, u32, u32)>> {
    let mut out = Vec::new();
    grok.matches(cache, text.as_bytes(), &mut out)
        .unwrap()
        .then_some(out)
}

/// Lines for which a log was the model; each meets every pattern.
const LINES: &str = include_str!("patterns/lines.txt");

#[test]
fn our_core_set_captures_what_the_third_party_captures() {
    let Some(path) = oracles() else { return };
    let mut dice = Dice(0x5eed);
    let (mut compared, mut matched) = (0, 0);
    for (bundled, name) in SETS {
        let (ours, theirs) = (PatternSet::bundled(bundled), oracle_set(&path, name, true));
        for pattern in theirs.names() {
            // Alone, between blanks, and among neighbours that a value could run into.
            for frame in [
                "%{P:whole}",
                " %{P:whole} ",
                "^%{P:whole}$",
                "%{P:whole}[0-9.]%{P:again}",
            ] {
                let alone = frame == "%{P:whole}";
                let frame = frame.replace('P', pattern);
                let (our, their) = (compile(&frame, &ours), compile(&frame, &theirs));
                let (mut our_cache, mut their_cache) = (our.new_cache(), their.new_cache());
                let ir = tree(&their);
                let mut check = |text: &str| {
                    let wanted = raw(&their, &mut their_cache, text);
                    assert_eq!(
                        raw(&our, &mut our_cache, text),
                        wanted,
                        "{name} {frame} on {text:?}"
                    );
                    compared += 1;
                    matched += usize::from(wanted.is_some());
                };
                if alone {
                    LINES.lines().for_each(&mut check);
                }
                for _ in 0..12 {
                    let mut text = String::new();
                    invent(&ir, &mut dice, &mut text);
                    check(&text);
                    check(&disturb(&text, &mut dice));
                }
            }
        }
    }
    println!("{compared} texts compared, {matched} matched");
    assert!(
        matched * 5 > compared,
        "{matched} of {compared} matched: the generator is bad"
    );
}

#[test]
fn the_matcher_agrees_with_another_engine_on_all_third_party_patterns() {
    let Some(path) = oracles() else { return };
    let mut dice = Dice(0xd1ce);
    for (_, name) in SETS {
        let set = oracle_set(&path, name, false);
        for pattern in set.names() {
            let grok = compile(&format!("%{{{pattern}:whole}}"), &set);
            let ir = tree(&grok);
            let Ok(other) = fancy_regex::Regex::new(&fancy(&ir)) else {
                println!("{name} {pattern}: not for fancy-regex");
                continue;
            };
            let mut cache = grok.new_cache();
            for _ in 0..3 {
                let mut text = String::new();
                invent(&ir, &mut dice, &mut text);
                let disturbed = disturb(&text, &mut dice);
                for text in [text, disturbed] {
                    let wanted = run_fancy(&grok, &other, &text);
                    assert_eq!(
                        raw(&grok, &mut cache, &text),
                        wanted,
                        "{name} {pattern} on {text:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn names_types_and_order_of_captures() {
    let set = PatternSet::bundled(Bundled::EcsV1);
    let grok = compile(
        "(?<a>x)|(?<[b][c]:float>y)(?<a>z)%{INT:n:int}%{INT:n:int}%{INT:odd:nope}(plain)",
        &set,
    );
    let captures: Vec<(&str, CaptureKind)> = grok
        .captures()
        .iter()
        .map(|c| (c.name.as_str(), c.kind))
        .collect();
    assert_eq!(
        captures,
        [
            ("a", CaptureKind::String),
            ("a", CaptureKind::String),
            ("[b][c]", CaptureKind::Float),
            ("n", CaptureKind::Int),
            ("n", CaptureKind::String),
            ("odd", CaptureKind::String),
        ]
    );
    let all = Grok::compile(
        "%{INT} %{WORD:w}",
        &set,
        CompileOptions {
            named_captures_only: false,
        },
    )
    .unwrap();
    assert_eq!(
        run(&all, "5 x"),
        Some(vec![json!(["INT", "5"]), json!(["w", "x"])])
    );
}

#[test]
fn empty_captures_are_reported_and_absent_ones_are_not() {
    let grok = compile("(?<a>x*)(?<b>y)?", &PatternSet::empty());
    let (mut cache, mut out) = (grok.new_cache(), Vec::new());
    assert_eq!(grok.matches(&mut cache, b"", &mut out), Ok(true));
    assert_eq!(out, [(0, 0, 0)]);
}

#[test]
fn errors_say_what_and_where() {
    let set = PatternSet::bundled(Bundled::Legacy);
    let error = |pattern: &str| {
        Grok::compile(pattern, &set, CompileOptions::default())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        error("%{NUMBR:x}"),
        "pattern %{NUMBR} not defined; did you mean %{NUMBER}?"
    );
    assert_eq!(
        error("a(b"),
        "this parenthesis is never closed: write \\( for the character (at offset 1 of the pattern) in a(b"
    );
    assert!(error("%{IP}é)").contains("unmatched close parenthesis"));
}

#[test]
fn what_is_compiled_can_be_shared_by_workers() {
    fn shared<T: Send + Sync>() {}
    shared::<Grok>();
    shared::<RubyRegex>();
    shared::<PatternSet>();
}

#[test]
fn a_pattern_can_be_explained() {
    let grok = compile(
        "%{COMBINEDAPACHELOG}",
        &PatternSet::bundled(Bundled::Legacy),
    );
    let text = grok.explain();
    assert!(
        text.contains("requires:") && text.contains("(?<%IPORHOST:clientip>"),
        "{text}"
    );
}

#[test]
fn hostile_texts_end_soon() {
    let set = PatternSet::bundled(Bundled::Legacy);
    let long = "a".repeat(4_000);
    for pattern in [
        "(?:a|a)*[bc]",
        "(?:a+)+$[bc]",
        "(a*)*[bc]",
        "%{DATA}[x]%{DATA}[y]%{DATA}z",
        "%{URIPROTO}:/%{URIPROTO}[!?]",
        "(?:a?){30}a{30}[bc]",
        "%{GREEDYDATA}[bc]%{GREEDYDATA}[bc]",
        "(?:(?:a|aa)+,?)+[!?]",
        "(?=.*[bc]).*[bc]d",
        "(?>a+)+[bc]",
        "(?:[[:alpha:]]+[ ]?)+$[xy]",
        "(?:a{1,3}){2,}[bc]",
        "(?:.*?a?)*?[bc]d",
    ] {
        let grok = compile(pattern, &set);
        let (mut cache, mut out) = (grok.new_cache(), Vec::new());
        let begun = std::time::Instant::now();
        for text in [long.as_str(), &long[..300], &("aa:/".to_owned() + &long)] {
            let found = grok.matches(&mut cache, text.as_bytes(), &mut out);
            assert!(
                found == Ok(false) || pattern.starts_with("(?>"),
                "{pattern}: {found:?}"
            );
        }
        println!("{pattern}: {:?}", begun.elapsed());
        assert!(
            begun.elapsed().as_secs() < 20,
            "{pattern} took {:?}",
            begun.elapsed()
        );
    }
    // What cannot be remembered is given up.
    let grok = compile(r"(?<x>a|aa)+(?:a|a)*\k<x>b", &set);
    let (mut cache, mut out) = (grok.new_cache(), Vec::new());
    assert_eq!(
        grok.matches(
            &mut cache,
            (long[..2_000].to_owned() + "c ab").as_bytes(),
            &mut out
        ),
        Err(MatchError::Limit)
    );
}

/// Patterns made of everything that Ruby knows, most of them valid.
fn any_pattern() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "a",
        "b",
        "1",
        " ",
        ".",
        "é",
        r"\w",
        r"\d+",
        r"\s*",
        "[ab]",
        "[^a]",
        "[[:alpha:]1]",
        r"\b",
        "^",
        "$",
        "ab",
        r"\.",
        "b*?",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            prop::collection::vec(inner.clone(), 1..4)
                .prop_map(|parts| format!("(?:{})", parts.join("|"))),
            inner.clone().prop_map(|part| format!("({part})")),
            (
                inner.clone(),
                prop::sample::select(vec![
                    "*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}", "{0,2}?"
                ])
            )
                .prop_map(|(part, times)| format!("(?:{part}){times}")),
            (inner, prop::sample::select(vec!["(?>", "(?=", "(?!"]))
                .prop_map(|(part, open)| format!("{open}{part})")),
        ]
    })
}

/// Loops whose body can match nothing: engines differ in what their groups hold.
fn has_empty_loop(ir: &Ir) -> bool {
    match ir {
        Ir::Repeat { body, max, .. } => {
            (*max != Some(1) && body.nullable()) || has_empty_loop(body)
        }
        Ir::Group(_, body) | Ir::Atomic(body) | Ir::Look { body, .. } => has_empty_loop(body),
        Ir::Concat(items) | Ir::Alt(items) => items.iter().any(has_empty_loop),
        _ => false,
    }
}

/// How many cases: a few, or about as many as fit in `LOGMILL_FUZZ_SECONDS` of an optimized build.
fn cases() -> u32 {
    const A_SECOND: u32 = 3_000;
    let seconds = std::env::var("LOGMILL_FUZZ_SECONDS").ok();
    let seconds: Option<u32> = seconds.and_then(|text| text.parse().ok());
    seconds.map_or(400, |seconds| seconds.saturating_mul(A_SECOND))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_matcher_agrees_with_other_engines(pattern in any_pattern(), text in "[ab1 .é\n]{0,12}") {
        let Ok(syntax::Parsed { ir, names }) = syntax::parse(&pattern, SyntaxOptions::default()) else { return Ok(()) };
        if has_empty_loop(&ir) {
            return Ok(());
        }
        let Ok(other) = fancy_regex::Regex::new(&fancy(&ir)) else { return Ok(()) };
        let Ok(wanted) = other.captures(&text) else { return Ok(()) };
        let groups = names.len();
        let matcher = Backtracker::new(&ir, groups).unwrap();
        let mut scratch = Scratch::default();
        let found = matcher.search(&mut scratch, text.as_bytes(), 0).unwrap();
        prop_assert_eq!(found, wanted.is_some(), "{} {:?}", fancy(&ir), text);
        if let Some(wanted) = wanted {
            for group in 0..=groups {
                let place = |at: usize| u32::try_from(at).unwrap();
                let wanted = wanted.get(group).map(|found| (place(found.start()), place(found.end())));
                prop_assert_eq!(scratch.group(group), wanted, "group {} of {}", group, fancy(&ir));
            }
        }
    }

    #[test]
    fn remembering_failures_changes_nothing(pattern in any_pattern(), text in "[ab1 .é\n]{0,12}") {
        let Ok(syntax::Parsed { ir, names }) = syntax::parse(&pattern, SyntaxOptions::default()) else { return Ok(()) };
        let matcher = Backtracker::new(&ir, names.len()).unwrap();
        let (mut plain, mut careful) = (Scratch::default(), Scratch::default());
        let wanted = matcher.search(&mut plain, text.as_bytes(), 0);
        let found = matcher.search_remembering(&mut careful, text.as_bytes(), 0);
        prop_assert_eq!(found, wanted);
        if found != Ok(true) {
            return Ok(());
        }
        for group in 0..=names.len() {
            prop_assert_eq!(careful.group(group), plain.group(group));
        }
    }

    #[test]
    fn no_pattern_text_panics(pattern in "[a-c(){}\\[\\]?*+|^$.<>=!:#&~\\-\\\\1-9kpPxuhwdbGKZ%é, ]{0,30}", text in any::<Vec<u8>>()) {
        if let Ok(regex) = RubyRegex::new(&pattern, RegexOptions::default()) {
            let (mut cache, mut slots, mut out) = (regex.new_cache(), Vec::new(), Vec::new());
            let _ = regex.is_match(&mut cache, &text);
            let _ = regex.captures(&mut cache, &text, text.len() / 2, &mut slots);
            let _ = regex.replace_all(&mut cache, &text, &Replacement::parse(b"<\\0>"), &mut out);
        }
    }

    #[test]
    fn no_grok_text_panics(pattern in "(%\\{[A-Z:=@\\[\\]a-z{}()|\\\\.*+ ]{0,12}\\}|%\\{(IP|WORD|DATA|NUMBER):?[a-z\\[\\]:]{0,6}\\}|.){0,6}", text in ".{0,40}") {
        let set = PatternSet::bundled(Bundled::Legacy);
        if let Ok(grok) = Grok::compile(&pattern, &set, CompileOptions::default()) {
            let (mut cache, mut out) = (grok.new_cache(), Vec::new());
            let _ = grok.matches(&mut cache, text.as_bytes(), &mut out);
            prop_assert!(out.iter().all(|(_, begin, end)| begin <= end && *end as usize <= text.len()));
        }
    }
}
