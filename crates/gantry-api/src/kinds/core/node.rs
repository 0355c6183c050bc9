//! Node

use super::pod::taint_effect;
use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::checks::{Errors, POSITIVE, format, resource_value};
use crate::kinds::columns::{age_column, column, name_column, or_none, wide};
use crate::kinds::values::{
    drop_zero, entries, field_mut, flag, given, list, map_of, number, remove, repeats, text,
};
use crate::kinds::{selectable, usual};
use crate::schema::{Internal, Type};
use serde_json::Value;
use std::collections::BTreeSet;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        short_names: vec!["no".into()],
        storage_prefix: "minions".into(),
        subresources: vec![Subresource::Proxy, Subresource::Status],
        selectable_fields: selectable(&[("spec.unschedulable", "spec.unschedulable")]),
        columns: vec![
            name_column(),
            column("Status", "string", |o, _| status(o).into()),
            column("Roles", "string", |o, _| roles(o).into()),
            age_column(),
            column("Version", "string", |o, _| info(o, "kubeletVersion").into()),
            wide("Internal-IP", "string", |o, _| address(o, "InternalIP")),
            wide("External-IP", "string", |o, _| address(o, "ExternalIP")),
            wide("OS-Image", "string", |o, _| or_unknown(info(o, "osImage")).into()),
            wide("Kernel-Version", "string", |o, _| {
                let version = or_unknown(info(o, "kernelVersion"));
                match info(o, "architecture") {
                    "" => version.into(),
                    architecture => format!("{version} ({architecture})").into(),
                }
            }),
            wide("Container-Runtime", "string", |o, _| {
                or_unknown(info(o, "containerRuntimeVersion")).into()
            }),
        ],
        hooks: Box::new(NodeHooks),
        ..usual("", "Node", "nodes", Scope::Cluster)
    }
}

fn info<'a>(node: &'a Value, field: &str) -> &'a str {
    text(&node["status"]["nodeInfo"][field])
}

fn or_unknown(value: &str) -> &str {
    if value.is_empty() { "<unknown>" } else { value }
}

fn status(node: &Value) -> String {
    let ready = list(&node["status"]["conditions"]).iter().find(|c| c["type"] == "Ready");
    let status = match ready.map(|c| c["status"] == "True") {
        Some(true) => "Ready",
        Some(false) => "NotReady",
        None => "Unknown",
    };
    match flag(&node["spec"]["unschedulable"]) {
        true => format!("{status},SchedulingDisabled"),
        false => status.into(),
    }
}

fn roles(node: &Value) -> String {
    let mut roles = BTreeSet::new();
    for (key, value) in entries(&node["metadata"]["labels"]) {
        if let Some(role) = key.strip_prefix("node-role.kubernetes.io/") {
            roles.insert(role);
        } else if key == "kubernetes.io/role" {
            roles.insert(text(value));
        }
    }
    roles.remove("");
    match roles.is_empty() {
        true => "<none>".into(),
        false => roles.into_iter().collect::<Vec<_>>().join(","),
    }
}

fn address(node: &Value, type_: &str) -> Value {
    let found = list(&node["status"]["addresses"]).iter().find(|a| a["type"] == type_);
    or_none(found.map_or("", |a| text(&a["address"])))
}

struct NodeHooks;

impl Hooks for NodeHooks {
    fn warnings(&self, object: &Value, _: Option<&Value>) -> Vec<String> {
        let mut warnings = Vec::new();
        if given(&object["spec"]["configSource"]) {
            warnings.push("spec.configSource: the feature is removed".into());
        }
        if !text(&object["spec"]["externalID"]).is_empty() {
            warnings.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".into());
        }
        warnings
    }

    fn default(&self, object: &mut Value) {
        let spec = map_of(object, "spec");
        drop_zero(spec, &["unschedulable", "podCIDR", "providerID"]);
        if let Some(first) = spec.get("podCIDR").cloned()
            && list(&spec["podCIDRs"]).first() != Some(&first)
        {
            spec["podCIDRs"] = vec![first].into();
        }
        if let Some(status) = field_mut(object, "status")
            && !given(&status["allocatable"])
            && let Some(capacity) = status.get("capacity").cloned()
        {
            status["allocatable"] = capacity;
        }
    }

