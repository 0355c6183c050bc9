//! The JSON paths of printer columns, scale subresources and selectable fields.
//!
//! Source: k8s.io/client-go/util/jsonpath, of which this is the part that such paths use: fields, indexes, wildcards
//! and filters.

use serde_json::Value;

/// A path may have this many steps.
const LONGEST: usize = 64;

/// A path into an object.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonPath(Vec<Step>);

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    Slice(Option<i64>, Option<i64>),
    Each,
    Deep(String),
    Filter {
        path: JsonPath,
        test: Option<(Test, Value)>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Test {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

const TESTS: [(&str, Test); 6] = [
    ("==", Test::Equal),
    ("!=", Test::Unequal),
    ("<=", Test::LessOrEqual),
    (">=", Test::GreaterOrEqual),
    ("<", Test::Less),
    (">", Test::Greater),
];

impl JsonPath {
    /// Reads `.spec.replicas`, `.status.conditions[?(@.type=="Ready")].status` and the like; `None` for what is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut steps = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (step, after) = step(rest)?;
            steps.extend(step);
            rest = after;
            if steps.len() > LONGEST {
                return None;
            }
        }
        Some(JsonPath(steps))
    }

    /// The first value there, if there is one.
    pub fn first<'a>(&self, object: &'a Value) -> Option<&'a Value> {
        let mut found = vec![object];
        for step in &self.0 {
            found = found.into_iter().flat_map(|value| step.of(value)).collect();
        }
        found.into_iter().next()
    }
}

/// The first step and what follows it. A dot alone is no step.
fn step(text: &str) -> Option<(Option<Step>, &str)> {
    if let Some(rest) = text.strip_prefix("..") {
        let (name, rest) = name(rest);
        return (!name.is_empty()).then_some((Some(Step::Deep(name)), rest));
    }
    if let Some(rest) = text.strip_prefix('.') {
        if rest.is_empty() || rest.starts_with('[') {
            return Some((None, rest));
        }
        let (name, rest) = name(rest);
        return match name.as_str() {
            "" => None,
            "*" => Some((Some(Step::Each), rest)),
            _ => Some((Some(Step::Field(name)), rest)),
        };
    }
    let inside = text.strip_prefix('[')?;
    let end = bracket(inside)?;
    let (inside, rest) = (inside[..end].trim(), &inside[end + 1..]);
    let step = if let Some(filter) = inside.strip_prefix("?(").and_then(|f| f.strip_suffix(')')) {
        filtered(filter.trim())?
    } else if inside == "*" {
        Step::Each
    } else if let Some(name) = unquoted(inside) {
        Step::Field(name)
    } else if let Some((from, to)) = inside.split_once(':') {
        let bound = |t: &str| match t.trim() {
            "" => Some(None),
            n => n.parse().ok().map(Some),
        };
        Step::Slice(bound(from)?, bound(to)?)
    } else {
        Step::Index(inside.parse().ok()?)
    };
    Some((Some(step), rest))
}

/// Where the bracket that is open closes, quotes and brackets in it aside.
fn bracket(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0, None);
    for (i, c) in text.char_indices() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') if depth == 0 => return Some(i),
            (None, ']') => depth -= 1,
            _ => {}
        }
    }
    None
}

/// A field's name, in which a backslash takes the next letter as it is.
fn name(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut letters = text.char_indices();
    while let Some((i, c)) = letters.next() {
        match c {
            '\\' => name.extend(letters.next().map(|(_, c)| c)),
            '.' | '[' | ' ' | '{' | '}' => return (name, &text[i..]),
            c => name.push(c),
        }
    }
    (name, "")
}

fn unquoted(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let inside = text[1..].strip_suffix(quote)?;
    Some(inside.replace('\\', ""))
}

fn filtered(text: &str) -> Option<Step> {
    let found = TESTS
        .iter()
        .filter_map(|(word, test)| Some((text.find(word)?, *word, *test)));
    // The first in the text; of two at one place, the longer.
    let first = found.min_by_key(|(at, word, _)| (*at, 2 - word.len()));
    let (path, test) = match first {
        None => (text, None),
        Some((at, word, test)) => {
            let value = text[at + word.len()..].trim();
            let value = match unquoted(value) {
                Some(text) => Value::String(text),
                None => serde_json::from_str(value).ok()?,
            };
            (text[..at].trim(), Some((test, value)))
        }
    };
    let path = JsonPath::parse(path.strip_prefix('@')?)?;
    Some(Step::Filter { path, test })
}

