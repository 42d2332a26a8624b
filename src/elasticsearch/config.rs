//! What a user may say about an Elasticsearch cluster, checked once and resolved into hosts, headers and paths.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use rustls_pki_types::ServerName;

/// Port of a host that names none.
pub const DEFAULT_PORT: u16 = 9200;

/// How the client proves who it is. One method only, as in the original.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Auth {
    /// No credentials, or those written into the hosts' URLs.
    #[default]
    None,
    /// `user` and `password` (HTTP Basic).
    Basic {
        /// Name of the user.
        user: String,
        /// Password of the user.
        password: String,
    },
    /// `api_key`: `id:key`, or the base64 text that Elasticsearch calls `encoded`.
    ApiKey(String),
    /// `cloud_auth`: `user:password`.
    Cloud(String),
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Basic { user, .. } => write!(f, "Basic({user}:<password>)"),
            Self::ApiKey(_) => f.write_str("ApiKey(<key>)"),
            Self::Cloud(_) => f.write_str("Cloud(<user:password>)"),
        }
    }
}

/// How far the server's certificate is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerificationMode {
    /// Chain, dates and name are checked.
    #[default]
    Full,
    /// Nothing is checked: the connection is encrypted, but the server may be anybody.
    None,
}

/// The TLS client options (`ssl_*`) of the elasticsearch plugins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// `ssl_verification_mode`.
    pub verification: VerificationMode,
    /// `ssl_certificate_authorities`: PEM files; the system's authorities are trusted when empty.
    pub certificate_authorities: Vec<PathBuf>,
    /// `ssl_certificate`: PEM file with the client's certificate chain.
    pub certificate: Option<PathBuf>,
    /// `ssl_key`: PEM file with the client's private key.
    pub key: Option<PathBuf>,
    /// `ca_trusted_fingerprint`: SHA-256 (64 hex digits, colons allowed) of a certificate in the server's chain that is trusted.
    pub ca_trusted_fingerprint: Vec<String>,
    /// `ssl_supported_protocols`: `TLSv1.2`, `TLSv1.3`; both when empty.
    pub supported_protocols: Vec<String>,
}

/// Options of a [`Client`](super::Client), named as in the elasticsearch output.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// `hosts`: `host`, `host:port` or URLs; port 9200 where none is given.
    pub hosts: Vec<String>,
    /// `cloud_id`: `name:base64(domain$elasticsearch$kibana)`; replaces `hosts`.
    pub cloud_id: Option<String>,
    /// `user`/`password`, `api_key` or `cloud_auth`.
    pub auth: Auth,
    /// `custom_headers`, sent with every request.
    pub custom_headers: Vec<(String, String)>,
    /// `parameters`, added to the query of every request.
    pub parameters: Vec<(String, String)>,
    /// `path`: prefix of every request's path, for servers behind a proxy.
    pub path: Option<String>,
    /// `bulk_path`: path (and query) of bulk requests; `/_bulk` under `path` when absent.
    pub bulk_path: Option<String>,
    /// `healthcheck_path`: asked with HEAD before a dead host is used again; `/` when absent.
    pub healthcheck_path: Option<String>,
    /// `ssl_enabled`: TLS for hosts that name no scheme; must agree with those that do.
    pub ssl_enabled: Option<bool>,
    /// The other `ssl_*` options.
    pub tls: TlsOptions,
    /// `proxy`: not supported, refused with a sentence when set to a non-empty text.
    pub proxy: Option<String>,
    /// Longest time for name look-up, TCP connect and TLS handshake together.
    pub connect_timeout: Duration,
    /// `timeout`: longest time from sending a request to the last byte of its answer.
    pub timeout: Duration,
    /// `pool_max`: most connections to all hosts together.
    pub pool_max: usize,
    /// `pool_max_per_route`: most connections to one host.
    pub pool_max_per_route: usize,
    /// `resurrect_delay`: how long a host that failed is left alone while others live.
    pub resurrect_delay: Duration,
    /// `compression_level`: gzip level of request bodies, 0 (none) to 9.
    pub compression_level: u32,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            cloud_id: None,
            auth: Auth::None,
            custom_headers: Vec::new(),
            parameters: Vec::new(),
            path: None,
            bulk_path: None,
            healthcheck_path: None,
            ssl_enabled: None,
            tls: TlsOptions::default(),
            proxy: None,
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_mins(1),
            pool_max: 1000,
            pool_max_per_route: 100,
            resurrect_delay: Duration::from_secs(5),
            compression_level: 1,
        }
    }
}

