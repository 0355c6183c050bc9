//! `format`: texts with gaps that values fill, as of version 2 of cel-go's functions of texts.

use super::{Library, mismatch};
use crate::ast::{Expr, Id, Kind, Literal};
use crate::checker::{Checked, Reference};
use crate::cost::rules;
use crate::error::{Error, Result};
use crate::types::Type;
use crate::value::{Value, text};
use smol_str::SmolStr;

pub(super) fn register(library: &mut Library) {
    library
        .add_member(
            "format",
            "string_format",
            "(string, list(dyn)) -> string",
            format_text,
        )
        .cost(rules::FORMAT);
}

const DEFAULT_PRECISION: usize = 6;
/// More digits are not written.
const MOST_DIGITS: usize = 1000;

/// How a gap is filled.
#[derive(Clone, Copy)]
enum Clause {
    Text,
    Decimal,
    Fixed(usize),
    Scientific(usize),
    Binary,
    Hex(bool),
    Octal,
}

/// Goes through a format. `fill` is given each clause and the number of its argument.
fn parse(
    format: &str,
    arguments: usize,
    mut fill: impl FnMut(Clause, usize) -> std::result::Result<String, (Option<Id>, String)>,
    missing: impl Fn(usize) -> Option<String>,
) -> std::result::Result<String, (Option<Id>, String)> {
    let wrong = |why: String| (None, why);
    let mut out = String::new();
    let mut rest = format;
    let mut index = 0;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        if let Some(why) = missing(index) {
            return Err(wrong(why));
        }
        if rest.is_empty() {
            return Err(wrong("unexpected end of string".into()));
        }
        if index >= arguments {
            return Err(wrong(format!("index {index} out of range")));
        }
        let clause =
            clause(&mut rest).map_err(|why| wrong(format!("could not parse formatting clause: {why}")))?;
        let filled =
            fill(clause, index).map_err(|(id, why)| (id, format!("error during formatting: {why}")))?;
        out.push_str(&filled);
        index += 1;
    }
    out.push_str(rest);
    Ok(out)
}

fn clause(rest: &mut &str) -> std::result::Result<Clause, String> {
    let mut precision = None;
    if let Some(after) = rest.strip_prefix('.') {
        let wrong = |why: &str| Err(format!("error while parsing precision: {why}"));
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        if digits == after.len() {
            return wrong("could not find end of precision specifier");
        }
        match after[..digits].parse::<usize>() {
            Ok(n) if n <= MOST_DIGITS => precision = Some(n),
            Ok(_) => return wrong("precision is too large"),
            Err(_) => {
                let number = text::quote(&after[..digits]);
                return wrong(&format!(
                    "error while converting precision to integer: strconv.Atoi: parsing {number}: invalid syntax"
                ));
            }
        }
        *rest = &after[digits..];
    }
    let kind = rest.chars().next().unwrap_or('\0');
    *rest = &rest[kind.len_utf8()..];
    let digits = precision.unwrap_or(DEFAULT_PRECISION);
    Ok(match kind {
        's' => Clause::Text,
        'd' => Clause::Decimal,
        'f' => Clause::Fixed(digits),
        'e' => Clause::Scientific(digits),
        'b' => Clause::Binary,
        'x' => Clause::Hex(false),
        'X' => Clause::Hex(true),
        'o' => Clause::Octal,
        other => return Err(format!("unrecognized formatting clause \"{other}\"")),
    })
}

/// What a clause says of a value that does not fit it.
fn unfit(clause: Clause, type_name: &str) -> String {
    let what = match clause {
        Clause::Text => {
            "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, \
             and timestamps"
        }
        Clause::Decimal => "decimal clause can only be used on integers",
        Clause::Fixed(_) => "fixed-point clause can only be used on doubles",
        Clause::Scientific(_) => "scientific clause can only be used on doubles",
        Clause::Binary => "only integers and bools can be formatted as binary",
        Clause::Hex(_) => "only integers, byte buffers, and strings can be formatted as hex",
        Clause::Octal => "octal clause can only be used on integers",
    };
    format!("{what}, was given {type_name}")
}

