//! Names of addresses: `1.0.0.10.in-addr.arpa`.

use hickory_server::proto::rr::Name;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address that a reverse name stands for; `None` for other names and for those of whole networks.
pub(super) fn address(name: &Name) -> Option<IpAddr> {
    let labels: Vec<&str> = name
        .iter()
        .map(std::str::from_utf8)
        .collect::<Result<_, _>>()
        .ok()?;
    let (digits, domain) = labels.split_at(labels.len().checked_sub(2)?);
    if !domain[1].eq_ignore_ascii_case("arpa") {
        return None;
    }
    if domain[0].eq_ignore_ascii_case("in-addr") {
        let mut octets = [0; 4];
        let digits: &[&str; 4] = digits.try_into().ok()?;
        for (octet, digit) in octets.iter_mut().zip(digits.iter().rev()) {
            *octet = digit.parse().ok()?;
        }
        return Some(Ipv4Addr::from(octets).into());
    }
    if domain[0].eq_ignore_ascii_case("ip6") {
        let digits: &[&str; 32] = digits.try_into().ok()?;
        let mut bits = 0;
        for digit in digits.iter().rev() {
            if digit.len() != 1 {
                return None;
            }
            bits = bits << 4 | u128::from_str_radix(digit, 16).ok()?;
        }
        return Some(Ipv6Addr::from(bits).into());
    }
    None
}

/// The zone of a range's reverse names: of the smallest network on a label's border that holds it.
pub(super) fn zone(range: &IpNet) -> Option<Name> {
    let network = Name::from(range.network());
    let (bits, per_label) = match range {
        IpNet::V4(_) => (32, 8),
        IpNet::V6(_) => (128, 4),
    };
    let free = (bits - usize::from(range.prefix_len())).div_ceil(per_label);
    let count = network.iter().count();
    Some(network.trim_to(count.checked_sub(free)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let check = |name: &str, expected: Option<&str>| {
            let found = address(&Name::from_ascii(name).unwrap());
            assert_eq!(found, expected.map(|e| e.parse().unwrap()), "{name}");
        };
        check("10.0.43.10.in-addr.arpa.", Some("10.43.0.10"));
        check("10.0.43.10.IN-ADDR.ARPA.", Some("10.43.0.10"));
        check("43.10.in-addr.arpa.", None);
        check("1.10.0.43.10.in-addr.arpa.", None);
        check("256.0.43.10.in-addr.arpa.", None);
        check("x.0.43.10.in-addr.arpa.", None);
        check("10.0.43.10.example.com.", None);
        check("arpa.", None);
        check(".", None);
        let v6 = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.c.b.A.4.3.2.1.ip6.arpa.";
        check(v6, Some("1234:abcd::1"));
        check(&v6.replacen("1.", "11.", 1), None);
        check(&v6.replacen("1.", "", 1), None);
    }

    #[test]
    fn zones() {
        let check = |range: &str, expected: &str| {
            assert_eq!(
                zone(&range.parse().unwrap()).unwrap().to_string(),
                expected,
                "{range}"
            );
        };
        check("10.43.0.0/16", "43.10.in-addr.arpa.");
        check("10.43.16.0/20", "43.10.in-addr.arpa.");
        check("10.43.7.0/24", "7.43.10.in-addr.arpa.");
        check("10.43.7.1/32", "1.7.43.10.in-addr.arpa.");
        check("fd00::/8", "d.f.ip6.arpa.");
        check("fd00:1::/62", "0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa.");
    }
}
