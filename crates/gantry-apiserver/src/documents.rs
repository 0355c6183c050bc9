//! `/openapi/v2` and `/openapi/v3`: what is served, for clients that explain, check and generate.
//!
//! Source: k8s.io/kube-openapi/pkg/handler and handler3. Documents are made when they are asked for: they are large, asked
//! for seldom, and those of version 3 kept by clients under the hash that the index gives.

use crate::request::Kinds;
use crate::respond::{self, Body};
use gantry_api::kind::Kind;
use gantry_api::openapi;
use gantry_api::status::Status;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::json;
use sha2::{Digest, Sha256};

const JSON: &str = "application/json";
/// Documents in protobuf, by the version of OpenAPI. Its former name is no valid media type and still asked for.
const PROTOBUF: [[&str; 2]; 2] = [
    [
        "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
        "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    ],
    [
        "application/com.github.proto-openapi.spec.v3.v1.0+protobuf",
        "application/com.github.proto-openapi.spec.v3@v1.0+protobuf",
    ],
];

/// What is served, as documents.
#[derive(Default)]
pub struct Documents;

/// What upstream's index promises of a document that is asked for by its hash.
const FOREVER: &str = "public, immutable, max-age=31536000";

impl Documents {
    /// Answers a request for a document; none when the path is another.
    pub fn answer(&self, kinds: &Kinds, head: &Parts) -> Option<Result<Response<Body>, Status>> {
        let path = head.uri.path();
        match path.strip_prefix("/openapi/")? {
            "v2" => Some(Ok(v2(kinds, &head.headers))),
            "v3" => {
                let place = |(place, hash): &(String, String)| {
                    let url = format!("/openapi/v3/{place}?hash={hash}");
                    (place.clone(), json!({"serverRelativeURL": url}))
                };
                let paths: serde_json::Map<_, _> = self.index(kinds).iter().map(place).collect();
                Some(Ok(respond::json(200, &json!({"paths": paths}))))
            }
            rest => Some(self.v3(kinds, rest.strip_prefix("v3/")?, head)),
        }
    }

    /// Each document's place and the hash of its document.
    fn index<'a>(&self, kinds: &'a Kinds) -> &'a [(String, String)] {
        kinds.documents.v3.get_or_init(|| {
            let all = all(kinds);
            let places = openapi::places(&all).into_iter();
            let with_hash = places.map(|place| {
                let hash = hash(openapi::v3(&place, &all).to_string().as_bytes());
                (place, hash)
            });
            with_hash.collect()
        })
    }

    fn v3(&self, kinds: &Kinds, place: &str, head: &Parts) -> Result<Response<Body>, Status> {
        let index = self.index(kinds);
        let (_, current) = index
            .iter()
            .find(|(p, _)| p == place)
            .ok_or_else(Status::no_such_path)?;
        let Some(type_) = accepted(&head.headers, &PROTOBUF[1]) else {
            return Ok(not_acceptable());
        };
        let query = head.uri.query().unwrap_or("");
        let asked = query.split('&').find_map(|p| p.strip_prefix("hash="));
        // Whoever asks for a document that is no more is led to the one that is.
        if let Some(asked) = asked
            && asked != current
        {
            let mut answer = respond::text(StatusCode::MOVED_PERMANENTLY.as_u16(), "");
            let url = format!("/openapi/v3/{place}?hash={current}");
            set(&mut answer, header::LOCATION, &url);
            return Ok(answer);
        }
        let mut answer = match unchanged(&head.headers, current) {
            Some(answer) => answer,
            None => {
                let document = openapi::v3(place, &all(kinds));
                match type_ {
                    JSON => respond::json(200, &document),
                    _ => respond::with_type(200, type_, openapi::v3_protobuf(&document)),
                }
            }
        };
        set(&mut answer, header::VARY, "Accept");
        set(&mut answer, header::ETAG, &format!("\"{current}\""));
        if asked.is_some() {
            set(&mut answer, header::CACHE_CONTROL, FOREVER);
        }
        Ok(answer)
    }
}

fn all(kinds: &Kinds) -> Vec<&Kind> {
    kinds.iter().map(AsRef::as_ref).collect()
}

