//! The options of lists and watches that depend on each other, and continue tokens.
//!
//! Source: k8s.io/apimachinery/pkg/apis/meta/internalversion/validation, k8s.io/apiserver/pkg/storage/continue.go.

use crate::options::Options;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, URL_SAFE_NO_PAD};
use base64::{DecodeError, Engine};
use gantry_api::field::Error;
use gantry_api::json;
use gantry_api::status::Status;
use gantry_store::Revision;
use serde::{Deserialize, Serialize};

/// How a list's resourceVersion is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// What stands now is not older than this; 0 and nothing are any version.
    NotOlderThan(Revision),
    /// What stood then.
    Exact(Revision),
}

/// What a list asks for, besides its selectors.
#[derive(Debug, PartialEq, Eq)]
pub struct ListOptions {
    /// Which version.
    pub version: Match,
    /// At most so many objects; 0 is all.
    pub limit: usize,
}

/// What a watch asks for, besides its selectors.
#[derive(Debug, PartialEq, Eq)]
pub struct WatchOptions {
    /// The resourceVersion; `None` if none was given.
    pub version: Option<Revision>,
    /// Send what exists first.
    pub initial: bool,
    /// Send bookmarks.
    pub bookmarks: bool,
}

/// The resourceVersion a request names, if any.
pub fn version(options: &Options) -> Result<Option<Revision>, Status> {
    let text = options.text("resourceVersion");
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        let why = format!("strconv.ParseUint: parsing {text:?}: invalid syntax");
        let error = Error::invalid("resourceVersion", text, why);
        Status::bad_request(format!("invalid resource version: {error}"))
    })
}

/// The refusal of a version as upstream tells it to all but lists.
pub fn without_reason(status: Status) -> Status {
    Status::new(
        500,
        "",
        status.message.trim_start_matches("invalid resource version: "),
    )
}

fn invalid(errors: Vec<Error>) -> Result<(), Status> {
    match errors.is_empty() {
        true => Ok(()),
        false => Err(Status::invalid("meta.k8s.io", "ListOptions", "", &errors)),
    }
}

const MATCH: &str = "resourceVersionMatch";

impl ListOptions {
    /// Reads and checks a list's options.
    pub fn read(options: &Options) -> Result<Self, Status> {
        let (wanted, version_text) = (options.text(MATCH), options.text("resourceVersion"));
        let continues = !options.text("continue").is_empty();
        let mut errors = Vec::new();
        if !wanted.is_empty() {
            let mut forbid = |wrong: bool, why: &str| {
                if wrong {
                    errors.push(Error::forbidden(MATCH, why));
                }
            };
            forbid(
                version_text.is_empty(),
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            );
            forbid(
                continues,
                "resourceVersionMatch is forbidden when continue is provided",
            );
            if !matches!(wanted, "Exact" | "NotOlderThan") {
                errors.push(Error::not_supported(
                    MATCH,
                    wanted,
                    &["Exact", "NotOlderThan", ""],
                ));
            }
            if wanted == "Exact" && version_text == "0" {
                let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                errors.push(Error::forbidden(MATCH, why));
            }
        }
        if options.has("sendInitialEvents") {
            errors.push(Error::forbidden(
                "sendInitialEvents",
                "sendInitialEvents is forbidden for list",
            ));
        }
        invalid(errors)?;
        let limit = options.number("limit")?.map_or(0, |l| l.max(0) as usize);
        options.number("timeoutSeconds")?;
        let version = match (continues, version(options)?) {
            (true, Some(1..)) => {
                // A token that cannot be read is told first.
                read_token(options.text("continue"), "")?;
                return Err(Status::bad_request(
                    "specifying resource version is not allowed when using continue",
                ));
            }
            (false, Some(revision)) if wanted == "Exact" => Match::Exact(revision),
            // As it was meant before resourceVersionMatch was there to say so.
            (false, Some(revision @ 1..)) if wanted.is_empty() && limit > 0 => Match::Exact(revision),
            (_, version) => Match::NotOlderThan(version.unwrap_or(0)),
        };
        Ok(ListOptions { version, limit })
    }
}

