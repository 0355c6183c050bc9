//! What is in a file of the log: a head, then one batch after the other, then zeros.
//!
//! | part | bytes |
//! |---|---|
//! | head | `gantrylg`, format (4), 0 (4), the file's number (8), checksum (8) |
//! | batch | `GBAT`, puts (4), erased (4), length of all of it (4), newest revision (8), compacted (8), checksum (8), then the puts and the revisions erased (8 each) |
//! | put | revision (8), length (4), 0 (4), the record (`record.rs`), zeros up to eight bytes |
//!
//! Numbers are big-endian. A batch's checksum covers all but the insides of records, which have their own; of those it
//! takes in the checksums. A put is a new change, or an older one that was moved here from a file that is to go.

use super::folder::LogFile;
use super::record::{self, mix};
use crate::{Entry, Revision};
use std::io;

/// The newest format of files.
pub(super) const FORMAT: u32 = 3;
/// How long the head of a file is.
pub(super) const HEAD: u64 = 32;
const MAGIC: &[u8; 8] = b"gantrylg";
const BATCH: &[u8; 4] = b"GBAT";
const BATCH_HEAD: usize = 40;
const PUT_HEAD: usize = 16;
/// Everything begins at a multiple of this.
const ALIGN: usize = 8;
/// Read at once, while batches are not longer.
const WINDOW: usize = 256 << 10;

/// The head of a file.
pub(super) fn head(number: u64) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend(FORMAT.to_be_bytes());
    out.extend([0; 4]);
    out.extend(number.to_be_bytes());
    out.extend(record::checksum(number, &out).to_be_bytes());
    out
}

/// Why a file cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadHead {
    /// It ends within its head, or that is damaged.
    Damaged,
    /// It is of another format.
    Format(u32),
}

/// Checks the head of a file.
pub(super) fn check_head(number: u64, bytes: &[u8]) -> Result<(), BadHead> {
    if bytes == head(number) {
        return Ok(());
    }
    // A head of another version may be of any length: its checksum may not be where ours is.
    match bytes.strip_prefix(MAGIC).and_then(|rest| rest.first_chunk::<4>()) {
        Some(format) if u32::from_be_bytes(*format) != FORMAT => {
            Err(BadHead::Format(u32::from_be_bytes(*format)))
        }
        _ => Err(BadHead::Damaged),
    }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |w| u64::from_be_bytes(*w))
}

fn half(bytes: &[u8], at: usize) -> usize {
    bytes[at..]
        .first_chunk()
        .map_or(0, |w| u32::from_be_bytes(*w) as usize)
}

/// A batch on its way to the disk.
pub(super) struct Builder {
    bytes: Vec<u8>,
    puts: u32,
    erased: u32,
    /// Of what follows the head.
    sum: u64,
}

impl Builder {
    /// An empty batch, in a buffer that was used before.
    pub(super) fn new(mut bytes: Vec<u8>) -> Builder {
        bytes.clear();
        bytes.resize(BATCH_HEAD, 0);
        Builder {
            bytes,
            puts: 0,
            erased: 0,
            sum: 0,
        }
    }

    /// Adds a change; returns where in the batch it stands.
    pub(super) fn put(&mut self, entry: &Entry) -> u64 {
        self.put_with(entry.mod_revision, record::len(entry), |out| {
            record::encode(entry, out)
        })
    }

    /// Adds a record as it is; returns where in the batch it stands.
    pub(super) fn copy(&mut self, revision: Revision, record: &[u8]) -> u64 {
        self.put_with(revision, record.len(), |out| out.extend_from_slice(record))
    }