fn format_text<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let [Value::String(format), Value::List(list)] = args else {
        return mismatch();
    };
    let count = list.len();
    let filled = parse(
        format,
        count,
        |clause, index| {
            let value = list.get(index).unwrap_or(Err(Error::NO_OVERLOAD));
            value
                .map_err(|e| e.to_string())
                .and_then(|v| fill(clause, &v))
                .map_err(|why| (None, why))
        },
        |index| (index >= count).then(|| format!("index {index} out of range")),
    );
    filled.map(Value::from).map_err(|(_, why)| Error::new(why))
}

fn fill(clause: Clause, value: &Value<'_>) -> std::result::Result<String, String> {
    Ok(match (clause, value) {
        (Clause::Text, _) => return shown(value).ok_or_else(|| unfit(clause, &value.type_name())),
        (Clause::Decimal, Value::Int(i)) => i.to_string(),
        (Clause::Decimal, Value::Uint(u)) => u.to_string(),
        (Clause::Fixed(digits), _) => match number(value) {
            Some(d) if d.is_finite() => grouped(&format!("{d:.digits$}")),
            Some(d) => special(d),
            None => return Err(unfit(clause, &value.type_name())),
        },
        (Clause::Scientific(digits), _) => match number(value) {
            Some(d) if d.is_finite() => scientific(d, digits),
            Some(d) => special(d),
            None => return Err(unfit(clause, &value.type_name())),
        },
        (Clause::Binary, Value::Int(i)) => signed(*i, |n| format!("{n:b}")),
        (Clause::Binary, Value::Uint(u)) => format!("{u:b}"),
        (Clause::Binary, Value::Bool(b)) => u8::from(*b).to_string(),
        (Clause::Hex(upper), _) => {
            let hex = match value {
                Value::Int(i) => signed(*i, |n| format!("{n:x}")),
                Value::Uint(u) => format!("{u:x}"),
                Value::String(s) => bytes(s.as_bytes()),
                Value::Bytes(b) => bytes(b),
                _ => return Err(unfit(clause, &value.type_name())),
            };
            if upper { hex.to_uppercase() } else { hex }
        }
        (Clause::Octal, Value::Int(i)) => signed(*i, |n| format!("{n:o}")),
        (Clause::Octal, Value::Uint(u)) => format!("{u:o}"),
        _ => return Err(unfit(clause, &value.type_name())),
    })
}

fn signed(i: i64, of: impl Fn(u64) -> String) -> String {
    let digits = of(i.unsigned_abs());
    if i < 0 { format!("-{digits}") } else { digits }
}

