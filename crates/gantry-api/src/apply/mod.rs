//! Server-side apply, and who owns which fields of an object.
//!
//! A [`Writer`] is one request: [`Writer::apply`] merges an applied configuration into the live object, and
//! [`Writer::update`] tells what `metadata.managedFields` is after any other write. Both are pure.
//!
//! A [`set::Set`] holds paths; [`shape`] says by the schema how values are divided into fields; [`walk`],
//! [`compare`] and [`merge`] walk objects by it; [`managed`] reads and writes `managedFields`.
//!
//! Behaviour follows sigs.k8s.io/structured-merge-diff and k8s.io/apimachinery/pkg/util/managedfields. Fields
//! are compared in the version of the request, whatever version they were noted in: nearly all kinds that have several
//! versions have the same fields in each. Where those of a custom resource do not, a write fails as upstream's does: an
//! apply with an error, another by noting nobody.

mod compare;
mod created;
pub(crate) mod element;
mod last_applied;
mod managed;
mod merge;
mod set;
mod shape;
#[cfg(test)]
mod tests;
pub(crate) mod validate;
mod walk;

use crate::schema::Schema;
use crate::status::Status;
use crate::structural::Structural;
pub(crate) use compare::EMPTY_OBJECT;
use compare::{Comparison, compare};
use element::PathElement;
use managed::{Managed, Manager, Operation, Owned};
use serde_json::{Value, json};
use set::Set;
use shape::Shape;
use std::sync::{Arc, LazyLock};

/// The manager of fields that were there before anyone was asked.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Fields that are no one's.
static STRIPPED: LazyLock<Set> = LazyLock::new(|| {
    Set::of_fields(&[
        &["apiVersion"],
        &["kind"],
        &["metadata"],
        &["metadata", "name"],
        &["metadata", "namespace"],
        &["metadata", "creationTimestamp"],
        &["metadata", "selfLink"],
        &["metadata", "uid"],
        &["metadata", "clusterName"],
        &["metadata", "generation"],
        &["metadata", "managedFields"],
        &["metadata", "resourceVersion"],
    ])
});

static STATUS: LazyLock<Set> = LazyLock::new(|| Set::of_fields(&[&["status"]]));

/// What a request may not write, whatever it says: nobody comes to own that by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset<'a> {
    /// Everything may be written.
    Nothing,
    /// All but the status.
    Status,
    /// Nothing but these paths.
    AllBut(&'static [&'static [&'static str]]),
    /// Nothing but the field at this path, its steps divided by dots.
    AllButAt(&'a str),
}

impl Reset<'_> {
    fn filter(self, mut set: Set) -> Set {
        match self {
            Reset::Nothing => set,
            Reset::Status => {
                set.subtract_below(&STATUS);
                set
            }
            Reset::AllBut(paths) => set.only_below(&Set::of_fields(paths)),
            Reset::AllButAt(path) => {
                let steps: Vec<&str> = path.split('.').collect();
                set.only_below(&Set::of_fields(&[&steps]))
            }
        }
    }
}

/// One write of an object.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// The kind's schema; without one, objects are divided by what they look like.
    pub schema: Option<Schema<'a>>,
    /// The version written, such as `apps/v1`.
    pub api_version: &'a str,
    /// The kind written.
    pub kind: &'a str,
    /// The subresource written; empty for the object itself.
    pub subresource: &'a str,
    /// Who writes.
    pub manager: &'a str,
    /// When, in RFC 3339.
    pub now: &'a str,
    /// What this request may not write.
    pub reset: Reset<'a>,
    /// What objects look like in the kind's other versions. Whoever noted fields in one of them is asked in it.
    pub others: &'a [(String, Arc<Structural>)],
}

/// A field that someone else owns.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    manager: Manager,
    path: Vec<PathElement>,
}

/// Why an apply failed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ApplyError {
    /// Others own fields with other values: force, or give them up.
    #[error("{}", conflict_text(.0))]
    Conflicts(Vec<Conflict>),
    /// The configuration is not one to apply here.
    #[error("{0}")]
    Request(String),
    /// The configuration, or the live object, does not fit the schema.
    #[error("{0}")]
    Schema(String),
}

