//! The way of a write: `Decoded -> Admitted -> Validated`. The registry stores only [`Validated`] objects, and only
//! this module makes them, so no path can skip a step.

use crate::admission;
use crate::body::{Sent, YAML_ERRORS};
use crate::options::FieldValidation;
use crate::services::Reservation;
use crate::warnings::Warnings;
use gantry_api::kind::{Kind, Subresource};
use gantry_api::schema::{Schema, message_for};
use gantry_api::status::Status;
use gantry_api::{field, json, meta};
use gantry_auth::User;
use serde_json::{Value, json};

/// A request's object, checked against the schema: known fields of the right types.
pub struct Decoded(Value);

/// A decoded object, defaulted, that policy lets in.
pub struct Admitted(Value);

/// An admitted object that obeys its kind's rules; what the store takes.
pub struct Validated {
    object: Value,
    /// Its `managedFields` as JSON, if the object is without them.
    owners: Option<String>,
}

impl Validated {
    /// The object, but for its `managedFields` where [`Validated::owners`] has them.
    pub fn object(&self) -> &Value {
        &self.object
    }

    /// Its `managedFields` as JSON, if the object is without them.
    pub fn owners(&self) -> Option<&str> {
        self.owners.as_deref()
    }

    /// The whole object.
    pub fn into_object(mut self) -> Value {
        if let Some(owners) = self.owners.and_then(|json| serde_json::from_str(&json).ok()) {
            self.object["metadata"]["managedFields"] = owners;
        }
        self.object
    }

    /// The object without its `managedFields`.
    pub fn into_unowned(mut self) -> Value {
        if let Some(metadata) = self.object["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        self.object
    }

    /// The same object with these `managedFields`, if any: JSON that no tree need be made of.
    #[must_use]
    pub fn owned(self, owners: Option<String>) -> Self {
        Validated { owners, ..self }
    }

    /// An object that was validated when it was stored, whose metadata alone the server changed.
    pub fn with_metadata_of(stored: Value) -> Self {
        Validated {
            object: stored,
            owners: None,
        }
    }
}

/// Checks an object of a request against its kind's schema. Unknown fields go, and fields that appear
/// twice count once, with warnings or an error.
pub fn decode(
    kind: &Kind,
    sent: Sent,
    validation: FieldValidation,
    warnings: &Warnings,
) -> Result<Decoded, Status> {
    let (mut object, mut found) = (sent.value, sent.strict);
    let cannot = |why: String| {
        Status::bad_request(format!(
            "{} in version {:?} cannot be handled as a {}: {why}",
            kind.kind, kind.version, kind.kind
        ))
    };
    let api_version = object
        .get("apiVersion")
        .and_then(Value::as_str)
        .unwrap_or("")
        .to_string();
    let kind_name = object
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or("")
        .to_string();
    let custom = kind.custom.is_some();
    let no_such_kind = || {
        let scheme = match kind.group.as_str() {
            "apiextensions.k8s.io" => "k8s.io/apiextensions-apiserver/pkg/apiserver/apiserver.go:55",
            "apiregistration.k8s.io" => "k8s.io/kube-aggregator/pkg/apiserver/scheme/scheme.go:28",
            _ => "pkg/api/legacyscheme/scheme.go:30",
        };
        let (name, in_version) = match (kind_name.as_str(), api_version.as_str()) {
            ("", version) => (kind.kind.as_str(), version.to_owned()),
            (name, "") => (name, kind.api_version()),
            (name, version) => (name, version.to_owned()),
        };
        let version = in_version.rsplit('/').next().unwrap_or_default();
        Status::bad_request(format!(
            "{name} in version {version:?} cannot be handled as a {}: no kind {name:?} is registered for version \
             {in_version:?} in scheme {scheme:?}",
            kind.kind
        ))
    };
    let differs = !api_version.is_empty() && api_version != kind.api_version();
    if differs
        && !custom
        && !is_known(
            &api_version,
            if kind_name.is_empty() {
                &kind.kind
            } else {
                &kind_name
            },
        )
    {
        return Err(no_such_kind());
    }
    if differs || custom && api_version.is_empty() {
        return Err(Status::bad_request(format!(
            "the API version in the data ({api_version}) does not match the expected API version ({})",
            kind.api_version()
        )));
    }
    if custom && !kind_name.is_empty() && kind_name != kind.kind {
        let why = field::Error::invalid("kind", &*kind_name, format!("must be {}", kind.kind));
        return Err(Status::invalid(
            &kind.group,
            &kind_name,
            meta::name(&object),
            &[why],
        ));
    }
    if !kind_name.is_empty() && kind_name != kind.kind {
        return Err(no_such_kind());
    }
    if let Some(schema) = kind.schema() {
        found.extend(schema.check(&mut object).map_err(cannot)?);
        if found.len() > 1 && matches!(schema, Schema::Table(_)) {
            json::in_order(&sent.json, &mut found);
        }
    }
    match validation {
        FieldValidation::Strict if !found.is_empty() => {
            return Err(cannot(format!("strict decoding error: {}", found.join(", "))));
        }
        FieldValidation::Warn => {
            let text = |why: String| why.strip_prefix(YAML_ERRORS).map_or(why.clone(), String::from);
            warnings.extend(found.into_iter().map(text));
        }
        _ => {}
    }
    object["apiVersion"] = kind.api_version().into();
    object["kind"] = kind.kind.as_str().into();
    if !object.get("metadata").is_some_and(Value::is_object) {
        object["metadata"] = json!({});
    }
    Ok(Decoded(object))
}

/// Whether upstream knows such a built-in kind.
fn is_known(api_version: &str, kind: &str) -> bool {
    // It still reads definitions in a version that it does not serve.
    if (api_version, kind) == ("apiextensions.k8s.io/v1beta1", "CustomResourceDefinition") {
        return true;
    }
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    message_for(group, version, kind).is_some()
}

/// The refusal of an object whose name is not that of the path.
pub fn misnamed(object: &Value, name: &str) -> Status {
    let own = meta::name(object);
    Status::bad_request(format!(
        "the name of the object ({own}) does not match the name on the URL ({name})"
    ))
}

impl Decoded {
    /// Puts the object at its place: namespace and name of the path, which the body may leave out but not contradict.
    pub fn place(&mut self, namespace: Option<&str>, name: Option<&str>) -> Result<(), Status> {
        let own = meta::namespace(&self.0);
        match namespace {
            Some(ns) if own.is_empty() => self.0["metadata"]["namespace"] = ns.into(),
            Some(ns) if own != ns => {
                return Err(Status::bad_request(
                    "the namespace of the provided object does not match the namespace sent on the request",
                ));
            }
            // What lives in none has none, whatever it says.
            None if !own.is_empty() => {
                if let Some(metadata) = self.0["metadata"].as_object_mut() {
                    metadata.remove("namespace");
                }
            }
            _ => {}
        }
        let own = meta::name(&self.0);
        match name {
            Some(name) if own.is_empty() => self.0["metadata"]["name"] = name.into(),
            Some(name) if own != name => return Err(misnamed(&self.0, name)),
            _ => {}
        }
        Ok(())
    }