impl WatchOptions {
    /// Reads and checks a watch's options.
    pub fn read(options: &Options) -> Result<Self, Status> {
        let wanted = options.text(MATCH);
        let asked = options.has("sendInitialEvents");
        let mut errors = Vec::new();
        if asked && wanted != "NotOlderThan" {
            let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            errors.push(Error::forbidden(MATCH, why));
        }
        if !wanted.is_empty() {
            if !asked {
                let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
                errors.push(Error::forbidden(MATCH, why));
            }
            if wanted != "NotOlderThan" {
                errors.push(Error::not_supported(MATCH, wanted, &["NotOlderThan"]));
            }
        }
        if !options.text("continue").is_empty() {
            let why = "resourceVersionMatch is forbidden when continue is provided";
            errors.push(Error::forbidden(MATCH, why));
        }
        invalid(errors)?;
        options.number("limit")?;
        let version = version(options).map_err(without_reason)?;
        let initial = match asked {
            true => options.flag("sendInitialEvents"),
            // Without a version to go on from, a watch begins with what exists.
            false => version.is_none_or(|v| v == 0),
        };
        Ok(WatchOptions {
            version,
            initial,
            bookmarks: options.flag("allowWatchBookmarks"),
        })
    }
}

/// Where a list goes on: upstream's own form, for clients that look inside.
#[derive(Serialize, Deserialize)]
struct Token {
    #[serde(rename = "v", default)]
    version: String,
    /// Negative: at whatever version stands then.
    #[serde(rename = "rv", default)]
    revision: i64,
    #[serde(default)]
    start: String,
}

const TOKEN_VERSION: &str = "meta.k8s.io/v1";

