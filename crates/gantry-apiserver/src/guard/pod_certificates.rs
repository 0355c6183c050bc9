//! Who may ask for pods' certificates, and who may issue them.
//!
//! Sources: plugin/pkg/admission/noderestriction, and the status strategy in
//! pkg/registry/certificates/podcertificaterequest.

use crate::call::Call;
use crate::verbs::Api;
use gantry_api::field::Error;
use gantry_api::meta;
use gantry_api::status::Status;
use serde_json::Value;

const MIRROR: &str = "kubernetes.io/config.mirror";

/// Checks a write of a request: nodes ask for their own pods, signers answer what they sign for.
pub async fn check(
    api: &Api,
    call: &Call,
    verb: &str,
    new: Option<&Value>,
    old: Option<&Value>,
) -> Result<(), Status> {
    if let Some(node) = call.user.node_name() {
        match (verb, new) {
            ("create", Some(request)) => asks_for_own_pod(api, call, node, request).await?,
            (verb, _) => {
                let why = format!("unexpected operation {}", verb.to_uppercase());
                return Err(forbidden(call, &why));
            }
        }
    }
    let (Some(new), Some(old)) = (new, old) else {
        return Ok(());
    };
    let signer = text(old, "signerName");
    if new["status"] == old["status"] || api.authorizer.may_for_signer(&call.user, "sign", signer) {
        return Ok(());
    }
    let why = format!(
        "User {:?} is not permitted to \"sign\" for signer {signer:?}",
        call.user.name
    );
    let kind = &call.target.kind;
    let errors = [Error::forbidden("spec.signerName", why)];
    Err(Status::invalid(&kind.group, &kind.kind, meta::name(old), &errors))
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["spec"][field].as_str().unwrap_or_default()
}

fn forbidden(call: &Call, why: &str) -> Status {
    let (kind, name) = (&call.target.kind, call.target.name.as_deref().unwrap_or_default());
    Status::forbidden(&kind.group, &kind.plural, name, why)
}

/// What the node may not know yet is an error to try again after, and no refusal.
fn unsettled(why: String) -> Status {
    Status::new(500, "", why)
}

async fn asks_for_own_pod(api: &Api, call: &Call, node: &str, request: &Value) -> Result<(), Status> {
    let namespace = call.namespace().unwrap_or_default();
    let of = |field: &str| text(request, field);
    let pod_place = format!("{namespace}/{}", of("podName"));
    if of("nodeName") != node {
        let why = format!(
            "PodCertificateRequest.Spec.NodeName={:?}, which is not the requesting node {node:?}",
            of("nodeName")
        );
        return Err(forbidden(call, &why));
    }
    let found = named(api, "node", None, node, node).await?;
    if of("nodeUID") != meta::text(&found, "uid") {
        return Err(unsettled(format!(
            "PodCertificateRequest for pod {pod_place:?} names node UID {:?}, inconsistent with the running node ({:?})",
            of("nodeUID"),
            meta::text(&found, "uid")
        )));
    }
    let pod = named(api, "pod", Some(namespace), of("podName"), &pod_place).await?;
    if of("podUID") != meta::text(&pod, "uid") {
        return Err(unsettled(format!(
            "PodCertificateRequest for pod {pod_place:?} contains pod UID ({:?}) which differs from running pod {:?}",
            of("podUID"),
            meta::text(&pod, "uid")
        )));
    }
    if text(&pod, "nodeName") != node {
        let why =
            format!("pod {pod_place:?} is not running on node {node:?} named in the PodCertificateRequest");
        return Err(forbidden(call, &why));
    }
    if pod["metadata"]["annotations"][MIRROR].is_string() {
        return Err(forbidden(call, &format!("pod {pod_place:?} is a mirror pod")));
    }
    let account = of("serviceAccountName");
    if account != text(&pod, "serviceAccountName") {
        let why = format!(
            "PodCertificateRequest for pod {pod_place:?} contains serviceAccountName ({account:?}) that differs from \
             running pod ({:?})",
            text(&pod, "serviceAccountName")
        );
        return Err(forbidden(call, &why));
    }
    let place = format!("{namespace}/{account}");
    let found = named(api, "service account", Some(namespace), account, &place).await?;
    if of("serviceAccountUID") != meta::text(&found, "uid") {
        return Err(unsettled(format!(
            "PodCertificateRequest for pod {pod_place:?} names service account UID {:?}, which differs from the \
             running service account ({:?})",
            of("serviceAccountUID"),
            meta::text(&found, "uid")
        )));
    }
    Ok(())
}

/// What a request names.
async fn named(
    api: &Api,
    what: &str,
    namespace: Option<&str>,
    name: &str,
    place: &str,
) -> Result<Value, Status> {
    let singular = what.replace(' ', "");
    let kind = api.kinds.get("", "v1", &format!("{singular}s"));
    let kind = kind.ok_or_else(|| Status::internal(format!("{singular}s are not served")))?;
    let found = api.registry.get(&kind, namespace, name).await;
    found.map_err(|status| match status.code {
        404 => unsettled(format!(
            "while retrieving {what} {place:?} named in the PodCertificateRequest: {singular} {name:?} not found"
        )),
        _ => status,
    })
}
