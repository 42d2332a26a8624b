//! The user's own config and sample: its input becomes a file input, its elasticsearch outputs ship to where we say.

use std::path::{Path, PathBuf};

use super::configs::Places;
use crate::language::ast::{Attr, Item, Plugin, SectionKind, Span, ValueKind};
use crate::language::{ParseOptions, SourceMap};

/// Options of an input that say what its events are like, not where they come from.
const KEPT: [&str; 5] = ["id", "type", "tags", "add_field", "codec"];
/// Options of an elasticsearch output that say where it ships to.
const WHERE: [&str; 20] = [
    "hosts",
    "user",
    "password",
    "api_key",
    "cloud_id",
    "cloud_auth",
    "path",
    "bulk_path",
    "healthcheck_path",
    "proxy",
    "sniffing",
    "cacert",
    "ssl",
    "ssl_enabled",
    "ssl_verification_mode",
    "ssl_certificate_verification",
    "ssl_certificate_authorities",
    "ssl_certificate",
    "ssl_key",
    "ssl_supported_protocols",
];
/// Largest sample, bytes.
const MAX_SAMPLE: u64 = 256 << 20;

/// A config with a sample of its input.
#[derive(Clone, Debug)]
pub struct UserConfig {
    name: String,
    sample: PathBuf,
    /// The folders in which relative names are looked for: that of the config, and the one above.
    folders: Vec<PathBuf>,
    before: String,
    /// Pieces of the text, with what stands between them.
    rest: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// As it was written.
    Text(String),
    /// Here the options that say where an output ships to belong.
    Connection,
}

impl UserConfig {
    /// Takes a config apart. `input` names the input to be replaced, by its `id` or plugin, where there are several.
    ///
    /// # Errors
    /// A sentence, when it cannot be read, has no such input, or no elasticsearch output.
    pub fn new(
        name: &str,
        map: &SourceMap,
        folders: &[PathBuf],
        sample: &Path,
        input: Option<&str>,
    ) -> Result<UserConfig, String> {
        let parsed = crate::language::parse(map, ParseOptions::default());
        if parsed
            .diagnostics
            .iter()
            .any(crate::language::Diagnostic::is_error)
        {
            return Err(format!(
                "the config has errors:\n{}",
                crate::language::render(&parsed.diagnostics, map, false)
            ));
        }
        let (mut inputs, mut cuts, mut connections) = (Vec::new(), Vec::new(), 0);
        for section in &parsed.config.sections {
            match section.kind {
                SectionKind::Input => {
                    each(&section.items, &mut |plugin| inputs.push(plugin));
                    cuts.push((section.span, false));
                }
                SectionKind::Output => each(&section.items, &mut |plugin| {
                    if plugin.name.text == "elasticsearch" {
                        connections += 1;
                        let is_where = |attr: &&Attr| WHERE.contains(&attr.name.text.as_str());
                        let own = plugin.attrs.iter().filter(is_where);
                        cuts.extend(own.map(|attr| (attr.span, false)));
                        let brace = plugin.span.end.saturating_sub(1);
                        cuts.push((Span::new(brace, brace), true));
                    }
                }),
                SectionKind::Filter => {}
            }
        }
        if connections == 0 {
            return Err(
                "the config has no elasticsearch output: there is nothing to count".to_owned(),
            );
        }
        Ok(UserConfig {
            name: name.to_owned(),
            sample: sample.to_path_buf(),
            folders: folders.to_vec(),
            before: kept(map, choose(&inputs, input)?),
            rest: pieces(map.text(), cuts),
        })
    }

    /// The name of the config's file.
    #[must_use]
    pub fn name(&self) -> String {
        self.name.clone()
    }

    /// The sample's bytes.
    ///
    /// # Errors
    /// A sentence, when it cannot be read, is empty or too large.
    pub fn sample(&self) -> Result<Vec<u8>, String> {
        let shown = self.sample.display();
        let size = std::fs::metadata(&self.sample).map_or(0, |found| found.len());
        if size > MAX_SAMPLE {
            return Err(format!(
                "the sample {shown} is larger than {} MiB: take a part of it, it is repeated anyway",
                MAX_SAMPLE >> 20
            ));
        }
        let bytes = std::fs::read(&self.sample)
            .map_err(|error| format!("cannot read the sample {shown}: {error}"))?;
        if bytes.is_empty() {
            return Err(format!(
                "the sample {shown} is empty: it needs a line at least"
            ));
        }
        Ok(bytes)
    }

    /// Writes the config into a folder, beside links to all that its relative names may mean; where it is, and its
    /// text.
    ///
    /// # Errors
    /// A sentence, when it cannot be written.
    pub fn write(&self, folder: &Path, places: Places<'_>) -> Result<(PathBuf, String), String> {
        let inner = folder.join("config-of-the-load");
        let failed = |error| format!("cannot write {}: {error}", inner.display());
        std::fs::create_dir_all(&inner).map_err(failed)?;
        for (own, theirs) in [inner.as_path(), folder].into_iter().zip(&self.folders) {
            for entry in std::fs::read_dir(theirs).into_iter().flatten().flatten() {
                let link = own.join(entry.file_name());
                // A name that is taken is one of ours.
                let _ = std::os::unix::fs::symlink(entry.path(), link);
            }
        }
        let mut text = format!(
            "input {{\n  file {{\n    path => \"{}\"\n{}{}  }}\n}}\n",
            places.input,
            places.reading.options(),
            self.before
        );
        for piece in &self.rest {
            text.push_str(match piece {
                Piece::Text(text) => text,
                Piece::Connection => places.connection,
            });
        }
        let path = inner.join("loadtest-of-this-config.conf");
        std::fs::write(&path, &text).map_err(failed)?;
        Ok((path, text))
    }
}

