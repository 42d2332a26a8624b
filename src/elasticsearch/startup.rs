//! What happens once before the first bulk: who answers there, which version, and the index template.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use hyper::Method;
use serde_json::Value;

use super::client::{Client, JSON, Response, TransportError};
use super::config::percent_encode;

/// Oldest major version that is talked to.
pub const OLDEST_MAJOR: u32 = 7;

/// Who answered `GET /`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerInfo {
    /// Version as the server writes it, such as `8.19.1`; empty when it may not be read.
    pub version: String,
    /// Major version; 8 when it may not be read.
    pub major: u32,
    /// Minor version.
    pub minor: u32,
    /// Name of the cluster.
    pub cluster_name: String,
    /// Identity of the cluster; empty while it forms.
    pub cluster_uuid: String,
    /// A serverless cluster: requests carry its version header from now on.
    pub serverless: bool,
    /// Whether it calls itself Elasticsearch (header `X-Elastic-Product`).
    pub genuine: bool,
    /// Sentences worth a warning.
    pub warnings: Vec<String>,
}

/// Why start-up could not go on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StartupError {
    /// Nobody answered: try again later.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The server answered, but not now: try again later.
    #[error("{0}")]
    NotNow(String),
    /// The server will never agree: the pipeline has to stop.
    #[error("{0}")]
    Fatal(String),
}

impl StartupError {
    /// Whether trying again is useless.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Fatal(_))
    }
}

/// `template_api`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TemplateApi {
    /// Composable from Elasticsearch 8 on (and on its forks), legacy before.
    #[default]
    Auto,
    /// `_template`.
    Legacy,
    /// `_index_template`.
    Composable,
}

/// An index template to install.
#[derive(Clone, Debug)]
pub struct Template {
    /// `template_name`.
    pub name: String,
    /// The JSON text of the template.
    pub body: Bytes,
    /// `template_overwrite`: replace one of that name.
    pub overwrite: bool,
    /// `template_api`.
    pub api: TemplateApi,
}

/// What became of a [`Template`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemplateOutcome {
    /// It was written.
    Installed,
    /// One of that name was there and stays.
    AlreadyThere,
}

impl TemplateOutcome {
    /// One sentence for the log.
    #[must_use]
    pub fn sentence(self, name: &str) -> String {
        match self {
            Self::Installed => format!("index template `{name}` installed"),
            Self::AlreadyThere => format!(
                "index template `{name}` is there already and stays (`template_overwrite => true` would replace it)"
            ),
        }
    }
}

impl Client {
    /// Asks a host who it is, and prepares the client for that answer.
    ///
    /// The original refuses servers that do not call themselves Elasticsearch; here they work, with a warning, because
    /// their bulk interface is the same. A login that may write but not see the cluster (403) is enough, with a warning.
    ///
    /// # Errors
    /// When nobody answers, the login is refused, or the version is too old (fatal).
    pub async fn connect_and_check(&self) -> Result<ServerInfo, StartupError> {
        let response = self.request(Method::GET, "/", None, JSON).await?;
        let info = match response.status {
            200 => server_info(&response)?,
            403 => ServerInfo {
                major: 8,
                genuine: true,
                warnings: vec![format!(
                    "{} does not show its version to this login (403): taken for version 8; the privilege `monitor` would show it",
                    response.host
                )],
                ..ServerInfo::default()
            },
            status => {
                return Err(StartupError::NotNow(self.explain(
                    &response.host,
                    status,
                    &response.body,
                )));
            }
        };
        self.inner
            .serverless
            .store(info.serverless, Ordering::Relaxed);
        Ok(info)
    }

    /// Writes an index template unless one of that name is there (or `overwrite` is set).
    ///
    /// # Errors
    /// When nobody answers, or the template is refused (4xx other than 429: fatal).
    pub async fn install_template(
        &self,
        template: &Template,
        server: &ServerInfo,
    ) -> Result<TemplateOutcome, StartupError> {
        let composable = match template.api {
            TemplateApi::Composable => true,
            TemplateApi::Legacy => false,
            TemplateApi::Auto => server.major >= 8 || !server.genuine,
        };
        check_form(template, composable)?;
        let mut path = String::from(if composable {
            "/_index_template/"
        } else {
            "/_template/"
        });
        percent_encode(&mut path, &template.name);
        if !template.overwrite {
            let there = self.request(Method::HEAD, &path, None, JSON).await?;
            match there.status {
                200 => return Ok(TemplateOutcome::AlreadyThere),
                404 => {}
                _ => return Err(self.refused(template, &there)),
            }
        }
        let answer = self
            .request(Method::PUT, &path, Some(template.body.clone()), JSON)
            .await?;
        if answer.status == 200 {
            Ok(TemplateOutcome::Installed)
        } else {
            Err(self.refused(template, &answer))
        }
    }

    fn refused(&self, template: &Template, answer: &Response) -> StartupError {
        let why = self.explain(&answer.host, answer.status, &answer.body);
        let sentence = format!("index template `{}` was not taken: {why}", template.name);
        let for_good = (400..500).contains(&answer.status) && answer.status != 429;
        if for_good {
            StartupError::Fatal(sentence)
        } else {
            StartupError::NotNow(sentence)
        }
    }
}

