//! Objects as they are stored, and how they are read without being parsed.
//!
//! A stored object is its JSON with `apiVersion`, `kind` and `metadata` first and without `resourceVersion`, which is
//! the entry's own. So an object asked for in the version it is stored in is answered by copying bytes: its head with
//! the resourceVersion in it, then the rest as it is.

use crate::pipeline::Validated;
use gantry_api::json;
use gantry_api::kind::Kind;
use gantry_api::status::Status;
use gantry_store::Entry;
use serde_json::Value;
use std::io::Write;

/// The field of metadata that may be JSON already when an object is stored.
const OWNERS: &str = "managedFields";

/// What the stored objects of a kind begin with: `{"apiVersion":"v1","kind":"Pod","metadata":{`.
pub struct Head(String);

impl Head {
    /// The head of objects stored in the form of `kind`.
    pub fn of(kind: &Kind) -> Self {
        // What a custom resource looks like depends on its definition, which may have changed since: no stored object
        // begins with this, so that each is decoded.
        if kind.custom.is_some() {
            return Head(String::new());
        }
        let version = kind.api_version();
        let parts = [
            "{\"apiVersion\":\"",
            &version,
            "\",\"kind\":\"",
            &kind.kind,
            "\",\"metadata\":{",
        ];
        Head(parts.concat())
    }

    /// Whether an object is stored in this form.
    pub fn is_of(&self, entry: &Entry) -> bool {
        self.rest(entry).is_some()
    }

    /// The JSON of the object's metadata, with whatever follows it, if the object is stored in this form.
    pub fn metadata<'a>(&self, entry: &'a Entry) -> Option<&'a [u8]> {
        self.rest(entry).map(|_| &entry.value[self.0.len() - 1..])
    }

    /// Whether an object that is stored as this JSON is stored in this form.
    pub fn begins(&self, json: &[u8]) -> bool {
        self.rest_of(json).is_some()
    }

    /// What follows the head, if the object is stored in this form.
    fn rest<'a>(&self, entry: &'a Entry) -> Option<&'a [u8]> {
        self.rest_of(&entry.value)
    }

    fn rest_of<'a>(&self, json: &'a [u8]) -> Option<&'a [u8]> {
        // Metadata holds a name at least, which the resourceVersion can stand before.
        let rest = json.strip_prefix(self.0.as_bytes())?;
        (rest.first() == Some(&b'"')).then_some(rest)
    }

    /// Appends the object's JSON; `false` if it is stored in another form and must be decoded.
    pub fn write(&self, entry: &Entry, out: &mut Vec<u8>) -> bool {
        let Some(rest) = self.rest(entry) else {
            return false;
        };
        out.reserve(self.0.len() + rest.len() + 48);
        out.extend_from_slice(self.0.as_bytes());
        splice(entry.mod_revision, rest, out);
        true
    }

    /// Appends the object's JSON as an item of a list, whose apiVersion and kind are the list's to tell.
    pub fn write_item(&self, entry: &Entry, out: &mut Vec<u8>) -> bool {
        let Some(rest) = self.rest(entry) else {
            return false;
        };
        out.extend_from_slice(b"{\"metadata\":{");
        splice(entry.mod_revision, rest, out);
        true
    }
}

fn splice(revision: u64, rest: &[u8], out: &mut Vec<u8>) {
    number(b"\"resourceVersion\":\"", revision, b"\",", out);
    out.extend_from_slice(rest);
}

fn number(before: &[u8], number: u64, after: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(before);
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{number}");
    out.extend_from_slice(after);
}

/// An object as it is stored.
pub fn encode(kind: &Kind, object: &Validated) -> Vec<u8> {
    let (stored, mut owners) = (kind.hooks.to_storage(object.object()), object.owners());
    let mut out = Vec::with_capacity(2048);
    out.push(b'{');
    for field in ["apiVersion", "kind"] {
        member(field, &stored[field], &mut out);
    }
    out.extend_from_slice(b"\"metadata\":{");
    let metadata = stored["metadata"].as_object().into_iter().flatten();
    for (field, value) in metadata.filter(|(field, _)| *field != "resourceVersion") {
        if field.as_str() > OWNERS
            && let Some(json) = owners.take()
        {
            written(OWNERS, json, &mut out);
        }
        member(field, value, &mut out);
    }
    if let Some(json) = owners {
        written(OWNERS, json, &mut out);
    }
    close(&mut out);
    out.push(b',');
    let others = stored.as_object().into_iter().flatten();
    for (field, value) in
        others.filter(|(field, _)| !matches!(field.as_str(), "apiVersion" | "kind" | "metadata"))
    {
        member(field, value, &mut out);
    }
    close(&mut out);
    // It stays in memory for as long as the object stands.
    out.shrink_to_fit();
    out
}

