//! CustomResourceDefinition: its rules. What it makes is in [`crate::custom_resource`].
//!
//! Source: k8s.io/apiextensions-apiserver/pkg/registry/customresourcedefinition and pkg/apis/apiextensions.

mod conversion;
mod schema;
mod selectable;
mod structural;
mod validate;

use crate::field::Error;
use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::columns::{column, name_column};
use crate::kinds::values::{given, list, text};
use crate::kinds::{count_generation, usual};
use serde_json::{Value, json};

/// Holds a definition until its objects are gone.
pub const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// The kind.
pub fn kind() -> Kind {
    Kind {
        short_names: vec!["crd".into(), "crds".into()],
        categories: vec!["api-extensions".into()],
        storage_prefix: "apiextensions.k8s.io/customresourcedefinitions".into(),
        subresources: vec![Subresource::Status],
        columns: vec![
            name_column(),
            column("Created At", "date", |o, _| crate::meta::text(o, "creationTimestamp").into()),
        ],
        hooks: Box::new(DefinitionHooks),
        ..usual(
            "apiextensions.k8s.io",
            "CustomResourceDefinition",
            "customresourcedefinitions",
            Scope::Cluster,
        )
    }
}

struct DefinitionHooks;

/// Notes the storage version among those that objects may be stored in.
fn note_stored_version(object: &mut Value) {
    let stored = list(&object["spec"]["versions"]).iter().find(|v| v["storage"] == true);
    let Some(name) = stored.map(|v| v["name"].clone()) else { return };
    let noted = &mut object["status"]["storedVersions"];
    match noted.as_array_mut() {
        Some(versions) if versions.contains(&name) => {}
        Some(versions) => versions.push(name),
        None => *noted = json!([name]),
    }
}

/// Sets a condition of a definition; its time is when it last changed.
pub fn set_condition(object: &mut Value, condition: [&str; 4], now: &str) {
    let [type_, status, reason, message] = condition;
    let mut new = json!({
        "type": type_, "status": status, "reason": reason, "message": message, "lastTransitionTime": now,
    });
    let conditions = &mut object["status"]["conditions"];
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    let Some(conditions) = conditions.as_array_mut() else { return };
    match conditions.iter_mut().find(|c| c["type"] == type_) {
        Some(old) => {
            if old["status"] == status {
                new["lastTransitionTime"] = old["lastTransitionTime"].clone();
            }
            *old = new;
        }
        None => conditions.push(new),
    }
}

impl Hooks for DefinitionHooks {
    fn default(&self, object: &mut Value) {
        let names = &mut object["spec"]["names"];
        let kind = text(&names["kind"]).to_string();
        if names.is_object() && text(&names["singular"]).is_empty() {
            names["singular"] = kind.to_lowercase().into();
        }
        if names.is_object() && text(&names["listKind"]).is_empty() && !kind.is_empty() {
            names["listKind"] = format!("{kind}List").into();
        }
        let conversion = &mut object["spec"]["conversion"];
        if conversion.is_null() {
            *conversion = json!({"strategy": "None"});
        }
        let webhook = &conversion["webhook"];
        if webhook.is_object()
            && !given(&webhook["clientConfig"])
            && list(&webhook["conversionReviewVersions"]).is_empty()
            && let Some(conversion) = conversion.as_object_mut()
        {
            // It says nothing, and upstream's own form of a conversion has no place for it.
            conversion.remove("webhook");
        }
        if conversion["webhook"]["clientConfig"]["service"].is_object() {
            let port = &mut conversion["webhook"]["clientConfig"]["service"]["port"];
            if port.is_null() {
                *port = 443.into();
            }
        }
        if list(&object["status"]["storedVersions"]).is_empty() {
            note_stored_version(object);
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        // What Go writes of a status that says nothing.
        object["status"] = json!({"conditions": null, "acceptedNames": {"plural": "", "kind": ""}});
        object["metadata"]["generation"] = 1.into();
        note_stored_version(object);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        count_generation(object, old);
        note_stored_version(object);
    }

    fn prepare_subresource(&self, _: Subresource, _: &mut Value, _: &Value) {}

    fn validate_create(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (names, group) = (&object["spec"]["names"], text(&object["spec"]["group"]));
        let wanted = format!("{}.{group}", text(&names["plural"]));
        for field in ["generateName", "name"] {
            let name = text(&object["metadata"][field]);
            if !name.is_empty() && name != wanted {
                let detail = "must be spec.names.plural+\".\"+spec.group";
                errors.push(Error::invalid(format!("metadata.{field}"), name, detail));
            }
        }
        errors.extend(validate::validate(object, None));
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        validate::validate(object, Some(old))
    }

    fn validate_subresource(&self, _: Subresource, object: &Value, _: &Value) -> Vec<Error> {
        validate::status(object)
    }

    fn begin_deletion(&self, object: &mut Value, now: &str) {
        let finalizers = &mut object["metadata"]["finalizers"];
        match finalizers.as_array_mut() {
            Some(list) if list.iter().any(|f| f == FINALIZER) => {}
            Some(list) => list.push(FINALIZER.into()),
            None => *finalizers = json!([FINALIZER]),
        }
        let message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
        set_condition(object, ["Terminating", "True", "InstanceDeletionPending", message], now);
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        let before = old.map(unknown_formats).unwrap_or_default();
        let new = unknown_formats(object).into_iter().filter(|f| !before.contains(f));
        new.map(|format| format!("unrecognized format {format:?}")).collect()
    }
}

/// The formats in a definition's schemas by which nothing is checked.
fn unknown_formats(object: &Value) -> Vec<String> {
    fn find(schema: &Value, found: &mut Vec<String>) {
        let format = text(&schema["format"]);
        if !format.is_empty() && !crate::structural::is_known_format(text(&schema["type"]), format) {
            found.push(format.to_string());
        }
        schema::children(schema, |child| find(child, found));
    }
    let mut found = Vec::new();
    for version in list(&object["spec"]["versions"]) {
        find(&version["schema"]["openAPIV3Schema"], &mut found);
    }
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition() -> Value {
        let field = |type_: &str| json!({"type": type_});
        let spec = json!({"type": "object", "properties": {"a": field("string"), "o": field("object")}});
        let schema = json!({"type": "object", "properties": {"spec": spec}});
        json!({
            "metadata": {"name": "foos.example.com"},
            "spec": {
                "group": "example.com", "scope": "Namespaced", "names": {"plural": "foos", "kind": "Foo"},
                "versions": [{
                    "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
                    "selectableFields": [{"jsonPath": ".spec.a"}],
                }],
            },
        })
    }

    fn check(place: &str, value: Value, expected: &[&str]) {
        let mut object = definition();
        *object.pointer_mut(place).unwrap_or_else(|| panic!("{place}")) = value.clone();
        DefinitionHooks.default(&mut object);
        DefinitionHooks.prepare_create(&mut object);
        let found = DefinitionHooks.validate_create(&object);
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, expected, "{place} {value}");
    }

