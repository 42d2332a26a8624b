//! The input as the pipeline drives it: files are written, blocks are filled, answers are given, processes die.

mod options;
mod random;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::delivery::{Delivery, Outcome, Ticket};
use crate::event::{Batch, EventId};
use crate::plugin::testing::{build, parse_plugin};
use crate::plugin::{
    Block, Build, Catalogue, Checkpoints, Codec, DecodeCx, Ecs, Fill, FillCx, Framer, Framing,
    Make, PluginMetrics, PluginSpec, Source,
};

use super::positions::SharedPositions;
use super::source::FileSource;
use super::{Config, FileInput};
use crate::plugin::options::Options;

/// Cuts lines; in `joins` mode lines that begin with a blank belong to the one before.
struct TestFramer {
    delimiter: Vec<u8>,
    joins: bool,
    held: Vec<u8>,
    start: u64,
}

impl TestFramer {
    fn cut(&mut self, block: &mut Block) {
        loop {
            let mut from = 0;
            let end = loop {
                let rest = self.held.get(from..).unwrap_or_default();
                let Some(at) = rest
                    .windows(self.delimiter.len())
                    .position(|it| it == self.delimiter)
                else {
                    return;
                };
                let next = from + at + self.delimiter.len();
                match self.held.get(next) {
                    Some(b' ') if self.joins => from = next,
                    None if self.joins => return,
                    _ => break from + at,
                }
            };
            let rest = self.held.split_off(end + self.delimiter.len());
            block.push_record(&[&self.held[..end]], self.start, 0);
            self.start += (end + self.delimiter.len()) as u64;
            self.held = rest;
        }
    }
}

impl Framer for TestFramer {
    fn feed(&mut self, block: &mut Block, from: usize, pos: u64) {
        assert_eq!(
            pos,
            self.start + self.held.len() as u64,
            "bytes come in order"
        );
        // A quadratic search would make the test of long lines slow.
        let fresh = block.buf.split_off(from);
        let has_end = fresh
            .windows(self.delimiter.len())
            .any(|it| it == self.delimiter);
        self.held.extend_from_slice(&fresh);
        if has_end || self.joins {
            self.cut(block);
        }
    }

    fn flush(&mut self, block: &mut Block) {
        let held = std::mem::take(&mut self.held);
        let text = held
            .strip_suffix(self.delimiter.as_slice())
            .unwrap_or(&held);
        block.push_record(&[text], self.start, 0);
        self.start += held.len() as u64;
    }

    fn settled(&self) -> u64 {
        self.start
    }

    fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    fn auto_flush(&self) -> Option<Duration> {
        self.joins.then_some(Duration::from_millis(100))
    }

    fn restart(&mut self, pos: u64) {
        self.held.clear();
        self.start = pos;
    }
}

struct TestCodec(bool);

impl Codec for TestCodec {
    fn framer(&self, framing: &Framing) -> Box<dyn Framer> {
        let Framing::Lines(delimiter) = framing else {
            panic!("files are cut into lines")
        };
        Box::new(TestFramer {
            delimiter: delimiter.clone(),
            joins: self.0,
            held: Vec::new(),
            start: 0,
        })
    }
    fn decode(&self, _: &mut Batch, _: &[crate::plugin::Rec], _: &mut DecodeCx<'_>) {}
    fn encode(&self, _: &mut Batch, _: EventId, _: &mut Vec<u8>, _: &mut Vec<u8>) {}
}

fn no_options() -> &'static [crate::plugin::OptionSpec] {
    &[]
}

const CATALOGUE: Catalogue = Catalogue(&[
    PluginSpec {
        name: "plain",
        about: "",
        options: no_options,
        make: Make::Codec(|_, _| Some(Arc::new(TestCodec(false)))),
    },
    PluginSpec {
        name: "joins",
        about: "",
        options: no_options,
        make: Make::Codec(|_, _| Some(Arc::new(TestCodec(true)))),
    },
]);

