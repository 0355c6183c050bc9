//! Label and field selectors. Source of the grammar: k8s.io/apimachinery/pkg/labels and pkg/fields.

use crate::kind::Kind;
use crate::status::Status;
use serde_json::Value;

/// A label selector: all of its requirements must hold.
pub struct Labels(Vec<Requirement>);

struct Requirement {
    key: String,
    test: Test,
}

enum Test {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
}

impl Labels {
    /// Parses `a=b,c!=d,e in (f,g),h notin (i),j,!k`. Nothing selects everything.
    pub fn parse(text: &str) -> Result<Labels, Status> {
        let mut requirements = Vec::new();
        for part in split(text).map(str::trim).filter(|p| !p.is_empty()) {
            requirements.push(requirement(part).ok_or_else(|| {
                Status::bad_request(format!(
                    "unable to parse requirement: {part:?} is not a label requirement"
                ))
            })?);
        }
        Ok(Labels(requirements))
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an object's labels fit.
    pub fn matches(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.0.iter().all(|r| {
            let value = labels.get(&r.key).and_then(Value::as_str);
            match &r.test {
                Test::Exists => value.is_some(),
                Test::Absent => value.is_none(),
                Test::In(values) => value.is_some_and(|v| values.iter().any(|w| w == v)),
                Test::NotIn(values) => value.is_none_or(|v| values.iter().all(|w| w != v)),
            }
        })
    }
}

/// Splits at commas outside parentheses.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0i32;
    text.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth <= 0
    })
}

fn requirement(part: &str) -> Option<Requirement> {
    let set = |key: &str, list: &str, test: fn(Vec<String>) -> Test| {
        let inner = list.trim().strip_prefix('(')?.strip_suffix(')')?;
        make(
            key,
            test(inner.split(',').map(|v| v.trim().to_string()).collect()),
        )
    };
    if let Some((key, list)) = part.split_once(" notin ") {
        return set(key, list, Test::NotIn);
    }
    if let Some((key, list)) = part.split_once(" in ") {
        return set(key, list, Test::In);
    }
    if let Some((key, value)) = part.split_once("!=") {
        return make(key, Test::NotIn(vec![value.trim().to_string()]));
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return make(key, Test::In(vec![value.trim().to_string()]));
    }
    match part.strip_prefix('!') {
        Some(key) => make(key, Test::Absent),
        None => make(part, Test::Exists),
    }
}

fn make(key: &str, test: Test) -> Option<Requirement> {
    let key = key.trim();
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    (!key.is_empty() && key.chars().all(fits)).then(|| Requirement {
        key: key.to_string(),
        test,
    })
}

/// The value at a path as a kind's selectable fields give it.
fn read<'a>(object: &'a Value, path: &str) -> &'a Value {
    let one = |path: &str| {
        path.split('.')
            .fold(object, |at, part| match part.parse::<usize>() {
                Ok(index) => &at[index],
                Err(_) => &at[part],
            })
    };
    path.split('|')
        .map(one)
        .find(|v| !matches!(v, Value::Null) && v.as_str() != Some(""))
        .unwrap_or(&Value::Null)
}

/// The text of a field as selectors compare it; a missing field reads as nothing.
pub fn text_at(object: &Value, path: &str) -> String {
    match read(object, path) {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn is_flag(value: &str) -> bool {
    matches!(value, "true" | "false")
}

/// A field selector: all of its terms must hold.
pub struct Fields(Vec<Term>);

struct Term {
    path: String,
    value: String,
    equal: bool,
}

impl Fields {
    /// Parses `a=b,c!=d` over the fields that the kind lets clients select by.
    pub fn parse(text: &str, kind: &Kind) -> Result<Fields, Status> {
        let mut terms = Vec::new();
        for part in text.split(',').filter(|p| !p.is_empty()) {
            let (label, value, equal) = if let Some((l, v)) = part.split_once("!=") {
                (l, v, false)
            } else if let Some((l, v)) = part.split_once("==").or_else(|| part.split_once('=')) {
                (l, v, true)
            } else {
                return Err(Status::bad_request(format!(
                    "invalid selector: {text:?}; can't understand {part:?}"
                )));
            };
            let common = ["metadata.name", "metadata.namespace"]
                .into_iter()
                .find(|f| *f == label);
            let own = kind
                .selectable_fields
                .iter()
                .find(|(l, _)| l == label)
                .map(|(_, path)| path.as_str());
            let path = common
                .or(own)
                .ok_or_else(|| Status::bad_request(format!("field label not supported: {label}")))?;
            terms.push(Term {
                path: path.to_string(),
                value: value.to_string(),
                equal,
            });
        }
        Ok(Fields(terms))
    }

    /// The paths of the fields it reads: parts joined by dots, alternatives by bars.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|t| t.path.as_str())
    }

    /// The paths and values of the terms that demand a value as [`text_at`] reads it.
    pub fn equalities(&self) -> impl Iterator<Item = (&str, &str)> {
        let texts = self.0.iter().filter(|t| t.equal && !is_flag(&t.value));
        texts.map(|t| (t.path.as_str(), t.value.as_str()))
    }

    /// Whether an object's fields fit. A missing field reads as nothing.
    pub fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|term| {
            let text = match text_at(object, &term.path) {
                // An absent flag is false.
                text if text.is_empty() && is_flag(&term.value) => "false".into(),
                text => text,
            };
            (text == term.value) == term.equal
        })
    }

    /// The one name selected, if a term demands one.
    pub fn exact_name(&self) -> Option<&str> {
        self.0
            .iter()
            .find(|t| t.equal && t.path == "metadata.name")
            .map(|t| t.value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn label_selectors() {
        let object = json!({"metadata": {"labels": {"app": "web", "tier": "front"}}});
        let check = |text: &str, expected: bool| {
            let labels = Labels::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(labels.matches(&object), expected, "{text}");
        };
        check("", true);
        check("app=web", true);
        check("app==web,tier!=front", false);
        check("app in (db, web)", true);
        check("app notin (db,web),tier", false);
        check("missing notin (x)", true);
        check("!app", false);
        check("tier", true);
        assert!(Labels::parse("a b").is_err());
        assert!(Labels::parse("app in web").is_err());
    }

    #[test]
    fn paths() {
        let object = json!({"status": {"podIPs": [{"ip": "10.0.0.1"}]}, "source": {"component": ""}, "reporter": "me"});
        let check = |path: &str, expected: Value| assert_eq!(*read(&object, path), expected, "{path}");
        check("status.podIPs.0.ip", json!("10.0.0.1"));
        check("status.podIPs.1.ip", json!(null));
        check("source.component|reporter", json!("me"));
        check("source.missing", json!(null));
    }
}
