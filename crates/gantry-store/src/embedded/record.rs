//! The form of a record: one version of one key, as the file holds it.
//!
//! A record begins with the number of its form, so that a later form needs no rewriting of the file: records of both
//! stand beside each other until the old ones are superseded. `FORMAT` in the file's `meta` table says which forms a
//! reader must know.
//!
//! | form | bytes |
//! |---|---|
//! | 1 | create revision (8, of which the first is 0), version (8), key length (4), key, value |
//! | 2 | 2 (1), checksum of revision and rest (8), and the rest as form 1 |
//!
//! Numbers are big-endian. redb checks its pages only when it repairs the file; the checksum finds a disk's errors
//! whenever a record is read, and all are read at the start.

use crate::{Entry, Revision};
use bytes::Bytes;

/// The newest format of files, and the oldest that is understood.
pub(super) const FORMAT: u64 = 2;
pub(super) const OLDEST: u64 = 1;
/// The number of the form that is written, and the first byte of form 1.
const FORM: u8 = 2;
const FORM_1: u8 = 0;
/// Form and checksum.
const PREFIX: usize = 9;
/// Create revision, version, key length.
const HEAD: usize = 20;

/// An entry as a record; its revision is the record's key.
pub(super) fn encode(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::with_capacity(PREFIX + HEAD + entry.key.len() + entry.value.len());
    out.resize(PREFIX, FORM);
    out.extend(entry.create_revision.to_be_bytes());
    out.extend(entry.version.to_be_bytes());
    out.extend((entry.key.len() as u32).to_be_bytes());
    out.extend(&entry.key);
    out.extend(&entry.value);
    let sum = checksum(entry.mod_revision, &out[PREFIX..]);
    out[1..PREFIX].copy_from_slice(&sum.to_be_bytes());
    out
}

/// The entry of a record; none if the record is damaged.
pub(super) fn decode(mod_revision: Revision, record: &[u8]) -> Option<Entry> {
    let rest = match *record.first()? {
        FORM_1 => record,
        FORM => {
            let (sum, rest) = (record.get(1..PREFIX)?, record.get(PREFIX..)?);
            (sum == checksum(mod_revision, rest).to_be_bytes()).then_some(rest)?
        }
        _ => return None,
    };
    let create_revision = u64::from_be_bytes(rest.get(..8)?.try_into().ok()?);
    let version = u64::from_be_bytes(rest.get(8..16)?.try_into().ok()?);
    let len = u32::from_be_bytes(rest.get(16..HEAD)?.try_into().ok()?) as usize;
    Some(Entry {
        key: Bytes::copy_from_slice(rest.get(HEAD..HEAD + len)?),
        value: Bytes::copy_from_slice(rest.get(HEAD + len..)?),
        create_revision,
        mod_revision,
        version,
    })
}

/// Each step maps its input one to one, so that a change within eight bytes always shows, and any other all but always.
fn checksum(revision: Revision, bytes: &[u8]) -> u64 {
    let mix = |sum: u64, word: u64| {
        let sum = (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        sum ^ (sum >> 29)
    };
    let (words, rest) = bytes.as_chunks::<8>();
    let sum = words.iter().map(|w| u64::from_le_bytes(*w)).fold(revision, mix);
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
        let record = encode(&entry);
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
