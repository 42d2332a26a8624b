//! Options of the elasticsearch output, and the connection made from them.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;

use crate::elasticsearch::{
    Auth, Client, ClientConfig, Template, TemplateApi, TlsOptions, VerificationMode,
};
use crate::language::ast::Plugin;
use crate::plugin::options::{Pairs, Password};
use crate::plugin::{Build, Sprintf};
use crate::{choice, options};

choice! {
    /// `data_stream`
    pub enum DataStream {
        /// Always.
        True = "true",
        /// Never.
        False = "false",
        /// When the other options allow it.
        Auto = "auto",
    }
}

choice! {
    /// `ssl_verification_mode`
    pub enum Verification {
        /// Chain, dates and name are checked.
        Full = "full",
        /// Nothing is checked.
        None = "none",
    }
}

choice! {
    /// `template_api`
    pub enum Api {
        /// By the server's version.
        Auto = "auto",
        /// `_template`
        Legacy = "legacy",
        /// `_index_template`
        Composable = "composable",
    }
}

choice! {
    /// `ilm_enabled`
    pub enum Ilm {
        /// Not there yet.
        True = "true",
        /// Off.
        False = "false",
        /// Off as well, for the time being.
        Auto = "auto",
    }
}

options! {
    /// Options of the `elasticsearch` output.
    pub struct Config {
        /// Hosts: `host`, `host:port` or URLs (with credentials and a path, if need be). Several share the load; one that fails is left alone for `resurrect_delay`. The port is 9200 where none is given.
        hosts: Vec<String> = ["127.0.0.1:9200"];
        /// Index, alias or data stream; `%{…}` is taken from the event. A name that stays unresolved sets the event aside. Left out: the data stream, or `ecs-logstash-%{+yyyy.MM.dd}` (`logstash-…` without ECS).
        index: Option<Sprintf>;
        /// `index`, `create`, `update` or `delete`; `%{…}` is taken from the event. Default: `index`, for data streams `create`.
        action: Option<Sprintf>;
        /// Id of the document. Without one Elasticsearch makes it up, and a repeated delivery makes a second document.
        document_id: Option<Sprintf>;
        /// Routing value.
        routing: Option<Sprintf>;
        /// Ingest pipeline to run on the document; empty text: none.
        pipeline: Option<Sprintf>;
        /// Version of the document.
        version: Option<Sprintf>;
        /// `internal`, `external` or `external_gte`.
        version_type: Option<String>;
        /// For `update`: the event is also the document to create when there is none.
        doc_as_upsert: bool = false;
        /// For `update`: how often Elasticsearch tries again on a version conflict.
        retry_on_conflict: u32 = 1;
        /// Write to a data stream: `true`, `false`, or `auto` (only when no option rules it out: `index`, `document_id`, `template` and the like do).
        data_stream: Option<DataStream>;
        /// First part of the data stream's name.
        data_stream_type: Option<String>;
        /// Second part of the data stream's name; default `generic`.
        data_stream_dataset: Option<String>;
        /// Last part of the data stream's name; default `default`.
        data_stream_namespace: Option<String>;
        /// Take the parts of the name from `[data_stream][type|dataset|namespace]` of the event where they are given.
        data_stream_auto_routing: bool = true;
        /// Write the parts of the name back into the event's `[data_stream]` fields.
        data_stream_sync_fields: bool = true;
        /// User name, with `password`.
        user: Option<String>;
        /// Password of `user`.
        password: Option<Password>;
        /// API key: `id:key`, or its base64 form. Empty text counts as absent.
        api_key: Option<Password>;
        /// Cloud id (`name:base64`); replaces `hosts`.
        cloud_id: Option<String>;
        /// `user:password` for `cloud_id`.
        cloud_auth: Option<Password>;
        /// Headers sent with every request.
        custom_headers: Pairs<String>;
        /// Query parameters added to every request.
        parameters: Pairs<String>;
        /// Prefix of all request paths.
        path: Option<String>;
        /// Path of bulk requests.
        bulk_path: Option<String>;
        /// Path asked before a dead host is used again.
        healthcheck_path: Option<String>;
        /// Use TLS for hosts that name no scheme.
        ssl_enabled: Option<bool>;
        /// How far the server's certificate is checked.
        ssl_verification_mode: Verification = "full";
        /// Old form of `ssl_verification_mode`: `false` is `none`.
        ssl_certificate_verification: Option<bool>;
        /// PEM files of trusted authorities; the system's when empty.
        ssl_certificate_authorities: Vec<PathBuf>;
        /// PEM file with the client's certificate.
        ssl_certificate: Option<PathBuf>;
        /// PEM file with the client's private key.
        ssl_key: Option<PathBuf>;
        /// TLS versions allowed: `TLSv1.2`, `TLSv1.3`; both when empty.
        ssl_supported_protocols: Vec<String>;
        /// SHA-256 fingerprints (hex) of certificates to trust in the server's chain.
        ca_trusted_fingerprint: Vec<String>;
        /// Longest wait for an answer, seconds.
        timeout: f64 = 60;
        /// Most connections.
        pool_max: usize = 1000;
        /// Most connections to one host.
        pool_max_per_route: usize = 100;
        /// Seconds for which a host that failed is left alone.
        resurrect_delay: f64 = 5;
        /// gzip level of request bodies, 0 (off) to 9. Level 1 costs about 2 µs of CPU per event of 670 bytes and saves about nine tenths of the bytes: take 0 for loopback, 1 across a network; elasticsearch.md has the figures.
        compression_level: u32 = 1;
        /// Old form of `compression_level`: `true` is level 1, `false` level 0.
        http_compression: Option<bool>;
        /// Shortest pause before something is sent again, seconds; it doubles from time to time.
        retry_initial_interval: f64 = 2;
        /// Longest such pause, seconds.
        retry_max_interval: f64 = 64;
        /// Install `template` once, after the first connection.
        manage_template: bool = true;
        /// JSON file of an index template. A relative name is looked for in the working directory, beside the config file and in the folder above it. Without it no template is installed.
        template: Option<PathBuf>;
        /// Name of the template; default `ecs-logstash` (`logstash` without ECS).
        template_name: Option<String>;
        /// Replace a template of that name.
        template_overwrite: bool = false;
        /// Which template API to use.
        template_api: Api = "auto";
        /// Index lifecycle management: `false` and `auto` leave it to the template's settings.
        ilm_enabled: Ilm = "auto";
        /// Set an event aside when its index name holds an unresolved `%{…}`; `false` sends it literally.
        dlq_on_failed_indexname_interpolation: bool = true;
        /// Statuses that set an item aside, beside 400 and 404.
        dlq_custom_codes: Vec<u16>;
        /// Error types whose items are dropped, with a warning.
        drop_error_types: Vec<String>;
        /// Error types that are not worth a log line.
        silence_errors_in_log: Vec<String>;
        /// Ask the cluster for its nodes: not there yet, only `false` is taken.
        sniffing: bool = false;
    }
    later {
        "ilm_rollover_alias" => "name the write alias as `index` and set up the alias and its policy in Elasticsearch",
        "ilm_pattern" => "set up the alias and its policy in Elasticsearch",
        "ilm_policy" => "name the policy in the index template's settings",
        "upsert" => "use `doc_as_upsert => true`",
        "script" => "use an ingest pipeline",
        "script_type" => "use an ingest pipeline",
        "script_lang" => "use an ingest pipeline",
        "script_var_name" => "use an ingest pipeline",
        "scripted_upsert" => "use an ingest pipeline",
        "parent" => "set the join field with `mutate` and use `routing`",
        "join_field" => "set the join field with `mutate` and use `routing`",
        "proxy" => "connect directly, or through a reverse proxy named in `hosts`",
        "sniffing_delay" => "name the nodes in `hosts`",
        "sniffing_path" => "name the nodes in `hosts`",
        "ssl_keystore_path" => "Java key stores are not read: use `ssl_certificate` and `ssl_key` (PEM)",
        "ssl_keystore_password" => "Java key stores are not read: use `ssl_certificate` and `ssl_key` (PEM)",
        "ssl_keystore_type" => "Java key stores are not read: use `ssl_certificate` and `ssl_key` (PEM)",
        "ssl_truststore_path" => "Java key stores are not read: use `ssl_certificate_authorities` (PEM)",
        "ssl_truststore_password" => "Java key stores are not read: use `ssl_certificate_authorities` (PEM)",
        "ssl_truststore_type" => "Java key stores are not read: use `ssl_certificate_authorities` (PEM)",
        "keystore" => "Java key stores are not read: use `ssl_certificate` and `ssl_key` (PEM)",
        "keystore_password" => "Java key stores are not read: use `ssl_certificate` and `ssl_key` (PEM)",
        "truststore" => "Java key stores are not read: use `ssl_certificate_authorities` (PEM)",
        "truststore_password" => "Java key stores are not read: use `ssl_certificate_authorities` (PEM)",
        "ssl_cipher_suites" => "the TLS library chooses among safe suites only",
    }
    renamed {
        "ssl" => "ssl_enabled",
        "cacert" => "ssl_certificate_authorities",
        "failure_type_logging_whitelist" => "silence_errors_in_log",
    }
    no_effect {
        "document_type" => "Elasticsearch 8 has no types",
        "validate_after_inactivity" => "a connection that died is noticed when it is used, and the request goes over another",
    }
}

