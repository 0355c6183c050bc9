//! Admission: what policy adds to an object, or refuses, before its kind's own rules are applied.
//!
//! A plugin is one file; [`admit`] lists them in the order in which they run.

mod certificate_approval;
mod certificate_signing;
mod certificate_subject_restriction;
mod cluster_trust_bundle_attest;
mod custom_resource_terminating;
mod default_ingress_class;
mod default_storage_class;
mod default_toleration_seconds;
mod namespace_lifecycle;
pub mod node_restriction;
mod persistent_volume_claim_resize;
mod pod_group_workload_exists;
mod priority;
mod runtime_class;
mod service_account;
mod storage_object_in_use_protection;
mod taint_nodes_by_condition;

use crate::metrics::{Admissions, Operation, Step};
use crate::verbs::Api;
use async_trait::async_trait;
use gantry_api::kind::Kind;
use gantry_api::status::Status;
use gantry_auth::User;
use serde_json::Value;
use std::time::{Duration, Instant};

/// A write that asks for admission.
pub struct Request<'a> {
    /// The server, to look other objects up.
    pub api: &'a Api,
    /// Who asks.
    pub user: &'a User,
    /// The kind of the path.
    pub kind: &'a Kind,
    /// The subresource, or empty.
    pub subresource: &'a str,
    /// The namespace, or empty.
    pub namespace: &'a str,
    /// The object that stands now; `None` on create.
    pub old: Option<&'a Value>,
    /// Whether nothing will be stored.
    pub dry_run: bool,
}

impl Request<'_> {
    /// Whether this is a create of a kind's objects themselves.
    pub fn creates(&self, group: &str, plural: &str) -> bool {
        self.old.is_none() && self.is(group, plural)
    }

    /// Whether this is a write of a kind's objects themselves.
    pub fn is(&self, group: &str, plural: &str) -> bool {
        self.subresource.is_empty() && self.kind.group == group && self.kind.plural == plural
    }

    /// A refusal.
    pub fn forbidden(&self, name: &str, why: &str) -> Status {
        Status::forbidden(&self.kind.group, &self.kind.plural, name, why)
    }
}

/// One policy.
#[async_trait]
pub trait Plugin: Send + Sync {
    /// Upstream's name for it, which its type has, too.
    fn name(&self) -> &'static str {
        let name = std::any::type_name::<Self>();
        name.rsplit("::").next().unwrap_or(name)
    }

    /// Whether it only looks at objects.
    fn only_validates(&self) -> bool {
        false
    }

    /// Whether it has to do with writes like this one, whatever the object is.
    fn concerns(&self, request: &Request<'_>) -> bool;

    /// Changes the object, or refuses it.
    async fn admit(&self, request: &Request<'_>, object: &mut Value) -> Result<(), Status>;
}

/// The plugins, in the order in which they run.
const PLUGINS: [&dyn Plugin; 16] = [
    &custom_resource_terminating::CustomResourceTerminating,
    &namespace_lifecycle::NamespaceLifecycle,
    &service_account::ServiceAccount,
    &taint_nodes_by_condition::TaintNodesByCondition,
    &priority::Priority,
    &pod_group_workload_exists::PodGroupWorkloadExists,
    &default_toleration_seconds::DefaultTolerationSeconds,
    &default_storage_class::DefaultStorageClass,
    &storage_object_in_use_protection::StorageObjectInUseProtection,
    &persistent_volume_claim_resize::PersistentVolumeClaimResize,
    &runtime_class::RuntimeClass,
    &certificate_approval::CertificateApproval,
    &certificate_signing::CertificateSigning,
    &cluster_trust_bundle_attest::ClusterTrustBundleAttest,
    &certificate_subject_restriction::CertificateSubjectRestriction,
    &default_ingress_class::DefaultIngressClass,
];

fn step(plugin: &dyn Plugin) -> Step {
    match plugin.only_validates() {
        true => Step::Validate,
        false => Step::Admit,
    }
}

/// Measures of how long the plugins take.
pub fn measures() -> Admissions {
    Admissions::new(PLUGINS.iter().map(|plugin| (plugin.name(), step(*plugin))))
}

/// Runs all plugins.
pub async fn admit(request: &Request<'_>, object: &mut Value) -> Result<(), Status> {
    let operation = match request.old {
        None => Operation::Create,
        Some(_) => Operation::Update,
    };
    let measures = &request.api.admissions;
    // A step is all plugins that do the same: change objects, or look at them.
    let mut steps = [Duration::ZERO; 2];
    for (number, plugin) in PLUGINS.into_iter().enumerate() {
        let step = step(plugin);
        // Most plugins have nothing to do with most writes: no clock is read to know that.
        if !plugin.concerns(request) {
            measures.note(number, operation, false, Duration::ZERO);
            continue;
        }
        let start = Instant::now();
        let result = plugin.admit(request, object).await;
        let took = start.elapsed();
        steps[step as usize] += took;
        measures.note(number, operation, result.is_err(), took);
        if result.is_err() {
            measures.note_step(step, operation, true, steps[step as usize]);
            return result;
        }
    }
    for step in Step::ALL {
        measures.note_step(step, operation, false, steps[step as usize]);
    }
    Ok(())
}
