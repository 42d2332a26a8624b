//! `udp`: datagrams, a message each.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::BufMut as _;
use rustc_hash::FxHashMap;
use tokio::net::UdpSocket;
use tokio::sync::watch;

use super::channel::{Channel, Intake};
use super::text_attr;
use crate::event::Path;
use crate::language::ast::Plugin;
use crate::options;
use crate::plugin::options::CodecRef;
use crate::plugin::{
    Attrs, Block, Build, FieldRef, Framer, Framing, Input, Make, Options, PluginMetrics,
    PluginSpec, StartCx, Started,
};

options! {
    /// Options of the `udp` input.
    pub struct Config {
        /// How a datagram becomes events.
        codec: CodecRef = "plain";
        /// Port to listen on.
        port: u16;
        /// Address to listen on, or a name of this machine.
        host: String = "0.0.0.0";
        /// Longest datagram in bytes; what a longer one has beyond is cut off by the system.
        buffer_size: usize = 65_536;
        /// Size of the socket's receive buffer in the system, bytes. The system's own default when absent; most
        /// systems allow no more than `net.core.rmem_max`.
        receive_buffer_bytes: Option<usize>;
        /// Datagrams that may wait for a worker. More are dropped and counted.
        queue_size: u64 = 2_000;
        /// Field for the sender's address, set where an event has none: `[host][ip]`, or `host` without ECS
        /// compatibility, when absent.
        source_ip_fieldname: Option<FieldRef>;
    }
    no_effect { "workers" => "decoding runs in the pipeline's workers" }
}

/// `udp` for the catalogue.
pub const SPEC: PluginSpec = PluginSpec {
    name: "udp",
    about: "Receives datagrams; each is one message for the codec. Datagrams cannot be read again: what does not fit \
            into the queue is dropped and counted.",
    options: Config::specs,
    make: Make::Input(make),
};

/// A block of datagrams leaves when it holds so many bytes.
const BLOCK_BYTES: usize = 256 << 10;
/// Senders whose fields are remembered.
const KNOWN_SENDERS: usize = 4_096;

fn make(plugin: &Plugin, build: &mut Build<'_>) -> Option<Box<dyn Input>> {
    let config = Config::read(plugin, build)?;
    let ecs = build.ecs.enabled();
    let field = config.source_ip_fieldname.map_or_else(
        || build.path(if ecs { "[host][ip]" } else { "host" }),
        |field| field.path,
    );
    Some(Box::new(Udp {
        codec: config.codec,
        host: config.host,
        port: config.port,
        buffer_size: config.buffer_size.clamp(1, 65_536),
        receive_buffer_bytes: config.receive_buffer_bytes,
        queue_size: config.queue_size,
        field,
    }))
}

struct Udp {
    codec: CodecRef,
    host: String,
    port: u16,
    buffer_size: usize,
    receive_buffer_bytes: Option<usize>,
    queue_size: u64,
    field: Path,
}

impl Udp {
    fn bind(&self) -> Result<UdpSocket, String> {
        let fail =
            |error: std::io::Error| super::cannot_listen("udp", &self.host, self.port, &error);
        let address = (self.host.as_str(), self.port)
            .to_socket_addrs()
            .and_then(|mut found| found.next().ok_or_else(|| ErrorKind::NotFound.into()))
            .map_err(fail)?;
        let socket = std::net::UdpSocket::bind(address).map_err(fail)?;
        if let Some(wanted) = self.receive_buffer_bytes {
            let socket = socket2::SockRef::from(&socket);
            socket.set_recv_buffer_size(wanted).map_err(fail)?;
            // Linux tells twice what it grants, for its own book-keeping.
            let granted = socket.recv_buffer_size().unwrap_or(wanted);
            if granted < wanted {
                log::warn!(
                    "udp: the system grants a receive buffer of {granted} bytes, not {wanted}: raise net.core.rmem_max"
                );
            }
        }
        socket.set_nonblocking(true).map_err(fail)?;
        UdpSocket::from_std(socket).map_err(fail)
    }
}

impl Input for Udp {
    fn start(&self, cx: StartCx) -> Result<Started, String> {
        let _runtime = cx.runtime.enter();
        let socket = self.bind()?;
        let address = socket.local_addr().map_or_else(
            |_| format!("{}:{}", self.host, self.port),
            |addr| addr.to_string(),
        );
        log::info!("udp: listening on {address}");
        let metrics = Arc::clone(&cx.metrics);
        let (intake, channel) = Channel::new(
            "udp",
            Arc::clone(&cx.waker),
            Arc::clone(&cx.metrics),
            move || {
                let dropped = metrics.dropped.load(Relaxed);
                format!("udp: listening on {address}, {dropped} datagrams dropped so far")
            },
        );
        let receiver = Receiver {
            socket,
            intake,
            framer: self.codec.codec.framer(&Framing::Message),
            field: self.field.clone(),
            senders: FxHashMap::default(),
            buffer_size: self.buffer_size,
            queue_size: self.queue_size,
        };
        cx.runtime.spawn(receiver.run(cx.stopping));
        Ok(Started {
            source: Box::new(channel),
            checkpoints: None,
            codec: Arc::clone(&self.codec.codec),
            ordered: false,
        })
    }
}

struct Receiver {
    socket: UdpSocket,
    intake: Intake,
    framer: Box<dyn Framer>,
    field: Path,
    senders: FxHashMap<IpAddr, Arc<Attrs>>,
    buffer_size: usize,
    queue_size: u64,
}

