//! Reads a gzip file as the bytes in it.

use std::fs::File;
use std::io::{self, Read};

use flate2::read::MultiGzDecoder;

/// The first two bytes of every gzip file.
const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Whether a file that begins with `start` is a gzip file.
#[must_use]
pub fn is_gzip(start: &[u8]) -> bool {
    start.starts_with(&MAGIC)
}

/// A gzip file that is read from its beginning, with a position in decoded bytes.
#[derive(Debug)]
pub struct Unzip {
    decoder: MultiGzDecoder<File>,
    at: u64,
    failed: Option<io::Error>,
}

impl Unzip {
    /// Begins with the first byte of the file (its cursor must stand there).
    #[must_use]
    pub fn new(file: File) -> Self {
        Unzip {
            decoder: MultiGzDecoder::new(file),
            at: 0,
            failed: None,
        }
    }

    /// Decoded bytes read so far.
    #[must_use]
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The file itself.
    #[must_use]
    pub fn file(&self) -> &File {
        self.decoder.get_ref()
    }

    /// Appends up to `want` decoded bytes; 0 at the end.
    ///
    /// # Errors
    /// The file is damaged or cut; what was decoded before has been returned by earlier calls.
    pub fn read(&mut self, buf: &mut Vec<u8>, want: usize) -> io::Result<usize> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let from = buf.len();
        buf.reserve(want);
        let result = (&mut self.decoder).take(want as u64).read_to_end(buf);
        self.count((buf.len() - from) as u64, result.err())
            .map(|_| buf.len() - from)
    }

    /// Passes over up to `want` decoded bytes; 0 at the end.
    ///
    /// # Errors
    /// As for [`Unzip::read`].
    pub fn skip(&mut self, want: u64) -> io::Result<u64> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let mut scrap = Scrap(0);
        let result = io::copy(&mut (&mut self.decoder).take(want), &mut scrap);
        self.count(scrap.0, result.err())
    }

    fn count(&mut self, read: u64, error: Option<io::Error>) -> io::Result<u64> {
        self.at += read;
        match error {
            Some(error) if read == 0 => Err(error),
            error => {
                self.failed = error;
                Ok(read)
            }
        }
    }
}

/// Counts what is written to it; unlike a copy's result, the count survives an error.
struct Scrap(u64);

impl io::Write for Scrap {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, Write};

    fn zipped(members: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for member in members {
            let mut encoder = flate2::write::GzEncoder::new(&mut out, flate2::Compression::fast());
            encoder.write_all(member).unwrap();
            encoder.finish().unwrap();
        }
        out
    }

    fn open(bytes: &[u8]) -> Unzip {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        Unzip::new(file)
    }

    #[test]
    fn members_are_one_text_read_and_skipped_in_pieces() {
        let bytes = zipped(&[b"hello ", b"", b"world"]);
        assert!(is_gzip(&bytes));
        let mut unzip = open(&bytes);
        let mut buf = Vec::new();
        assert_eq!(unzip.read(&mut buf, 4).unwrap(), 4);
        assert_eq!(unzip.skip(3).unwrap(), 3);
        while unzip.read(&mut buf, 2).unwrap() > 0 {}
        assert_eq!((buf.as_slice(), unzip.at()), (&b"hellorld"[..], 11));
        assert_eq!(unzip.skip(9).unwrap(), 0);
    }

    #[test]
    fn a_cut_file_yields_what_is_whole_and_then_an_error() {
        let text: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
        let bytes = zipped(&[&text]);
        let mut unzip = open(&bytes[..bytes.len() / 2]);
        let (mut buf, mut error) = (Vec::new(), None);
        while error.is_none() {
            match unzip.read(&mut buf, 10_000) {
                Ok(0) => panic!("a cut file has no end"),
                Ok(_) => {}
                Err(e) => error = Some(e),
            }
        }
        assert_eq!(error.unwrap().kind(), io::ErrorKind::UnexpectedEof);
        assert!(buf.len() > 100_000 && text.starts_with(&buf));
    }
}
