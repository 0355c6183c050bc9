//! ClusterRoles that are made of others, chosen by label.
//!
//! Source: kubernetes/pkg/controller/clusterroleaggregation.

use super::{field, list};
use serde_json::Value;

/// The rules that a ClusterRole should have by its aggregation rule, if it has one and they are others than now.
///
/// `roles` are all ClusterRoles. Their rules come in the order of the selectors, then of the roles' names, each once.
pub fn aggregated_rules<'a>(
    role: &Value,
    roles: impl Iterator<Item = &'a Value> + Clone,
) -> Option<Vec<Value>> {
    let selectors = list(&role["aggregationRule"], "clusterRoleSelectors");
    if selectors.is_empty() {
        return None;
    }
    let name = |role: &'a Value| field(&role["metadata"], "name");
    let own = field(&role["metadata"], "name");
    let mut rules: Vec<Value> = Vec::new();
    for selector in selectors {
        let mut parts: Vec<&Value> = roles
            .clone()
            .filter(|part| name(part) != own && selects(selector, &part["metadata"]["labels"]))
            .collect();
        parts.sort_by_key(|part| name(part));
        for rule in parts.into_iter().flat_map(|part| list(part, "rules")) {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
    }
    (rules != list(role, "rules")).then_some(rules)
}

/// Whether a label selector fits. One that cannot be read fits nothing.
fn selects(selector: &Value, labels: &Value) -> bool {
    let exact = selector["matchLabels"].as_object().into_iter().flatten();
    exact
        .into_iter()
        .all(|(key, value)| labels.get(key) == Some(value))
        && list(selector, "matchExpressions").iter().all(|expression| {
            let value = labels.get(field(expression, "key"));
            let among = || value.is_some_and(|value| list(expression, "values").contains(value));
            match field(expression, "operator") {
                "In" => among(),
                "NotIn" => !among(),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules_come_from_the_roles_that_are_selected() {
        let rule = |verb: &str| json!({"verbs": [verb]});
        let part = |name: &str, label: &str, rules: &[Value]| json!({"metadata": {"name": name, "labels": {"to": label}}, "rules": rules});
        let roles = [
            part("z", "a", &[rule("get")]),
            part("m", "a", &[rule("list"), rule("get")]),
            part("other", "b", &[rule("delete")]),
            part("own", "a", &[rule("*")]),
        ];
        let check = |selectors: Value, rules: &[Value], expected: Option<&[Value]>| {
            let role = json!({
                "metadata": {"name": "own"}, "aggregationRule": {"clusterRoleSelectors": selectors}, "rules": rules,
            });
            let found = aggregated_rules(&role, roles.iter());
            assert_eq!(found.as_deref(), expected, "{selectors}");
        };
        let both = [rule("list"), rule("get")];
        check(json!([{"matchLabels": {"to": "a"}}]), &[], Some(&both));
        check(json!([{"matchLabels": {"to": "a"}}]), &both, None);
        check(json!([]), &both, None);
        check(json!([{"matchLabels": {"to": "c"}}]), &both, Some(&[]));
        let expression = |operator: &str| json!([{"matchExpressions": [{"key": "to", "operator": operator, "values": ["b"]}]}]);
        check(expression("In"), &[], Some(&[rule("delete")]));
        check(expression("NotIn"), &[], Some(&both));
        check(expression("Near"), &[], None);
        let all = [rule("list"), rule("get"), rule("delete")];
        check(json!([{"matchLabels": {"to": "a"}}, {}]), &[], Some(&all));
    }
}