impl Receiver {
    async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        loop {
            let ready = tokio::select! {
                _ = stopping.wait_for(|stop| *stop) => None,
                ready = self.socket.readable() => Some(ready),
            };
            match ready {
                Some(Ok(())) => self.receive(),
                Some(Err(error)) => {
                    log::error!("udp: cannot receive any further: {error}");
                    return;
                }
                None => {
                    // What the system has received so far is still taken.
                    self.receive();
                    return;
                }
            }
        }
    }

    /// Takes the datagrams that are there.
    fn receive(&mut self) {
        let mut block = Block::default();
        let mut dropped = 0;
        // A sender that never pauses must not keep the runtime's thread.
        for _ in 0..self.queue_size.clamp(1, 4_096) {
            let from = block.buf.len();
            block.buf.reserve(self.buffer_size);
            let mut room = (&mut block.buf).limit(self.buffer_size);
            match self.socket.try_recv_buf_from(&mut room) {
                Ok((len, sender)) => {
                    PluginMetrics::add(&self.intake.metrics().bytes, len as u64);
                    let waiting = self.intake.waiting() + block.recs.len() as u64;
                    if waiting >= self.queue_size {
                        dropped += 1;
                        block.buf.truncate(from);
                    } else {
                        self.datagram(&mut block, from, sender);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // On Linux, an earlier datagram of ours was refused: nothing to do with what is received.
                Err(error) => {
                    log::debug!("udp: {error}");
                    block.buf.truncate(from);
                }
            }
            if block.buf.len() >= BLOCK_BYTES {
                dropped += self.leave(std::mem::take(&mut block));
            }
        }
        dropped += self.leave(block);
        PluginMetrics::add(&self.intake.metrics().dropped, dropped);
    }

    fn datagram(&mut self, block: &mut Block, from: usize, sender: SocketAddr) {
        let len = block.buf.len() - from;
        self.framer.restart(0);
        self.framer.feed(block, from, 0);
        self.framer.flush(block);
        let attrs = self.sender(sender.ip());
        let records = u32::try_from(block.recs.len()).unwrap_or(u32::MAX);
        match block.runs.last_mut() {
            Some(run) if Arc::ptr_eq(&run.attrs, &attrs) => run.recs_end = records,
            _ => block.end_run(None, &attrs, len as u64),
        }
    }

    fn sender(&mut self, ip: IpAddr) -> Arc<Attrs> {
        if let Some(attrs) = self.senders.get(&ip) {
            return Arc::clone(attrs);
        }
        if self.senders.len() >= KNOWN_SENDERS {
            self.senders.clear();
        }
        let attrs = Arc::new(Attrs {
            fields: vec![text_attr(&self.field, ip.to_canonical().to_string())],
            offset_field: None,
        });
        self.senders.insert(ip, Arc::clone(&attrs));
        attrs
    }

    /// Hands a block over; returns how many of its datagrams were dropped for want of room.
    fn leave(&self, mut block: Block) -> u64 {
        if block.buf.capacity() > block.buf.len() * 2 {
            block.buf.shrink_to_fit();
        }
        match self.intake.try_send(block) {
            Ok(()) => 0,
            Err(block) => block.recs.len() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::inputs::testing::{Drain, free_port, start, start_cx, texts};

    #[test]
    fn datagrams_arrive_with_their_senders_address() {
        let port = free_port();
        let (cx, _, stop) = start_cx();
        let config = format!(
            "udp {{ port => {port} host => '127.0.0.1' codec => line receive_buffer_bytes => 100000 }}"
        );
        let mut started = start(SPEC, &config, cx).unwrap();
        assert!(
            started
                .source
                .idle_reason()
                .contains("listening on 127.0.0.1")
        );
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for text in ["one\ntwo", "three\n", ""] {
            socket
                .send_to(text.as_bytes(), ("127.0.0.1", port))
                .unwrap();
        }
        let blocks = Drain::default().until_records(&mut *started.source, 3);
        let mut out = Vec::new();
        for block in &blocks {
            texts(block, &mut out);
            let attr = &block.runs[0].attrs.fields[0];
            assert_eq!(attr.text, b"127.0.0.1");
        }
        assert_eq!(out, ["one", "two", "three"]);
        stop.send(true).unwrap();
        assert_eq!(
            Drain::default().until_end(&mut *started.source),
            Vec::<String>::new()
        );
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let port = free_port();
        let (cx, woken, _stop) = start_cx();
        let metrics = Arc::clone(&cx.metrics);
        let config = format!(
            "udp {{ port => {port} host => '127.0.0.1' queue_size => 2 buffer_size => 4 }}"
        );
        let mut started = start(SPEC, &config, cx).unwrap();
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..5 {
            socket.send_to(b"longer", ("127.0.0.1", port)).unwrap();
            let _ = woken.recv_timeout(Duration::from_millis(100));
        }
        let until = std::time::Instant::now() + Duration::from_secs(5);
        while metrics.dropped.load(Relaxed) < 3 && std::time::Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(metrics.dropped.load(Relaxed), 3);
        assert!(started.source.lost().unwrap().contains("2 records"));
        let blocks = Drain::default().until_records(&mut *started.source, 2);
        let mut out = Vec::new();
        for block in &blocks {
            texts(block, &mut out);
        }
        assert_eq!(out, ["long", "long"]);
    }

    #[test]
    fn a_port_in_use_is_told() {
        let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let (cx, _, _) = start_cx();
        let error = start(
            SPEC,
            &format!("udp {{ port => {port} host => '127.0.0.1' }}"),
            cx,
        )
        .err()
        .unwrap();
        assert!(
            error.contains(&port.to_string()) && error.contains("in use"),
            "{error}"
        );
    }
}