    // A node brings its status along when it registers.
    fn prepare_create(&self, object: &mut Value) {
        drop_config(object);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        if !given(&old["spec"]["configSource"]) {
            drop_config(object);
        }
    }

    fn prepare_subresource(&self, subresource: Subresource, object: &mut Value, old: &Value) {
        if subresource == Subresource::Status && !given(&old["status"]["config"]) {
            remove(map_of(object, "status"), "config");
        }
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = common(object);
        let path = Path::new("spec");
        let path = path.child("podCIDRs");
        let ranges = list(&object["spec"]["podCIDRs"]);
        for (i, range) in ranges.iter().enumerate() {
            format(&mut errors, &path.index(i), text(range), formats::cidr);
        }
        let v6 = |range: &Value| text(range).contains(':');
        if ranges.len() > 2 || ranges.len() == 2 && v6(&ranges[0]) == v6(&ranges[1]) {
            let detail = "may specify no more than one CIDR for each IP family";
            errors.push(Error::invalid(path, ranges.to_vec(), detail));
        }
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        let mut errors = duplicate_addresses(object);
        let (new, old) = (&object["spec"], &old["spec"]);
        if text(&new["externalID"]) != text(&old["externalID"]) {
            errors.push(Error::forbidden("spec.externalID", "may not be updated"));
        }
        if given(&old["podCIDRs"]) && new["podCIDRs"] != old["podCIDRs"] {
            let detail = "node updates may not change podCIDR except from \"\" to valid";
            errors.push(Error::forbidden("spec.podCIDRs", detail));
        }
        if given(&old["providerID"]) && new["providerID"] != old["providerID"] {
            let detail = "node updates may not change providerID except from \"\" to valid";
            errors.push(Error::forbidden("spec.providerID", detail));
        }
        errors
    }

    fn validate_subresource(&self, _: Subresource, object: &Value, _: &Value) -> Vec<Error> {
        let mut errors = common(object);
        errors.extend(duplicate_addresses(object));
        errors
    }
}

/// Nodes were configured through the API once; what is left of that is kept where it stands.
fn drop_config(object: &mut Value) {
    remove(map_of(object, "spec"), "configSource");
    if let Some(status) = field_mut(object, "status") {
        remove(status, "config");
    }
}

/// The rules for nodes and their status alike.
fn common(object: &Value) -> Errors {
    let mut errors = Vec::new();
    let path = Path::new("metadata");
    taints(&mut errors, &path.child("taints"), list(&object["spec"]["taints"]));
    let (at, status) = (Path::new("status"), &object["status"]);
    for field in ["capacity", "allocatable"] {
        let path = at.child(field);
        for (name, amount) in entries(&status[field]) {
            resource_value(&mut errors, &path.child(name), name, amount);
        }
    }
    let swap = &status["nodeInfo"]["swap"]["capacity"];
    if given(swap) && number(swap) <= 0 {
        let path = path.child("nodeSwapStatus");
        errors.push(Error::invalid(path.child("capacity"), swap.clone(), POSITIVE));
    }
    features(&mut errors, &at.child("declaredFeatures"), list(&status["declaredFeatures"]));
    errors
}

fn features(errors: &mut Errors, path: &Path, features: &[Value]) {
    const LONGEST: usize = 253;
    for (i, feature) in features.iter().enumerate() {
        let name = text(feature);
        if let Some(before) = i.checked_sub(1).map(|i| text(&features[i])) {
            if before == name {
                errors.push(Error::duplicate(path.index(i), name));
            } else if before > name {
                errors.push(Error::invalid(path.index(i), name, "list must be sorted alphabetically"));
            }
        }
        let letter = |part: &str| part.starts_with(|c: char| c.is_ascii_alphabetic());
        let segment = |part: &str| letter(part) && part.bytes().all(|b| b.is_ascii_alphanumeric());
        if name.len() > LONGEST {
            let detail = format!("invalid feature name {name:?}: must be no more than {LONGEST} characters");
            errors.push(Error::invalid(path.index(i), name, detail));
        } else if !name.starts_with(|c: char| c.is_ascii_uppercase()) || !name.split('/').all(segment) {
            let detail = format!(
                "invalid feature name {name:?}: must start with an UpperCamelCase segment, with subsequent segments \
                 separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric \
                 characters and slashes"
            );
            errors.push(Error::invalid(path.index(i), name, detail));
        }
    }
}

