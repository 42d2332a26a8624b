//! Behaviour of the parser.
#![cfg(test)]

use super::{MAX_ERRORS, ParseOptions, Parsed, parse};
use crate::language::ast::{
    CompareOp, Cond, CondKind, Item, Number, Operand, OperandKind, Plugin, SectionKind, ValueKind,
};
use crate::language::diagnostic::{Severity, render};
use crate::language::source::SourceMap;

fn read(text: &str) -> (SourceMap, Parsed) {
    let source = SourceMap::single("test.conf", text).unwrap();
    let parsed = parse(&source, ParseOptions::default());
    (source, parsed)
}

fn good(text: &str) -> Parsed {
    let (source, parsed) = read(text);
    assert!(
        !parsed.has_errors(),
        "{text}\n{}",
        render(&parsed.diagnostics, &source, false)
    );
    parsed
}

/// Code and line of each error.
fn errors(text: &str) -> Vec<(&'static str, usize)> {
    let (source, parsed) = read(text);
    let errors = parsed
        .diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.is_error());
    errors
        .map(|diagnostic| (diagnostic.code, source.locate(diagnostic.span.start).line))
        .collect()
}

#[track_caller]
fn one_error(text: &str, code: &str) {
    let (source, parsed) = read(text);
    let errors: Vec<&str> = parsed
        .diagnostics
        .iter()
        .filter(|d| d.is_error())
        .map(|d| d.code)
        .collect();
    assert_eq!(
        errors,
        [code],
        "{text}\n{}",
        render(&parsed.diagnostics, &source, false)
    );
}

fn plugin_of(parsed: &Parsed) -> &Plugin {
    match &parsed.config.sections[0].items[0] {
        Item::Plugin(plugin) => plugin,
        Item::Branch(_) => panic!("a branch"),
    }
}

fn value(text: &str) -> ValueKind {
    plugin_of(&good(&format!("filter {{ x {{ a => {text} }} }}"))).attrs[0]
        .value
        .kind
        .clone()
}

fn condition(text: &str) -> Cond {
    let parsed = good(&format!("filter {{ if {text} {{ drop {{ }} }} }}"));
    match &parsed.config.sections[0].items[0] {
        Item::Branch(branch) => branch.arms[0].condition.clone(),
        Item::Plugin(_) => panic!("a plugin: {text}"),
    }
}

/// A condition with all its parentheses, operands by a short form.
fn shape(cond: &Cond) -> String {
    let two = |word: &str, a: &Cond, b: &Cond| format!("({} {word} {})", shape(a), shape(b));
    match &cond.kind {
        CondKind::And(a, b) => two("and", a, b),
        CondKind::Or(a, b) => two("or", a, b),
        CondKind::Xor(a, b) => two("xor", a, b),
        CondKind::Nand(a, b) => two("nand", a, b),
        CondKind::Not(inner) => format!("!{}", shape(inner)),
        CondKind::In {
            needle,
            haystack,
            negated,
        } => {
            format!(
                "{} {}in {}",
                operand(needle),
                if *negated { "not " } else { "" },
                operand(haystack)
            )
        }
        CondKind::Compare { left, op, right } => {
            format!("{} {} {}", operand(left), op.symbol(), operand(right))
        }
        CondKind::Match {
            left,
            pattern,
            negated,
            ..
        } => {
            format!(
                "{} {} /{pattern}/",
                operand(left),
                if *negated { "!~" } else { "=~" }
            )
        }
        CondKind::Truthy(lone) => operand(lone),
    }
}

fn operand(operand: &Operand) -> String {
    match &operand.kind {
        OperandKind::String(text) => format!("{text:?}"),
        OperandKind::Number(number) => number.text().to_owned(),
        OperandKind::Field(path) => path.to_string(),
        OperandKind::Array(elements) => {
            format!(
                "<{}>",
                elements
                    .iter()
                    .map(self::operand)
                    .collect::<Vec<_>>()
                    .join(",")
            )
        }
        OperandKind::Regex(text) => format!("/{text}/"),
    }
}