/// The two interfaces take different forms; the mix-up is common and the server's own message hard to read.
fn check_form(template: &Template, composable: bool) -> Result<(), StartupError> {
    let fatal =
        |text: String| StartupError::Fatal(format!("index template `{}`: {text}", template.name));
    let parsed: Value = serde_json::from_slice(&template.body)
        .map_err(|error| fatal(format!("its text is no JSON ({error})")))?;
    let Some(object) = parsed.as_object() else {
        return Err(fatal("its text is no JSON object".to_owned()));
    };
    let has = |keys: &[&str]| keys.iter().any(|key| object.contains_key(*key));
    if !has(&["index_patterns"]) {
        return Err(fatal(
            "it has no `index_patterns`, so it would apply to nothing".to_owned(),
        ));
    }
    if composable && has(&["mappings", "settings", "aliases", "order"]) {
        return Err(fatal("it is written in the legacy form (`mappings`, `settings`, `order` at the top): move these into `template`, or set `template_api => \"legacy\"`".to_owned()));
    }
    if !composable && has(&["template", "composed_of", "data_stream", "priority"]) {
        return Err(fatal("it is written in the composable form (`template`, `priority`): set `template_api => \"composable\"` (Elasticsearch 7.8 or newer)".to_owned()));
    }
    Ok(())
}

fn server_info(response: &Response) -> Result<ServerInfo, StartupError> {
    let host = &response.host;
    let parsed: Value = serde_json::from_slice(&response.body).map_err(|_| {
        StartupError::NotNow(format!(
            "{host} answers, but not as Elasticsearch does: check host and port in `hosts`"
        ))
    })?;
    let text = |path: &str| {
        parsed
            .pointer(path)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let version = text("/version/number");
    let mut numbers = version
        .split(['.', '-'])
        .map_while(|part| part.parse::<u32>().ok());
    let Some(major) = numbers.next() else {
        return Err(StartupError::NotNow(format!(
            "{host} does not say its version: check host and port in `hosts`"
        )));
    };
    let minor = numbers.next().unwrap_or(0);
    let product = response
        .headers
        .get("x-elastic-product")
        .and_then(|value| value.to_str().ok());
    let fork = text("/version/distribution");
    let genuine = product == Some("Elasticsearch") && fork.is_empty();
    // The header came with 7.14; forks count their versions anew.
    if fork.is_empty() && major < OLDEST_MAJOR {
        return Err(StartupError::Fatal(format!(
            "{host} is Elasticsearch {version}: version {OLDEST_MAJOR} or newer is needed"
        )));
    }
    let mut warnings = Vec::new();
    let before_the_header = fork.is_empty() && major == 7 && minor < 14;
    if !genuine && !before_the_header {
        let name = if fork.is_empty() {
            "a server without the header `X-Elastic-Product`"
        } else {
            fork.as_str()
        };
        warnings.push(format!("{host} is {name}, version {version}, not Elasticsearch: bulks are sent as to Elasticsearch, nothing else is promised"));
    }
    Ok(ServerInfo {
        major,
        minor,
        cluster_name: text("/cluster_name"),
        cluster_uuid: Some(text("/cluster_uuid"))
            .filter(|uuid| uuid != "_na_")
            .unwrap_or_default(),
        serverless: text("/version/build_flavor") == "serverless",
        genuine,
        warnings,
        version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::{HeaderMap, HeaderValue};

    fn answer(body: &str, product: bool) -> Response {
        let mut headers = HeaderMap::new();
        if product {
            headers.insert(
                "x-elastic-product",
                HeaderValue::from_static("Elasticsearch"),
            );
        }
        Response {
            status: 200,
            headers,
            body: Bytes::copy_from_slice(body.as_bytes()),
            host: "http://es:9200".into(),
        }
    }

    #[test]
    fn versions_are_read_and_old_ones_refused() {
        let info = server_info(&answer(
            r#"{"cluster_name":"c","cluster_uuid":"u","version":{"number":"8.19.2-SNAPSHOT"}}"#,
            true,
        ))
        .unwrap();
        assert_eq!(
            (
                info.major,
                info.minor,
                info.cluster_name.as_str(),
                info.cluster_uuid.as_str()
            ),
            (8, 19, "c", "u")
        );
        assert!(info.genuine && info.warnings.is_empty() && !info.serverless);
        assert!(
            server_info(&answer(r#"{"version":{"number":"7.10.2"}}"#, false))
                .unwrap()
                .warnings
                .is_empty()
        );
        let old = server_info(&answer(r#"{"version":{"number":"6.8.0"}}"#, false)).unwrap_err();
        assert!(old.is_fatal() && old.to_string().contains("6.8.0"));
        assert!(!server_info(&answer("<html>", true)).unwrap_err().is_fatal());
        assert!(
            server_info(&answer(
                r#"{"version":{"number":"8.11.0","build_flavor":"serverless"}}"#,
                true
            ))
            .unwrap()
            .serverless
        );
    }

    #[test]
    fn forks_work_with_a_warning() {
        let info = server_info(&answer(
            r#"{"version":{"distribution":"opensearch","number":"2.11.0"}}"#,
            false,
        ))
        .unwrap();
        assert!(!info.genuine);
        assert!(
            info.warnings.iter().any(|w| w.contains("opensearch")),
            "{:?}",
            info.warnings
        );
    }

    #[test]
    fn templates_in_the_wrong_form_are_explained() {
        let template = |body: &str| Template {
            name: "t".into(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            overwrite: false,
            api: TemplateApi::Auto,
        };
        let composable = template(r#"{"index_patterns":["a-*"],"template":{}}"#);
        let legacy = template(r#"{"index_patterns":["a-*"],"settings":{}}"#);
        assert!(check_form(&composable, true).is_ok() && check_form(&legacy, false).is_ok());
        assert!(
            check_form(&legacy, true)
                .unwrap_err()
                .to_string()
                .contains("legacy form")
        );
        assert!(
            check_form(&composable, false)
                .unwrap_err()
                .to_string()
                .contains("composable form")
        );
        assert!(
            check_form(&template("{}"), true)
                .unwrap_err()
                .to_string()
                .contains("index_patterns")
        );
        assert!(check_form(&template("[1"), true).unwrap_err().is_fatal());
    }
}