/// An option that cannot work, with the reason and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{option}`: {message}")]
pub struct ConfigError {
    /// Name of the option, as a user writes it.
    pub option: &'static str,
    /// What is wrong and what to do, in one sentence.
    pub message: String,
}

impl ConfigError {
    pub(super) fn new(option: &'static str, message: impl Into<String>) -> Self {
        Self {
            option,
            message: message.into(),
        }
    }
}

/// One host of the cluster, as requests need it.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    /// Scheme, host and port for messages; never credentials.
    pub shown: String,
    pub tls: bool,
    pub host: String,
    pub port: u16,
    /// Prefix of every path: empty, or starts with `/` and does not end with it.
    pub prefix: String,
    pub host_header: HeaderValue,
    pub authorization: Option<HeaderValue>,
    pub server_name: Option<ServerName<'static>>,
}

/// Everything that [`ClientConfig`] means for requests, after all checks but those of TLS files.
#[derive(Debug)]
pub(super) struct Resolved {
    pub endpoints: Vec<Endpoint>,
    pub headers: HeaderMap,
    /// `parameters` as a query (`a=b&c=d`), percent-encoded; may be empty.
    pub query: String,
    pub bulk_path: String,
    pub healthcheck_path: String,
    /// Says with what a refused login was attempted (``user `x` ``, `the API key`).
    pub login: String,
}

/// Checks `config` and turns it into endpoints and headers.
pub(super) fn resolve(config: &ClientConfig) -> Result<Resolved, ConfigError> {
    check_bounds(config)?;
    let (authorization, login) = authorization(&config.auth)?;
    let endpoints = endpoints(config, authorization.as_ref())?;
    if matches!(config.auth, Auth::ApiKey(_))
        && endpoints.iter().any(|e| !e.tls && !is_loopback(&e.host))
    {
        return Err(ConfigError::new(
            "api_key",
            "an API key may only travel over TLS: write https:// in `hosts` or set `ssl_enabled => true`",
        ));
    }
    Ok(Resolved {
        headers: headers(&config.custom_headers)?,
        query: query(&config.parameters),
        bulk_path: rooted(config.bulk_path.as_deref().unwrap_or("/_bulk")),
        healthcheck_path: rooted(config.healthcheck_path.as_deref().unwrap_or("/")),
        login: login_in_urls(&config.hosts)
            .filter(|_| authorization.is_none())
            .unwrap_or(login),
        endpoints,
    })
}

fn check_bounds(config: &ClientConfig) -> Result<(), ConfigError> {
    if config
        .proxy
        .as_deref()
        .is_some_and(|proxy| !proxy.is_empty())
    {
        return Err(ConfigError::new(
            "proxy",
            "going through a proxy is not there yet; remove the option and give the proxied address in `hosts`",
        ));
    }
    if config.compression_level > 9 {
        return Err(ConfigError::new(
            "compression_level",
            format!(
                "{} is no gzip level: use 0 (no compression) to 9 (smallest)",
                config.compression_level
            ),
        ));
    }
    if config.pool_max == 0 || config.pool_max_per_route == 0 {
        return Err(ConfigError::new(
            "pool_max",
            "a pool of no connections cannot send anything: use at least 1",
        ));
    }
    for (option, duration) in [
        ("timeout", config.timeout),
        ("connect_timeout", config.connect_timeout),
    ] {
        if duration.is_zero() {
            return Err(ConfigError::new(
                option,
                "a time limit of zero fails every request: use at least 1 second",
            ));
        }
    }
    Ok(())
}