fn v2(kinds: &Kinds, headers: &HeaderMap) -> Response<Body> {
    let Some(type_) = accepted(headers, &PROTOBUF[0]) else {
        return not_acceptable();
    };
    let made = &kinds.documents.v2[usize::from(type_ != JSON)];
    let (document, hash) = made.get_or_init(|| {
        let document = openapi::v2(&all(kinds));
        let bytes = match type_ {
            JSON => document.to_string().into_bytes(),
            _ => openapi::v2_protobuf(&document),
        };
        let hash = hash(&bytes);
        (bytes.into(), hash)
    });
    let mut answer = match unchanged(headers, hash) {
        Some(answer) => answer,
        None => respond::with_type(200, type_, document.clone()),
    };
    set(&mut answer, header::ETAG, &format!("\"{hash}\""));
    answer
}

/// The first type of an Accept header that a document comes in: JSON, or protobuf under one of its names.
fn accepted(headers: &HeaderMap, protobuf: &[&'static str; 2]) -> Option<&'static str> {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok());
    let types = accept
        .unwrap_or("*/*")
        .split(',')
        .map(|t| t.split(';').next().unwrap_or("").trim());
    let known = |type_| match type_ {
        "" | "*/*" | "application/*" | JSON => Some(JSON),
        other if protobuf.contains(&other) => Some(protobuf[0]),
        _ => None,
    };
    types.into_iter().find_map(known)
}

/// Upstream has no words for this here.
fn not_acceptable() -> Response<Body> {
    let mut answer = respond::text(StatusCode::NOT_ACCEPTABLE.as_u16(), "");
    answer.headers_mut().remove(header::CONTENT_TYPE);
    answer
}

/// The answer to a client that has the document already.
fn unchanged(headers: &HeaderMap, hash: &str) -> Option<Response<Body>> {
    let known = headers.get(header::IF_NONE_MATCH)?.to_str().ok()?;
    let known = known.split(',').any(|tag| tag.trim().trim_matches('"') == hash);
    known.then(|| respond::text(StatusCode::NOT_MODIFIED.as_u16(), ""))
}

fn set(answer: &mut Response<Body>, name: header::HeaderName, value: &str) {
    // Hashes and places hold only what headers may.
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

fn hash(document: &[u8]) -> String {
    let digest = Sha256::digest(document);
    digest.iter().map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(documents: &Documents, path: &str, headers: &[(&str, &str)]) -> Option<(u16, HeaderMap)> {
        let kinds = Kinds::new(gantry_api::kinds::builtin());
        let mut request = http::Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let head = request.body(()).unwrap().into_parts().0;
        Some(match documents.answer(&kinds, &head)? {
            Ok(answer) => (answer.status().as_u16(), answer.headers().clone()),
            Err(status) => (status.code, HeaderMap::new()),
        })
    }

    #[test]
    fn documents_are_found_by_their_hash() {
        let documents = Documents;
        let check = |path: &str, headers: &[(&str, &str)], code: u16| {
            let (found, headers) = get(&documents, path, headers).unwrap();
            assert_eq!(found, code, "{path} {headers:?}");
            headers
        };
        let tag = check("/openapi/v3/apis/apps/v1", &[], 200)["etag"].clone();
        let tag = tag.to_str().unwrap().trim_matches('"').to_string();
        let path = format!("/openapi/v3/apis/apps/v1?hash={tag}");
        assert_eq!(check(&path, &[], 200)["cache-control"], FOREVER);
        let led = check("/openapi/v3/apis/apps/v1?hash=OLD", &[], 301);
        assert_eq!(led["location"], path);
        check(&path, &[("if-none-match", &format!("\"{tag}\""))], 304);
        check("/openapi/v3/apis/none/v1", &[], 404);
        check("/openapi/v3", &[], 200);
        let tag = check("/openapi/v2", &[("accept", "application/json")], 200)["etag"].clone();
        let tag = tag.to_str().unwrap();
        check("/openapi/v2", &[("if-none-match", tag)], 304);
        let both = format!("text/html, {}", PROTOBUF[0][1]);
        for accept in [PROTOBUF[0][0], PROTOBUF[0][1], &both] {
            let headers = check("/openapi/v2", &[("accept", accept)], 200);
            assert_eq!(headers["content-type"], PROTOBUF[0][0]);
            assert_ne!(headers["etag"], tag, "each form has a tag of its own");
        }
        for accept in PROTOBUF[1] {
            let headers = check("/openapi/v3/apis/apps/v1", &[("accept", accept)], 200);
            assert_eq!(headers["content-type"], PROTOBUF[1][0]);
        }
        for path in ["/openapi/v2", "/openapi/v3/apis/apps/v1"] {
            check(path, &[("accept", "text/html")], 406);
        }
        assert!(get(&documents, "/version", &[]).is_none());
    }
}
