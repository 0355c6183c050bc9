//! Writing YAML as upstream does: keys in its order, long texts folded, quotes only where they are needed.
//!
//! Source: go.yaml.in/yaml/v2, through sigs.k8s.io/yaml.

use super::plain;
use serde_json::{Map, Value};
use std::cmp::Ordering;

/// A line longer than this is folded at its next space.
const WIDTH: usize = 80;
const INDENT: usize = 2;
/// A longer key stands on a line of its own, after a question mark.
const LONGEST_KEY: usize = 128;

/// A value as a document.
pub fn write(value: &Value) -> String {
    let mut writer = Writer::default();
    match value {
        Value::Object(map) if !map.is_empty() => writer.map(map, 0),
        Value::Array(items) if !items.is_empty() => writer.list(items, 0),
        scalar => writer.scalar(scalar, INDENT),
    }
    writer.end_line();
    writer.out
}

/// An item of a list that stands in a map at the left margin.
pub fn write_item(item: &Value) -> String {
    let mut writer = Writer::default();
    writer.list(std::slice::from_ref(item), 0);
    writer.end_line();
    writer.out
}

#[derive(Default)]
struct Writer {
    out: String,
    column: usize,
}

impl Writer {
    fn put(&mut self, text: &str) {
        text.chars().for_each(|c| self.put_char(c));
    }

    fn put_char(&mut self, c: char) {
        self.out.push(c);
        self.column = if c == '\n' { 0 } else { self.column + 1 };
    }

    fn end_line(&mut self) {
        if self.column > 0 {
            self.put_char('\n');
        }
    }

    /// Goes to a column of a line of which nothing else is written.
    fn go_to(&mut self, indent: usize) {
        let before = self.out.rfind('\n').map_or(0, |at| at + 1);
        let begun = |c: char| !matches!(c, ' ' | '-' | '?' | ':');
        if self.column > indent || self.out[before..].contains(begun) {
            self.end_line();
        }
        (self.column..indent).for_each(|_| self.put_char(' '));
    }

    fn map(&mut self, map: &Map<String, Value>, indent: usize) {
        let mut entries: Vec<(&String, &Value)> = map.iter().collect();
        entries.sort_by(|(a, _), (b, _)| in_order(a, b));
        for (key, value) in entries {
            self.go_to(indent);
            if key.len() > LONGEST_KEY || key.contains('\n') {
                self.put("? ");
                self.text(key, indent + INDENT, true);
                self.end_line();
                self.go_to(indent);
                self.put(":");
                self.within(value, indent);
                continue;
            }
            self.text(key, indent, false);
            self.put(":");
            match value {
                Value::Object(map) if !map.is_empty() => self.map(map, indent + INDENT),
                Value::Array(items) if !items.is_empty() => {
                    self.end_line();
                    self.list(items, indent);
                }
                scalar => self.after_space(scalar, indent),
            }
        }
    }

    fn list(&mut self, items: &[Value], indent: usize) {
        for item in items {
            self.go_to(indent);
            self.put("-");
            self.within(item, indent);
        }
    }

    /// What stands on the line of a dash or question mark.
    fn within(&mut self, value: &Value, indent: usize) {
        match value {
            Value::Object(map) if !map.is_empty() => self.map(map, indent + INDENT),
            Value::Array(items) if !items.is_empty() => self.list(items, indent + INDENT),
            scalar => self.after_space(scalar, indent),
        }
    }

    fn after_space(&mut self, scalar: &Value, indent: usize) {
        self.put(" ");
        self.scalar(scalar, indent + INDENT);
    }

    /// A value without parts. Should it need more lines, they begin at `indent`.
    fn scalar(&mut self, value: &Value, indent: usize) {
        match value {
            Value::String(text) => self.text(text, indent, true),
            Value::Object(_) => self.put("{}"),
            Value::Array(_) => self.put("[]"),
            Value::Number(n) if n.is_f64() => self.put(&double(n.as_f64().unwrap_or_default())),
            other => self.put(&other.to_string()),
        }
    }

    fn text(&mut self, text: &str, indent: usize, may_break: bool) {
        let form = Form::of(text);
        if text.contains('\n') && may_break && form.block {
            self.literal(text, indent);
        } else if text.contains('\n') || !plain::is_text(text) {
            self.double_quoted(text, indent, may_break);
        } else if form.plain {
            self.folded(text, indent, may_break, false);
        } else if form.single_quoted {
            self.put("'");
            self.folded(text, indent, may_break, true);
            self.put("'");
        } else {
            self.double_quoted(text, indent, may_break);
        }
    }