fn shaped(text: &str) -> String {
    shape(&condition(text))
}

// ---- what loads ----

#[test]
fn texts_without_sections() {
    for text in ["", " \n\t", "# only a comment", "#\r\n#"] {
        assert!(good(text).config.sections.is_empty());
    }
}

#[test]
fn sections_repeat_and_interleave() {
    let parsed = good("output{}filter { } # c\ninput {\n}\nfilter{a{}}");
    let kinds: Vec<SectionKind> = parsed
        .config
        .sections
        .iter()
        .map(|section| section.kind)
        .collect();
    assert_eq!(
        kinds,
        [
            SectionKind::Output,
            SectionKind::Filter,
            SectionKind::Input,
            SectionKind::Filter
        ]
    );
}

#[test]
fn a_whole_pipeline_with_places() {
    let text = "input { stdin { codec => json { x => 1 } } }\nfilter {\n  if [a] { grok { match => { \"m\" => \"%{X}\" } } }\n  \
                else if [b][c] { drop {} } else { mutate {} }\n}";
    let source = SourceMap::single("t", text).unwrap();
    let parsed = parse(&source, ParseOptions::default());
    assert_eq!(parsed.diagnostics, []);
    let stdin = plugin_of(&parsed);
    assert_eq!(
        source.slice(stdin.span),
        "stdin { codec => json { x => 1 } }"
    );
    assert_eq!(
        source.slice(stdin.attrs[0].span),
        "codec => json { x => 1 }"
    );
    let ValueKind::Plugin(codec) = &stdin.attrs[0].value.kind else {
        panic!()
    };
    assert_eq!(
        (codec.name.text.as_str(), source.slice(codec.span)),
        ("json", "json { x => 1 }")
    );
    let Item::Branch(branch) = &parsed.config.sections[1].items[0] else {
        panic!()
    };
    assert_eq!(branch.arms.len(), 2);
    assert_eq!(branch.otherwise.as_ref().map(Vec::len), Some(1));
    assert_eq!(source.slice(branch.arms[1].condition.span), "[b][c]");
    assert_eq!(
        source.slice(branch.arms[1].span),
        "else if [b][c] { drop {} }"
    );
    assert!(source.slice(branch.span).ends_with("{ mutate {} }"));
    assert!(
        source
            .slice(parsed.config.sections[1].span)
            .ends_with("\n}")
    );
}