/// Appends `"field":json,`.
fn written(field: &str, json: &str, out: &mut Vec<u8>) {
    for part in ["\"", field, "\":", json, ","] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Appends `"field":value,`.
fn member(field: &str, value: &Value, out: &mut Vec<u8>) {
    json::write_text(field, out);
    out.push(b':');
    json::write(value, out);
    out.push(b',');
}

/// Ends an object whose members end in commas.
fn close(out: &mut Vec<u8>) {
    if out.last() == Some(&b',') {
        out.pop();
    }
    out.push(b'}');
}

/// An object in an entry, in the form of the kind it is served as.
pub fn decode_as(kind: &Kind, entry: &Entry) -> Result<Value, Status> {
    let mut object = decode(entry)?;
    kind.hooks.from_storage(&mut object);
    Ok(object)
}

/// An object as it stands in an entry.
pub fn decode(entry: &Entry) -> Result<Value, Status> {
    let mut object: Value = serde_json::from_slice(&entry.value).map_err(|e| unreadable(entry, &e))?;
    object["metadata"]["resourceVersion"] = entry.mod_revision.to_string().into();
    Ok(object)
}

/// The error of an entry that holds no object.
pub fn unreadable(entry: &Entry, error: &serde_json::Error) -> Status {
    Status::internal(format!(
        "the stored object {} cannot be read: {error}",
        String::from_utf8_lossy(&entry.key)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kind(plural: &str, group: &str) -> Kind {
        let mut kinds = gantry_api::kinds::builtin().into_iter();
        kinds
            .find(|k| k.plural == plural && k.group == group)
            .expect("a built-in kind")
    }

    fn entry(value: Vec<u8>) -> Entry {
        Entry {
            key: "/registry/x".into(),
            value: value.into(),
            create_revision: 5,
            mod_revision: 17,
            version: 2,
        }
    }

    #[test]
    fn copied_bytes_are_what_decoding_gives() {
        let head = Head::of(&kind("configmaps", ""));
        let check = |object: Value| {
            let validated = Validated::with_metadata_of(object.clone());
            let stored = entry(encode(&kind("configmaps", ""), &validated));
            let mut expected = object.clone();
            expected["metadata"]["resourceVersion"] = "17".into();
            assert_eq!(decode(&stored).unwrap(), expected);
            let mut copied = Vec::new();
            assert!(head.write(&stored, &mut copied), "{object}");
            let metadata = head.metadata(&stored).unwrap();
            let mut metadata = serde_json::Deserializer::from_slice(metadata).into_iter::<Value>();
            let mut own = object["metadata"].clone();
            own.as_object_mut().unwrap().remove("resourceVersion");
            assert_eq!(metadata.next().unwrap().unwrap(), own);
            assert_eq!(serde_json::from_slice::<Value>(&copied).unwrap(), expected);
            let mut item = Vec::new();
            assert!(head.write_item(&stored, &mut item));
            let map = expected.as_object_mut().unwrap();
            map.remove("apiVersion");
            map.remove("kind");
            assert_eq!(serde_json::from_slice::<Value>(&item).unwrap(), expected);
        };
        check(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}));
        check(json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": {"b": "ü\"\\\n", "metadata": "{"},
            "metadata": {"name": "a", "annotations": {"a\"b": "c"}, "resourceVersion": "3", "uid": "u"},
        }));
    }

    #[test]
    fn other_forms_are_decoded() {
        let check = |plural: &str, group: &str, value: &str| {
            let mut out = Vec::new();
            let head = Head::of(&kind(plural, group));
            assert!(!head.write(&entry(value.into()), &mut out), "{value}");
            assert!(!head.write_item(&entry(value.into()), &mut out), "{value}");
            assert_eq!(out, b"");
        };
        let event = r#"{"apiVersion":"v1","kind":"Event","metadata":{"name":"a"}}"#;
        check("events", "events.k8s.io", event);
        check(
            "configmaps",
            "",
            r#"{"apiVersion":"v1","data":{},"kind":"ConfigMap","metadata":{"name":"a"}}"#,
        );
        check(
            "configmaps",
            "",
            r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{}}"#,
        );
        check("configmaps", "", "");
    }
}