    /// The object, to read.
    pub fn object(&self) -> &Value {
        &self.0
    }

    /// The object, for what the server itself sets in its metadata.
    pub fn metadata(&mut self) -> &mut Value {
        &mut self.0["metadata"]
    }

    /// Fills in defaults.
    pub fn default(&mut self, kind: &Kind) {
        kind.hooks.default(&mut self.0);
    }

    /// Admits a defaulted object to be created. `policy` is absent for the server's own first objects alone.
    pub async fn admit_create(
        mut self,
        kind: &Kind,
        policy: Option<&admission::Request<'_>>,
    ) -> Result<(Admitted, Option<Reservation>), Status> {
        let reservation = match policy {
            Some(request) => admit(request, &mut self.0).await?,
            None => None,
        };
        if let Some(request) = policy {
            kind.hooks
                .note_requester(&mut self.0, &|| requester(request.user));
        }
        kind.hooks.prepare_create(&mut self.0);
        Ok((Admitted(self.0), reservation))
    }

    /// Admits an object of the server's own, about which no policy is asked.
    pub fn admit_own(mut self, kind: &Kind) -> Admitted {
        kind.hooks.prepare_create(&mut self.0);
        Admitted(self.0)
    }

    /// Admits a defaulted change of `old`, made through a subresource or not; `part` keeps what this path may not
    /// write. `policy` is absent for the server's own first objects alone.
    pub async fn admit_update(
        mut self,
        kind: &Kind,
        old: &Value,
        subresource: Option<Subresource>,
        part: fn(&mut Value, &Value),
        policy: Option<&admission::Request<'_>>,
    ) -> Result<(Admitted, Option<Reservation>), Status> {
        let managed = self.0["metadata"].get_mut("managedFields").map(Value::take);
        let (metadata, old_metadata) = (&mut self.0["metadata"], &old["metadata"]);
        for fixed in ["uid", "creationTimestamp", "generation"] {
            keep(metadata, old_metadata, fixed);
        }
        // An update takes no deletion back. That it begins none is the validation's to say.
        if !old_metadata["deletionTimestamp"].is_null() {
            keep(metadata, old_metadata, "deletionTimestamp");
        }
        if metadata["deletionGracePeriodSeconds"].is_null() {
            keep(metadata, old_metadata, "deletionGracePeriodSeconds");
        }
        part(&mut self.0, old);
        // Whoever writes a part of the object is still noted as its owner.
        if let Some(metadata) = self.0["metadata"].as_object_mut() {
            match managed {
                Some(list) => metadata.insert("managedFields".into(), list),
                None => metadata.remove("managedFields"),
            };
        }
        let reservation = match policy {
            Some(request) => admit(request, &mut self.0).await?,
            None => None,
        };
        match subresource {
            Some(subresource) => kind.hooks.prepare_subresource(subresource, &mut self.0, old),
            None => kind.hooks.prepare_update(&mut self.0, old),
        }
        Ok((Admitted(self.0), reservation))
    }
}

/// Runs admission, then takes what the object needs from the cluster.
async fn admit(request: &admission::Request<'_>, object: &mut Value) -> Result<Option<Reservation>, Status> {
    admission::admit(request, object).await?;
    if !request.is("", "services") {
        return Ok(None);
    }
    let begun = request.api.services.begin(object, request.old, request.dry_run);
    begun.await.map(Some)
}

/// A user as objects note one.
fn requester(user: &User) -> Value {
    let mut noted = json!({"username": user.name, "groups": user.groups});
    if !user.uid.is_empty() {
        noted["uid"] = user.uid.as_str().into();
    }
    if !user.extra.is_empty() {
        noted["extra"] = json!(user.extra);
    }
    noted
}

/// Makes one field of `object` what it is in `old`.
pub fn keep(object: &mut Value, old: &Value, field: &str) {
    match (old.get(field), object.as_object_mut()) {
        (Some(value), Some(map)) => {
            map.insert(field.to_string(), value.clone());
        }
        (None, Some(map)) => {
            map.remove(field);
        }
        (_, None) => {}
    }
}

impl Admitted {
    /// Checks a new object.
    pub fn validate_create(self, kind: &Kind) -> Result<Validated, Status> {
        let mut errors = meta::validate_object_meta(kind, &self.0);
        errors.extend(kind.hooks.validate(&self.0));
        errors.extend(kind.hooks.validate_create(&self.0));
        // Kinds may have no rule for names; what stands in paths has one.
        if errors.is_empty()
            && let Err(why) = meta::validate_path_segment(meta::name(&self.0))
        {
            errors.push(field::Error::invalid("metadata.name", meta::name(&self.0), why));
        }
        self.unless(kind, errors)
    }

