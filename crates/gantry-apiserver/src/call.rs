//! One request as the verbs take it.

use crate::apply;
use crate::body::{self, Sent};
use crate::negotiate::Format;
use crate::options::Options;
use crate::request::Target;
use crate::respond::{self, Body};
use crate::stored::{self, Head};
use crate::view::{View, Wanted};
use crate::warnings::Warnings;
use crate::watch::Handover;
use gantry_api::json::printed;
use gantry_api::kind::Subresource;
use gantry_api::status::Status;
use gantry_api::{field, patch};
use gantry_auth::User;
use gantry_store::Entry;
use http::Response;
use serde_json::Value;
use std::sync::Arc;

/// One request, read whole.
pub struct Call {
    /// Who asks.
    pub user: Arc<User>,
    /// What for.
    pub verb: &'static str,
    /// What it is about.
    pub target: Target,
    /// Its query.
    pub options: Options,
    /// What its answer should be in.
    pub format: Format,
    /// How its answer should look.
    pub wanted: Wanted,
    /// Its Content-Type header.
    pub content_type: String,
    /// Its User-Agent header.
    pub user_agent: String,
    /// Why an apply may not make the object, if it may not.
    pub create_denied: Option<Status>,
    /// Its body.
    pub body: bytes::Bytes,
    /// What its client is told beside the answer.
    pub warnings: Arc<Warnings>,
    /// Where a watch is left if its client shares the process.
    pub handover: Option<Handover>,
}

const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// Patches and deletes read bodies of these types.
const PATCH_TYPES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    STRATEGIC,
    apply::MEDIA_TYPE,
];

/// Patches of custom resources are of these types.
pub const CUSTOM_PATCH_TYPES: [&str; 3] = [PATCH_TYPES[0], PATCH_TYPES[1], apply::MEDIA_TYPE];

impl Call {
    /// The path's namespace.
    pub fn namespace(&self) -> Option<&str> {
        self.target.namespace.as_deref()
    }

    /// The path's name.
    pub fn name(&self) -> Result<&str, Status> {
        self.target.name.as_deref().ok_or_else(Status::no_such_path)
    }

    /// The body as a tree.
    pub fn object(&self) -> Result<Sent, Status> {
        let kind = &self.target.kind;
        match self.subresource() {
            None => body::read(&self.content_type, &self.body, &kind.kind, Some(kind)),
            Some(part) => body::read(&self.content_type, &self.body, &part.body(kind).kind, None),
        }
    }

    /// An answer in the client's format.
    pub fn respond(&self, code: u16, object: &Value) -> Response<Body> {
        self.format.respond(code, object)
    }

    /// How the client wants an object to look, or the objects of a list.
    pub fn view(&self, of_list: bool) -> Result<View, Status> {
        let include = self.options.text("includeObject");
        self.wanted.view(&self.target.kind, of_list, include)
    }

    /// An object as the client wants it.
    pub fn answer(&self, code: u16, object: &Value) -> Result<Response<Body>, Status> {
        let view = self.view(false)?;
        Ok(self.respond(code, &view.one(&self.target.kind, object)))
    }

    /// A stored object as the client wants it: its bytes as they are, if they are what the client wants.
    pub fn answer_stored(&self, code: u16, entry: &Entry) -> Result<Response<Body>, Status> {
        let kind = &self.target.kind;
        let mut copied = Vec::new();
        if self.format == Format::Json
            && self.wanted == Wanted::Whole
            && Head::of(kind).write(entry, &mut copied)
        {
            return Ok(respond::with_type(code, "application/json", copied));
        }
        self.answer(code, &stored::decode_as(kind, entry)?)
    }

    /// The media type without its parameters.
    pub fn media_type(&self) -> &str {
        self.content_type.split(';').next().unwrap_or("").trim()
    }

    /// Refuses patches of a type that the kind does not take.
    pub fn check_patch_type(&self) -> Result<(), Status> {
        let custom = self.target.kind.custom.is_some() && self.subresource() != Some(Subresource::Scale);
        match self.media_type() {
            type_ if CUSTOM_PATCH_TYPES.contains(&type_) => Ok(()),
            _ if custom => Err(Status::unsupported_media_type(&CUSTOM_PATCH_TYPES)),
            type_ if PATCH_TYPES.contains(&type_) => Ok(()),
            _ => Err(Status::no_such_patch_type()),
        }
    }

