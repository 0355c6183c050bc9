//! ConfigMap

use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Hooks, Kind, Scope};
use crate::kinds::checks::{Errors, format};
use crate::kinds::columns::{age_column, column, name_column};
use crate::kinds::usual;
use crate::kinds::values::{entries, flag, given, same, size, text};
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        short_names: vec!["cm".into()],
        columns: vec![
            name_column(),
            column("Data", "string", |o, _| {
                (size(&o["data"]) + size(&o["binaryData"])).into()
            }),
            age_column(),
        ],
        hooks: Box::new(ConfigMapHooks),
        ..usual("", "ConfigMap", "configmaps", Scope::Namespaced)
    }
}

/// The most a ConfigMap or Secret may hold.
pub const MAX_SIZE: usize = 1 << 20;

struct ConfigMapHooks;

impl Hooks for ConfigMapHooks {
    fn default(&self, object: &mut Value) {
        empty_for_null(object, "binaryData");
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let mut total = 0;
        for (field, encoded) in [("data", false), ("binaryData", true)] {
            let path = Path::new(field);
            for (key, value) in entries(&object[field]) {
                format(&mut errors, &path.key(key), key, formats::config_map_key);
                if !encoded && given(&object["binaryData"][key]) {
                    let detail = "duplicate of key present in binaryData";
                    errors.push(Error::invalid(path.key(key), key.as_str(), detail));
                }
                total += if encoded { decoded_size(value) } else { text(value).len() };
            }
        }
        if total > MAX_SIZE {
            errors.push(Error::too_long("", MAX_SIZE));
        }
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        immutable(object, old, &["data", "binaryData"])
    }
}

/// Bytes that are null are none.
pub fn empty_for_null(object: &mut Value, field: &str) {
    let values = object.get_mut(field).and_then(Value::as_object_mut).into_iter().flatten();
    values.filter(|(_, value)| value.is_null()).for_each(|(_, value)| *value = "".into());
}

/// How many bytes a base64 text stands for.
pub fn decoded_size(value: &Value) -> usize {
    let encoded = text(value).trim_end_matches('=');
    encoded.len() * 3 / 4
}

/// What is declared immutable stays so, and as it is.
pub fn immutable(object: &Value, old: &Value, fields: &[&str]) -> Errors {
    let mut errors = Vec::new();
    if flag(&old["immutable"]) {
        let detail = "field is immutable when `immutable` is set";
        if !flag(&object["immutable"]) {
            errors.push(Error::forbidden("immutable", detail));
        }
        for field in fields.iter().filter(|f| !same(&object[**f], &old[**f])) {
            errors.push(Error::forbidden(*field, detail));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    #[test]
    fn rules() {
        let hooks = super::kind().hooks;
        let check = |object: Value, expected: &[&str]| {
            let texts: Vec<String> = hooks.validate(&object).iter().map(ToString::to_string).collect();
            assert_eq!(texts.len(), expected.len(), "{texts:?}");
            for (text, start) in texts.iter().zip(expected) {
                assert!(text.starts_with(start), "{text}");
            }
        };
        check(json!({"data": {"a": "1"}, "binaryData": {"b": "AA=="}}), &[]);
        check(json!({"data": {"a/b": "1"}}), &["data[a/b]: Invalid value: \"a/b\": a valid config key must"]);
        check(
            json!({"data": {"a": "1"}, "binaryData": {"a": "AA=="}}),
            &["data[a]: Invalid value: \"a\": duplicate of key present in binaryData"],
        );
        check(
            json!({"data": {"a": "x".repeat((1 << 20) + 1)}}),
            &[": Too long: may not be more than 1048576 bytes"],
        );
        let old = json!({"immutable": true, "data": {"a": "1"}});
        let errors = hooks.validate_update(&json!({"data": {"a": "2"}}), &old);
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let why = "Forbidden: field is immutable when `immutable` is set";
        assert_eq!(texts, [format!("immutable: {why}"), format!("data: {why}")]);
    }
}
