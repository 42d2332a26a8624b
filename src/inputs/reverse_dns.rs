//! Names of addresses, for inputs that put the peer's name into its events.
//!
//! The hosts file is asked first, then the first name server of the resolver's configuration, by one question over
//! UDP. A server that does not answer is left alone for a while, so that a connection never waits long for a name.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long an answer is remembered, and how long a silent server is left alone.
const REMEMBER: Duration = Duration::from_mins(1);
/// Addresses that are remembered.
const KNOWN: usize = 4_096;

/// Finds names of addresses and remembers them.
#[derive(Debug)]
pub struct ReverseDns {
    hosts: HashMap<IpAddr, String>,
    server: Option<SocketAddr>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    known: HashMap<IpAddr, (Option<String>, Instant)>,
    silent_since: Option<Instant>,
}

impl ReverseDns {
    /// Reads the system's hosts file and its resolver's configuration.
    #[must_use]
    pub fn of_system() -> Self {
        let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
        Self::new(&read("/etc/hosts"), &read("/etc/resolv.conf"))
    }

    fn new(hosts: &str, resolver: &str) -> Self {
        let mut names = HashMap::new();
        for line in hosts.lines() {
            let mut words = line
                .split('#')
                .next()
                .unwrap_or_default()
                .split_whitespace();
            if let (Some(Ok(ip)), Some(name)) =
                (words.next().map(str::parse::<IpAddr>), words.next())
            {
                names.entry(ip).or_insert_with(|| name.to_owned());
            }
        }
        let server = resolver.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some("nameserver"))
                .then(|| words.next()?.parse::<IpAddr>().ok())
                .flatten()
        });
        ReverseDns {
            hosts: names,
            server: server.map(|ip| SocketAddr::new(ip, 53)),
            state: Mutex::default(),
        }
    }

    /// The name of an address, if it has one and a server tells it in time.
    pub async fn name_of(&self, ip: IpAddr) -> Option<String> {
        let ip = ip.to_canonical();
        if let Some(name) = self.hosts.get(&ip) {
            return Some(name.clone());
        }
        let server = self.server?;
        {
            let state = crate::lock(&self.state);
            if let Some((name, at)) = state.known.get(&ip)
                && at.elapsed() < REMEMBER
            {
                return name.clone();
            }
            if state
                .silent_since
                .is_some_and(|since| since.elapsed() < REMEMBER)
            {
                return None;
            }
        }
        let answer = tokio::time::timeout(PATIENCE, ask(server, ip)).await;
        let mut state = crate::lock(&self.state);
        let Ok(Ok(name)) = answer else {
            state.silent_since = Some(Instant::now());
            return None;
        };
        if state.known.len() >= KNOWN {
            state.known.clear();
        }
        state.known.insert(ip, (name.clone(), Instant::now()));
        name
    }
}

/// Asks for the PTR record of an address.
async fn ask(server: SocketAddr, ip: IpAddr) -> std::io::Result<Option<String>> {
    let own: IpAddr = if server.is_ipv4() {
        [0, 0, 0, 0].into()
    } else {
        [0_u16; 8].into()
    };
    let socket = UdpSocket::bind((own, 0)).await?;
    // Answers of others than the connected server are not received.
    socket.connect(server).await?;
    // The port, which the system picks, doubles as the question's number.
    let id = socket.local_addr()?.port().wrapping_mul(40_503);
    socket.send(&question(id, ip)).await?;
    let mut answer = [0; 1_500];
    loop {
        let len = socket.recv(&mut answer).await?;
        let answer = answer.get(..len).unwrap_or_default();
        if answer.get(..2) == Some(&id.to_be_bytes()) {
            return Ok(read_answer(answer));
        }
    }
}

/// `4.3.2.1.in-addr.arpa`, or its counterpart for IPv6.
fn reverse_name(ip: IpAddr) -> String {
    use std::fmt::Write as _;
    let mut name = String::new();
    match ip {
        IpAddr::V4(ip) => {
            for part in ip.octets().iter().rev() {
                let _ = write!(name, "{part}.");
            }
            name.push_str("in-addr.arpa");
        }
        IpAddr::V6(ip) => {
            for part in ip.octets().iter().rev() {
                let _ = write!(name, "{:x}.{:x}.", part & 0xF, part >> 4);
            }
            name.push_str("ip6.arpa");
        }
    }
    name
}

