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
    Attrs, Block, Build, Framing, Input, Make, Options, PluginMetrics, PluginSpec, StartCx, Started,
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
        settings: Arc::new(Settings {
            keep_alive: config.tcp_keep_alive,
            lookup: config.dns_reverse_lookup_enabled,
            proxy_protocol: config.proxy_protocol && config.mode == Mode::Server,
            tls,
            fields,
        }),
    }))
}

/// What is encrypted, and how.
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
            let message = format!(
                "`{}` has no effect: `ssl_enabled` is not true",
                attr.name.text
            );
            build.warn("option-no-effect", message, attr.name.span);
        }
        return Some(Tls::Off);
    }
    if config.ssl_verify.is_some() {
        let span = Reader::unchecked(plugin, build).span("ssl_verify");
        let message = "`ssl_verify` of `tcp` is an old name: write `ssl_client_authentication`";
        build.warn("option-renamed", message, span);
    }
    let made = match config.mode {
        Mode::Server => {
            let asked = match (config.ssl_client_authentication, config.ssl_verify) {
                (Some(asked), _) => asked,
                (None, Some(false)) => ClientAuthentication::None,
                (None, _) => ClientAuthentication::Required,
            };
            files
                .server(asked)
                .map(|config| Tls::Accept(TlsAcceptor::from(config)))
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
            ip: path(
                "[@metadata][input][tcp][source][ip]",
                "[@metadata][ip_address]",
            ),
            port: path("[@metadata][input][tcp][source][port]", "port"),
            proxy: proxy.then(|| {
                (
                    path("[@metadata][input][tcp][proxy][ip]", "proxy_host"),
                    path("[@metadata][input][tcp][proxy][port]", "proxy_port"),
                )
            }),
            subject: path(
                "[@metadata][input][tcp][tls][client][subject]",
                "sslsubject",
            ),
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
    settings: Arc<Settings>,
}

impl Tcp {
    fn bind(&self) -> Result<TcpListener, String> {
        let fail =
            |error: std::io::Error| super::cannot_listen("tcp", &self.host, self.port, &error);
        let addresses = (self.host.as_str(), self.port)
            .to_socket_addrs()
            .map_err(fail)?;
        let addresses: Vec<SocketAddr> = addresses.collect();
        let listener = std::net::TcpListener::bind(addresses.as_slice()).map_err(fail)?;
        listener.set_nonblocking(true).map_err(fail)?;
        TcpListener::from_std(listener).map_err(fail)
    }
}

impl Input for Tcp {
    fn start(&self, cx: StartCx) -> Result<Started, String> {
        let _runtime = cx.runtime.enter();
        let listener = match self.mode {
            Mode::Server => Some(self.bind()?),
            Mode::Client => None,
        };
        let own = listener
            .as_ref()
            .and_then(|listener| listener.local_addr().ok());
        let place = own.map_or_else(
            || format!("tcp: connecting to {}:{}", self.host, self.port),
            |own| format!("tcp: listening on {own}"),
        );
        log::info!("{place}");
        let open = Arc::new(AtomicU64::new(0));
        let shown = Arc::clone(&open);
        let (intake, channel) = Channel::new(
            "tcp",
            Arc::clone(&cx.waker),
            Arc::clone(&cx.metrics),
            move || format!("{place}, {} connections", shown.load(Relaxed)),
        );
        let connections = Arc::new(Connections {
            settings: Arc::clone(&self.settings),
            codec: self.codec.clone(),
            intake,
            stopping: cx.stopping,
            open,
            names: self.settings.lookup.then(ReverseDns::of_system),
        });
        match listener {
            Some(listener) => cx.runtime.spawn(serve(connections, listener)),
            None => cx
                .runtime
                .spawn(connect(connections, self.host.clone(), self.port)),
        };
        Ok(Started {
            source: Box::new(channel),
            checkpoints: None,
            codec: Arc::clone(&self.codec.codec),
            ordered: false,
        })
    }
}

/// What all connections of an input share.
struct Connections {
    settings: Arc<Settings>,
    codec: CodecRef,
    intake: Intake,
    stopping: watch::Receiver<bool>,
    open: Arc<AtomicU64>,
    names: Option<ReverseDns>,
}

/// Counts a connection as long as it lives.
struct Open<'c>(&'c Connections);

