//! What the API server serves, asked of itself: controllers that work on everything must see new kinds too.

use crate::object::{items, text};
use crate::runner::Error;
use gantry_client::{Client, Resource};
use http::Method;
use std::collections::HashSet;

/// What is served, and what could not be found out.
#[derive(Default)]
pub(crate) struct Discovered {
    /// Each resource once, in its group's preferred version.
    pub(crate) resources: Vec<(Resource, HashSet<String>)>,
    /// Groups' versions that gave no answer, and why.
    pub(crate) failures: Vec<String>,
}

/// Asks what is served.
pub(crate) async fn discover(client: &Client) -> Result<Discovered, Error> {
    let mut found = Discovered::default();
    let mut seen = HashSet::new();
    for (path, group, version) in versions(client).await? {
        let list = match client.raw(Method::GET, &path, None).await {
            Ok(list) => list,
            Err(error) => {
                found.failures.push(format!("{group}/{version}: {error}"));
                continue;
            }
        };
        for entry in items(&list["resources"]).filter(|e| !text(&e["name"]).contains('/')) {
            if !seen.insert((group.clone(), text(&entry["name"]).to_string())) {
                continue;
            }
            let resource = Resource {
                group: group.as_str().into(),
                version: version.as_str().into(),
                plural: text(&entry["name"]).into(),
                kind: text(&entry["kind"]).into(),
                namespaced: entry["namespaced"] == true,
            };
            let verbs = items(&entry["verbs"]).map(|v| text(v).to_string()).collect();
            found.resources.push((resource, verbs));
        }
    }
    Ok(found)
}

/// Path, group and version of each version served, the preferred first within a group.
async fn versions(client: &Client) -> Result<Vec<(String, String, String)>, Error> {
    let core = client.raw(Method::GET, "/api", None).await?;
    let mut all: Vec<_> = items(&core["versions"])
        .map(|v| (format!("/api/{}", text(v)), String::new(), text(v).to_string()))
        .collect();
    let groups = client.raw(Method::GET, "/apis", None).await?;
    for group in items(&groups["groups"]) {
        let name = text(&group["name"]);
        let preferred = text(&group["preferredVersion"]["version"]);
        let mut versions: Vec<&str> = items(&group["versions"]).map(|v| text(&v["version"])).collect();
        versions.sort_by_key(|v| *v != preferred);
        all.extend(
            versions
                .iter()
                .map(|v| (format!("/apis/{name}/{v}"), name.to_string(), v.to_string())),
        );
    }
    Ok(all)
}
