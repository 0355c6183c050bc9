//! The rules for where a pod may run: affinity, tolerations, spread.

use crate::field::{Error, Path};
use crate::features::{Feature, enabled};
use crate::formats;
use crate::kinds::checks::{Errors, format, label_selector, one_of, optional_one_of};
use crate::kinds::values::{entries, given, list, number, text};
use serde_json::Value;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
const BAD_OPERATOR: &str = "not a valid selector operator";

/// The rules for affinity to nodes and pods.
pub fn affinity(errors: &mut Errors, path: &Path, affinity: &Value) {
    let node = &affinity["nodeAffinity"];
    let at = path.child("nodeAffinity");
    if given(&node[REQUIRED]) {
        node_selector(errors, &at.child(REQUIRED), &node[REQUIRED]);
    }
    let at = at.child(PREFERRED);
    for (i, term) in list(&node[PREFERRED]).iter().enumerate() {
        let path = at.index(i);
        weight(errors, &path.child("weight"), &term["weight"]);
        node_term(errors, &path.child("preference"), &term["preference"], false);
    }
    for field in ["podAffinity", "podAntiAffinity"] {
        let (path, affinity) = (path.child(field), &affinity[field]);
        let at = path.child(REQUIRED);
        for (i, term) in list(&affinity[REQUIRED]).iter().enumerate() {
            pod_term(errors, &at.index(i), term);
        }
        let at = path.child(PREFERRED);
        for (i, term) in list(&affinity[PREFERRED]).iter().enumerate() {
            let path = at.index(i);
            weight(errors, &path.child("weight"), &term["weight"]);
            pod_term(errors, &path.child("podAffinityTerm"), &term["podAffinityTerm"]);
        }
    }
}

fn weight(errors: &mut Errors, path: &Path, weight: &Value) {
    if !(1..=100).contains(&number(weight)) {
        let detail = "must be in the range 1-100";
        errors.push(Error::invalid(path, number(weight), detail));
    }
}

/// The rules for a selector of nodes.
pub fn node_selector(errors: &mut Errors, path: &Path, selector: &Value) {
    let path = path.child("nodeSelectorTerms");
    let terms = list(&selector["nodeSelectorTerms"]);
    if terms.is_empty() {
        let detail = "must have at least one node selector term";
        errors.push(Error::required(path, detail));
    }
    for (i, term) in terms.iter().enumerate() {
        node_term(errors, &path.index(i), term, true);
    }
}