impl Config {
    /// Makes the client and reads the template; reports what is wrong.
    pub(super) fn connection(
        &self,
        plugin: &Plugin,
        build: &mut Build<'_>,
    ) -> Option<(Client, Option<Template>)> {
        let span_of = |name: &str| {
            plugin
                .attrs
                .iter()
                .find(|attr| attr.name.text == name)
                .map_or(plugin.name.span, |attr| attr.value.span)
        };
        if self.sniffing {
            build.error_with_hint(
                "option-later",
                "`sniffing => true` is not there yet",
                span_of("sniffing"),
                "name the nodes in `hosts`",
            );
            return None;
        }
        if self.ilm_enabled == Ilm::True {
            build.error_with_hint(
                "option-later",
                "`ilm_enabled => true` is not there yet",
                span_of("ilm_enabled"),
                "name the policy in the index template's settings",
            );
            return None;
        }
        let auth = self.auth(plugin, build)?;
        let seconds =
            |number: f64| Duration::try_from_secs_f64(number).unwrap_or(Duration::from_mins(1));
        let verification = match self.ssl_verification_mode {
            Verification::Full if self.ssl_certificate_verification == Some(false) => {
                let message = "`ssl_certificate_verification => false` is an old form of `ssl_verification_mode => none`: the server may be anybody";
                build.warn(
                    "option-renamed",
                    message,
                    span_of("ssl_certificate_verification"),
                );
                VerificationMode::None
            }
            Verification::Full => VerificationMode::Full,
            Verification::None => VerificationMode::None,
        };
        let named = plugin.attrs.iter().any(|attr| attr.name.text == "hosts");
        let in_cloud = self.cloud_id.as_ref().is_some_and(|id| !id.is_empty());
        let hosts: Vec<String> = self
            .hosts
            .iter()
            .filter(|_| named || !in_cloud)
            .flat_map(|hosts| hosts.split_whitespace())
            .map(str::to_owned)
            .collect();
        if hosts.is_empty() && !in_cloud {
            build.error("option-value", "`hosts` must name a host", span_of("hosts"));
            return None;
        }
        let config = ClientConfig {
            hosts,
            cloud_id: self.cloud_id.clone().filter(|id| !id.is_empty()),
            auth,
            custom_headers: self.custom_headers.0.clone(),
            parameters: self.parameters.0.clone(),
            path: self.path.clone(),
            bulk_path: self.bulk_path.clone(),
            healthcheck_path: self.healthcheck_path.clone(),
            ssl_enabled: self.ssl_enabled,
            tls: TlsOptions {
                verification,
                certificate_authorities: self.ssl_certificate_authorities.clone(),
                certificate: self.ssl_certificate.clone(),
                key: self.ssl_key.clone(),
                ca_trusted_fingerprint: self.ca_trusted_fingerprint.clone(),
                supported_protocols: self.ssl_supported_protocols.clone(),
            },
            timeout: seconds(self.timeout),
            pool_max: self.pool_max.max(1),
            pool_max_per_route: self.pool_max_per_route.max(1),
            resurrect_delay: seconds(self.resurrect_delay),
            compression_level: 0,
            ..ClientConfig::default()
        };
        if self.compression_level > 9 {
            build.error(
                "option-value",
                "`compression_level` must be between 0 and 9",
                span_of("compression_level"),
            );
            return None;
        }
        let client = match Client::new(&config) {
            Ok(client) => client,
            Err(error) => {
                build.error("option-value", error.to_string(), span_of(error.option));
                return None;
            }
        };
        let template = self.template(span_of("template"), build)?;
        Some((client, template))
    }