    /// Checks a change of `old`, made through a subresource or not. Of rules that it breaks as the old one did clients are
    /// warned.
    pub fn validate_update(
        self,
        kind: &Kind,
        old: &Value,
        subresource: Option<Subresource>,
        warnings: &Warnings,
    ) -> Result<Validated, Status> {
        let mut errors = meta::validate_object_meta(kind, &self.0);
        let of_change = meta::validate_object_meta_update(&self.0, old);
        // Upstream checks this for all kinds, and for each.
        errors.extend(of_change.clone());
        errors.extend(of_change);
        // A status alone was never refused for the rest of its object.
        if subresource != Some(Subresource::Status) {
            errors.extend(kind.hooks.validate(&self.0));
        }
        errors.extend(match subresource {
            Some(subresource) => kind.hooks.validate_subresource(subresource, &self.0, old),
            None => kind.hooks.validate_update(&self.0, old),
        });
        let excused = errors.iter().filter(|error| error.is_excused());
        warnings.extend(excused.map(ToString::to_string));
        errors.retain(|error| !error.is_excused());
        self.unless(kind, errors)
    }

    fn unless(self, kind: &Kind, mut errors: Vec<field::Error>) -> Result<Validated, Status> {
        let mut object = self.0;
        if errors.is_empty() {
            if kind.custom.is_some() {
                json::settle_numbers(&mut object);
            }
            return Ok(Validated { object, owners: None });
        }
        if let Some(schema) = kind.schema() {
            errors.iter_mut().for_each(|error| error.show_by(schema));
        }
        let name = meta::name(&object);
        // Upstream's events are the core group's, whichever group they are asked of.
        let group = match kind.group.as_str() {
            "events.k8s.io" => "",
            group => group,
        };
        Err(Status::invalid(group, &kind.kind, name, &errors))
    }
}
