//! Label and field selectors. Source of the field selectors' grammar: k8s.io/apimachinery/pkg/fields.

mod labels;
mod terms;

pub use labels::Labels;
pub use terms::{FieldTerm, field_terms};

use crate::kind::{Kind, Scope};
use crate::status::Status;
use serde_json::Value;

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

/// Upstream names the fields that all kinds have where a kind has none of its own.
fn unknown(kind: &Kind, label: &str) -> String {
    match kind.custom.is_none() && kind.selectable_fields.is_empty() {
        true => {
            format!("{label:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
        }
        false => format!("field label not supported: {label}"),
    }
}

impl Fields {
    /// Parses `a=b,c!=d` over the fields that the kind lets clients select by.
    pub fn parse(text: &str, kind: &Kind) -> Result<Fields, Status> {
        let mut terms = Vec::new();
        for FieldTerm { label, value, equal } in field_terms(text).map_err(Status::bad_request)? {
            if label.is_empty() && value.is_empty() {
                continue;
            }
            // Kinds with fields of their own name all that they have.
            let own_fields = kind.custom.is_some() || !kind.selectable_fields.is_empty();
            let common: &[&str] = match kind.scope {
                Scope::Cluster if own_fields => &["metadata.name"],
                _ => &["metadata.name", "metadata.namespace"],
            };
            let common = common.iter().copied().find(|f| **f == label);
            let own = kind
                .selectable_fields
                .iter()
                .find(|(l, _)| **l == *label)
                .map(|(_, path)| path.as_str());
            let path = common
                .or(own)
                .ok_or_else(|| Status::bad_request(unknown(kind, &label)))?;
            terms.push(Term {
                path: path.to_string(),
                value,
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
    fn paths() {
        let object = json!({"status": {"podIPs": [{"ip": "10.0.0.1"}]}, "source": {"component": ""}, "reporter": "me"});
        let check = |path: &str, expected: Value| assert_eq!(*read(&object, path), expected, "{path}");
        check("status.podIPs.0.ip", json!("10.0.0.1"));
        check("status.podIPs.1.ip", json!(null));
        check("source.component|reporter", json!("me"));
        check("source.missing", json!(null));
    }
}
