//! Ranges of addresses for Services.

use gantry_api::formats;
use std::net::{IpAddr, Ipv4Addr};

/// A range of addresses for Services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    base: u32,
    bits: u8,
}

/// Why a text is no range of addresses for Services.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no range for services: give an IPv4 network with 12 to 29 bits, such as 10.43.0.0/16")]
pub struct RangeError(String);

impl Range {
    /// Reads a network such as `10.43.0.0/16`, of a size that a cluster can begin with.
    pub fn parse(text: &str) -> Result<Self, RangeError> {
        let range = Range::any(text).filter(|range| (12..=29).contains(&range.bits));
        range.ok_or_else(|| RangeError(text.to_string()))
    }

    /// Reads any IPv4 network; `None` for what is none.
    pub fn any(text: &str) -> Option<Self> {
        let (IpAddr::V4(address), bits) = formats::parse_cidr(text)? else {
            return None;
        };
        let mask = u32::MAX.checked_shl(u32::from(32 - bits)).unwrap_or(0);
        Some(Range {
            base: u32::from(address) & mask,
            bits,
        })
    }

    fn size(self) -> u64 {
        1 << (32 - self.bits)
    }

    /// The address this far into the network.
    pub fn nth(self, n: u32) -> Ipv4Addr {
        Ipv4Addr::from(self.base + n)
    }

    /// Whether an address is one of those for Services: neither the network's own nor its broadcast.
    pub fn holds(self, address: Ipv4Addr) -> bool {
        let offset = u64::from(u32::from(address).wrapping_sub(self.base));
        offset > 0 && offset + 1 < self.size()
    }

    /// The addresses that nobody asked for, in the order in which they are given out: from the upper part first, so
    /// that the lower is free for those who choose their own. Each search begins where `start` says, given a count.
    pub fn in_order(self, start: impl Fn(u32) -> u32) -> impl Iterator<Item = Ipv4Addr> {
        let usable = u32::try_from(self.size().saturating_sub(2)).unwrap_or(u32::MAX);
        let lower = match self.size() {
            0..=16 => 0,
            size => u32::try_from(size / 16).unwrap_or(u32::MAX).clamp(16, 256),
        };
        let lower = lower.min(usable);
        let parts = [(1 + lower, usable - lower), (1, lower)];
        parts.into_iter().flat_map(move |(first, count)| {
            let start = if count == 0 { 0 } else { start(count) };
            (0..count).map(move |i| {
                let place = (u64::from(start) + u64::from(i)) % u64::from(count);
                self.nth(first + u32::try_from(place).unwrap_or(0))
            })
        })
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for bad in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/30", "a/16", "10.0.0.0/8"] {
            assert!(Range::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(
            Range::parse("10.43.1.2/16").unwrap().nth(10),
            Ipv4Addr::new(10, 43, 0, 10)
        );
        assert_eq!(Range::any("fd00::/64"), None);
        assert_eq!(Range::any("0.0.0.0/0").unwrap().to_string(), "0.0.0.0/0");
    }

    #[test]
    fn the_upper_part_comes_first() {
        let check = |text: &str, count: usize, first: &str, last: &str| {
            let all: Vec<Ipv4Addr> = Range::any(text).unwrap().in_order(|_| 0).collect();
            assert_eq!(all.len(), count, "{text}");
            assert_eq!(
                all.first().map(ToString::to_string).as_deref(),
                Some(first),
                "{text}"
            );
            assert_eq!(
                all.last().map(ToString::to_string).as_deref(),
                Some(last),
                "{text}"
            );
        };
        check("10.0.0.0/29", 6, "10.0.0.1", "10.0.0.6");
        check("10.0.0.0/24", 254, "10.0.0.17", "10.0.0.16");
        check("10.0.0.0/16", 65534, "10.0.1.1", "10.0.1.0");
        assert_eq!(Range::any("10.0.0.0/31").unwrap().in_order(|_| 0).count(), 0);
    }
}
