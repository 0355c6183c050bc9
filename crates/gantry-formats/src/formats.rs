//! Formats of strings: names, labels, ports, addresses. Each function returns what is wrong, nothing when all is well.
//!
//! Source of the rules and their wording: k8s.io/apimachinery/pkg/util/validation and pkg/api/validate/content.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is wrong with a text; empty when it fits.
pub type Problems = Vec<String>;

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const KEY: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";

fn too_long(max: usize, unit: &str) -> String {
    format!("must be no more than {max} {unit}")
}

fn must_match(rule: &str, regex: &str, examples: &[&str]) -> String {
    let quoted: Vec<String> = examples.iter().map(|e| format!("'{e}', ")).collect();
    format!(
        "{rule} (e.g. {}regex used for validation is '{regex}')",
        quoted.join(" or ")
    )
}

fn is_label(label: &str) -> bool {
    let bytes = label.as_bytes();
    let alnum = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    bytes.first().is_some_and(alnum)
        && bytes.last().is_some_and(alnum)
        && bytes.iter().all(|b| alnum(b) || *b == b'-')
}

/// A DNS-1123 label: at most 63 of a-z, 0-9 and `-`, alphanumeric at both ends.
pub fn dns_label(value: &str) -> Problems {
    label(value, "characters")
}

/// The same, in the words of upstream's declarative validation.
pub fn short_name(value: &str) -> Problems {
    label(value, "bytes")
}

fn label(value: &str, unit: &str) -> Problems {
    let mut problems = Vec::new();
    if value.len() > 63 {
        problems.push(too_long(63, unit));
    }
    if !is_label(value) {
        problems.push(if value.split('.').all(is_label) {
            "must not contain dots".into()
        } else {
            let rule = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
                        start and end with an alphanumeric character";
            must_match(rule, LABEL, &["my-name", "123-abc"])
        });
    }
    problems
}

/// A DNS-1123 subdomain: at most 253 characters, labels joined by dots.
pub fn dns_subdomain(value: &str) -> Problems {
    subdomain(value, "characters")
}

/// The same, in the words of upstream's declarative validation.
pub fn long_name(value: &str) -> Problems {
    subdomain(value, "bytes")
}

/// A DNS-1123 subdomain whatever its case, in the words of upstream's declarative validation.
pub fn long_name_caseless(value: &str) -> Problems {
    let mut problems = Vec::new();
    if value.len() > 253 {
        problems.push(too_long(253, "bytes"));
    }
    if !value.to_ascii_lowercase().split('.').all(is_label) {
        let rule = "an RFC 1123 subdomain must consist of alphanumeric characters, '-' or '.', and must start and end with \
                    an alphanumeric character";
        problems.push(must_match(
            rule,
            &format!("{LABEL}(\\.{LABEL})*"),
            &["Example.com"],
        ));
    }
    problems
}

fn subdomain(value: &str, unit: &str) -> Problems {
    let mut problems = Vec::new();
    if value.len() > 253 {
        problems.push(too_long(253, unit));
    }
    if !value.split('.').all(is_label) {
        let rule = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and \
                    must start and end with an alphanumeric character";
        problems.push(must_match(
            rule,
            &format!("{LABEL}(\\.{LABEL})*"),
            &["example.com"],
        ));
    }
    problems
}

/// A DNS-1123 subdomain in which labels may hold and begin with `_`, as DNS search domains do.
pub fn dns_subdomain_with_underscore(value: &str) -> Problems {
    let mut problems = Vec::new();
    if value.len() > 253 {
        problems.push(too_long(253, "characters"));
    }
    let fits = |label: &str| {
        let inner = label.strip_prefix('_').unwrap_or(label).replace('_', "-");
        is_label(&inner) && !label.ends_with('_')
    };
    if !value.split('.').all(fits) {
        let part = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
        let rule = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', \
                    and must start and end with an alphanumeric character";
        problems.push(must_match(rule, &format!("{part}(\\.{part})*"), &["example.com"]));
    }
    problems
}