fn node_term(errors: &mut Errors, path: &Path, term: &Value, check_values: bool) {
    let at = path.child("matchExpressions");
    for (i, expression) in list(&term["matchExpressions"]).iter().enumerate() {
        let path = at.index(i);
        let values = list(&expression["values"]);
        let at_values = path.child("values");
        match text(&expression["operator"]) {
            "In" | "NotIn" if values.is_empty() => {
                let detail = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(Error::required(at_values, detail));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(Error::forbidden(at_values, detail));
            }
            "Gt" | "Lt" if values.len() != 1 => {
                let detail = "must be specified single value when `operator` is 'Lt' or 'Gt'";
                errors.push(Error::required(at_values, detail));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
            other => errors.push(Error::invalid(path.child("operator"), other, BAD_OPERATOR)),
        }
        format(errors, &path.child("key"), text(&expression["key"]), formats::qualified_name);
        for (i, value) in values.iter().enumerate().filter(|_| check_values) {
            format(errors, &at_values.index(i), text(value), formats::label_value);
        }
    }
    let at = path.child("matchFields");
    for (i, field) in list(&term["matchFields"]).iter().enumerate() {
        let path = at.index(i);
        let values = list(&field["values"]);
        match text(&field["operator"]) {
            "In" | "NotIn" if values.len() != 1 => {
                let detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
                errors.push(Error::required(path.child("values"), detail));
            }
            "In" | "NotIn" => {}
            other => errors.push(Error::invalid(path.child("operator"), other, BAD_OPERATOR)),
        }
        if field["key"] != "metadata.name" {
            let detail = "not a valid field selector key";
            errors.push(Error::invalid(path.child("key"), field["key"].clone(), detail));
            continue;
        }
        let path = path.child("values");
        for (i, value) in values.iter().enumerate() {
            format(errors, &path.index(i), text(value), formats::dns_subdomain);
        }
    }
}

fn pod_term(errors: &mut Errors, path: &Path, term: &Value) {
    label_selector(errors, &path.child("labelSelector"), &term["labelSelector"]);
    label_selector(errors, &path.child("namespaceSelector"), &term["namespaceSelector"]);
    for namespace in list(&term["namespaces"]) {
        format(errors, &path.child("namespace"), text(namespace), formats::dns_label);
    }
    label_keys(errors, path, term);
    let key = text(&term["topologyKey"]);
    if key.is_empty() {
        errors.push(Error::required(path.child("topologyKey"), "can not be empty"));
    }
    format(errors, &path.child("topologyKey"), key, formats::qualified_name);
}

/// Keys whose values are taken from the pod's own labels. On creation they were merged into the selector; finding
/// one there a second time means that the client had put it there too.
fn label_keys(errors: &mut Errors, path: &Path, term: &Value) {
    let selector = &term["labelSelector"];
    let matching = list(&term["matchLabelKeys"]);
    for field in ["matchLabelKeys", "mismatchLabelKeys"] {
        let path = path.child(field);
        let keys = list(&term[field]);
        if !keys.is_empty() && !given(selector) {
            let detail = "must not be specified when labelSelector is not set";
            errors.push(Error::forbidden(path, detail));
            continue;
        }
        for (i, key) in keys.iter().enumerate() {
            format(errors, &path.index(i), text(key), formats::qualified_name);
        }
    }
    let mut seen: Vec<&str> = entries(&selector["matchLabels"]).map(|(k, _)| k.as_str()).collect();
    for expression in list(&selector["matchExpressions"]) {
        let key = text(&expression["key"]);
        if let Some(i) = matching.iter().position(|k| k == key)
            && seen.contains(&key)
        {
            let detail = "exists in both matchLabelKeys and labelSelector";
            errors.push(Error::invalid(path.index(i), key, detail));
        }
        seen.push(key);
    }
    let path = path.child("matchLabelKeys");
    for (i, key) in matching.iter().enumerate() {
        if list(&term["mismatchLabelKeys"]).contains(key) {
            let detail = "exists in both matchLabelKeys and mismatchLabelKeys";
            errors.push(Error::invalid(path.index(i), key.clone(), detail));
        }
    }
}

/// Merges the keys that name the pod's own labels into the selectors beside them.
pub fn merge_label_keys(object: &mut Value) {
    let labels = object["metadata"]["labels"].clone();
    let merge = |term: &mut Value| {
        if !term["labelSelector"].is_object() {
            return;
        }
        for (field, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
            for key in list(&term[field].clone()) {
                let value = &labels[text(key)];
                if !given(value) {
                    continue;
                }
                let added = serde_json::json!({"key": key, "operator": operator, "values": [value]});
                match term["labelSelector"]["matchExpressions"].as_array_mut() {
                    Some(expressions) => expressions.push(added),
                    None => term["labelSelector"]["matchExpressions"] = vec![added].into(),
                }
            }
        }
    };
    let Some(spec) = object.get_mut("spec") else {
        return;
    };
    for field in ["podAffinity", "podAntiAffinity"] {
        if let Some(affinity) = spec.get_mut("affinity").and_then(|a| a.get_mut(field)) {
            crate::kinds::values::list_mut(affinity, REQUIRED).iter_mut().for_each(merge);
            for weighted in crate::kinds::values::list_mut(affinity, PREFERRED) {
                merge(&mut weighted["podAffinityTerm"]);
            }
        }
    }
    crate::kinds::values::list_mut(spec, "topologySpreadConstraints").iter_mut().for_each(merge);
}

/// The rules for tolerations.
pub fn tolerations(errors: &mut Errors, path: &Path, tolerations: &[Value]) {
    for (i, toleration) in tolerations.iter().enumerate() {
        let path = path.index(i);
        let (key, operator) = (text(&toleration["key"]), text(&toleration["operator"]));
        let (value, effect) = (text(&toleration["value"]), text(&toleration["effect"]));
        let at = path.child("operator");
        if !key.is_empty() {
            format(errors, &path.child("key"), key, formats::qualified_name);
        } else if operator != "Exists" {
            let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.push(Error::invalid(at, operator, detail));
        }
        if given(&toleration["tolerationSeconds"]) && effect != "NoExecute" {
            let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.push(Error::invalid(path.child("effect"), effect, detail));
        }
        match operator {
            "" | "Equal" => {
                let problems = formats::label_value(value);
                if !problems.is_empty() {
                    errors.push(Error::invalid(at, value, problems.join(";")));
                }
            }
            "Exists" if !value.is_empty() => {
                let detail = "value must be empty when `operator` is 'Exists'";
                errors.push(Error::invalid(at, value, detail));
            }
            "Exists" => {}
            "Lt" | "Gt" if !enabled(Feature::TaintTolerationComparisonOperators) => {
                let operators = ["Equal", "Exists", "Lt", "Gt"];
                errors.push(Error::not_supported(at, operator, &operators));
            }
            "Lt" | "Gt" => {
                let canonical = value.parse::<i64>().is_ok_and(|n| n.to_string() == value);
                if !canonical {
                    let detail = "must be a valid decimal integer in canonical form";
                    errors.push(Error::invalid(path.child("value"), value, detail));
                }
            }
            other => errors.push(Error::not_supported(at, other, &["Equal", "Exists"])),
        }
        if !effect.is_empty() {
            taint_effect(errors, &path.child("effect"), &toleration["effect"]);
        }
    }
}

/// What a taint does.
pub fn taint_effect(errors: &mut Errors, path: &Path, effect: &Value) {
    one_of(errors, path, effect, &["NoSchedule", "PreferNoSchedule", "NoExecute"]);
}

/// The rules for spreading pods over topologies.
pub fn spread(errors: &mut Errors, path: &Path, constraints: &[Value]) {
    for (i, constraint) in constraints.iter().enumerate() {
        let path = path.index(i);
        let positive = |errors: &mut Errors, field: &str| {
            if number(&constraint[field]) <= 0 {
                let detail = "must be greater than zero";
                errors.push(Error::invalid(path.child(field), number(&constraint[field]), detail));
            }
        };
        positive(errors, "maxSkew");
        let (key, action) = (text(&constraint["topologyKey"]), text(&constraint["whenUnsatisfiable"]));
        if key.is_empty() {
            errors.push(Error::required(path.child("topologyKey"), "can not be empty"));
        }
        let actions = ["DoNotSchedule", "ScheduleAnyway"];
        if !actions.contains(&action) {
            errors.push(Error::not_supported(path.child("whenUnsatisfiable"), action, &actions));
        }
        let again = |c: &Value| c["topologyKey"] == key && c["whenUnsatisfiable"] == action;
        if constraints[i + 1..].iter().any(again) {
            let at = path.child("{topologyKey, whenUnsatisfiable}");
            errors.push(Error::duplicate(at, format!("{{{key}, {action}}}")));
        }
        if given(&constraint["minDomains"]) {
            positive(errors, "minDomains");
            if action != "DoNotSchedule" {
                let detail = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
                let domains = constraint["minDomains"].clone();
                errors.push(Error::invalid(path.child("minDomains"), domains, detail));
            }
        }
        for field in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            optional_one_of(errors, &path.child(field), &constraint[field], &["Honor", "Ignore"]);
        }
        label_keys(errors, &path, constraint);
        label_selector(errors, &path.child("labelSelector"), &constraint["labelSelector"]);
    }
}
