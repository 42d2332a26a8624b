//! Inputs: where bytes come from, a file each.

pub mod channel;
pub mod file;
pub mod generator;
mod reverse_dns;
pub mod stdin;
pub mod tcp;
mod tls;
pub mod udp;

use crate::event::{Kind, Path};
use crate::plugin::options::CodecRef;
use crate::plugin::{Attr, Build};

/// The name of this machine, as inputs put it into `host`.
#[must_use]
pub fn hostname() -> String {
    let named = |text: String| {
        let text = text.trim().to_owned();
        (!text.is_empty()).then_some(text)
    };
    ["/proc/sys/kernel/hostname", "/etc/hostname"]
        .iter()
        .find_map(|file| std::fs::read_to_string(file).ok().and_then(named))
        .or_else(|| std::env::var("HOSTNAME").ok().and_then(named))
        .unwrap_or_else(|| "localhost".to_owned())
}

/// Why a socket could not be opened, and what to do.
pub(crate) fn cannot_listen(plugin: &str, host: &str, port: u16, error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    let remedy = match error.kind() {
        ErrorKind::AddrInUse => {
            "the port is in use: stop the other process, or choose another `port`"
        }
        ErrorKind::PermissionDenied if port < 1024 => {
            "ports below 1024 need a privilege: choose another `port`, or give the process CAP_NET_BIND_SERVICE"
        }
        ErrorKind::AddrNotAvailable => {
            "this machine has no such address: set `host` to one of its own, or to 0.0.0.0"
        }
        _ => "is `host` an address of this machine?",
    };
    format!("{plugin}: cannot listen on {host}:{port}: {error}; {remedy}")
}

/// A text that every event of a stream gets.
pub(crate) fn text_attr(path: &Path, text: impl Into<String>) -> Attr {
    Attr {
        path: path.clone(),
        kind: Kind::Str,
        text: text.into().into_bytes(),
    }
}

/// An integer that every event of a stream gets.
pub(crate) fn int_attr(path: &Path, number: impl std::fmt::Display) -> Attr {
    Attr {
        path: path.clone(),
        kind: Kind::Int,
        text: number.to_string().into_bytes(),
    }
}

/// The codec that an input which reads a stream of bytes takes for the one that is written: `line` for `plain` and
/// `json_lines` for `json`, of whose options only `charset` (and our `keep_original`) is carried over, as in the
/// original (`fix_streaming_codecs`).
pub(crate) fn streaming_codec(codec: CodecRef, build: &mut Build<'_>) -> Option<CodecRef> {
    let (name, carried): (&str, &[&str]) = match codec.name.as_str() {
        "plain" => ("line", &["charset", "keep_original", "ecs_compatibility"]),
        "json" => ("json_lines", &["charset", "ecs_compatibility"]),
        _ => return Some(codec),
    };
    let mut plugin = codec.plugin.clone();
    name.clone_into(&mut plugin.name.text);
    let written = plugin.attrs.len();
    plugin
        .attrs
        .retain(|attr| carried.contains(&attr.name.text.as_str()));
    if plugin.attrs.len() < written {
        let message = format!(
            "this input reads a stream and takes the codec `{name}` for `{}`, without its other options",
            codec.name
        );
        build.warn("codec-substituted", message, codec.plugin.name.span);
    }
    Some(CodecRef {
        name: name.to_owned(),
        codec: build.codec(&plugin)?,
        plugin,
    })
}

#[cfg(test)]
pub(crate) mod testing;