    #[test]
    fn schemas() {
        let root = "/spec/versions/0/schema/openAPIV3Schema";
        let field = format!("{root}/properties/spec/properties/o");
        check(
            &field,
            json!({"type": "object", "$schema": "x"}),
            &["spec.validation.openAPIV3Schema: Invalid value: \"\": OpenAPIV3Schema 'schema' is not supported"],
        );
        check(
            &field,
            json!({"type": "object", "$schema": "x", "id": "y"}),
            &["spec.validation.openAPIV3Schema.properties[spec].properties[o].id: Forbidden: id is not supported"],
        );
        check(&field, json!({"x-kubernetes-int-or-string": true, "default": true}), &[]);
        let shown = schema::shown(&json!({"nullable": true, "additionalProperties": false, "items": {"type": "a"}}));
        for part in [
            r#"{"ID":"","Schema":"","Ref":null,"Description":"","Type":"","Nullable":true,"Format":"#,
            r#""Items":{"Schema":{"ID":"","Schema":"","Ref":null,"Description":"","Type":"a","#,
            r#""XValidations":null},"JSONSchemas":null},"AllOf":null,"#,
            r#""AdditionalProperties":{"Allows":false,"Schema":null}"#,
        ] {
            assert!(shown.contains(part), "{shown}");
        }
    }

    #[test]
    fn selectable_fields() {
        let path = "/spec/versions/0/selectableFields/0/jsonPath";
        let at = |why: &str| format!("spec.selectableFields[0].jsonPath: {why}");
        check(path, json!(".spec.a"), &[]);
        for (value, why) in [
            (".spec.z", "does not refer to a valid field"),
            (".spec.a[0]", "array notation is not allowed"),
            (".spec.a.", "unexpected end of JSON path"),
            ("{.spec.a}", "expected [ or . but got: {"),
        ] {
            let why = at(&format!("Invalid value: {value:?}: is an invalid path: {why}"));
            check(path, json!(value), &[&why]);
        }
        check(
            path,
            json!(".spec.o"),
            &[&at(
                "Invalid value: \".spec.o\": must point to a field of type string, boolean or integer. Enum string fields \
                 and strings with formats are allowed.",
            )],
        );
    }

    #[test]
    fn conversions() {
        let mut with = definition();
        with["spec"]["conversion"] = json!(null);
        let of = |config: Value, reviews: Value| {
            json!({"strategy": "Webhook", "webhook": {"clientConfig": config, "conversionReviewVersions": reviews}})
        };
        let check = |conversion: Value, expected: &[&str]| {
            let mut object = with.clone();
            object["spec"]["conversion"] = conversion;
            let spec = object["spec"].take();
            check("/spec", spec, expected);
        };
        let url = json!({"url": "https://example.com/x"});
        check(of(url.clone(), json!(["v1"])), &[]);
        check(json!({"strategy": "None", "webhook": {}}), &[]);
        check(
            of(url, json!(["v1", "v1"])),
            &["spec.conversion.conversionReviewVersions[1]: Invalid value: \"v1\": duplicate version"],
        );
        check(
            of(json!({"url": "http://example.com"}), json!(["v1"])),
            &["spec.conversion.webhookClientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; \
               desired format: https://host[/path]"],
        );
        check(
            of(json!({"service": {"name": "a", "namespace": "b", "port": 0}}), json!(["v1"])),
            &["spec.conversion.webhookClientConfig.service.port: Invalid value: 0: port is not valid: must be between 1 and \
               65535, inclusive"],
        );
    }

    #[test]
    fn defaults_stand_for_themselves() {
        let path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/o";
        let of = |default: Value, embedded: bool| {
            json!({
                "type": "object", "default": default, "required": ["b"], "x-kubernetes-embedded-resource": embedded,
                "properties": {"b": {"type": "string", "default": "x"}},
            })
        };
        let at = "spec.validation.openAPIV3Schema.properties[spec].properties[o].default";
        check(path, of(json!({"b": "y"}), false), &[]);
        check(path, of(json!({}), false), &[&format!("{at}.b: Required value")]);
        check(
            path,
            of(json!({"b": "y"}), true),
            &[&format!("{at}.apiVersion: Required value"), &format!("{at}.kind: Required value")],
        );
    }
}
