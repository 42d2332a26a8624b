//! Compiles the tree of a config: builds plugins, compiles conditions, and folds what is known per input.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::condition::{Compiler, Folded, Test};
use super::{Decoration, FilterNode, InputNode, OutputNode, Plan, Program, Step, TestNode};
use crate::event::{Keys, Path};
use crate::language::ast::{Attr, Branch, Item, Plugin, Section, SectionKind, Value, ValueKind};
use crate::language::substitute::substitute;
use crate::language::{Diagnostic, ParseOptions, SourceMap, parse};
use crate::plugin::common::{self, Name};
use crate::plugin::options::{Reader, plugin_ecs};
use crate::plugin::{
    Build, Catalogue, Common, Make, PluginKind, PluginMetrics, PluginSpec, Settings, Sprintf,
};

/// How to compile.
pub struct PlanOptions<'a> {
    /// All plugins.
    pub catalogue: Catalogue,
    /// Settings that plugins may ask for.
    pub settings: &'a Settings,
    /// Where `${NAME}` is looked up.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// How to read the text.
    pub parse: ParseOptions,
}

/// A plan, unless there are errors, and everything there is to say about the config.
pub struct Compiled {
    /// The plan; none when a diagnostic is an error.
    pub plan: Option<Plan>,
    /// Errors and warnings, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

/// Compiles all files of a pipeline as one text. All errors are reported, not the first.
#[must_use]
pub fn compile(source: &SourceMap, options: &PlanOptions<'_>) -> Compiled {
    let mut parsed = parse(source, options.parse);
    let mut diagnostics = parsed.diagnostics;
    diagnostics.extend(substitute(&mut parsed.config, &|name, _| {
        (options.environment)(name)
    }));
    let mut keys = Keys::new();
    let mut planner = Planner::new(source);
    {
        let mut build = Build {
            keys: &mut keys,
            diagnostics: &mut diagnostics,
            settings: options.settings,
            catalogue: options.catalogue,
            ecs: options.settings.ecs,
            id: String::new(),
        };
        for section in &parsed.config.sections {
            planner.section(section, &mut build);
        }
    }
    diagnostics.sort_by_key(|diagnostic| (diagnostic.span.start, diagnostic.span.end));
    diagnostics.dedup();
    let failed = diagnostics.iter().any(Diagnostic::is_error);
    let plan = (!failed).then(|| planner.finish(keys));
    Compiled { plan, diagnostics }
}

/// Fields that hold one text for all events of an input.
type Constants = Vec<(Path, Box<[u8]>)>;

struct Planner<'s> {
    source: &'s SourceMap,
    inputs: Vec<(InputNode, Constants)>,
    filters: Vec<FilterNode>,
    outputs: Vec<OutputNode>,
    tests: Vec<TestNode>,
    conditions: Compiler,
    filter_steps: Vec<Step>,
    output_steps: Vec<Step>,
    /// Texts of filter options, in which a write to a `[@metadata]` field would be named.
    filter_texts: Vec<String>,
    counts: std::collections::BTreeMap<(PluginKind, String), usize>,
    ids: std::collections::BTreeSet<String>,
}

impl<'s> Planner<'s> {
    fn new(source: &'s SourceMap) -> Self {
        Planner {
            source,
            inputs: Vec::new(),
            filters: Vec::new(),
            outputs: Vec::new(),
            tests: Vec::new(),
            conditions: Compiler::default(),
            filter_steps: Vec::new(),
            output_steps: Vec::new(),
            filter_texts: Vec::new(),
            counts: std::collections::BTreeMap::new(),
            ids: std::collections::BTreeSet::new(),
        }
    }

    fn section(&mut self, section: &Section, build: &mut Build<'_>) {
        match section.kind {
            SectionKind::Input => self.inputs(&section.items, build),
            SectionKind::Filter => {
                let steps = self.steps(&section.items, PluginKind::Filter, build);
                self.filter_steps.extend(steps);
            }
            SectionKind::Output => {
                let steps = self.steps(&section.items, PluginKind::Output, build);
                self.output_steps.extend(steps);
            }
        }
    }

