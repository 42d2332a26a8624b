//! Compressed files: unpacked while they are read, and recognised when they hold what was read before.

use std::io;
use std::path::Path;

use crate::delivery::StreamId;
use crate::delivery::checkpoint::{Checkpoint, HEAD_BYTES, Key};
use crate::plugin::{FillCx, PluginMetrics};

use super::super::Mode;
use super::super::gzip::Unzip;
use super::super::handles::{Handle, Handles};
use super::super::identity::{FileId, Look};
use super::{Next, Phase, QUIET_LOOKS, Tail, Turn};

/// Decoded bytes that one turn passes over in a compressed file.
const SKIP_PER_TURN: u64 = 4 << 20;
/// How often a compressed file waits for the file that it may be the copy of, before it is read by itself.
const COPY_TRIES: u32 = 60;

/// Where reading would start if a compressed file turns out to hold what was read already.
#[derive(Clone, Debug)]
pub(super) struct CopyOf {
    record: u64,
    pos: u64,
    /// The original is gone and had the like name: the compressed file may hold more than was read.
    may_be_longer: bool,
}

impl Tail {
    pub(super) fn unzip(&mut self, t: &mut Turn<'_, '_>) -> io::Result<Next> {
        if let Some(size) = self.cut_at {
            let look = Look::at(&self.path)?;
            let age = t.wall.duration_since(look.changed).unwrap_or_default();
            let patience = match t.shared.mode {
                Mode::Read => t.shared.stat_interval * QUIET_LOOKS,
                Mode::Tail => t.shared.close_older,
            };
            if look.size == size && age >= patience {
                return Ok(self.end_damaged(t, "ends in the middle"));
            }
            if look.size == size {
                return Ok(Next::In(t.shared.stat_interval));
            }
            self.size = look.size;
            self.cut_at = None;
        }
        let Some(unzip) = self.unzip_handle(t.handles)? else {
            return Ok(self.replaced(t));
        };
        if unzip.at() < self.pos {
            let behind = self.pos - unzip.at();
            return match unzip.skip(behind.min(SKIP_PER_TURN)) {
                Ok(0) => Ok(self.end_damaged(t, "is shorter than what was read of it before")),
                Ok(_) => Ok(Next::Again),
                Err(error) => self.broken(t, &error),
            };
        }
        let (from, recs) = (t.block.buf.len(), t.block.recs.len());
        let read = match unzip.read(&mut t.block.buf, t.want) {
            Ok(read) => read,
            Err(error) => return self.broken(t, &error),
        };
        if read == 0 {
            return Ok(self.end(t));
        }
        Self::framer(&mut self.framer, t.shared, self.pos).feed(t.block, from, self.pos);
        self.pos += read as u64;
        self.grown = t.now;
        PluginMetrics::add(&t.shared.metrics.bytes, read as u64);
        self.tell(t, recs, from);
        Ok(Next::Again)
    }