impl Step {
    fn of<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match self {
            Step::Field(name) => value.get(name).into_iter().collect(),
            Step::Index(index) => {
                let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
                at(items.len(), *index)
                    .and_then(|i| items.get(i))
                    .into_iter()
                    .collect()
            }
            Step::Slice(from, to) => {
                let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
                let bound = |n: Option<i64>, or: usize| n.map_or(Some(or), |n| at(items.len(), n));
                let (from, to) = (bound(*from, 0).unwrap_or(0), bound(*to, items.len()).unwrap_or(0));
                items
                    .get(from..to.min(items.len()))
                    .unwrap_or_default()
                    .iter()
                    .collect()
            }
            Step::Each => children(value).collect(),
            Step::Deep(name) => {
                let mut found: Vec<&Value> = value.get(name).into_iter().collect();
                found.extend(children(value).flat_map(|child| self.of(child)));
                found
            }
            Step::Filter { path, test } => children(value).filter(|item| passes(path, test, item)).collect(),
        }
    }
}

/// An index, which counts from the end when it is negative.
fn at(len: usize, index: i64) -> Option<usize> {
    let len = i64::try_from(len).ok()?;
    usize::try_from(if index < 0 { index + len } else { index }).ok()
}

fn children(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Array(items) => Box::new(items.iter()),
        Value::Object(map) => Box::new(map.values()),
        _ => Box::new(std::iter::empty()),
    }
}

fn passes(path: &JsonPath, test: &Option<(Test, Value)>, item: &Value) -> bool {
    let (Some(found), Some((test, wanted))) = (path.first(item), test) else {
        return test.is_none() && path.first(item).is_some();
    };
    let order = match (found, wanted) {
        (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (a, b) if a == b => Some(std::cmp::Ordering::Equal),
        _ => None,
    };
    match test {
        Test::Equal => order.is_some_and(|o| o.is_eq()),
        Test::Unequal => !order.is_some_and(|o| o.is_eq()),
        Test::Less => order.is_some_and(|o| o.is_lt()),
        Test::LessOrEqual => order.is_some_and(|o| o.is_le()),
        Test::Greater => order.is_some_and(|o| o.is_gt()),
        Test::GreaterOrEqual => order.is_some_and(|o| o.is_ge()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths() {
        let object = json!({
            "spec": {"replicas": 3, "a.b": "x", "hosts": ["h0", "h1"]},
            "status": {"conditions": [
                {"type": "Synced", "status": "False", "n": 1}, {"type": "Ready", "status": "True", "n": 2},
            ]},
        });
        let check = |path: &str, expected: Value| {
            let path = JsonPath::parse(path).unwrap_or_else(|| panic!("{path} is a path"));
            assert_eq!(
                path.first(&object).cloned().unwrap_or(Value::Null),
                expected,
                "{path:?}"
            );
        };
        check(".spec.replicas", json!(3));
        check(".spec.missing.more", json!(null));
        check(".spec.a\\.b", json!("x"));
        check(".spec['a.b']", json!("x"));
        check(".spec.hosts[0]", json!("h0"));
        check(".spec.hosts[-1]", json!("h1"));
        check(".spec.hosts[*]", json!("h0"));
        check(".spec.hosts[1:]", json!("h1"));
        check(".status.conditions[?(@.type==\"Ready\")].status", json!("True"));
        check(".status.conditions[?(@.type=='Ready')].n", json!(2));
        check(".status.conditions[?(@.n>1)].type", json!("Ready"));
        check(".status.conditions[?(@.type != \"Synced\")].type", json!("Ready"));
        check("..replicas", json!(3));
        for text in [
            "spec",
            ".spec[",
            ".spec[x]",
            ".status.conditions[?(type==1)]",
            "..",
        ] {
            assert_eq!(JsonPath::parse(text), None, "{text}");
        }
    }
}