    fn fold(&mut self, indent: usize) {
        self.put_char('\n');
        (0..indent).for_each(|_| self.put_char(' '));
    }

    fn folded(&mut self, text: &str, indent: usize, may_break: bool, quoted: bool) {
        let mut after_space = false;
        let mut rest = text.chars().peekable();
        let mut first = true;
        while let Some(c) = rest.next() {
            let next = rest.peek();
            let inside = !quoted || !first && next.is_some();
            let folds = may_break && !after_space && self.column > WIDTH && inside && next != Some(&' ');
            match c {
                ' ' if folds => self.fold(indent),
                '\'' if quoted => self.put("''"),
                c => self.put_char(c),
            }
            after_space = c == ' ';
            first = false;
        }
    }

    fn double_quoted(&mut self, text: &str, indent: usize, may_break: bool) {
        self.put("\"");
        let mut after_space = false;
        let mut rest = text.chars().peekable();
        let mut first = true;
        while let Some(c) = rest.next() {
            let next = rest.peek();
            if c == ' ' && may_break && !after_space && self.column > WIDTH && !first && next.is_some() {
                self.fold(indent);
                if next == Some(&' ') {
                    self.put("\\");
                }
            } else if !is_printable(c) || is_break(c) || matches!(c, '"' | '\\') {
                self.escaped(c);
            } else {
                self.put_char(c);
            }
            after_space = c == ' ';
            first = false;
        }
        self.put("\"");
    }

    fn escaped(&mut self, c: char) {
        let short = match c {
            '\0' => '0',
            '\x07' => 'a',
            '\x08' => 'b',
            '\t' => 't',
            '\n' => 'n',
            '\x0b' => 'v',
            '\x0c' => 'f',
            '\r' => 'r',
            '\x1b' => 'e',
            '"' | '\\' => c,
            '\u{85}' => 'N',
            '\u{a0}' => '_',
            '\u{2028}' => 'L',
            '\u{2029}' => 'P',
            _ => {
                let code = u32::from(c);
                let long = match code {
                    ..=0xff => format!("\\x{code:02X}"),
                    0x100..=0xffff => format!("\\u{code:04X}"),
                    _ => format!("\\U{code:08X}"),
                };
                return self.put(&long);
            }
        };
        self.put("\\");
        self.put_char(short);
    }

    fn literal(&mut self, text: &str, indent: usize) {
        self.put("|");
        if text.starts_with([' ', '\n']) {
            self.put(&INDENT.to_string());
        }
        if !text.ends_with('\n') {
            self.put("-");
        } else if text == "\n" || text.ends_with("\n\n") {
            self.put("+");
        }
        self.put_char('\n');
        for line in text.split_inclusive('\n') {
            if line != "\n" {
                (0..indent).for_each(|_| self.put_char(' '));
            }
            self.put(line);
        }
    }
}

/// How a text may be written.
struct Form {
    plain: bool,
    single_quoted: bool,
    block: bool,
}

impl Form {
    fn of(text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let at = |i: usize| chars.get(i).copied();
        let is_blank = |c: Option<char>| c.is_none_or(|c| matches!(c, ' ' | '\t') || is_break(c));
        let mut indicators = text.starts_with("---") || text.starts_with("...");
        let (mut special, mut space_before_break, mut space_after_break) = (false, false, false);
        for (i, c) in chars.iter().enumerate() {
            let ends = is_blank(at(i + 1));
            indicators |= match (c, i) {
                (
                    '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
                    | '`',
                    0,
                ) => true,
                ('?' | '-', 0) | (':', _) => ends,
                ('#', _) => is_blank(at(i - 1)),
                _ => false,
            };
            special |= !is_printable(*c);
            let before = i.checked_sub(1).and_then(at);
            space_before_break |= is_break(*c) && before == Some(' ');
            space_after_break |= *c == ' ' && before.is_some_and(is_break);
        }
        let edge = |c: Option<&char>| c.is_some_and(|c| *c == ' ' || is_break(*c));
        let at_edges = edge(chars.first()) || edge(chars.last());
        let breaks = chars.iter().any(|c| is_break(*c));
        let unquotable = special || space_before_break;
        Form {
            plain: !(indicators || unquotable || at_edges || breaks),
            single_quoted: !(unquotable || space_after_break || breaks),
            block: !(unquotable || chars.last() == Some(&' ')),
        }
    }
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}') && c != '\u{feff}'
}