    fn put_with(&mut self, revision: Revision, len: usize, write: impl FnOnce(&mut Vec<u8>)) -> u64 {
        let start = self.bytes.len();
        self.bytes.extend(revision.to_be_bytes());
        self.bytes.extend((len as u32).to_be_bytes());
        self.bytes.extend([0; 4]);
        write(&mut self.bytes);
        self.sum = fold_put(self.sum, &self.bytes[start..]);
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGN), 0);
        self.puts += 1;
        start as u64
    }

    /// Adds that nobody can read a revision any more. No put may follow.
    pub(super) fn erase(&mut self, revision: Revision) {
        self.bytes.extend(revision.to_be_bytes());
        self.sum = mix(self.sum, revision);
        self.erased += 1;
    }

    /// How long it is so far.
    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The whole batch, for the file of this number.
    pub(super) fn finish(mut self, number: u64, newest: Revision, compacted: Revision) -> Vec<u8> {
        let length = self.bytes.len() as u32;
        let head = &mut self.bytes[..BATCH_HEAD];
        head[..4].copy_from_slice(BATCH);
        head[4..8].copy_from_slice(&self.puts.to_be_bytes());
        head[8..12].copy_from_slice(&self.erased.to_be_bytes());
        head[12..16].copy_from_slice(&length.to_be_bytes());
        head[16..24].copy_from_slice(&newest.to_be_bytes());
        head[24..32].copy_from_slice(&compacted.to_be_bytes());
        let sum = mix(self.sum, record::checksum(number, &head[..32]));
        head[32..].copy_from_slice(&sum.to_be_bytes());
        self.bytes
    }
}

/// Revision, length and the first bytes of the record, its checksum among them.
fn fold_put(sum: u64, put: &[u8]) -> u64 {
    let sum = mix(mix(sum, word(put, 0)), half(put, 8) as u64);
    let start = &put[PUT_HEAD..];
    match start.len() > ALIGN {
        true => mix(mix(sum, u64::from(start[0])), word(start, 1)),
        false => start.iter().fold(sum, |sum, byte| mix(sum, u64::from(*byte))),
    }
}

/// A put as it was read.
pub(super) struct Put<'a> {
    pub(super) revision: Revision,
    /// Where in the file it stands.
    pub(super) offset: u64,
    pub(super) record: &'a [u8],
}

/// A whole batch as it was read.
pub(super) struct Batch<'a> {
    pub(super) puts: Vec<Put<'a>>,
    pub(super) erased: Vec<Revision>,
    pub(super) newest: Revision,
    pub(super) compacted: Revision,
}

/// What stands at a place of a file.
pub(super) enum Found<'a> {
    Batch(Batch<'a>),
    /// Nothing was written here or after it.
    End,
    /// Something that is not whole.
    Broken,
}

/// Checks a batch: none unless every byte is as it was written.
fn parse(number: u64, offset: u64, bytes: &[u8]) -> Option<Batch<'_>> {
    let (puts, erased) = (half(bytes, 4), half(bytes, 8));
    let (mut at, mut sum) = (BATCH_HEAD, 0);
    let mut batch = Batch {
        // Not with the capacity that a damaged head asks for.
        puts: Vec::new(),
        erased: Vec::new(),
        newest: word(bytes, 16),
        compacted: word(bytes, 24),
    };
    for _ in 0..puts {
        let put = bytes.get(at..).filter(|put| put.len() > PUT_HEAD)?;
        let (revision, len) = (word(put, 0), half(put, 8));
        let end = PUT_HEAD.checked_add(len)?;
        let (record, padding) = (
            put.get(PUT_HEAD..end)?,
            put.get(end..end.next_multiple_of(ALIGN))?,
        );
        let is_padded = half(put, 12) == 0 && padding.iter().all(|b| *b == 0);
        if !is_padded || !record::is_whole(revision, record) {
            return None;
        }
        sum = fold_put(sum, &put[..end]);
        batch.puts.push(Put {
            revision,
            offset: offset + at as u64,
            record,
        });
        at += end.next_multiple_of(ALIGN);
    }
    for _ in 0..erased {
        let revision = word(bytes.get(at..at + 8)?, 0);
        sum = mix(sum, revision);
        batch.erased.push(revision);
        at += 8;
    }
    let sum = mix(sum, record::checksum(number, &bytes[..32]));
    (at == bytes.len() && word(bytes, 32) == sum).then_some(batch)
}