    fn auth(&self, plugin: &Plugin, build: &mut Build<'_>) -> Option<Auth> {
        let given = |password: &Option<Password>| {
            password
                .as_ref()
                .map(|secret| secret.0.clone())
                .filter(|secret| !secret.is_empty())
        };
        let user = self.user.clone().filter(|user| !user.is_empty());
        let (key, cloud) = (given(&self.api_key), given(&self.cloud_auth));
        let methods = [user.is_some(), key.is_some(), cloud.is_some()]
            .iter()
            .filter(|given| **given)
            .count();
        if methods > 1 {
            let message = "only one of `user`/`password`, `api_key` and `cloud_auth` can be used";
            build.error("option-value", message, plugin.name.span);
            return None;
        }
        Some(match (user, key, cloud) {
            (Some(user), _, _) => Auth::Basic {
                user,
                password: given(&self.password).unwrap_or_default(),
            },
            (_, Some(key), _) => Auth::ApiKey(key),
            (_, _, Some(cloud)) => Auth::Cloud(cloud),
            _ => Auth::None,
        })
    }

    #[allow(clippy::option_option)]
    fn template(
        &self,
        span: crate::language::Span,
        build: &mut Build<'_>,
    ) -> Option<Option<Template>> {
        let Some(path) = self.template.as_ref().filter(|_| self.manage_template) else {
            return Some(None);
        };
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) => {
                build.error(
                    "template",
                    format!("cannot read the template `{}`: {error}", path.display()),
                    span,
                );
                return None;
            }
        };
        if let Err(error) = serde_json::from_slice::<serde_json::Value>(&text) {
            build.error(
                "template",
                format!("the template `{}` is not JSON: {error}", path.display()),
                span,
            );
            return None;
        }
        let default = if build.ecs.enabled() {
            "ecs-logstash"
        } else {
            "logstash"
        };
        Some(Some(Template {
            name: self
                .template_name
                .clone()
                .unwrap_or_else(|| default.to_owned()),
            body: Bytes::from(text),
            overwrite: self.template_overwrite,
            api: match self.template_api {
                Api::Auto => TemplateApi::Auto,
                Api::Legacy => TemplateApi::Legacy,
                Api::Composable => TemplateApi::Composable,
            },
        }))
    }
}
