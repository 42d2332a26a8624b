//! Tests of the checkpoint store on a real folder; crashes and torn writes are simulated in `tests/delivery_simulator.rs`.

use super::*;
use crate::delivery::storage::{Disk, Nowhere};
use proptest::prelude::*;
use serde_json::json;
use std::fs;

fn file(device: u64, inode: u64, path: &str) -> FileKey {
    FileKey {
        device,
        inode,
        birth: None,
        head: Head::default(),
        path: path.into(),
    }
}

fn load(path: &Path) -> Result<CheckpointStore, CheckpointError> {
    CheckpointStore::load(Box::new(Disk), path.to_owned())
}

/// A folder, and a store in it with a flushed record at each of two generations.
fn two_generations() -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("plugins/inputs/file/main.checkpoints");
    let store = load(&path).unwrap();
    let id = store.insert(Key::Name("it".into()), 10, 1);
    assert!(store.flush().unwrap());
    assert!(store.update(id, 20, 2, false));
    assert!(store.flush().unwrap());
    (home, path)
}

#[test]
fn what_was_flushed_is_loaded_again() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a");
    let store = load(&path).unwrap();
    assert!(
        store.is_empty() && !store.flush().unwrap(),
        "an empty store writes nothing"
    );
    let mut key = file(2049, u64::MAX, "/var/log/a b.log");
    key.birth = Some(1_700_000_000_123_456_789);
    key.head = Head::of(b"first line\n");
    let id = store.insert(Key::File(key), 0, 5);
    let strange = FileKey {
        path: OsString::from_vec(vec![b'/', 0xff, b'x']).into(),
        ..file(1, 2, "")
    };
    store.insert(Key::File(strange), 7, 5);
    store.insert(Key::Name("topic-\"0\"\n".into()), u64::MAX, 5);
    assert!(store.update_with(id, 11, 6, true, json!({"head": "ab", "n": 1.50})));
    assert!(store.flush().unwrap());
    assert!(!store.flush().unwrap(), "nothing changed");

    let again = load(&path).unwrap();
    assert_eq!(again.recovered(), None);
    assert!(
        !again.flush().unwrap(),
        "what was just read need not be written"
    );
    assert_eq!(again.records(), store.records());
    assert_eq!(again.len(), 3);
    assert!(again.insert(Key::Name("next".into()), 0, 0) > 3);
    assert_eq!(
        again.find_name("topic-\"0\"\n").map(|it| it.pos),
        Some(u64::MAX)
    );
}

fn shared<T: Send + Sync>(_: &T) {}

#[test]
fn a_store_that_keeps_nothing_works_while_it_lives() {
    let store = CheckpointStore::load(Box::new(Nowhere), "/dev/null".into()).unwrap();
    let id = store.insert(Key::Name("it".into()), 1, 1);
    assert!(store.update(id, 2, 2, false) && store.flush().unwrap() && store.flush().is_ok());
    assert_eq!(store.get(id).map(|it| it.pos), Some(2));
    shared(&store);
}