/// A folder with logs and a data path, and the input that runs over it.
struct Home {
    dir: tempfile::TempDir,
    config: String,
    block_bytes: usize,
    answers: bool,
    running: Option<Running>,
    /// Records as `file:text`, in the order in which they came.
    got: Vec<String>,
    blocks: Vec<Vec<String>>,
    offsets: Vec<u64>,
}

struct Running {
    source: FileSource,
    positions: SharedPositions,
    delivery: Mutex<Delivery>,
    unanswered: Vec<(Ticket, u32)>,
    ended: bool,
}

fn input(config: &str) -> FileInput {
    let plugin = parse_plugin(config);
    let (made, _, diagnostics) = build(CATALOGUE, Ecs::V8, |build: &mut Build<'_>| {
        let config = Config::read(&plugin, build)?;
        let fields = super::Fields {
            file_path: build.path("[log][file][path]"),
            host: build.path("[host][name]"),
            metadata_path: build.path("[@metadata][path]"),
            metadata_host: build.path("[@metadata][host]"),
            offset: None,
        };
        Some(FileInput {
            config,
            fields: Arc::new(fields),
        })
    });
    made.unwrap_or_else(|| panic!("{diagnostics:?}"))
}

impl Home {
    /// `DIR` in the config stands for the folder with the logs.
    fn new(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("logs")).unwrap();
        Home {
            dir,
            config: format!("file {{ stat_interval => '20 ms' {config} }}"),
            block_bytes: 1 << 20,
            answers: true,
            running: None,
            got: Vec::new(),
            blocks: Vec::new(),
            offsets: Vec::new(),
        }
    }

    fn tail(more: &str) -> Self {
        Home::new(&format!(
            "path => 'DIR/*.log*' start_position => beginning {more}"
        ))
    }

    fn read(more: &str) -> Self {
        Home::new(&format!("path => 'DIR/*' mode => read {more}"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("logs").join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
    }

    fn append(&self, name: &str, text: &str) {
        let mut file = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.path(name))
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn write_gz(&self, name: &str, text: impl AsRef<[u8]>) {
        let file = fs::File::create(self.path(name)).unwrap();
        let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        encoder.write_all(text.as_ref()).unwrap();
        encoder.finish().unwrap();
    }

    fn start(&mut self) {
        let config = self.config.replace(
            "DIR",
            self.path("").display().to_string().trim_end_matches('/'),
        );
        let (source, positions) = input(&config)
            .open(
                &self.dir.path().join("data"),
                Arc::new(PluginMetrics::default()),
            )
            .unwrap();
        self.running = Some(Running {
            source,
            positions,
            delivery: Mutex::new(Delivery::new()),
            unanswered: Vec::new(),
            ended: false,
        });
    }

    /// One fill, its answers, its commits.
    fn pump(&mut self) -> Fill {
        if self.running.is_none() {
            self.start();
        }
        let running = self.running.as_mut().unwrap();
        let mut block = Block::default();
        let mut cx = FillCx {
            delivery: &running.delivery,
            stopping: false,
            max_records: None,
            block_bytes: self.block_bytes,
        };
        let fill = running.source.fill(&mut block, &mut cx);
        running.ended |= fill == Fill::Ended;
        let mut texts = Vec::new();
        let mut at = 0;
        for run in &block.runs {
            let recs = &block.recs[at..run.recs_end as usize];
            at = run.recs_end as usize;
            let path = String::from_utf8_lossy(&run.attrs.fields[0].text).into_owned();
            let name = Path::new(&path)
                .file_name()
                .unwrap()
                .to_string_lossy()
                .into_owned();
            for rec in recs {
                let text = &block.buf[rec.off as usize..(rec.off + rec.len) as usize];
                texts.push(format!("{name}:{}", String::from_utf8_lossy(text)));
                self.offsets.push(rec.pos);
                assert!(rec.pos < run.end || rec.len == 0);
            }
            let mut delivery = running.delivery.lock().unwrap();
            let ticket = delivery.open(run.stream.unwrap(), run.end).unwrap();
            let count = u32::try_from(recs.len()).unwrap();
            delivery.expect(ticket, count);
            running.unanswered.push((ticket, count));
        }
        assert_eq!(at, block.recs.len(), "runs cover the records");
        if self.answers {
            self.answer();
        }
        if !texts.is_empty() {
            self.blocks.push(texts.clone());
        }
        self.got.extend(texts);
        fill
    }

    fn answer(&mut self) {
        let running = self.running.as_mut().unwrap();
        let mut delivery = running.delivery.lock().unwrap();
        for (ticket, count) in running.unanswered.drain(..) {
            if count > 0 {
                delivery.answer(ticket, count, Outcome::Indexed);
            }
        }
        let mut commits = Vec::new();
        delivery.poll(&mut commits);
        running.positions.commit(&commits);
    }

    fn until(&mut self, what: &str, mut met: impl FnMut(&mut Home) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !met(self) {
            if Instant::now() >= deadline {
                let running = self.running.as_ref();
                let why = running.map(|it| (it.source.idle_reason(), it.positions.records()));
                panic!("{what}; got {:?}; {why:#?}", self.short());
            }
            if self.pump() != Fill::More {
                std::thread::sleep(Duration::from_millis(2));
            }
            if self.answers {
                self.running.as_ref().unwrap().positions.flush().unwrap();
            }
        }
    }

    fn short(&self) -> Vec<String> {
        self.got
            .iter()
            .map(|text| text.chars().take(60).collect())
            .collect()
    }

    fn expect(&mut self, texts: &[&str]) {
        let count = texts.len();
        self.until(&format!("{count} records"), |home| home.got.len() >= count);
        assert_eq!(self.got, texts);
        self.got.clear();
    }

    fn quiet(&mut self, ms: u64) {
        let until = Instant::now() + Duration::from_millis(ms);
        while Instant::now() < until {
            self.pump();
            std::thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(self.short(), [""; 0]);
    }

    /// The process dies: what was not answered and written is forgotten.
    fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            let mut store = PathBuf::new();
            let before = fs::read_dir(self.dir.path().join("data/plugins/inputs/file"))
                .ok()
                .and_then(|mut dir| {
                    store = dir.next()?.ok()?.path();
                    fs::read(&store).ok()
                });
            drop(running);
            if let Some(before) = before {
                fs::write(store, before).unwrap();
            }
        }
    }

    fn flush(&self) {
        let running = self.running.as_ref().unwrap();
        running.positions.stop();
        running.positions.flush().unwrap();
    }

    fn stop(&mut self) {
        self.flush();
        self.running = None;
    }
}

