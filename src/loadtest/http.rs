//! A GET over a plain socket, for the small answers of our own processes.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longest time for each step of a request.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest answer, bytes.
const MAX_ANSWER: u64 = 64 << 20;

/// The body that `http://address/path` answers with status 200.
///
/// # Errors
/// A sentence, when nobody answers or the answer is not 200.
pub fn get(address: SocketAddr, path: &str) -> Result<String, String> {
    let answer = exchange(address, path)
        .map_err(|error| format!("no answer from http://{address}{path}: {error}"))?;
    let bad = || format!("no proper answer from http://{address}{path}");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(bad)?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        Some(status) => Err(format!("http://{address}{path} answers {status}")),
        None => Err(bad()),
    }
}

fn exchange(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    // A client of HTTP/1.0 gets an unchunked body that ends with the connection.
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
    Ok(answer)
}

/// A port of this machine that is free at the moment.
///
/// # Errors
/// A sentence, when there is none.
pub fn free_port() -> Result<SocketAddr, String> {
    let bound =
        std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    bound.map_err(|error| format!("no free port on 127.0.0.1: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answering(answer: &'static str) -> SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1000]).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        });
        address
    }

    #[test]
    fn bodies_come_whole_and_refusals_are_errors() {
        assert_eq!(
            get(
                answering("HTTP/1.0 200 OK\r\nA: b\r\n\r\nbo\r\n\r\ndy"),
                "/x"
            ),
            Ok("bo\r\n\r\ndy".to_owned())
        );
        assert!(
            get(answering("HTTP/1.0 404 Not Found\r\n\r\n"), "/x")
                .unwrap_err()
                .ends_with("/x answers 404")
        );
        assert!(get(answering("nonsense"), "/x").is_err());
        assert!(
            get(free_port().unwrap(), "/x")
                .unwrap_err()
                .starts_with("no answer from http://127.0.0.1:")
        );
    }
}
