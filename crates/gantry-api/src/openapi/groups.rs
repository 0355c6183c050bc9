//! The paths that lead to the kinds.

use super::paths::{META, OBJECT, Operation, Path, capital, root, tag, title};
use crate::kind::Kind;

/// The paths that lead to the kinds: versions, groups and resources.
pub(super) fn of_groups(kinds: &[&Kind]) -> Vec<Path> {
    // Upstream writes none down for groups of custom resources.
    let built_in = kinds.iter().filter(|k| k.custom.is_none());
    let mut versions: Vec<(&str, &str)> = built_in.map(|k| (&*k.group, &*k.version)).collect();
    versions.sort();
    versions.dedup();
    let mut groups: Vec<&str> = versions.iter().map(|v| v.0).collect();
    groups.dedup();
    let mut paths = vec![
        about(
            "/version/".into(),
            "getCodeVersion",
            "version",
            "The server's version.",
        ),
        about(
            "/openid/v1/jwks/".into(),
            "getServiceAccountIssuerOpenIDKeyset",
            "openid",
            "The keys of service-account tokens.",
        ),
        about(
            "/.well-known/openid-configuration/".into(),
            "getServiceAccountIssuerOpenIDConfiguration",
            "WellKnown",
            "The issuer of service-account tokens.",
        ),
        about("/apis/".into(), "getAPIVersions", "apis", "The groups."),
    ];
    for group in groups {
        let (title, tag) = (title(group), tag(group));
        paths.push(match group {
            "" => about(
                "/api/".into(),
                "getCoreAPIVersions",
                "core",
                "The core group's versions.",
            ),
            _ => about(
                format!("/apis/{group}/"),
                &format!("get{title}APIGroup"),
                &tag,
                "The group's versions.",
            ),
        });
    }
    for (group, version) in versions {
        let id = format!("get{}{}APIResources", title(group), capital(version));
        let tag = format!("{}_{version}", tag(group));
        paths.push(about(
            format!("{}/", root(group, version)),
            &id,
            &tag,
            "The resources.",
        ));
    }
    paths
}

fn about(path: String, id: &str, tag: &str, description: &str) -> Path {
    let (media, definition): (&'static [&'static str], _) = match path.as_str() {
        "/version/" => (
            &["application/json"],
            "io.k8s.apimachinery.pkg.version.Info".to_string(),
        ),
        "/openid/v1/jwks/" => (&["application/jwk-set+json"], String::new()),
        "/.well-known/openid-configuration/" => (&["application/json"], String::new()),
        "/api/" => (OBJECT, format!("{META}.APIVersions")),
        "/apis/" => (OBJECT, format!("{META}.APIGroupList")),
        _ if id.ends_with("APIGroup") => (OBJECT, format!("{META}.APIGroup")),
        _ => (OBJECT, format!("{META}.APIResourceList")),
    };
    let text = definition.is_empty();
    let operation = Operation {
        method: "get",
        id: id.into(),
        action: "",
        gvk: None,
        tag: tag.into(),
        description: description.into(),
        consumes: if text { &[] } else { media },
        produces: media,
        parameters: Vec::new(),
        body: None,
        codes: &[200],
        answer: (!text).then_some(definition),
    };
    Path {
        path,
        operations: vec![operation],
    }
}
