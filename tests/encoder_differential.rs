//! Encoder output against a model: random documents run through random filters in a real pipeline, and what is
//! written for Elasticsearch must be valid JSON, without a key twice, and equal to what `serde_json` values become
//! under the same operations.
//!
//! `LOGMILL_SEED` and `LOGMILL_FUZZ_SECONDS`: see `differential`.

mod differential;
#[path = "../benches/inside/mod.rs"]
mod inside;

use std::fmt::Write as _;

use differential::{Random, Rounds, seed};
use inside::{Feed, elasticsearch};
use logmill::event::scan::{KeyScratch, has_duplicate_keys_deep};
use serde_json::{Map, Value};

type Doc = Map<String, Value>;

/// Fields that hold text in every document that has them; templates may name them.
const TEXTS: [&str; 4] = [
    "word",
    "user",
    "x",
    "a long name of a text field past a few words",
];
/// Fields that may hold anything.
const ANY: [&str; 6] = ["any", "b", "other", "numéro", "last-seen", "trace.id"];
/// Fields that no filter names; some look like others.
const UNKNOWN: [&str; 9] = [
    "",
    "B",
    "an",
    "anyy",
    "uses",
    "quote\"d",
    "back\\slash",
    "line\nend",
    "日本",
];
/// An object, where it is there at all.
const NEST: &str = "nest";
/// An array that is not empty, where it is there at all.
const LIST: &str = "list";
const CONSTANTS: [&str; 4] = ["", "plain", "quote \" and back\\slash", "é 😀 \u{7f}"];
const TAGS: [&str; 3] = ["t1", "seen before", "tag \"quoted\""];

/// One line and what it says.
struct Line {
    text: String,
    doc: Doc,
    repeats: bool,
}

/// Writes random documents, most of them like the one before, as programs do.
struct Writer {
    shape: Vec<String>,
    colon: &'static str,
    comma: &'static str,
}

impl Writer {
    fn new(random: &mut Random) -> Self {
        let mut shape = vec!["kind".to_owned()];
        for _ in 0..random.below(14) {
            shape.push(key(random));
        }
        Self {
            shape,
            colon: random.pick(&[":", ": ", " :\t"]),
            comma: random.pick(&[",", ", ", " ,\r "]),
        }
    }

    fn line(&mut self, random: &mut Random) -> Line {
        let mut keys = self.shape.clone();
        if random.once_in(4) {
            let at = 1 + random.below(keys.len());
            match random.below(4) {
                0 if at < keys.len() => drop(keys.remove(at)),
                1 if at < keys.len() => keys.swap(1, at),
                2 => {
                    let twin = keys[random.below(keys.len())].clone();
                    keys.insert(at, twin);
                }
                _ => keys.insert(at, key(random)),
            }
            if random.once_in(8) {
                self.shape.clone_from(&keys);
            }
        }
        let mut line = Line {
            text: "{".to_owned(),
            doc: Doc::new(),
            repeats: false,
        };
        for (at, key) in keys.iter().enumerate() {
            if at > 0 {
                line.text.push_str(self.comma);
            }
            write_text(random, key, &mut line.text);
            line.text.push_str(self.colon);
            let value = self.value_of(random, key, &mut line);
            line.repeats |= line.doc.insert(key.clone(), value).is_some();
        }
        line.text.push('}');
        line
    }

    fn value_of(&self, random: &mut Random, key: &str, line: &mut Line) -> Value {
        if key == "kind" {
            let kind = random.pick(&["a", "b", "c"]);
            return write_text(random, kind, &mut line.text);
        }
        if TEXTS.contains(&key) {
            return Self::text(random, line);
        }
        match key {
            "tags" => self.array(random, line, |_, random, line| Self::text(random, line)),
            NEST => self.object(random, line, 2),
            LIST => self.array(random, line, |this, random, line| {
                this.value(random, line, 2)
            }),
            _ => self.value(random, line, 3),
        }
    }

