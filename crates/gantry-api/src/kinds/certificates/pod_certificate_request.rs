//! PodCertificateRequest

mod issued;

use crate::features::Feature;
use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::checks::{Errors, format, immutable};
use crate::kinds::columns::{column, labels, name_column};
use crate::kinds::conditions;
use crate::kinds::signer_name::signer_name;
use crate::kinds::values::{bytes, default_to, drop_zero, entries, given, keep, list, map_of, number, same, text};
use crate::kinds::{selectable, usual};
use crate::x509::{self, key};
use serde_json::{Value, json};
use time::OffsetDateTime;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        version: "v1beta1".into(),
        feature: Some(Feature::PodCertificateRequest),
        subresources: vec![Subresource::Status],
        status_alone: true,
        selectable_fields: selectable(&[
            ("spec.signerName", "spec.signerName"),
            ("spec.podName", "spec.podName"),
            ("spec.nodeName", "spec.nodeName"),
        ]),
        columns: vec![
            name_column(),
            column("PodName", "string", |o, _| text(&o["spec"]["podName"]).into()),
            column("ServiceAccountName", "string", |o, _| text(&o["spec"]["serviceAccountName"]).into()),
            column("NodeName", "string", |o, _| text(&o["spec"]["nodeName"]).into()),
            column("SignerName", "string", |o, _| text(&o["spec"]["signerName"]).into()),
            column("State", "string", |o, _| {
                let all = list(&o["status"]["conditions"]).iter().map(|c| text(&c["type"]));
                all.rev().find(|type_| ENDS.contains(type_)).unwrap_or("Pending").into()
            }),
            column("UnverifiedUserAnnotations", "string", |o, _| {
                labels(&o["spec"]["unverifiedUserAnnotations"]).into()
            }),
        ],
        hooks: Box::new(PodCertificateRequestHooks),
        ..usual(
            "certificates.k8s.io",
            "PodCertificateRequest",
            "podcertificaterequests",
            Scope::Namespaced,
        )
    }
}

/// How a request may end.
const ENDS: [&str; 3] = ["Denied", "Failed", "Issued"];
const DAY: i64 = 24 * 60 * 60;
const LARGEST: usize = 10 * 1024;
const LONGEST_UID: usize = 128;

struct PodCertificateRequestHooks;

impl Hooks for PodCertificateRequestHooks {
    fn default(&self, object: &mut Value) {
        default_to(map_of(object, "spec"), "maxExpirationSeconds", DAY);
        drop_zero(map_of(object, "status"), &["certificateChain"]);
    }

    fn prepare_create(&self, object: &mut Value) {
        object["status"] = json!({});
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        keep(object, old, "status");
    }

    fn prepare_subresource(&self, _: Subresource, object: &mut Value, old: &Value) {
        keep(object, old, "spec");
    }

    fn validate_create(&self, object: &Value) -> Vec<Error> {
        new(&object["spec"])
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        immutable(&mut errors, &Path::new("spec"), &object["spec"], &old["spec"]);
        errors
    }

    fn validate_subresource(&self, _: Subresource, object: &Value, old: &Value) -> Vec<Error> {
        status(object, old, OffsetDateTime::now_utc())
    }

    fn needs_version(&self) -> bool {
        true
    }
}

fn new(spec: &Value) -> Errors {
    let mut errors = Vec::new();
    let path = Path::new("spec");
    let signer = text(&spec["signerName"]);
    signer_name(&mut errors, &path.child("signerName"), signer);
    user_annotations(&mut errors, &path.child("unverifiedUserAnnotations"), &spec["unverifiedUserAnnotations"]);
    for (name, uid) in [("podName", "podUID"), ("serviceAccountName", "serviceAccountUID"), ("nodeName", "nodeUID")] {
        format(&mut errors, &path.child(name), text(&spec[name]), formats::dns_subdomain);
        match text(&spec[uid]) {
            "" => errors.push(Error::invalid(path.child(uid), "", "must not be empty")),
            long if long.len() > LONGEST_UID => errors.push(Error::too_long(path.child(uid), LONGEST_UID)),
            _ => {}
        }
    }
    let host = signer.split('/').next().unwrap_or_default();
    let most = match host == "kubernetes.io" || host.ends_with(".kubernetes.io") {
        true => DAY,
        false => 91 * DAY,
    };
    const LEAST: i64 = 60 * 60;
    let (at, seconds) = (path.child("maxExpirationSeconds"), &spec["maxExpirationSeconds"]);
    if !(LEAST..=most).contains(&number(seconds)) {
        let detail = format!("must be in the range [{LEAST}, {most}]");
        errors.push(Error::invalid(at, seconds.clone(), detail));
    }
    let has = |field: &str| !text(&spec[field]).is_empty();
    match (has("stubPKCS10Request"), has("pkixPublicKey"), has("proofOfPossession")) {
        (true, false, false) => errors.extend(request(&path.child("stubPKCS10Request"), &spec["stubPKCS10Request"])),
        (false, true, true) => errors.extend(proof(&path, spec)),
        _ => {
            let detail = "exactly one of (stubPKCS10Request) or (pkixPublicKey, proofOfPossession) must be set";
            errors.push(Error::malformed(path, detail));
        }
    }
    errors
}

