//! Addresses, and what Go says of texts that are none. Source: Go's net/netip.

use crate::value::text::quote;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is wrong, and from where on.
type Problem<'t> = (&'static str, &'t str);

/// Reads an address, and tells whether it has a zone.
pub(super) fn parse(text: &str) -> Result<(IpAddr, bool), String> {
    let parsed = match text.find(['.', ':', '%']).map(|i| text.as_bytes()[i]) {
        Some(b'.') => v4(text, 0).map(|bytes| (Ipv4Addr::from(bytes).into(), false)),
        Some(b':') => v6(text).map(|(ip, zone)| (ip.into(), zone)),
        Some(_) => Err(("missing IPv6 address", "")),
        None => Err(("unable to parse IP", "")),
    };
    parsed.map_err(|(why, at)| match at {
        "" => format!("ParseAddr({}): {why}", quote(text)),
        _ => format!("ParseAddr({}): {why} (at {})", quote(text), quote(at)),
    })
}

/// Reads what begins at an offset.
fn v4(text: &str, offset: usize) -> Result<[u8; 4], Problem<'_>> {
    let bytes = text.as_bytes();
    let mut fields = [0u8; 4];
    let (mut index, mut digits, mut value) = (0, 0, 0u32);
    for i in offset..bytes.len() {
        match bytes[i] {
            b @ b'0'..=b'9' => {
                if digits == 1 && value == 0 {
                    return Err(("IPv4 field has octet with leading zero", ""));
                }
                value = value * 10 + u32::from(b - b'0');
                digits += 1;
                if value > 255 {
                    return Err(("IPv4 field has value >255", ""));
                }
            }
            b'.' => {
                if i == offset || i == bytes.len() - 1 || bytes[i - 1] == b'.' {
                    return Err(("IPv4 field must have at least one digit", &text[i..]));
                }
                if index == 3 {
                    return Err(("IPv4 address too long", ""));
                }
                fields[index] = value as u8;
                index += 1;
                (value, digits) = (0, 0);
            }
            _ => return Err(("unexpected character", text.get(i..).unwrap_or_default())),
        }
    }
    if index < 3 {
        return Err(("IPv4 address too short", ""));
    }
    fields[3] = value as u8;
    Ok(fields)
}

fn v6(text: &str) -> Result<(Ipv6Addr, bool), Problem<'_>> {
    let (address, zone) = match text.split_once('%') {
        Some((_, "")) => return Err(("zone must be a non-empty string", "")),
        Some((address, _)) => (address, true),
        None => (text, false),
    };
    let mut bytes = [0u8; 16];
    let mut rest = address;
    let mut at = 0;
    let mut ellipsis = None;
    if let Some(after) = rest.strip_prefix("::") {
        ellipsis = Some(0);
        rest = after;
        if rest.is_empty() {
            return Ok((Ipv6Addr::UNSPECIFIED, zone));
        }
    }
    while at < 16 {
        let digits = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
        match digits {
            0 => return Err(("each colon-separated field must have at least one digit", rest)),
            5.. => return Err(("each group must have 4 or less digits", rest)),
            _ => {}
        }
        if rest.as_bytes().get(digits) == Some(&b'.') {
            if ellipsis.is_none() && at != 12 {
                return Err((
                    "embedded IPv4 address must replace the final 2 fields of the address",
                    rest,
                ));
            }
            if at > 12 {
                return Err((
                    "too many hex fields to fit an embedded IPv4 at the end of the address",
                    rest,
                ));
            }
            bytes[at..at + 4].copy_from_slice(&v4(address, address.len() - rest.len())?);
            at += 4;
            rest = "";
            break;
        }
        let field = u16::from_str_radix(&rest[..digits], 16).unwrap_or_default();
        bytes[at..at + 2].copy_from_slice(&field.to_be_bytes());
        at += 2;
        rest = &rest[digits..];
        let Some(after) = rest.strip_prefix(':') else {
            match rest {
                "" => break,
                _ => return Err(("unexpected character, want colon", rest)),
            }
        };
        if after.is_empty() {
            return Err(("colon must be followed by more characters", rest));
        }
        rest = after;
        if let Some(after) = rest.strip_prefix(':') {
            if ellipsis.is_some() {
                return Err(("multiple :: in address", rest));
            }
            ellipsis = Some(at);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
    }
    if !rest.is_empty() {
        return Err(("trailing garbage after address", rest));
    }
    match ellipsis {
        None if at < 16 => return Err(("address string too short", "")),
        Some(_) if at == 16 => return Err(("the :: must expand to at least one field of zeros", "")),
        Some(from) => {
            let moved = at - from;
            bytes.copy_within(from..at, 16 - moved);
            bytes[from..16 - moved].fill(0);
        }
        None => {}
    }
    Ok((bytes.into(), zone))
}