#[test]
fn a_growing_file_is_followed_and_half_lines_wait() {
    let mut home = Home::tail("");
    home.write("a.log", "one\ntwo\nthr");
    home.expect(&["a.log:one", "a.log:two"]);
    home.quiet(150);
    home.append("a.log", "ee\nfour\r\n");
    home.expect(&["a.log:three", "a.log:four\r"]);
    assert_eq!(home.offsets, [0, 4, 8, 14]);
    assert!(
        home.running
            .as_ref()
            .unwrap()
            .source
            .idle_reason()
            .contains("all read")
    );
}

#[test]
fn files_that_are_there_are_read_from_their_end_and_later_ones_from_their_beginning() {
    let mut home = Home::new("path => ['DIR/*.log']");
    home.write("old.log", "before\n");
    home.quiet(60);
    home.append("old.log", "after\n");
    home.expect(&["old.log:after"]);
    home.write("new.log", "first\n");
    home.expect(&["new.log:first"]);
    home.stop();
    home.append("old.log", "while away\n");
    home.expect(&["old.log:while away"]);
}

#[test]
fn a_renamed_file_is_read_to_its_end_before_the_one_that_takes_its_place() {
    let mut home = Home::tail("");
    home.write("a.log", "1\n");
    home.expect(&["a.log:1"]);
    home.append("a.log", "2\n");
    home.rename("a.log", "a.log.1");
    home.write("a.log", "3\n");
    home.append("a.log.1", "4\nlast half");
    home.expect(&["a.log:2", "a.log:4", "a.log:3", "a.log:last half"]);
    home.stop();
    home.append("a.log", "5\n");
    home.rename("a.log", "a.log.2");
    home.write("a.log", "6\n");
    home.until("both", |home| home.got.len() >= 2);
    home.got.sort();
    assert_eq!(home.got, ["a.log.2:5", "a.log:6"]);
}