fn duplicate_addresses(node: &Value) -> Errors {
    let mut errors = Vec::new();
    let addresses = list(&node["status"]["addresses"]);
    let repeated = repeats(addresses, |address| address);
    for (i, address) in addresses.iter().enumerate() {
        if repeated[i] {
            errors.push(Error::duplicate(format!("status.addresses[{i}]"), address.clone()));
        }
    }
    errors
}

fn taints(errors: &mut Errors, path: &Path, taints: &[Value]) {
    let repeated = repeats(taints, |taint| (&taint["key"], &taint["effect"]));
    for (i, taint) in taints.iter().enumerate() {
        let path = path.index(i);
        format(errors, &path.child("key"), text(&taint["key"]), formats::qualified_name);
        let value = text(&taint["value"]);
        let problems = formats::label_value(value);
        if !problems.is_empty() {
            errors.push(Error::invalid(path.child("value"), value, problems.join(";")));
        }
        taint_effect(errors, &path.child("effect"), &taint["effect"]);
        if repeated[i] {
            const TAINT: &str = "io.k8s.api.core.v1.Taint";
            // The path is not that of the field, so the value is told how to look.
            let shown = Internal::new(&Type::Message(TAINT), taint).to_string();
            let mut error = Error::duplicate(path, taint.clone()).showing(shown);
            error.detail = "taints must be unique by key and effect pair".into();
            errors.push(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rows() {
        let check = |node: Value, expected: [&str; 2]| {
            assert_eq!([status(&node), roles(&node)], expected);
        };
        check(json!({}), ["Unknown", "<none>"]);
        check(
            json!({
                "metadata": {"labels": {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": ""}},
                "spec": {"unschedulable": true},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]},
            }),
            ["Ready,SchedulingDisabled", "control-plane,worker"],
        );
        check(
            json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}),
            ["NotReady", "<none>"],
        );
    }

    #[test]
    fn rules_of_a_status() {
        let check = |status: Value, expected: &[&str]| {
            let node = json!({"metadata": {"name": "n"}, "status": status});
            let errors = NodeHooks.validate_subresource(Subresource::Status, &node, &node);
            let fields: Vec<&str> = errors.iter().map(|e| e.field.as_str()).collect();
            assert_eq!(fields, expected);
        };
        check(json!({"capacity": {"cpu": "1"}, "declaredFeatures": ["A", "B/c"]}), &[]);
        check(json!({"capacity": {"pods": "1500m"}}), &["status.capacity.pods"]);
        check(json!({"declaredFeatures": ["B", "A", "A", "x"]}), &[
            "status.declaredFeatures[1]",
            "status.declaredFeatures[2]",
            "status.declaredFeatures[3]",
        ]);
        check(json!({"addresses": [{"type": "Hostname", "address": "a"}, {"type": "Hostname", "address": "a"}]}), &[
            "status.addresses[1]",
        ]);
    }

    #[test]
    fn taints_that_are_the_same() {
        let taint = json!({"key": "a", "effect": "NoSchedule"});
        let mut errors = Vec::new();
        taints(&mut errors, &Path::new("metadata.taints"), &[taint.clone(), taint]);
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(texts, [
            "metadata.taints[1]: Duplicate value: {\"Key\":\"a\",\"Value\":\"\",\"Effect\":\"NoSchedule\",\"TimeAdded\":null}: \
             taints must be unique by key and effect pair",
        ]);
    }
}
