//! Reading `metadata`, and the rules for it that all kinds share.
//!
//! Source of the rules and their wording: k8s.io/apimachinery/pkg/api/validation/objectmeta.go.

use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Kind, Scope};
use crate::kinds::{annotations, format, labels};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// `metadata.name`, or nothing.
pub fn name(object: &Value) -> &str {
    text(object, "name")
}

/// `metadata.namespace`, or nothing.
pub fn namespace(object: &Value) -> &str {
    text(object, "namespace")
}

/// A string of `metadata`, or nothing.
pub fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object
        .get("metadata")
        .and_then(|m| m.get(field))
        .and_then(Value::as_str)
        .unwrap_or("")
}

/// The time as objects note it, for the few kinds whose status says when it changed.
pub fn now() -> String {
    let now = OffsetDateTime::now_utc().replace_nanosecond(0);
    now.ok()
        .and_then(|now| now.format(&Rfc3339).ok())
        .unwrap_or_default()
}

/// Whether deletion has begun.
pub fn is_deleting(object: &Value) -> bool {
    !text(object, "deletionTimestamp").is_empty()
}

/// A DNS-1123 label: at most 63 of a-z, 0-9 and `-`, alphanumeric at both ends.
pub fn validate_label_name(value: &str) -> Result<(), String> {
    first(formats::dns_label(value))
}

/// A DNS-1123 subdomain: at most 253 characters, labels joined by dots.
pub fn validate_subdomain(value: &str) -> Result<(), String> {
    first(formats::dns_subdomain(value))
}

/// The same, in the words of upstream's declarative validation.
pub fn validate_long_name(value: &str) -> Result<(), String> {
    first(formats::long_name(value))
}

/// A path segment: not `.` or `..`, without `/` and `%`. RBAC names follow this rule.
pub fn validate_path_segment(value: &str) -> Result<(), String> {
    first(formats::path_segment(value))
}

fn first(problems: formats::Problems) -> Result<(), String> {
    problems.into_iter().next().map_or(Ok(()), Err)
}

