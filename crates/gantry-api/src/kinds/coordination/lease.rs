//! Lease

use crate::features::{Feature, enabled};
use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Hooks, Kind, Scope};
use crate::kinds::checks::{Errors, format, nonnegative};
use crate::kinds::columns::{age_column, column, name_column};
use crate::kinds::usual;
use crate::kinds::values::{given, number, remove, text};
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        columns: vec![
            name_column(),
            column("Holder", "string", |o, _| text(&o["spec"]["holderIdentity"]).into()),
            age_column(),
        ],
        hooks: Box::new(LeaseHooks),
        ..usual("coordination.k8s.io", "Lease", "leases", Scope::Namespaced)
    }
}

struct LeaseHooks;

impl Hooks for LeaseHooks {
    fn creates_on_update(&self) -> bool {
        true
    }

    fn needs_version(&self) -> bool {
        true
    }

    fn prepare_create(&self, object: &mut Value) {
        drop_election(object, None);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        drop_election(object, Some(old));
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (path, spec) = (Path::new("spec"), &object["spec"]);
        let duration = &spec["leaseDurationSeconds"];
        if given(duration) && number(duration) <= 0 {
            let at = path.child("leaseDurationSeconds");
            errors.push(Error::invalid(at, duration.clone(), "must be greater than 0"));
        }
        nonnegative(&mut errors, &path.child("leaseTransitions"), &spec["leaseTransitions"]);
        if given(&spec["strategy"]) {
            strategy(&mut errors, &path.child("strategy"), text(&spec["strategy"]));
        }
        if !text(&spec["preferredHolder"]).is_empty() && text(&spec["strategy"]).is_empty() {
            let detail = "may only be specified if `strategy` is defined";
            errors.push(Error::forbidden(path.child("preferredHolder"), detail));
        }
        errors
    }
}

/// Drops fields whose feature is off, unless they are in use.
fn drop_election(object: &mut Value, old: Option<&Value>) {
    if enabled(Feature::CoordinatedLeaderElection) {
        return;
    }
    for field in ["strategy", "preferredHolder"] {
        if old.is_none_or(|old| !given(&old["spec"][field])) {
            remove(&mut object["spec"], field);
        }
    }
}

/// How a leader is chosen: in a way of upstream's, or one that has a domain.
pub fn strategy(errors: &mut Errors, path: &Path, name: &str) {
    // Upstream names the field twice.
    let at = path.child("strategy");
    if name.contains('/') {
        format(errors, &at, name, formats::qualified_name);
    } else if name != "OldestEmulationVersion" {
        errors.push(Error::not_supported(at, name, &["OldestEmulationVersion"]));
    }
}