#[test]
fn the_text_is_fit_to_be_read() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a");
    let store = load(&path).unwrap();
    let id = store.insert(
        Key::File(FileKey {
            head: Head::of(b"ab"),
            ..file(2049, 131, "/var/log/ä.log")
        }),
        0,
        5,
    );
    store.update(id, 5217, 1_700_000_000, false);
    store.flush().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        r#"{"logmill_checkpoints":1,"next_id":2,"records":1}"#
    );
    assert_eq!(
        lines[1],
        r#"{"id":1,"path":"/var/log/ä.log","device":2049,"inode":131,"head_bytes":2,"head_hash":"089c4407b545986a","pos":5217,"active":1700000000,"finished":false}"#
    );
    assert!(lines[2].starts_with(r#"{"sum":""#) && lines.len() == 3);
}

#[test]
fn positions_do_not_go_back_and_gone_records_stay_gone() {
    let home = tempfile::tempdir().unwrap();
    let store = load(&home.path().join("a")).unwrap();
    let id = store.insert(Key::Name("it".into()), 10, 1);
    assert!(!store.update(id, 9, 2, true));
    assert_eq!(
        store.get(id).map(|it| (it.pos, it.active, it.finished)),
        Some((10, 1, false))
    );
    assert!(store.remove(id) && !store.remove(id));
    assert!(!store.update(id, 20, 2, false));
    assert!(!store.identify(id, file(1, 1, "/a")));
    assert_eq!(store.find_name("it"), None);
}

#[test]
fn a_damaged_file_gives_way_to_the_generation_before_it() {
    let (_home, path) = two_generations();
    let good = fs::read_to_string(&path).unwrap();
    for bad in [
        good.replace("\"pos\":20", "\"pos\":30"),
        good[..good.len() / 2].to_owned(),
        String::new(),
    ] {
        fs::write(&path, &bad).unwrap();
        let store = load(&path).unwrap();
        let note = store.recovered().unwrap();
        assert!(
            note.contains("main.checkpoints.prev is used in its place"),
            "{note}"
        );
        assert_eq!(store.find_name("it").map(|it| it.pos), Some(10));
        let untouched = fs::read(beside(&path, ".prev")).unwrap();
        assert!(
            store.flush().unwrap(),
            "a recovered store writes a whole file at once"
        );
        assert_eq!(
            fs::read_to_string(beside(&path, ".bad")).unwrap(),
            bad,
            "the damaged one is kept for its owner"
        );
        assert_eq!(fs::read(beside(&path, ".prev")).unwrap(), untouched);
        assert_eq!(load(&path).unwrap().recovered(), None);
    }
}

#[test]
fn a_file_that_contradicts_itself_is_damaged() {
    let record = r#"{"id":1,"name":"it","pos":1,"active":1,"finished":false}"#;
    let file = |header: &str, records: &str| {
        let body = format!("{header}\n{records}");
        let sum = hash(body.as_bytes());
        Table::parse(format!("{body}{}\n", trailer(sum)).as_bytes())
    };
    let reason = |header: &str, records: &str| match file(header, records) {
        Ok(_) => "none".to_owned(),
        Err(Unreadable::Damaged(reason)) => reason,
        Err(Unreadable::Newer(found)) => found.to_string(),
    };
    let header = r#"{"logmill_checkpoints":1,"next_id":2,"records":1}"#;
    let record = &format!("{record}\n");
    assert_eq!(reason(header, record), "none");
    assert!(reason(header, "").contains("another number of records"));
    assert!(
        reason(header, &record.replace("\"id\":1", "\"id\":2"))
            .contains("line 2: id 2 was never given out")
    );
    assert!(
        reason(header, &record.replace("name", "nom")).starts_with("line 2: unknown field `nom`")
    );
    assert!(reason(header, &record.replace("name", "path")).contains("needs `device` and `inode`"));
    assert!(reason(header, &record.replace("name", "path_hex")).contains("needs either `path`"));
}

#[test]
fn a_missing_file_gives_way_too() {
    let (_home, path) = two_generations();
    fs::remove_file(&path).unwrap();
    let store = load(&path).unwrap();
    assert!(store.recovered().unwrap().contains("the file is missing"));
    assert_eq!(store.find_name("it").map(|it| it.pos), Some(10));
}

#[test]
fn with_no_good_generation_nothing_is_guessed() {
    let (_home, path) = two_generations();
    fs::write(beside(&path, ".prev"), "{}").unwrap();
    assert!(load(&path).is_ok(), "a good file needs no other");
    fs::write(&path, "junk").unwrap();
    let message = load(&path).err().unwrap().to_string();
    assert!(
        message.contains("its first line is no checkpoint header")
            && message.contains("remove both"),
        "{message}"
    );
    fs::remove_file(&path).unwrap();
    assert!(matches!(load(&path), Err(CheckpointError::Damaged { .. })));
}

#[test]
fn a_newer_format_is_refused_even_with_a_good_generation_before_it() {
    let (_home, path) = two_generations();
    let newer = "{\"logmill_checkpoints\":2,\"next_id\":9,\"records\":0,\"more\":[]}\nanything\n";
    fs::write(&path, newer).unwrap();
    let message = load(&path).err().unwrap().to_string();
    assert!(
        message.contains("newer logmill (format 2, this one reads up to 1)"),
        "{message}"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), newer);
}

#[test]
fn a_file_is_known_again_by_what_it_is() {
    let home = tempfile::tempdir().unwrap();
    let store = load(&home.path().join("a")).unwrap();
    let content = vec![b'x'; 2000];
    let head = |bytes: u32| content.get(..bytes as usize).map(Head::of);
    let known = FileKey {
        head: Head::of(&content),
        birth: Some(3),
        ..file(1, 10, "/a.log")
    };
    let id = store.insert(Key::File(known.clone()), 2000, 1);
    let found = |seen: &FileKey| store.find_file(seen, head).map(|it| it.id);

    assert_eq!(found(&known), Some(id));
    assert_eq!(
        found(&FileKey {
            path: "/a.log.1".into(),
            ..known.clone()
        }),
        Some(id),
        "renamed"
    );
    assert_eq!(
        found(&FileKey {
            birth: None,
            ..known.clone()
        }),
        Some(id),
        "birth not known"
    );
    assert_eq!(
        found(&FileKey {
            device: 2,
            ..known.clone()
        }),
        Some(id),
        "device renumbered"
    );
    assert_eq!(
        found(&FileKey {
            birth: Some(4),
            ..known.clone()
        }),
        None,
        "inode used again"
    );
    assert_eq!(
        found(&FileKey {
            inode: 11,
            ..known.clone()
        }),
        None,
        "a copy, or rotated by copying"
    );
    assert_eq!(
        store.find_file(&known, |_| None).map(|it| it.id),
        None,
        "shorter than its head was"
    );
    assert_eq!(
        store.find_file(&known, |n| Some(Head { bytes: n, hash: 0 })),
        None,
        "other content"
    );

    let small = FileKey {
        head: Head::of(b"x"),
        birth: None,
        ..file(1, 12, "/b.log")
    };
    let small_id = store.insert(Key::File(small.clone()), 1, 1);
    assert_eq!(found(&small), Some(small_id));
    assert_eq!(
        found(&FileKey { device: 2, ..small }),
        None,
        "a short head proves too little on another device"
    );
}

