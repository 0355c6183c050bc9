//! Secret

use super::config_map::{empty_for_null, MAX_SIZE, decoded_size, immutable};
use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Hooks, Kind, Scope};
use crate::kinds::checks::{self, Errors, format};
use crate::kinds::columns::{age_column, column, name_column};
use crate::kinds::values::{default_if_zero, entries, given, map_of, remove, size, text};
use crate::kinds::{selectable, usual};
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        selectable_fields: selectable(&[("type", "type")]),
        columns: vec![
            name_column(),
            column("Type", "string", |o, _| o["type"].clone()),
            column("Data", "string", |o, _| size(&o["data"]).into()),
            age_column(),
        ],
        hooks: Box::new(SecretHooks),
        ..usual("", "Secret", "secrets", Scope::Namespaced)
    }
}

struct SecretHooks;

impl Hooks for SecretHooks {
    fn default(&self, object: &mut Value) {
        default_if_zero(object, "type", "Opaque");
        empty_for_null(object, "data");
        let Some(Value::Object(plain)) = remove(object, "stringData") else {
            return;
        };
        for (key, value) in plain {
            map_of(object, "data")[key] = base64(text(&value).as_bytes()).into();
        }
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (path, data) = (Path::new("data"), &object["data"]);
        let mut total = 0;
        for (key, value) in entries(data) {
            format(&mut errors, &path.key(key), key, formats::config_map_key);
            total += decoded_size(value);
        }
        if total > MAX_SIZE {
            errors.push(Error::too_long(path, MAX_SIZE));
        }
        by_type(&mut errors, &path, object);
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        checks::immutable(&mut errors, &Path::new("type"), &object["type"], &old["type"]);
        errors.extend(immutable(object, old, &["data"]));
        errors
    }
}

/// What secrets of the well-known types hold.
fn by_type(errors: &mut Errors, path: &Path, object: &Value) {
    let data = &object["data"];
    let mut need = |key: &str| {
        let there = given(&data[key]);
        if !there {
            errors.push(Error::required(path.key(key), ""));
        }
        there
    };
    match text(&object["type"]) {
        "kubernetes.io/service-account-token" => {
            let name = "kubernetes.io/service-account.name";
            if text(&object["metadata"]["annotations"][name]).is_empty() {
                let path = Path::new("metadata");
                let path = path.child("annotations");
                errors.push(Error::required(path.key(name), ""));
            }
        }
        "kubernetes.io/dockercfg"
            if need(".dockercfg") => {
                json_object(errors, path, data, ".dockercfg");
            }
        "kubernetes.io/dockerconfigjson"
            if need(".dockerconfigjson") => {
                json_object(errors, path, data, ".dockerconfigjson");
            }
        "kubernetes.io/basic-auth"
            if !given(&data["username"]) && !given(&data["password"]) => {
                need("username");
                need("password");
            }
        "kubernetes.io/ssh-auth"
            if text(&data["ssh-privatekey"]).is_empty() => {
                errors.push(Error::required(path.key("ssh-privatekey"), ""));
            }
        "kubernetes.io/tls" => {
            need("tls.crt");
            need("tls.key");
        }
        _ => {}
    }
}

/// The contents must be a JSON object. They are never shown.
fn json_object(errors: &mut Errors, path: &Path, data: &Value, key: &str) {
    let bytes = unbase64(text(&data[key])).unwrap_or_default();
    if let Err(why) = serde_json::from_slice::<serde_json::Map<String, Value>>(&bytes) {
        let detail = match why.classify() {
            serde_json::error::Category::Eof => "unexpected end of JSON input".to_string(),
            _ => "the contents are not a JSON object".to_string(),
        };
        errors.push(Error::invalid(path.key(key), "<secret contents redacted>", detail));
    }
}

fn unbase64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut word, mut bits) = (0u32, 0);
    for c in text.trim_end_matches('=').bytes().filter(|b| !b.is_ascii_whitespace()) {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        word = word << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((word >> bits) as u8);
        }
    }
    Some(bytes)
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().enumerate().fold(0u32, |w, (i, b)| w | u32::from(*b) << (16 - 8 * i));
        for i in 0..4 {
            let index = (word >> (18 - 6 * i)) as usize & 63;
            text.push(if i <= chunk.len() { char::from(ALPHABET[index]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn string_data_becomes_data() {
        let mut secret = serde_json::json!({"stringData": {"a": "user", "b": "pw", "c": ""}});
        super::kind().hooks.default(&mut secret);
        let expected = serde_json::json!({"type": "Opaque", "data": {"a": "dXNlcg==", "b": "cHc=", "c": ""}});
        assert_eq!(secret, expected);
    }

    #[test]
    fn well_known_types() {
        let hooks = super::kind().hooks;
        let check = |type_: &str, data: serde_json::Value, expected: &[&str]| {
            let secret = serde_json::json!({"type": type_, "data": data});
            let texts: Vec<String> = hooks.validate(&secret).iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected, "{type_}");
        };
        let json = serde_json::json!({".dockerconfigjson": "e30="});
        check("kubernetes.io/dockerconfigjson", json, &[]);
        check(
            "kubernetes.io/dockerconfigjson",
            serde_json::json!({".dockerconfigjson": "bm8="}),
            &["data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\": the contents are not a JSON object"],
        );
        check("kubernetes.io/tls", serde_json::json!({"tls.crt": ""}), &["data[tls.key]: Required value"]);
        check(
            "kubernetes.io/basic-auth",
            serde_json::json!({}),
            &["data[username]: Required value", "data[password]: Required value"],
        );
        assert_eq!(super::unbase64("dXNlcg==").unwrap(), b"user");
    }
}
