//! delete and deletecollection: grace periods, finalizers, and what becomes of dependents.
//!
//! Source: k8s.io/apiserver/pkg/registry/rest/delete.go and pkg/registry/generic/registry/store.go.

use crate::body;
use crate::call::Call;
use crate::filter::Filter;
use crate::list::Objects;
use crate::list_options::ListOptions;
use crate::options;
use crate::pipeline::Validated;
use crate::registry;
use crate::respond::Body;
use crate::stored::decode_as;
use crate::verbs::{Api, TRIES, rfc3339};
use futures::future::try_join_all;
use gantry_api::field;
use gantry_api::kind::Kind;
use gantry_api::meta;
use gantry_api::schema;
use gantry_api::status::Status;
use http::Response;
use serde_json::{Value, json};
use time::OffsetDateTime;

/// Holds an object until its dependents no longer name it as an owner.
const ORPHAN: &str = "orphan";
/// A collection's objects deleted at the same time, so that they share commits.
const AT_ONCE: usize = 64;
/// Holds an object until its dependents are gone.
const FOREGROUND: &str = "foregroundDeletion";

/// `DeleteOptions`, of the body and the query.
#[derive(Clone)]
pub struct Options {
    grace: Option<i64>,
    /// The UID the object must have; empty when it may be any.
    pub uid: String,
    /// The version the object must have; empty when it may be any.
    pub revision: String,
    propagation: Propagation,
    /// Whether a deletion that is not yet done is told by its code, as clients of old `orphanDependents` expect.
    accepted: bool,
    /// Whether nothing is to change.
    pub dry_run: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Propagation {
    Unsaid,
    Background,
    Foreground,
    Orphan,
}

impl Options {
    fn read(call: &Call) -> Result<Self, Status> {
        match call.body.is_empty() {
            true => Options::of(&asked(call)?),
            false => Options::of(&sent(call)?),
        }
    }

    /// The options in `body`.
    pub fn of(body: &Value) -> Result<Self, Status> {
        let policy = body["propagationPolicy"].as_str();
        let orphan = body["orphanDependents"].as_bool();
        let mut errors = Vec::new();
        if let (Some(policy), Some(_)) = (policy, orphan) {
            let why = "orphanDependents and deletionPropagation cannot be both set";
            errors.push(field::Error::invalid("propagationPolicy", policy, why));
        }
        let propagation = match (policy, orphan) {
            (None, None) => Propagation::Unsaid,
            (Some("Orphan"), _) | (None, Some(true)) => Propagation::Orphan,
            (Some("Background"), _) | (None, Some(false)) => Propagation::Background,
            (Some("Foreground"), _) => Propagation::Foreground,
            (Some(other), _) => {
                let supported = ["Foreground", "Background", "Orphan", "nil"];
                errors.push(field::Error::not_supported(
                    "propagationPolicy",
                    other,
                    &supported,
                ));
                Propagation::Unsaid
            }
        };
        let dry_run: Vec<String> = body["dryRun"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|v| v.as_str().unwrap_or("").to_string())
            .collect();
        options::dry_run(&mut errors, &dry_run);
        if !errors.is_empty() {
            return Err(Status::invalid("meta.k8s.io", "DeleteOptions", "", &errors));
        }
        let precondition = |name: &str| body["preconditions"][name].as_str().unwrap_or("").to_string();
        Ok(Options {
            // A negative period is the shortest there is.
            grace: body["gracePeriodSeconds"]
                .as_i64()
                .map(|g| if g < 0 { 1 } else { g }),
            uid: precondition("uid"),
            revision: precondition("resourceVersion"),
            propagation,
            accepted: orphan == Some(false),
            dry_run: !dry_run.is_empty(),
        })
    }

    fn warn(&self, call: &Call) {
        let warning = call.target.kind.hooks.deletion_warning();
        if self.propagation == Propagation::Unsaid && !warning.is_empty() {
            call.warnings.add(warning);
        }
    }

