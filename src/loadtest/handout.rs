//! Hands out a load to programs that measure by themselves.

use std::path::Path;

use super::load::{Connection, Input, Load};
use super::{Kind, Scenario};

/// Writes a scenario into a new folder: `lines.log`, `city.mmdb`, `load.conf`, whose sink is the variable
/// `LOGMILL_SINK`, and `expected.json` with the documents per index.
///
/// # Errors
/// A sentence, when a file cannot be written, or the scenario has no config of its own.
pub fn hand_out(scenario: Scenario, events: u64, folder: &Path) -> Result<(), String> {
    if scenario == Scenario::ProjectAi {
        return Err("project-ai is no single config: choose another `--scenario`".to_owned());
    }
    let failed = |error: std::io::Error| format!("cannot write to {}: {error}", folder.display());
    std::fs::create_dir_all(folder).map_err(failed)?;
    let folder = std::fs::canonicalize(folder).map_err(failed)?;
    let load = Load::prepare(Kind::Built(scenario), &folder, events, 0, "load-")?;
    let connection = Connection {
        url: "${LOGMILL_SINK}".to_owned(),
        options: "    hosts => [ \"${LOGMILL_SINK}\" ]\n".to_owned(),
    };
    let job = load.job("handed-out", Input::Whole, &connection)?;
    std::fs::rename(job.config, folder.join("load.conf")).map_err(failed)?;
    let expected = serde_json::json!({
        "events": load.written.events,
        "bytes": load.written.bytes,
        "indices": load.written.indices,
        "known_addresses": load.written.known_addresses,
    });
    std::fs::write(folder.join("expected.json"), expected.to_string()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_a_run_needs_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let made = folder.path().join("made");
        hand_out(Scenario::Json, 10, &made).unwrap();
        let read = |name: &str| std::fs::read_to_string(made.join(name)).unwrap();
        assert_eq!(read("lines.log").lines().count(), 10);
        assert!(read("load.conf").contains("${LOGMILL_SINK}"));
        let expected: serde_json::Value = serde_json::from_str(&read("expected.json")).unwrap();
        assert_eq!(expected["events"], 10);
        assert!(hand_out(Scenario::ProjectAi, 10, &folder.path().join("other")).is_err());
    }
}