impl From<ApplyError> for Status {
    fn from(error: ApplyError) -> Self {
        let message = error.to_string();
        match error {
            ApplyError::Conflicts(conflicts) => {
                let mut status = Status::new(409, "Conflict", message);
                let causes: Vec<Value> = conflicts
                    .iter()
                    .map(|c| {
                        json!({"reason": "FieldManagerConflict", "field": path_text(&c.path),
                            "message": format!("conflict with {}", c.manager.describe())})
                    })
                    .collect();
                status.details = Some(json!({"causes": causes}));
                status
            }
            ApplyError::Request(_) => Status::bad_request(message),
            // Upstream gives these no reason, and no better code.
            ApplyError::Schema(_) => Status::new(500, "", message),
        }
    }
}

fn path_text(path: &[PathElement]) -> String {
    path.iter().map(ToString::to_string).collect()
}

fn conflict_text(conflicts: &[Conflict]) -> String {
    if let [one] = conflicts {
        return format!(
            "Apply failed with 1 conflict: conflict with {}: {}",
            one.manager.describe(),
            path_text(&one.path)
        );
    }
    let mut lines = Vec::new();
    let mut last = None;
    for conflict in conflicts {
        if last != Some(&conflict.manager) {
            lines.push(format!("conflicts with {}:", conflict.manager.describe()));
            last = Some(&conflict.manager);
        }
        lines.push(format!("- {}", path_text(&conflict.path)));
    }
    format!(
        "Apply failed with {} conflicts: {}",
        conflicts.len(),
        lines.join("\n")
    )
}