fn each<'a>(items: &'a [Item], visit: &mut impl FnMut(&'a Plugin)) {
    for item in items {
        match item {
            Item::Plugin(plugin) => visit(plugin),
            Item::Branch(branch) => {
                for arm in &branch.arms {
                    each(&arm.items, visit);
                }
                each(branch.otherwise.as_deref().unwrap_or_default(), visit);
            }
        }
    }
}

/// The value of a plain text option.
fn text_of<'a>(plugin: &'a Plugin, name: &str) -> Option<&'a str> {
    let attr = plugin.attrs.iter().find(|attr| attr.name.text == name)?;
    match &attr.value.kind {
        ValueKind::String(text) | ValueKind::Bareword(text) => Some(text),
        _ => None,
    }
}

fn choose<'a>(inputs: &[&'a Plugin], wanted: Option<&str>) -> Result<&'a Plugin, String> {
    let names = || -> Vec<&str> {
        let name = |plugin: &&'a Plugin| text_of(plugin, "id").unwrap_or(&plugin.name.text);
        inputs.iter().map(name).collect()
    };
    match (wanted, inputs) {
        (_, []) => Err("the config has no input that the sample could stand for".to_owned()),
        (None, [only]) => Ok(only),
        (None, _) => Err(format!(
            "the config has several inputs: say with `--input` for which of them the sample stands: {}",
            names().join(", ")
        )),
        (Some(wanted), _) => inputs
            .iter()
            .find(|plugin| text_of(plugin, "id") == Some(wanted) || plugin.name.text == wanted)
            .copied()
            .ok_or_else(|| {
                format!(
                    "the config has no input `{wanted}`; it has {}",
                    names().join(", ")
                )
            }),
    }
}

/// The options that stay with the input, a line each. Codecs that cut streams into lines are replaced by those for
/// lines, since a file input cuts them itself.
fn kept(map: &SourceMap, input: &Plugin) -> String {
    let mut out = String::new();
    for attr in input
        .attrs
        .iter()
        .filter(|attr| KEPT.contains(&attr.name.text.as_str()))
    {
        let text = map.slice(attr.span);
        let text = match attr.name.text.as_str() {
            "codec" => text.replacen("json_lines", "json", 1).replacen(
                "line",
                "plain",
                usize::from(!text.contains("multiline")),
            ),
            _ => text.to_owned(),
        };
        out.push_str(&format!("    {text}\n"));
    }
    // Lines of a stream are JSON by default only where the input says so.
    if text_of(input, "codec").is_none()
        && !input.attrs.iter().any(|attr| attr.name.text == "codec")
        && input.name.text == "http"
    {
        out.push_str("    codec => json\n");
    }
    out
}

/// Cuts spans out of a text; `true` stands for the place of a connection.
fn pieces(text: &str, mut cuts: Vec<(Span, bool)>) -> Vec<Piece> {
    cuts.sort_by_key(|(span, _)| *span);
    let mut out = Vec::new();
    let mut at = 0;
    for (span, connection) in cuts {
        let (start, end) = (span.start as usize, span.end as usize);
        out.push(Piece::Text(
            text.get(at..start).unwrap_or_default().to_owned(),
        ));
        if connection {
            out.push(Piece::Text("\n".to_owned()));
            out.push(Piece::Connection);
        }
        at = end.max(at);
    }
    out.push(Piece::Text(text.get(at..).unwrap_or_default().to_owned()));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loadtest::configs::Reading;

    const CONFIG: &str = r#"
input {
  tcp { id => "apps" port => 5000 codec => json_lines { charset => "UTF-8" } type => "app" }
  stdin { }
}
filter { if [a] { mutate { add_field => { "hosts" => "b" } } } }
output {
  if [a] {
    elasticsearch { hosts => ["https://es:9200"] user => "u" password => "p" index => "i-%{a}" ssl_enabled => true }
  } else {
    elasticsearch { hosts => "x" }
  }
  stdout { }
}
"#;

    fn take(config: &str, input: Option<&str>) -> Result<UserConfig, String> {
        let map = SourceMap::single("a.conf", config).unwrap();
        UserConfig::new("a.conf", &map, &[], Path::new("/nowhere"), input)
    }

    #[test]
    fn inputs_and_hosts_are_replaced_and_the_rest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let user = take(CONFIG, Some("apps")).unwrap();
        let places = Places {
            input: "/tmp/lines.log",
            reading: Reading::Growing,
            database: Path::new("/none"),
            connection: "      hosts => [ \"http://127.0.0.1:9\" ]\n",
            prefix: "load-",
        };
        let (path, text) = user.write(folder.path(), places).unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), text);
        let map = SourceMap::single("b.conf", &text).unwrap();
        let parsed = crate::language::parse(&map, ParseOptions::default());
        assert!(parsed.diagnostics.is_empty(), "{text}");
        assert!(text.contains("codec => json { charset"), "{text}");
        assert!(text.contains("type => \"app\"") && text.contains("index => \"i-%{a}\""));
        assert_eq!(text.matches("http://127.0.0.1:9").count(), 2, "{text}");
        for gone in ["tcp", "stdin", "5000", "https", "\"u\"", "ssl_enabled"] {
            assert!(!text.contains(gone), "{gone}: {text}");
        }
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        let several = take(CONFIG, None).unwrap_err();
        assert!(several.contains("apps, stdin"), "{several}");
        assert!(
            take(CONFIG, Some("udp"))
                .unwrap_err()
                .contains("no input `udp`")
        );
        let nothing = take("input { stdin { } } output { stdout { } }", None).unwrap_err();
        assert!(nothing.contains("no elasticsearch output"), "{nothing}");
        assert!(
            take("input { stdin { ", None)
                .unwrap_err()
                .contains("has errors")
        );
    }
}
