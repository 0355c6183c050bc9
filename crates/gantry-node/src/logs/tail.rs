//! Where the last lines of a file begin.

use std::io::{Read, Seek, SeekFrom};

/// Files are read backwards in pieces of this size.
const BLOCK: u64 = 64 << 10;

/// Where the last `lines` of a file begin. An unfinished line at its end does not count, as upstream has it.
pub fn start(file: &mut (impl Read + Seek), lines: u64) -> std::io::Result<u64> {
    let mut right = file.seek(SeekFrom::End(0))?;
    let mut ends = 0;
    let mut block = Vec::new();
    while right > 0 {
        let left = right.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(left))?;
        block.clear();
        file.by_ref().take(right - left).read_to_end(&mut block)?;
        for (at, _) in block.iter().enumerate().rev().filter(|(_, b)| **b == b'\n') {
            if ends == lines {
                return Ok(left + u64::try_from(at).unwrap_or(0) + 1);
            }
            ends += 1;
        }
        right = left;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn finds_the_last_lines() {
        let check = |text: &str, lines: u64, expected: &str| {
            let at = usize::try_from(start(&mut Cursor::new(text), lines).unwrap()).unwrap();
            assert_eq!(&text[at..], expected, "{lines} of {} bytes", text.len());
        };
        check("", 1, "");
        check("a\nb\nc\n", 0, "");
        check("a\nb\nc\n", 2, "b\nc\n");
        check("a\nb\nc\n", 3, "a\nb\nc\n");
        check("a\nb\nc\n", 9, "a\nb\nc\n");
        check("a\nb\nc", 1, "b\nc");
        check("a\nb\nc", 0, "c");
        let long = format!("{}\n{}\n", "x".repeat(100_000), "y".repeat(100_000));
        check(&long, 1, &long[100_001..]);
        check(&long, 2, &long);
    }
}
