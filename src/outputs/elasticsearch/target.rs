//! Where a document goes: action, index, id, routing; and the lines of a bulk body.

use super::config::{Config, DataStream};
use crate::elasticsearch::{Action, ActionMeta, ActionPrefix, write_action};
use crate::event::{Batch, EventId, Path};
use crate::language::ast::Plugin;
use crate::plugin::{Build, Sprintf};

/// Options that leave the data stream on when it is not asked for explicitly.
const COMPATIBLE: [&str; 40] = [
    "hosts",
    "user",
    "password",
    "api_key",
    "cloud_id",
    "cloud_auth",
    "custom_headers",
    "parameters",
    "path",
    "bulk_path",
    "healthcheck_path",
    "ssl_enabled",
    "ssl_verification_mode",
    "ssl_certificate_authorities",
    "ssl_certificate",
    "ssl_key",
    "ssl_supported_protocols",
    "ca_trusted_fingerprint",
    "timeout",
    "pool_max",
    "pool_max_per_route",
    "resurrect_delay",
    "compression_level",
    "http_compression",
    "retry_initial_interval",
    "retry_max_interval",
    "data_stream",
    "data_stream_type",
    "data_stream_dataset",
    "data_stream_namespace",
    "data_stream_auto_routing",
    "data_stream_sync_fields",
    "routing",
    "pipeline",
    "id",
    "enable_metric",
    "ecs_compatibility",
    "ssl",
    "cacert",
    "validate_after_inactivity",
];

/// Decides action, index and the rest for each event.
pub(super) struct Target {
    kind: Kind,
    action: ActionChoice,
    id: Option<Sprintf>,
    routing: Option<Sprintf>,
    pipeline: Option<Sprintf>,
    version: Option<Sprintf>,
    version_type: Option<String>,
    doc_as_upsert: bool,
    retry_on_conflict: u32,
    unresolved_aside: bool,
    /// Only index (by day) and id change from event to event.
    simple: bool,
}

enum ActionChoice {
    Fixed(Action),
    Dynamic(Sprintf),
}

enum Kind {
    Index(Sprintf),
    DataStream(Stream),
}

struct Stream {
    kind: String,
    dataset: String,
    namespace: String,
    paths: [Path; 3],
    auto_routing: bool,
    sync: bool,
}

/// Texts of one worker, kept from event to event.
#[derive(Default)]
pub(super) struct TargetScratch {
    index: Vec<u8>,
    id: Vec<u8>,
    routing: Vec<u8>,
    pipeline: Vec<u8>,
    version: Vec<u8>,
    action: Vec<u8>,
    cached: Vec<CachedLine>,
}

/// The action line of one day and, where the index name holds a field, one text of it.
struct CachedLine {
    day: i64,
    field: Box<[u8]>,
    line: ActionPrefix,
}

/// Action lines that are kept; index names beyond are written anew each time the oldest is replaced.
const CACHED_LINES: usize = 16;

impl Target {
    pub fn new(config: &Config, plugin: &Plugin, build: &mut Build<'_>) -> Option<Target> {
        let stream = wants_stream(config, plugin, build)?;
        let literal = |template: &Option<Sprintf>| {
            template
                .as_ref()
                .map(|template| template.as_literal().map(str::to_owned))
        };
        let action = match literal(&config.action) {
            None => ActionChoice::Fixed(if stream {
                Action::Create
            } else {
                Action::Index
            }),
            Some(Some(name)) => match Action::from_name(name.as_bytes()) {
                Some(action) => ActionChoice::Fixed(action),
                None => {
                    let span = plugin
                        .attrs
                        .iter()
                        .find(|attr| attr.name.text == "action")
                        .map_or(plugin.name.span, |attr| attr.value.span);
                    let message = format!(
                        "`action` must be `index`, `create`, `update` or `delete`, not `{name}`"
                    );
                    build.error("option-value", message, span);
                    return None;
                }
            },
            Some(None) => {
                ActionChoice::Dynamic(recompiled(config.action.as_ref()?, plugin, build)?)
            }
        };
        let kind = if stream {
            Kind::DataStream(Stream {
                kind: config
                    .data_stream_type
                    .clone()
                    .unwrap_or_else(|| "logs".to_owned()),
                dataset: config
                    .data_stream_dataset
                    .clone()
                    .unwrap_or_else(|| "generic".to_owned()),
                namespace: config
                    .data_stream_namespace
                    .clone()
                    .unwrap_or_else(|| "default".to_owned()),
                paths: [
                    "[data_stream][type]",
                    "[data_stream][dataset]",
                    "[data_stream][namespace]",
                ]
                .map(|name| build.path(name)),
                auto_routing: config.data_stream_auto_routing,
                sync: config.data_stream_sync_fields,
            })
        } else {
            let default = if build.ecs.enabled() {
                "ecs-logstash-%{+yyyy.MM.dd}"
            } else {
                "logstash-%{+yyyy.MM.dd}"
            };
            let text = config
                .index
                .as_ref()
                .map_or(default, Sprintf::source)
                .to_owned();
            Kind::Index(Sprintf::compile(&text, build, plugin.name.span)?)
        };
        let mut again = |template: &Option<Sprintf>| match template {
            Some(template) => recompiled(template, plugin, build).map(Some),
            None => Some(None),
        };
        let (id, routing, pipeline, version) = (
            again(&config.document_id)?,
            again(&config.routing)?,
            again(&config.pipeline)?,
            again(&config.version)?,
        );
        let daily = matches!(&kind, Kind::Index(index) if index.is_daily() || index.daily_field().is_some());
        let simple = daily
            && matches!(action, ActionChoice::Fixed(Action::Index | Action::Create))
            && routing.is_none()
            && pipeline
                .as_ref()
                .is_none_or(|pipeline| pipeline.source().is_empty())
            && version.is_none()
            && config.version_type.is_none();
        Some(Target {
            kind,
            action,
            id,
            routing,
            pipeline,
            version,
            version_type: config.version_type.clone(),
            doc_as_upsert: config.doc_as_upsert,
            retry_on_conflict: config.retry_on_conflict,
            unresolved_aside: config.dlq_on_failed_indexname_interpolation,
            simple,
        })
    }