/// A DNS-1035 label: as [`dns_label`], but it begins with a letter.
pub fn dns1035_label(value: &str) -> Problems {
    let mut problems = Vec::new();
    if value.len() > 63 {
        problems.push(too_long(63, "characters"));
    }
    if !is_label(value) || value.starts_with(|c: char| c.is_ascii_digit()) {
        let rule = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
                    character, and end with an alphanumeric character";
        problems.push(must_match(
            rule,
            "[a-z]([-a-z0-9]*[a-z0-9])?",
            &["my-name", "abc-123"],
        ));
    }
    problems
}

/// A fully qualified domain name, with or without the dot at its end.
pub fn fully_qualified_domain_name(value: &str) -> Problems {
    if value.is_empty() {
        return vec!["must be non-empty".into()];
    }
    let name = value.strip_suffix('.').unwrap_or(value);
    let problems = dns_subdomain(name);
    if problems.is_empty() && name.split('.').count() < 2 {
        return vec!["should be a domain with at least two segments separated by dots".into()];
    }
    problems
}

/// A path segment: not `.` or `..`, without `/` and `%`. RBAC names follow this rule.
pub fn path_segment(value: &str) -> Problems {
    if matches!(value, "." | "..") {
        return vec![format!("may not be '{value}'")];
    }
    ['/', '%']
        .into_iter()
        .filter(|c| value.contains(*c))
        .map(|c| format!("may not contain '{c}'"))
        .collect()
}

fn is_key(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

/// A label's or annotation's key, a finalizer, a condition's type: a name with an optional DNS subdomain before it.
pub fn qualified_name(value: &str) -> Problems {
    let rule = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric \
                character";
    let text = || must_match(rule, KEY, &["MyName", "my.name", "123-abc"]);
    let mut problems = Vec::new();
    let mut parts = value.split('/');
    let name = match (parts.next(), parts.next(), parts.next()) {
        (Some(name), None, None) => name,
        (Some(prefix), Some(name), None) => {
            if prefix.is_empty() {
                problems.push("prefix part must be non-empty".into());
            } else {
                let wrong = dns_subdomain(prefix);
                problems.extend(wrong.iter().map(|p| format!("prefix part {p}")));
            }
            name
        }
        _ => {
            return vec![format!(
                "a valid label key {} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
                text()
            )];
        }
    };
    if name.is_empty() {
        problems.push("name part must be non-empty".into());
    } else if name.len() > 63 {
        problems.push(format!("name part {}", too_long(63, "bytes")));
    }
    if !is_key(name) {
        problems.push(format!("name part {}", text()));
    }
    problems
}

/// A label's value.
pub fn label_value(value: &str) -> Problems {
    let mut problems = Vec::new();
    if value.len() > 63 {
        problems.push(too_long(63, "bytes"));
    }
    if !value.is_empty() && !is_key(value) {
        let rule = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and \
                    must start and end with an alphanumeric character";
        problems.push(must_match(
            rule,
            &format!("({KEY})?"),
            &["MyValue", "my_value", "12345"],
        ));
    }
    problems
}

/// A number between bounds.
pub fn in_range(value: i64, low: i64, high: i64) -> Problems {
    match (low..=high).contains(&value) {
        true => Vec::new(),
        false => vec![format!("must be between {low} and {high}, inclusive")],
    }
}

/// A port's number.
pub fn port_number(value: i64) -> Problems {
    in_range(value, 1, 65535)
}

/// A user's or group's number.
pub fn user_id(value: i64) -> Problems {
    in_range(value, 0, i32::MAX.into())
}

/// A port's name in a container.
pub fn port_name(value: &str) -> Problems {
    let mut problems = Vec::new();
    if value.len() > 15 {
        problems.push(too_long(15, "characters"));
    }
    let charset = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if value.is_empty() || !value.bytes().all(charset) {
        problems.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".into());
    }
    if !value.bytes().any(|b| b.is_ascii_lowercase()) {
        problems.push("must contain at least one letter (a-z)".into());
    }
    if value.contains("--") {
        problems.push("must not contain consecutive hyphens".into());
    }
    if value.starts_with('-') || value.ends_with('-') {
        problems.push("must not begin or end with a hyphen".into());
    }
    problems
}

/// A name of an HTTP header.
pub fn http_header_name(value: &str) -> Problems {
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Vec::new();
    }
    let rule = "a valid HTTP header must consist of alphanumeric characters or '-'";
    vec![must_match(rule, "[-A-Za-z0-9]+", &["X-Header-Name"])]
}

