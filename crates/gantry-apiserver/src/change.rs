//! Changes of objects: what updates, patches and applies have in common.

use crate::admission;
use crate::apply::{self, Tracker};
use crate::body::Sent;
use crate::call::Call;
use crate::deletion;
use crate::pipeline::{self, Decoded, keep};
use crate::registry;
use crate::respond::Body;
use crate::scale;
use crate::services;
use crate::stored;
use crate::verbs::{Api, TRIES, nameless, other_uid};
use gantry_api::kind::Subresource;
use gantry_api::status::Status;
use gantry_api::{field, meta};
use gantry_store::Entry;
use http::Response;
use serde_json::{Value, json};

/// What a change made of an object.
enum Written {
    /// It was stored.
    Stored(Entry),
    /// Nothing was stored: it is as it was, or gone, or only would be so.
    Kept(Value),
}

impl Api {
    /// Reads, changes and stores an object; again, when others wrote in between and the client named no version.
    pub async fn change(
        &self,
        call: &Call,
        make: &mut (dyn FnMut(Value) -> Result<Sent, Status> + Send),
    ) -> Result<Response<Body>, Status> {
        let kind = &call.target.kind;
        let name = call.name()?;
        let mut last = registry::modified(kind, name);
        for _ in 0..TRIES {
            let old = self.registry.get(kind, call.namespace(), name).await?;
            let is_scale = call.subresource() == Some(Subresource::Scale);
            // An applied Scale has been made one of the whole object.
            let convert = is_scale && !call.is_apply();
            let Sent {
                value: mut wanted,
                strict,
                json,
            } = make(if convert {
                scale::of(kind, &old)
            } else {
                old.clone()
            })?;
            let version = meta::text(&wanted, "resourceVersion").to_string();
            let old_version = meta::text(&old, "resourceVersion");
            let unconditional = matches!(version.as_str(), "" | "0");
            if unconditional && !is_scale && kind.hooks.needs_version() {
                let why =
                    field::Error::invalid("metadata.resourceVersion", 0, "must be specified for an update");
                return Err(Status::invalid(&kind.group, &kind.plural, name, &[why]));
            }
            if !unconditional && version != old_version {
                if version.parse::<u64>().is_err() {
                    let why = format!("strconv.ParseUint: parsing {version:?}: invalid syntax");
                    return Err(Status::new(500, "", why));
                }
                return Err(registry::modified(kind, name));
            }
            if call.verb == "patch" && !is_scale && meta::name(&wanted).is_empty() {
                return Err(nameless(name));
            }
            if call.verb == "patch"
                && !is_scale
                && kind.custom.is_some()
                && let Some(version) = wanted["apiVersion"].as_str().filter(|v| *v != kind.api_version())
            {
                let detail = format!("must be {}", kind.api_version());
                let why = field::Error::invalid("apiVersion", version, detail);
                return Err(Status::invalid(&kind.group, &kind.kind, name, &[why]));
            }
            if convert {
                scale::check(kind, &mut wanted, call.options.field_validation(), &call.warnings)?;
                let mut scaled = old.clone();
                let uid = meta::text(&wanted, "uid");
                if !uid.is_empty() {
                    scaled["metadata"]["uid"] = uid.into();
                }
                let replicas = wanted["spec"].get("replicas").cloned().unwrap_or(json!(0));
                *scale::place(&mut scaled, kind.hooks.scale().spec_replicas) = replicas;
                wanted = scaled;
            }
            let sent = Sent {
                value: wanted,
                strict,
                json,
            };
            let decoded = pipeline::decode(kind, sent, call.options.field_validation(), &call.warnings);
            let mut decoded = match decoded {
                Ok(decoded) => decoded,
                // What the patch makes is shown; it is made again, as only errors show it.
                Err(status) if kind.custom.is_some() && !is_scale => {
                    return Err(call.of_patch(status, &make(old)?.value.to_string()));
                }
                Err(status) => return Err(call.of_patch(status, &call.shown_patch())),
            };
            decoded.place(call.namespace(), Some(name))?;
            let uid = meta::text(decoded.object(), "uid");
            if !uid.is_empty() && uid != meta::text(&old, "uid") {
                return Err(match call.verb {
                    "update" => other_uid(call, name, uid, meta::text(&old, "uid")),
                    _ => {
                        let why = field::Error::invalid("metadata.uid", uid, "field is immutable");
                        Status::invalid(&kind.group, &kind.kind, name, &[why.clone(), why])
                    }
                });
            }
            decoded.metadata()["resourceVersion"] = old_version.into();
            let stored = self.store_change(call, decoded, &old).await;
            match stored {
                // A patch made anew fits what others wrote; an update that names the old version fails above.
                Err(status) if status.reason == "Conflict" => last = status,
                Err(status) => return Err(status),
                Ok(written) if is_scale => {
                    let object = match written {
                        Written::Stored(entry) => stored::decode_as(kind, &entry)?,
                        Written::Kept(object) => object,
                    };
                    let scale = scale::of(kind, &object);
                    return Ok(call.respond(200, &scale::seen(kind, scale, call.view(false)?)));
                }
                Ok(Written::Stored(entry)) => return call.answer_stored(200, &entry),
                Ok(Written::Kept(object)) => return call.answer(200, &object),
            }
        }
        Err(last)
    }