/// The `Authorization` header of `auth`, and how messages call the login.
fn authorization(auth: &Auth) -> Result<(Option<HeaderValue>, String), ConfigError> {
    let (option, text, login) = match auth {
        Auth::None => {
            return Ok((None, "a request without a login".to_owned()));
        }
        Auth::Basic { user, password } => ("user", basic(user, password), format!("user `{user}`")),
        Auth::Cloud(text) => {
            let Some((user, password)) = text.split_once(':') else {
                return Err(ConfigError::new(
                    "cloud_auth",
                    "expected `user:password`, found no colon",
                ));
            };
            (
                "cloud_auth",
                basic(user, password),
                format!("user `{user}`"),
            )
        }
        Auth::ApiKey(key) => (
            "api_key",
            format!("ApiKey {}", encoded_api_key(key)?),
            "the API key".to_owned(),
        ),
    };
    Ok((Some(secret_header(option, &text)?), login))
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// `id:key` is encoded; what already is the base64 of such a pair passes.
fn encoded_api_key(key: &str) -> Result<String, ConfigError> {
    let key = key.trim();
    if key.contains(':') {
        return Ok(STANDARD.encode(key));
    }
    let decoded = STANDARD.decode(key).ok();
    if decoded.is_some_and(|pair| pair.contains(&b':')) {
        return Ok(key.to_owned());
    }
    Err(ConfigError::new(
        "api_key",
        "expected `id:key`, or the base64 text that Elasticsearch returns as `encoded` when a key is made",
    ))
}

fn secret_header(option: &'static str, text: &str) -> Result<HeaderValue, ConfigError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        ConfigError::new(
            option,
            "contains a character that HTTP headers cannot carry",
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn headers(custom: &[(String, String)]) -> Result<HeaderMap, ConfigError> {
    let mut headers = HeaderMap::with_capacity(custom.len() + 1);
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(concat!("logmill/", env!("CARGO_PKG_VERSION"))),
    );
    for (name, value) in custom {
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            ConfigError::new(
                "custom_headers",
                format!("`{name}` is no name of an HTTP header"),
            )
        })?;
        let value = HeaderValue::from_str(value).map_err(|_| {
            ConfigError::new(
                "custom_headers",
                format!(
                    "the value of `{name}` contains a character that HTTP headers cannot carry"
                ),
            )
        })?;
        headers.insert(header, value);
    }
    Ok(headers)
}

/// `a=b&c=d` with everything but unreserved characters percent-encoded.
pub(super) fn query(parameters: &[(String, String)]) -> String {
    let mut query = String::new();
    for (name, value) in parameters {
        if !query.is_empty() {
            query.push('&');
        }
        percent_encode(&mut query, name);
        query.push('=');
        percent_encode(&mut query, value);
    }
    query
}