/// A name of an environment variable: printable ASCII without `=`.
pub fn env_var_name(value: &str) -> Problems {
    if value.is_empty() {
        return vec!["environment variable name must be non-empty".into()];
    }
    if value.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'=') {
        return Vec::new();
    }
    vec![
        "a valid environment variable name must consist only of printable ASCII characters other than '='"
            .into(),
    ]
}

/// A key of a ConfigMap or Secret, which may become a file's name.
pub fn config_map_key(value: &str) -> Problems {
    let mut problems = Vec::new();
    if value.len() > 253 {
        problems.push(too_long(253, "characters"));
    }
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    if value.is_empty() || !value.bytes().all(fits) {
        let rule = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
        problems.push(must_match(
            rule,
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    if matches!(value, "." | "..") {
        problems.push(format!("must not be '{value}'"));
    } else if value.starts_with("..") {
        problems.push("must not start with '..'".into());
    }
    problems
}

/// A name that the language C takes for one.
pub fn c_identifier(value: &str) -> Problems {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if !value.is_empty() && value.bytes().all(fits) && !value.starts_with(|c: char| c.is_ascii_digit()) {
        return Vec::new();
    }
    let rule = "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric \
                characters or '_'";
    vec![must_match(
        rule,
        "[A-Za-z_][A-Za-z0-9_]*",
        &["my_name", "MY_NAME", "MyName"],
    )]
}

/// A condition's reason.
pub fn condition_reason(value: &str) -> Problems {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"_,:".contains(&b);
    let ends = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if value.starts_with(|c: char| c.is_ascii_alphabetic())
        && value.bytes().all(fits)
        && value.bytes().last().is_some_and(ends)
    {
        return Vec::new();
    }
    let rule = "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric \
                characters or '_,:', and must end with an alphanumeric character or '_'";
    vec![must_match(
        rule,
        "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?",
        &[
            "my_name",
            "MY_NAME",
            "MyName",
            "ReasonA,ReasonB",
            "ReasonA:ReasonB",
        ],
    )]
}

/// A percentage, such as `25%`.
pub fn percent(value: &str) -> Problems {
    match value.strip_suffix('%') {
        Some(number) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => Vec::new(),
        _ => {
            let rule = "a valid percent string must be a numeric string followed by an ending '%'";
            vec![must_match(rule, "[0-9]+%", &["1%", "93%"])]
        }
    }
}

/// An address as fields have always taken them: IPv4 parts may have leading zeros.
pub fn parse_ip(value: &str) -> Option<IpAddr> {
    if value.contains(':') {
        return value
            .parse::<Ipv6Addr>()
            .ok()
            .map(|ip| match ip.to_ipv4_mapped() {
                Some(ip) => IpAddr::V4(ip),
                None => IpAddr::V6(ip),
            });
    }
    let mut octets = [0u8; 4];
    let mut parts = value.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *octet = part.parse().ok()?;
    }
    parts.next().is_none().then(|| IpAddr::V4(Ipv4Addr::from(octets)))
}

/// An IP address, written in the one way that all programs read alike.
pub fn ip(value: &str) -> Problems {
    if parse_ip(value).is_none() {
        return vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".into()];
    }
    let mut problems = Vec::new();
    if has_leading_zeros(value) {
        problems.push("must not have leading 0s".into());
    }
    if is_mapped(value) {
        problems.push("must not be an IPv4-mapped IPv6 address".into());
    }
    problems
}

/// Whether a part of an IPv4 address could be taken for an octal number.
fn has_leading_zeros(address: &str) -> bool {
    !address.contains(':')
        && address
            .split('.')
            .any(|part| part.len() > 1 && part.starts_with('0'))
}

/// Whether an IPv4 address is written as an IPv6 one.
fn is_mapped(address: &str) -> bool {
    address
        .parse::<Ipv6Addr>()
        .is_ok_and(|ip| ip.to_ipv4_mapped().is_some())
}

/// An address range, such as `10.0.0.0/8`.
pub fn parse_cidr(value: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = value.split_once('/')?;
    let address = parse_ip(address)?;
    let length: u8 = length.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    (length <= most).then_some((address, length))
}

/// An address range in CIDR notation, written in the one way that all programs read alike.
pub fn cidr(value: &str) -> Problems {
    let (Some((address, length)), Some((text, digits))) = (parse_cidr(value), value.split_once('/')) else {
        return vec!["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)".into()];
    };
    let zeros = has_leading_zeros(text) || digits.len() > 1 && digits.starts_with(['0', '+']);
    let host_bits = match address {
        IpAddr::V4(ip) => ip.to_bits().checked_shl(length.into()).unwrap_or(0) != 0,
        IpAddr::V6(ip) => ip.to_bits().checked_shl(length.into()).unwrap_or(0) != 0,
    };
    match () {
        _ if zeros => vec!["must not have leading 0s in IP or prefix length".into()],
        _ if is_mapped(text) => vec!["must not have an IPv4-mapped IPv6 address".into()],
        _ if host_bits => vec!["must not have bits set beyond the prefix length".into()],
        _ => Vec::new(),
    }
}

/// An interface's address and the length of its network's prefix, such as `10.9.8.7/24`.
pub fn interface_address(value: &str) -> Problems {
    let Some((address, length)) = parse_cidr(value) else {
        return vec!["must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)".into()];
    };
    let canonical = format!("{address}/{length}");
    match canonical == value {
        true => Vec::new(),
        false => vec![format!("must be in canonical form ({canonical:?})")],
    }
}

/// A UUID in the one way to write it.
pub fn uuid(value: &str) -> Problems {
    let bare = match value.len() {
        36 | 32 => value,
        45 => match value.split_at_checked(9) {
            Some((prefix, bare)) if prefix.eq_ignore_ascii_case("urn:uuid:") => bare,
            other => {
                let prefix = other.map_or("", |(prefix, _)| prefix);
                return vec![format!("error validating uid: invalid urn prefix: {prefix:?}")];
            }
        },
        38 => match value.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(bare) => bare,
            None => return vec!["error validating uid: invalid bracketed UUID format".into()],
        },
        length => return vec![format!("error validating uid: invalid UUID length: {length}")],
    };
    let dash = |i: usize| bare.len() == 36 && [8, 13, 18, 23].contains(&i);
    let fits = |(i, b): (usize, u8)| if dash(i) { b == b'-' } else { b.is_ascii_hexdigit() };
    match bare.bytes().enumerate().all(fits) {
        false => vec!["error validating uid: invalid UUID format".into()],
        true if value.len() == 36 && value == value.to_lowercase() => Vec::new(),
        true => vec![
            "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal \
             characters"
                .into(),
        ],
    }
}

/// An IP address that all software reads alike.
pub fn strict_ip(value: &str) -> Problems {
    if parse_ip(value).is_none() {
        return ip(value);
    }
    match value.parse::<IpAddr>() {
        Err(_) => vec!["must not have leading 0s".into()],
        Ok(IpAddr::V6(ip)) if ip.to_ipv4_mapped().is_some() => {
            vec!["must not be an IPv4-mapped IPv6 address".into()]
        }
        Ok(_) => Vec::new(),
    }
}

/// An IP address in the one way to write it.
pub fn canonical_ip(value: &str) -> Problems {
    let problems = strict_ip(value);
    match parse_ip(value).map(|ip| ip.to_string()) {
        Some(canonical) if problems.is_empty() && canonical != value => {
            vec![format!("must be in canonical form ({canonical:?})")]
        }
        _ => problems,
    }
}

/// An address range that all software reads alike.
pub fn strict_cidr(value: &str) -> Problems {
    let Some((address, length)) = parse_cidr(value) else {
        return cidr(value);
    };
    let (written, digits) = value.split_once('/').unwrap_or((value, ""));
    let problem = match written.parse::<IpAddr>() {
        Ok(IpAddr::V6(ip)) if ip.to_ipv4_mapped().is_some() => "must not have an IPv4-mapped IPv6 address",
        Ok(_) if digits.len() > 1 && digits.starts_with('0') => {
            "must not have leading 0s in IP or prefix length"
        }
        Ok(_) if network(address, length) != address => "must not have bits set beyond the prefix length",
        Ok(_) => return Vec::new(),
        Err(_) => "must not have leading 0s in IP or prefix length",
    };
    vec![problem.into()]
}

/// An address range in the one way to write it.
pub fn canonical_cidr(value: &str) -> Problems {
    let problems = strict_cidr(value);
    match parse_cidr(value).map(|(address, length)| format!("{address}/{length}")) {
        Some(canonical) if problems.is_empty() && canonical != value => {
            vec![format!("must be in canonical form ({canonical:?})")]
        }
        _ => problems,
    }
}

/// The first address of a range.
pub fn network(address: IpAddr, length: u8) -> IpAddr {
    let length = u32::from(length);
    match address {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32u32.saturating_sub(length)).unwrap_or(0);
            Ipv4Addr::from(u32::from(ip) & mask).into()
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128u32.saturating_sub(length)).unwrap_or(0);
            Ipv6Addr::from(u128::from(ip) & mask).into()
        }
    }
}