    /// A condition around inputs is decided here: there is no event that it could ask.
    fn inputs(&mut self, items: &[Item], build: &mut Build<'_>) {
        for item in items {
            match item {
                Item::Plugin(plugin) => self.input(plugin, build),
                Item::Branch(branch) => {
                    let mut open = true;
                    for arm in &branch.arms {
                        match self.conditions.compile(&arm.condition, build) {
                            Some(Test::Known(true)) if open => {
                                self.inputs(&arm.items, build);
                                open = false;
                            }
                            Some(Test::Known(_)) | None => {}
                            Some(_) => build.error_with_hint(
                                "input-condition",
                                "a condition around inputs can only compare constants: no event exists there",
                                arm.condition.span,
                                "compare an environment variable, such as `if \"${TCP_PORT:}\" != \"\"`",
                            ),
                        }
                    }
                    if let Some(otherwise) = &branch.otherwise
                        && open
                    {
                        self.inputs(otherwise, build);
                    }
                }
            }
        }
    }

    fn steps(&mut self, items: &[Item], kind: PluginKind, build: &mut Build<'_>) -> Vec<Step> {
        let mut steps = Vec::with_capacity(items.len());
        for item in items {
            match item {
                Item::Plugin(plugin) => {
                    let built = if kind == PluginKind::Filter {
                        self.filter(plugin, build)
                    } else {
                        self.output(plugin, build)
                    };
                    steps.extend(built.map(Step::Plugin));
                }
                Item::Branch(branch) => steps.push(self.branch(branch, kind, build)),
            }
        }
        steps
    }

    fn branch(&mut self, branch: &Branch, kind: PluginKind, build: &mut Build<'_>) -> Step {
        let mut arms = Vec::with_capacity(branch.arms.len());
        for arm in &branch.arms {
            let test = self.conditions.compile(&arm.condition, build);
            let steps = self.steps(&arm.items, kind, build);
            if let Some(test) = test {
                self.tests.push(TestNode {
                    test,
                    text: self.source.slice(arm.condition.span).to_owned(),
                });
                arms.push((self.tests.len() - 1, steps));
            }
        }
        let otherwise = branch
            .otherwise
            .as_ref()
            .map(|items| self.steps(items, kind, build))
            .unwrap_or_default();
        Step::Branch { arms, otherwise }
    }

    /// Finds the plugin, checks what is common to its kind, and gives it an id.
    fn begin(
        &mut self,
        kind: PluginKind,
        plugin: &Plugin,
        build: &mut Build<'_>,
    ) -> Option<(&'static PluginSpec, Arc<PluginMetrics>)> {
        let Some(spec) = build.catalogue.find(kind, &plugin.name.text) else {
            build.unknown_plugin(kind, plugin);
            return None;
        };
        check_common(kind, spec, plugin, build);
        let mut reader = Reader::unchecked(plugin, build);
        let id: Option<Option<String>> = reader.take("id", None);
        let enabled: Option<Option<bool>> = reader.take("enable_metric", None);
        let span = reader.span("id");
        let count = self.counts.entry((kind, spec.name.to_owned())).or_default();
        *count += 1;
        let own = format!("{}_{count}", spec.name);
        let id = id.flatten().unwrap_or(own);
        if !self.ids.insert(id.clone()) {
            build.error(
                "duplicate-id",
                format!("two plugins have the id `{id}`"),
                span,
            );
        }
        build.ecs = plugin_ecs(plugin, build);
        build.id = id;
        let metrics = Arc::new(PluginMetrics::default());
        metrics
            .hidden
            .store(enabled.flatten() == Some(false), Relaxed);
        Some((spec, metrics))
    }