    /// The patch as errors show it.
    pub fn shown_patch(&self) -> String {
        match patch::read_strategic(&self.body) {
            Ok(read) if self.media_type() == PATCH_TYPES[2] => printed(&read.value),
            _ => String::from_utf8_lossy(&self.body).into_owned(),
        }
    }

    /// A patch that makes an object no one can read is invalid; the request itself was read. `shown` is what the error
    /// shows.
    pub fn of_patch(&self, status: Status, shown: &str) -> Status {
        let kind = &self.target.kind.kind;
        let marker = format!("cannot be handled as a {kind}: ");
        match status.message.split_once(&marker) {
            Some((_, why)) if self.media_type() == STRATEGIC => {
                let why = restored(why).unwrap_or_else(|| why.to_owned());
                Status::invalid("", "", "", &[field::Error::invalid("patch", shown, why)])
            }
            Some((_, why)) if PATCH_TYPES[..3].contains(&self.media_type()) => {
                Status::invalid("", "", "", &[field::Error::invalid("patch", shown, why)])
            }
            _ => status,
        }
    }

    /// Whether this is a server-side apply.
    pub fn is_apply(&self) -> bool {
        self.media_type() == apply::MEDIA_TYPE
    }

    /// The subresource it is about.
    pub fn subresource(&self) -> Option<Subresource> {
        let name = self.target.subresource.as_deref()?;
        self.target
            .kind
            .subresources
            .iter()
            .copied()
            .find(|s| s.name() == name)
    }
}

/// What upstream says of a value of a wrong type after a strategic merge patch: it reads what comes of it not as JSON.
fn restored(why: &str) -> Option<String> {
    if why.starts_with("illegal base64 data") {
        return Some(format!("error decoding from json: {why}"));
    }
    let (given, of) = why
        .strip_prefix("json: cannot unmarshal ")?
        .split_once(" into Go ")?;
    let (_, wanted) = of.rsplit_once(" of type ")?;
    let kind = match given {
        "string" => "string",
        "bool" => "bool",
        "array" => "slice",
        "object" => "map",
        number if number.trim_start_matches("number ").contains(['.', 'E']) => "float64",
        _ => "int64",
    };
    Some(match (wanted, kind) {
        (wanted, kind) if wanted.starts_with("map[") => format!("cannot restore map from {kind}"),
        (wanted, kind) if wanted.starts_with("[]") => format!("cannot restore slice from {kind}"),
        ("string", "int64") | ("int32" | "int64", "float64") => format!("cannot convert {kind} to {wanted}"),
        // Whole numbers are cut to what there is room for, which is an error here.
        ("int32" | "int64", "int64") => return None,
        ("string" | "bool" | "int32" | "int64", _) => format!("unrecognized type: {wanted}"),
        (_, "map") => return None,
        (_, kind) => format!("cannot restore struct from: {kind}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_types_in_a_strategic_merge_patch() {
        let check = |given: &str, wanted: &str, expected: Option<&str>| {
            let why = format!("json: cannot unmarshal {given} into Go struct field A.b of type {wanted}");
            assert_eq!(restored(&why).as_deref(), expected, "{why}");
        };
        check(
            "string",
            "map[string]string",
            Some("cannot restore map from string"),
        );
        check("object", "[]v1.Container", Some("cannot restore slice from map"));
        check("array", "v1.PodSpec", Some("cannot restore struct from: slice"));
        check("number", "v1.PodSpec", Some("cannot restore struct from: int64"));
        check("number", "string", Some("cannot convert int64 to string"));
        check("number 1.5", "int32", Some("cannot convert float64 to int32"));
        check("string", "int32", Some("unrecognized type: int32"));
        check("number", "bool", Some("unrecognized type: bool"));
        check("number 99999999999", "int32", None);
        let base64 = "illegal base64 data at input byte 0";
        assert_eq!(
            restored(base64),
            Some(format!("error decoding from json: {base64}"))
        );
        assert_eq!(restored("something else"), None);
    }
}