/// Annotations whose keys all have a domain.
fn user_annotations(errors: &mut Errors, path: &Path, annotations: &Value) {
    const LIMIT: usize = 256 << 10;
    for (key, _) in entries(annotations) {
        // Case does not matter in annotations' keys.
        let key = key.to_lowercase();
        let found = errors.len();
        match key.is_empty() {
            true => errors.push(Error::required(path, "")),
            false => format(errors, path, &key, formats::qualified_name),
        }
        if errors.len() == found && !key.contains('/') {
            let detail = "must be a domain-prefixed key (such as \"acme.io/foo\")";
            errors.push(Error::invalid(path, key, detail));
        }
    }
    let sizes = entries(annotations).map(|(key, value)| key.len() + text(value).len());
    if sizes.sum::<usize>() > LIMIT {
        errors.push(Error::too_long(path, LIMIT));
    }
}

const KEYS: &str = "unknown public key type; supported types are Ed25519, ECDSA, and RSA";

/// What is wrong with a key: the value to show, unless none is, and why.
fn unfit(key: &key::PublicKey, curves: &'static str) -> Option<(Option<String>, &'static str)> {
    match key.sort {
        key::Sort::Ed25519 | key::Sort::Rsa(3072 | 4096) => None,
        key::Sort::Elliptic(curve) if curve != "P-224" => None,
        key::Sort::Elliptic(curve) => Some((Some(format!("curve {curve}")), curves)),
        key::Sort::Rsa(bits) => {
            Some((Some(format!("{bits}-bit modulus")), "RSA keys must have modulus size 3072 or 4096"))
        }
        key::Sort::Other | key::Sort::Unknown => Some((None, KEYS)),
    }
}

/// What is wrong with a request that proves possession of its key.
fn request(path: &Path, value: &Value) -> Option<Error> {
    let der = bytes(value);
    if der.len() > LARGEST {
        return Some(Error::too_long(path, LARGEST));
    }
    let Some((key, proven)) = x509::requested_key(&der) else {
        return Some(Error::malformed(path, "must be a valid PKCS#10 CSR"));
    };
    match unfit(&key, "elliptic public keys must use curve P256, P384, or P521") {
        Some((Some(shown), why)) => Some(Error::invalid(path, shown, why)),
        Some((None, why)) => Some(Error::malformed(path, why)),
        None if proven => None,
        None => Some(Error::malformed(path, "invalid signature")),
    }
}

/// What is wrong with a key and the proof that one has it, as requests had them before.
fn proof(path: &Path, spec: &Value) -> Option<Error> {
    let (at, at_proof) = (path.child("pkixPublicKey"), path.child("proofOfPossession"));
    let (der, signature) = (bytes(&spec["pkixPublicKey"]), bytes(&spec["proofOfPossession"]));
    for (at, bytes) in [(at, &der), (at_proof, &signature)] {
        if bytes.len() > LARGEST {
            return Some(Error::too_long(at, LARGEST));
        }
    }
    let wrong = |why: &str| Some(Error::invalid(at, spec["pkixPublicKey"].clone(), why));
    let Some(key) = key::PublicKey::parse(&der) else {
        return wrong("must be a valid PKIX-serialized public key");
    };
    match unfit(&key, "elliptic public keys must use curve P256 or P384") {
        Some((Some(shown), why)) => Some(Error::invalid(at, shown, why)),
        Some((None, why)) => wrong(why),
        None if key.signed(text(&spec["podUID"]).as_bytes(), &signature) => None,
        None => Some(Error::malformed(at_proof, "could not verify proof-of-possession signature")),
    }
}

/// How a request has ended.
fn end(status: &Value) -> Option<&str> {
    let is_end = |c: &&Value| ENDS.contains(&text(&c["type"])) && c["status"] == "True";
    list(&status["conditions"]).iter().find(is_end).map(|c| text(&c["type"]))
}

/// Checks a new status: a request ends once, and nothing else is noted in it.
fn status(object: &Value, old: &Value, now: OffsetDateTime) -> Errors {
    let mut errors = Vec::new();
    let (path, new, before) = (Path::new("status"), &object["status"], &old["status"]);
    let (at, all) = (path.child("conditions"), list(&new["conditions"]));
    for (i, condition) in all.iter().enumerate() {
        // Upstream writes this path so.
        let place = format!("[{i}]");
        let place = at.child(&place);
        let (type_, value) = (text(&condition["type"]), text(&condition["status"]));
        if !ENDS.contains(&type_) {
            errors.push(Error::not_supported(place.child("type"), type_, &ENDS));
            continue;
        }
        if all[..i].iter().any(|c| ENDS.contains(&text(&c["type"]))) {
            let detail = "There may be at most one condition with type \"Issued\", \"Denied\", or \"Failed\"";
            errors.push(Error::invalid(place.child("type"), type_, detail));
        }
        if value != "True" {
            errors.push(Error::not_supported(place.child("status"), value, &["True"]));
        }
    }
    conditions::conditions(&mut errors, &at, all);
    if !errors.is_empty() {
        return errors;
    }
    match (end(before), end(new)) {
        (Some(_), _) if !same(new, before) => {
            let detail = "immutable after PodCertificateRequest is issued, denied, or failed";
            errors.push(Error::malformed(path, detail));
        }
        (Some(_), _) => {}
        (None, Some("Issued")) => errors.extend(issued::check(object, old, now)),
        (None, Some(_)) => {
            let others = ["certificateChain", "notBefore", "beginRefreshAt", "notAfter"];
            if others.into_iter().any(|field| given(&new[field])) {
                let detail = "non-condition status fields must be empty when denying or failing the \
                              PodCertificateRequest";
                errors.push(Error::malformed(path, detail));
            }
        }
        (None, None) if !same(new, before) => {
            let detail = "status is immutable unless transitioning to \"Issued\", \"Denied\", or \"Failed\"";
            errors.push(Error::malformed(path, detail));
        }
        (None, None) => {}
    }
    errors
}

#[cfg(test)]
mod tests;
