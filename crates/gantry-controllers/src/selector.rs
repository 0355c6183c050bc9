//! The LabelSelector of the API, and sets of labels.

use crate::object::{items, text};
use serde_json::Value;

/// Whether a `LabelSelector` chooses these labels. A selector that is absent chooses nothing; an empty one, everything.
pub(crate) fn matches(selector: &Value, labels: &Value) -> bool {
    selector.is_object()
        && is_subset(&selector["matchLabels"], labels)
        && items(&selector["matchExpressions"]).all(|e| expression_holds(e, labels))
}

/// Whether a `LabelSelector` chooses everything.
pub(crate) fn is_empty(selector: &Value) -> bool {
    selector["matchLabels"].as_object().is_none_or(|m| m.is_empty())
        && items(&selector["matchExpressions"]).next().is_none()
}

/// Whether all of `part` are among `labels`.
pub(crate) fn is_subset(part: &Value, labels: &Value) -> bool {
    let part = part.as_object();
    part.is_none_or(|part| part.iter().all(|(k, v)| labels.get(k) == Some(v)))
}

fn expression_holds(expression: &Value, labels: &Value) -> bool {
    let value = labels.get(text(&expression["key"]));
    let listed = |v: &Value| items(&expression["values"]).any(|w| w == v);
    match text(&expression["operator"]) {
        "In" => value.is_some_and(listed),
        "NotIn" => !value.is_some_and(listed),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        // The API takes no other; what cannot be read chooses nothing.
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn selectors_choose() {
        let labels = json!({"app": "web", "tier": "front"});
        let check = |selector: Value, expected: bool| {
            assert_eq!(matches(&selector, &labels), expected, "{selector}");
        };
        check(json!(null), false);
        check(json!({}), true);
        check(json!({"matchLabels": {"app": "web"}}), true);
        check(json!({"matchLabels": {"app": "db"}}), false);
        let expression = |operator: &str, key: &str, values: Value| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        check(expression("In", "app", json!(["web", "db"])), true);
        check(expression("NotIn", "app", json!(["web"])), false);
        check(expression("NotIn", "absent", json!(["web"])), true);
        check(expression("Exists", "tier", json!(null)), true);
        check(expression("DoesNotExist", "tier", json!(null)), false);
    }
}
