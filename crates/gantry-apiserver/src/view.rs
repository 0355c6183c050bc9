//! How a client wants objects to look: whole, as rows of a table, or their metadata alone.
//!
//! Source: k8s.io/apiserver/pkg/endpoints/handlers/response.go.

use crate::table;
use gantry_api::kind::Kind;
use gantry_api::meta;
use serde_json::{Value, json};
use std::borrow::Cow;

/// A look of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// As they are.
    Whole,
    /// As a table, whose rows include this much of the objects.
    Table(Include),
    /// Their metadata, as PartialObjectMetadata.
    Metadata,
}

/// What the rows of a table include: `includeObject`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Include {
    /// Nothing.
    None,
    /// The metadata.
    Metadata,
    /// The whole object.
    Object,
}

impl View {
    /// The look that an Accept header asks for first, of those there are; none if it asks for others alone.
    pub fn of(accept: &str, include: &str) -> Option<View> {
        let mut refused = false;
        for part in accept.split(',') {
            let parameter = |name: &str| {
                let mut all = part.split(';').skip(1).map(str::trim);
                all.find_map(|p| p.strip_prefix(name)?.strip_prefix('='))
            };
            let known = parameter("g") == Some("meta.k8s.io") && parameter("v") == Some("v1");
            match parameter("as") {
                Some("Table") if known => {
                    return Some(View::Table(match include {
                        "None" => Include::None,
                        "Object" => Include::Object,
                        _ => Include::Metadata,
                    }));
                }
                Some("PartialObjectMetadata" | "PartialObjectMetadataList") if known => {
                    return Some(View::Metadata);
                }
                Some(_) => refused = true,
                None => return Some(View::Whole),
            }
        }
        (!refused).then_some(View::Whole)
    }

    /// An object on its own.
    pub fn one<'a>(self, kind: &Kind, object: &'a Value) -> Cow<'a, Value> {
        match self {
            View::Whole => Cow::Borrowed(object),
            View::Metadata => Cow::Owned(metadata(object)),
            View::Table(include) => Cow::Owned(json!({
                "kind": "Table", "apiVersion": "meta.k8s.io/v1",
                "metadata": {"resourceVersion": meta::text(object, "resourceVersion")},
                "columnDefinitions": table::columns(kind),
                "rows": [table::row(kind, object, include, table::now())],
            })),
        }
    }
}

/// An object's metadata, as an object.
pub fn metadata(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for() {
        let check = |accept: &str, include: &str, expected: View| {
            assert_eq!(View::of(accept, include), Some(expected), "{accept}");
        };
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        let partial = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
        check("", "", View::Whole);
        check("application/json", "", View::Whole);
        check(table, "", View::Table(Include::Metadata));
        check(table, "Object", View::Table(Include::Object));
        check(
            &format!("{table}, application/json"),
            "None",
            View::Table(Include::None),
        );
        check(&format!("application/json,{table}"), "", View::Whole);
        check(&format!("{partial},application/json"), "", View::Metadata);
        check(
            "application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
            "",
            View::Whole,
        );
        assert_eq!(View::of("application/json;as=Table;v=v9;g=meta.k8s.io", ""), None);
    }
}