/// A token to go on from `key`, at a revision or, without one, at whatever stands then.
pub fn write_token(key: &[u8], prefix: &str, revision: Option<Revision>) -> Result<String, Status> {
    let token = Token {
        version: TOKEN_VERSION.into(),
        revision: revision.map_or(-1, |r| r as i64),
        start: String::from_utf8_lossy(key.get(prefix.len()..).unwrap_or_default()).into_owned(),
    };
    let json = serde_json::to_vec(&token).map_err(Status::internal)?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

/// What a token says; or the byte that upstream finds wrong.
fn decoded(token: &str) -> Result<Vec<u8>, usize> {
    const LENIENT: GeneralPurpose =
        GeneralPurpose::new(&URL_SAFE, NO_PAD.with_decode_allow_trailing_bits(true));
    LENIENT.decode(token).map_err(|error| match error {
        DecodeError::InvalidByte(at, _) => at,
        _ => token.find('=').unwrap_or(token.len().saturating_sub(1)),
    })
}

/// The key a token goes on from, and its revision unless any will do.
pub fn read_token(token: &str, prefix: &str) -> Result<(Vec<u8>, Option<Revision>), Status> {
    let bad =
        |why: &str| Status::bad_request(format!("invalid continue token: continue key is not valid{why}"));
    let json = decoded(token).map_err(|at| bad(&format!(": illegal base64 data at input byte {at}")))?;
    json::read(&json).map_err(|why| bad(&format!(": {why}")))?;
    let token: Token = serde_json::from_slice(&json).map_err(|e| bad(&format!(": {e}")))?;
    if token.version != TOKEN_VERSION {
        return Err(bad(&format!(
            ": server does not recognize this encoded version {}",
            token.version
        )));
    }
    if token.revision == 0 {
        return Err(bad(
            ": incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
        ));
    }
    if token.start.is_empty() {
        return Err(bad(": encoded start key empty (version meta.k8s.io/v1)"));
    }
    // No way out of the prefix.
    let start = token.start.strip_prefix('/').unwrap_or(&token.start);
    if start.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(bad(&format!(": {}", token.start)));
    }
    let key = [prefix.as_bytes(), start.as_bytes()].concat();
    Ok((key, u64::try_from(token.revision).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let check = |query: &str, expected: Result<(Match, usize), &str>| {
            let found = ListOptions::read(&Options::parse(query));
            match (found, expected) {
                (Ok(found), Ok((version, limit))) => {
                    assert_eq!(found, ListOptions { version, limit }, "{query}");
                }
                (Err(status), Err(part)) => assert!(status.message.contains(part), "{query}: {status}"),
                (found, _) => panic!("{query}: {found:?}"),
            }
        };
        check("", Ok((Match::NotOlderThan(0), 0)));
        check("resourceVersion=0&limit=5", Ok((Match::NotOlderThan(0), 5)));
        check("resourceVersion=7", Ok((Match::NotOlderThan(7), 0)));
        check("resourceVersion=7&limit=5", Ok((Match::Exact(7), 5)));
        let not_older = "resourceVersion=7&limit=5&resourceVersionMatch=NotOlderThan";
        check(not_older, Ok((Match::NotOlderThan(7), 5)));
        check(
            "resourceVersion=7&resourceVersionMatch=Exact",
            Ok((Match::Exact(7), 0)),
        );
        check(
            "resourceVersionMatch=Exact",
            Err(
                "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is \
                 forbidden unless resourceVersion is provided",
            ),
        );
        check(
            "resourceVersion=0&resourceVersionMatch=Exact",
            Err("\"exact\" is forbidden"),
        );
        check(
            "resourceVersion=1&resourceVersionMatch=Some",
            Err("Unsupported value: \"Some\""),
        );
        check(
            "sendInitialEvents=true",
            Err("sendInitialEvents is forbidden for list"),
        );
        check("resourceVersion=x", Err("invalid resource version"));
        let token = write_token(b"/registry/pods/a\0", "/registry/pods/", Some(7)).unwrap();
        check(
            &format!("resourceVersion=7&continue={token}"),
            Err("specifying resource version is not allowed when using continue"),
        );
        check(
            "resourceVersion=7&continue=x",
            Err("continue key is not valid: illegal base64 data at input byte 0"),
        );
    }

    #[test]
    fn watches() {
        let check = |query: &str, expected: Result<(Option<u64>, bool), &str>| {
            let found = WatchOptions::read(&Options::parse(query));
            match (found, expected) {
                (Ok(found), Ok((version, initial))) => {
                    assert_eq!((found.version, found.initial), (version, initial), "{query}");
                }
                (Err(status), Err(part)) => assert!(status.message.contains(part), "{query}: {status}"),
                (found, _) => panic!("{query}: {found:?}"),
            }
        };
        check("", Ok((None, true)));
        check("resourceVersion=0", Ok((Some(0), true)));
        check("resourceVersion=7", Ok((Some(7), false)));
        let not_older = "&resourceVersionMatch=NotOlderThan";
        check(&format!("sendInitialEvents=true{not_older}"), Ok((None, true)));
        check(
            &format!("sendInitialEvents=true&resourceVersion=7{not_older}"),
            Ok((Some(7), true)),
        );
        check(&format!("sendInitialEvents=false{not_older}"), Ok((None, false)));
        check(
            "sendInitialEvents=true",
            Err("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"),
        );
        check(
            "resourceVersion=7&resourceVersionMatch=NotOlderThan",
            Err("forbidden for watch unless sendInitialEvents is provided"),
        );
    }

    #[test]
    fn tokens() {
        let key = b"/registry/pods/ns/a\0";
        let token = write_token(key, "/registry/pods/", Some(7)).unwrap();
        let check = |token: &str, expected: Result<(&[u8], Option<u64>), &str>| match (
            read_token(token, "/registry/pods/"),
            expected,
        ) {
            (Ok((key, revision)), Ok(expected)) => assert_eq!((&key[..], revision), expected),
            (Err(status), Err(part)) => assert!(status.message.contains(part), "{token}: {status}"),
            (found, _) => panic!("{token}: {found:?}"),
        };
        check(&token, Ok((key, Some(7))));
        let any = write_token(key, "/registry/pods/", None).unwrap();
        check(&any, Ok((key, None)));
        check(
            "a!",
            Err("continue key is not valid: illegal base64 data at input byte 1"),
        );
        check("abcde", Err("illegal base64 data at input byte 4"));
        check("YQ==", Err("illegal base64 data at input byte 2"));
        check(
            "YWJj",
            Err("continue key is not valid: invalid character 'a' looking for beginning of value"),
        );
        let made = |json: &str| URL_SAFE_NO_PAD.encode(json);
        check(&made("{}"), Err("does not recognize"));
        check(
            &made(r#"{"v":"meta.k8s.io/v1","rv":0,"start":"a"}"#),
            Err("incorrect encoded start"),
        );
        check(&made(r#"{"v":"meta.k8s.io/v1","rv":1}"#), Err("start key empty"));
        check(
            &made(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"../secrets/a"}"#),
            Err("not valid: ../secrets/a"),
        );
    }
}
