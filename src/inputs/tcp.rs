//! `tcp`: streams of bytes from sockets, as a server or as a client.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::channel::{Channel, Intake};
use super::reverse_dns::ReverseDns;
use super::tls::{self, ClientAuthentication, TlsFiles, Verification};
use super::{int_attr, streaming_codec, text_attr};
use crate::event::Path;
use crate::language::ast::Plugin;
use crate::plugin::options::{CodecRef, Reader};
use crate::plugin::{
    Attrs, Block, Build, Framer, Framing, Input, Make, Options, PluginMetrics, PluginSpec, StartCx,
    Started,
};
use crate::{choice, options};

choice! {
    /// Who connects to whom.
    pub enum Mode {
        /// Others connect to this port.
        Server = "server",
        /// This input connects to a port of another host.
        Client = "client",
    }
}

options! {
    /// Options of the `tcp` input.
    pub struct Config {
        /// How bytes become events. `plain` and `json` are taken as `line` and `json_lines`.
        codec: CodecRef = "line";
        /// Port to listen on, or to connect to.
        port: u16;
        /// Address to listen on, or host to connect to.
        host: String = "0.0.0.0";
        /// Whether to listen or to connect. A client connects again when its connection ends.
        mode: Mode = "server";
        /// Whether the system probes silent connections.
        tcp_keep_alive: bool = false;
        /// Whether the peer's name is looked up once for each connection; its events wait half a second for it at most.
        dns_reverse_lookup_enabled: bool = true;
        /// Whether each connection begins with a line of the PROXY protocol, version 1.
        proxy_protocol: bool = false;
        /// Whether connections are encrypted.
        ssl_enabled: bool = false;
        /// Own certificate, PEM, followed by its chain.
        ssl_certificate: Option<PathBuf>;
        /// Private key of the certificate, PEM without a passphrase.
        ssl_key: Option<PathBuf>;
        /// Files with certificates to send behind the own one.
        ssl_extra_chain_certs: Vec<PathBuf>;
        /// Files with the authorities that sign the peers' certificates. For a client: the system's when absent.
        ssl_certificate_authorities: Vec<PathBuf>;
        /// Whether clients must show a certificate: `required`, `optional` or `none`. `required` when absent.
        ssl_client_authentication: Option<ClientAuthentication>;
        /// For a client: whether the server's certificate is checked, `full` or `none`.
        ssl_verification_mode: Verification = "full";
        /// Cipher suites that are allowed, by their IANA names. All good ones when absent.
        ssl_cipher_suites: Vec<String>;
        /// Versions that are spoken: `TLSv1.2`, `TLSv1.3`. Both when absent.
        ssl_supported_protocols: Vec<String>;
        /// An old option: `false` stands for `ssl_client_authentication => none`.
        ssl_verify: Option<bool>;
    }
    later { "ssl_key_passphrase" => "store the key without a passphrase: openssl pkey -in key.pem -out plain.pem" }
    renamed {
        "ssl_enable" => "ssl_enabled",
        "ssl_cert" => "ssl_certificate",
        "ssl_cacert" => "ssl_certificate_authorities"
    }
}

/// `tcp` for the catalogue.
pub const SPEC: PluginSpec = PluginSpec {
    name: "tcp",
    about: "Reads streams of bytes from connections and cuts them into lines. While the pipeline is busy nothing is \
            read, so that senders have to wait. Adds the peer's `[@metadata][input][tcp][source][name]`, `[ip]` and \
            `[port]` (`host`, `[@metadata][ip_address]` and `port` without ECS compatibility) where an event has \
            none. What a connection had sent is not sent again after a crash.",
    options: Config::specs,
    make: Make::Input(make),
};

/// Connections at a time; more are closed at once and counted.
const MAX_CONNECTIONS: u64 = 10_000;
/// Size of a connection's first read, and of its largest.
const FIRST_READ: usize = 8 << 10;
const LARGEST_READ: usize = 256 << 10;
/// Longest wait for a TLS handshake or a line of the PROXY protocol.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Wait before a client tries again.
const RECONNECT: Duration = Duration::from_secs(5);
/// After the stop, a connection that says nothing for so long is done …
const LAST_WORDS: Duration = Duration::from_millis(50);
/// … and any is, after so long.
const LAST_READ: Duration = Duration::from_secs(1);