    fn unzip_handle<'h>(&self, handles: &'h mut Handles) -> io::Result<Option<&'h mut Unzip>> {
        if handles.get(self.key).is_none() {
            let file = handles.open(&self.path)?;
            if !Look::into(&file)?.is_same(self.id, self.birth) {
                return Ok(None);
            }
            handles.keep(self.key, Handle::Gzip(Box::new(Unzip::new(file))));
        }
        Ok(match handles.reading(self.key) {
            Some(Handle::Gzip(unzip)) => Some(unzip),
            _ => None,
        })
    }

    /// A compressed file is cut or damaged. A cut one may still be growing, so that it gets time.
    fn broken(&mut self, t: &mut Turn<'_, '_>, error: &io::Error) -> io::Result<Next> {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                t.handles.close(self.key);
                self.cut_at = Some(self.size);
                Ok(Next::In(t.shared.stat_interval))
            }
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                Ok(self.end_damaged(t, &error.to_string()))
            }
            _ => Err(io::Error::new(error.kind(), error.to_string())),
        }
    }

    fn end_damaged(&mut self, t: &mut Turn<'_, '_>, what: &str) -> Next {
        self.damaged = true;
        t.notices.damaged(&self.path, what);
        self.end(t)
    }

    /// Decodes the whole file once, for `check_archive_validity`.
    pub(super) fn check(&mut self, t: &mut Turn<'_, '_>) -> io::Result<Next> {
        let Some(unzip) = self.unzip_handle(t.handles)? else {
            return Ok(self.replaced(t));
        };
        match unzip.skip(SKIP_PER_TURN) {
            Ok(0) => {
                t.handles.close(self.key);
                self.checked = true;
                self.begin(t, None)
            }
            Ok(_) => Ok(Next::Again),
            Err(error) => {
                t.handles.close(self.key);
                let look = Look::at(&self.path)?;
                if !Self::has_settled(&look, t, QUIET_LOOKS) {
                    // It may still be growing.
                    self.phase = Phase::Found;
                    return Ok(Next::In(t.shared.stat_interval));
                }
                t.notices.skipped(&self.path, &error);
                self.phase = Phase::Ended;
                Ok(Next::Ended)
            }
        }
    }

    /// The file that this one may be the compressed copy of.
    pub(super) fn copied_from(&mut self, t: &mut Turn<'_, '_>) -> io::Result<Option<CopyOf>> {
        let mut start = Vec::new();
        let mut unzip = Unzip::new(t.handles.open(&self.path)?);
        // What cannot be decoded is told when it is read.
        while start.len() < HEAD_BYTES as usize
            && unzip
                .read(&mut start, HEAD_BYTES as usize)
                .is_ok_and(|read| read > 0)
        {}
        let alike = t.shared.positions.beginning_like(&start);
        Ok(alike
            .into_iter()
            .filter_map(|record| self.as_copy(&record))
            .max_by_key(|copy| copy.pos))
    }

    fn as_copy(&self, record: &Checkpoint) -> Option<CopyOf> {
        let Key::File(original) = &record.key else {
            return None;
        };
        if record.id == self.record
            || u64::from(original.head.bytes) < record.pos.min(u64::from(HEAD_BYTES))
        {
            return None;
        }
        let there = Look::at(&original.path);
        let gone = !there.is_ok_and(|look| {
            look.id
                == FileId {
                    device: original.device,
                    inode: original.inode,
                }
        });
        let related = original.path.parent() == self.path.parent()
            && stem(&original.path)
                .is_some_and(|name| stem(&self.path).is_some_and(|own| own == name));
        let full = original.head.bytes == HEAD_BYTES;
        Some(CopyOf {
            record: record.id,
            pos: record.pos,
            may_be_longer: gone && related && full,
        })
    }

    /// Passes over what was read of the original: at its end, or where the original's reader stopped, the position is
    /// taken over; else the file is one of its own.
    pub(super) fn compare(&mut self, t: &mut Turn<'_, '_>, copy: &CopyOf) -> io::Result<Next> {
        if let Some(stream) = t.shared.positions.stream_of(copy.record)
            && (copy.may_be_longer || is_unanswered(t.cx, stream))
            && self.copy_tries < COPY_TRIES
        {
            // The original is still being read or answered: its position is not its last.
            self.copy_tries += 1;
            t.handles.close(self.key);
            self.phase = Phase::Found;
            return Ok(Next::In(t.shared.stat_interval));
        }
        let Some(unzip) = self.unzip_handle(t.handles)? else {
            return Ok(self.replaced(t));
        };
        let left = copy.pos.saturating_sub(unzip.at());
        let longer = match unzip.skip(left.clamp(1, SKIP_PER_TURN)) {
            Ok(skipped) if skipped > 0 && left > 0 => return Ok(Next::Again),
            Ok(skipped) => skipped > 0,
            Err(_) => return self.begin_by_itself(t, 0),
        };
        if left > 0 || longer && !copy.may_be_longer {
            return self.begin_by_itself(t, 0);
        }
        log::info!(
            "file: {} is the compressed copy of a file that was read before: {}",
            self.path.display(),
            if longer {
                "goes on where that ended"
            } else {
                "not read again"
            }
        );
        let next = self.begin_by_itself(t, copy.pos)?;
        Ok(if longer { next } else { self.end(t) })
    }

    fn begin_by_itself(&mut self, t: &mut Turn<'_, '_>, pos: u64) -> io::Result<Next> {
        t.handles.close(self.key);
        let look = Look::at(&self.path)?;
        self.record = t
            .shared
            .positions
            .insert(look.key(self.head, &self.path), pos, t.wall);
        self.go_live(t, pos);
        Ok(Next::Again)
    }
}

fn is_unanswered(cx: &FillCx<'_>, stream: StreamId) -> bool {
    let delivery = crate::lock(cx.delivery);
    delivery.read_to(stream) != delivery.answered_to(stream)
}

pub(super) fn is_named_gzip(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ending == "gz" || ending == "gzip")
}

/// The name without what rotation appends to it: `.gz`, numbers and dates.
fn stem(path: &Path) -> Option<&[u8]> {
    let mut name = path.file_name()?.as_encoded_bytes();
    for ending in [&b".gz"[..], b".gzip"] {
        name = name.strip_suffix(ending).unwrap_or(name);
    }
    let appended = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_');
    let kept = name
        .iter()
        .rposition(|byte| !appended(byte))
        .map_or(0, |at| at + 1);
    name.get(..kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Path;

    #[test]
    fn what_rotation_appends_is_no_part_of_the_stem() {
        for name in [
            "app.log",
            "app.log.1",
            "app.log.12.gz",
            "app.log-20240131.gz",
            "app.log.2024-01-31_10",
        ] {
            assert_eq!(
                stem(Path::new(&format!("/x/{name}"))),
                Some(&b"app.log"[..]),
                "{name}"
            );
        }
    }
}