/// Appends `text` with all bytes but unreserved ones (RFC 3986) and `*,` as `%XX`.
pub(super) fn percent_encode(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~*,".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// Undoes [`percent_encode`]; what is no escape stays as it is.
pub(super) fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escape = if byte == b'%' {
            bytes.get(at + 1..at + 3).and_then(hex_pair)
        } else {
            None
        };
        out.push(escape.unwrap_or(byte));
        at += if escape.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn hex_pair(pair: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(pair)
        .ok()
        .filter(|t| t.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u8::from_str_radix(text, 16).ok()
}

fn rooted(path: &str) -> String {
    if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

fn endpoints(
    config: &ClientConfig,
    authorization: Option<&HeaderValue>,
) -> Result<Vec<Endpoint>, ConfigError> {
    if let Some(cloud_id) = config.cloud_id.as_deref().filter(|id| !id.is_empty()) {
        if !config.hosts.is_empty() {
            return Err(ConfigError::new(
                "cloud_id",
                "names the cluster already: remove `hosts` or `cloud_id`",
            ));
        }
        let url = cloud_url(cloud_id)?;
        return Ok(vec![endpoint("cloud_id", &url, config, authorization)?]);
    }
    let default = [String::from("127.0.0.1")];
    let hosts = if config.hosts.is_empty() {
        &default[..]
    } else {
        &config.hosts[..]
    };
    let endpoints = hosts
        .iter()
        .map(|host| endpoint("hosts", host, config, authorization))
        .collect::<Result<Vec<_>, _>>()?;
    if let [first, rest @ ..] = endpoints.as_slice()
        && let Some(other) = rest.iter().find(|e| e.tls != first.tls)
    {
        return Err(ConfigError::new(
            "hosts",
            format!(
                "`{}` and `{}` differ in their scheme: all must agree",
                first.shown, other.shown
            ),
        ));
    }
    Ok(endpoints)
}

/// The parts of `[scheme://][user:password@]host[:port][/path]`.
struct UrlParts<'a> {
    scheme: Option<&'a str>,
    credentials: Option<&'a str>,
    host: &'a str,
    port: Option<&'a str>,
    path: &'a str,
}

fn split_url(text: &str) -> UrlParts<'_> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, text.strip_prefix("//").unwrap_or(text)),
    };
    let rest = rest.split(['?', '#']).next().unwrap_or(rest);
    let (authority, path) = rest
        .find('/')
        .map_or((rest, ""), |slash| rest.split_at(slash));
    let (credentials, place) = match authority.rsplit_once('@') {
        Some((credentials, place)) => (Some(credentials), place),
        None => (None, authority),
    };
    // The colons of an IPv6 address stand inside its brackets.
    let colon = place
        .rfind(':')
        .filter(|&colon| !place[colon..].contains(']'));
    let (host, port) = colon.map_or((place, None), |colon| {
        (&place[..colon], Some(&place[colon + 1..]))
    });
    UrlParts {
        scheme,
        credentials,
        host,
        port,
        path,
    }
}

fn login_in_urls(hosts: &[String]) -> Option<String> {
    let credentials = hosts.iter().find_map(|host| split_url(host).credentials)?;
    let user = credentials.split(':').next().unwrap_or(credentials);
    Some(format!("user `{}`", percent_decode(user)))
}

fn endpoint(
    option: &'static str,
    text: &str,
    config: &ClientConfig,
    authorization: Option<&HeaderValue>,
) -> Result<Endpoint, ConfigError> {
    let fail = |message: String| Err(ConfigError::new(option, message));
    let parts = split_url(text.trim());
    // A text with a password in it must not be repeated in a message.
    let shown = parts.host;
    let tls = match (parts.scheme, config.ssl_enabled) {
        (None, enabled) => enabled.unwrap_or(false),
        (Some("http"), Some(true)) => {
            return fail(format!(
                "`{shown}` says http, but `ssl_enabled` is true: make them agree"
            ));
        }
        (Some("https"), Some(false)) => {
            return fail(format!(
                "`{shown}` says https, but `ssl_enabled` is false: make them agree"
            ));
        }
        (Some("http"), _) => false,
        (Some("https"), _) => true,
        (Some(other), _) => {
            return fail(format!(
                "`{other}://` is no scheme that Elasticsearch speaks: use http:// or https://"
            ));
        }
    };
    let bare = parts.host.trim_start_matches('[').trim_end_matches(']');
    if bare.is_empty() || bare.contains(|c: char| c.is_whitespace() || "/\\%{}$".contains(c)) {
        return fail(format!(
            "`{shown}` is no host name: write `host`, `host:port` or a URL"
        ));
    }
    let port = match parts.port {
        None | Some("") => DEFAULT_PORT,
        Some(port) => match port.parse::<u16>() {
            Ok(port) if port > 0 => port,
            _ => {
                return fail(format!(
                    "`{port}` is no port (1 to 65535) of host `{shown}`"
                ));
            }
        },
    };
    let own_login = match parts.credentials {
        None => None,
        Some(_) if authorization.is_some() => {
            return fail(format!(
                "credentials stand in the URL of `{shown}` and in the login options too: keep one of them"
            ));
        }
        Some(credentials) => {
            let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
            Some(secret_header(
                option,
                &basic(&percent_decode(user), &percent_decode(password)),
            )?)
        }
    };
    let path = parts.path.trim_matches('/');
    let explicit = config.path.as_deref().unwrap_or("").trim_matches('/');
    if !path.is_empty() && !explicit.is_empty() && path != explicit {
        return fail(format!(
            "the URL of `{shown}` has the path `/{path}`, but `path` is `/{explicit}`: make them agree"
        ));
    }
    let path = if path.is_empty() { explicit } else { path };
    let server_name = ServerName::try_from(bare.to_owned()).ok();
    if tls && server_name.is_none() {
        return fail(format!(
            "`{shown}` is no name that a certificate can be made out for: write a DNS name or an IP address"
        ));
    }
    let authority = if bare.contains(':') {
        format!("[{bare}]:{port}")
    } else {
        format!("{bare}:{port}")
    };
    let host_header = HeaderValue::from_str(&authority)
        .map_err(|_| ConfigError::new(option, format!("`{shown}` is no host name")))?;
    Ok(Endpoint {
        shown: format!("{}://{authority}", if tls { "https" } else { "http" }),
        tls,
        host: bare.to_owned(),
        port,
        prefix: if path.is_empty() {
            String::new()
        } else {
            format!("/{path}")
        },
        host_header,
        authorization: own_login.or_else(|| authorization.cloned()),
        server_name,
    })
}