#[test]
fn a_file_renamed_out_of_sight_is_read_on() {
    let mut home = Home::new("path => 'DIR/*.log' start_position => beginning");
    home.write("a.log", "1\n");
    home.expect(&["a.log:1"]);
    home.rename("a.log", "a.old");
    home.write("a.log", "2\n");
    home.expect(&["a.log:2"]);
    home.append("a.old", "late\n");
    home.expect(&["a.log:late"]);
}

#[test]
fn a_truncated_file_is_read_anew_even_if_it_grew_past_its_old_size() {
    let mut home = Home::tail("");
    home.write("a.log", "one\ntwo\nhal");
    home.expect(&["a.log:one", "a.log:two"]);
    home.write("a.log", "3\n");
    home.expect(&["a.log:hal", "a.log:3"]);
    home.quiet(1100);
    home.write("a.log", "a longer text than before\n");
    home.expect(&["a.log:a longer text than before"]);
    home.stop();
    home.write("a.log", "x\n");
    home.expect(&["a.log:x"]);
    assert_eq!(home.running.as_ref().unwrap().positions.records().len(), 1);
}

#[test]
fn a_deleted_file_is_read_to_its_end_while_it_is_open() {
    let mut home = Home::tail("");
    home.write("a.log", "1\n");
    home.expect(&["a.log:1"]);
    let mut writer = fs::OpenOptions::new()
        .append(true)
        .open(home.path("a.log"))
        .unwrap();
    fs::remove_file(home.path("a.log")).unwrap();
    writer.write_all(b"2\nhalf").unwrap();
    home.expect(&["a.log:2", "a.log:half"]);
    home.until("the file is let go", |home| {
        home.running
            .as_ref()
            .unwrap()
            .source
            .idle_reason()
            .contains("0 files")
    });
    home.write("a.log", "again\n");
    home.expect(&["a.log:again"]);
}

#[test]
fn a_name_that_comes_back_with_the_same_inode_is_another_file() {
    let mut home = Home::tail("close_older => '40 ms'");
    for round in 0..5 {
        home.write("a.log", format!("round {round} of several\n"));
        home.expect(&[&format!("a.log:round {round} of several")]);
        home.quiet(70);
        fs::remove_file(home.path("a.log")).unwrap();
    }
}

#[test]
fn nothing_is_lost_when_the_process_dies_between_answers_and_checkpoints() {
    let mut home = Home::tail("sincedb_write_interval => 0");
    home.write("a.log", "1\n2\n");
    home.expect(&["a.log:1", "a.log:2"]);
    home.flush();
    home.answers = false;
    home.append("a.log", "3\n4\n");
    home.expect(&["a.log:3", "a.log:4"]);
    home.running.as_ref().unwrap().positions.flush().unwrap();
    home.kill();
    home.append("a.log", "5\n");
    home.answers = true;
    home.expect(&["a.log:3", "a.log:4", "a.log:5"]);
    home.flush();
    home.kill();
    home.quiet(60);
}

#[test]
fn a_file_first_seen_at_its_end_is_remembered_at_once() {
    let mut home = Home::new("path => 'DIR/*.log'");
    home.write("a.log", "old\n");
    home.quiet(60);
    home.running.as_ref().unwrap().positions.flush().unwrap();
    home.answers = false;
    home.append("a.log", "new\n");
    home.expect(&["a.log:new"]);
    home.kill();
    home.expect(&["a.log:new"]);
}

