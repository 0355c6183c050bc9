//! The form of a record: one version of one key, as the disk holds it.
//!
//! A record begins with the number of its form, so that a later form needs no rewriting: records of both stand beside
//! each other until the old ones are superseded.
//!
//! | form | bytes |
//! |---|---|
//! | 1 | create revision (8, of which the first is 0), version (8), key length (4), key, value |
//! | 2 | 2 (1), checksum of revision and rest (8), and the rest as form 1 |
//!
//! Numbers are big-endian. The checksum finds a disk's errors whenever a record is read, and all are read at the start.
//! Form 1 is found only in the files of one redb table that came before the log (`import.rs`).

use crate::{Entry, Revision};
use bytes::Bytes;

/// The number of the form that is written, and the first byte of form 1.
const FORM: u8 = 2;
const FORM_1: u8 = 0;
/// Form and checksum.
const PREFIX: usize = 9;
/// Create revision, version, key length.
const HEAD: usize = 20;

/// How long the record of an entry is.
pub(super) fn len(entry: &Entry) -> usize {
    PREFIX + HEAD + entry.key.len() + entry.value.len()
}

/// Appends an entry as a record; its revision stands beside it.
pub(super) fn encode(entry: &Entry, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + PREFIX, FORM);
    out.extend(entry.create_revision.to_be_bytes());
    out.extend(entry.version.to_be_bytes());
    out.extend((entry.key.len() as u32).to_be_bytes());
    out.extend(&entry.key);
    out.extend(&entry.value);
    let sum = checksum(entry.mod_revision, &out[start + PREFIX..]);
    out[start + 1..start + PREFIX].copy_from_slice(&sum.to_be_bytes());
}

/// What of a record is neither form nor checksum; none if the record is damaged.
fn rest(mod_revision: Revision, record: &[u8]) -> Option<&[u8]> {
    match *record.first()? {
        FORM_1 => Some(record),
        FORM => {
            let (sum, rest) = (record.get(1..PREFIX)?, record.get(PREFIX..)?);
            (sum == checksum(mod_revision, rest).to_be_bytes()).then_some(rest)
        }
        _ => None,
    }
}

/// Whether a record is whole.
pub(super) fn is_whole(mod_revision: Revision, record: &[u8]) -> bool {
    rest(mod_revision, record).is_some_and(|rest| rest.len() >= HEAD)
}

/// The entry of a record; none if the record is damaged.
pub(super) fn decode(mod_revision: Revision, record: &[u8]) -> Option<Entry> {
    let rest = rest(mod_revision, record)?;
    let create_revision = u64::from_be_bytes(rest.get(..8)?.try_into().ok()?);
    let version = u64::from_be_bytes(rest.get(8..16)?.try_into().ok()?);
    let len = u32::from_be_bytes(rest.get(16..HEAD)?.try_into().ok()?) as usize;
    Some(Entry {
        key: Bytes::copy_from_slice(rest.get(HEAD..HEAD.checked_add(len)?)?),
        value: Bytes::copy_from_slice(rest.get(HEAD + len..)?),
        create_revision,
        mod_revision,
        version,
    })
}

/// One step of a checksum. It maps its input one to one, so that a change within eight bytes always shows, and any other
/// all but always.
pub(super) fn mix(sum: u64, word: u64) -> u64 {
    let sum = (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    sum ^ (sum >> 29)
}

/// The checksum of bytes that belong to a number.
pub(super) fn checksum(of: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let sum = words.iter().map(|w| u64::from_le_bytes(*w)).fold(of, mix);
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    mix(mix(sum, u64::from_le_bytes(last)), bytes.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_change_to_a_record_is_found() {
        let entry = Entry {
            key: "/registry/pods/a/b".into(),
            value: "{\"kind\":\"Pod\"}".into(),
            create_revision: 7,
            mod_revision: 9,
            version: 2,
        };
        let mut record = Vec::new();
        encode(&entry, &mut record);
        assert_eq!(record.len(), len(&entry));
        assert_eq!(decode(9, &record), Some(entry));
        assert_eq!(decode(8, &record), None, "another revision's record");
        for at in 0..record.len() {
            for bit in 0..8 {
                let mut wrong = record.clone();
                wrong[at] ^= 1 << bit;
                // The bit that makes form 2 look like form 1: then the lengths do not fit.
                assert_eq!(decode(9, &wrong), None, "bit {bit} of byte {at}");
            }
            assert_eq!(decode(9, &record[..at]), None, "cut off at {at}");
        }
    }
}
