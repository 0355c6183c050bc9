//! Time zones, from the machine's own tables.

use std::path::Path;

/// How many seconds east of Greenwich a zone is at a point in time; an error text if there is no such zone.
pub(super) fn offset(name: &str, seconds: i64) -> Result<i64, String> {
    match name {
        "" | "UTC" => return Ok(0),
        // Where this machine is; it runs on UTC.
        "Local" => return Ok(0),
        _ => {}
    }
    let unknown = || format!("unknown time zone {name}");
    let fits = |part: &str| !part.is_empty() && part != "..";
    if name.starts_with('/') || name.contains('\\') || !name.split('/').all(fits) {
        return Err("time: invalid location name".into());
    }
    let data = std::fs::read(Path::new("/usr/share/zoneinfo").join(name)).map_err(|_| unknown())?;
    read(&data, seconds).ok_or_else(unknown)
}

/// Reads a TZif file, of which the second part has 64 bit times.
fn read(data: &[u8], at: i64) -> Option<i64> {
    let first = Header::read(data)?;
    let (header, rest, width) = match first.version {
        b'2'.. => {
            let data = data.get(44 + first.size(4)..)?;
            (Header::read(data)?, data.get(44..)?, 8)
        }
        _ => (first, data.get(44..)?, 4),
    };
    let times = rest.get(..header.times * width)?;
    let kinds = rest.get(times.len()..times.len() + header.times)?;
    let types = rest.get(times.len() + kinds.len()..)?.get(..header.types * 6)?;
    let time = |i: usize| -> i64 {
        let bytes = &times[i * width..(i + 1) * width];
        match width {
            8 => bytes.try_into().map_or(0, i64::from_be_bytes),
            _ => bytes.try_into().map_or(0, |b| i64::from(i32::from_be_bytes(b))),
        }
    };
    let offset = |kind: usize| -> Option<i64> {
        let bytes = types.get(kind * 6..kind * 6 + 4)?;
        Some(i32::from_be_bytes(bytes.try_into().ok()?).into())
    };
    let (mut low, mut high) = (0, header.times);
    while low < high {
        let middle = (low + high) / 2;
        if time(middle) <= at {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    match low {
        // Before all changes the first zone without daylight saving time counts.
        0 => offset((0..header.types).find(|k| types[k * 6 + 4] == 0).unwrap_or(0)),
        _ => offset(kinds[low - 1].into()),
    }
}

struct Header {
    version: u8,
    utc: usize,
    standard: usize,
    leaps: usize,
    times: usize,
    types: usize,
    characters: usize,
}

impl Header {
    fn read(data: &[u8]) -> Option<Header> {
        let head = data.get(..44).filter(|h| h.starts_with(b"TZif"))?;
        let count = |i: usize| -> usize {
            let bytes = &head[20 + i * 4..24 + i * 4];
            bytes.try_into().map_or(0, u32::from_be_bytes) as usize
        };
        Some(Header {
            version: head[4],
            utc: count(0),
            standard: count(1),
            leaps: count(2),
            times: count(3),
            types: count(4),
            characters: count(5),
        })
    }

    fn size(&self, width: usize) -> usize {
        self.times * (width + 1)
            + self.types * 6
            + self.characters
            + self.leaps * (width + 4)
            + self.standard
            + self.utc
    }
}
