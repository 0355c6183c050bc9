//! The verbs: one function each, for every kind.

use crate::admission;
use crate::apply::{self, Tracker};
use crate::authz::Authorizer;
use crate::body::Sent;
use crate::call::{CUSTOM_PATCH_TYPES, Call};
use crate::definitions::Definitions;
use crate::list_options;
use crate::metrics::{Admissions, Healthchecks};
use crate::pipeline;
use crate::registry::Registry;
use crate::request::Served;
use crate::respond::Body;
use crate::services::{self, Allocator};
use crate::stored;
use crate::{binding, eviction, scale};
use gantry_api::json::{Read, settle_numbers};
use gantry_api::kind::{Kind, Subresource};
use gantry_api::schema::{self, Schema};
use gantry_api::status::Status;
use gantry_api::{meta, patch};
use gantry_auth::service_account::Tokens;
use gantry_store::Revision;
use http::Response;
use rand::Rng;
use serde_json::{Value, json};
use std::sync::Arc;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What the verbs work on.
pub struct Api {
    /// The kinds served.
    pub kinds: Arc<Served>,
    /// The objects.
    pub registry: Registry,
    /// Who may do what.
    pub authorizer: Authorizer,
    /// The Services' addresses and ports.
    pub services: Arc<Allocator>,
    /// The service accounts' tokens.
    pub tokens: Arc<Tokens>,
    /// How long admission takes.
    pub admissions: Admissions,
    /// How health checks went.
    pub healthchecks: Healthchecks,
    /// The watches under way.
    pub watches: crate::watch::Watches,
    /// How far CustomResourceDefinitions have been taken in.
    pub definitions: Arc<Definitions>,
}

/// How often a write that named no resourceVersion is tried again when others write in between.
pub const TRIES: usize = 8;

/// The refusal of an object without a name.
pub fn nameless(name: &str) -> Status {
    Status::bad_request(format!(
        "the name of the object ({name} based on URL) was undeterminable: name must be provided"
    ))
}

/// The refusal of an update that means another object of the same name.
pub fn other_uid(call: &Call, name: &str, wanted: &str, found: &str) -> Status {
    let kind = &call.target.kind;
    let key = kind.key(call.namespace(), name);
    // Where custom resources are, upstream's store does not know where its own objects begin.
    let key = match kind.custom {
        Some(_) => &*key,
        None => key.strip_prefix("/registry").unwrap_or(&key),
    };
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: \
         UID in precondition: {wanted}, UID in object meta: {found}"
    );
    Status::conflict(&kind.group, &kind.plural, name, &why)
}

impl Api {
    /// get
    pub async fn get(&self, call: &Call) -> Result<Response<Body>, Status> {
        let kind = &call.target.kind;
        let entry = self.registry.entry(kind, call.namespace(), call.name()?).await?;
        let (wanted, newest) = (
            list_options::version(&call.options).map_err(list_options::without_reason)?,
            self.registry.store().revision(),
        );
        if let Some(wanted) = wanted.filter(|wanted| *wanted > newest) {
            return Err(Status::too_large_resource_version(wanted, newest));
        }
        match call.subresource() {
            Some(Subresource::Scale) => {
                let scale = scale::read(kind, &stored::decode_as(kind, &entry)?)?;
                Ok(call.respond(200, &scale::seen(kind, scale, call.view(false)?)))
            }
            _ => call.answer_stored(200, &entry),
        }
    }

    /// create
    pub async fn create(&self, call: &Call) -> Result<Response<Body>, Status> {
        match call.subresource() {
            None => {}
            Some(Subresource::Binding) => return binding::create(self, call).await,
            Some(Subresource::Eviction) => return eviction::create(self, call).await,
            Some(Subresource::Token) => return self.create_token(call).await,
            Some(_) => return Err(Status::method_not_allowed()),
        }
        let body = call.object()?;
        self.create_object(call, body).await
    }

    /// Creates an object, from a client's body or from an applied configuration.
    pub async fn create_object(&self, call: &Call, body: Sent) -> Result<Response<Body>, Status> {
        let kind = &call.target.kind;
        let tracker = Tracker::of(call);
        let validation = call.options.field_validation();
        let mut decoded = pipeline::decode(kind, body, validation, &call.warnings)?;
        decoded.place(call.namespace(), call.target.name.as_deref())?;
        // Upstream's store looks at it, which a dry run does not reach; what is no number is none.
        let version = meta::text(decoded.object(), "resourceVersion").parse::<u64>();
        if version.is_ok_and(|v| v > 0) && !call.options.dry_run() {
            let why = "resourceVersion should not be set on objects to be created";
            return Err(Status::new(500, "", why));
        }
        stamp(decoded.metadata());
        decoded.default(kind);
        let owners = match call.is_apply() {
            true => None,
            false => tracker.track_new(&mut decoded),
        };
        let policy = self.admission(call, None);
        let (admitted, reservation) = decoded.admit_create(kind, Some(&policy)).await?;
        let validated = admitted.validate_create(kind)?.owned(owners);
        admission::validate(&policy, validated.object()).await?;
        self.guard(call, "create", Some(validated.object()), None).await?;
        call.warnings
            .extend(kind.hooks.warnings(validated.object(), None));
        if call.options.dry_run() {
            return call.answer(201, &validated.into_object());
        }
        let name = meta::name(validated.object()).to_owned();
        let write = self.registry.create(kind, validated);
        let stored = services::settle(reservation, write).await?;
        self.settled(call, &name, stored.mod_revision).await;
        call.answer_stored(201, &stored)
    }

