//! The form values have inside upstream: Go structs without JSON names, which its messages show.
//!
//! Upstream validates its internal types, and where an error shows a whole struct it is one of those. They differ from
//! the versioned types in the names of fields and in that nothing is left out; the tables note where else they do.

use super::{Field, Inside, Message, Type, message};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Value;
use serde_json::ser::PrettyFormatter;

/// A value and what it is, to be written in its internal form.
#[derive(Clone, Copy)]
pub struct Internal<'a> {
    type_: &'a Type,
    value: &'a Value,
    /// The struct around it, some of whose fields belong here, and the field it is in.
    around: Option<(&'static Message, &'a Value, &'static str)>,
    /// Only the fields that this embedded struct has.
    embedded: Option<&'a str>,
}

impl<'a> Internal<'a> {
    /// A value of a type.
    pub fn new(type_: &'a Type, value: &'a Value) -> Self {
        Internal {
            type_,
            value,
            around: None,
            embedded: None,
        }
    }

    /// Of a struct only what it embeds under this name.
    pub fn embedded(type_: &'a Type, value: &'a Value, name: &'a str) -> Self {
        Internal {
            embedded: Some(name),
            ..Internal::new(type_, value)
        }
    }

    /// The text with one space of indentation, as Go's `json.MarshalIndent` writes it.
    pub fn pretty(self) -> String {
        let mut text = Vec::new();
        let mut out = serde_json::Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b" "));
        // Writing into memory what is a tree already cannot fail.
        let _ = self.serialize(&mut out);
        escaped(&String::from_utf8_lossy(&text))
    }
}

impl std::fmt::Display for Internal<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = serde_json::to_string(self).map_err(|_| std::fmt::Error)?;
        f.write_str(&escaped(&text))
    }
}

/// Go's encoder writes what HTML could take for markup as escapes.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text
}

impl Serialize for Internal<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match (self.type_, self.value) {
            (Type::Message(name), value) => match message(name) {
                Some(m) if value.is_object() || value.is_null() => self.fields(m, out),
                _ => value.serialize(out),
            },
            // Inside, all alternatives are there, and one is set.
            (Type::Either(name), value) => match message(name) {
                Some(m) if !value.is_null() => self.alternatives(m, out),
                _ => value.serialize(out),
            },
            (Type::List(item), Value::Array(list)) => {
                let mut seq = out.serialize_seq(Some(list.len()))?;
                for value in list {
                    seq.serialize_element(&Internal::new(item, value))?;
                }
                seq.end()
            }
            (Type::Map(item), Value::Object(map)) => {
                let mut entries = out.serialize_map(Some(map.len()))?;
                for (key, value) in map {
                    entries.serialize_entry(key, &Internal::new(item, value))?;
                }
                entries.end()
            }
            (type_, Value::Null) => super::form::zero(type_).serialize(out),
            (_, value) => value.serialize(out),
        }
    }
}

impl Internal<'_> {
    fn alternatives<S: Serializer>(&self, m: &'static Message, out: S) -> Result<S::Ok, S::Error> {
        let mut map = out.serialize_map(None)?;
        let chosen = m.alternative(self.value);
        for field in m.declared() {
            let value = match chosen {
                Some(chosen) if std::ptr::eq(chosen, field) => self.value,
                // Whoever describes values allows them.
                _ if field.type_ == Type::Bool => &Value::Bool(true),
                _ => &Value::Null,
            };
            let name = field.go_name();
            match value {
                Value::Null => map.serialize_entry(&name, value)?,
                value => map.serialize_entry(&name, &Internal::new(&field.type_, value))?,
            }
        }
        map.end()
    }

    fn fields<S: Serializer>(&self, m: &'static Message, out: S) -> Result<S::Ok, S::Error> {
        let mut map = out.serialize_map(None)?;
        if let Some((message, value, place)) = self.around {
            for field in message.declared().filter(|f| f.inside() == Inside::Under(place)) {
                one(&mut map, message, value, field)?;
            }
        }
        let mut declared: Vec<&Field> = m.declared().collect();
        if m.is_meta() {
            declared.retain(|f| self.value.get(f.name).is_some());
        }
        for field in declared {
            let foreign = self.embedded.is_some_and(|name| field.embedded() != name);
            if foreign || field.inside() != Inside::Same && field.inside() != Inside::Plain {
                continue;
            }
            if m.is_meta() {
                let value = self.value.get(field.name).unwrap_or(&Value::Null);
                map.serialize_entry(field.name, &Internal::new(&field.type_, value))?;
                continue;
            }
            // A whole object's kind is not kept inside, and its metadata is embedded.
            if field.name == "metadata"
                && let Type::Message(name) = &field.type_
                && let (Some(meta), Some(own)) = (message(name), self.value.get("metadata"))
            {
                for field in meta.declared().filter(|f| own.get(f.name).is_some()) {
                    map.serialize_entry(field.name, &Internal::new(&field.type_, &own[field.name]))?;
                }
            } else if m.gvks.is_empty() || !matches!(field.name, "apiVersion" | "kind" | "metadata") {
                one(&mut map, m, self.value, field)?;
            }
        }
        map.end()
    }
}