    /// Appends action line and document of one event.
    ///
    /// # Errors
    /// Why the event can never be sent; nothing is appended then.
    pub fn write(
        &self,
        batch: &mut Batch,
        event: EventId,
        out: &mut Vec<u8>,
        scratch: &mut TargetScratch,
    ) -> Result<(), String> {
        if self.simple
            && let (Kind::Index(index), ActionChoice::Fixed(action)) = (&self.kind, &self.action)
        {
            return self.write_simple(index, *action, batch, event, out, scratch);
        }
        self.write_general(batch, event, out, scratch)
    }

    fn write_simple(
        &self,
        index: &Sprintf,
        action: Action,
        batch: &mut Batch,
        event: EventId,
        out: &mut Vec<u8>,
        scratch: &mut TargetScratch,
    ) -> Result<(), String> {
        let day = batch
            .timestamp(event)
            .map_or(i64::MIN, crate::time::Timestamp::day_number);
        let value = match index.daily_field() {
            None => crate::event::Value::NULL,
            Some(path) => {
                let value = batch.get(event, path);
                if !value.is_str() {
                    return self.write_general(batch, event, out, scratch);
                }
                value
            }
        };
        let field: &[u8] = if value.is_str() {
            batch.bytes(value)
        } else {
            b""
        };
        let found = scratch
            .cached
            .iter()
            .position(|line| line.day == day && *line.field == *field);
        let at = if let Some(at) = found {
            at
        } else {
            let field = field.into();
            scratch.index.clear();
            index.render(batch, event, &mut scratch.index);
            let meta = ActionMeta {
                index: &scratch.index,
                ..ActionMeta::default()
            };
            let line = ActionPrefix::new(action, &meta);
            if scratch.cached.len() >= CACHED_LINES {
                scratch.cached.remove(0);
            }
            scratch.cached.push(CachedLine { day, field, line });
            scratch.cached.len() - 1
        };
        let id = self.id.as_ref().map(|template| {
            scratch.id.clear();
            template.render(batch, event, &mut scratch.id);
            scratch.id.as_slice()
        });
        if let Some(cached) = scratch.cached.get(at) {
            cached.line.write(out, id);
        }
        batch.write_event(event, out);
        out.push(b'\n');
        Ok(())
    }

