//! What a database says of a network: any value that the MaxMind DB format has, and how fields are found in it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::fields::LAST;

/// A value of a database.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    Text(String),
    Float(f64),
    Whole(i128),
    Bool(bool),
    Map(Vec<(String, Data)>),
    List(Vec<Data>),
    /// Raw bytes, which no field has.
    Bytes,
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Data, D::Error> {
        deserializer.deserialize_any(DataVisitor)
    }
}

struct DataVisitor;

impl<'de> Visitor<'de> for DataVisitor {
    type Value = Data;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a MaxMind database")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Data, E> {
        Ok(Data::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Data, E> {
        Ok(Data::Whole(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Data, E> {
        Ok(Data::Whole(value.into()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Data, E> {
        Ok(Data::Whole(i128::try_from(value).unwrap_or(i128::MAX)))
    }

    fn visit_f32<E>(self, value: f32) -> Result<Data, E> {
        Ok(Data::Float(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Data, E> {
        Ok(Data::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Data, E> {
        Ok(Data::Text(value.to_owned()))
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Data, E> {
        Ok(Data::Bytes)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Data, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            list.push(element);
        }
        Ok(Data::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Data, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Data::Map(map))
    }
}

impl Data {
    fn step(&self, key: &str) -> Option<&Data> {
        match self {
            Data::Map(entries) => entries
                .iter()
                .find(|(name, _)| name == key)
                .map(|(_, value)| value),
            Data::List(elements) if key == LAST => elements.last(),
            _ => None,
        }
    }

    /// Appends the value as JSON.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Data::Text(text) => {
                out.push(b'"');
                crate::event::text::escape_into(text.as_bytes(), out);
                out.push(b'"');
            }
            Data::Float(number) if number.is_finite() => crate::event::java_double(*number, out),
            Data::Float(_) | Data::Bytes => out.extend_from_slice(b"null"),
            Data::Whole(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Data::Bool(flag) => out.extend_from_slice(if *flag { b"true" } else { b"false" }),
            Data::Map(entries) => {
                out.push(b'{');
                for (at, (key, value)) in entries.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    Data::Text(key.clone()).write(out);
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
            Data::List(elements) => {
                out.push(b'[');
                for (at, element) in elements.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    element.write(out);
                }
                out.push(b']');
            }
        }
    }
}

/// The record that was found for an address.
pub(super) struct Record<'d> {
    pub data: &'d Data,
    /// The network that it is about; only where the field `network` asks for it.
    pub network: Option<String>,
}

/// Paths to where different makers of databases keep one thing, the likeliest first.
type Paths<'p> = &'p [&'p [&'p str]];

impl Record<'_> {
    fn find<T>(&self, paths: Paths<'_>, read: impl Fn(&Data) -> Option<T>) -> Option<T> {
        paths.iter().find_map(|path| {
            let found = path
                .iter()
                .try_fold(self.data, |data, key| data.step(key))?;
            read(found)
        })
    }

    /// A text; an empty one counts as missing. Numbers are taken for text.
    pub(super) fn text(&self, paths: Paths<'_>) -> Option<String> {
        self.find(paths, |data| match data {
            Data::Text(text) if !text.is_empty() => Some(text.clone()),
            Data::Whole(number) => Some(number.to_string()),
            _ => None,
        })
    }

    /// A number; makers of free databases write coordinates as text, too.
    pub(super) fn float(&self, paths: Paths<'_>) -> Option<f64> {
        let number = self.find(paths, |data| match data {
            Data::Float(number) => Some(*number),
            #[allow(clippy::cast_precision_loss, reason = "a coordinate is small")]
            Data::Whole(number) => Some(*number as f64),
            Data::Text(text) => text.parse().ok(),
            _ => None,
        });
        number.filter(|number| number.is_finite())
    }

    /// A whole number: as such, as text, or behind `AS`.
    pub(super) fn whole(&self, paths: Paths<'_>) -> Option<Data> {
        self.find(paths, |data| match data {
            Data::Whole(number) => Some(Data::Whole(*number)),
            Data::Text(text) => {
                let digits = text.strip_prefix("AS").unwrap_or(text);
                digits
                    .parse::<u32>()
                    .ok()
                    .map(|number| Data::Whole(number.into()))
            }
            _ => None,
        })
    }

    /// A flag: as such, as 0 or 1, or as the text `true`.
    pub(super) fn flag(&self, paths: Paths<'_>) -> Option<bool> {
        self.find(paths, |data| match data {
            Data::Bool(flag) => Some(*flag),
            Data::Whole(number) => Some(*number != 0),
            Data::Text(text) => Some(text == "true" || text == "1"),
            _ => None,
        })
    }

    /// The text of a field that holds a code in some databases and a name in others, when it is a code.
    pub(super) fn code(&self, path: &[&str]) -> Option<Data> {
        self.text(&[path])
            .filter(|text| is_code(text))
            .map(Data::Text)
    }

    /// The same, when it is a name.
    pub(super) fn name(&self, path: &[&str]) -> Option<Data> {
        self.text(&[path])
            .filter(|text| !is_code(text))
            .map(Data::Text)
    }
}

fn is_code(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}
