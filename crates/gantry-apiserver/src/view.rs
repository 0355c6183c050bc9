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
    /// The look that an Accept header asks for first, of those there are; none if it asks for others alone. Reviews
    /// have no tables.
    pub fn of(accept: &str, tables: bool) -> Option<Wanted> {
        let mut refused = false;
        for part in accept.split(',') {
            let parameter = |name: &str| {
                let mut all = part.split(';').skip(1).map(str::trim);
                all.find_map(|p| p.strip_prefix(name)?.strip_prefix('='))
            };
            let meta = match (parameter("g"), parameter("v")) {
                (Some("meta.k8s.io"), Some("v1")) => Some(Meta::V1),
                (Some("meta.k8s.io"), Some("v1beta1")) => Some(Meta::V1beta1),
                _ => None,
            };
            match (parameter("as"), meta) {
                (Some("Table"), Some(meta)) if tables => return Some(Wanted::Table(meta)),
                (Some("PartialObjectMetadata"), Some(meta)) => return Some(Wanted::Metadata(meta)),
                (Some("PartialObjectMetadataList"), Some(meta)) => return Some(Wanted::MetadataList(meta)),
                (Some(_), _) => refused = true,
                (None, _) => return Some(Wanted::Whole),
            }
        }
        (!refused).then_some(Wanted::Whole)
    }

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
    fn what_is_asked_for() {
        let check = |accept: &str, tables: bool, expected: Option<Wanted>| {
            assert_eq!(Wanted::of(accept, tables), expected, "{accept}");
        };
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        let partial = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
        check("", true, Some(Wanted::Whole));
        check("application/json", true, Some(Wanted::Whole));
        check(table, true, Some(Wanted::Table(Meta::V1)));
        check(table, false, None);
        check(&format!("{table}, application/json"), false, Some(Wanted::Whole));
        check(&format!("application/json,{table}"), true, Some(Wanted::Whole));
        check(
            &format!("{partial},application/json"),
            true,
            Some(Wanted::MetadataList(Meta::V1)),
        );
        check(
            "application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
            true,
            Some(Wanted::Table(Meta::V1beta1)),
        );
        check("application/json;as=Table;v=v9;g=meta.k8s.io", true, None);
    }

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