    /// update
    pub async fn update(&self, call: &Call) -> Result<Response<Body>, Status> {
        let body = call.object()?;
        if meta::name(&body.value).is_empty() {
            return Err(nameless(call.name()?));
        }
        let name = call.name()?;
        if meta::name(&body.value) != name {
            return Err(pipeline::misnamed(&body.value, name));
        }
        let changed = self.change(call, &mut |_| Ok(body.clone())).await;
        match changed {
            Err(missing)
                if missing.code == 404
                    && call.target.subresource.is_none()
                    && call.target.kind.hooks.creates_on_update() =>
            {
                self.create_by_update(call, body).await
            }
            other => other,
        }
    }

    /// patch
    pub async fn patch(&self, call: &Call) -> Result<Response<Body>, Status> {
        let kind = &call.target.kind;
        match call.media_type() {
            apply::MEDIA_TYPE => self.apply(call).await,
            "application/json-patch+json" => {
                self.change(call, &mut |object| Ok(patch::json(object, &call.body)?.into()))
                    .await
            }
            "application/merge-patch+json" => {
                self.change(call, &mut |object| {
                    let Read { value, duplicates } = patch::read_merge(&call.body)?;
                    Ok(Sent {
                        value: patch::merge(object, &value),
                        strict: duplicates,
                        ..Sent::default()
                    })
                })
                .await
            }
            "application/strategic-merge-patch+json" => {
                let schema = match (call.subresource(), kind.schema()) {
                    (Some(Subresource::Scale), Some(Schema::Table(_))) => {
                        schema::message_for("autoscaling", "v1", "Scale").map(Schema::Table)
                    }
                    (_, schema) => schema,
                };
                // Only tables say how lists are merged.
                let Some(Schema::Table(message)) = schema else {
                    return Err(Status::unsupported_media_type(&CUSTOM_PATCH_TYPES));
                };
                self.change(call, &mut |object| {
                    let Read { value, duplicates } = patch::read_strategic(&call.body)?;
                    let types = ["apiVersion", "kind"].map(|field| (field, object[field].clone()));
                    let mut value = patch::strategic(object, &value, message)?;
                    // Upstream reads what comes out as the kind that it is, whatever it says.
                    types.into_iter().for_each(|(field, own)| value[field] = own);
                    // It reads it not from JSON, either, so that a number may be written as `1.0`.
                    settle_numbers(&mut value);
                    Ok(Sent {
                        value,
                        strict: duplicates,
                        ..Sent::default()
                    })
                })
                .await
            }
            _ if kind.custom.is_some() => Err(Status::unsupported_media_type(&CUSTOM_PATCH_TYPES)),
            _ => Err(Status::no_such_patch_type()),
        }
    }

    /// Makes the object that an update did not find.
    async fn create_by_update(&self, call: &Call, body: Sent) -> Result<Response<Body>, Status> {
        if let Some(denied) = &call.create_denied {
            return Err(denied.clone());
        }
        let uid = meta::text(&body.value, "uid");
        if !uid.is_empty() {
            return Err(other_uid(call, call.name()?, uid, ""));
        }
        self.create_object(call, body).await
    }

    /// Removes an object that stood at a revision, and takes back what it had of the cluster.
    pub async fn remove(&self, kind: &Kind, object: &Value, revision: Revision) -> Result<(), Status> {
        self.registry.delete(kind, object, revision).await?;
        if kind.group.is_empty() && kind.plural == "services" {
            self.services.release(object).await;
        }
        Ok(())
    }

    /// Waits until what a written definition makes is served: its writer goes on with objects of its kind.
    pub async fn settled(&self, call: &Call, name: &str, revision: Revision) {
        let kind = &call.target.kind;
        if kind.group == "apiextensions.k8s.io" && call.target.subresource.is_none() {
            self.definitions.settled(name, revision).await;
        }
    }

    /// A write that asks for admission.
    pub fn admission<'a>(&'a self, call: &'a Call, old: Option<&'a Value>) -> admission::Request<'a> {
        admission::Request {
            api: self,
            user: &call.user,
            kind: &call.target.kind,
            subresource: call.target.subresource.as_deref().unwrap_or(""),
            namespace: call.namespace().unwrap_or(""),
            old,
            dry_run: call.options.dry_run(),
        }
    }
}

/// The answer to a subresource's create that leaves no object behind.
pub fn done(call: &Call) -> Response<Body> {
    let done =
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    call.respond(201, &done)
}

/// Gives a new object what the server alone decides: name from generateName, uid, creation time.
pub fn stamp(metadata: &mut Value) {
    let base = metadata["generateName"].as_str().unwrap_or("").to_string();
    if metadata["name"].as_str().unwrap_or("").is_empty() && !base.is_empty() {
        // Letters and digits that spell no words, as upstream has them.
        const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        let mut rng = rand::rng();
        let suffix: String = (0..5)
            .map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]))
            .collect();
        let kept: String = base.chars().take(58).collect();
        metadata["name"] = format!("{kept}{suffix}").into();
    }
    wipe(metadata);
    metadata["uid"] = uuid::Uuid::new_v4().to_string().into();
    metadata["creationTimestamp"] = rfc3339(OffsetDateTime::now_utc()).into();
}

/// Takes from a new object what the server alone decides.
pub fn wipe(metadata: &mut Value) {
    if let Some(map) = metadata.as_object_mut() {
        for own in [
            "uid",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "selfLink",
        ] {
            map.remove(own);
        }
    }
}

pub fn rfc3339(at: OffsetDateTime) -> String {
    let whole = at.replace_nanosecond(0).unwrap_or(at);
    whole
        .format(&Rfc3339)
        .unwrap_or_else(|_| "1970-01-01T00:00:00Z".into())
}
