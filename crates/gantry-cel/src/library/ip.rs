//! IP addresses.

use super::{Library, mismatch};
use crate::cost::rules;
use crate::error::{Error, Result};
use crate::types::Type;
use crate::value::{Object, Value, text::quote};
use std::any::Any;
use std::net::IpAddr;

/// An address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ip(pub(super) IpAddr);

impl Object for Ip {
    fn type_name(&self) -> &'static str {
        "net.IP"
    }

    fn equals(&self, other: &dyn Object) -> Option<bool> {
        Some(self.0 == other.as_any().downcast_ref::<Ip>()?.0)
    }

    fn size(&self) -> Option<u64> {
        Some(if self.0.is_ipv4() { 4 } else { 16 })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

pub(super) fn register(library: &mut Library) {
    library.add_type(Type::Opaque("net.IP".into(), [].into()));
    library
        .add("ip", "string_to_ip", "(string) -> net.IP", ip)
        .cost(rules::ARGUMENT);
    library.add_member("family", "ip_family", "(net.IP) -> int", |args| {
        of(args, |ip| Value::Int(if ip.is_ipv4() { 4 } else { 6 }))
    });
    library
        .add(
            "ip.isCanonical",
            "ip_is_canonical",
            "(string) -> bool",
            is_canonical,
        )
        .cost(rules::ARGUMENT_TWICE);
    let is: [(&'static str, &str, super::Eval); 5] = [
        ("isUnspecified", "ip_is_unspecified", |args| {
            of(args, |ip| Value::Bool(ip.is_unspecified()))
        }),
        ("isLoopback", "ip_is_loopback", |args| {
            of(args, |ip| Value::Bool(ip.is_loopback()))
        }),
        ("isLinkLocalMulticast", "ip_is_link_local_multicast", |args| {
            of(args, |ip| Value::Bool(is_link_local_multicast(ip)))
        }),
        ("isLinkLocalUnicast", "ip_is_link_local_unicast", |args| {
            of(args, |ip| Value::Bool(is_link_local_unicast(ip)))
        }),
        ("isGlobalUnicast", "ip_is_global_unicast", |args| {
            of(args, |ip| Value::Bool(is_global_unicast(ip)))
        }),
    ];
    for (name, id, eval) in is {
        library.add_member(name, id, "(net.IP) -> bool", eval);
    }
    library
        .add("isIP", "is_ip", "(string) -> bool", is_ip)
        .cost(rules::ARGUMENT);
    library.add("string", "ip_to_string", "(net.IP) -> string", |args| {
        of(args, |ip| ip.to_string().into())
    });
}

fn of<'a>(args: &[Value<'a>], make: impl Fn(IpAddr) -> Value<'a>) -> Result<Value<'a>> {
    match args.first().and_then(Value::as_object::<Ip>) {
        Some(ip) => Ok(make(ip.0)),
        None => mismatch(),
    }
}

fn is_link_local_multicast(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.octets()[..3] == [224, 0, 0],
        IpAddr::V6(ip) => ip.segments()[0] & 0xff0f == 0xff02,
    }
}

fn is_link_local_unicast(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.segments()[0] & 0xffc0 == 0xfe80,
    }
}

fn is_global_unicast(ip: IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    !broadcast
        && !ip.is_unspecified()
        && !ip.is_loopback()
        && !ip.is_multicast()
        && !is_link_local_unicast(ip)
}

/// Reads an address; neither zones nor mapped addresses are taken.
pub(super) fn parse(text: &str) -> std::result::Result<IpAddr, String> {
    let quoted = quote(text);
    let wrong = |why: String| format!("IP Address {quoted} parse error during conversion from string: {why}");
    if let Some((address, zone)) = text.split_once('%')
        && address.contains(':')
    {
        return match (address.parse::<std::net::Ipv6Addr>(), zone) {
            (Ok(_), "") => Err(wrong(format!(
                "ParseAddr({quoted}): zone must be a non-empty string"
            ))),
            (Ok(_), _) => Err(format!("IP address {quoted} with zone value is not allowed")),
            (Err(_), _) => Err(wrong(explain(text))),
        };
    }
    match text.parse() {
        Ok(IpAddr::V6(ip)) if ip.to_ipv4_mapped().is_some() => {
            Err(format!("IPv4-mapped IPv6 address {quoted} is not allowed"))
        }
        Ok(ip) => Ok(ip),
        Err(_) => Err(wrong(explain(text))),
    }
}

/// What Go says of a text that is no address.
fn explain(text: &str) -> String {
    let quoted = quote(text);
    let say = |why: &str| format!("ParseAddr({quoted}): {why}");
    if !text.contains(':') && !text.contains('.') {
        return say("unable to parse IP");
    }
    let at = |why: &str, rest: &str| say(&format!("{why} (at {})", quote(rest)));
    if text.find('.').unwrap_or(usize::MAX) > text.find(':').unwrap_or(usize::MAX) {
        let strange = text.find(|c: char| !c.is_ascii_hexdigit() && c != ':' && c != '.');
        return match strange {
            Some(i) => at("unexpected character, want colon", &text[i..]),
            None if text.split(':').any(|p| p.len() > 4 && !p.contains('.')) => {
                at("IPv6 field has value >=2^16", text)
            }
            None => say("address string too short"),
        };
    }
    let mut fields = 1;
    let mut value = 0u32;
    let mut digits = 0;
    for (i, c) in text.char_indices() {
        match c {
            '0'..='9' => {
                if digits == 1 && value == 0 {
                    return say("IPv4 field has octet with leading zero");
                }
                value = value * 10 + c as u32 - '0' as u32;
                digits += 1;
                if value > 255 {
                    return say("IPv4 field has value >255");
                }
            }
            '.' => {
                if i == 0 || i == text.len() - 1 || text.as_bytes()[i - 1] == b'.' {
                    return at("IPv4 field must have at least one digit", &text[i..]);
                }
                if fields == 4 {
                    return say("IPv4 address too long");
                }
                fields += 1;
                (value, digits) = (0, 0);
            }
            _ => return at("unexpected character", &text[i..]),
        }
    }
    say("IPv4 address too short")
}

fn ip<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::String(text)] => parse(text).map(|ip| Value::object(Ip(ip))).map_err(Error::new),
        _ => mismatch(),
    }
}

fn is_ip<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::String(text)] => Ok(Value::Bool(parse(text).is_ok())),
        _ => mismatch(),
    }
}

fn is_canonical<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::String(text)] => {
            let ip = parse(text).map_err(Error::new)?;
            Ok(Value::Bool(ip.to_string() == **text))
        }
        _ => mismatch(),
    }
}