impl<'a> Writer<'a> {
    fn shape(&self) -> Shape<'a> {
        Shape::root(self.schema)
    }

    /// `metadata.managedFields` after a create (`old` is `None`), an update or a patch; `None` for no such field.
    /// `new` carries what the client sent there, if anything. An update that changes no field leaves it as it was.
    pub fn update(&self, old: Option<&Value>, new: &Value) -> Option<Value> {
        let sent = &new["metadata"]["managedFields"];
        let live = || old.and_then(|o| managed::decode(self.shape(), &o["metadata"]["managedFields"]).ok());
        let managed = if self.subresource.is_empty() && managed::is_reset(sent) {
            Managed::new()
        } else {
            // What a client cannot read, or does not know, it must not destroy.
            managed::decode(self.shape(), sent)
                .ok()
                .filter(|m| !m.is_empty() && self.subresource.is_empty())
                .or_else(live)
                .unwrap_or_default()
        };
        if managed.is_empty() && old.is_some() {
            return None;
        }
        // What every object shows is no one's doing.
        let empty = self.schema.map_or(&*EMPTY_OBJECT, Schema::empty);
        // A failure here would be a stored object that its own schema cannot divide: then nobody owns anything.
        let managed = self
            .track(old.unwrap_or(empty), new, managed, self.manager)
            .ok()?;
        managed::encode(managed)
    }

    /// What [`Writer::update`] says of a new object that was decoded by its schema, as JSON and many times as fast; `None` where only that can tell.
    pub fn created(&self, new: &Value) -> Option<String> {
        let left_out = match self.reset {
            Reset::Nothing => "",
            Reset::Status => "status",
            Reset::AllBut(_) | Reset::AllButAt(_) => return None,
        };
        if !new["metadata"]["managedFields"].is_null() {
            return None;
        }
        if let Some(schema @ Schema::Structural(_)) = self.schema {
            validate::validate_stored(schema, new).ok()?;
        }
        let empty = self.schema.map_or(&*EMPTY_OBJECT, Schema::empty);
        let fields = created::fields(self.shape(), empty, new, &STRIPPED, left_out).ok()??;
        let me = Manager::new(
            self.manager,
            Operation::Update,
            self.api_version,
            self.subresource,
        );
        Some(managed::one(&me, &fields, self.now))
    }

    /// Takes the fields that changed from their owners, and gives them to `manager`.
    fn track(
        &self,
        old: &Value,
        new: &Value,
        mut managed: Managed,
        manager: &str,
    ) -> Result<Managed, String> {
        let me = Manager::new(manager, Operation::Update, self.api_version, self.subresource);
        if let Some(schema @ Schema::Structural(_)) = self.schema {
            validate::validate_stored(schema, new)?;
        }
        self.fits_others(&managed, &me, [old, new])?;
        let (mut written, removed) = self.compare(old, new)?.written_and_removed();
        managed.retain(|_, owned| {
            owned.fields.subtract(&written);
            owned.fields.subtract(&removed);
            !owned.fields.is_empty()
        });
        written.subtract(&STRIPPED);
        if !written.is_empty() {
            let fields = match managed.remove(&me) {
                Some(previous) => previous.fields.union(&written),
                None => written,
            };
            managed.insert(me, self.owned(fields, Some(self.now.to_string())));
        }
        managed::cap_updaters(&mut managed);
        Ok(managed)
    }

    /// Whether two objects, the old and the new, can be looked at in the versions that fields are noted in.
    fn fits_others(&self, managed: &Managed, me: &Manager, objects: [&Value; 2]) -> Result<(), String> {
        let noted = |version: &str| {
            managed
                .iter()
                .any(|(m, owned)| m != me && owned.api_version == version)
        };
        for (_, schema) in self
            .others
            .iter()
            .filter(|(v, _)| v != self.api_version && noted(v))
        {
            for (object, name) in objects.into_iter().zip(["old", "new"]) {
                validate::validate_stored(Schema::Structural(schema), object)
                    .map_err(|why| format!("failed to convert {name} object: {why}"))?;
            }
        }
        Ok(())
    }

    fn compare(&self, old: &Value, new: &Value) -> Result<Comparison, String> {
        Ok(compare(self.shape(), old, new)?.filtered(|set| self.reset.filter(set)))
    }

    fn owned(&self, fields: Set, time: Option<String>) -> Owned {
        Owned {
            api_version: self.api_version.to_string(),
            time,
            fields,
        }
    }

    /// Merges an applied configuration into the live object (`None` to create it), with `managedFields` as they are
    /// then. The object is still to be defaulted and validated.
    ///
    /// # Errors
    ///
    /// The configuration is of another kind or does not fit the schema, or others own what it sets and `force` is
    /// not given.
    pub fn apply(&self, live: Option<&Value>, patch: &Value, force: bool) -> Result<Value, ApplyError> {
        self.check(patch)?;
        let empty = json!({});
        let live = live.unwrap_or(&empty);
        let mut managed = managed::decode(self.shape(), &live["metadata"]["managedFields"])
            .map_err(|why| ApplyError::Schema(format!("failed to decode managed fields: {why}")))?;
        if managed.is_empty() {
            managed = self
                .track(&empty, live, managed, BEFORE_FIRST_APPLY)
                .map_err(ApplyError::Schema)?;
        }
        let mut result = self.apply_once(live, patch, managed.clone(), force);
        if self.manager == last_applied::MANAGER
            && let Err(ApplyError::Conflicts(conflicts)) = &result
            && let Some(own) = last_applied::owned(self, live)
        {
            // Client-side apply owned these: the same user moves on to server-side apply.
            let others: Vec<Conflict> = conflicts.iter().filter(|c| !own.has(&c.path)).cloned().collect();
            result = match others.is_empty() {
                true => self.apply_once(live, patch, managed, true),
                false => Err(ApplyError::Conflicts(others)),
            };
        }
        let mut object = result?;
        if self.manager == last_applied::MANAGER {
            last_applied::refresh(&mut object, patch);
        }
        Ok(object)
    }

    /// A conflict as its client sees it: who applies a Scale knows nothing of the object that it scales.
    fn conflict(&self, manager: &Manager, path: Vec<PathElement>) -> Conflict {
        match self.reset {
            Reset::AllButAt(_) => Conflict {
                manager: manager.with_version("autoscaling/v1"),
                path: ["spec", "replicas"]
                    .map(|step| PathElement::Field(step.into()))
                    .into(),
            },
            _ => Conflict {
                manager: manager.clone(),
                path,
            },
        }
    }

    fn check(&self, patch: &Value) -> Result<(), ApplyError> {
        let text = |name: &str| patch.get(name).and_then(Value::as_str).unwrap_or("");
        if text("apiVersion") != self.api_version || text("kind") != self.kind {
            let (group, version) = text("apiVersion")
                .split_once('/')
                .unwrap_or(("", text("apiVersion")));
            return Err(ApplyError::Request(format!(
                "invalid object type: {group}/{version}, Kind={}",
                text("kind")
            )));
        }
        if !patch["metadata"]["managedFields"].is_null() {
            return Err(ApplyError::Request("metadata.managedFields must be nil".into()));
        }
        let Some(schema) = self.schema else {
            return Ok(());
        };
        validate::validate(schema, patch).map_err(|why| {
            let text = |name: &str| crate::meta::text(patch, name).to_string();
            let (group, version) = self.api_version.split_once('/').unwrap_or(("", self.api_version));
            ApplyError::Schema(format!(
                "failed to create typed patch object ({}/{}; {group}/{version}, Kind={}): {why}",
                text("namespace"),
                text("name"),
                self.kind
            ))
        })
    }

    fn apply_once(
        &self,
        live: &Value,
        patch: &Value,
        mut managed: Managed,
        force: bool,
    ) -> Result<Value, ApplyError> {
        let shape = self.shape();
        let me = Manager::new(self.manager, Operation::Apply, self.api_version, self.subresource);
        let merged = merge::merge(shape, live, patch).map_err(ApplyError::Schema)?;
        let last = managed.remove(&me);
        let time = last.as_ref().and_then(|l| l.time.clone());
        let fields = self.reset.filter(walk::extract(shape, patch));
        managed.insert(me.clone(), self.owned(fields, time));
        let mut object = match last {
            Some(last) => prune(shape, merged, &managed, &me, &last.fields),
            None => merged,
        };
        self.fits_others(&managed, &me, [live, &object])
            .map_err(ApplyError::Schema)?;
        let changes = self.compare(live, &object).map_err(ApplyError::Schema)?;
        let (written, removed) = changes.written_and_removed();
        let mut conflicts = Vec::new();
        for (manager, owned) in managed.iter_mut().filter(|(m, _)| **m != me) {
            let taken = owned.fields.intersection(&written);
            conflicts.extend(taken.paths().into_iter().map(|path| self.conflict(manager, path)));
            owned.fields.subtract(&taken);
            owned.fields.subtract(&removed);
        }
        if !force && !conflicts.is_empty() {
            return Err(ApplyError::Conflicts(conflicts));
        }
        let changed = object != *live;
        if let Some(mine) = managed.get_mut(&me) {
            mine.fields.subtract(&STRIPPED);
            if changed {
                mine.time = Some(self.now.to_string());
            }
        }
        managed.retain(|_, owned| !owned.fields.is_empty());
        match (managed::encode(managed), object["metadata"].as_object_mut()) {
            (Some(list), Some(metadata)) => {
                metadata.insert("managedFields".into(), list);
            }
            (None, Some(metadata)) => {
                metadata.remove("managedFields");
            }
            (Some(list), None) => object["metadata"]["managedFields"] = list,
            (None, None) => {}
        }
        Ok(object)
    }
}

/// Takes out what the manager applied last time and not this time, unless someone else owns it.
fn prune(shape: Shape, merged: Value, managed: &Managed, me: &Manager, last: &Set) -> Value {
    let dropped = managed.get(me).map(|mine| last.difference(&mine.fields));
    if dropped.is_some_and(|d| d.is_empty()) {
        return merged;
    }
    let named = |set: &Set| walk::with_named_fields(shape, set);
    let without = |gone: &Set| {
        let mut object = merged.clone();
        walk::remove(shape, &mut object, gone);
        object
    };
    let last = named(last);
    let present = named(&walk::extract(shape, &merged));
    let owned = managed
        .values()
        .fold(Set::default(), |all, one| all.union(&one.fields));
    // Add back what others, or this very configuration, own.
    let pruned = without(&last);
    let kept = named(&walk::extract(shape, &pruned)).union(&named(&owned));
    let pruned = without(&present.difference(&kept));
    // And what lay below, but was never this manager's.
    let kept = named(&walk::extract(shape, &pruned));
    without(&present.difference(&kept).intersection(&last))
}
