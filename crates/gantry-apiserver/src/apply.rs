//! Server-side apply, and who is noted as the owner of what a write changes.

use crate::body::YAML_ERRORS;
use crate::call::Call;
use crate::options::FieldValidation;
use crate::pipeline::Decoded;
use crate::respond::Body;
use crate::verbs::{Api, TRIES, nameless, rfc3339};
use crate::{scale, yaml};
use gantry_api::apply::{Reset, Writer};
use gantry_api::json::{settle_numbers, type_name};
use gantry_api::kind::Subresource;
use gantry_api::meta;
use gantry_api::status::Status;
use http::Response;
use serde_json::Value;
use time::OffsetDateTime;

/// The media type of an apply.
pub const MEDIA_TYPE: &str = "application/apply-patch+yaml";

/// A manager's name is cut at this length.
const NAME_LIMIT: usize = 128;

/// What a write of the status may write.
const STATUS_PATHS: &[&[&str]] = &[
    &["status"],
    &["metadata", "labels"],
    &["metadata", "annotations"],
    &["metadata", "finalizers"],
];

/// Who makes one write, and through which door.
pub struct Tracker<'a> {
    call: &'a Call,
    api_version: String,
    manager: String,
    now: String,
}

impl<'a> Tracker<'a> {
    /// Reads the manager's name: `fieldManager`, or else the first word of the client's User-Agent.
    pub fn of(call: &'a Call) -> Self {
        let name = call.options.text("fieldManager");
        Tracker {
            call,
            api_version: call.target.kind.api_version(),
            manager: match name {
                "" => of_user_agent(&call.user_agent),
                name => name.to_string(),
            },
            now: rfc3339(OffsetDateTime::now_utc()),
        }
    }

    /// The write as field management sees it.
    pub fn writer(&self) -> Writer<'_> {
        let kind = &self.call.target.kind;
        Writer {
            schema: kind.schema(),
            api_version: &self.api_version,
            kind: &kind.kind,
            subresource: self.call.target.subresource.as_deref().unwrap_or(""),
            manager: &self.manager,
            now: &self.now,
            others: kind.custom.as_ref().map_or(&[], |custom| &custom.versions),
            reset: match self.call.subresource() {
                Some(Subresource::Status) if kind.status_alone || kind.custom.is_some() => {
                    Reset::AllBut(&[&["status"]])
                }
                Some(Subresource::Status) => Reset::AllBut(STATUS_PATHS),
                Some(Subresource::Finalize) => Reset::AllBut(&[&["spec", "finalizers"]]),
                Some(Subresource::Scale) => Reset::AllButAt(kind.hooks.scale().spec_replicas),
                None if kind.has(Subresource::Status) => Reset::Status,
                _ => Reset::Nothing,
            },
        }
    }

    /// Notes who owns what in a defaulted new object; what is to go beside the object as JSON is returned.
    pub fn track_new(&self, decoded: &mut Decoded) -> Option<String> {
        let owners = self.writer().created(decoded.object());
        if owners.is_none() {
            self.track(decoded, None);
        }
        owners
    }

    /// Notes who owns what in a defaulted object that is to replace `old`.
    pub fn track(&self, decoded: &mut Decoded, old: Option<&Value>) {
        let list = self.writer().update(old, decoded.object());
        if let Some(metadata) = decoded.metadata().as_object_mut() {
            match list {
                Some(list) => metadata.insert("managedFields".into(), list),
                None => metadata.remove("managedFields"),
            };
        }
    }
}

fn of_user_agent(agent: &str) -> String {
    let mut name = String::new();
    for c in agent
        .split('/')
        .next()
        .unwrap_or("")
        .chars()
        .filter(|c| gantry_api::field::is_print(*c))
    {
        if name.len() + c.len_utf8() > NAME_LIMIT {
            break;
        }
        name.push(c);
    }
    name
}

