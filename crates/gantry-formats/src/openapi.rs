//! Formats of texts and numbers. Source: k8s.io/kube-openapi/pkg/validation/strfmt and
//! k8s.io/apiextensions-apiserver/pkg/apiserver/validation/formats.go.

use regex::Regex;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

/// The formats of texts. Dashes in their names do not count.
const OF_TEXTS: [&str; 25] = [
    "bsonobjectid",
    "byte",
    "cidr",
    "creditcard",
    "date",
    "datetime",
    "duration",
    "email",
    "hexcolor",
    "hostname",
    "ipv4",
    "ipv6",
    "isbn",
    "isbn10",
    "isbn13",
    "k8slongname",
    "k8sshortname",
    "mac",
    "password",
    "rgbcolor",
    "ssn",
    "uri",
    "uuid",
    "uuid3",
    "uuid4",
];

/// Whether values of a type are checked for a format; others are taken as a remark.
pub fn is_known(type_: &str, format: &str) -> bool {
    match type_ {
        "" | "string" => {
            let name = plain(format);
            OF_TEXTS.contains(&name.as_str()) || name == "uuid5"
        }
        "integer" => matches!(format, "int32" | "int64"),
        "number" => matches!(format, "float" | "double"),
        _ => false,
    }
}

fn plain(format: &str) -> String {
    format.replace('-', "")
}

macro_rules! regexes {
    ($($name:ident = $pattern:expr;)*) => {
        $(static $name: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new($pattern).ok());)*
    };
}