    fn value(&self, random: &mut Random, line: &mut Line, depth: usize) -> Value {
        match random.below(if depth == 0 { 10 } else { 13 }) {
            0 => literal("null", line),
            1 => literal(random.pick(&["true", "false"]), line),
            2..=5 => {
                let number = random.pick(&[
                    "0",
                    "-0",
                    "7",
                    "200",
                    "-31",
                    "1776729599000",
                    "18446744073709551616",
                    "0.0",
                    "12.345",
                    "-7.5e-3",
                    "1E400",
                    "2e+10",
                    "0.1234567890123456789",
                ]);
                literal(number, line)
            }
            6..=9 => Self::text(random, line),
            10 | 11 => self.object(random, line, depth - 1),
            _ => self.array(random, line, |this, random, line| {
                this.value(random, line, depth - 1)
            }),
        }
    }

    fn text(random: &mut Random, line: &mut Line) -> Value {
        let text = match random.below(6) {
            0 => (*random.pick(&CONSTANTS)).to_owned(),
            1 => {
                let unit = random.pick(&["z", "ab ", "é", "\\", "\"", "\u{1}", "😀"]);
                unit.repeat(random.below(80))
            }
            _ => format!("v{}", random.below(1000)),
        };
        write_text(random, &text, &mut line.text)
    }

    fn object(&self, random: &mut Random, line: &mut Line, depth: usize) -> Value {
        let mut object = Doc::new();
        line.text.push('{');
        for at in 0..random.below(4) {
            if at > 0 {
                line.text.push_str(self.comma);
            }
            let key = random.pick(&["x", "y", "deep", "any", "k\u{e9}y", "x "]);
            write_text(random, key, &mut line.text);
            line.text.push_str(self.colon);
            let value = self.value(random, line, depth);
            line.repeats |= object.insert(key.to_owned(), value).is_some();
        }
        line.text.push('}');
        Value::Object(object)
    }

    fn array(
        &self,
        random: &mut Random,
        line: &mut Line,
        mut element: impl FnMut(&Self, &mut Random, &mut Line) -> Value,
    ) -> Value {
        let mut all = Vec::new();
        line.text.push('[');
        for at in 0..=random.below(3) {
            if at > 0 {
                line.text.push_str(self.comma);
            }
            all.push(element(self, random, line));
        }
        line.text.push(']');
        Value::Array(all)
    }
}

fn key(random: &mut Random) -> String {
    match random.below(12) {
        0..=2 => (*random.pick(&TEXTS)).to_owned(),
        3..=5 => (*random.pick(&ANY)).to_owned(),
        6 => "tags".to_owned(),
        7 => NEST.to_owned(),
        8 => LIST.to_owned(),
        9 => format!("k{}", random.below(40)),
        _ => (*random.pick(&UNKNOWN)).to_owned(),
    }
}

fn literal(text: &str, line: &mut Line) -> Value {
    line.text.push_str(text);
    serde_json::from_str(text).expect("a literal")
}

/// Writes a string, now and then with an escape where none is needed.
fn write_text(random: &mut Random, text: &str, out: &mut String) -> Value {
    let lavish = random.once_in(6);
    out.push('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            '\n' => out.push_str("\\n"),
            _ if char < ' ' || (lavish && random.once_in(3)) => {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    // Writing to a string cannot fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            _ => out.push(char),
        }
    }
    out.push('"');
    Value::String(text.to_owned())
}

/// A template: constant texts and fields that hold text.
type Template = Vec<Result<String, &'static str>>;