/// `name:base64(domain[:port]$elasticsearch[:port]$kibana)` → `https://elasticsearch.domain:port`.
fn cloud_url(cloud_id: &str) -> Result<String, ConfigError> {
    let wrong = || {
        ConfigError::new(
            "cloud_id",
            "expected `name:base64-text` as the cloud console shows it; copy it again",
        )
    };
    let encoded = cloud_id
        .rsplit_once(':')
        .map_or(cloud_id, |(_, encoded)| encoded);
    let decoded = STANDARD
        .decode(encoded.trim())
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(wrong)?;
    let mut parts = decoded.split('$');
    let (domain, uuid) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    if domain.is_empty() || uuid.is_empty() || uuid == "undefined" {
        return Err(wrong());
    }
    let (domain, domain_port) = domain
        .split_once(':')
        .map_or((domain, None), |(d, p)| (d, Some(p)));
    let (uuid, own_port) = uuid
        .split_once(':')
        .map_or((uuid, None), |(u, p)| (u, Some(p)));
    let port = own_port.or(domain_port).unwrap_or("443");
    Ok(format!("https://{uuid}.{domain}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(list: &[&str]) -> ClientConfig {
        ClientConfig {
            hosts: list.iter().map(ToString::to_string).collect(),
            ..ClientConfig::default()
        }
    }

    fn first(config: &ClientConfig) -> Endpoint {
        resolve(config).unwrap().endpoints.remove(0)
    }

    fn message(config: &ClientConfig) -> String {
        resolve(config).unwrap_err().to_string()
    }

    #[test]
    fn hosts_come_in_every_usual_form() {
        for (text, shown, prefix) in [
            ("127.0.0.1", "http://127.0.0.1:9200", ""),
            ("//es", "http://es:9200", ""),
            ("es:80", "http://es:80", ""),
            ("https://es", "https://es:9200", ""),
            ("https://es:443/proxy/es/", "https://es:443", "/proxy/es"),
            ("http://[::1]:9201", "http://[::1]:9201", ""),
            ("[::1]", "http://[::1]:9200", ""),
        ] {
            let endpoint = first(&hosts(&[text]));
            assert_eq!(
                (endpoint.shown.as_str(), endpoint.prefix.as_str()),
                (shown, prefix),
                "{text}"
            );
        }
        assert_eq!(
            first(&ClientConfig::default()).shown,
            "http://127.0.0.1:9200"
        );
    }

    #[test]
    fn credentials_in_a_url_are_decoded_and_never_shown() {
        let endpoint = first(&hosts(&["http://el%40stic:p%3Aw@es"]));
        let header = endpoint.authorization.unwrap();
        assert_eq!(
            header.to_str().unwrap(),
            format!("Basic {}", STANDARD.encode("el@stic:p:w"))
        );
        assert!(header.is_sensitive());
        assert_eq!(endpoint.shown, "http://es:9200");
        let twice = ClientConfig {
            auth: Auth::Basic {
                user: "a".into(),
                password: "secret".into(),
            },
            ..hosts(&["http://u:hidden@es"])
        };
        let text = message(&twice);
        assert!(
            text.contains("keep one") && !text.contains("hidden") && !text.contains("secret"),
            "{text}"
        );
    }

    #[test]
    fn api_keys_are_encoded_once() {
        let config = |key: &str| ClientConfig {
            auth: Auth::ApiKey(key.into()),
            ..hosts(&["https://es"])
        };
        let want = format!("ApiKey {}", STANDARD.encode("id:key"));
        assert_eq!(
            first(&config("id:key")).authorization.unwrap(),
            want.as_str()
        );
        assert_eq!(
            first(&config(&STANDARD.encode("id:key")))
                .authorization
                .unwrap(),
            want.as_str()
        );
        assert!(message(&config("nonsense")).contains("id:key"));
        let plain = ClientConfig {
            auth: Auth::ApiKey("id:key".into()),
            ..hosts(&["http://es.example"])
        };
        assert!(message(&plain).contains("TLS"));
    }

    #[test]
    fn cloud_ids_are_decoded() {
        let id = format!("prod:{}", STANDARD.encode("eu.example.co:9243$abc$kib"));
        let config = ClientConfig {
            cloud_id: Some(id),
            auth: Auth::Cloud("u:p".into()),
            ..ClientConfig::default()
        };
        assert_eq!(first(&config).shown, "https://abc.eu.example.co:9243");
        let broken = ClientConfig {
            cloud_id: Some("x:***".into()),
            ..ClientConfig::default()
        };
        assert!(message(&broken).contains("copy it again"));
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_option() {
        let cases: Vec<(ClientConfig, &str)> = vec![
            (hosts(&["ftp://es"]), "`hosts`: `ftp://`"),
            (hosts(&["es:99999"]), "no port"),
            (hosts(&["http://a", "https://b"]), "differ"),
            (hosts(&["http://"]), "no host name"),
            (hosts(&["${ES_URL}"]), "no host name"),
            (
                ClientConfig {
                    proxy: Some("http://p:3128".into()),
                    ..hosts(&["es"])
                },
                "`proxy`",
            ),
            (
                ClientConfig {
                    compression_level: 10,
                    ..hosts(&["es"])
                },
                "`compression_level`",
            ),
            (
                ClientConfig {
                    ssl_enabled: Some(true),
                    ..hosts(&["http://es"])
                },
                "ssl_enabled",
            ),
            (
                ClientConfig {
                    path: Some("/a".into()),
                    ..hosts(&["http://es/b"])
                },
                "`path`",
            ),
            (
                ClientConfig {
                    custom_headers: vec![("a b".into(), String::new())],
                    ..hosts(&["es"])
                },
                "`custom_headers`",
            ),
        ];
        for (config, want) in cases {
            let text = message(&config);
            assert!(text.contains(want), "{text} should contain {want}");
        }
    }

    #[test]
    fn queries_are_percent_encoded() {
        assert_eq!(
            query(&[("a b".into(), "c&d=ü".into()), ("x".into(), "1".into())]),
            "a%20b=c%26d%3D%C3%BC&x=1"
        );
        assert_eq!(percent_decode("a%20b%zz%C3%BC%"), "a b%zzü%");
    }
}