fn bytes(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn number(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Double(d) => Some(*d),
        Value::String(text) => match &**text {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

/// As the locale en-US writes them.
fn special(d: f64) -> String {
    match d {
        _ if d.is_nan() => "NaN",
        _ if d > 0.0 => "∞",
        _ => "-∞",
    }
    .into()
}

/// Thousands are set apart by commas.
fn grouped(number: &str) -> String {
    let (sign, number) = number.strip_prefix('-').map_or(("", number), |n| ("-", n));
    let (whole, fraction) = number
        .split_once('.')
        .map_or((number, None), |(w, f)| (w, Some(f)));
    let mut out = sign.to_owned();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

/// As the locale en-US writes it: `1.5 × 10⁰³`.
fn scientific(d: f64, digits: usize) -> String {
    let plain = format!("{d:.digits$e}");
    let (mantissa, exponent) = plain.split_once('e').unwrap_or((&plain, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let superscript = |c: char| match c.to_digit(10) {
        Some(1) => '¹',
        Some(2) => '²',
        Some(3) => '³',
        Some(n) => char::from_u32(0x2070 + n).unwrap_or(c),
        None => c,
    };
    let sign = if exponent < 0 { "⁻" } else { "" };
    let power: String = format!("{:02}", exponent.abs())
        .chars()
        .map(superscript)
        .collect();
    format!("{mantissa}\u{202f}×\u{202f}10{sign}{power}")
}

/// A value as `%s` writes it.
fn shown(value: &Value<'_>) -> Option<String> {
    match value {
        Value::List(_) | Value::Map(_) => nested(value),
        Value::Optional(_) | Value::Object(_) | Value::Preserved(_) => None,
        other => match super::conversion::to_string(std::slice::from_ref(other)) {
            Ok(Value::String(text)) => Some(text.to_string()),
            _ => None,
        },
    }
}

/// A value as it is written within a list or map.
fn nested(value: &Value<'_>) -> Option<String> {
    match value {
        Value::List(list) => {
            let items: Option<Vec<String>> = list.iter().map(|i| nested(&i.ok()?)).collect();
            Some(format!("[{}]", items?.join(", ")))
        }
        Value::Map(map) => {
            let entry = |key: &Value<'_>| {
                let value = map.find(key).ok()??;
                let shown = match key {
                    Value::String(_) | Value::Bool(_) | Value::Int(_) | Value::Uint(_) => nested(key)?,
                    _ => return None,
                };
                Some(format!("{shown}:{}", nested(&value)?))
            };
            let mut entries = map.keys().iter().map(entry).collect::<Option<Vec<_>>>()?;
            entries.sort();
            Some(format!("{{{}}}", entries.join(", ")))
        }
        Value::Double(d) if d.is_finite() => Some(format!("{d:.DEFAULT_PRECISION$}")),
        Value::Double(d) => Some(text::quote(&text::double(*d))),
        Value::String(s) => Some(text::quote(s)),
        Value::Bytes(_) => Some(format!("b{}", text::quote(&shown(value)?))),
        Value::Timestamp(_) => Some(format!("timestamp({})", text::quote(&shown(value)?))),
        Value::Duration(_) => Some(format!("duration({})", text::quote(&shown(value)?))),
        other => shown(other),
    }
}

/// Reports calls of `format` whose constant format and arguments do not go together.
pub(crate) fn check(expr: &Expr, checked: &Checked, report: &mut dyn FnMut(Id, String)) {
    let Kind::Call(call) = &expr.kind else {
        return;
    };
    let is_format = matches!(
        checked.reference(expr.id),
        Some(Reference::Function { overloads, .. }) if overloads.iter().any(|o| o.id == "string_format")
    );
    let (Some(target), [args]) = (&call.target, call.args.as_slice()) else {
        return;
    };
    let (Kind::Literal(Literal::String(format)), Kind::List(list)) = (&target.kind, &args.kind) else {
        return;
    };
    if !is_format {
        return;
    }
    let args = &list.elements;
    let mut asked = 0;
    let result = parse(
        format,
        args.len(),
        |clause, index| {
            asked = index + 1;
            match unfit_part(clause, &args[index], checked) {
                Some(id) => Err((Some(id), unfit(clause, &name_of(checked.type_of(id))))),
                None => Ok(String::new()),
            }
        },
        |_| None,
    );
    match result {
        Err((id, why)) => report(id.unwrap_or(expr.id), why),
        Ok(_) if args.len() > asked => report(
            expr.id,
            format!(
                "too many arguments supplied to string.format (expected {asked}, got {})",
                args.len()
            ),
        ),
        Ok(_) => {}
    }
}

fn name_of(type_: &Type) -> SmolStr {
    type_.runtime_name()
}

/// The part of an argument that a clause cannot write, as far as types tell.
fn unfit_part(clause: Clause, arg: &Expr, checked: &Checked) -> Option<Id> {
    let type_ = checked.type_of(arg.id);
    let fits = match clause {
        Clause::Text => !matches!(type_, Type::Opaque(..) | Type::Object(_) | Type::Error),
        Clause::Decimal | Clause::Octal => matches!(type_, Type::Int | Type::Uint | Type::Dyn),
        Clause::Fixed(_) | Clause::Scientific(_) => matches!(type_, Type::Double | Type::String | Type::Dyn),
        Clause::Binary => matches!(type_, Type::Int | Type::Uint | Type::Bool | Type::Dyn),
        Clause::Hex(_) => matches!(
            type_,
            Type::Int | Type::Uint | Type::String | Type::Bytes | Type::Dyn
        ),
    };
    if !fits {
        return Some(arg.id);
    }
    match (clause, &arg.kind) {
        (Clause::Text, Kind::List(list)) => list.elements.iter().find_map(|e| unfit_part(clause, e, checked)),
        (Clause::Text, Kind::Map(entries)) => entries
            .iter()
            .flat_map(|entry| [&entry.key, &entry.value])
            .find_map(|e| unfit_part(clause, e, checked)),
        _ => None,
    }
}
