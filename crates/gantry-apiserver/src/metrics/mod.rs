//! `/metrics` and `/metrics/slis`: what the server counts, in Prometheus' text format, under upstream's names.

mod admissions;
mod distribution;
mod healthchecks;
mod process;
mod requests;
mod text;

pub use admissions::{Admissions, Operation, Step};
pub use healthchecks::Healthchecks;
pub use process::most_files;
pub use requests::{Meter, Requests};

use crate::handler::MoreMetrics;
use crate::respond::{self, Body};
use crate::verbs::Api;
use bytes::Bytes;
use gantry_api::features;
use gantry_store::{RangeRequest, ReadError};
use http::Response;
use text::Text;

const TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers with all metrics, `more` of them last. `version` is what `/version` answers.
pub async fn answer(
    requests: &Requests,
    api: &Api,
    more: Option<&MoreMetrics>,
    version: &serde_json::Value,
) -> Response<Body> {
    let mut text = Text::default();
    requests.write(&mut text);
    api.admissions.write(&mut text);
    objects(api, &mut text).await;
    if let Some(size) = api.registry.store().size() {
        let name = "apiserver_storage_size_bytes";
        let help = "[STABLE] Size of the storage database file physically allocated in bytes.";
        text.family(name, "gauge", help);
        text.value(name, &[("storage_cluster_id", "gantry")], size as f64);
    }
    let build = [
        ("major", "major"),
        ("minor", "minor"),
        ("git_version", "gitVersion"),
        ("git_commit", "gitCommit"),
        ("platform", "platform"),
    ];
    let labels: Vec<(&str, &str)> = build
        .iter()
        .map(|(label, field)| (*label, version[field].as_str().unwrap_or("")))
        .collect();
    let name = "kubernetes_build_info";
    let help = "[BETA] A metric with a constant '1' value labeled by major, minor, git version, git commit and platform.";
    text.family(name, "gauge", help);
    text.value(name, &labels, 1.0);
    features(&mut text);
    process::write(&mut text);
    if let Some(more) = more {
        text.0.push_str(&more());
    }
    respond::with_type(200, TYPE, text.0)
}

/// Which features are on.
fn features(text: &mut Text) {
    let name = "kubernetes_feature_enabled";
    let help = "[BETA] This metric records the data about the stage and enablement of a k8s feature.";
    text.family(name, "gauge", help);
    for (feature, on) in features::all() {
        let labels = [("name", feature.name()), ("stage", feature.stage().name())];
        text.value(name, &labels, f64::from(u8::from(on)));
    }
}

/// How many objects of each kind are stored; -1 where that cannot be read.
async fn objects(api: &Api, text: &mut Text) {
    let name = "apiserver_resource_objects";
    let help = "[ALPHA] Number of stored objects at the time of last check split by kind. In case of a fetching error, the value will be -1.";
    text.family(name, "gauge", help);
    let mut counted = Vec::new();
    for kind in api.kinds.now().iter().filter(|k| k.verbs.contains(&"list")) {
        let count = match count(api, &kind.prefix(None)).await {
            Ok(count) => count as f64,
            Err(error) => {
                tracing::warn!("the stored {} cannot be counted: {error}", kind.plural);
                -1.0
            }
        };
        text.value(name, &[("group", &kind.group), ("resource", &kind.plural)], count);
        let of_group = if kind.group.is_empty() { "" } else { "." };
        counted.push((format!("{}{of_group}{}", kind.plural, kind.group), count));
    }
    // Versions of one kind are stored as one.
    counted.sort_by(|a, b| a.0.cmp(&b.0));
    counted.dedup_by(|a, b| a.0 == b.0);
    let name = "apiserver_storage_objects";
    let help = "[STABLE] (Deprecated since 1.34.0) [DEPRECATED, consider using apiserver_resource_objects instead] Number of stored objects at the time of last check split by kind. In case of a fetching error, the value will be -1.";
    text.family(name, "gauge", help);
    for (resource, count) in counted {
        text.value(name, &[("resource", &resource)], count);
    }
}

async fn count(api: &Api, prefix: &str) -> Result<usize, ReadError> {
    let prefix = Bytes::copy_from_slice(prefix.as_bytes());
    let request = RangeRequest {
        limit: 1,
        count: true,
        ..RangeRequest::all(&prefix)
    };
    let result = api.registry.store().range(request).await?;
    Ok(result.count.unwrap_or(result.entries.len()))
}