/// What is done to events, in filters and in the model.
enum Op {
    Remove(Place),
    Rename(Place, Place),
    Copy(Place, Place),
    Replace(Place, Template),
    Update(Place, Template),
    AddField(Place, Template),
    Upper(&'static str),
    AddTag(Template),
    RemoveTag(&'static str),
    Split,
    Drop,
    If(Test, Vec<Op>, Vec<Op>),
}

enum Test {
    Truthy(Place),
    Equal(&'static str, String),
    Tagged(&'static str),
}

/// A top-level field, or a member of `nest`.
#[derive(Clone, Copy)]
struct Place(Option<&'static str>, &'static str);

impl Place {
    fn reference(self) -> String {
        match self.0 {
            None => format!("[{}]", self.1),
            Some(root) => format!("[{root}][{}]", self.1),
        }
    }

    fn get(self, doc: &Doc) -> Option<&Value> {
        match self.0 {
            None => doc.get(self.1),
            Some(root) => doc.get(root)?.get(self.1),
        }
    }

    fn set(self, doc: &mut Doc, value: Value) {
        let Some(root) = self.0 else {
            doc.insert(self.1.to_owned(), value);
            return;
        };
        let nest = doc
            .entry(root)
            .or_insert_with(|| Value::Object(Map::new()))
            .as_object_mut();
        nest.expect("an object").insert(self.1.to_owned(), value);
    }

    fn remove(self, doc: &mut Doc) -> Option<Value> {
        match self.0 {
            None => doc.shift_remove(self.1),
            Some(root) => doc.get_mut(root)?.as_object_mut()?.shift_remove(self.1),
        }
    }
}

fn any_place(random: &mut Random) -> Place {
    match random.below(3) {
        0 => Place(Some(NEST), random.pick(&["x", "deep", "new"])),
        _ => Place(None, random.pick(&ANY)),
    }
}

fn template(random: &mut Random) -> Template {
    let mut parts: Template = (0..random.below(3))
        .map(|_| match random.below(2) {
            0 => Err(*random.pick(&TEXTS.each_ref().map(|name| *name).each_ref())),
            _ => Ok((*random.pick(&CONSTANTS)).to_owned()),
        })
        .collect();
    if parts.is_empty() {
        parts.push(Ok(format!("constant {}", random.below(5))));
    }
    parts
}

fn ops(random: &mut Random, count: usize, depth: usize) -> Vec<Op> {
    (0..count).map(|_| op(random, depth)).collect()
}

fn text_name(random: &mut Random) -> &'static str {
    TEXTS[random.below(TEXTS.len())]
}

fn op(random: &mut Random, depth: usize) -> Op {
    let text = text_name(random);
    let (place, other) = (any_place(random), any_place(random));
    let source = if random.once_in(2) {
        place
    } else {
        Place(None, text)
    };
    match random.below(if depth == 0 { 14 } else { 18 }) {
        0..=2 => Op::Remove(source),
        3 | 4 => Op::Rename(source, other),
        5 => Op::Rename(Place(None, text), Place(None, text_name(random))),
        6 => Op::Copy(source, other),
        7 => Op::Replace(source, template(random)),
        8 => Op::Update(source, template(random)),
        9 => Op::AddField(place, template(random)),
        10 => Op::Upper(text),
        11 | 12 => Op::AddTag(template(random)),
        13 => Op::RemoveTag(TAGS[random.below(TAGS.len())]),
        _ => {
            let test = match random.below(4) {
                0 | 1 => Test::Truthy(source),
                2 => Test::Equal("kind", (*random.pick(&["a", "b"])).to_owned()),
                _ => Test::Tagged(TAGS[random.below(TAGS.len())]),
            };
            let (some, others) = (random.below(3), random.below(3));
            let mut then = ops(random, some, depth - 1);
            if random.once_in(10) {
                then.push(Op::Drop);
            }
            let otherwise = ops(random, others, depth - 1);
            Op::If(test, then, otherwise)
        }
    }
}

/// A text as the config language writes it; `'` is in none of them.
fn quoted(text: &str) -> String {
    format!("'{text}'")
}

fn template_text(template: &Template) -> String {
    let parts = template.iter().map(|part| match part {
        Ok(text) => text.clone(),
        Err(field) => format!("%{{[{field}]}}"),
    });
    quoted(&parts.collect::<String>())
}

fn config(ops: &[Op], out: &mut String) {
    for op in ops {
        let two = |name: &str, a: &Place, b: &Place| {
            format!(
                "mutate {{ {name} => {{ {} => {} }} }}\n",
                quoted(&a.reference()),
                quoted(&b.reference())
            )
        };
        let filled = |name: &str, place: &Place, with: &Template| {
            format!(
                "mutate {{ {name} => {{ {} => {} }} }}\n",
                quoted(&place.reference()),
                template_text(with)
            )
        };
        let text = match op {
            Op::Remove(place) => format!(
                "mutate {{ remove_field => [ {} ] }}\n",
                quoted(&place.reference())
            ),
            Op::Rename(from, to) => two("rename", from, to),
            Op::Copy(from, to) => two("copy", from, to),
            Op::Replace(place, with) => filled("replace", place, with),
            Op::Update(place, with) => filled("update", place, with),
            Op::AddField(place, with) => filled("add_field", place, with),
            Op::Upper(name) => format!(
                "mutate {{ uppercase => [ {} ] }}\n",
                quoted(&format!("[{name}]"))
            ),
            Op::AddTag(with) => format!("mutate {{ add_tag => [ {} ] }}\n", template_text(with)),
            Op::RemoveTag(tag) => format!("mutate {{ remove_tag => [ {} ] }}\n", quoted(tag)),
            Op::Split => format!("if [{LIST}] {{ split {{ field => '{LIST}' }} }}\n"),
            Op::Drop => "drop { }\n".to_owned(),
            Op::If(test, then, otherwise) => {
                let test = match test {
                    Test::Truthy(place) => place.reference(),
                    Test::Equal(field, text) => format!("[{field}] == {}", quoted(text)),
                    Test::Tagged(tag) => format!("{} in [tags]", quoted(tag)),
                };
                let _ = writeln!(out, "if {test} {{");
                config(then, out);
                out.push_str("} else {\n");
                config(otherwise, out);
                "}\n".to_owned()
            }
        };
        out.push_str(&text);
    }
}

fn filled(template: &Template, doc: &Doc) -> String {
    let parts = template.iter().map(|part| match part {
        Ok(text) => text.clone(),
        Err(field) => match doc.get(*field) {
            Some(value) => value.as_str().expect("a text field").to_owned(),
            None => format!("%{{[{field}]}}"),
        },
    });
    parts.collect()
}

fn tags_of(doc: &mut Doc) -> &mut Vec<Value> {
    let tags = doc
        .entry("tags")
        .or_insert_with(|| Value::Array(Vec::new()));
    tags.as_array_mut().expect("tags are a list")
}

/// As the original has it: what reads as nothing or as `false` is not.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::String(text) => !text.is_empty() && text != "false",
        _ => true,
    }
}

/// The events that `doc` becomes.
fn apply(ops: &[Op], mut doc: Doc) -> Vec<Doc> {
    for (at, op) in ops.iter().enumerate() {
        match op {
            Op::Remove(place) => drop(place.remove(&mut doc)),
            Op::Rename(from, to) => {
                if let Some(value) = from.remove(&mut doc) {
                    to.set(&mut doc, value);
                }
            }
            Op::Copy(from, to) => {
                if let Some(value) = from.get(&doc).filter(|value| !value.is_null()).cloned() {
                    to.set(&mut doc, value);
                }
            }
            Op::Replace(place, with) => {
                let value = filled(with, &doc);
                place.set(&mut doc, Value::String(value));
            }
            Op::Update(place, with) => {
                if place.get(&doc).is_some() {
                    let value = filled(with, &doc);
                    place.set(&mut doc, Value::String(value));
                }
            }
            Op::AddField(place, with) => {
                let value = Value::String(filled(with, &doc));
                let value = match place.get(&doc) {
                    None => value,
                    Some(Value::Null) => Value::Array(vec![value]),
                    Some(Value::Array(all)) => {
                        Value::Array(all.iter().cloned().chain([value]).collect())
                    }
                    Some(one) => Value::Array(vec![one.clone(), value]),
                };
                place.set(&mut doc, value);
            }
            Op::Upper(name) => {
                if let Some(Value::String(text)) = doc.get_mut(*name) {
                    *text = text.to_uppercase();
                }
            }
            Op::AddTag(with) => {
                let tag = filled(with, &doc);
                tags_of(&mut doc).push(Value::String(tag));
            }
            Op::RemoveTag(tag) => {
                if doc.contains_key("tags") {
                    tags_of(&mut doc).retain(|has| has != tag);
                }
            }
            Op::Split => {
                let is_nothing = |value: &Value| value.is_null() || value.as_str() == Some("");
                let Some(Value::Array(all)) = doc.get(LIST) else {
                    continue;
                };
                let parts = all.iter().filter(|part| !is_nothing(part)).cloned();
                let children = parts.map(|part| {
                    let mut child = doc.clone();
                    child.insert(LIST.to_owned(), part);
                    child
                });
                return children
                    .flat_map(|child| apply(&ops[at + 1..], child))
                    .collect();
            }
            Op::Drop => return Vec::new(),
            Op::If(test, then, otherwise) => {
                let holds = match test {
                    Test::Truthy(place) => place.get(&doc).is_some_and(is_true),
                    Test::Equal(field, text) => {
                        doc.get(*field).and_then(Value::as_str) == Some(text)
                    }
                    Test::Tagged(tag) => doc.get("tags").is_some_and(|tags| {
                        tags.as_array()
                            .is_some_and(|tags| tags.iter().any(|has| has == tag))
                    }),
                };
                match apply(if holds { then } else { otherwise }, doc).pop() {
                    Some(after) => doc = after,
                    None => return Vec::new(),
                }
            }
        }
    }
    vec![doc]
}

/// One random config over random documents; how many events were compared.
fn round(random: &mut Random) -> usize {
    let (count, depth) = (random.below(9), 2);
    let mut plan = ops(random, count, depth);
    if random.once_in(3) {
        plan.insert(random.below(plan.len() + 1), Op::Split);
    }
    let from_message = random.once_in(3);
    let mut filters = String::new();
    if from_message {
        filters.push_str("json { source => 'message' remove_field => [ 'message' ] }\n");
    }
    config(&plan, &mut filters);

    let mut writers: Vec<Writer> = (0..=random.below(3)).map(|_| Writer::new(random)).collect();
    let lines: Vec<Line> = (0..=random.below(700))
        .map(|_| {
            let writer = random.below(writers.len());
            writers[writer].line(random)
        })
        .collect();
    let mut expected = Vec::new();
    for line in &lines {
        let mut doc = line.doc.clone();
        if line.repeats {
            let tags = tags_of(&mut doc);
            tags.push(Value::String("_duplicate_key".to_owned()));
        }
        expected.extend(apply(&plan, doc));
    }

    let texts: Vec<Vec<u8>> = lines
        .iter()
        .map(|line| line.text.clone().into_bytes())
        .collect();
    let feed = Feed {
        records: texts.len() as u64,
        lines: texts,
        blocks: vec![1 + random.below(400), 1 + random.below(40)],
    };
    let codec = format!(
        "{} {{ keep_original => false }}",
        if from_message { "plain" } else { "json" }
    );
    let bulks = inside::run(feed, &codec, &filters, &elasticsearch("i-%{kind}"), true);
    compare(&bulks, &expected, &filters);
    expected.len()
}

fn compare(bulks: &[u8], expected: &[Doc], filters: &str) {
    let text = std::str::from_utf8(bulks).expect("bulks are UTF-8");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), expected.len() * 2, "{filters}");
    let mut keys = KeyScratch::default();
    for (pair, wanted) in lines.chunks(2).zip(expected) {
        let (action, document) = (pair[0], pair[1]);
        let index = format!("i-{}", wanted["kind"].as_str().expect("a kind"));
        let action: Value = serde_json::from_str(action).expect("an action line");
        assert_eq!(action["index"]["_index"], index.as_str(), "{filters}");
        let mut doc: Doc = serde_json::from_str(document)
            .unwrap_or_else(|error| panic!("{error}: {document}\n{filters}"));
        let end = u32::try_from(document.len()).expect("a short document");
        assert!(
            !has_duplicate_keys_deep(document.as_bytes(), 0, end, &mut keys),
            "a key twice: {document}\n{filters}"
        );
        for own in ["@timestamp", "@version"] {
            assert!(doc.shift_remove(own).is_some(), "no {own}: {document}");
        }
        assert_eq!(
            Value::Object(doc),
            Value::Object(wanted.clone()),
            "\nwritten: {document}\n{filters}"
        );
    }
}

#[test]
fn what_is_written_equals_the_model() {
    let mut random = Random::new(seed());
    let mut rounds = Rounds::new(250);
    let (mut done, mut events) = (0_u64, 0);
    while rounds.another() {
        events += round(&mut random);
        done += 1;
    }
    println!("{events} events of {done} configs are what the model says");
    assert!(events as u64 > done, "too few events to prove anything");
}
