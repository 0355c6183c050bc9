//! Selectors: which nodes a NodeSelectorTerm chooses, and which labels a LabelSelector.

use serde_json::Value;
use smol_str::SmolStr;
use std::collections::BTreeMap;

/// Labels of a node.
pub type Labels = BTreeMap<SmolStr, SmolStr>;

/// One `NodeSelectorTerm`, read once per pod.
#[derive(Clone, Debug)]
pub struct Term {
    labels: Vec<Requirement>,
    fields: Vec<Requirement>,
}

#[derive(Clone, Debug)]
struct Requirement {
    key: SmolStr,
    operator: Operator,
    values: Vec<SmolStr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    Gt,
    Lt,
    // Matches nothing: what cannot be read must not choose nodes.
    Unknown,
}

impl Term {
    /// Reads a term.
    pub fn read(term: &Value) -> Self {
        let read = |field: &str| {
            let list = term[field].as_array().into_iter().flatten();
            list.map(Requirement::read).collect()
        };
        Term {
            labels: read("matchExpressions"),
            fields: read("matchFields"),
        }
    }

    /// Whether the term chooses a node. An empty term chooses none.
    pub fn matches(&self, name: &str, labels: &Labels) -> bool {
        if self.labels.is_empty() && self.fields.is_empty() {
            return false;
        }
        let field = |key: &str| (key == "metadata.name").then_some(name);
        self.labels
            .iter()
            .all(|r| r.matches(labels.get(&r.key).map(SmolStr::as_str)))
            && self.fields.iter().all(|r| r.matches(field(&r.key)))
    }
}

/// A `LabelSelector`, read once.
#[derive(Clone, Debug)]
pub struct LabelSelector {
    // `None` chooses nothing.
    requirements: Option<Vec<Requirement>>,
}

impl LabelSelector {
    /// Reads a selector. One that is absent chooses nothing, an empty one everything.
    pub fn read(selector: &Value) -> Self {
        if !selector.is_object() {
            return LabelSelector { requirements: None };
        }
        let exact = selector["matchLabels"].as_object().into_iter().flatten();
        let exact = exact.map(|(key, value)| Requirement::is(key, value.as_str().unwrap_or("")));
        let expressions = selector["matchExpressions"].as_array().into_iter().flatten();
        LabelSelector {
            requirements: Some(exact.chain(expressions.map(Requirement::read)).collect()),
        }
    }

    /// What chooses all of these labels; with none of them, everything.
    pub fn exact(labels: &Labels) -> Self {
        LabelSelector {
            requirements: Some(labels.iter().map(|(k, v)| Requirement::is(k, v)).collect()),
        }
    }

    /// Asks for what another selector asks for as well.
    pub fn and(&mut self, other: &LabelSelector) {
        if let (Some(own), Some(more)) = (&mut self.requirements, &other.requirements) {
            own.extend(more.iter().cloned());
        }
    }

    /// Asks for the values that `labels` has under `keys`, or for others when `like` is false.
    pub fn narrow(&mut self, keys: &Value, labels: &Labels, like: bool) {
        let Some(requirements) = &mut self.requirements else {
            return;
        };
        for key in keys.as_array().into_iter().flatten().filter_map(Value::as_str) {
            if let Some(value) = labels.get(key) {
                let mut requirement = Requirement::is(key, value);
                if !like {
                    requirement.operator = Operator::NotIn;
                }
                requirements.push(requirement);
            }
        }
    }

    /// Whether it asks for nothing in particular.
    pub fn is_empty(&self) -> bool {
        self.requirements.as_ref().is_some_and(Vec::is_empty)
    }

    /// Whether it chooses these labels.
    pub fn matches(&self, labels: &Labels) -> bool {
        let all = |all: &Vec<Requirement>| {
            all.iter()
                .all(|r| r.matches(labels.get(&r.key).map(SmolStr::as_str)))
        };
        self.requirements.as_ref().is_some_and(all)
    }
}

impl Requirement {
    fn is(key: &str, value: &str) -> Self {
        Requirement {
            key: key.into(),
            operator: Operator::In,
            values: vec![value.into()],
        }
    }

    fn read(value: &Value) -> Self {
        let operator = match value["operator"].as_str().unwrap_or("") {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            "Gt" => Operator::Gt,
            "Lt" => Operator::Lt,
            _ => Operator::Unknown,
        };
        let values = value["values"].as_array().into_iter().flatten();
        Requirement {
            key: value["key"].as_str().unwrap_or("").into(),
            operator,
            values: values.filter_map(Value::as_str).map(SmolStr::from).collect(),
        }
    }

    fn matches(&self, value: Option<&str>) -> bool {
        let listed = |v: &str| self.values.iter().any(|own| own == v);
        let compare = |by: fn(i64, i64) -> bool| {
            let own = self.values.first().and_then(|v| v.parse().ok());
            let other = value.and_then(|v| v.parse().ok());
            matches!((other, own), (Some(other), Some(own)) if by(other, own))
        };
        match self.operator {
            Operator::In => value.is_some_and(listed),
            Operator::NotIn => !value.is_some_and(listed),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Gt => compare(|other, own| other > own),
            Operator::Lt => compare(|other, own| other < own),
            Operator::Unknown => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn terms() {
        let labels = Labels::from([("zone".into(), "a".into()), ("size".into(), "5".into())]);
        let check = |key: &str, operator: &str, values: &[&str], expected: bool| {
            let term = Term::read(
                &json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]}),
            );
            assert_eq!(
                term.matches("n", &labels),
                expected,
                "{key} {operator} {values:?}"
            );
        };
        check("zone", "In", &["b", "a"], true);
        check("zone", "NotIn", &["a"], false);
        check("none", "NotIn", &["a"], true);
        check("none", "Exists", &[], false);
        check("none", "DoesNotExist", &[], true);
        check("size", "Gt", &["4"], true);
        check("size", "Lt", &["5"], false);
        check("zone", "Gt", &["4"], false);
        check("zone", "Near", &["a"], false);
        let by_name = Term::read(
            &json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}),
        );
        assert!(by_name.matches("n", &labels) && !by_name.matches("m", &labels));
        assert!(!Term::read(&json!({})).matches("n", &labels));
    }

    #[test]
    fn label_selectors() {
        let labels = Labels::from([("app".into(), "a".into()), ("version".into(), "1".into())]);
        let check = |selector: Value, expected: bool| {
            assert_eq!(
                LabelSelector::read(&selector).matches(&labels),
                expected,
                "{selector}"
            );
        };
        check(json!(null), false);
        check(json!({}), true);
        check(json!({"matchLabels": {"app": "a"}}), true);
        check(json!({"matchLabels": {"app": "b"}}), false);
        check(
            json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]}),
            false,
        );
        let mut own = LabelSelector::read(&json!({}));
        own.narrow(&json!(["version", "none"]), &labels, true);
        assert!(own.matches(&labels));
        assert!(!own.matches(&Labels::from([("version".into(), "2".into())])));
        own.narrow(&json!(["app"]), &labels, false);
        assert!(!own.matches(&labels));
    }
}