/// Whether a write changes nothing but the times in `managedFields`; such a write is not worth a revision.
pub fn only_times_differ(new: &Value, old: &Value) -> bool {
    let (Some(a), Some(b)) = (
        new["metadata"]["managedFields"].as_array(),
        old["metadata"]["managedFields"].as_array(),
    ) else {
        return false;
    };
    a.len() == b.len()
        && a.iter().zip(b).all(|(a, b)| same_but(a, b, "time"))
        && same_but(&new["metadata"], &old["metadata"], "managedFields")
        && same_but(new, old, "metadata")
}

/// Whether two objects have the same fields and, but for one of them, the same values. A field to ignore may be absent.
fn same_but(a: &Value, b: &Value, ignored: &str) -> bool {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else {
        return false;
    };
    let fields = |map: &serde_json::Map<String, Value>| map.len() - usize::from(map.contains_key(ignored));
    fields(a) == fields(b) && a.iter().all(|(k, v)| k == ignored || b.get(k) == Some(v))
}

impl Api {
    /// Server-side apply: changes the object, or makes it.
    pub async fn apply(&self, call: &Call) -> Result<Response<Body>, Status> {
        let tracker = Tracker::of(call);
        let force = call.options.flag("force");
        let (mut patch, twice) = parse(&call.body)?;
        let is_scale = call.subresource() == Some(Subresource::Scale);
        if is_scale {
            patch = scale::applied(&call.target.kind, &patch)?;
        }
        let mut last = None;
        for _ in 0..TRIES {
            let changed = self
                .change(call, &mut |live| {
                    let applied = tracker.writer().apply(Some(&live), &patch, force)?;
                    tell(twice.as_deref(), call)?;
                    Ok(applied.into())
                })
                .await;
            match changed {
                Err(status) if status.code == 404 && call.target.subresource.is_none() => {}
                other => return other,
            }
            match self.apply_new(call, &tracker, &patch, twice.as_deref()).await {
                // Someone made it in between: it is there to be changed now.
                Err(status) if status.reason == "AlreadyExists" => last = Some(status),
                other => return other,
            }
        }
        Err(last.unwrap_or_else(|| Status::internal("apply was tried too often")))
    }