impl<'c> Open<'c> {
    fn new(connections: &'c Connections) -> Self {
        connections.open.fetch_add(1, Relaxed);
        connections.intake.metrics().depth.fetch_add(1, Relaxed);
        Open(connections)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
        self.0.intake.metrics().depth.fetch_sub(1, Relaxed);
    }
}

/// Accepts connections until the process stops.
async fn serve(connections: Arc<Connections>, listener: TcpListener) {
    let mut stopping = connections.stopping.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopping.wait_for(|stop| *stop) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(_) if connections.open.load(Relaxed) >= MAX_CONNECTIONS => {
                PluginMetrics::add(&connections.intake.metrics().dropped, 1);
                log::warn!("tcp: a connection was closed: {MAX_CONNECTIONS} are open already");
            }
            Ok((stream, peer)) => {
                let connections = Arc::clone(&connections);
                tokio::spawn(async move {
                    let _open = Open::new(&connections);
                    if let Err(error) = connections.accepted(stream, peer).await {
                        log::warn!("tcp: the connection from {peer} was closed: {error}");
                    }
                });
            }
            Err(error) => {
                log::warn!("tcp: no connection can be accepted at the moment: {error}");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Connects, and connects again whenever the connection ends, until the process stops.
async fn connect(connections: Arc<Connections>, host: String, port: u16) {
    let mut stopping = connections.stopping.clone();
    loop {
        let connected = tokio::select! {
            biased;
            _ = stopping.wait_for(|stop| *stop) => return,
            connected = timeout(HANDSHAKE, TcpStream::connect((host.as_str(), port))) => connected,
        };
        let connected = connected.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()));
        let ended = match connected {
            Ok(stream) => {
                let _open = Open::new(&connections);
                connections.connected(stream, &host).await
            }
            Err(error) => Err(error.to_string()),
        };
        match ended {
            Ok(()) => log::info!("tcp: {host}:{port} closed the connection"),
            Err(error) => log::warn!("tcp: no connection to {host}:{port}: {error}"),
        }
        tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => return,
            () = sleep(RECONNECT) => {}
        }
    }
}

/// Addresses that a line of the PROXY protocol tells.
#[derive(Debug, PartialEq, Eq)]
struct Proxied {
    client: SocketAddr,
    proxy: SocketAddr,
}

impl Connections {
    async fn accepted(&self, mut stream: TcpStream, peer: SocketAddr) -> Result<(), String> {
        self.keep_alive(&stream);
        let proxied = if self.settings.proxy_protocol {
            let header = timeout(HANDSHAKE, proxy_header(&mut stream)).await;
            header.unwrap_or_else(|_| Err("it sent no line of the PROXY protocol".to_owned()))?
        } else {
            None
        };
        let Tls::Accept(acceptor) = &self.settings.tls else {
            let attrs = self.attrs(peer, proxied.as_ref(), None).await;
            self.read(stream, attrs).await;
            return Ok(());
        };
        let accepted = timeout(HANDSHAKE, acceptor.accept(stream)).await;
        let stream = accepted
            .unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
            .map_err(|error| format!("no TLS handshake: {error}"))?;
        let certificates = stream.get_ref().1.peer_certificates();
        let subject = certificates
            .and_then(<[_]>::first)
            .and_then(|first| tls::subject(first));
        let attrs = self.attrs(peer, proxied.as_ref(), subject).await;
        self.read(stream, attrs).await;
        Ok(())
    }

    async fn connected(&self, stream: TcpStream, host: &str) -> Result<(), String> {
        self.keep_alive(&stream);
        let peer = stream.peer_addr().map_err(|error| error.to_string())?;
        let attrs = self.attrs(peer, None, None).await;
        let Tls::Connect(connector) = &self.settings.tls else {
            self.read(stream, attrs).await;
            return Ok(());
        };
        let name = rustls::pki_types::ServerName::try_from(host.to_owned())
            .map_err(|error| format!("`host` is no name that a certificate could have: {error}"))?;
        let connected = timeout(HANDSHAKE, connector.connect(name, stream)).await;
        let stream = connected
            .unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
            .map_err(|error| format!("no TLS handshake: {error}"))?;
        self.read(stream, attrs).await;
        Ok(())
    }