    fn check(&self, kind: &Kind, object: &Value) -> Result<(), Status> {
        for (label, demanded, field, why) in [
            ("UID", &self.uid, "uid", "deleted and then recreated"),
            ("ResourceVersion", &self.revision, "resourceVersion", "modified"),
        ] {
            let actual = meta::text(object, field);
            if !demanded.is_empty() && demanded != actual {
                let why = format!(
                    "the {label} in the precondition ({demanded}) does not match the {label} in record ({actual}). The \
                     object might have been {why}"
                );
                return Err(Status::conflict(
                    &kind.group,
                    &kind.kind,
                    meta::name(object),
                    &why,
                ));
            }
        }
        Ok(())
    }
}

/// The options that a body holds. The query does not count beside it.
fn sent(call: &Call) -> Result<Value, Status> {
    let mut body = body::read(&call.content_type, &call.body, "DeleteOptions", None)
        .map_err(body::plain)?
        .value;
    let kind = body["kind"].as_str().unwrap_or("");
    if !matches!(kind, "" | "DeleteOptions") {
        let version = match body["apiVersion"].as_str() {
            None | Some("") => "v1",
            Some(version) => version,
        };
        return Err(Status::bad_request(format!(
            "no kind {kind:?} is registered for version {version:?} in scheme \
             \"k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27\""
        )));
    }
    if let Some(message) = schema::message_for("", "v1", "DeleteOptions") {
        schema::check(message, &mut body).map_err(Status::bad_request)?;
    }
    Ok(body)
}

/// The options that a query asks for.
fn asked(call: &Call) -> Result<Value, Status> {
    let mut options = json!({});
    if let Some(seconds) = call.options.number("gracePeriodSeconds")? {
        options["gracePeriodSeconds"] = seconds.into();
    }
    if call.options.has("propagationPolicy") {
        options["propagationPolicy"] = call.options.text("propagationPolicy").into();
    }
    if call.options.has("orphanDependents") {
        options["orphanDependents"] = call.options.flag("orphanDependents").into();
    }
    options["dryRun"] = call.options.all("dryRun").into();
    Ok(options)
}

/// What is left of an object once its deletion was asked for.
pub enum Outcome {
    /// It is gone.
    Gone(Value),
    /// It goes once its grace period is over and its finalizers are done.
    Going(Value),
}

/// delete
pub async fn delete(api: &Api, call: &Call) -> Result<Response<Body>, Status> {
    let kind = &call.target.kind;
    let options = Options::read(call)?;
    options.warn(call);
    let object = api.registry.get(kind, call.namespace(), call.name()?).await?;
    match delete_object(api, call, &options, object).await? {
        Outcome::Going(object) => call.answer(if options.accepted { 202 } else { 200 }, &object),
        Outcome::Gone(object) if kind.returns_deleted => call.answer(200, &object),
        Outcome::Gone(object) => {
            let mut details =
                json!({"name": meta::name(&object), "kind": kind.plural, "uid": meta::text(&object, "uid")});
            if !kind.group.is_empty() {
                details["group"] = kind.group.as_str().into();
            }
            let done = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
            });
            Ok(call.respond(200, &done))
        }
    }
}

/// deletecollection
pub async fn delete_collection(api: &Api, call: &Call) -> Result<Response<Body>, Status> {
    let kind = &call.target.kind;
    let options = Options::read(call)?;
    ListOptions::read(&call.options)?;
    options.warn(call);
    let filter = Filter::of(call)?;
    let mut objects = Objects::matching(api.registry.store(), call, filter).await?;
    let (revision, options) = (objects.revision(), &options);
    // Each is read when its turn comes, and its stored bytes are shared, so that many take little memory.
    let mut deleted = Vec::new();
    loop {
        let mut some = Vec::new();
        while some.len() < AT_ONCE
            && let Some(entry) = objects.next().await?
        {
            some.push(entry);
        }
        if some.is_empty() {
            break;
        }
        let deleting = some.into_iter().map(async |entry| {
            let object = decode_as(kind, &entry)?;
            match delete_object(api, call, options, object).await {
                Ok(_) => Ok(Some(entry)),
                Err(status) if status.code == 404 => Ok(None),
                Err(status) => Err(status),
            }
        });
        deleted.extend(try_join_all(deleting).await?.into_iter().flatten());
    }
    objects.answer_these(call, deleted, revision).await
}