fn question(id: u16, ip: IpAddr) -> Vec<u8> {
    let mut out = id.to_be_bytes().to_vec();
    // A recursive question, and one of it.
    out.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in reverse_name(ip).split('.') {
        out.push(u8::try_from(label.len()).unwrap_or(0));
        out.extend_from_slice(label.as_bytes());
    }
    // The root, type PTR, class IN.
    out.extend_from_slice(&[0, 0, 12, 0, 1]);
    out
}

/// The first name that an answer tells.
fn read_answer(answer: &[u8]) -> Option<String> {
    let number = |at: usize| {
        Some(usize::from(u16::from_be_bytes(
            answer.get(at..at + 2)?.try_into().ok()?,
        )))
    };
    let (questions, answers) = (number(4)?, number(6)?);
    let mut at = 12;
    for _ in 0..questions.min(4) {
        at = skip_name(answer, at)? + 4;
    }
    for _ in 0..answers.min(16) {
        at = skip_name(answer, at)?;
        let (kind, len) = (number(at)?, number(at + 8)?);
        if kind == 12 {
            return read_name(answer, at + 10);
        }
        at += 10 + len;
    }
    None
}

fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let len = usize::from(*message.get(at)?);
        match len {
            0 => return Some(at + 1),
            0xC0.. => return Some(at + 2),
            1..0x40 => at += 1 + len,
            _ => return None,
        }
    }
}

fn read_name(message: &[u8], mut at: usize) -> Option<String> {
    let mut name = String::new();
    // A name has at most 127 labels; a pointer that goes round in circles ends here too.
    for _ in 0..256 {
        let len = usize::from(*message.get(at)?);
        match len {
            0 => return (!name.is_empty()).then_some(name),
            0xC0.. => at = (len & 0x3F) << 8 | usize::from(*message.get(at + 1)?),
            1..0x40 => {
                if !name.is_empty() {
                    name.push('.');
                }
                name.push_str(std::str::from_utf8(message.get(at + 1..at + 1 + len)?).ok()?);
                at += 1 + len;
            }
            _ => return None,
        }
        if name.len() > 255 {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    }

    #[test]
    fn the_hosts_file_is_asked_first() {
        let dns = ReverseDns::new("127.0.0.1 localhost x # y\n::1 six\n# 10.0.0.1 no\n", "");
        runtime().block_on(async {
            assert_eq!(
                dns.name_of([127, 0, 0, 1].into()).await.as_deref(),
                Some("localhost")
            );
            assert_eq!(
                dns.name_of("::ffff:127.0.0.1".parse().unwrap())
                    .await
                    .as_deref(),
                Some("localhost")
            );
            assert_eq!(dns.name_of([10, 0, 0, 1].into()).await, None);
        });
        let dns = ReverseDns::new(
            "",
            "# x\nsearch a\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n",
        );
        assert_eq!(dns.server, Some("192.0.2.1:53".parse().unwrap()));
    }

    #[test]
    fn a_server_is_asked_once() {
        runtime().block_on(async {
            let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let mut dns = ReverseDns::new("", "");
            dns.server = Some(server.local_addr().unwrap());
            let answering = tokio::spawn(async move {
                let mut buffer = [0; 512];
                let (len, from) = server.recv_from(&mut buffer).await.unwrap();
                let mut answer = buffer[..len].to_vec();
                answer[7] = 1;
                // The name of the question, PTR, IN, a day, 10 bytes: `host` and a pointer to `arpa`.
                answer.extend_from_slice(&[0xC0, 12, 0, 12, 0, 1, 0, 1, 81, 128, 0, 7]);
                answer.extend_from_slice(b"\x04host");
                let arpa = len - 4 - 6;
                answer.extend_from_slice(&[0xC0, u8::try_from(arpa).unwrap()]);
                server.send_to(&answer, from).await.unwrap();
            });
            for _ in 0..2 {
                assert_eq!(
                    dns.name_of([192, 0, 2, 7].into()).await.as_deref(),
                    Some("host.arpa")
                );
            }
            answering.await.unwrap();
        });
    }

    #[test]
    fn questions_and_hostile_answers() {
        assert_eq!(reverse_name([1, 2, 3, 4].into()), "4.3.2.1.in-addr.arpa");
        assert!(reverse_name("2001:db8::1".parse().unwrap()).starts_with("1.0.0.0."));
        let mut circle = question(1, [1, 2, 3, 4].into());
        circle[7] = 1;
        let start = u8::try_from(circle.len() + 12).unwrap();
        circle.extend_from_slice(&[0xC0, 12, 0, 12, 0, 1, 0, 0, 0, 0, 0, 2, 0xC0, start]);
        for end in 0..=circle.len() {
            assert_eq!(read_answer(&circle[..end]), None);
        }
    }
}