    fn keep_alive(&self, stream: &TcpStream) {
        if self.settings.keep_alive
            && let Err(error) = socket2::SockRef::from(stream).set_keepalive(true)
        {
            log::warn!("tcp: tcp_keep_alive cannot be set: {error}");
        }
    }

    /// The fields of a connection's events.
    async fn attrs(
        &self,
        peer: SocketAddr,
        proxied: Option<&Proxied>,
        subject: Option<String>,
    ) -> Arc<Attrs> {
        let fields = &self.settings.fields;
        let client = proxied.map_or(peer, |proxied| proxied.client);
        let ip = client.ip().to_canonical();
        let name = match &self.names {
            Some(names) => names.name_of(ip).await,
            None => None,
        };
        let ip = ip.to_string();
        let mut attrs = vec![
            text_attr(&fields.name, name.unwrap_or_else(|| ip.clone())),
            text_attr(&fields.ip, ip),
            int_attr(&fields.port, client.port()),
        ];
        if let (Some((ip, port)), Some(proxied)) = (&fields.proxy, proxied) {
            attrs.push(text_attr(ip, proxied.proxy.ip().to_canonical().to_string()));
            attrs.push(int_attr(port, proxied.proxy.port()));
        }
        if let Some(subject) = subject {
            attrs.push(text_attr(&fields.subject, subject));
        }
        Arc::new(Attrs {
            fields: attrs,
            offset_field: None,
        })
    }

    /// Reads a connection to its end. While the pipeline has no room, nothing is read.
    async fn read(&self, mut stream: impl AsyncRead + Unpin, attrs: Arc<Attrs>) {
        let mut framer = self.codec.codec.framer(&Framing::Stream);
        let mut stopping = self.stopping.clone();
        let mut last_read = None;
        let (mut pos, mut room) = (0, FIRST_READ);
        loop {
            let mut block = Block::default();
            block.buf.reserve(room);
            let silence = framer.auto_flush().filter(|_| framer.is_holding());
            let patience = if last_read.is_some() {
                Some(LAST_WORDS)
            } else {
                silence
            };
            let read = tokio::select! {
                biased;
                read = stream.read_buf(&mut block.buf) => Some(read),
                _ = stopping.wait_for(|stop| *stop), if last_read.is_none() => {
                    last_read = Some(tokio::time::Instant::now() + LAST_READ);
                    continue;
                }
                () = sleep(patience.unwrap_or_default()), if patience.is_some() => None,
            };
            match read {
                Some(Ok(0)) => break,
                Some(Ok(len)) => {
                    room = next_room(room, len);
                    PluginMetrics::add(&self.intake.metrics().bytes, len as u64);
                    framer.feed(&mut block, 0, pos);
                    pos += len as u64;
                }
                Some(Err(error)) => {
                    log::debug!("tcp: a connection broke off: {error}");
                    break;
                }
                None if last_read.is_some() => break,
                None => framer.flush(&mut block),
            }
            if !self.leave(block, framer.settled(), &attrs).await
                || last_read.is_some_and(|until| tokio::time::Instant::now() >= until)
            {
                break;
            }
        }
        let mut block = Block::default();
        framer.flush(&mut block);
        self.leave(block, framer.settled(), &attrs).await;
    }

    /// Hands the records of a block over. False when the pipeline is gone.
    async fn leave(&self, mut block: Block, settled: u64, attrs: &Arc<Attrs>) -> bool {
        if block.recs.is_empty() {
            return true;
        }
        block.end_run(None, attrs, settled);
        if block.buf.capacity() > block.buf.len() * 2 {
            block.buf.shrink_to_fit();
        }
        self.intake.send(block).await
    }
}

/// How much to make room for after a read of `len` bytes into `room`: busy connections read more at a time.
fn next_room(room: usize, len: usize) -> usize {
    if len >= room {
        (room * 2).min(LARGEST_READ)
    } else if len < room / 4 {
        (room / 2).max(FIRST_READ)
    } else {
        room
    }
}