    fn input(&mut self, plugin: &Plugin, build: &mut Build<'_>) {
        let Some((spec, metrics)) = self.begin(PluginKind::Input, plugin, build) else {
            return;
        };
        let Make::Input(make) = spec.make else { return };
        let input = make(plugin, build);
        let decoration = decoration(plugin, build);
        let (Some(input), Some(decoration)) = (input, decoration) else {
            return;
        };
        let known = constants(&decoration, build.keys);
        let id = build.id.clone();
        self.inputs.push((
            InputNode {
                id,
                name: spec.name,
                input,
                decoration,
                program: Program::default(),
                metrics,
            },
            known,
        ));
    }

    fn filter(&mut self, plugin: &Plugin, build: &mut Build<'_>) -> Option<usize> {
        collect_texts(&plugin.attrs, &mut self.filter_texts);
        // In a dissect mapping a placeholder is written, not read.
        let mappings: Vec<Attr> = plugin
            .attrs
            .iter()
            .filter(|attr| attr.name.text == "mapping")
            .cloned()
            .collect();
        let mut written = Vec::new();
        collect_texts(&mappings, &mut written);
        self.filter_texts
            .extend(written.iter().map(|text| text.replace("%{", " ")));
        let (spec, metrics) = self.begin(PluginKind::Filter, plugin, build)?;
        let Make::Filter(make) = spec.make else {
            return None;
        };
        let filter = make(plugin, build);
        let common = common::read(plugin, build);
        let (filter, mut common) = (filter?, common?);
        common.failure_tag = filter.failure_tag();
        self.filters.push(FilterNode {
            id: build.id.clone(),
            name: spec.name,
            filter,
            common,
            metrics,
        });
        Some(self.filters.len() - 1)
    }

    fn output(&mut self, plugin: &Plugin, build: &mut Build<'_>) -> Option<usize> {
        let (spec, metrics) = self.begin(PluginKind::Output, plugin, build)?;
        let Make::Output(make) = spec.make else {
            return None;
        };
        let output = make(plugin, build)?;
        self.outputs.push(OutputNode {
            id: build.id.clone(),
            name: spec.name,
            output,
            metrics,
        });
        Some(self.outputs.len() - 1)
    }

    fn finish(self, keys: Keys) -> Plan {
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for (mut node, mut known) in self.inputs {
            known.retain(|(path, _)| !written(path, &keys, &self.filter_texts));
            node.program = Program {
                filters: fold(&self.filter_steps, &self.tests, &known),
                outputs: fold(&self.output_steps, &self.tests, &known),
            };
            inputs.push(node);
        }
        Plan {
            keys: Arc::new(keys),
            inputs,
            filters: self.filters,
            outputs: self.outputs,
            tests: self.tests,
            regexes: self.conditions.regexes,
        }
    }
}

/// Options that belong to one kind of plugin are refused on the others, with the original's reason.
fn check_common(kind: PluginKind, spec: &PluginSpec, plugin: &Plugin, build: &mut Build<'_>) {
    let (taken, refused): (&[&str], &str) = match kind {
        PluginKind::Input => (
            &[
                "id",
                "enable_metric",
                "ecs_compatibility",
                "add_field",
                "tags",
                "type",
            ],
            "inputs",
        ),
        PluginKind::Filter => (
            &[
                "id",
                "enable_metric",
                "ecs_compatibility",
                "add_field",
                "remove_field",
                "add_tag",
                "remove_tag",
                "periodic_flush",
            ],
            "filters",
        ),
        PluginKind::Output => (
            &[
                "id",
                "enable_metric",
                "ecs_compatibility",
                "codec",
                "workers",
            ],
            "outputs",
        ),
        PluginKind::Codec => (&["id", "enable_metric", "ecs_compatibility"], "codecs"),
    };
    const ALL: [&str; 12] = [
        "codec",
        "workers",
        "id",
        "enable_metric",
        "ecs_compatibility",
        "add_field",
        "remove_field",
        "add_tag",
        "remove_tag",
        "periodic_flush",
        "tags",
        "type",
    ];
    for attr in &plugin.attrs {
        let name = attr.name.text.as_str();
        let own = (spec.options)().iter().any(|option| option.name == name);
        if kind == PluginKind::Output && matches!(name, "codec" | "workers") && !own {
            let message = format!("`{name}` of `{}` has no effect", plugin.name.text);
            build.warn("option-no-effect", message, attr.name.span);
        }
        if ALL.contains(&name) && !taken.contains(&name) && !own {
            build.error_with_hint(
                "unknown-option",
                format!(
                    "unknown option `{name}` of `{}`: {refused} do not have it",
                    plugin.name.text
                ),
                attr.name.span,
                "put an `if` around the plugin, or a `mutate` before it",
            );
        }
    }
}

