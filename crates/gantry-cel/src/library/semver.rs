//! Semantic versions. Source: github.com/blang/semver.

use super::{Library, mismatch};
use crate::cost::rules;
use crate::error::{Error, Result};
use crate::value::{Object, Value, text::quote};
use std::any::Any;
use std::cmp::Ordering;

/// A version. What was built of it does not count when versions are compared.
#[derive(Clone, Debug)]
struct Version {
    numbers: [u64; 3],
    before: Vec<Part>,
}

/// A part of what stands before a release: numbers come before words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u64),
    Word(String),
}

impl Object for Version {
    fn type_name(&self) -> &'static str {
        "kubernetes.Semver"
    }

    fn equals(&self, other: &dyn Object) -> Option<bool> {
        Some(self.compare(other.as_any().downcast_ref()?).is_eq())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

pub(super) fn register(library: &mut Library) {
    const ONE: &str = "kubernetes.Semver";
    let to = |args: &str, to: &str| format!("({args}) -> {to}");
    for (id, args) in [
        ("string_to_semver", "string"),
        ("string_bool_to_semver", "string, bool"),
    ] {
        library
            .add("semver", id, &to(args, ONE), semver)
            .cost(rules::ARGUMENT);
    }
    for (id, args) in [
        ("is_semver_string", "string"),
        ("is_semver_string_bool", "string, bool"),
    ] {
        library
            .add("isSemver", id, &to(args, "bool"), is_semver)
            .cost(rules::ARGUMENT);
    }
    let two = format!("{ONE}, {ONE}");
    library.add_member(
        "isGreaterThan",
        "semver_is_greater_than",
        &to(&two, "bool"),
        |args| compared(args, |order| Value::Bool(order.is_gt())),
    );
    library.add_member("isLessThan", "semver_is_less_than", &to(&two, "bool"), |args| {
        compared(args, |order| Value::Bool(order.is_lt()))
    });
    library.add_member("compareTo", "semver_compare_to", &to(&two, "int"), |args| {
        compared(args, |order| Value::Int(order as i64))
    });
    library.add_member("major", "semver_major", &to(ONE, "int"), |args| number(args, 0));
    library.add_member("minor", "semver_minor", &to(ONE, "int"), |args| number(args, 1));
    library.add_member("patch", "semver_patch", &to(ONE, "int"), |args| number(args, 2));
}

fn number_of(text: &str, name: &str) -> std::result::Result<u64, String> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!(
            "Invalid character(s) found in {name} number {}",
            quote(text)
        ));
    }
    if text.len() > 1 && text.starts_with('0') {
        let name = name[..1].to_uppercase() + &name[1..];
        return Err(format!(
            "{name} number must not contain leading zeroes {}",
            quote(text)
        ));
    }
    text.parse()
        .map_err(|_| format!("strconv.ParseUint: parsing {}: value out of range", quote(text)))
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

impl Version {
    fn parse(text: &str) -> std::result::Result<Version, String> {
        if text.is_empty() {
            return Err("Version string empty".into());
        }
        let parts: Vec<&str> = text.splitn(3, '.').collect();
        let [major, minor, patch] = parts.as_slice() else {
            return Err("No Major.Minor.Patch elements found".into());
        };
        let (major, minor) = (number_of(major, "major")?, number_of(minor, "minor")?);
        let (patch, build) = patch
            .split_once('+')
            .map_or((*patch, None), |(p, b)| (p, Some(b)));
        let (patch, before) = patch.split_once('-').map_or((patch, None), |(p, b)| (p, Some(b)));
        let patch = number_of(patch, "patch")?;
        let before = before.into_iter().flat_map(|b| b.split('.')).map(Part::parse);
        let before = before.collect::<std::result::Result<_, _>>()?;
        for part in build.into_iter().flat_map(|b| b.split('.')) {
            if part.is_empty() {
                return Err("Build meta data is empty".into());
            }
            if !is_word(part) {
                return Err(format!(
                    "Invalid character(s) found in build meta data {}",
                    quote(part)
                ));
            }
        }
        Ok(Version {
            numbers: [major, minor, patch],
            before,
        })
    }

    /// Also takes `v1`, `1.2` and leading zeros.
    fn parse_tolerantly(text: &str) -> std::result::Result<Version, String> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let without_zeros = |part: &str| {
            let rest = part.trim_start_matches('0');
            match rest.bytes().next() {
                _ if part.len() <= 1 => part.to_owned(),
                Some(b'0'..=b'9') => rest.to_owned(),
                _ => format!("0{rest}"),
            }
        };
        let mut parts: Vec<String> = text.splitn(3, '.').map(without_zeros).collect();
        if parts.len() < 3 && parts.last().is_some_and(|p| p.contains(['+', '-'])) {
            return Err("short version cannot contain PreRelease/Build meta data".into());
        }
        parts.resize(3, "0".into());
        Version::parse(&parts.join("."))
    }

    fn compare(&self, other: &Version) -> Ordering {
        let numbers = self.numbers.cmp(&other.numbers);
        // A release comes after what stands before it.
        numbers.then_with(|| match (self.before.is_empty(), other.before.is_empty()) {
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            _ => self.before.cmp(&other.before),
        })
    }
}

impl Part {
    fn parse(text: &str) -> std::result::Result<Part, String> {
        if text.is_empty() {
            return Err("Prerelease is empty".into());
        }
        if text.bytes().all(|b| b.is_ascii_digit()) {
            if text.len() > 1 && text.starts_with('0') {
                let text = quote(text);
                return Err(format!(
                    "Numeric PreRelease version must not contain leading zeroes {text}"
                ));
            }
            return text
                .parse()
                .map(Part::Number)
                .map_err(|_| format!("strconv.ParseUint: parsing {}: value out of range", quote(text)));
        }
        match is_word(text) {
            true => Ok(Part::Word(text.to_owned())),
            false => Err(format!(
                "Invalid character(s) found in prerelease {}",
                quote(text)
            )),
        }
    }
}

fn parsed(args: &[Value<'_>]) -> Result<std::result::Result<Version, String>> {
    match args {
        [Value::String(text)] | [Value::String(text), Value::Bool(false)] => Ok(Version::parse(text)),
        [Value::String(text), Value::Bool(true)] => Ok(Version::parse_tolerantly(text)),
        _ => mismatch(),
    }
}

fn semver<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    parsed(args)?.map(Value::object).map_err(Error::new)
}

fn is_semver<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    Ok(Value::Bool(parsed(args)?.is_ok()))
}

fn compared<'a>(args: &[Value<'a>], of: impl Fn(Ordering) -> Value<'a>) -> Result<Value<'a>> {
    let version = |i: usize| args.get(i).and_then(Value::as_object::<Version>);
    match (version(0), version(1)) {
        (Some(a), Some(b)) => Ok(of(a.compare(b))),
        _ => mismatch(),
    }
}

fn number<'a>(args: &[Value<'a>], index: usize) -> Result<Value<'a>> {
    match args.first().and_then(Value::as_object::<Version>) {
        Some(version) => Ok(Value::Int(version.numbers[index] as i64)),
        None => mismatch(),
    }
}