/// The order of keys: numbers in them count as numbers, and letters come last.
fn in_order(a: &str, b: &str) -> Ordering {
    let (left, right): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(i) = left.iter().zip(&right).position(|(x, y)| x != y) else {
        return left.len().cmp(&right.len());
    };
    let (x, y) = (left[i], right[i]);
    match (x.is_alphabetic(), y.is_alphabetic()) {
        (true, true) => return x.cmp(&y),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    // A zero within a number is a digit; before one it is none.
    let digits = left[..i].iter().rev().take_while(|c| c.is_ascii_digit());
    let within = (x == '0' || y == '0') && digits.into_iter().any(|c| *c != '0');
    let number = |text: &[char]| {
        let digits: Vec<u32> = text[i..].iter().map_while(|c| c.to_digit(10)).collect();
        let value = digits.iter().fold(i64::from(within), |n, d| {
            n.wrapping_mul(10).wrapping_add(i64::from(*d))
        });
        (value, digits.len())
    };
    number(&left).cmp(&number(&right)).then(x.cmp(&y))
}

/// A floating point number as Go's `%g` writes it.
fn double(d: f64) -> String {
    let text = format!("{d:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    match exponent {
        -4..6 => d.to_string(),
        _ => format!(
            "{mantissa}e{}{:02}",
            if exponent < 0 { '-' } else { '+' },
            exponent.abs()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values() {
        let check = |value: Value, expected: &str| assert_eq!(write(&value), expected, "{value}");
        check(json!({}), "{}\n");
        check(json!([]), "[]\n");
        check(
            json!({"b": [1, {"c": [], "d": {}}], "a": {"x": null, "y": [["p"], "q"]}}),
            "a:\n  x: null\n  \"y\":\n  - - p\n  - q\nb:\n- 1\n- c: []\n  d: {}\n",
        );
        check(
            json!({"a10": 1, "a9": 2, "a": 3, ".": 4, "f:b": 5}),
            ".: 4\na: 3\na9: 2\na10: 1\nf:b: 5\n",
        );
        check(json!([1.5, 2_500_000.0, true]), "- 1.5\n- 2.5e+06\n- true\n");
        assert_eq!(
            write_item(&json!({"a": {"b": 1}, "c": 2})),
            "- a:\n    b: 1\n  c: 2\n"
        );
    }

    #[test]
    fn texts() {
        let check =
            |text: &str, expected: &str| assert_eq!(write(&json!({"a": text})), format!("a: {expected}\n"));
        check("b", "b");
        check("", "\"\"");
        check("no", "\"no\"");
        check("1", "\"1\"");
        check("1Gi", "1Gi");
        check("2024-01-01T00:00:00Z", "\"2024-01-01T00:00:00Z\"");
        check("*", "'*'");
        check("a: b", "'a: b'");
        check("it's: 'x'", "'it''s: ''x'''");
        check(" b", "' b'");
        check("b #c", "'b #c'");
        check("b#c:d", "b#c:d");
        check("a\tb", "\"a\\tb\"");
        check("\u{1f600}", "\"\\U0001F600\"");
        check("x\ny", "|-\n  x\n  y");
        check("x\n\n  y", "|-\n  x\n\n    y");
        check("x \ny", "\"x \\ny\"");
        let words = ["word"; 20].join(" ");
        let folded = format!("{}\n  {}", ["word"; 16].join(" "), ["word"; 4].join(" "));
        check(&words, &folded);
        assert_eq!(write(&json!({"a": "x\n", "b": 1})), "a: |\n  x\nb: 1\n");
        assert_eq!(write(&json!({"a": "x\n\n"})), "a: |+\n  x\n\n");
        assert_eq!(write(&json!(["x\ny", " z\n"])), "- |-\n  x\n  y\n- |2\n   z\n");
        let key = "k".repeat(129);
        let keyed = json!({key.as_str(): {"a": [1]}});
        assert_eq!(write(&keyed), format!("? {key}\n: a:\n  - 1\n"));
    }
}