#[test]
fn a_file_that_starts_over_takes_the_place_of_its_record() {
    let home = tempfile::tempdir().unwrap();
    let store = load(&home.path().join("a")).unwrap();
    let old = store.insert(Key::File(file(1, 10, "/a.log")), 100, 1);
    let new = store.insert(Key::File(file(1, 10, "/a.log")), 0, 2);
    assert_ne!(old, new);
    assert!(!store.update(old, 200, 3, true), "late news of the old one");
    assert_eq!(store.records().len(), 1);
    assert_eq!(
        store
            .find_file(&file(1, 10, "/a.log"), |_| None)
            .map(|it| (it.id, it.pos)),
        Some((new, 0))
    );
}

#[test]
fn rotation_by_renaming_keeps_both_records() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a");
    let store = load(&path).unwrap();
    let old = store.insert(Key::File(file(1, 10, "/a.log")), 100, 1);
    let new = store.insert(Key::File(file(1, 11, "/a.log")), 0, 2);
    assert!(store.identify(old, file(1, 10, "/a.log.1")));
    assert!(store.update(old, 150, 3, false) && store.update(new, 5, 3, false));
    store.flush().unwrap();
    let store = load(&path).unwrap();
    assert_eq!(
        store
            .find_file(&file(1, 10, "/a.log.1"), |_| None)
            .map(|it| (it.id, it.pos)),
        Some((old, 150))
    );
    assert_eq!(
        store
            .find_file(&file(1, 11, "/a.log"), |_| None)
            .map(|it| (it.id, it.pos)),
        Some((new, 5))
    );
}

#[test]
fn old_records_expire_unless_in_use() {
    let home = tempfile::tempdir().unwrap();
    let store = load(&home.path().join("a")).unwrap();
    let ids: Vec<u64> = (0..4)
        .map(|n| store.insert(Key::Name(n.to_string()), 0, n * 10))
        .collect();
    assert_eq!(store.expire(20, |id| id == ids[1]), 1);
    assert_eq!(
        store.records().iter().map(|it| it.id).collect::<Vec<_>>(),
        ids[1..]
    );
    assert_eq!(store.expire(20, |id| id == ids[1]), 0);
}

#[test]
fn a_failed_flush_says_where_and_is_made_up_for() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("folder/a");
    fs::write(home.path().join("folder"), "in the way").unwrap();
    assert!(matches!(load(&path), Err(CheckpointError::Read { .. })));
    fs::remove_file(home.path().join("folder")).unwrap();
    let store = load(&path).unwrap();
    store.insert(Key::Name("it".into()), 1, 1);
    fs::write(home.path().join("folder"), "in the way").unwrap();
    let message = store.flush().unwrap_err().to_string();
    assert!(
        message.contains("folder/a") && message.contains("permissions"),
        "{message}"
    );
    fs::remove_file(home.path().join("folder")).unwrap();
    assert!(store.flush().unwrap());
    assert_eq!(load(&path).unwrap().len(), 1);
}

fn any_record() -> impl Strategy<Value = (Key, u64, Option<i64>)> {
    let path = prop::collection::vec(any::<u8>(), 1..20)
        .prop_map(|it| PathBuf::from(OsString::from_vec(it)));
    let file = (
        any::<u64>(),
        any::<u64>(),
        any::<Option<u64>>(),
        any::<u32>(),
        any::<u64>(),
        path,
    );
    let file = file.prop_map(|(device, inode, birth, bytes, hash, path)| {
        Key::File(FileKey {
            device,
            inode,
            birth,
            head: Head { bytes, hash },
            path,
        })
    });
    (
        prop_oneof![file, ".{0,12}".prop_map(Key::Name)],
        any::<u64>(),
        any::<Option<i64>>(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(1), ..ProptestConfig::default() })]
    #[test]
    fn any_table_survives_printing_and_no_changed_byte_goes_unseen(
        records in prop::collection::vec(any_record(), 0..6),
        at in any::<prop::sample::Index>(),
        flip in 1u8..=255,
        cut in any::<prop::sample::Index>(),
    ) {
        let mut table = Table::default();
        for (key, pos, state) in records {
            let id = table.next_id;
            table.next_id += 1;
            table.put(Checkpoint { id, key, pos, active: pos / 2, finished: pos % 2 == 0, state: state.map(Value::from) });
        }
        let mut text = String::new();
        table.print(&mut text);
        let parsed = Table::parse(text.as_bytes()).ok().unwrap();
        prop_assert_eq!(&parsed.records, &table.records);
        prop_assert_eq!(parsed.next_id, table.next_id);

        let mut bytes = text.into_bytes();
        prop_assert!(Table::parse(&bytes[..cut.index(bytes.len())]).is_err());
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(Table::parse(&bytes).is_err());
    }
}
