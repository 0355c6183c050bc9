//! How a client wants objects to look: whole, as rows of a table, or their metadata alone.
//!
//! Source: k8s.io/apiserver/pkg/endpoints/handlers/response.go.

use crate::table;
use gantry_api::field::Error;
use gantry_api::kind::Kind;
use gantry_api::meta;
use gantry_api::status::Status;
use serde_json::{Value, json};
use std::borrow::Cow;

/// A look of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// As they are.
    Whole,
    /// As a table, whose rows include this much of the objects.
    Table(Include, Meta),
    /// Their metadata, as PartialObjectMetadata.
    Metadata(Meta),
}

/// The version of tables and of metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meta {
    /// `meta.k8s.io/v1`.
    V1,
    /// `meta.k8s.io/v1beta1`.
    V1beta1,
}

impl Meta {
    /// What the objects say of themselves.
    pub fn api_version(self) -> &'static str {
        match self {
            Meta::V1 => "meta.k8s.io/v1",
            Meta::V1beta1 => "meta.k8s.io/v1beta1",
        }
    }
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

impl Include {
    /// What a request asks for.
    pub fn of(text: &str) -> Result<Self, Status> {
        match text {
            "None" => Ok(Include::None),
            "" | "Metadata" => Ok(Include::Metadata),
            "Object" => Ok(Include::Object),
            other => {
                let why = "must be 'Metadata', 'Object', 'None', or empty";
                let why = Error::invalid("includeObject", other, why);
                Err(Status::bad_request(format!(
                    "Unable to convert to Table as requested: {why}"
                )))
            }
        }
    }
}

/// What an Accept header asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Objects as they are.
    Whole,
    /// A table.
    Table(Meta),
    /// An object's metadata.
    Metadata(Meta),
    /// That of a list's objects.
    MetadataList(Meta),
}

impl Wanted {
    /// That look of one object, or of the list `of_list`.
    pub fn view(self, kind: &Kind, of_list: bool, include: &str) -> Result<View, Status> {
        let (name, verb, meta) = match self {
            Wanted::Whole => return Ok(View::Whole),
            Wanted::Table(meta) => return Ok(View::Table(Include::of(include)?, meta)),
            Wanted::Metadata(meta) if !of_list => return Ok(View::Metadata(meta)),
            Wanted::MetadataList(meta) if of_list => return Ok(View::Metadata(meta)),
            Wanted::Metadata(_) => ("PartialObjectMetadata", "is", go_list(kind)),
            Wanted::MetadataList(_) => ("PartialObjectMetadataList", "is not", go_type(kind)),
        };
        Err(Status::new(
            406,
            "NotAcceptable",
            format!("you requested {name}, but the requested object {verb} a list ({meta})"),
        ))
    }
}

/// What upstream's errors call the type of a kind's objects.
fn go_type(kind: &Kind) -> String {
    match &kind.custom {
        Some(_) => "*unstructured.Unstructured".into(),
        None => format!("*{}.{}", go_package(kind), kind.kind),
    }
}

fn go_list(kind: &Kind) -> String {
    match &kind.custom {
        Some(_) => "*unstructured.UnstructuredList".into(),
        None => format!("*{}.{}", go_package(kind), kind.list_kind),
    }
}

fn go_package(kind: &Kind) -> &str {
    match &*kind.group {
        "" | "events.k8s.io" => "core",
        "internal.apiserver.k8s.io" => "apiserverinternal",
        group => group.split('.').next().unwrap_or(group),
    }
}

impl View {
    /// An object on its own.
    pub fn one<'a>(self, kind: &Kind, object: &'a Value) -> Cow<'a, Value> {
        match self {
            View::Whole => Cow::Borrowed(object),
            View::Metadata(meta) => Cow::Owned(metadata(object, meta)),
            View::Table(include, meta) => Cow::Owned(json!({
                "kind": "Table", "apiVersion": meta.api_version(),
                "metadata": {"resourceVersion": meta::text(object, "resourceVersion")},
                "columnDefinitions": table::columns(kind),
                "rows": [table::row(kind, object, include, meta, table::now())],
            })),
        }
    }
}

/// An object's metadata, as an object.
pub fn metadata(object: &Value, meta: Meta) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": meta.api_version(), "metadata": object["metadata"]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits() {
        let kinds = gantry_api::kinds::builtin();
        let check =
            |wanted: Wanted, kind: &str, of_list: bool, include: &str, expected: Result<View, &str>| {
                let kind = kinds.iter().find(|k| k.kind == kind).unwrap();
                let found = wanted.view(kind, of_list, include).map_err(|s| s.message);
                assert_eq!(found, expected.map_err(String::from), "{wanted:?}");
            };
        check(
            Wanted::Table(Meta::V1),
            "Pod",
            true,
            "",
            Ok(View::Table(Include::Metadata, Meta::V1)),
        );
        check(
            Wanted::Table(Meta::V1),
            "Pod",
            true,
            "Some",
            Err(
                "Unable to convert to Table as requested: includeObject: Invalid value: \"Some\": must be 'Metadata', \
                 'Object', 'None', or empty",
            ),
        );
        check(
            Wanted::MetadataList(Meta::V1),
            "ConfigMap",
            false,
            "",
            Err(
                "you requested PartialObjectMetadataList, but the requested object is not a list (*core.ConfigMap)",
            ),
        );
        check(
            Wanted::Metadata(Meta::V1beta1),
            "Ingress",
            true,
            "",
            Err(
                "you requested PartialObjectMetadata, but the requested object is a list (*networking.IngressList)",
            ),
        );
    }
}
