//! Where the config comes from: a text, a file, a folder, a glob.

use std::path::{Path, PathBuf};

use crate::language::SourceMap;

/// The files of a config, and the folders in which relative names of its options are looked for.
pub struct Sources {
    /// The text.
    pub map: SourceMap,
    /// The folder of the files, and the one above it.
    pub folders: Vec<PathBuf>,
}

/// Reads what `-f` names: a file, a folder (all files in it, hidden ones and those ending in `~` left out), or a
/// glob; in the order of the names.
///
/// # Errors
/// A sentence, when nothing is found or a file cannot be read as UTF-8.
pub fn from_path(path: &str) -> Result<Sources, String> {
    let path = path.strip_prefix("file://").unwrap_or(path);
    let mut files = files(path)?;
    files.sort();
    files.retain(|file| !file.to_string_lossy().ends_with('~'));
    if files.is_empty() {
        return Err(format!("no config files found in `{path}`: check `-f`"));
    }
    let mut map = SourceMap::new();
    for file in &files {
        let bytes = std::fs::read(file)
            .map_err(|error| format!("cannot read the config file {}: {error}", file.display()))?;
        let text = String::from_utf8(bytes)
            .map_err(|error| format!("the config file {} is not UTF-8: {error}", file.display()))?;
        map.add(file.to_string_lossy(), &text)
            .map_err(|error| error.to_string())?;
    }
    let folder = files
        .first()
        .and_then(|file| file.parent())
        .map(Path::to_path_buf)
        .unwrap_or_default();
    let folder = std::fs::canonicalize(if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        &folder
    })
    .unwrap_or(folder);
    let above = folder.parent().map(Path::to_path_buf);
    Ok(Sources {
        map,
        folders: std::iter::once(folder).chain(above).collect(),
    })
}

fn files(path: &str) -> Result<Vec<PathBuf>, String> {
    let given = Path::new(path);
    if given.is_dir() {
        return folder(given);
    }
    if given.exists() {
        return Ok(vec![given.to_path_buf()]);
    }
    let is_glob = path.contains(['*', '?', '[', '{']);
    if !is_glob {
        return Err(format!(
            "no config files found in `{path}`: there is no such file or folder"
        ));
    }
    let glob = globset::GlobBuilder::new(path)
        .literal_separator(true)
        .build()
        .map_err(|error| format!("`{path}` is no valid glob: {error}"))?
        .compile_matcher();
    let fixed: PathBuf = given
        .components()
        .take_while(|part| {
            !part
                .as_os_str()
                .to_string_lossy()
                .contains(['*', '?', '[', '{'])
        })
        .collect();
    let root = if fixed.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        fixed
    };
    let found = walkdir::WalkDir::new(&root)
        .follow_links(true)
        .into_iter()
        .filter_map(Result::ok)
        .filter(|entry| !entry.file_type().is_dir())
        .map(|entry| {
            entry
                .path()
                .strip_prefix("./")
                .unwrap_or(entry.path())
                .to_path_buf()
        })
        .filter(|file| glob.is_match(file))
        .collect();
    Ok(found)
}

fn folder(path: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(path)
        .map_err(|error| format!("cannot list {}: {error}", path.display()))?;
    Ok(entries
        .filter_map(Result::ok)
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        .map(|entry| entry.path())
        .filter(|path| !path.is_dir())
        .collect())
}

/// The text of `-e`; a stdin input and a stdout output are added where it names none.
///
/// # Errors
/// When the text is too large.
pub fn from_text(text: &str) -> Result<Sources, String> {
    let mut whole = text.to_owned();
    if !names_section(text, "input") {
        whole.push_str("\ninput { stdin { type => stdin } }\n");
    }
    if !names_section(text, "output") {
        whole.push_str("\noutput { stdout { codec => rubydebug } }\n");
    }
    let map = SourceMap::single("config string", &whole).map_err(|error| error.to_string())?;
    Ok(Sources {
        map,
        folders: Vec::new(),
    })
}

/// A simple search in the text, as in the original.
fn names_section(text: &str, section: &str) -> bool {
    text.match_indices(section)
        .any(|(at, _)| text[at + section.len()..].trim_start().starts_with('{'))
}
