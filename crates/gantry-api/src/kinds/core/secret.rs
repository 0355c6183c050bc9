//! Secret

use crate::kind::{Hooks, Kind, Scope};
use crate::kinds::{age_column, column, default_to, name_column, size, usual};
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        selectable_fields: vec![("type", "type")],
        columns: vec![
            name_column(),
            column("Type", "string", |o, _| o["type"].clone()),
            column("Data", "integer", |o, _| size(&o["data"]).into()),
            age_column(),
        ],
        hooks: Box::new(SecretHooks),
        ..usual("", "Secret", "secrets", Scope::Namespaced)
    }
}

struct SecretHooks;

impl Hooks for SecretHooks {
    fn default(&self, object: &mut Value) {
        default_to(object, "type", "Opaque");
        let Some(Value::Object(plain)) = object.as_object_mut().and_then(|m| m.remove("stringData")) else { return };
        for (key, value) in plain {
            object["data"][key] = base64(value.as_str().unwrap_or("").as_bytes()).into();
        }
    }
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
}
