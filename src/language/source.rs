//! The text of a pipeline: its files joined into one, with the way back from an offset to a file, line and column.

use std::fmt;

use crate::language::ast::Span;

/// Most bytes that the files of one pipeline may have together.
pub const MAX_SOURCE_BYTES: usize = 16 << 20;

/// The files of one pipeline, joined in the given order into one text.
#[derive(Debug, Clone, Default)]
pub struct SourceMap {
    text: String,
    files: Vec<File>,
}

#[derive(Debug, Clone)]
struct File {
    name: String,
    start: usize,
}

/// A place in a file, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location<'a> {
    /// The name of the file as it was added.
    pub file: &'a str,
    /// Line in the file, from 1.
    pub line: usize,
    /// Column in the line, in characters, from 1.
    pub column: usize,
    /// The line without its line ending.
    pub line_text: &'a str,
}

/// The files of a pipeline are too large to be a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceTooLarge {
    /// The file that went past the limit.
    pub file: String,
}

impl fmt::Display for SourceTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: with this file the configuration is larger than {} MiB; check that it is a pipeline file",
            self.file,
            MAX_SOURCE_BYTES >> 20
        )
    }
}

impl std::error::Error for SourceTooLarge {}

impl SourceMap {
    /// A map without files.
    #[must_use]
    pub fn new() -> SourceMap {
        SourceMap::default()
    }

    /// A map of one file.
    ///
    /// # Errors
    /// When the text is larger than [`MAX_SOURCE_BYTES`].
    pub fn single(name: impl Into<String>, text: &str) -> Result<SourceMap, SourceTooLarge> {
        let mut source = SourceMap::new();
        source.add(name, text)?;
        Ok(source)
    }

    /// Appends a file, after a newline if the text before it lacks one. A byte order mark is left out.
    ///
    /// # Errors
    /// When all files together are larger than [`MAX_SOURCE_BYTES`]; the map stays as it was.
    pub fn add(&mut self, name: impl Into<String>, text: &str) -> Result<(), SourceTooLarge> {
        let name = name.into();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if self.text.len() + text.len() >= MAX_SOURCE_BYTES {
            return Err(SourceTooLarge { file: name });
        }
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
        self.files.push(File {
            name,
            start: self.text.len(),
        });
        self.text.push_str(text);
        Ok(())
    }

    /// All files as one text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text of a span; empty when the span does not lie on character borders inside the text.
    #[must_use]
    pub fn slice(&self, span: Span) -> &str {
        self.text
            .get(span.start as usize..span.end as usize)
            .unwrap_or_default()
    }

    /// The names of the files, in order.
    pub fn file_names(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|file| file.name.as_str())
    }

    /// Where a byte offset is. Offsets past the end mean the end, offsets inside a character that character.
    #[must_use]
    pub fn locate(&self, offset: u32) -> Location<'_> {
        let mut offset = (offset as usize).min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        // Among empty files that begin at the same place the last one counts: it holds what follows.
        let index = self.files.partition_point(|file| file.start <= offset);
        let (file, start) = index
            .checked_sub(1)
            .and_then(|i| self.files.get(i))
            .map_or(("", 0), |file| (file.name.as_str(), file.start));
        let end = self
            .files
            .get(index)
            .map_or(self.text.len(), |file| file.start);
        let before = self.text.get(start..offset).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let from_line = self.text.get(start + line_start..end).unwrap_or_default();
        let line_text = from_line.split('\n').next().unwrap_or_default();
        Location {
            file,
            line: before.bytes().filter(|&byte| byte == b'\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            line_text: line_text.strip_suffix('\r').unwrap_or(line_text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_several_files() {
        let mut source = SourceMap::new();
        source.add("10-a.conf", "input {\r\n}").unwrap();
        source
            .add("20-b.conf", "\u{feff}filter {\n\tgrün => ü\n}\n")
            .unwrap();
        assert_eq!(source.text(), "input {\r\n}\nfilter {\n\tgrün => ü\n}\n");
        let at = |needle: &str| {
            source.locate(u32::try_from(source.text().find(needle).unwrap()).unwrap())
        };
        assert_eq!(
            at("input"),
            Location {
                file: "10-a.conf",
                line: 1,
                column: 1,
                line_text: "input {"
            }
        );
        assert_eq!(
            at("}"),
            Location {
                file: "10-a.conf",
                line: 2,
                column: 1,
                line_text: "}"
            }
        );
        assert_eq!(
            at("filter"),
            Location {
                file: "20-b.conf",
                line: 1,
                column: 1,
                line_text: "filter {"
            }
        );
        assert_eq!(
            at("=>"),
            Location {
                file: "20-b.conf",
                line: 2,
                column: 7,
                line_text: "\tgrün => ü"
            }
        );
        assert_eq!(source.locate(u32::MAX).line, 4);
        assert_eq!(
            source.file_names().collect::<Vec<_>>(),
            ["10-a.conf", "20-b.conf"]
        );
    }

    #[test]
    fn empty_maps_and_inner_bytes_have_a_place() {
        assert_eq!(
            SourceMap::new().locate(7),
            Location {
                file: "",
                line: 1,
                column: 1,
                line_text: ""
            }
        );
        let source = SourceMap::single("x", "äb").unwrap();
        assert_eq!(source.locate(1).column, 1);
        assert_eq!(source.slice(Span::new(0, 2)), "ä");
        assert_eq!(source.slice(Span::new(1, 2)), "");
    }

    #[test]
    fn too_much_text_is_refused() {
        let error = SourceMap::single("big.conf", &" ".repeat(MAX_SOURCE_BYTES)).unwrap_err();
        assert!(error.to_string().contains("16 MiB"), "{error}");
    }
}
