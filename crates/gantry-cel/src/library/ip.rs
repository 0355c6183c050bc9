//! IP addresses.

use super::{Library, address, mismatch};
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
    match address::parse(text) {
        Err(why) => Err(format!(
            "IP Address {quoted} parse error during conversion from string: {why}"
        )),
        Ok((_, true)) => Err(format!("IP address {quoted} with zone value is not allowed")),
        Ok((IpAddr::V6(ip), _)) if ip.to_ipv4_mapped().is_some() => {
            Err(format!("IPv4-mapped IPv6 address {quoted} is not allowed"))
        }
        Ok((ip, _)) => Ok(ip),
    }
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