regexes! {
    HOSTNAME = r"^([a-zA-Z0-9\p{S}\p{L}]((-?[a-zA-Z0-9\p{S}\p{L}]{0,62})?)|([a-zA-Z0-9\p{S}\p{L}](([a-zA-Z0-9\-\p{S}\p{L}]{0,61}[a-zA-Z0-9\p{S}\p{L}])?)(\.)){1,}([a-zA-Z\p{L}]){2,63})$";
    UUID = r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$";
    UUID3 = r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?3[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$";
    UUID4 = r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$";
    UUID5 = r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?5[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$";
    TIME_OF_DAY = r"^([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])(.[0-9]+)?(z|([+-][0-9]{2}:[0-9]{2}))$";
    CREDIT_CARD = r"^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35[0-9]{3})[0-9]{11})$";
    SSN = r"^[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}$";
    HEX_COLOR = r"^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$";
    RGB_COLOR = r"^rgb\(\s*(0|[1-9][0-9]?|1[0-9][0-9]?|2[0-4][0-9]|25[0-5])\s*,\s*(0|[1-9][0-9]?|1[0-9][0-9]?|2[0-4][0-9]|25[0-5])\s*,\s*(0|[1-9][0-9]?|1[0-9][0-9]?|2[0-4][0-9]|25[0-5])\s*\)$";
    BASE64 = r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$";
    OBJECT_ID = r"^[0-9a-fA-F]{24}$";
    GO_DURATION = r"^[-+]?(0|([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$";
    WORDY_DURATION = r"(?i)[0-9]+\s*(ns|nano|us|µs|micro|ms|milli|s\b|sec|m\b|min|h\b|hr|hour|d\b|day|w\b|wk|week)";
    SHORT_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
    LONG_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
    EMAIL = r#"^([^<>"]*<)?[^\s<>()@,;:\\"\[\]]+@[^\s<>()@,;:\\"\[\]]+>?$"#;
}

fn fits(regex: &LazyLock<Option<Regex>>, text: &str) -> bool {
    regex.as_ref().is_some_and(|r| r.is_match(text))
}

/// Whether a text has a format; one that nobody knows it has.
pub fn is(format: &str, text: &str) -> bool {
    match plain(format).as_str() {
        "uri" => is_uri(text),
        "email" => fits(&EMAIL, text),
        "hostname" => fits(&HOSTNAME, text) && text.len() <= 255 && text.split('.').all(|p| p.len() <= 63),
        "ipv4" => {
            sloppy(text).parse::<Ipv4Addr>().is_ok()
                || (text.contains('.') && text.parse::<Ipv6Addr>().is_ok())
        }
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => is_cidr(text),
        "mac" => is_mac(text),
        "uuid" => fits(&UUID, text),
        "uuid3" => fits(&UUID3, text),
        "uuid4" => fits(&UUID4, text),
        "uuid5" => fits(&UUID5, text),
        "isbn" => is_isbn10(text) || is_isbn13(text),
        "isbn10" => is_isbn10(text),
        "isbn13" => is_isbn13(text),
        "creditcard" => is_credit_card(text),
        "ssn" => fits(&SSN, text),
        "hexcolor" => fits(&HEX_COLOR, text),
        "rgbcolor" => fits(&RGB_COLOR, text),
        "byte" => fits(&BASE64, text),
        "date" => is_date(text),
        "datetime" => is_date_time(text),
        "duration" => fits(&GO_DURATION, text) || fits(&WORDY_DURATION, text),
        "bsonobjectid" => fits(&OBJECT_ID, text),
        "k8sshortname" => text.len() <= 63 && fits(&SHORT_NAME, text),
        "k8slongname" => text.len() <= 253 && fits(&LONG_NAME, text),
        _ => true,
    }
}

/// An absolute URI or a path, as Go's `url.ParseRequestURI` takes it.
fn is_uri(text: &str) -> bool {
    if text.starts_with('/') {
        return !text.chars().any(|c| c.is_control());
    }
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let letters = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let host = rest
        .strip_prefix("//")
        .map(|r| r.split(['/', '?', '#']).next().unwrap_or(""));
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(letters)
        && !text.chars().any(|c| c.is_control())
        && !host.is_some_and(|h| h.contains([' ', '<', '>', '"']))
}

/// Leading zeros of an address' parts do not count.
fn sloppy(text: &str) -> String {
    let part = |p: &str| match p.trim_start_matches('0') {
        "" if !p.is_empty() => "0".to_string(),
        rest => rest.to_string(),
    };
    text.split('.').map(part).collect::<Vec<_>>().join(".")
}

fn is_cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else {
        return false;
    };
    let address = match address.contains(':') {
        true => address.parse::<IpAddr>(),
        false => sloppy(address).parse::<IpAddr>(),
    };
    let most = match address {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    length.chars().all(|c| c.is_ascii_digit()) && length.parse::<u8>().is_ok_and(|l| l <= most)
}

/// 6, 8 or 20 octets with colons or dashes, or the same in groups of four digits with dots.
fn is_mac(text: &str) -> bool {
    let hex = |p: &str, n: usize| p.len() == n && p.chars().all(|c| c.is_ascii_hexdigit());
    let grouped = |by: char, digits: usize, counts: [usize; 3]| {
        let parts: Vec<&str> = text.split(by).collect();
        counts.contains(&parts.len()) && parts.iter().all(|p| hex(p, digits))
    };
    grouped(':', 2, [6, 8, 20]) || grouped('-', 2, [6, 8, 20]) || grouped('.', 4, [3, 4, 10])
}

fn digits(text: &str) -> Vec<u32> {
    text.chars()
        .filter(|c| !matches!(c, '-' | ' '))
        .map(|c| c.to_digit(10).unwrap_or(99))
        .collect()
}

fn is_isbn10(text: &str) -> bool {
    let mut all = digits(text);
    if text.ends_with(['X', 'x'])
        && let Some(last) = all.last_mut()
    {
        *last = 10;
    }
    let good = |(i, d): (usize, &u32)| *d < 10 || (i == 9 && *d == 10);
    all.len() == 10
        && all.iter().enumerate().all(good)
        && all.iter().zip((1..=10).rev()).map(|(d, w)| d * w).sum::<u32>() % 11 == 0
}

fn is_isbn13(text: &str) -> bool {
    let all = digits(text);
    all.len() == 13
        && all.iter().all(|d| *d < 10)
        && all
            .iter()
            .enumerate()
            .map(|(i, d)| d * if i % 2 == 0 { 1 } else { 3 })
            .sum::<u32>()
            % 10
            == 0
}

fn is_credit_card(text: &str) -> bool {
    let plain: String = text.chars().filter(char::is_ascii_digit).collect();
    let doubled = |(i, d): (usize, u32)| match i % 2 {
        0 => d,
        _ if d * 2 > 9 => d * 2 - 9,
        _ => d * 2,
    };
    let sum: u32 = plain
        .chars()
        .rev()
        .filter_map(|c| c.to_digit(10))
        .enumerate()
        .map(doubled)
        .sum();
    fits(&CREDIT_CARD, &plain) && sum.is_multiple_of(10)
}

fn is_date(text: &str) -> bool {
    let form = time::macros::format_description!("[year]-[month]-[day]");
    time::Date::parse(text, form).is_ok()
}

fn is_date_time(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let Some((date, rest)) = lower.split_once('t') else {
        return false;
    };
    is_date(date) && fits(&TIME_OF_DAY, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        let check = |format: &str, good: &[&str], bad: &[&str]| {
            assert!(is_known("string", format), "{format}");
            good.iter().for_each(|t| assert!(is(format, t), "{format} {t}"));
            bad.iter().for_each(|t| assert!(!is(format, t), "{format} {t}"));
        };
        check(
            "date-time",
            &["2014-12-15T19:30:20.000Z", "2014-12-15t19:30:20+01:00"],
            &["2014-12-15", "x", "2014-13-15T19:30:20Z"],
        );
        check("date", &["2006-01-02"], &["2006-1-2", "2006-02-30"]);
        check("duration", &["1h30m", "22 ns", "0", "3 days"], &["1", "x"]);
        check("ipv4", &["1.2.3.4", "010.0.0.1"], &["1.2.3", "::1"]);
        check("ipv6", &["::1"], &["1.2.3.4", "x"]);
        check("cidr", &["10.0.0.0/8", "fd00::/64"], &["10.0.0.0", "10.0.0.0/33"]);
        check(
            "mac",
            &["01:23:45:67:89:ab", "0123.4567.89ab"],
            &["01:23:45", "x"],
        );
        check("uri", &["http://a.b/c?d", "/a"], &["a", ""]);
        check("email", &["a@b.c", "A <a@b.c>"], &["a", "a@"]);
        check("hostname", &["a.example.com", "localhost"], &["a_b.com", "-a"]);
        check("uuid", &["7f4b2d9e-3f60-4c3a-9f0e-1d8a1a1f5a55"], &["7f4b"]);
        check("byte", &["YQ=="], &["YQ", "?"]);
        check("isbn10", &["0321751043"], &["0321751044"]);
        check("isbn13", &["978-0321751041"], &["978-0321751042"]);
        check("creditcard", &["4111 1111 1111 1111"], &["4111111111111112"]);
        check("hexcolor", &["#FFF", "a0b1c2"], &["#FFFF"]);
        check("k8s-short-name", &["a-b"], &["A", "a.b"]);
        assert!(!is_known("string", "semver") && !is_known("object", "date") && is_known("integer", "int32"));
    }
}