#[test]
fn an_open_multiline_event_is_flushed_after_a_while_and_never_committed_before() {
    let mut home = Home::tail("codec => joins sincedb_write_interval => 0");
    home.write("a.log", "a\n b\nc\n");
    home.expect(&["a.log:a\n b"]);
    home.flush();
    assert_eq!(home.running.as_ref().unwrap().positions.records()[0].pos, 5);
    home.expect(&["a.log:c"]);
    home.flush();
    assert_eq!(home.running.as_ref().unwrap().positions.records()[0].pos, 7);
}

#[test]
fn a_last_line_without_its_end_comes_when_the_file_is_closed_or_after_the_time_out() {
    for option in ["close_older => '200 ms'", "last_line_timeout => '200 ms'"] {
        let mut home = Home::tail(option);
        home.write("a.log", "one\nhalf");
        home.expect(&["a.log:one"]);
        home.quiet(100);
        home.expect(&["a.log:half"]);
        home.append("a.log", " and the rest\n");
        home.expect(&["a.log: and the rest"]);
    }
}

#[test]
fn files_share_a_block_and_excluded_ones_are_left_out() {
    let mut home = Home::tail("exclude => ['*.bak', 'b*'] file_sort_by => path");
    for name in ["c.log", "a.log", "a.log.bak", "b.log"] {
        home.write(name, format!("{name}\n"));
    }
    home.expect(&["a.log:a.log", "c.log:c.log"]);
    assert_eq!(home.blocks.len(), 1);
}

#[test]
fn sorting_orders_files_that_are_found_together() {
    let mut home = Home::read(
        "file_sort_by => path file_sort_direction => desc file_completed_action => log file_completed_log_path => '/dev/null'",
    );
    home.block_bytes = 16;
    home.write("a", "1\n2\n3\n4\n5\n6\n7\n8\n9\n0\n1\n2\n");
    home.write("b", "1\n2\n3\n4\n5\n6\n7\n8\n9\n0\n1\n2\n");
    home.until("all", |home| home.got.len() == 24);
    assert!(
        home.got[..12].iter().all(|text| text.starts_with("b:")),
        "{:?}",
        home.got
    );
}

#[test]
fn a_line_of_three_mebibytes_crosses_blocks() {
    let mut home = Home::tail("");
    home.block_bytes = 64 << 10;
    let long = "x".repeat(3 << 20);
    home.write("a.log", format!("before\n{long}\nafter\n"));
    home.expect(&["a.log:before", &format!("a.log:{long}"), "a.log:after"]);
}

#[test]
fn read_mode_deletes_a_file_only_after_its_answers() {
    let mut home = Home::read("exit_after_read => true");
    home.answers = false;
    home.write("a.txt", "1\n2");
    home.write("empty.txt", "");
    home.expect(&["a.txt:1", "a.txt:2"]);
    home.quiet(60);
    home.running.as_ref().unwrap().positions.flush().unwrap();
    assert!(home.path("a.txt").exists());
    assert!(!home.running.as_ref().unwrap().ended);
    home.answers = true;
    home.until("the end", |home| home.running.as_ref().unwrap().ended);
    assert!(!home.path("a.txt").exists() && !home.path("empty.txt").exists());
    assert!(
        home.running
            .as_ref()
            .unwrap()
            .positions
            .records()
            .is_empty()
    );
}

#[test]
fn read_mode_logs_completed_files_once_and_reads_names_that_come_back() {
    let mut home = Home::read("");
    let log = home.dir.path().join("done");
    home.config = home.config.replace(
        "mode",
        &format!(
            "file_completed_action => log_and_delete file_completed_log_path => '{}' mode",
            log.display()
        ),
    );
    for round in 0..4 {
        home.write("a.txt", format!("{round}\n"));
        home.expect(&[&format!("a.txt:{round}")]);
        home.until("it is deleted", |home| !home.path("a.txt").exists());
    }
    assert_eq!(
        fs::read_to_string(log).unwrap(),
        format!("{}\n", home.path("a.txt").display()).repeat(4)
    );
}

