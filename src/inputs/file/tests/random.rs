//! Random programs that log, rotate and remove files, a reader that dies at random, and many files at once.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use crate::plugin::Checkpoints;

use super::Home;

/// A small generator of random numbers, the same on every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// What a program that logs and the one that rotates its files do, at random.
struct Writer {
    home: Home,
    dice: Dice,
    line: u32,
    half: bool,
    rotations: u32,
    oldest: u32,
    kills: bool,
    killed: bool,
}

impl Writer {
    fn new(seed: u64) -> Self {
        let mut home = Home::tail("sincedb_write_interval => 0");
        home.block_bytes = 64;
        let dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        Writer {
            home,
            dice,
            line: 0,
            half: false,
            rotations: 0,
            oldest: 1,
            // Half of the runs see no crash, and so no line twice.
            kills: seed.is_multiple_of(2),
            killed: false,
        }
    }

    fn write(&mut self) {
        for _ in 0..=self.dice.roll(5) {
            if self.half {
                self.home.append("a.log", "\n");
                self.half = false;
            }
            self.half = self.dice.roll(4) == 0;
            let end = if self.half { "" } else { "\n" };
            let text = format!("line {} at {}{end}", self.line, self.line * 7919);
            self.home.append("a.log", &text);
            self.line += 1;
        }
    }

    fn rotate(&mut self) {
        self.end_line();
        if self.home.path("a.log").exists() {
            self.rotations += 1;
            self.home
                .rename("a.log", &format!("a.log.{}", self.rotations));
        }
    }

    fn end_line(&mut self) {
        if std::mem::take(&mut self.half) {
            self.home.append("a.log", "\n");
        }
    }

    fn catch_up(&mut self) {
        self.end_line();
        let mut missing: BTreeSet<String> = (0..self.line)
            .map(|n| format!("line {n} at {}", n * 7919))
            .collect();
        self.home.until("every line", |home| {
            for text in &home.got {
                missing.remove(text.split_once(':').unwrap().1);
            }
            missing.is_empty()
        });
    }

    fn remove_oldest(&mut self, compress: bool) {
        if self.oldest > self.rotations {
            return;
        }
        self.catch_up();
        let name = format!("a.log.{}", self.oldest);
        self.oldest += 1;
        let text = fs::read(self.home.path(&name)).unwrap();
        if compress {
            self.home.write_gz(&format!("{name}.gz"), text);
        }
        fs::remove_file(self.home.path(&name)).unwrap();
    }

    fn step(&mut self) {
        match self.dice.roll(20) {
            0..=7 => self.write(),
            8..=12 => {
                for _ in 0..self.dice.roll(10) {
                    self.home.pump();
                }
            }
            13 => self.home.answers = !self.home.answers,
            14 | 15 => self.rotate(),
            16 => {
                if let Some(running) = &self.home.running {
                    running.positions.flush().unwrap();
                }
            }
            17 => {
                self.home.answers = true;
                let compress = self.dice.roll(2) == 0;
                self.remove_oldest(compress);
            }
            18 if self.dice.roll(3) == 0 => {
                self.home.answers = true;
                self.catch_up();
                self.home.write("a.log", "");
            }
            18 => std::thread::sleep(Duration::from_millis(self.dice.roll(40))),
            _ if self.kills => {
                self.killed = true;
                self.home.kill();
            }
            _ => {}
        }
    }
}

#[test]
fn whatever_happens_each_line_arrives_and_only_a_kill_makes_it_come_twice() {
    for seed in 1..=6 {
        let mut writer = Writer::new(seed);
        for _ in 0..120 {
            writer.step();
        }
        writer.home.answers = true;
        writer.catch_up();
        let count = writer.home.got.len();
        let lines: BTreeSet<&str> = writer
            .home
            .got
            .iter()
            .map(|text| text.split_once(':').unwrap().1)
            .collect();
        assert_eq!(
            lines.len(),
            writer.line as usize,
            "seed {seed}: no line is torn"
        );
        if !writer.killed {
            assert_eq!(
                count,
                writer.line as usize,
                "seed {seed}: {:?}",
                writer.home.short()
            );
        }
    }
}

#[test]
fn many_files_share_few_fills() {
    let mut home = Home::tail("max_open_files => 50");
    for n in 0..1_500 {
        home.write(&format!("{n}.log"), "x\n");
    }
    home.until("all", |home| home.got.len() == 1_500);
    assert!(home.blocks.len() < 20, "{} blocks", home.blocks.len());
}