/// A DNS-1123 subdomain with `*` for its first label.
pub fn wildcard_dns_subdomain(value: &str) -> Problems {
    let mut problems = Vec::new();
    if value.len() > 253 {
        problems.push(too_long(253, "characters"));
    }
    if !value
        .strip_prefix("*.")
        .is_some_and(|rest| rest.split('.').all(is_label))
    {
        let rule = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must \
                    consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character";
        let regex = format!("\\*\\.{LABEL}(\\.{LABEL})*");
        problems.push(must_match(rule, &regex, &["*.example.com"]));
    }
    problems
}

/// The path after a domain, such as `controller` in `example.com/controller`.
pub fn http_path(value: &str) -> Problems {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b);
    if !value.is_empty() && value.bytes().all(fits) {
        return Vec::new();
    }
    vec!["Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')".into()]
}

/// An address that traffic may be sent to from anywhere in the cluster.
pub fn endpoint_ip(value: &str) -> Problems {
    let Some(ip) = parse_ip(value) else {
        return vec!["must be a valid IP address".into()];
    };
    let (link_local, link_local_multicast) = match ip {
        IpAddr::V4(ip) => (ip.is_link_local(), ip.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(ip) => (ip.is_unicast_link_local(), ip.segments()[0] & 0xff0f == 0xff02),
    };
    let mut problems = Vec::new();
    if ip.is_unspecified() {
        problems.push(format!("may not be unspecified ({value})"));
    }
    if ip.is_loopback() {
        problems.push("may not be in the loopback range (127.0.0.0/8, ::1/128)".into());
    }
    if link_local {
        problems.push("may not be in the link-local range (169.254.0.0/16, fe80::/10)".into());
    }
    if link_local_multicast {
        problems.push("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".into());
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        let check = |format: fn(&str) -> Problems, good: &[&str], bad: &[&str]| {
            for text in good {
                assert_eq!(format(text), Problems::new(), "{text:?}");
            }
            for text in bad {
                assert_ne!(format(text), Problems::new(), "{text:?}");
            }
        };
        let long = "a".repeat(64);
        check(
            dns_label,
            &["a", "a-1", "1a"],
            &["", "-a", "a-", "A", "a.b", &long],
        );
        check(dns_subdomain, &["a.b", "1.2"], &["", "a..b", "a_b", ".a"]);
        check(long_name_caseless, &["A.b"], &["", "a..b"]);
        check(dns1035_label, &["a1"], &["1a", "a.b"]);
        check(
            qualified_name,
            &["a", "x.y/A_b.c"],
            &["", "/a", "a/", "a/b/c", "-a", "A.b/c"],
        );
        check(label_value, &["", "A_1"], &["-", "a b", &long]);
        check(
            port_name,
            &["http", "a-1"],
            &["", "80", "a--b", "-a", "sixteen-letters-"],
        );
        check(env_var_name, &["A", "a.b-c", "1 x"], &["", "a=b", "é"]);
        check(config_map_key, &["a.b", "_"], &["", ".", "..", "..a", "a/b"]);
        check(percent, &["0%", "25%"], &["%", "25", "-1%"]);
        check(
            ip,
            &["10.0.0.1", "::1", "0.0.0.0"],
            &["", "10.0.0", "10.0.0.256", "x", "010.0.0.1", "::ffff:10.0.0.1"],
        );
        check(
            cidr,
            &["10.0.0.0/8", "10.1.2.3/32", "0.0.0.0/0", "fd00::/64", "::/0"],
            &[
                "10.0.0.0",
                "10.0.0.0/33",
                "10.0.0.1/8",
                "010.0.0.0/8",
                "10.0.0.0/08",
                "fd00::1/64",
                "::ffff:10.0.0.0/24",
            ],
        );
        check(
            strict_ip,
            &["10.0.0.1", "FE80::1"],
            &["x", "010.0.0.1", "::ffff:1.2.3.4"],
        );
        check(
            canonical_ip,
            &["10.0.0.1", "fe80::1"],
            &["x", "010.0.0.1", "FE80::1"],
        );
        check(
            strict_cidr,
            &["10.0.0.0/8", "::/0"],
            &["x", "10.0.0.1/8", "010.0.0.0/8", "10.0.0.0/08"],
        );
        check(
            canonical_cidr,
            &["10.0.0.0/8", "fd00::/8"],
            &["FD00::/8", "10.0.0.1/8"],
        );
        check(wildcard_dns_subdomain, &["*.a.b"], &["*", "a.b", "*.A", "*.*.b"]);
        check(
            interface_address,
            &["10.9.8.7/24", "2001:db8::1/64"],
            &["10.9.8.7", "10.9.8.07/24", "::FFFF:0/64"],
        );
        check(
            uuid,
            &["0a1b2c3d-0000-4000-8000-00000000000f"],
            &[
                "",
                "0A1b2c3d-0000-4000-8000-00000000000f",
                "0a1b2c3d0000400080000000-0000000000f",
                "{0a1b2c3d-0000-4000-8000-00000000000f}",
            ],
        );
        check(c_identifier, &["a1", "_"], &["", "1a", "a-b"]);
        check(condition_reason, &["A", "A,b:c_"], &["", "1a", "a:", "a b"]);
        check(http_path, &["a/b"], &["", "a b"]);
        check(
            endpoint_ip,
            &["10.0.0.1"],
            &["127.0.0.1", "0.0.0.0", "169.254.1.1", "fe80::1"],
        );
        check(path_segment, &["a:b", ""], &[".", "..", "a/b", "a%b"]);
    }

    #[test]
    fn wording() {
        assert_eq!(dns_label("a.b"), ["must not contain dots"]);
        assert_eq!(
            dns_label("A"),
            [
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and \
              end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
              '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            ]
        );
    }
}
