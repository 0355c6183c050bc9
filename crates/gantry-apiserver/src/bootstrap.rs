//! What a new cluster carries: its namespaces, default roles and priority classes, and how to know its
//! clients. Each start adds what is
//! missing.

use crate::options::FieldValidation;
use crate::pipeline;
use crate::registry::{Registry, revision_of};
use crate::request::Kinds;
use crate::verbs::stamp;
use crate::warnings::Warnings;
use futures::future::{try_join, try_join_all};
use gantry_api::status::Status;
use gantry_api::{flowcontrol, meta};
use gantry_auth::rbac;
use serde_json::{Value, json};

/// Creates the objects that are missing. `client_ca` is the authority that clients' certificates are checked against.
pub async fn run(registry: &Registry, kinds: &Kinds, client_ca: &str) -> Result<(), Status> {
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        ensure(
            registry,
            kinds,
            ("", "v1", "namespaces"),
            json!({"metadata": {"name": name}}),
            |_, _| None,
        )
        .await?;
    }
    let policy = [
        ("clusterroles", rbac::bootstrap_cluster_roles()),
        ("clusterrolebindings", rbac::bootstrap_cluster_role_bindings()),
        ("roles", rbac::bootstrap_roles()),
        ("rolebindings", rbac::bootstrap_role_bindings()),
    ];
    // All at once, so that the store commits them together.
    let classes = priority_classes().map(|class| {
        let place = ("scheduling.k8s.io", "v1", "priorityclasses");
        ensure(registry, kinds, place, class, |_, _| None)
    });
    let roles = policy.into_iter().flat_map(|(plural, objects)| {
        let place = (rbac::API_GROUP, "v1", plural);
        let write = move |object| ensure(registry, kinds, place, object, rbac::reconciled);
        objects.into_iter().map(write)
    });
    try_join(try_join_all(roles), try_join_all(classes)).await?;
    flow_control(registry, kinds).await?;
    // How API servers beside this one learn whom to believe.
    let authentication = json!({
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": {"client-ca-file": client_ca},
    });
    let place = ("", "v1", "configmaps");
    ensure(registry, kinds, place, authentication, |wanted, stored| {
        let mut object = stored.clone();
        object["data"]["client-ca-file"] = wanted["data"]["client-ca-file"].clone();
        (object != *stored).then_some(object)
    })
    .await
}

/// The priority classes of what a cluster cannot do without, in upstream's words.
fn priority_classes() -> [Value; 2] {
    [
        (
            "system-node-critical",
            2_000_001_000,
            "Used for system critical pods that must not be moved from their current node.",
        ),
        (
            "system-cluster-critical",
            2_000_000_000,
            "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
        ),
    ]
    .map(|(name, value, description)| {
        json!({"metadata": {"name": name}, "value": value, "description": description})
    })
}

/// Makes the priority levels and flow schemas; without them, should they not be served, requests are all alike.
async fn flow_control(registry: &Registry, kinds: &Kinds) -> Result<(), Status> {
    let lists = [
        ("prioritylevelconfigurations", flowcontrol::priority_levels()),
        ("flowschemas", flowcontrol::flow_schemas()),
    ];
    let places = lists.into_iter().flat_map(|(plural, objects)| {
        let place = ("flowcontrol.apiserver.k8s.io", "v1", plural);
        let served = kinds.get(place.0, place.1, place.2).is_some();
        objects
            .into_iter()
            .filter(move |_| served)
            .map(move |object| (place, object))
    });
    let write = |(place, object)| ensure(registry, kinds, place, object, flowcontrol::reconciled);
    try_join_all(places.map(write)).await.map(|_| ())
}

/// Creates an object, or gives the one that is there what it lacks: `mend(wanted, stored)` says what to store.
pub async fn ensure(
    registry: &Registry,
    kinds: &Kinds,
    (group, version, plural): (&str, &str, &str),
    object: Value,
    mend: fn(&Value, &Value) -> Option<Value>,
) -> Result<(), Status> {
    let kind = kinds
        .get(group, version, plural)
        .ok_or_else(|| Status::internal(format!("{plural}.{group} is needed to start and is not served")))?;
    let mut decoded = pipeline::decode(
        &kind,
        object.into(),
        FieldValidation::Ignore,
        &Warnings::default(),
    )?;
    let namespace = meta::namespace(decoded.object()).to_owned();
    let namespace = Some(namespace.as_str()).filter(|n| !n.is_empty());
    let name = meta::name(decoded.object()).to_owned();
    match registry.get(&kind, namespace, &name).await {
        Ok(stored) => {
            let Some(mended) = mend(decoded.object(), &stored) else {
                return Ok(());
            };
            let mended = pipeline::decode(
                &kind,
                mended.into(),
                FieldValidation::Ignore,
                &Warnings::default(),
            )?;
            let (admitted, _) = mended.admit_update(&kind, &stored, None, |_, _| {}, None).await?;
            let validated = admitted.validate_update(&kind, &stored, None, &Warnings::default())?;
            registry
                .update(&kind, validated, revision_of(&stored))
                .await
                .map(|_| ())
        }
        Err(status) if status.code == 404 => {
            stamp(decoded.metadata());
            decoded.default(&kind);
            let (admitted, _) = decoded.admit_create(&kind, None).await?;
            let validated = admitted.validate_create(&kind)?;
            registry.create(&kind, validated).await.map(|_| ())
        }
        Err(status) => Err(status),
    }
}