fn one<M: SerializeMap>(
    map: &mut M,
    m: &'static Message,
    value: &Value,
    field: &Field,
) -> Result<(), M::Error> {
    let own = value.get(field.name).unwrap_or(&Value::Null);
    let adopts = m.declared().any(|f| f.inside() == Inside::Under(field.name));
    let absent = own.is_null() && field.optional && field.inside() != Inside::Plain && !adopts;
    let name = field.go_name();
    if absent {
        return map.serialize_entry(&name, &Value::Null);
    }
    let around = adopts.then_some((m, value, field.name));
    map.serialize_entry(
        &name,
        &Internal {
            around,
            ..Internal::new(&field.type_, own)
        },
    )
}

/// The field at a path such as `spec.containers[0].name` within an object, and the type of what the path names: an
/// item's, when it ends with one.
pub fn at(root: &'static Message, path: &str) -> Option<(&'static Field, &'static Type)> {
    let mut within = Some(root);
    let mut found: Option<(&'static Field, &'static Type)> = None;
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let (_, after) = inner.split_once(']')?;
            let (field, Type::List(item) | Type::Map(item)) = found? else {
                return None;
            };
            found = Some((field, item));
            rest = after;
        } else {
            rest = rest.strip_prefix('.').unwrap_or(rest);
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let field = within?.field(&rest[..end])?;
            found = Some((field, &field.type_));
            rest = &rest[end..];
        }
        within = match found {
            Some((_, Type::Message(name))) => message(name),
            _ => None,
        };
    }
    found
}

/// A value as an error at this path shows it, when it is not simply its JSON.
pub(super) fn shown(root: &'static Message, path: &str, value: &Value) -> Option<String> {
    let (field, mut type_) = at(root, path)?;
    match (value, type_) {
        // Of what is no pointer upstream there is always a value.
        (Value::Null, Type::String | Type::Int32 | Type::Int64 | Type::Bool)
            if !field.optional || field.inside() == Inside::Plain =>
        {
            return Some(super::form::zero(type_).to_string());
        }
        (Value::Object(_), Type::List(item)) => type_ = item,
        (Value::Array(_), Type::List(_)) | (Value::Object(_), Type::Message(_) | Type::Map(_)) => {}
        _ => return None,
    }
    Some(Internal::new(type_, value).to_string())
}

#[cfg(test)]
mod tests {
    use super::super::message_for;
    use super::*;
    use serde_json::json;

    #[test]
    fn errors_show_internal_forms() {
        let check = |kind: (&str, &str), path: &str, value: Value, expected: Option<&str>| {
            let m = message_for(kind.0, "v1", kind.1).unwrap();
            assert_eq!(shown(m, path, &value).as_deref(), expected, "{path}");
        };
        check(
            ("apps", "Deployment"),
            "spec.strategy",
            json!({"type": "<", "rollingUpdate": {"maxSurge": 2}}),
            Some(r#"{"Type":"\u003c","RollingUpdate":{"MaxUnavailable":0,"MaxSurge":2}}"#),
        );
        // Labels' selectors are no internal types.
        check(
            ("apps", "Deployment"),
            "spec.selector",
            json!({"matchExpressions": [{"key": "a", "operator": "Exists"}], "matchLabels": {"a": "b"}}),
            Some(r#"{"matchLabels":{"a":"b"},"matchExpressions":[{"key":"a","operator":"Exists"}]}"#),
        );
        check(
            ("", "Pod"),
            "spec.containers[0].resources.limits",
            json!({"cpu": "1"}),
            Some(r#"{"cpu":"1"}"#),
        );
        check(
            ("", "Pod"),
            "spec.containers[0].ports",
            json!([{"containerPort": 1}]),
            Some(r#"[{"Name":"","HostPort":0,"ContainerPort":1,"Protocol":"","HostIP":""}]"#),
        );
        check(("", "Pod"), "spec.nodeName", Value::Null, Some(r#""""#));
        check(("", "Pod"), "spec.priority", Value::Null, None);
        check(("", "Pod"), "spec.nothing", json!({}), None);
        check(("", "Pod"), "spec.nodeName", json!("a"), None);
    }

    #[test]
    fn fields_stand_where_they_are_inside() {
        let check = |type_: &'static str, value: Value, expected: &str| {
            let text = Internal::new(&Type::Message(type_), &value).to_string();
            assert!(text.contains(expected), "{text}");
        };
        let spec = json!({"hostNetwork": true, "serviceAccount": "a"});
        check(
            "io.k8s.api.core.v1.PodSpec",
            spec.clone(),
            r#""SecurityContext":{"HostNetwork":true,"HostPID":false,"HostIPC":false,"ShareProcessNamespace":null,"HostUsers":null,"SELinuxOptions":null,"#,
        );
        check(
            "io.k8s.api.core.v1.PodSpec",
            spec,
            r#""ServiceAccountName":"","AutomountServiceAccountToken":null"#,
        );
        check(
            "io.k8s.api.core.v1.PodTemplateSpec",
            json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}}),
            r#"{"labels":{"a":"b"},"Spec":{"Volumes":null,"InitContainers":null,"Containers":[],"#,
        );
        let source = json!({"capacity": {"storage": "1Gi"}, "local": {"path": "/x"}});
        let type_ = Type::Message("io.k8s.api.core.v1.PersistentVolumeSpec");
        let text = Internal::embedded(&type_, &source, "PersistentVolumeSource").pretty();
        assert!(text.starts_with("{\n \"GCEPersistentDisk\": null,\n"), "{text}");
        assert!(text.ends_with("\n \"CSI\": null\n}"), "{text}");
    }
}
