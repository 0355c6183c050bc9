//! Networks.

use super::ip::{self, Ip};
use super::{Library, mismatch};
use crate::cost::rules;
use crate::error::{Error, Result};
use crate::types::Type;
use crate::value::{Object, Value, text::quote};
use gantry_formats::formats;
use std::any::Any;
use std::net::IpAddr;

/// An address and how many of its bits name the network.
#[derive(Clone, Copy, Debug)]
struct Cidr {
    address: IpAddr,
    bits: u8,
}

impl Object for Cidr {
    fn type_name(&self) -> &'static str {
        "net.CIDR"
    }

    fn equals(&self, other: &dyn Object) -> Option<bool> {
        let other: &Cidr = other.as_any().downcast_ref()?;
        Some(self.address == other.address && self.bits == other.bits)
    }

    fn size(&self) -> Option<u64> {
        Some(u64::from(self.bits).div_ceil(8))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Cidr {
    fn parse(text: &str) -> std::result::Result<Cidr, String> {
        let quoted = quote(text);
        let wrong = |why: &str| {
            format!(
                "network address parse error during conversion from string: netip.ParsePrefix({quoted}): {why}"
            )
        };
        let (address, bits) = text.rsplit_once('/').ok_or_else(|| wrong("no '/'"))?;
        let address: IpAddr = address.parse().map_err(|_| match ip::parse(address) {
            Err(why) if why.contains("zone") => wrong("IPv6 zones cannot be present in a prefix"),
            Err(why) => wrong(
                why.split_once("from string: ")
                    .map_or(why.as_str(), |(_, why)| why),
            ),
            Ok(_) => wrong("unable to parse IP"),
        })?;
        let bad = || wrong(&format!("bad bits after slash: {}", quote(bits)));
        let plain = bits.bytes().all(|b| b.is_ascii_digit()) && (bits.len() == 1 || !bits.starts_with('0'));
        let number: u32 = bits.parse().ok().filter(|_| plain).ok_or_else(bad)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        if number > most {
            return Err(wrong("prefix length out of range"));
        }
        if matches!(address, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some()) {
            return Err(format!("IPv4-mapped IPv6 address {quoted} is not allowed"));
        }
        Ok(Cidr {
            address,
            bits: number as u8,
        })
    }

    fn has(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && formats::network(self.address, self.bits) == formats::network(address, self.bits)
    }
}

pub(super) fn register(library: &mut Library) {
    library.add_type(Type::Opaque("net.CIDR".into(), [].into()));
    library
        .add("cidr", "string_to_cidr", "(string) -> net.CIDR", cidr)
        .cost(rules::ARGUMENT);
    library
        .add_member(
            "containsIP",
            "cidr_contains_ip_string",
            "(net.CIDR, string) -> bool",
            has_address,
        )
        .cost(rules::HAS_ADDRESS_TEXT);
    library
        .add_member(
            "containsIP",
            "cidr_contains_ip_ip",
            "(net.CIDR, net.IP) -> bool",
            has_address,
        )
        .cost(rules::HAS_ADDRESS);
    library
        .add_member(
            "containsCIDR",
            "cidr_contains_cidr_string",
            "(net.CIDR, string) -> bool",
            has_network,
        )
        .cost(rules::HAS_NETWORK_TEXT);
    library
        .add_member(
            "containsCIDR",
            "cidr_contains_cidr",
            "(net.CIDR, net.CIDR) -> bool",
            has_network,
        )
        .cost(rules::HAS_NETWORK);
    library.add_member("ip", "cidr_ip", "(net.CIDR) -> net.IP", |args| {
        of(args, |cidr| Value::object(Ip(cidr.address)))
    });
    library.add_member(
        "prefixLength",
        "cidr_prefix_length",
        "(net.CIDR) -> int",
        |args| of(args, |cidr| Value::Int(cidr.bits.into())),
    );
    library.add_member("masked", "cidr_masked", "(net.CIDR) -> net.CIDR", |args| {
        of(args, |cidr| {
            Value::object(Cidr {
                address: formats::network(cidr.address, cidr.bits),
                bits: cidr.bits,
            })
        })
    });
    library
        .add("isCIDR", "is_cidr", "(string) -> bool", is_cidr)
        .cost(rules::ARGUMENT);
    library.add("string", "cidr_to_string", "(net.CIDR) -> string", |args| {
        of(args, |cidr| format!("{}/{}", cidr.address, cidr.bits).into())
    });
}

fn of<'a>(args: &[Value<'a>], make: impl Fn(&Cidr) -> Value<'a>) -> Result<Value<'a>> {
    match args.first().and_then(Value::as_object::<Cidr>) {
        Some(cidr) => Ok(make(cidr)),
        None => mismatch(),
    }
}

fn parse(text: &str) -> Result<Cidr> {
    Cidr::parse(text).map_err(|why| {
        Error::new(format!(
            "network address parse error during conversion from string: {why}"
        ))
    })
}

fn cidr<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::String(text)] => parse(text).map(Value::object),
        _ => mismatch(),
    }
}

fn is_cidr<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::String(text)] => Ok(Value::Bool(Cidr::parse(text).is_ok())),
        _ => mismatch(),
    }
}

fn has_address<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let Some(cidr) = args.first().and_then(Value::as_object::<Cidr>) else {
        return mismatch();
    };
    let address = match args.get(1) {
        Some(Value::String(text)) => ip::parse(text).map_err(|_| Error::NO_OVERLOAD)?,
        other => match other.and_then(|o| o.as_object::<Ip>()) {
            Some(ip) => ip.0,
            None => return mismatch(),
        },
    };
    Ok(Value::Bool(cidr.has(address)))
}

fn has_network<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let Some(cidr) = args.first().and_then(Value::as_object::<Cidr>) else {
        return mismatch();
    };
    let other = match args.get(1) {
        Some(Value::String(text)) => parse(text)?,
        other => match other.and_then(|o| o.as_object::<Cidr>()) {
            Some(other) => *other,
            None => return mismatch(),
        },
    };
    Ok(Value::Bool(cidr.bits <= other.bits && cidr.has(other.address)))
}