#[test]
fn read_mode_goes_on_after_a_kill_and_completes_what_was_answered() {
    let mut home = Home::read(
        "sincedb_write_interval => 0 file_completed_action => log file_completed_log_path => 'LOG'",
    );
    let log = home.dir.path().join("done");
    home.config = home.config.replace("LOG", &log.display().to_string());
    home.write("a.txt", "1\n2\n");
    home.expect(&["a.txt:1", "a.txt:2"]);
    home.until("logged", |_| log.exists());
    home.stop();
    home.quiet(100);
    home.flush();
    assert_eq!(fs::read_to_string(&log).unwrap().lines().count(), 1);
    home.stop();
    home.append("a.txt", "3\n");
    home.expect(&["a.txt:3"]);
}

#[test]
fn a_compressed_file_is_read_once_and_resumed_in_the_middle() {
    let mut home = Home::tail("sincedb_write_interval => 0");
    home.block_bytes = 4096;
    let lines: Vec<String> = (0..3000)
        .map(|n| format!("line {n} of the compressed file"))
        .collect();
    home.write_gz("a.log.gz", lines.join("\n"));
    home.until("half of it", |home| home.got.len() > 1000);
    home.answers = false;
    home.flush();
    home.kill();
    let before = home.got.len();
    home.answers = true;
    home.until("all of it", |home| {
        home.got
            .last()
            .is_some_and(|text| text.ends_with("line 2999 of the compressed file"))
    });
    assert!(
        home.got.len() >= 3000 && home.got.len() < 3000 + before / 2,
        "{before} {}",
        home.got.len()
    );
    home.got.clear();
    home.until("finished", |home| {
        home.running.as_ref().unwrap().positions.records()[0].finished
    });
    home.stop();
    home.quiet(100);
    home.rename("a.log.gz", "a.log.2.gz");
    home.quiet(100);
}

#[test]
fn the_compressed_copy_of_a_file_that_was_read_is_not_read_again() {
    for (unread, name) in [("", "a.log.1.gz"), ("the rest\n", "a.log.2.gz")] {
        let mut home = Home::tail("");
        let text: String = (0..200).map(|n| format!("line {n}\n")).collect();
        home.write("a.log", &text);
        home.until("all", |home| home.got.len() == 200);
        home.got.clear();
        if !unread.is_empty() {
            home.stop();
        }
        home.rename("a.log", "a.log.1");
        home.write("a.log", "another beginning\n");
        if unread.is_empty() {
            home.expect(&["a.log:another beginning"]);
        }
        home.write_gz(name, format!("{text}{unread}"));
        fs::remove_file(home.path("a.log.1")).unwrap();
        if unread.is_empty() {
            home.quiet(300);
        } else {
            home.until("both", |home| home.got.len() >= 2);
            home.got.sort();
            home.expect(&["a.log.2.gz:the rest", "a.log:another beginning"]);
        }
        home.until("the copy is finished", |home| {
            home.running
                .as_ref()
                .unwrap()
                .positions
                .records()
                .iter()
                .any(|record| record.finished)
        });
    }
}

#[test]
fn a_file_that_only_begins_like_another_is_read_in_full() {
    let mut home = Home::tail("");
    let text: String = (0..200).map(|n| format!("line {n}\n")).collect();
    home.write("a.log", &text);
    home.until("all", |home| home.got.len() == 200);
    home.write_gz("b.log.gz", format!("{text}more\n"));
    home.until("all", |home| home.got.len() == 401);
}

#[test]
fn a_damaged_archive_yields_its_beginning_and_is_kept() {
    let mut home = Home::read("");
    let text: String = (0..20_000).map(|n| format!("{n}\n")).collect();
    home.write_gz("a.gz", &text);
    let bytes = fs::read(home.path("a.gz")).unwrap();
    home.write("a.gz", &bytes[..bytes.len() - 2000]);
    home.until("finished", |home| {
        home.running
            .as_ref()
            .is_some_and(|it| it.positions.records().iter().any(|it| it.state.is_some()))
    });
    assert!(home.got.len() > 5000 && home.path("a.gz").exists());
    let mut home = Home::read("check_archive_validity => true");
    home.write("a.gz", &bytes[..bytes.len() - 2000]);
    home.write_gz("b.gz", "whole\n");
    home.expect(&["b.gz:whole"]);
    home.quiet(200);
}

