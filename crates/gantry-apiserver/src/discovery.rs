//! Discovery: which groups, versions and resources are served. All of it derives from the kinds.

use crate::health;
use crate::request::Kinds;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gantry_api::kind::{Kind, Scope};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// The answer at a discovery path; `aggregated` when the client asked for all in one.
pub fn answer(path: &str, kinds: &Kinds, aggregated: bool) -> Option<Value> {
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
    match parts.as_slice() {
        ["api" | "apis"] if aggregated => Some(all(kinds, parts[0] == "api")),
        ["api"] => Some(json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})),
        ["apis"] => {
            let groups: Vec<Value> = groups(kinds).iter().map(|g| group(kinds, g)).collect();
            Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
        }
        ["apis", name] => groups(kinds).iter().any(|g| g == name).then(|| {
            let mut answer = group(kinds, name);
            answer["kind"] = "APIGroup".into();
            answer["apiVersion"] = "v1".into();
            answer
        }),
        ["api", version] => resources(kinds, "", version),
        ["apis", group, version] => resources(kinds, group, version),
        _ => None,
    }
}

/// Whether a path is that of a version of one of the server's own groups.
pub fn is_builtin_version(path: &str, kinds: &Kinds) -> bool {
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
    matches!(parts.as_slice(), ["apis", group, version]
        if kinds.iter().any(|k| k.group == *group && k.version == *version && k.custom.is_none()))
}

/// The paths served, for whoever asks at `/`.
pub fn paths(kinds: &Kinds) -> Value {
    let own = [
        "/.well-known/openid-configuration",
        "/api",
        "/apis",
        "/apis/",
        "/metrics",
        "/metrics/slis",
        "/openapi/v2",
        "/openapi/v3",
        "/openapi/v3/",
        "/openid/v1/jwks",
        "/version",
    ];
    let mut paths: BTreeSet<String> = own.map(String::from).into();
    paths.extend(health::paths());
    for (group, version) in kinds.group_versions() {
        let place = match group.as_str() {
            "" => format!("/api/{version}"),
            _ => format!("/apis/{group}/{version}"),
        };
        paths.insert(place);
        if !group.is_empty() {
            paths.insert(format!("/apis/{group}"));
        }
    }
    json!({"paths": paths})
}

/// Kinds that upstream still stores as v1beta1, and says so, so that servers of the release before can read them.
const V1BETA1: [(&str, &str); 3] = [
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
];

/// What changes when a kind's objects come to be stored in another form.
fn storage_version_hash(kind: &Kind) -> String {
    const KEPT: usize = 8;
    let own = json!({"apiVersion": kind.api_version(), "kind": kind.kind});
    let stored = kind.hooks.to_storage(&own);
    let version = match stored["apiVersion"].as_str().unwrap_or("") {
        _ if V1BETA1.contains(&(&kind.group, &kind.kind)) => &format!("{}/v1beta1", kind.group),
        version => version,
    };
    // The core group has an empty name here.
    let name = match version.contains('/') {
        true => format!("{version}/{}", kind.kind),
        false => format!("/{version}/{}", kind.kind),
    };
    STANDARD.encode(&Sha256::digest(name)[..KEPT])
}

fn groups(kinds: &Kinds) -> Vec<String> {
    let named = kinds
        .group_versions()
        .into_iter()
        .map(|(g, _)| g)
        .filter(|g| !g.is_empty());
    let mut groups: Vec<String> = named.collect();
    groups.dedup();
    groups
}

fn group(kinds: &Kinds, name: &str) -> Value {
    let versions: Vec<Value> = kinds
        .group_versions()
        .into_iter()
        .filter(|(g, _)| g == name)
        .map(|(g, v)| json!({"groupVersion": format!("{g}/{v}"), "version": v}))
        .collect();
    json!({"name": name, "versions": versions, "preferredVersion": versions[0]})
}

fn resources(kinds: &Kinds, group: &str, version: &str) -> Option<Value> {
    let kinds = kinds.of(group, version);
    let first = kinds.first()?;
    let resources: Vec<Value> = kinds.iter().flat_map(|k| entries(k)).collect();
    let mut answer = json!({
        "kind": "APIResourceList", "groupVersion": first.api_version(), "resources": resources,
    });
    // Upstream's core group is older than this.
    if !group.is_empty() {
        answer["apiVersion"] = "v1".into();
    }
    Some(answer)
}

fn entries(kind: &Kind) -> Vec<Value> {
    let namespaced = kind.scope == Scope::Namespaced;
    let mut main = json!({
        "name": kind.plural, "singularName": kind.singular, "namespaced": namespaced, "kind": kind.kind, "verbs": kind.offered_verbs(),
    });
    if !kind.short_names.is_empty() {
        main["shortNames"] = json!(kind.short_names);
    }
    if !kind.categories.is_empty() {
        main["categories"] = json!(kind.categories);
    }
    if kind.verbs.contains(&"watch") {
        main["storageVersionHash"] = storage_version_hash(kind).into();
    }
    let mut all = vec![main];
    for sub in &kind.subresources {
        let body = sub.body(kind);
        let mut entry = json!({
            "name": format!("{}/{}", kind.plural, sub.name()), "singularName": "", "namespaced": namespaced,
            "kind": body.kind, "verbs": sub.verbs(),
        });
        if let Some((group, version)) = body.group_version {
            entry["group"] = group.into();
            entry["version"] = version.into();
        }
        all.push(entry);
    }
    all
}

/// The aggregated form, version v2.
fn all(kinds: &Kinds, core: bool) -> Value {
    let mut items: Vec<Value> = Vec::new();
    for (group, version) in kinds.group_versions() {
        if group.is_empty() != core {
            continue;
        }
        let resources: Vec<Value> = kinds
            .of(&group, &version)
            .iter()
            .map(|k| aggregated_entry(k))
            .collect();
        let entry = json!({"version": version, "freshness": "Current", "resources": resources});
        match items
            .last_mut()
            .filter(|i| !core && i["metadata"]["name"] == group.as_str())
        {
            Some(item) => item["versions"]
                .as_array_mut()
                .into_iter()
                .for_each(|v| v.push(entry.clone())),
            None => items.push(json!({"metadata": {"name": group}, "versions": [entry]})),
        }
    }
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn aggregated_entry(kind: &Kind) -> Value {
    // Of built-in kinds upstream names neither.
    let (group, version) = match kind.custom {
        Some(_) => (kind.group.as_str(), kind.version.as_str()),
        None => ("", ""),
    };
    let mut entry = json!({
        "resource": kind.plural, "responseKind": {"group": group, "version": version, "kind": kind.kind},
        "singularResource": kind.singular, "verbs": kind.offered_verbs(),
        "scope": if kind.scope == Scope::Namespaced { "Namespaced" } else { "Cluster" },
    });
    if !kind.short_names.is_empty() {
        entry["shortNames"] = json!(kind.short_names);
    }
    if !kind.categories.is_empty() {
        entry["categories"] = json!(kind.categories);
    }
    let subs: Vec<Value> = kind
        .subresources
        .iter()
        .map(|sub| {
            let body = sub.body(kind);
            let (group, version) = body.group_version.unwrap_or((group, version));
            let response = json!({"group": group, "version": version, "kind": body.kind});
            json!({"subresource": sub.name(), "responseKind": response, "verbs": sub.verbs()})
        })
        .collect();
    if !subs.is_empty() {
        entry["subresources"] = subs.into();
    }
    entry
}
