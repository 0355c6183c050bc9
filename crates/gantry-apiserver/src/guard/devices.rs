//! Who may have devices for administration, and who may say which devices a claim has got and how they do.
//! Source: pkg/registry/resource/utils.go.

use crate::call::Call;
use crate::verbs::Api;
use gantry_api::features::{Feature, enabled};
use gantry_api::field::{Error, ErrorKind};
use gantry_api::kind::Subresource;
use gantry_api::meta;
use gantry_api::status::Status;
use gantry_auth::Attributes;
use serde_json::Value;
use std::collections::BTreeSet;

/// The label of namespaces whose claims may have devices for administration.
const ADMIN_LABEL: &str = "resource.kubernetes.io/admin-access";
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";

/// A write of a claim, or of a template of claims.
pub struct Write<'a> {
    pub api: &'a Api,
    pub call: &'a Call,
    pub new: &'a Value,
    /// Absent on create.
    pub old: Option<&'a Value>,
}

impl Write<'_> {
    /// Checks the write.
    pub async fn check(&self) -> Result<(), Status> {
        let mut errors = Vec::new();
        match (self.call.subresource(), self.old) {
            (None, None) => errors.extend(self.admin_claim().await),
            (Some(Subresource::Status), Some(old)) => {
                errors.extend(self.admin_result(old).await);
                if enabled(Feature::DRAResourceClaimGranularStatusAuthorization) {
                    errors.extend(self.binding(old));
                    if enabled(Feature::DRAResourceClaimDeviceStatus) && !allocation(self.new).is_null() {
                        errors.extend(self.device_status(old));
                    }
                }
            }
            _ => {}
        }
        let kind = &self.call.target.kind;
        match errors.is_empty() {
            true => Ok(()),
            false => Err(Status::invalid(
                &kind.group,
                &kind.kind,
                meta::name(self.new),
                &errors,
            )),
        }
    }

    /// A new claim, or template, may ask for access only where that is allowed.
    async fn admin_claim(&self) -> Option<Error> {
        let spec = match self.new["kind"] == "ResourceClaimTemplate" {
            true => &self.new["spec"]["spec"],
            false => &self.new["spec"],
        };
        // Older versions have no field of its own for what is asked for.
        let asks = |r: &Value| r["exactly"]["adminAccess"] == true || r["adminAccess"] == true;
        let at = list(&spec["devices"]["requests"]).iter().position(asks)?;
        self.admin(format!("spec.devices.requests[{at}].adminAccess"))
            .await
    }

    /// The same for what a claim got. What it has it keeps.
    async fn admin_result(&self, old: &Value) -> Option<Error> {
        let granted = |claim: &Value| {
            list(&allocation(claim)["devices"]["results"])
                .iter()
                .position(|r| r["adminAccess"] == true)
        };
        let at = granted(self.new).filter(|_| granted(old).is_none())?;
        self.admin(format!("status.allocation.devices.results[{at}].adminAccess"))
            .await
    }

    async fn admin(&self, path: String) -> Option<Error> {
        let namespaces = self.api.kinds.get("", "v1", "namespaces")?;
        let namespace = self.call.namespace().unwrap_or_default();
        match self.api.registry.get(&namespaces, None, namespace).await {
            Ok(found) if found["metadata"]["labels"][ADMIN_LABEL] == "true" => None,
            Ok(_) => {
                let why = format!(
                    "admin access to devices requires the `{ADMIN_LABEL}: true` label on the containing namespace"
                );
                Some(Error::forbidden(path, why))
            }
            Err(status) => {
                let why = format!(
                    "could not retrieve namespace to verify admin access: {}",
                    status.message
                );
                Some(Error::new(ErrorKind::Internal, path, Value::Null, why))
            }
        }
    }

    /// Giving a claim its devices, and taking a claim into use, is a permission of its own.
    fn binding(&self, old: &Value) -> Option<Error> {
        let same = |field: &str| self.new["status"][field] == old["status"][field];
        if same("allocation") && same("reservedFor") {
            return None;
        }
        let verb = self.call.verb;
        let denied = self.allowed(verb, "binding", "", "").err()?;
        let why = format!(
            "changing status.allocation or status.reservedFor requires resource=\"resourceclaims/binding\", \
             verb=\"{verb}\" permission: {}",
            denied.message
        );
        Some(Error::forbidden("status.allocation", why))
    }

    /// Drivers' own entries are written by who may speak for the driver, on the claim's node or anywhere.
    fn device_status(&self, old: &Value) -> Vec<Error> {
        let verb = self.call.verb;
        let mut verbs = vec![format!("arbitrary-node:{verb}")];
        if self.is_on_node_of_claim() {
            verbs.insert(0, format!("associated-node:{verb}"));
        }
        let namespace = self.call.namespace().unwrap_or_default();
        let denied = |driver: &&str| {
            let mut denials = verbs
                .iter()
                .map(|verb| self.allowed(verb, "driver", namespace, driver));
            let first = denials.next()?.err()?;
            denials.all(|denial| denial.is_err()).then_some(first)
        };
        let changed = changed_drivers(self.new, old);
        let denials = changed.iter().filter_map(denied);
        denials
            .map(|denial| {
                let why = format!(
                    "changing status.devices requires resource=\"resourceclaims/driver\", verb=\"[{}]\" permission: {}",
                    verbs.join(" "),
                    denial.message
                );
                Error::forbidden("status.devices", why)
            })
            .collect()
    }

    fn allowed(&self, verb: &str, subresource: &str, namespace: &str, name: &str) -> Result<(), Status> {
        let kind = &self.call.target.kind;
        self.api.authorizer.allow(&Attributes {
            group: &kind.group,
            resource: &kind.plural,
            subresource,
            namespace,
            name,
            ..Attributes::of(&self.call.user, verb)
        })
    }

    /// Whether the user is a service account on the one node where the claim's devices are.
    fn is_on_node_of_claim(&self) -> bool {
        let user = &self.call.user;
        let terms = list(&allocation(self.new)["nodeSelector"]["nodeSelectorTerms"]);
        let [term] = terms else {
            return false;
        };
        let fields = list(&term["matchFields"]);
        let ([field], []) = (fields, list(&term["matchExpressions"])) else {
            return false;
        };
        let (true, [node]) = (
            field["key"] == "metadata.name" && field["operator"] == "In",
            list(&field["values"]),
        ) else {
            return false;
        };
        let of_user = user.extra.get(NODE_NAME).map(Vec::as_slice);
        user.name.starts_with("system:serviceaccount:")
            && matches!(of_user, Some([name]) if node == name && meta::validate_subdomain(name).is_ok())
    }
}

