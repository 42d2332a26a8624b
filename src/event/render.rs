//! The text form of values, as sprintf and the plain codec print them.

use super::batch::{Batch, EventId};
use super::keys::slot;
use super::value::{Kind, Value};

impl Batch {
    /// Appends the text form of a value; false (and nothing) for a missing or null one.
    ///
    /// Strings as they are, integers decimal, floats as Java prints them, booleans, times in ISO 8601,
    /// arrays joined by commas, objects as JSON. Source: Logstash `StringInterpolation`.
    pub fn render(&mut self, value: Value, out: &mut Vec<u8>) -> bool {
        match value.kind {
            Kind::Absent | Kind::Null => return false,
            Kind::EscStr => {
                let decoded = self.decode_string(value);
                out.extend_from_slice(self.bytes(decoded));
            }
            Kind::Str | Kind::Int | Kind::True | Kind::False => {
                out.extend_from_slice(self.bytes(value));
            }
            Kind::Float => self.render_float(value, out),
            Kind::Time => {
                if let Some(at) = self.time(value) {
                    self.write_time(at, out);
                }
            }
            Kind::RawObject | Kind::Map => self.write_java_json(value, out),
            Kind::RawArray | Kind::List => self.render_list(value, out),
        }
        true
    }

    fn render_float(&self, value: Value, out: &mut Vec<u8>) {
        match std::str::from_utf8(self.bytes(value))
            .ok()
            .and_then(|text| text.parse::<f64>().ok())
        {
            Some(number) => java_double(number, out),
            None => out.extend_from_slice(self.bytes(value)),
        }
    }

    fn render_list(&mut self, list: Value, out: &mut Vec<u8>) {
        let list = self.expand(list);
        for at in 0..self.node_len(list) {
            if at > 0 {
                out.push(b',');
            }
            let value = self.node_value(list, at);
            if value.is_object() {
                self.render_java_map(value, out);
            } else {
                self.render(value, out);
            }
        }
    }

    /// `{k=v, k2=v2}`: how Java prints a map that lies in a list.
    pub fn render_java_map(&mut self, map: Value, out: &mut Vec<u8>) {
        let map = self.expand(map);
        out.push(b'{');
        for at in 0..self.node_len(map) {
            if at > 0 {
                out.extend_from_slice(b", ");
            }
            let key = self.map_key(map, at);
            out.extend_from_slice(self.bytes(key));
            out.push(b'=');
            let value = self.node_value(map, at);
            match value.kind {
                Kind::RawObject | Kind::Map => self.render_java_map(value, out),
                Kind::RawArray | Kind::List => {
                    let list = self.expand(value);
                    out.push(b'[');
                    for at in 0..self.node_len(list) {
                        if at > 0 {
                            out.extend_from_slice(b", ");
                        }
                        let inner = self.node_value(list, at);
                        if inner.is_object() {
                            self.render_java_map(inner, out);
                        } else if !self.render(inner, out) {
                            out.extend_from_slice(b"null");
                        }
                    }
                    out.push(b']');
                }
                _ => {
                    if !self.render(value, out) {
                        out.extend_from_slice(b"null");
                    }
                }
            }
        }
        out.push(b'}');
    }

    /// Compact JSON: blanks between the tokens of the source are not kept, floats are in Java's form.
    fn write_java_json(&mut self, value: Value, out: &mut Vec<u8>) {
        let value = self.expand(value);
        match value.kind {
            Kind::Map | Kind::List => {
                let map = value.kind == Kind::Map;
                out.push(if map { b'{' } else { b'[' });
                for at in 0..self.node_len(value) {
                    if at > 0 {
                        out.push(b',');
                    }
                    if map {
                        out.push(b'"');
                        let key = self.map_key(value, at);
                        super::text::escape_into(self.bytes(key), out);
                        out.extend_from_slice(b"\":");
                    }
                    let inner = self.node_value(value, at);
                    self.write_java_json(inner, out);
                }
                out.push(if map { b'}' } else { b']' });
            }
            Kind::Float => self.render_float(value, out),
            _ => self.write_json(value, out),
        }
    }

    /// Appends an event's text as the plain and line codecs print it without a format:
    /// `<@timestamp> <host> <message>`.
    pub fn render_event(&mut self, id: EventId, out: &mut Vec<u8>) {
        for (at, slot) in [slot::TIMESTAMP, slot::HOST, slot::MESSAGE]
            .into_iter()
            .enumerate()
        {
            if at > 0 {
                out.push(b' ');
            }
            let value = self.get_slot(id, slot);
            if value.is_object() {
                self.render_java_map(value, out);
            } else if !self.render(value, out) && slot != slot::TIMESTAMP {
                out.extend_from_slice(b"%{");
                let keys = std::sync::Arc::clone(&self.keys);
                out.extend_from_slice(keys.name(slot));
                out.push(b'}');
            }
        }
    }
}

/// Appends a double as Java's `Double.toString` prints it since JDK 19: the shortest digits that read back
/// as the same number, plain for 1e-3 ≤ |x| < 1e7, else with an exponent.
pub fn java_double(number: f64, out: &mut Vec<u8>) {
    if !number.is_finite() {
        let text: &[u8] = if number.is_nan() {
            b"NaN"
        } else if number > 0.0 {
            b"Infinity"
        } else {
            b"-Infinity"
        };
        out.extend_from_slice(text);
        return;
    }
    if number == 0.0 {
        out.extend_from_slice(if number.is_sign_negative() {
            b"-0.0"
        } else {
            b"0.0"
        });
        return;
    }
    // `{:e}` prints the shortest digits: d[.ddd]e±x
    let text = format!("{number:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let mantissa = mantissa.strip_prefix('-').map_or(mantissa, |rest| {
        out.push(b'-');
        rest
    });
    let digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
    let magnitude = number.abs();
    if !(1e-3..1e7).contains(&magnitude) {
        out.push(digits[0]);
        out.push(b'.');
        out.extend_from_slice(if digits.len() > 1 { &digits[1..] } else { b"0" });
        out.push(b'E');
        out.extend_from_slice(exponent.to_string().as_bytes());
        return;
    }
    let Ok(point) = usize::try_from(exponent) else {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(
            b'0',
            usize::try_from(-exponent - 1).unwrap_or(0),
        ));
        out.extend_from_slice(&digits);
        return;
    };
    let whole = point + 1;
    out.extend_from_slice(&digits[..whole.min(digits.len())]);
    out.extend(std::iter::repeat_n(
        b'0',
        whole.saturating_sub(digits.len()),
    ));
    out.push(b'.');
    out.extend_from_slice(if digits.len() > whole {
        &digits[whole..]
    } else {
        b"0"
    });
}

/// Decimal text of an integer, written from the end of the buffer.
pub(crate) fn format_int(number: i64, buffer: &mut [u8; 20]) -> &[u8] {
    let mut at = buffer.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        buffer[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        at -= 1;
        buffer[at] = b'-';
    }
    &buffer[at..]
}