/// Reads the line of the PROXY protocol, and not a byte more: what follows may be a TLS handshake.
async fn proxy_header(stream: &mut TcpStream) -> Result<Option<Proxied>, String> {
    const LONGEST: usize = 107;
    let mut seen = [0; LONGEST];
    loop {
        let len = stream
            .peek(&mut seen)
            .await
            .map_err(|error| error.to_string())?;
        let line = seen.get(..len).unwrap_or_default();
        if let Some(end) = memchr::memmem::find(line, b"\r\n") {
            let mut taken = vec![0; end + 2];
            stream
                .read_exact(&mut taken)
                .await
                .map_err(|error| error.to_string())?;
            return read_proxy_line(line.get(..end).unwrap_or_default());
        }
        let begun = line.len().min(6);
        if len == 0 || len == LONGEST || line.get(..begun) != b"PROXY ".get(..begun) {
            return Err("it does not begin with a line of the PROXY protocol".to_owned());
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// `PROXY TCP4 client proxy client-port proxy-port`, or `PROXY UNKNOWN …`.
fn read_proxy_line(line: &[u8]) -> Result<Option<Proxied>, String> {
    let wrong = || {
        format!(
            "`{}` is no line of the PROXY protocol",
            String::from_utf8_lossy(line)
        )
    };
    let text = std::str::from_utf8(line).map_err(|_| wrong())?;
    let words: Vec<&str> = text.split(' ').collect();
    match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => Ok(None),
        [
            "PROXY",
            "TCP4" | "TCP6",
            client,
            proxy,
            client_port,
            proxy_port,
        ] => {
            let address = |ip: &str, port: &str| {
                Some(SocketAddr::new(
                    ip.parse::<IpAddr>().ok()?,
                    port.parse().ok()?,
                ))
            };
            let client = address(client, client_port).ok_or_else(wrong)?;
            let proxy = address(proxy, proxy_port).ok_or_else(wrong)?;
            Ok(Some(Proxied { client, proxy }))
        }
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream as Client;
    use std::time::Instant;

    use super::*;
    use crate::inputs::testing::{CODECS, Drain, free_port, start, start_cx, texts};
    use crate::plugin::Ecs;
    use crate::plugin::testing::{build, parse_plugin};

    fn records(blocks: &[Block]) -> Vec<String> {
        let mut out = Vec::new();
        for block in blocks {
            texts(block, &mut out);
        }
        out
    }

    fn attrs(block: &Block) -> Vec<String> {
        let fields = &block.runs[0].attrs.fields;
        fields
            .iter()
            .map(|attr| String::from_utf8(attr.text.clone()).unwrap())
            .collect()
    }

    fn config(options: &str) -> (u16, String) {
        let port = free_port();
        (
            port,
            format!(
                "tcp {{ port => {port} host => '127.0.0.1' dns_reverse_lookup_enabled => false {options} }}"
            ),
        )
    }

    #[test]
    fn lines_of_several_connections() {
        let (cx, _, stop) = start_cx();
        let (port, config) = config("codec => json tcp_keep_alive => true");
        let mut started = start(SPEC, &config, cx).unwrap();
        let mut one = Client::connect(("127.0.0.1", port)).unwrap();
        let mut other = Client::connect(("127.0.0.1", port)).unwrap();
        one.write_all(b"{\"a\":").unwrap();
        other.write_all(b"{\"b\":2}\n{\"b\":3}").unwrap();
        one.write_all(b"1}\n").unwrap();
        drop(other);
        let blocks = Drain::default().until_records(&mut *started.source, 3);
        let mut left = records(&blocks);
        left.sort();
        assert_eq!(left, ["{\"a\":1}", "{\"b\":2}", "{\"b\":3}"]);
        assert!(
            started.source.idle_reason().contains("1 connections"),
            "{}",
            started.source.idle_reason()
        );
        let expected = one.local_addr().unwrap().port().to_string();
        let found = blocks
            .iter()
            .find(|block| records(std::slice::from_ref(block)).contains(&"{\"a\":1}".to_owned()));
        assert_eq!(attrs(found.unwrap())[..2], ["127.0.0.1", "127.0.0.1"]);
        assert!(
            blocks
                .iter()
                .flat_map(|block| &block.runs)
                .any(|run| run.attrs.fields[2].text == expected.as_bytes())
        );
        stop.send(true).unwrap();
        assert_eq!(
            Drain::default().until_end(&mut *started.source),
            Vec::<String>::new()
        );
    }

    #[test]
    fn what_was_sent_before_the_stop_arrives() {
        let (cx, _, stop) = start_cx();
        let (port, config) = config("");
        let mut started = start(SPEC, &config, cx).unwrap();
        let mut client = Client::connect(("127.0.0.1", port)).unwrap();
        client.write_all(b"whole\npart").unwrap();
        while !started.source.idle_reason().contains("1 connections") {
            std::thread::sleep(Duration::from_millis(1));
        }
        stop.send(true).unwrap();
        assert_eq!(
            Drain::default().until_end(&mut *started.source),
            ["whole", "part"]
        );
    }

    #[test]
    fn a_full_pipeline_makes_senders_wait() {
        let (cx, _, _stop) = start_cx();
        let metrics = Arc::clone(&cx.metrics);
        let (port, config) = config("");
        let mut started = start(SPEC, &config, cx).unwrap();
        let mut client = Client::connect(("127.0.0.1", port)).unwrap();
        let sender = std::thread::spawn(move || {
            let line = [&[b'x'; 1023][..], b"\n"].concat();
            let chunk = line.repeat(1024);
            for _ in 0..64 {
                client.write_all(&chunk).unwrap();
            }
        });
        let mut before = u64::MAX;
        while before != metrics.bytes.load(Relaxed) {
            before = metrics.bytes.load(Relaxed);
            std::thread::sleep(Duration::from_millis(100));
        }
        assert!(before < 40 << 20 && !sender.is_finished(), "{before}");
        let blocks = Drain::default().until_records(&mut *started.source, 64 * 1024);
        sender.join().unwrap();
        assert_eq!(
            blocks.iter().map(|block| block.recs.len()).sum::<usize>(),
            64 * 1024
        );
    }

    #[test]
    fn the_proxy_tells_the_client() {
        let (cx, _, _stop) = start_cx();
        let (port, config) = config("proxy_protocol => true");
        let mut started = start(SPEC, &config, cx).unwrap();
        let mut client = Client::connect(("127.0.0.1", port)).unwrap();
        client.write_all(b"PROXY TCP4 192.0.2.1 ").unwrap();
        std::thread::sleep(Duration::from_millis(30));
        client.write_all(b"192.0.2.2 1111 2222\r\nline\n").unwrap();
        let blocks = Drain::default().until_records(&mut *started.source, 1);
        assert_eq!(records(&blocks), ["line"]);
        assert_eq!(
            attrs(&blocks[0]),
            ["192.0.2.1", "192.0.2.1", "1111", "192.0.2.2", "2222"]
        );
        let mut wrong = Client::connect(("127.0.0.1", port)).unwrap();
        wrong.write_all(b"no such line\n").unwrap();
        let closed = wrong.read(&mut [0; 1]);
        assert!(matches!(closed, Ok(0) | Err(_)));
        assert_eq!(read_proxy_line(b"PROXY UNKNOWN"), Ok(None));
        assert!(read_proxy_line(b"PROXY TCP4 a b 1 2").is_err());
    }

    #[test]
    fn a_client_connects_again_and_again() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let (cx, _, stop) = start_cx();
        let config = format!("tcp {{ mode => client host => '127.0.0.1' port => {port} }}");
        let mut started = start(SPEC, &config, cx).unwrap();
        server.accept().unwrap().0.write_all(b"a\nb").unwrap();
        let blocks = Drain::default().until_records(&mut *started.source, 2);
        assert_eq!(records(&blocks), ["a", "b"]);
        let begun = Instant::now();
        stop.send(true).unwrap();
        Drain::default().until_end(&mut *started.source);
        assert!(begun.elapsed() < Duration::from_secs(2));
    }

    #[test]
    fn a_port_in_use_is_told() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let (cx, _, _) = start_cx();
        let error = start(
            SPEC,
            &format!("tcp {{ port => {port} host => '127.0.0.1' }}"),
            cx,
        )
        .err()
        .unwrap();
        assert!(
            error.contains("in use") && error.contains("choose another `port`"),
            "{error}"
        );
    }

    /// A file of `testdata`: an authority, and what it signed for a server and a client.
    fn data(name: &str) -> String {
        let here = std::path::Path::new(file!()).parent().unwrap();
        here.join("testdata").join(name).display().to_string()
    }

    fn files(own: &str) -> TlsFiles {
        TlsFiles {
            certificate: Some(data(own).into()),
            key: Some(data(own).into()),
            authorities: vec![data("ca.pem").into()],
            ..TlsFiles::default()
        }
    }

    fn tls_client(
        port: u16,
        files: &TlsFiles,
    ) -> rustls::StreamOwned<rustls::ClientConnection, Client> {
        let config = files.client(Verification::Full).unwrap();
        let connection =
            rustls::ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
        rustls::StreamOwned::new(connection, Client::connect(("127.0.0.1", port)).unwrap())
    }

    #[test]
    fn a_client_shows_its_certificate() {
        let (cx, _, _stop) = start_cx();
        let pem = data("server.pem");
        let (port, config) = config(&format!(
            "ssl_enabled => true ssl_certificate => '{pem}' ssl_key => '{pem}' ssl_certificate_authorities => '{}'",
            data("ca.pem")
        ));
        let mut started = start(SPEC, &config, cx).unwrap();
        let mut client = tls_client(port, &files("client.pem"));
        client.write_all(b"secret\n").unwrap();
        client.flush().unwrap();
        let blocks = Drain::default().until_records(&mut *started.source, 1);
        assert_eq!(records(&blocks), ["secret"]);
        assert_eq!(attrs(&blocks[0])[3], "CN=client,O=Example\\, Ltd,C=XX");
        let nobody = TlsFiles {
            authorities: vec![data("ca.pem").into()],
            ..TlsFiles::default()
        };
        let mut stranger = tls_client(port, &nobody);
        let _ = stranger.write_all(b"hello\n");
        assert!(stranger.read(&mut [0; 1]).is_err());
        assert!(started.source.lost().is_none());
    }

    #[test]
    fn a_client_checks_its_server() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let serving = std::thread::spawn(move || {
            let config = files("server.pem")
                .server(ClientAuthentication::None)
                .unwrap();
            let connection = rustls::ServerConnection::new(config).unwrap();
            let stream = server.accept().unwrap().0;
            let mut stream = rustls::StreamOwned::new(connection, stream);
            stream.write_all(b"line\n").unwrap();
            stream.flush().unwrap();
            stream
        });
        let (cx, _, _stop) = start_cx();
        let ca = data("ca.pem");
        let config = format!(
            "tcp {{ mode => client host => localhost port => {port} ssl_enabled => true ssl_certificate_authorities => '{ca}' }}"
        );
        let mut started = start(SPEC, &config, cx).unwrap();
        let blocks = Drain::default().until_records(&mut *started.source, 1);
        assert_eq!(records(&blocks), ["line"]);
        drop(serving.join());
    }

    #[test]
    fn options_of_tls_are_checked() {
        let made = |options: &str| {
            let plugin = parse_plugin(&format!("tcp {{ port => 1 {options} }}"));
            let (input, _, diagnostics) = build(CODECS, Ecs::V8, |build| make(&plugin, build));
            let texts: Vec<String> = diagnostics
                .into_iter()
                .map(|diagnostic| diagnostic.message)
                .collect();
            (input.is_some(), texts.join("\n"))
        };
        let (made_it, text) = made("ssl_enabled => true");
        assert!(
            !made_it && text.contains("ssl_certificate_authorities"),
            "{text}"
        );
        let (made_it, text) = made("ssl_enable => true ssl_verify => false");
        assert!(
            !made_it && text.contains("ssl_key") && text.contains("old name"),
            "{text}"
        );
        let (made_it, text) = made("ssl_certificate => '/x'");
        assert!(made_it && text.contains("ssl_enabled"), "{text}");
        let (made_it, text) = made("codec => json { target => 'x' }");
        assert!(made_it && text.contains("json_lines"), "{text}");
        let (made_it, text) = made("ssl_key_passphrase => 'x'");
        assert!(!made_it && text.contains("ssl_key_passphrase"), "{text}");
    }
}