/// Deletes an object that was just read; reads it again when others write in between.
pub async fn delete_object(
    api: &Api,
    call: &Call,
    options: &Options,
    mut object: Value,
) -> Result<Outcome, Status> {
    let kind = &call.target.kind;
    let mut last = None;
    for _ in 0..TRIES {
        options.check(kind, &object)?;
        api.guard(call, "delete", None, Some(&object)).await?;
        let revision = registry::revision_of(&object);
        let namespace = meta::namespace(&object).to_string();
        let name = meta::name(&object).to_string();
        let result = match going(kind, options, object) {
            Outcome::Gone(object) if options.dry_run => return Ok(Outcome::Gone(object)),
            Outcome::Going(object) if options.dry_run => return Ok(Outcome::Going(object)),
            Outcome::Gone(object) => api
                .remove(kind, &object, revision)
                .await
                .map(|()| Outcome::Gone(object)),
            Outcome::Going(object) => {
                let object = Validated::with_metadata_of(object);
                let stored = api.registry.update_and_keep(kind, object, revision).await;
                stored.map(Outcome::Going)
            }
        };
        match result {
            Err(status) if status.reason == "Conflict" => last = Some(status),
            other => return other,
        }
        let namespace = Some(namespace.as_str()).filter(|ns| !ns.is_empty());
        object = api.registry.get(kind, namespace, &name).await?;
    }
    Err(last.unwrap_or_else(|| registry::modified(kind, meta::name(&object))))
}

/// The object as its deletion leaves it.
fn going(kind: &Kind, options: &Options, mut object: Value) -> Outcome {
    let propagation = match options.propagation {
        // What somebody said before of this object's dependents stands.
        Propagation::Unsaid if kind.hooks.orphans_by_default() && !is_held(&object) => Propagation::Orphan,
        said => said,
    };
    hold_for_dependents(propagation, &mut object);
    if !meta::is_deleting(&object) {
        kind.hooks
            .begin_deletion(&mut object, &rfc3339(OffsetDateTime::now_utc()));
    }
    // Only kinds that know a grace period are given one, and only while there is something to end.
    let grace = match kind.hooks.grace_period(&object) {
        Some(own) if own > 0 => options.grace.unwrap_or(own),
        _ => 0,
    };
    let deleting = meta::is_deleting(&object);
    if grace == 0 && free_of_finalizers(&object) {
        // Who deletes what has a grace period is shown that there was none.
        if kind.hooks.grace_period(&object).is_some() && !deleting {
            mark(&mut object, 0);
        }
        return Outcome::Gone(object);
    }
    let now = object["metadata"]["deletionGracePeriodSeconds"].as_i64();
    // A grace period may be shortened, never drawn out.
    if !deleting || now.is_some_and(|now| grace < now) {
        mark(&mut object, grace);
        if kind.kind == "Namespace" {
            object["status"]["phase"] = "Terminating".into();
            // Upstream gives namespaces a time alone.
            if let Some(metadata) = object["metadata"].as_object_mut() {
                metadata.remove("deletionGracePeriodSeconds");
            }
        }
    }
    Outcome::Going(object)
}

/// Notes when an object is to go.
fn mark(object: &mut Value, grace: i64) {
    let first = !meta::is_deleting(object);
    let at = OffsetDateTime::now_utc() + time::Duration::seconds(grace);
    let metadata = &mut object["metadata"];
    metadata["deletionTimestamp"] = rfc3339(at).into();
    metadata["deletionGracePeriodSeconds"] = grace.into();
    if let Some(generation) = metadata["generation"].as_i64().filter(|g| *g > 0 && first) {
        metadata["generation"] = (generation + 1).into();
    }
}

fn is_held(object: &Value) -> bool {
    let finalizers = object["metadata"]["finalizers"].as_array();
    finalizers.is_some_and(|all| all.iter().any(|f| f == ORPHAN || f == FOREGROUND))
}