fn allocation(claim: &Value) -> &Value {
    &claim["status"]["allocation"]
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or(&[])
}

/// The drivers of which an entry came, went or changed.
fn changed_drivers<'a>(new: &'a Value, old: &'a Value) -> BTreeSet<&'a str> {
    let (new, old) = (list(&new["status"]["devices"]), list(&old["status"]["devices"]));
    let changed = new.iter().filter(|entry| !old.contains(entry));
    let gone = old.iter().filter(|entry| !new.contains(entry));
    changed
        .chain(gone)
        .filter_map(|entry| entry["driver"].as_str())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn drivers_of_changed_entries() {
        let claim = |devices: Value| json!({"status": {"devices": devices}});
        let entry = |driver: &str, data: i64| json!({"driver": driver, "device": "a", "data": {"n": data}});
        let check = |new: Value, old: Value, expected: &[&str]| {
            let (new, old) = (claim(new), claim(old));
            let found: Vec<&str> = changed_drivers(&new, &old).into_iter().collect();
            assert_eq!(found, expected);
        };
        check(json!([entry("a", 1)]), json!([entry("a", 1)]), &[]);
        check(json!([entry("a", 2)]), json!([entry("a", 1)]), &["a"]);
        check(json!([entry("b", 1)]), json!([entry("a", 1)]), &["a", "b"]);
        check(json!([]), json!([entry("a", 1)]), &["a"]);
    }
}