/// The rules for an object's metadata.
pub fn validate_object_meta(kind: &Kind, object: &Value) -> Vec<Error> {
    let rule = |name: &str| kind.hooks.validate_name(name);
    let path = Path::new("metadata");
    let base_rule = kind
        .hooks
        .validates_generate_name()
        .then_some(&rule as NameRule<'_>);
    let mut errors = validate_metadata(&path, kind.scope, &rule, base_rule, object);
    if knows_finalizers(kind) {
        let path = path.child("finalizers");
        for (at, finalizer) in items(&object["metadata"]["finalizers"]).enumerate() {
            let name = finalizer.as_str().unwrap_or("");
            if !name.contains('/') && !["kubernetes", "orphan", "foregroundDeletion"].contains(&name) {
                let detail = "name is neither a standard finalizer name nor is it fully qualified";
                errors.push(Error::invalid(path.index(at), name, detail));
            }
        }
    }
    errors
}

/// Whether upstream refuses finalizers of the kind's objects that have no domain: most kinds share the rules of the core
/// group, these have only those that custom resources have, too.
fn knows_finalizers(kind: &Kind) -> bool {
    const PLAIN: [&str; 6] = [
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "coordination.k8s.io",
        "node.k8s.io",
        "policy",
    ];
    let event = kind.group.is_empty() && kind.kind == "Event";
    kind.custom.is_none() && !event && !PLAIN.contains(&kind.group.as_str())
}

/// A rule for names.
type NameRule<'a> = &'a dyn Fn(&str) -> Result<(), String>;

/// The rules for the metadata of an object, which stands at a path; its name follows a rule of its own, and so may what a
/// name is generated from.
pub(crate) fn validate_metadata(
    path: &Path,
    scope: Scope,
    rule: NameRule<'_>,
    base_rule: Option<NameRule<'_>>,
    object: &Value,
) -> Vec<Error> {
    let mut errors = Vec::new();
    let metadata = &object["metadata"];
    let base = text(object, "generateName");
    if let Some(rule) = base_rule.filter(|_| !base.is_empty()) {
        // A name follows, so a dash at the end is no end.
        let masked = base.strip_suffix('-').filter(|b| !b.is_empty()).unwrap_or(base);
        if let Err(why) = rule(masked) {
            errors.push(Error::invalid(path.child("generateName"), base, why));
        }
    }
    let name = name(object);
    if name.is_empty() {
        let detail = "name or generateName is required";
        errors.push(Error::required(path.child("name"), detail));
    } else if let Err(why) = rule(name) {
        errors.push(Error::invalid(path.child("name"), name, why));
    }
    let (namespace, at) = (namespace(object), path.child("namespace"));
    match scope {
        Scope::Namespaced if namespace.is_empty() => errors.push(Error::required(at, "")),
        Scope::Namespaced => format(&mut errors, &at, namespace, formats::dns_label),
        Scope::Cluster if !namespace.is_empty() => {
            errors.push(Error::forbidden(at, "not allowed on this type"));
        }
        Scope::Cluster => {}
    }
    if metadata["generation"].as_i64().is_some_and(|g| g < 0) {
        let generation = metadata["generation"].clone();
        let detail = "must be greater than or equal to 0";
        errors.push(Error::invalid(path.child("generation"), generation, detail));
    }
    labels(&mut errors, &path.child("labels"), &metadata["labels"]);
    annotations(&mut errors, &path.child("annotations"), &metadata["annotations"]);
    owners(
        &mut errors,
        &path.child("ownerReferences"),
        &metadata["ownerReferences"],
    );
    finalizers(&mut errors, &path.child("finalizers"), &metadata["finalizers"]);
    errors
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn owners(errors: &mut Vec<Error>, path: &Path, owners: &Value) {
    let mut controller: Option<String> = None;
    for owner in items(owners) {
        let of = |field: &str| owner[field].as_str().unwrap_or("");
        let version = of("apiVersion");
        if version.is_empty() || version.ends_with('/') || version.matches('/').count() > 1 {
            let detail = "version must not be empty";
            errors.push(Error::invalid(path.child("apiVersion"), version, detail));
        }
        for field in ["kind", "name", "uid"] {
            if of(field).is_empty() {
                errors.push(Error::invalid(path.child(field), "", "must not be empty"));
            }
        }
        if version == "v1" && of("kind") == "Event" {
            let detail = "/v1, Kind=Event is disallowed from being an owner";
            errors.push(Error::invalid(path, owner.clone(), detail));
        }
        if owner["controller"] == true {
            let this = format!("{}/{}", of("kind"), of("name"));
            match &controller {
                Some(other) => {
                    let detail = format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {other} and {this}"
                    );
                    errors.push(Error::invalid(path, owners.clone(), detail));
                }
                None => controller = Some(this),
            }
        }
    }
}

fn finalizers(errors: &mut Vec<Error>, path: &Path, finalizers: &Value) {
    for finalizer in items(finalizers) {
        let name = finalizer.as_str().unwrap_or("");
        format(errors, path, name, formats::qualified_name);
    }
    let has = |name: &str| items(finalizers).any(|f| f == name);
    if has("orphan") && has("foregroundDeletion") {
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.push(Error::invalid(path, finalizers.clone(), detail));
    }
}

/// The rules for a change of an object's metadata, beyond those of [`validate_object_meta`].
pub fn validate_object_meta_update(object: &Value, old: &Value) -> Vec<Error> {
    let mut errors = Vec::new();
    let path = Path::new("metadata");
    let (new, old_metadata) = (&object["metadata"], &old["metadata"]);
    if is_deleting(old) {
        let before: Vec<&Value> = items(&old_metadata["finalizers"]).collect();
        let mut added: Vec<String> = items(&new["finalizers"])
            .filter(|f| !before.contains(f))
            .map(Value::to_string)
            .collect();
        if !added.is_empty() {
            added.sort();
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                added.join(", ")
            );
            errors.push(Error::forbidden(path.child("finalizers"), detail));
        }
    }
    for field in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        if new[field] != old_metadata[field] {
            let value = new[field].clone();
            errors.push(Error::invalid(path.child(field), value, "field is immutable"));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn metadata() {
        let kind = crate::kinds::builtin()
            .into_iter()
            .find(|k| k.kind == "ConfigMap")
            .unwrap();
        let check = |metadata: Value, expected: &[&str]| {
            let object = json!({"metadata": metadata});
            let texts: Vec<String> = validate_object_meta(&kind, &object)
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(texts.len(), expected.len(), "{texts:?}");
            for (text, start) in texts.iter().zip(expected) {
                assert!(text.starts_with(start), "{text}");
            }
        };
        check(json!({"name": "a", "namespace": "b", "generateName": "a-"}), &[]);
        check(json!({"name": "a"}), &["metadata.namespace: Required value"]);
        check(
            json!({"namespace": "b"}),
            &["metadata.name: Required value: name or generateName is required"],
        );
        check(
            json!({"name": "A", "namespace": "b", "labels": {"-": "x y"}, "annotations": {"A/b": "1", "": ""}}),
            &[
                "metadata.name: Invalid value: \"A\": a lowercase RFC 1123 subdomain must",
                "metadata.labels: Invalid value: \"-\": name part must consist of",
                "metadata.labels: Invalid value: \"x y\": a valid label must be",
                "metadata.annotations: Invalid value: \"\": name part must be non-empty",
                "metadata.annotations: Invalid value: \"\": name part must consist of",
            ],
        );
        let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": true});
        check(
            json!({"name": "a", "namespace": "b", "ownerReferences": [owner, owner]}),
            &["metadata.ownerReferences: Invalid value"],
        );
        check(
            json!({"name": "a", "namespace": "b", "finalizers": ["orphan", "foregroundDeletion"]}),
            &["metadata.finalizers: Invalid value"],
        );
        check(
            json!({"name": "a", "namespace": "b", "finalizers": ["x/a", "a"]}),
            &["metadata.finalizers[1]: Invalid value: \"a\": name is neither a standard finalizer name nor"],
        );
        let owner = json!({"apiVersion": "a/b/c", "kind": "K", "name": "p", "uid": "u"});
        check(
            json!({"name": "a", "namespace": "b", "ownerReferences": [owner]}),
            &["metadata.ownerReferences.apiVersion: Invalid value: \"a/b/c\": version must not be empty"],
        );
    }

    #[test]
    fn changes_of_metadata() {
        let old =
            json!({"metadata": {"name": "a", "uid": "1", "deletionTimestamp": "t", "finalizers": ["x/a"]}});
        let mut new = old.clone();
        assert_eq!(validate_object_meta_update(&new, &old), []);
        new["metadata"]["uid"] = "2".into();
        new["metadata"]["finalizers"] = json!(["x/a", "x/b"]);
        let errors = validate_object_meta_update(&new, &old);
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found \
                 new finalizers []string{\"x/b\"}",
                "metadata.uid: Invalid value: \"2\": field is immutable",
            ]
        );
    }
}