    async fn apply_new(
        &self,
        call: &Call,
        tracker: &Tracker<'_>,
        patch: &Value,
        twice: Option<&str>,
    ) -> Result<Response<Body>, Status> {
        if let Some(denied) = &call.create_denied {
            return Err(denied.clone());
        }
        let kind = &call.target.kind;
        let object = tracker.writer().apply(None, patch, false)?;
        tell(twice, call)?;
        let uid = meta::text(&object, "uid");
        if !uid.is_empty() {
            let why = format!(
                "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            );
            return Err(Status::conflict(&kind.group, &kind.plural, call.name()?, &why));
        }
        if meta::name(patch).is_empty() {
            return Err(nameless(call.name()?));
        }
        self.create_object(call, object.into()).await
    }
}

/// Reads a configuration. Of a key that appears twice the last counts; what is to be said of it comes second.
fn parse(body: &[u8]) -> Result<(Value, Option<String>), Status> {
    let cannot = |why: String| Status::bad_request(format!("error decoding YAML: {why}"));
    let text = std::str::from_utf8(body).map_err(|e| cannot(e.to_string()))?;
    // Most clients send JSON, which is YAML too, and faster to read.
    let (mut object, twice) = match gantry_api::json::read(body) {
        Ok(read) if read.duplicates.is_empty() => (read.value, None),
        // The line is in upstream's words, but our YAML reader has limits that JSON does not have.
        Ok(read) => (read.value, yaml::read(text).ok().and_then(|(_, twice)| twice)),
        Err(_) => {
            yaml::read(text).map_err(|why| cannot(format!("error converting YAML to JSON: yaml: {why}")))?
        }
    };
    settle_numbers(&mut object);
    match &object {
        Value::Object(_) => {}
        Value::Null => return Err(Status::bad_request("invalid object type: /, Kind=")),
        other => {
            return Err(cannot(format!(
                "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into Go value of type \
                 map[string]interface {{}}",
                type_name(other)
            )));
        }
    }
    Ok((object, twice))
}

/// Says that a key appears twice, once nothing else is wrong: in upstream's words, where tests and people look for them.
fn tell(twice: Option<&str>, call: &Call) -> Result<(), Status> {
    let Some(twice) = twice else { return Ok(()) };
    match call.options.field_validation() {
        FieldValidation::Ignore => {}
        FieldValidation::Warn => call.warnings.add(twice),
        FieldValidation::Strict => {
            let why = format!("error converting YAML to JSON: {YAML_ERRORS}{twice}");
            return Err(Status::bad_request(format!("error strict decoding YAML: {why}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn managers_names_from_user_agents() {
        let check = |agent: &str, name: &str| assert_eq!(of_user_agent(agent), name, "{agent}");
        check("kubectl/v1.33.0 (linux/amd64) kubernetes/abc", "kubectl");
        check("curl", "curl");
        check("", "");
        check("a\u{7}b c/1", "ab c");
        check(&"é".repeat(100), &"é".repeat(64));
    }

    #[test]
    fn configurations_are_yaml() {
        let check = |text: &str, want: Result<Value, &str>| {
            let got = parse(text.as_bytes());
            match want {
                Ok(object) => assert_eq!(got.unwrap().0, object, "{text}"),
                Err(why) => {
                    let message = got.unwrap_err().message;
                    assert!(message.starts_with(why), "{message}");
                }
            }
        };
        check(
            "a: 1\nb: [x, yes, '1']\n",
            Ok(json!({"a": 1, "b": ["x", true, "1"]})),
        );
        check(r#"{"a": {"b": null}}"#, Ok(json!({"a": {"b": null}})));
        // Depth has a limit: the reader calls itself.
        let deep = |n: usize, start: &str| format!("{start}{}{}", "[".repeat(n), "]".repeat(n));
        let json = |n: usize| format!("{{{}}}", deep(n, "\"a\": "));
        check(&json(120), Ok(serde_json::from_str(&json(120)).unwrap()));
        check(&json(10_000), Err("error decoding YAML: "));
        check(&deep(50, "a: "), Ok(serde_json::from_str(&json(50)).unwrap()));
        check(&deep(10_000, "a: "), Err("error decoding YAML: "));
        check("- a", Err("error decoding YAML: "));
        check("a: [", Err("error decoding YAML: "));
        check(
            "{\n\t\"a\": [{\n\t\t\"b\": 1,\n\t}]\n}",
            Ok(json!({"a": [{"b": 1}]})),
        );
        let bomb: String = (1..30).fold("a0: &a0 [x, x]\n".into(), |text, i| {
            format!("{text}a{i}: &a{i} [*a{p}, *a{p}]\n", p = i - 1)
        });
        check(&bomb, Err("error decoding YAML: "));
        let twice = |text: &str| parse(text.as_bytes()).unwrap();
        let told = |line: usize, key: &str| Some(format!("line {line}: key {key:?} already set in map"));
        assert_eq!(twice("a: 1\na: 2"), (json!({"a": 2}), told(2, "a")));
        assert_eq!(
            twice("\na: 1\nb:\n  c: 1\n  c: 2"),
            (json!({"a": 1, "b": {"c": 2}}), told(5, "c"))
        );
        assert_eq!(twice(r#"{"a": 1, "a": 2}"#), (json!({"a": 2}), told(1, "a")));
    }

    #[test]
    fn times_alone_are_no_change() {
        let object = |data: &str, time: &str, manager: &str| json!({"metadata": {"name": "x", "managedFields": [{"manager": manager, "time": time}]}, "data": {"a": data}});
        let old = object("1", "t0", "m");
        assert!(only_times_differ(&object("1", "t1", "m"), &old));
        assert!(!only_times_differ(&object("2", "t1", "m"), &old));
        assert!(!only_times_differ(&object("1", "t1", "n"), &old));
        assert!(!only_times_differ(&json!({"metadata": {"name": "x"}}), &old));
    }
}