fn make(plugin: &Plugin, build: &mut Build<'_>) -> Option<Box<dyn Input>> {
    let config = Config::read(plugin, build)?;
    let tls = tls_of(&config, plugin, build)?;
    let fields = Fields::new(build, config.proxy_protocol);
    let codec = streaming_codec(config.codec, build)?;
    Some(Box::new(Tcp {
        codec,
        host: config.host,
        port: config.port,
        mode: config.mode,
        settings: Settings {
            keep_alive: config.tcp_keep_alive,
            lookup: config.dns_reverse_lookup_enabled,
            proxy_protocol: config.proxy_protocol && config.mode == Mode::Server,
            tls,
            fields,
        },
    }))
}

/// What is encrypted, and how.
#[derive(Clone)]
enum Tls {
    Off,
    Accept(TlsAcceptor),
    Connect(TlsConnector),
}

fn tls_of(config: &Config, plugin: &Plugin, build: &mut Build<'_>) -> Option<Tls> {
    let files = TlsFiles {
        certificate: config.ssl_certificate.clone(),
        key: config.ssl_key.clone(),
        extra_chain: config.ssl_extra_chain_certs.clone(),
        authorities: config.ssl_certificate_authorities.clone(),
        cipher_suites: config.ssl_cipher_suites.clone(),
        protocols: config.ssl_supported_protocols.clone(),
    };
    if !config.ssl_enabled {
        let given = plugin.attrs.iter().find(|attr| {
            let name = attr.name.text.as_str();
            name.starts_with("ssl_") && !matches!(name, "ssl_enabled" | "ssl_enable")
        });
        if let Some(attr) = given {
            let message = format!("`{}` has no effect: `ssl_enabled` is not true", attr.name.text);
            build.warn("option-no-effect", message, attr.name.span);
        }
        return Some(Tls::Off);
    }
    let made = match config.mode {
        Mode::Server => {
            let asked = match (config.ssl_client_authentication, config.ssl_verify) {
                (Some(asked), _) => asked,
                (None, Some(false)) => ClientAuthentication::None,
                (None, _) => ClientAuthentication::Required,
            };
            files.server(asked).map(|config| Tls::Accept(TlsAcceptor::from(config)))
        }
        Mode::Client => files
            .client(config.ssl_verification_mode)
            .map(|config| Tls::Connect(TlsConnector::from(config))),
    };
    match made {
        Ok(tls) => Some(tls),
        Err((option, text)) => {
            let span = Reader::unchecked(plugin, build).span(option);
            build.error("option-value", format!("`{option}` of `tcp`: {text}"), span);
            None
        }
    }
}

/// Where the facts about a connection go.
struct Fields {
    name: Path,
    ip: Path,
    port: Path,
    /// Address and port of the proxy.
    proxy: Option<(Path, Path)>,
    subject: Path,
}

impl Fields {
    fn new(build: &mut Build<'_>, proxy: bool) -> Self {
        let ecs = build.ecs.enabled();
        let mut path = |new: &str, old: &str| build.path(if ecs { new } else { old });
        Fields {
            name: path("[@metadata][input][tcp][source][name]", "host"),
            ip: path("[@metadata][input][tcp][source][ip]", "[@metadata][ip_address]"),
            port: path("[@metadata][input][tcp][source][port]", "port"),
            proxy: proxy.then(|| {
                (
                    path("[@metadata][input][tcp][proxy][ip]", "proxy_host"),
                    path("[@metadata][input][tcp][proxy][port]", "proxy_port"),
                )
            }),
            subject: path("[@metadata][input][tcp][tls][client][subject]", "sslsubject"),
        }
    }
}

struct Settings {
    keep_alive: bool,
    lookup: bool,
    proxy_protocol: bool,
    tls: Tls,
    fields: Fields,
}

struct Tcp {
    codec: CodecRef,
    host: String,
    port: u16,
    mode: Mode,
    settings: Settings,
}

impl Input for Tcp {
    fn start(&self, cx: StartCx) -> Result<Started, String> {
        let _runtime = cx.runtime.enter();
        let open = Arc::new(AtomicU64::new(0));
        let (intake, channel, run): (_, _, tokio::task::JoinHandle<()>);
        let settings = Settings {
            tls: self.settings.tls.clone(),
            fields: Fields {
                name: self.settings.fields.name.clone(),
                ip: self.settings.fields.ip.clone(),
                port: self.settings.fields.port.clone(),
                proxy: self.settings.fields.proxy.clone(),
                subject: self.settings.fields.subject.clone(),
            },
            ..self.settings
        };
        todo!()
    }
}