    async fn store_change(&self, call: &Call, mut decoded: Decoded, old: &Value) -> Result<Written, Status> {
        let kind = &call.target.kind;
        decoded.default(kind);
        if !call.is_apply() {
            Tracker::of(call).track(&mut decoded, Some(old));
        }
        let part: fn(&mut Value, &Value) = match call.subresource() {
            Some(Subresource::Status) if kind.status_alone => status_alone,
            Some(Subresource::Status) => only_status,
            Some(Subresource::Finalize) => only_finalizers,
            Some(_) => |_, _| {},
            None if kind.has(Subresource::Status) => |object, old| keep(object, old, "status"),
            None => |_, _| {},
        };
        let policy = self.admission(call, Some(old));
        let (admitted, reservation) = decoded
            .admit_update(kind, old, call.subresource(), part, Some(&policy))
            .await?;
        let validated = admitted.validate_update(kind, old, call.subresource(), &call.warnings)?;
        admission::validate(&policy, validated.object()).await?;
        self.guard(call, "update", Some(validated.object()), Some(old))
            .await?;
        if call.subresource().is_none() {
            call.warnings
                .extend(kind.hooks.warnings(validated.object(), Some(old)));
        }
        if apply::only_times_differ(validated.object(), old) {
            return Ok(Written::Kept(old.clone()));
        }
        if call.options.dry_run() || validated.object() == old {
            return Ok(Written::Kept(validated.into_object()));
        }
        let revision = registry::revision_of(old);
        if meta::is_deleting(old) && deletion::is_free(validated.object()) {
            self.remove(kind, validated.object(), revision).await?;
            return Ok(Written::Kept(validated.into_object()));
        }
        let name = meta::name(validated.object()).to_owned();
        let write = self.registry.update(kind, validated, revision);
        let entry = services::settle(reservation, write).await?;
        self.settled(call, &name, entry.mod_revision).await;
        Ok(Written::Stored(entry))
    }
}

/// A status write may also label, annotate and finalize, as upstream's may; it does not change owners.
fn only_status(object: &mut Value, old: &Value) {
    let (Some(map), Some(old_map)) = (object.as_object_mut(), old.as_object()) else {
        return;
    };
    let written = |key: &str| matches!(key, "status" | "metadata");
    map.retain(|key, _| written(key));
    let kept = old_map.iter().filter(|(key, _)| !written(key));
    map.extend(kept.map(|(key, v)| (key.clone(), v.clone())));
    keep(&mut object["metadata"], &old["metadata"], "ownerReferences");
}

/// A status write of a kind that takes no metadata with it.
fn status_alone(object: &mut Value, old: &Value) {
    only_status(object, old);
    for field in ["annotations", "finalizers", "labels"] {
        keep(&mut object["metadata"], &old["metadata"], field);
    }
}

fn only_finalizers(object: &mut Value, old: &Value) {
    let finalizers = object["spec"].get("finalizers").cloned().unwrap_or(json!([]));
    *object = old.clone();
    object["spec"]["finalizers"] = finalizers;
}