/// Adds or removes the finalizers by which the garbage collector handles dependents.
fn hold_for_dependents(propagation: Propagation, object: &mut Value) {
    let wanted = match propagation {
        Propagation::Unsaid => return,
        Propagation::Background => None,
        Propagation::Foreground => Some(FOREGROUND),
        Propagation::Orphan => Some(ORPHAN),
    };
    let mut finalizers = object["metadata"]["finalizers"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    finalizers.retain(|f| f != ORPHAN && f != FOREGROUND);
    finalizers.extend(wanted.map(Value::from));
    match finalizers.is_empty() {
        false => object["metadata"]["finalizers"] = finalizers.into(),
        true => {
            if let Some(metadata) = object["metadata"].as_object_mut() {
                metadata.remove("finalizers");
            }
        }
    }
}

fn free_of_finalizers(object: &Value) -> bool {
    let none = |list: &Value| list.as_array().is_none_or(Vec::is_empty);
    none(&object["metadata"]["finalizers"])
        && (object["kind"] != "Namespace" || none(&object["spec"]["finalizers"]))
}

/// Whether nothing holds back a deleted object any longer.
pub fn is_free(object: &Value) -> bool {
    let grace = object["metadata"]["deletionGracePeriodSeconds"]
        .as_i64()
        .unwrap_or(0);
    free_of_finalizers(object) && grace == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(propagation: Propagation, grace: Option<i64>) -> Options {
        Options {
            grace,
            uid: String::new(),
            revision: String::new(),
            propagation,
            accepted: false,
            dry_run: false,
        }
    }

    fn kind(name: &str) -> Kind {
        gantry_api::kinds::builtin()
            .into_iter()
            .find(|k| k.kind == name)
            .unwrap()
    }

    #[test]
    fn dependents() {
        let check = |propagation, before: &[&str], after: Option<&[&str]>| {
            let object = json!({"metadata": {"name": "x", "finalizers": before}});
            match (
                going(&kind("ConfigMap"), &options(propagation, None), object),
                after,
            ) {
                (Outcome::Gone(_), None) => {}
                (Outcome::Going(object), Some(after)) => {
                    assert_eq!(
                        object["metadata"]["finalizers"],
                        json!(after),
                        "{propagation:?} {before:?}"
                    );
                }
                _ => panic!("{propagation:?} {before:?}"),
            }
        };
        check(Propagation::Unsaid, &[], None);
        check(Propagation::Orphan, &[], Some(&["orphan"]));
        check(
            Propagation::Foreground,
            &["own", "orphan"],
            Some(&["own", "foregroundDeletion"]),
        );
        check(Propagation::Background, &["foregroundDeletion"], None);
        check(Propagation::Unsaid, &["own"], Some(&["own"]));
    }

    #[test]
    fn grace() {
        let pod = |node: &str, extra: Value| {
            let mut pod = json!({
                "metadata": {"name": "p", "generation": 1},
                "spec": {"nodeName": node, "terminationGracePeriodSeconds": 30},
            });
            for (key, value) in extra.as_object().unwrap() {
                pod["metadata"][key] = value.clone();
            }
            pod
        };
        let check = |pod: Value, asked: Option<i64>, expected: Option<i64>| {
            let text = pod.to_string();
            match going(&kind("Pod"), &options(Propagation::Unsaid, asked), pod) {
                Outcome::Gone(_) => assert_eq!(expected, None, "{text}"),
                Outcome::Going(object) => {
                    assert_eq!(
                        object["metadata"]["deletionGracePeriodSeconds"].as_i64(),
                        expected,
                        "{text}"
                    );
                    assert!(meta::is_deleting(&object) && !is_free(&object));
                }
            }
        };
        let deleting = json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 10});
        check(pod("", json!({})), None, None);
        check(pod("n", json!({})), None, Some(30));
        check(pod("n", json!({})), Some(5), Some(5));
        check(pod("n", json!({})), Some(0), None);
        check(pod("n", deleting.clone()), Some(5), Some(5));
        check(pod("n", deleting), Some(20), Some(10));
    }
}