#[test]
fn a_sincedb_of_the_original_is_taken_over() {
    use std::os::unix::fs::MetadataExt;
    let mut home = Home::tail("sincedb_path => 'SINCEDB'");
    let sincedb = home.dir.path().join("sincedb");
    home.config = home
        .config
        .replace("SINCEDB", &sincedb.display().to_string());
    home.write("a.log", "1\n2\n3\n");
    let meta = fs::metadata(home.path("a.log")).unwrap();
    let line = format!(
        "{} 0 {} 4 1700000000.5 {}\n",
        meta.ino(),
        meta.dev(),
        home.path("a.log").display()
    );
    fs::write(&sincedb, &line).unwrap();
    home.expect(&["a.log:3"]);
    home.stop();
    home.quiet(60);
    assert_eq!(fs::read_to_string(&sincedb).unwrap(), line);
    assert!(home.dir.path().join("sincedb.logmill").exists());
}

#[test]
fn more_files_than_may_be_open_all_arrive() {
    let mut home = Home::tail("max_open_files => 3");
    for round in 0..3 {
        for n in 0..20 {
            home.append(&format!("{n}.log"), &format!("{round}\nhalf"));
        }
        let count = 20 * (round + 1);
        home.until("all", |home| home.got.len() == count);
    }
    home.got.sort();
    home.got.dedup();
    assert_eq!(home.got.len(), 60);
}

#[test]
fn old_files_are_left_out_until_they_change() {
    let mut home = Home::tail("ignore_older => 100");
    home.write("a.log", "old\n");
    let past = std::time::SystemTime::now() - Duration::from_secs(1000);
    fs::File::options()
        .append(true)
        .open(home.path("a.log"))
        .unwrap()
        .set_modified(past)
        .unwrap();
    home.quiet(100);
    home.append("a.log", "new\n");
    home.expect(&["a.log:new"]);
}

#[test]
fn a_link_that_points_to_another_file_is_followed() {
    let mut home = Home::tail("");
    home.write("0.real", "1\n");
    std::os::unix::fs::symlink(home.path("0.real"), home.path("a.log")).unwrap();
    home.expect(&["a.log:1"]);
    home.append("0.real", "2\n");
    home.rename("0.real", "0.real.old");
    home.write("0.real", "3\n");
    home.expect(&["a.log:2", "a.log:3"]);
    fs::hard_link(home.path("0.real"), home.path("b.log")).unwrap();
    home.quiet(80);
    home.append("0.real", "4\n");
    home.expect(&["a.log:4"]);
    fs::remove_file(home.path("a.log")).unwrap();
    home.quiet(80);
    home.append("0.real", "5\n");
    home.expect(&["a.log:5"]);
}

#[test]
fn stopping_yields_nothing_more_and_keeps_the_half_line() {
    let mut home = Home::tail("");
    home.write("a.log", "1\nhalf");
    home.expect(&["a.log:1"]);
    let running = home.running.as_mut().unwrap();
    let mut block = Block::default();
    let mut cx = FillCx {
        delivery: &running.delivery,
        stopping: true,
        max_records: None,
        block_bytes: 1 << 20,
    };
    assert_eq!(running.source.fill(&mut block, &mut cx), Fill::Ended);
    assert!(block.recs.is_empty() && block.runs.is_empty());
    home.stop();
    home.append("a.log", " line\n");
    home.expect(&["a.log:half line"]);
}

#[test]
fn a_missing_permission_is_told_and_the_rest_is_read() {
    let mut home = Home::tail("");
    home.write("a.log", "1\n");
    fs::create_dir(home.path("b.log")).unwrap();
    home.expect(&["a.log:1"]);
    let source = &home.running.as_ref().unwrap().source;
    assert!(
        source.idle_reason().starts_with("file: 1 files"),
        "{}",
        source.idle_reason()
    );
    assert_eq!(source.lag(), 0);
}