fn decoration(plugin: &Plugin, build: &mut Build<'_>) -> Option<Decoration> {
    let common = common::read(plugin, build)?;
    let mut reader = Reader::unchecked(plugin, build);
    let kind: Option<Option<Sprintf>> = reader.take("type", None);
    let tags: Option<Vec<Sprintf>> = reader.take("tags", None);
    let kind = kind?;
    let kind_path = kind.is_some().then(|| build.path("type"));
    Some(Decoration {
        kind,
        kind_path,
        common: Common {
            add_tag: tags?,
            ..common
        },
    })
}

/// `[@metadata]` fields that an input sets to one constant.
fn constants(decoration: &Decoration, keys: &Keys) -> Constants {
    let mut known = Constants::new();
    for (name, values) in &decoration.common.add_field {
        let (Name::Fixed(path), [value]) = (name, values.as_slice()) else {
            continue;
        };
        if let (Some(literal), true, Some(_)) =
            (value.as_literal(), path.is_metadata(keys), path.as_slot())
        {
            known.push((path.clone(), literal.as_bytes().into()));
        }
    }
    known
}

/// True when some filter option names the field outside of a `%{…}`, so that it may be written.
fn written(path: &Path, keys: &Keys, texts: &[String]) -> bool {
    let Some(slot) = path.as_slot() else {
        return true;
    };
    let name = format!("[@metadata][{}", String::from_utf8_lossy(keys.name(slot)));
    texts.iter().any(|text| {
        if text.contains("[@metadata][%{") || text.contains("[[@metadata") {
            return true;
        }
        let mut rest = text.as_str();
        while let Some(at) = rest.find(&name) {
            if !rest[..at].ends_with("%{") {
                return true;
            }
            rest = &rest[at + name.len()..];
        }
        text == "@metadata" || text == "[@metadata]"
    })
}

fn collect_texts(attrs: &[Attr], out: &mut Vec<String>) {
    fn value(value_: &Value, out: &mut Vec<String>) {
        match &value_.kind {
            ValueKind::Bareword(text) | ValueKind::String(text) => out.push(text.clone()),
            ValueKind::Array(values) => values.iter().for_each(|inner| value(inner, out)),
            ValueKind::Hash(pairs) => pairs.iter().for_each(|(key, inner)| {
                value(key, out);
                value(inner, out);
            }),
            ValueKind::Plugin(plugin) => collect_texts(&plugin.attrs, out),
            ValueKind::Number(_) => {}
        }
    }
    for attr in attrs {
        value(&attr.value, out);
    }
}

/// Removes the branches that the events of an input cannot enter.
fn fold(steps: &[Step], tests: &[TestNode], known: &[(Path, Box<[u8]>)]) -> Vec<Step> {
    let mut out = Vec::with_capacity(steps.len());
    for step in steps {
        let Step::Branch { arms, otherwise } = step else {
            out.push(step.clone());
            continue;
        };
        let mut open = Vec::new();
        let mut last = None;
        for (test, steps) in arms {
            match tests[*test].test.fold(known) {
                Folded::Known(false) => {}
                Folded::Known(true) => {
                    last = Some(fold(steps, tests, known));
                    break;
                }
                Folded::Open(_) => open.push((*test, fold(steps, tests, known))),
            }
        }
        let otherwise = last.unwrap_or_else(|| fold(otherwise, tests, known));
        if open.is_empty() {
            out.extend(otherwise);
        } else {
            out.push(Step::Branch {
                arms: open,
                otherwise,
            });
        }
    }
    out
}