/// Reads a file's batches in order.
pub(super) struct Reader<'a> {
    file: &'a dyn LogFile,
    number: u64,
    /// Where the next batch begins.
    pub(super) offset: u64,
    window: Vec<u8>,
    /// Where in the file the window begins.
    start: u64,
}

impl<'a> Reader<'a> {
    /// Reads from a place at which a batch begins.
    pub(super) fn new(file: &'a dyn LogFile, number: u64, offset: u64) -> Reader<'a> {
        Reader {
            file,
            number,
            offset,
            window: Vec::new(),
            start: offset,
        }
    }

    /// This many bytes at the offset, or as many as there are.
    fn fill(&mut self, len: usize) -> io::Result<usize> {
        let skip = (self.offset - self.start) as usize;
        if self.window.len().saturating_sub(skip) < len {
            self.window.resize(len.max(WINDOW), 0);
            let read = self.file.read_at(&mut self.window, self.offset)?;
            self.window.truncate(read);
            self.start = self.offset;
        }
        let skip = (self.offset - self.start) as usize;
        Ok(self.window.len().saturating_sub(skip).min(len))
    }

    fn bytes(&self, len: usize) -> &[u8] {
        let skip = (self.offset - self.start) as usize;
        &self.window[skip..skip + len]
    }

    /// The next batch. After one that is broken, the offset stays where it begins.
    pub(super) fn next(&mut self) -> io::Result<Found<'_>> {
        let has = self.fill(BATCH_HEAD)?;
        let head = self.bytes(has);
        if head.iter().all(|b| *b == 0) {
            return Ok(Found::End);
        }
        let length = match has == BATCH_HEAD && head.starts_with(BATCH) {
            true => half(head, 12),
            false => return Ok(Found::Broken),
        };
        let left = self.file.len()?.saturating_sub(self.offset);
        if length < BATCH_HEAD || length as u64 > left || self.fill(length)? < length {
            return Ok(Found::Broken);
        }
        let offset = self.offset;
        let skip = (offset - self.start) as usize;
        match parse(self.number, offset, &self.window[skip..skip + length]) {
            Some(batch) => {
                self.offset += length as u64;
                Ok(Found::Batch(batch))
            }
            None => Ok(Found::Broken),
        }
    }

    /// Whether a whole batch stands anywhere after the one that is broken here: then it was not the last that was written.
    pub(super) fn finds_another(mut self) -> io::Result<bool> {
        let len = self.file.len()?;
        while self.offset + (ALIGN as u64) < len {
            self.offset += ALIGN as u64;
            if self.fill(BATCH.len())? == BATCH.len()
                && self.bytes(BATCH.len()) == BATCH
                && matches!(self.next()?, Found::Batch(_))
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Reads the record of a put.
pub(super) fn read_record(file: &dyn LogFile, offset: u64, revision: Revision) -> io::Result<Option<Entry>> {
    // Most records fit; the length is in what is read.
    let mut bytes = vec![0; 4096];
    let read = file.read_at(&mut bytes, offset)?;
    if read <= PUT_HEAD || word(&bytes, 0) != revision {
        return Ok(None);
    }
    let end = PUT_HEAD + half(&bytes, 8);
    if end > read {
        if end as u64 > file.len()?.saturating_sub(offset) {
            return Ok(None);
        }
        bytes.resize(end, 0);
        let rest = file.read_at(&mut bytes[read..], offset + read as u64)?;
        bytes.truncate(read + rest);
    }
    Ok(bytes
        .get(PUT_HEAD..end)
        .and_then(|record| record::decode(revision, record)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::cost;

    #[test]
    fn a_put_takes_what_the_state_reckons() {
        for (key, value) in [("k", ""), ("/registry/pods/a/b", "{}"), ("k", "12345678")] {
            let entry = Entry {
                key: key.into(),
                value: value.into(),
                create_revision: 1,
                mod_revision: 2,
                version: 1,
            };
            let mut builder = Builder::new(Vec::new());
            let before = builder.len();
            builder.put(&entry);
            assert_eq!(
                builder.len() - before,
                cost(key.len(), value.len()),
                "{key} {value}"
            );
        }
    }
}
