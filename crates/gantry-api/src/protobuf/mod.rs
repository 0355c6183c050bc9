//! The protobuf wire format: objects as trees, to and from upstream's bytes, under the schema tables.
//!
//! An object on the wire is `k8s\0` and a `runtime.Unknown` (type, raw bytes). Bytes are upstream's own: fields in
//! ascending order, maps sorted by key, values that Go does not keep behind pointers always written. Source:
//! k8s.io/apimachinery/pkg/runtime/serializer/protobuf and the generated marshalers.

mod decode;
mod encode;
pub(crate) mod wire;

pub use decode::{DecodeError, decode_object};
pub use encode::{EncodeError, encode_event, encode_item, encode_list_frame, encode_object};

use crate::schema::{self, Message};
use serde_json::Value;

/// What every encoded object begins with.
pub const MAGIC: &[u8] = b"k8s\0";
/// Messages nest no deeper than this.
const DEPTH: usize = 100;

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const BYTES: u32 = 2;
const FIXED32: u32 = 5;

/// The message of an object, by its own apiVersion and kind.
fn message_of(object: &Value) -> Option<&'static Message> {
    let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or("");
    match (text("apiVersion"), text("kind")) {
        // What discovery says of the core group names no version.
        ("", kind @ ("APIVersions" | "APIResourceList")) => message_named("v1", kind),
        (api_version, kind) => message_named(api_version, kind),
    }
}

fn message_named(api_version: &str, kind: &str) -> Option<&'static Message> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    schema::message_for(group, version, kind)
}

/// Whether an object can be written as protobuf.
pub fn has_form(object: &Value) -> bool {
    message_of(object).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn an_object_there_and_back() {
        let check = |object: Value| {
            let bytes = encode_object(&object).unwrap();
            assert_eq!(decode_object(&bytes, None).unwrap(), object);
        };
        check(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"b": "c", "": "d"}}),
        );
        check(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {}, "data": {"b": "AQID"}}));
        check(
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}, "status": {}, "spec": {
                "containers": [{"name": "a", "resources": {"limits": {"cpu": "1500m"}},
                    "livenessProbe": {"httpGet": {"port": "http"}, "periodSeconds": -1}}],
                "volumes": [{"name": "v", "configMap": {"name": "c"}}, {"name": "w", "emptyDir": {}}],
                "automountServiceAccountToken": false,
            }}),
        );
        check(
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"creationTimestamp": "2026-01-02T03:04:05Z"},
            "spec": {"replicas": 0, "strategy": {"rollingUpdate": {"maxSurge": "25%"}},
                "template": {"metadata": {}, "spec": {"containers": null}}}, "status": {}}),
        );
    }

    /// Schemas hold what may be a schema or something simpler, which protobuf wraps in a message of both.
    #[test]
    fn schemas_or_something_simpler() {
        let schema =
            schema::message("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps")
                .unwrap();
        let check = |bytes: &[u8], expected: Value| {
            let decoded = decode::message(schema, bytes, 0).unwrap();
            assert_eq!(decoded, expected, "{bytes:x?}");
            let whole = |schema: &Value| {
                json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {},
                    "spec": {"group": "", "names": {"plural": "", "kind": ""}, "scope": "", "versions": [
                        {"name": "v1", "served": false, "storage": false, "schema": {"openAPIV3Schema": schema}}]},
                    "status": {"conditions": null, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": null}})
            };
            let there = encode_object(&whole(&decoded)).unwrap();
            let back = decode_object(&there, None).unwrap();
            let version = &back["spec"]["versions"][0];
            assert_eq!(version["schema"]["openAPIV3Schema"], expected, "{bytes:x?}");
        };
        // items (24): schema (1) with type (5) "a".
        check(b"\xc2\x01\x05\x0a\x03\x2a\x01a", json!({"items": {"type": "a"}}));
        // items: jSONSchemas (2), two of them.
        check(
            b"\xc2\x01\x0a\x12\x03\x2a\x01a\x12\x03\x2a\x01b",
            json!({"items": [{"type": "a"}, {"type": "b"}]}),
        );
        // additionalProperties (30): allows (1), without and with a schema (2).
        check(b"\xf2\x01\x02\x08\x00", json!({"additionalProperties": false}));
        check(b"\xf2\x01\x02\x08\x01", json!({"additionalProperties": true}));
        check(
            b"\xf2\x01\x07\x08\x01\x12\x03\x2a\x01a",
            json!({"additionalProperties": {"type": "a"}}),
        );
        // dependencies (32), a map: property (2), a list of names.
        check(
            b"\x82\x02\x0b\x0a\x01k\x12\x06\x12\x01a\x12\x01b",
            json!({"dependencies": {"k": ["a", "b"]}}),
        );
    }

    #[test]
    fn a_list_in_parts_is_the_list() {
        let item = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
        for names in [&[][..], &["a"], &["a", "b"]] {
            let mut list = json!({
                "apiVersion": "v1", "kind": "ConfigMapList", "metadata": {"resourceVersion": "7", "continue": "x"},
            });
            let mut items = Vec::new();
            for name in names {
                encode_item(&item(name), &mut items).unwrap();
            }
            let (head, tail) = encode_list_frame(&list, items.len()).unwrap();
            list["items"] = names.iter().map(|name| item(name)).collect();
            assert_eq!(
                [head, items, tail].concat(),
                encode_object(&list).unwrap(),
                "{names:?}"
            );
        }
    }

    #[test]
    fn what_is_no_object() {
        let check = |bytes: &[u8], part: &str| {
            let why = decode_object(bytes, None).err().unwrap().to_string();
            assert!(why.contains(part), "{bytes:?} said {why}");
        };
        check(b"{}", "does not appear to be");
        check(b"k8s\0\x0a\x05", "ends too early");
        check(b"k8s\0\x0a\x09\x0a\x02v1\x12\x03Foo", "no kind");
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0..3usize) {
            let message = schema::message(["io.k8s.api.core.v1.Pod", "io.k8s.api.core.v1.Service", "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"][kind]).unwrap();
            let _ = decode::message(message, &bytes, 0);
        }

        #[test]
        fn config_maps_there_and_back(data in proptest::collection::btree_map(".*", ".*", 1..5), n in any::<i64>()) {
            let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"deletionGracePeriodSeconds": n}, "data": data});
            prop_assert_eq!(decode_object(&encode_object(&object).unwrap(), None).unwrap(), object);
        }
    }
}