    fn write_general(
        &self,
        batch: &mut Batch,
        event: EventId,
        out: &mut Vec<u8>,
        scratch: &mut TargetScratch,
    ) -> Result<(), String> {
        let action = match &self.action {
            ActionChoice::Fixed(action) => *action,
            ActionChoice::Dynamic(template) => {
                scratch.action.clear();
                template.render(batch, event, &mut scratch.action);
                Action::from_name(&scratch.action).ok_or_else(|| {
                    format!(
                        "its action is `{}`, which is no bulk action",
                        String::from_utf8_lossy(&scratch.action)
                    )
                })?
            }
        };
        scratch.index.clear();
        match &self.kind {
            Kind::Index(index) => {
                let resolved = index.render(batch, event, &mut scratch.index);
                if !resolved && self.unresolved_aside {
                    return Err(format!(
                        "its index name stays unresolved: `{}`",
                        String::from_utf8_lossy(&scratch.index)
                    ));
                }
            }
            Kind::DataStream(stream) => stream.render(batch, event, &mut scratch.index),
        }
        fn text<'b>(
            template: Option<&Sprintf>,
            batch: &mut Batch,
            event: EventId,
            buf: &'b mut Vec<u8>,
        ) -> Option<&'b [u8]> {
            buf.clear();
            template?.render(batch, event, buf);
            Some(buf)
        }
        let id = text(self.id.as_ref(), batch, event, &mut scratch.id);
        let routing = text(self.routing.as_ref(), batch, event, &mut scratch.routing);
        let pipeline = text(self.pipeline.as_ref(), batch, event, &mut scratch.pipeline);
        let version = text(self.version.as_ref(), batch, event, &mut scratch.version);
        let meta = ActionMeta {
            index: &scratch.index,
            id,
            routing,
            pipeline,
            version,
            version_type: self.version_type.as_ref().map(String::as_bytes),
            retry_on_conflict: (action == Action::Update).then_some(self.retry_on_conflict),
        };
        write_action(out, action, &meta);
        match action {
            Action::Delete => {}
            Action::Update => {
                out.extend_from_slice(b"{\"doc\":");
                batch.write_event(event, out);
                if self.doc_as_upsert {
                    out.extend_from_slice(b",\"doc_as_upsert\":true");
                }
                out.extend_from_slice(b"}\n");
            }
            Action::Index | Action::Create => {
                batch.write_event(event, out);
                out.push(b'\n');
            }
        }
        Ok(())
    }
}

/// Templates are read once with the options; the target keeps its own.
fn recompiled(template: &Sprintf, plugin: &Plugin, build: &mut Build<'_>) -> Option<Sprintf> {
    Sprintf::compile(template.source(), build, plugin.name.span)
}

fn wants_stream(config: &Config, plugin: &Plugin, build: &mut Build<'_>) -> Option<bool> {
    let creates = config
        .action
        .as_ref()
        .is_none_or(|action| action.source() == "create");
    let offending = plugin.attrs.iter().find(|attr| {
        let name = attr.name.text.as_str();
        !(COMPATIBLE.contains(&name)
            || (name == "action" && creates)
            || (name == "manage_template" && !config.manage_template))
    });
    let named = plugin
        .attrs
        .iter()
        .find(|attr| attr.name.text.starts_with("data_stream_"));
    match (config.data_stream, offending) {
        (Some(DataStream::True), Some(attr)) => {
            let message = format!(
                "`{}` cannot be used with `data_stream => true`",
                attr.name.text
            );
            build.error("data-stream", message, attr.name.span);
            None
        }
        (Some(DataStream::True), None) => Some(true),
        (Some(DataStream::False), _) => {
            if let Some(attr) = named {
                let message = format!(
                    "`{}` has no place where `data_stream => false`",
                    attr.name.text
                );
                build.error("data-stream", message, attr.name.span);
                return None;
            }
            Some(false)
        }
        (_, offending) => {
            let on = build.ecs.enabled() && offending.is_none();
            if let (false, Some(attr)) = (on, named) {
                let message = format!(
                    "`{}` is given, but the data stream is off: another option rules it out",
                    attr.name.text
                );
                build.error_with_hint(
                    "data-stream",
                    message,
                    attr.name.span,
                    "set `data_stream => true` to see which",
                );
                return None;
            }
            Some(on)
        }
    }
}

impl Stream {
    fn render(&self, batch: &mut Batch, event: EventId, out: &mut Vec<u8>) {
        let defaults = [&self.kind, &self.dataset, &self.namespace];
        for (at, (path, default)) in self.paths.iter().zip(defaults).enumerate() {
            if at > 0 {
                out.push(b'-');
            }
            let given = batch.get(event, path);
            let takes = self.auto_routing && given.is_str() && legal(batch.bytes(given));
            if takes {
                out.extend_from_slice(batch.bytes(given));
                continue;
            }
            out.extend_from_slice(default.as_bytes());
            if self.sync {
                let value = batch.push(default.as_bytes());
                // A scalar `data_stream` of the document stays.
                let _ = batch.set(event, path, value);
            }
        }
    }
}

/// What may be a part of a data stream's name.
fn legal(part: &[u8]) -> bool {
    !part.is_empty()
        && part.len() <= 100
        && !part
            .iter()
            .any(|byte| b"\\/*?\"<>| ,#:-".contains(byte) || byte.is_ascii_uppercase())
}
