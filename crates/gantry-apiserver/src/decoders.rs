//! What reads requests, each by itself and without a server: for tests that feed it with what nobody would send. Each
//! panics if what it read is wrong.

use crate::list_options::{self, ListOptions, WatchOptions};
use crate::options::Options;
use crate::request::{self, Kinds, Parsed};
use crate::{accept, body, yaml};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use gantry_api::kind::Kind;
use gantry_api::selector::{Fields, Labels};
use http::Uri;

/// Reads a body as one that is sent to a kind. What YAML says, its reader must find again in JSON, which is YAML, too.
pub fn body(content_type: &str, sent: &Bytes, kind: Option<&Kind>) {
    let Ok(read) = body::read(content_type, sent, "ConfigMap", kind) else {
        return;
    };
    if content_type.ends_with("yaml") {
        let again = yaml::read(&read.value.to_string());
        assert_eq!(
            again,
            Ok((read.value, None)),
            "{:?}",
            String::from_utf8_lossy(sent)
        );
    }
}

/// Reads an Accept header for each kind of answer.
pub fn accept(header: &str) {
    for no_protobuf in [false, true] {
        let no_tables = no_protobuf;
        accept::of_objects(
            header,
            accept::Offer {
                no_protobuf,
                no_tables,
            },
        );
    }
    accept::plain(header);
    accept::of_discovery(header);
    accept::names(header, &["application/json"]);
}

/// Reads continue tokens: one with this inside, and this itself. What is read can be written and is read alike.
pub fn continue_token(inside: &[u8]) {
    let prefix = "/registry/configmaps/default/";
    for token in [
        BASE64_URL_SAFE_NO_PAD.encode(inside),
        String::from_utf8_lossy(inside).into(),
    ] {
        let Ok((key, revision)) = list_options::read_token(&token, prefix) else {
            continue;
        };
        assert!(
            key.starts_with(prefix.as_bytes()) && key.len() > prefix.len(),
            "{token} leads out of {prefix}"
        );
        let again = list_options::write_token(&key, prefix, revision);
        let again = again.and_then(|token| list_options::read_token(&token, prefix));
        assert_eq!(again, Ok((key, revision)), "{token}");
    }
}

/// Reads the addresses of requests, for the built-in kinds.
pub struct Urls(Kinds);

impl Default for Urls {
    fn default() -> Self {
        Urls(Kinds::new(gantry_api::kinds::builtin()))
    }
}

impl Urls {
    /// Reads an address: its path, and its query as the options of every verb.
    pub fn read(&self, url: &str) {
        let Ok(uri) = url.parse::<Uri>() else { return };
        let uri = request::undeprecated(&uri).unwrap_or(uri);
        let options = Options::parse(uri.query().unwrap_or(""));
        drop(ListOptions::read(&options));
        drop(WatchOptions::read(&options));
        for kind in ["CreateOptions", "PatchOptions"] {
            drop(options.check(kind, false));
        }
        drop(Labels::parse(options.text("labelSelector")));
        let Parsed::Resource(target) = request::parse(uri.path(), &self.0) else {
            return;
        };
        drop(Fields::parse(options.text("fieldSelector"), &target.kind));
        for verb in ["get", "list", "create", "deletecollection", "patch"] {
            target.takes(verb);
        }
        assert!(uri.path().ends_with(&target.rest), "{url}");
    }
}