#[test]
fn values() {
    assert_eq!(value("json"), ValueKind::Bareword("json".into()));
    assert_eq!(value("true"), ValueKind::Bareword("true".into()));
    assert_eq!(value("'it\"s'"), ValueKind::String("it\"s".into()));
    assert_eq!(
        value(r#""a\nb\"c""#),
        ValueKind::String(r#"a\nb\"c"#.into())
    );
    assert_eq!(
        value("\"two\nlines => {\""),
        ValueKind::String("two\nlines => {".into())
    );
    assert_eq!(
        value("-5"),
        ValueKind::Number(Number::Int {
            value: -5,
            text: "-5".into()
        })
    );
    assert_eq!(
        value("1.50"),
        ValueKind::Number(Number::Float {
            value: 1.5,
            text: "1.50".into()
        })
    );
    assert_eq!(
        value("0640"),
        ValueKind::Number(Number::Int {
            value: 416,
            text: "0640".into()
        })
    );
    let ValueKind::Array(elements) = value("[ a1, 'b', [], {} , json { } ]") else {
        panic!()
    };
    assert_eq!(elements.len(), 5);
    let ValueKind::Hash(entries) = value("{ \"a\"=>\"b\"\"c\"=>\"d\" 5 => [1] bare => 'x' }")
    else {
        panic!()
    };
    assert_eq!(entries.len(), 4);
    assert_eq!(
        entries[2].0.kind,
        ValueKind::Number(Number::Int {
            value: 5,
            text: "5".into()
        })
    );
    let ValueKind::Hash(entries) = value("{aa=>1bb=>2 # c\n 'cc'#d\n=>#e\n3}") else {
        panic!()
    };
    assert_eq!(entries.len(), 3);
    let ValueKind::Plugin(plugin) = value("\"multi line\" { }") else {
        panic!()
    };
    assert_eq!(plugin.name.text, "multi line");
}

#[test]
fn escapes_only_when_asked_for() {
    let source = SourceMap::single(
        "t",
        r#"filter { x { "a\n" => "b\n\"" c => { "d\t" => 1 } } if [e] == "\\e" { } }"#,
    )
    .unwrap();
    let parsed = parse(
        &source,
        ParseOptions {
            support_escapes: true,
            ..ParseOptions::default()
        },
    );
    assert!(!parsed.has_errors());
    let shown = format!("{:?}", parsed.config);
    assert!(
        shown.contains(r#"text: "a\\n""#),
        "names stay as they are: {shown}"
    );
    assert!(
        shown.contains(r#"String("b\n\"")"#) && shown.contains(r#"String("d\t")"#),
        "{shown}"
    );
    assert!(shown.contains(r#"String("\\e")"#), "{shown}");
}

#[test]
fn names() {
    let parsed = good(
        "filter { \"my plugin\" { k => 1 'o p' => 2 3 => 4 a-b_c => 5 } x{}y{}if{}{} }"
            .replace("if{}{}", "")
            .as_str(),
    );
    let plugin = plugin_of(&parsed);
    assert_eq!(plugin.name.text, "my plugin");
    let names: Vec<&str> = plugin
        .attrs
        .iter()
        .map(|attr| attr.name.text.as_str())
        .collect();
    assert_eq!(names, ["k", "o p", "3", "a-b_c"]);
}

#[test]
fn keywords_have_no_borders() {
    assert_eq!(shaped("[a]and[b]"), "([a] and [b])");
    assert_eq!(shaped("\"x\"in[tags]"), "\"x\" in [tags]");
    let parsed =
        good("filter { if[a]{ } else if[b]{ }else{ } iffy { } elsewhere { } inputs { } if5 { } }");
    assert_eq!(parsed.config.sections[0].items.len(), 5);
    assert!(matches!(
        &parsed.config.sections[0].items[4],
        Item::Branch(_)
    ));
}

#[test]
fn comments_may_stand_between_anything() {
    good(
        "input # {\n{ # }\n stdin # x\n { # \"\n codec # =>\n => # 1\n json # last\n } # }\n }\r\n# end",
    );
    good("filter { x { a => 1#no blank needed before the last one's comment\n } }");
    assert_eq!(
        shaped("[a] # c {\n and # d\n ( # e\n [b] # f\n )"),
        "([a] and [b])"
    );
}

#[test]
fn conditions() {
    for (text, expected) in [
        ("[a]", "[a]"),
        ("[a b][c]", "[a b][c]"),
        ("![a]", "![a]"),
        ("! ( [a] )", "![a]"),
        ("[a] == 'x'", "[a] == \"x\""),
        ("5<=[n]", "5 <= [n]"),
        ("[a] in [b]", "[a] in [b]"),
        ("[a] not  in [b]", "[a] not in [b]"),
        ("[a] not in[b]", "[a] not in [b]"),
        ("[a] in [80, 443]", "[a] in <80,443>"),
        ("[a] in [foo, bar]", "[a] in <\"foo\",\"bar\">"),
        ("[a] in []", "[a] in <>"),
        ("[a] =~ /x\\/y/", "[a] =~ /x\\/y/"),
        ("[a]!~'^x'", "[a] !~ /^x/"),
        ("\"const\" =~ /re/", "\"const\" =~ /re/"),
        ("/x/", "/x/"),
        ("foo([a])", "[a]"),
        ("foo ( 'x' ) == 1", "\"x\" == 1"),
        ("[a] in [\"x\"]", "[a] in [\"x\"]"),
        ("[a] in [ \"x\" ]", "[a] in [ \"x\" ]"),
        ("[a] == [80]", "[a] == [80]"),
        ("[a] in [\"x,y\"]", "[a] in <\"x,y\">"),
        ("[a] in [[1,2],3]", "[a] in <<1,2>,3>"),
        ("([a] or [b]) and [c]", "(([a] or [b]) and [c])"),
        ("[a] =~ /x/and [b]", "([a] =~ /x/ and [b])"),
        ("-1 < [a]", "-1 < [a]"),
    ] {
        assert_eq!(shaped(text), expected, "{text}");
    }
    let CondKind::In { haystack, .. } = condition("[a] in [\"x\"]").kind else {
        panic!()
    };
    let OperandKind::Field(path) = haystack.kind else {
        panic!()
    };
    assert_eq!(
        path.segments,
        ["\"x\""],
        "a one-element array is a field with quotes in its name"
    );
}

#[test]
fn boolean_operators_group_as_in_the_original() {
    for (text, expected) in [
        ("[a] and [b] or [c]", "(([a] and [b]) or [c])"),
        ("[a] or [b] and [c]", "([a] or ([b] and [c]))"),
        (
            "[a] or [b] and [c] or [d]",
            "([a] or (([b] and [c]) or [d]))",
        ),
        (
            "[a] and [b] and [c] or [d]",
            "([a] and (([b] and [c]) or [d]))",
        ),
        (
            "[a] and [b] and [c] and [d] or [e]",
            "([a] and ([b] and (([c] and [d]) or [e])))",
        ),
        (
            "[a] or [b] and [c] and [d] or [e]",
            "([a] or ([b] and (([c] and [d]) or [e])))",
        ),
        (
            "([a] and [b] and [c]) or [d]",
            "(([a] and ([b] and [c])) or [d])",
        ),
        ("[a] xor [b]", "([a] xor [b])"),
        ("([a] nand [b]) and [c]", "(([a] nand [b]) and [c])"),
    ] {
        assert_eq!(shaped(text), expected, "{text}");
    }
    let (_, parsed) = read("filter { if [a] and [b] and [c] or [d] { x { } } }");
    let [warning] = parsed.diagnostics.as_slice() else {
        panic!("{:?}", parsed.diagnostics)
    };
    assert_eq!(
        (warning.severity, warning.code),
        (Severity::Warning, "and-or-grouping")
    );
    assert!(
        warning.message.contains("`[a] and (([b] and [c]) or [d])`"),
        "{}",
        warning.message
    );
    assert!(
        warning
            .hint
            .as_deref()
            .unwrap_or_default()
            .contains("`([a] and [b] and [c]) or [d]`"),
        "{warning:?}"
    );
}

// ---- what is refused ----

#[test]
fn mistakes_in_conditions_are_one_error_each() {
    for (text, code) in [
        ("[a] and [b] xor [c]", "mixed-operators"),
        ("[a] xor [b] xor [c]", "mixed-operators"),
        ("[a] nand [b] or [c]", "mixed-operators"),
        ("[type] == apache", "bareword-in-condition"),
        ("type == \"apache\"", "bareword-in-condition"),
        ("[ok] == true", "bareword-in-condition"),
        ("not [a]", "bareword-in-condition"),
        ("@timestamp", "bareword-in-condition"),
        ("! \"x\" in [tags]", "bad-negation"),
        ("![a] == 1", "bad-negation"),
        ("[a] not\tin [b]", "not-in-blank"),
        ("[a] notin [b]", "not-in-blank"),
        ("[a] =~ /x/i", "regex-flags"),
        ("[a] =~ [b]", "expected-regex"),
        ("[a] && [b]", "bad-operator"),
        ("[a] || [b]", "bad-operator"),
        ("[a] AND [b]", "bad-operator"),
        ("[a] = 1", "bad-operator"),
        ("[a] === 1", "bad-operator"),
        ("[a] <> 1", "bad-operator"),
        ("[a] == [b] == [c]", "unexpected"),
        ("[a] [b]", "unexpected"),
        ("[a])", "unexpected"),
        ("[a][]", "unexpected"),
        ("([a] and [b]", "missing-parenthesis"),
        ("(([a])", "missing-parenthesis"),
        ("foo()", "method-call"),
        ("foo([a], [b])", "method-call"),
        ("not ([a] == 1)", "method-call"),
        ("%{a} == 1", "expected-operand"),
        ("[a] == ", "expected-operand"),
        ("[a] and", "expected-operand"),
        ("", "missing-condition"),
        ("[a] in [1, 2", "missing-bracket"),
        ("[a == 1", "missing-bracket"),
        ("[a] in [\"b\", \"c\",]", "trailing-comma"),
        ("[a] in [{ \"b\" => 1 }, 2]", "hash-in-condition"),
        ("[a] == 08", "bad-octal"),
        ("[a] == 1e3", "unexpected"),
        ("[a] contains \"x\"", "unexpected"),
    ] {
        one_error(
            &format!(
                "filter {{\n  if {text} {{\n    drop {{ }}\n  }}\n}}\noutput {{ stdout {{ }} }}"
            ),
            code,
        );
    }
    assert_eq!(
        errors("filter { if [f,g] == 1 { drop { } } }"),
        [("short-bareword", 1), ("short-bareword", 1)]
    );
}

#[test]
fn mistakes_in_values_are_one_error_each() {
    for (text, code) in [
        ("a => b", "short-bareword"),
        ("a => { k => 1 }", "short-bareword"),
        (
            "a => { \"b\" => 1, \"c\" => 2, \"d\" => 3 }",
            "comma-in-hash",
        ),
        ("a => [1, 2,]", "trailing-comma"),
        ("a => [1 2]", "missing-comma"),
        ("a => [\"b\" \"c\"]", "missing-comma"),
        ("a => [1,,2]", "missing-value"),
        ("a => [ \"b\" => \"c\" ]", "arrow-in-array"),
        ("a => 1e3", "exponent"),
        ("a => +1", "unquoted-value"),
        ("a => 08", "bad-octal"),
        ("a => .5", "unquoted-value"),
        ("a => 10.0.0.1:9200", "unquoted-value"),
        ("a => 5s", "unquoted-value"),
        ("a => 1_000", "unquoted-value"),
        ("a => /var/log/x.log", "unquoted-value"),
        ("a => C:/logs", "unquoted-value"),
        ("a => logs-%{+YYYY.MM.dd}", "unquoted-value"),
        ("a => ${PORT}", "unquoted-value"),
        ("a => %{field}", "unquoted-value"),
        ("a => “smart quotes”", "unquoted-value"),
        ("a => [http://x:9200, \"b\"]", "unquoted-value"),
        ("a => { \"b\" => foo-bar }", "unquoted-value"),
        ("a => { foo-bar => 1 }", "unquoted-key"),
        ("a => { [x][y] => 1 }", "unquoted-key"),
        ("a => { [x y] => 1 }", "unquoted-key"),
        ("a => { a.b => 1 }", "unquoted-key"),
        ("a => { \"b\" : \"c\" }", "missing-arrow"),
        ("a => { \"b\" \"c\" }", "missing-arrow"),
        ("a => { \"b\" => }", "missing-value"),
        ("a => { \"b\" => 1 \"b\" => 2 }", "duplicate-key"),
        ("a => { bb => 1 bb => 2 }", "duplicate-key"),
        ("a =>", "missing-value"),
        ("a => 1, b => 2, c => 3", "comma"),
        ("a => 1#comment\n    b => 2", "comment-after-value"),
        ("a => \"x\"b => 1", "missing-blank"),
        ("a => { }b => 1", "missing-blank"),
        ("a => 'it's'", "quote-in-string"),
        ("a => \"say \"hello\" now\"", "quote-in-string"),
        ("a => [\"say \"hi\"\"]", "quote-in-string"),
        ("a => { \"b\" => 'don't' }", "quote-in-string"),
        ("a \"x\"", "missing-arrow"),
        ("codec json", "missing-arrow"),
        ("codec json { c => 1 }", "missing-arrow"),
        ("add_field { \"a\" => \"b\" }", "missing-arrow"),
        ("a = \"x\"", "missing-arrow"),
        ("a: \"x\"", "missing-arrow"),
        ("message => hello big world", "unexpected"),
        ("codec => json codec => line", "duplicate-codec"),
        ("if [x] { a => 1 } else { a => 2 }", "conditional-in-plugin"),
        ("[x] => 1", "expected-option"),
    ] {
        let config = format!(
            "filter {{\n  plug {{\n    {text}\n    other => \"y\"\n  }}\n  next {{ }}\n}}\noutput {{ stdout {{ }} }}"
        );
        one_error(&config, code);
        let parsed = read(&config).1;
        assert_eq!(parsed.config.sections.len(), 2, "{text}");
        assert_eq!(parsed.config.sections[0].items.len(), 2, "{text}");
        let attrs = &plugin_of(&parsed).attrs;
        assert_eq!(
            attrs.last().map(|attr| attr.name.text.as_str()),
            Some("other"),
            "{text}: {attrs:?}"
        );
    }
}

#[test]
fn keys_differ_by_their_source() {
    good("filter { x { a => { bb => 1 \"bb\" => 2 'bb' => 3 } } }");
}

#[test]
fn mistakes_between_blocks() {
    for (text, code) in [
        ("filter { grok { } elsif [a] { } }", "else-without-if"),
        (
            "filter { if [a] { } elsif [b] { drop { } } else { } }",
            "elsif",
        ),
        (
            "filter { if [a] { } x { } else { drop { } } }",
            "else-without-if",
        ),
        (
            "filter { if [a] { } x { } else if [b] { drop { } } }",
            "else-without-if",
        ),
        ("filters { grok { } }", "unknown-section"),
        ("Filter { grok { } }", "unknown-section"),
        ("filter { } }", "extra-brace"),
        ("filter { grok { } } } }", "extra-brace"),
        ("filter { } trailing", "expected-section"),
        ("grok { match => 1 }", "outside-section"),
        (
            "filter {\n grok { }\n }\n mutate { }\n}\noutput { }",
            "outside-section",
        ),
        (
            "filter {\n grok { }\n }\n if [a] { drop { } }\n}\noutput { }",
            "outside-section",
        ),
        ("filter { grok { } } a => 1 }", "outside-section"),
        ("filter { mutate { } a => \"b\" }", "option-outside-plugin"),
        ("filter { json }", "expected-brace"),
        ("filter {\n json\n mutate { }\n}", "expected-brace"),
        ("filter { input { stdin { } } }", "nested-section"),
        ("filter { ; grok { } }", "expected-plugin"),
        ("input\n stdin { }\n}\noutput { }", "missing-brace"),
        ("filter {\u{a0}grok {\u{a0}} }", "odd-blank"),
        ("filter { if [a] drop { } }", "unexpected"),
        ("filter {\n if [a]\n drop { }\n }\n}", "expected-brace"),
        ("filter", "missing-brace"),
        ("{ \"input\": { \"stdin\": { } } }", "expected-section"),
    ] {
        one_error(text, code);
    }
}

#[test]
fn a_missing_brace_is_blamed_on_the_block_that_lacks_it() {
    for (text, line) in [
        (
            "filter {\n  grok {\n    match => 1\n  mutate {\n    a => 1\n  }\n}\noutput { }",
            2,
        ),
        (
            "filter {\n  if [a] {\n    mutate { }\n\n  grok { }\n}\noutput {\n  stdout { }\n}",
            2,
        ),
        (
            "filter {\n  grok {\n    match => { \"a\" => \"b\"\n    xx => 1\n  }\n  mutate { }\n}\noutput { }",
            3,
        ),
        ("filter {\n  grok { }\n\noutput {\n  stdout { }\n}", 1),
        ("filter {\n  grok {\n    match => 1\n", 2),
        (
            "filter {\n  grok {\n    a => 1\n  if [b] {\n    drop { }\n  }\n}",
            2,
        ),
        (
            "filter {\n  if [a] {\n    if [b] {\n      x { }\n    y { }\n  }\n}\n",
            3,
        ),
        (
            "filter {\n  if [a] {\n    grok {\n      b => 1\n  } else if [c] {\n    x { }\n  } else {\n    y { }\n  }\n}\noutput { }",
            3,
        ),
        (
            "input {\n  file {\n    path => 'x'\n\noutput {\n  stdout { }\n}",
            2,
        ),
    ] {
        assert_eq!(errors(text), [("missing-brace", line)], "{text}");
    }
    assert_eq!(
        errors("filter {\n  x {\n    a => [1, 2\n    b => 1\n  }\n}"),
        [("missing-bracket", 3)]
    );
    assert_eq!(
        errors("filter {\n  x {\n    a => { \"b\" => [1, 2 }\n  }\n}"),
        [("missing-bracket", 3)]
    );
}

#[test]
fn strings_that_lost_their_end() {
    for (text, line) in [
        (
            "filter {\n  x {\n    path => \"C:\\logs\\\"\n    other => \"/dev/null\"\n  }\n}\noutput { }",
            3,
        ),
        ("filter {\n  x {\n    a => [\"C:\\\", \"D:\\\"]\n  }\n}", 3),
        ("filter {\n  x {\n    a => \"\\\\\"\n  }\n}", 3),
        (
            "filter {\n  x {\n    a => \"foo\n    b => \"bar\"\n    c => \"baz\"\n  }\n  y { d => [\"e\"] }\n}\noutput { }",
            3,
        ),
        (
            "filter {\n  x {\n    a => { \"b\" => \"foo }\n    c => [\"d\", \"e\"]\n  }\n}",
            3,
        ),
        (
            "filter {\n  x {\n    a => [\"b\", \"c]\n    d => \"e\"\n  }\n}",
            3,
        ),
        ("filter {\n  if [a] == \"b {\n    x { }\n  }\n}", 2),
    ] {
        let found = errors(text);
        assert_eq!(
            found.first(),
            Some(&("unterminated-string", line)),
            "{text}\n{found:?}"
        );
        if !text.contains("D:") {
            assert_eq!(found.len(), 1, "{text}\n{found:?}");
        }
    }
}

#[test]
fn five_independent_errors_are_five() {
    let text = "input {\n  file {\n    path => /var/log/x\n  }\n}\nfilter {\n  grok {\n    match => { \"a\" => \"b\", \"c\" => \
                \"d\" }\n  }\n  if [type] == apache {\n    mutate { add_tag => [\"x\",] }\n  } elsif [b] {\n    drop { }\n  }\n  \
                date {\n    match [\"a\", \"b\"]\n  }\n}\noutput {\n  stdout { codec => j }\n}\n";
    assert_eq!(
        errors(text),
        [
            ("unquoted-value", 3),
            ("comma-in-hash", 8),
            ("bareword-in-condition", 10),
            ("trailing-comma", 11),
            ("elsif", 12),
            ("missing-arrow", 16),
            ("short-bareword", 20),
        ]
    );
}

#[test]
fn errors_of_all_files_are_found_where_they_are() {
    let mut source = SourceMap::new();
    source
        .add("1.conf", "input { stdin { codec => j } }")
        .unwrap();
    source.add("2.conf", "filter { x { a => 1e3 } }").unwrap();
    source.add("3.conf", "output {").unwrap();
    let parsed = parse(&source, ParseOptions::default());
    let places: Vec<_> = parsed
        .diagnostics
        .iter()
        .map(|d| (d.code, source.locate(d.span.start).file))
        .collect();
    assert_eq!(
        places,
        [
            ("short-bareword", "1.conf"),
            ("exponent", "2.conf"),
            ("missing-brace", "3.conf")
        ]
    );
}

#[test]
fn a_rendered_error() {
    let (source, parsed) =
        read("filter {\n\tgrok { match => { \"ä\" => \"b\", \"c\" => \"d\" } }\n}");
    let shown = render(&parsed.diagnostics, &source, false);
    assert_eq!(
        shown,
        "error[comma-in-hash]: the entries of a hash are not separated by commas\n --> test.conf:2:30\n  |\n2 |     grok { \
         match => { \"ä\" => \"b\", \"c\" => \"d\" } }\n  |                                 ^\n  = help: a blank or a new line \
         is enough; remove it\n\n"
    );
}

// ---- limits ----

#[test]
fn deep_nesting_is_an_error_not_a_crash() {
    let ok = |n: usize| {
        format!(
            "filter {{ x {{ a => {}1{} }} }}",
            "[".repeat(n),
            "]".repeat(n)
        )
    };
    good(&ok(200));
    assert_eq!(errors(&ok(300)), [("too-deep", 1)]);
    assert_eq!(errors(&ok(200_000)), [("too-deep", 1)]);
    let branches = |n: usize| {
        format!(
            "filter {{ {} {} }} output {{ }}",
            "if [a] {".repeat(n),
            "}".repeat(n)
        )
    };
    good(&branches(200));
    assert_eq!(errors(&branches(10_000)), [("too-deep", 1)]);
    let parentheses = format!(
        "filter {{ if {}[a]{} {{ }} }}",
        "(".repeat(10_000),
        ")".repeat(10_000)
    );
    assert_eq!(errors(&parentheses), [("too-deep", 1)]);
    for open in [
        "[",
        "{ \"a\" => ",
        "json { a => ",
        "(",
        "!(",
        "if [a] {",
        "foo(",
    ] {
        assert!(!errors(&format!("filter {{ x {{ a => {}", open.repeat(10_000))).is_empty());
        assert!(!errors(&format!("filter {{ if {}", open.repeat(10_000))).is_empty());
        assert!(!errors(&format!("filter {{ {}", open.repeat(10_000))).is_empty());
    }
    let chain = format!("filter {{ if {} {{ }} }}", vec!["[a]"; 400].join(" or "));
    good(&chain);
    let chain = format!(
        "filter {{ if {} {{ }} }}",
        vec!["[a]"; 100_000].join(" or ")
    );
    assert_eq!(errors(&chain), [("too-deep", 1)]);
}

#[test]
fn errors_are_limited() {
    let found = errors(&format!(
        "filter {{ x {{ {} }} }}",
        "a => b\n".repeat(10_000)
    ));
    assert_eq!(found.len(), MAX_ERRORS + 1);
    assert_eq!(found.last().map(|last| last.0), Some("too-many-errors"));
}

#[test]
fn operators_have_their_symbols() {
    for op in [
        CompareOp::Eq,
        CompareOp::Ne,
        CompareOp::Lt,
        CompareOp::Gt,
        CompareOp::Le,
        CompareOp::Ge,
    ] {
        let CondKind::Compare { op: parsed, .. } =
            condition(&format!("[a] {} 1", op.symbol())).kind
        else {
            panic!()
        };
        assert_eq!(parsed, op);
    }
}
