//! URLs, read as Go reads them.

use super::{Library, mismatch};
use crate::cost::rules;
use crate::error::{Error, Result};
use crate::value::{Key, Map, Object, Text, Value, text::quote};
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

/// A URL in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Url {
    scheme: String,
    user: String,
    host: String,
    opaque: String,
    path: String,
    query: String,
    fragment: String,
}

impl Object for Url {
    fn type_name(&self) -> &'static str {
        "kubernetes.URL"
    }

    fn equals(&self, other: &dyn Object) -> Option<bool> {
        Some(self == other.as_any().downcast_ref::<Url>()?)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

pub(super) fn register(library: &mut Library) {
    const ONE: &str = "kubernetes.URL";
    library
        .add("url", "string_to_url", &format!("(string) -> {ONE}"), url)
        .cost(rules::ARGUMENT_KEPT);
    let text = format!("({ONE}) -> string");
    library.add_member("getScheme", "url_get_scheme", &text, |args| {
        part(args, |u| u.scheme.clone())
    });
    library.add_member("getHost", "url_get_host", &text, |args| {
        part(args, |u| u.host.clone())
    });
    library.add_member("getHostname", "url_get_hostname", &text, |args| {
        part(args, |u| u.host_and_port().0)
    });
    library.add_member("getPort", "url_get_port", &text, |args| {
        part(args, |u| u.host_and_port().1)
    });
    library.add_member("getEscapedPath", "url_get_escaped_path", &text, |args| {
        part(args, Url::escaped_path)
    });
    library.add_member(
        "getQuery",
        "url_get_query",
        &format!("({ONE}) -> map(string, list(string))"),
        query,
    );
    library.add("isURL", "is_url_string", "(string) -> bool", is_url);
}

/// What is wrong with a text as a URI of a request.
pub(super) fn problem(text: &str) -> Option<String> {
    parse(text, true).err()
}

/// Parses as Go does; `request` for what stands in a request's first line, where there are no fragments.
fn parse(text: &str, request: bool) -> std::result::Result<Url, String> {
    let wrap = |why: String| format!("parse {}: {why}", quote(text));
    let (text, fragment) = match text.split_once('#') {
        Some((text, fragment)) if !request => (text, fragment),
        _ => (text, ""),
    };
    if text.bytes().any(|b| b < b' ' || b == 0x7f) {
        return Err(wrap("net/url: invalid control character in URL".into()));
    }
    if text.is_empty() && request {
        return Err(wrap("empty url".into()));
    }
    let mut url = Url {
        scheme: String::new(),
        user: String::new(),
        host: String::new(),
        opaque: String::new(),
        path: String::new(),
        query: String::new(),
        fragment: unescape(fragment, false).map_err(wrap)?,
    };
    if text == "*" {
        url.path = "*".into();
        return Ok(url);
    }
    let (scheme, rest) = scheme(text).map_err(wrap)?;
    url.scheme = scheme.to_ascii_lowercase();
    let (mut rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    url.query = query.to_owned();
    if !rest.starts_with('/') {
        if !scheme.is_empty() {
            url.opaque = rest.to_owned();
            return Ok(url);
        }
        if request {
            return Err(wrap("invalid URI for request".into()));
        }
        if rest.split('/').next().is_some_and(|first| first.contains(':')) {
            return Err(wrap("first path segment in URL cannot contain colon".into()));
        }
    }
    if (!scheme.is_empty() || (!request && !rest.starts_with("///")))
        && let Some(after) = rest.strip_prefix("//")
    {
        let end = after.find('/').unwrap_or(after.len());
        rest = &after[end..];
        authority(&after[..end], &mut url).map_err(wrap)?;
    }
    unescape(rest, false).map_err(wrap)?;
    url.path = rest.to_owned();
    Ok(url)
}

fn scheme(text: &str) -> std::result::Result<(&str, &str), String> {
    for (i, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if i > 0 => {}
            ':' if i == 0 => return Err("missing protocol scheme".into()),
            ':' => return Ok((&text[..i], &text[i + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

fn authority(text: &str, url: &mut Url) -> std::result::Result<(), String> {
    let (user, host) = text.rsplit_once('@').map_or(("", text), |(u, h)| (u, h));
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
    if !user.chars().all(fits) {
        return Err("net/url: invalid userinfo".into());
    }
    unescape(user, false)?;
    url.user = user.to_owned();
    let port = match host.strip_prefix('[') {
        Some(inside) => {
            let end = inside.rfind(']').ok_or("missing ']' in host")?;
            &inside[end + 1..]
        }
        None => host.rfind(':').map_or("", |i| &host[i..]),
    };
    let digits = port
        .strip_prefix(':')
        .unwrap_or(if port.is_empty() { "" } else { "x" });
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("invalid port {} after host", quote(port)));
    }
    if let Some(c) = host.chars().find(|c| c.is_ascii() && !is_of_host(*c)) {
        return Err(format!(
            "invalid character {} in host name",
            quote(&c.to_string())
        ));
    }
    url.host = unescape(host, true)?;
    Ok(())
}

fn is_of_host(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.~!$&'()*+,;=:[]<>\"%".contains(c)
}

/// Resolves escapes. In hosts only bytes that are not ASCII may be escaped.
fn unescape(text: &str, host: bool) -> std::result::Result<String, String> {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        if bytes[i] != b'%' {
            out.push(bytes[i]);
            i += 1;
            continue;
        }
        let hex = text
            .get(i + 1..i + 3)
            .filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit()));
        let byte = hex.and_then(|h| u8::from_str_radix(h, 16).ok());
        match byte {
            Some(byte) if !host || byte >= 0x80 || byte == b'%' => out.push(byte),
            _ => {
                let end = (i + 3).min(bytes.len());
                let shown = String::from_utf8_lossy(&bytes[i..end]);
                return Err(format!("invalid URL escape {}", quote(&shown)));
            }
        }
        i += 3;
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

impl Url {
    fn host_and_port(&self) -> (String, String) {
        let colon = self
            .host
            .rfind(':')
            .filter(|i| self.host[i + 1..].bytes().all(|b| b.is_ascii_digit()));
        let (host, port) = match colon {
            Some(i) => (&self.host[..i], &self.host[i + 1..]),
            None => (self.host.as_str(), ""),
        };
        let inner = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        (inner.unwrap_or(host).to_owned(), port.to_owned())
    }

    fn escaped_path(&self) -> String {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&b);
        let valid = |b: u8| plain(b) || b"!'()*[]%".contains(&b);
        if self.path.bytes().all(valid) {
            return self.path.clone();
        }
        let mut out = String::with_capacity(self.path.len() + 8);
        for byte in unescape(&self.path, false).unwrap_or_default().bytes() {
            match plain(byte) {
                true => out.push(byte as char),
                // Infallible: the target is a String.
                false => drop(write!(out, "%{byte:02X}")),
            }
        }
        out
    }

    /// Keys and all their values; what cannot be read is left out.
    fn values(&self) -> BTreeMap<String, Vec<String>> {
        let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pair in self
            .query
            .split('&')
            .filter(|p| !p.is_empty() && !p.contains(';'))
        {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let read = |text: &str| unescape(&text.replace('+', " "), false);
            if let (Ok(key), Ok(value)) = (read(key), read(value)) {
                values.entry(key).or_default().push(value);
            }
        }
        values
    }
}

fn url<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::String(text)] => parse(text, true)
            .and_then(|_| parse(text, false))
            .map(Value::object)
            .map_err(|why| Error::new(format!("URL parse error during conversion from string: {why}"))),
        _ => mismatch(),
    }
}

fn is_url<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::String(text)] => Ok(Value::Bool(parse(text, true).is_ok())),
        _ => mismatch(),
    }
}

fn part<'a>(args: &[Value<'a>], of: impl Fn(&Url) -> String) -> Result<Value<'a>> {
    match args.first().and_then(Value::as_object::<Url>) {
        Some(url) => Ok(of(url).into()),
        None => mismatch(),
    }
}

fn query<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let Some(url) = args.first().and_then(Value::as_object::<Url>) else {
        return mismatch();
    };
    let entries = url.values().into_iter().map(|(key, values)| {
        let values = values.into_iter().map(Value::from).collect();
        (Key::String(Text::Owned(key.into())), Value::list(values))
    });
    Ok(Value::Map(Map::Owned(Arc::new(entries.collect()))))
}
