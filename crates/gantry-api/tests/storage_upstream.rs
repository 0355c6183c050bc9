//! Upstream's round-trip objects, where they are at hand: what is stored and read again is what it was.

use gantry_api::kinds;
use serde_json::Value;
use std::path::Path;

#[test]
fn nothing_is_lost_in_the_store() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = here
        .ancestors()
        .map(|a| a.join("../shared/upstream/api-roundtrip"))
        .find(|p| p.exists());
    let Some(folder) = folder else {
        println!("skipped: no ../shared/upstream");
        return;
    };
    let (mut seen, mut bad) = (0, Vec::new());
    // The data has the API's own groups; these two are of servers beside it.
    let apart = ["apiextensions.k8s.io", "apiregistration.k8s.io"];
    for kind in kinds::builtin() {
        if apart.contains(&kind.group.as_str()) {
            continue;
        }
        let group = if kind.group.is_empty() {
            "core"
        } else {
            &kind.group
        };
        let name = format!("{group}.{}.{}", kind.version, kind.kind);
        let Ok(text) = std::fs::read(folder.join(format!("{name}.json"))) else {
            bad.push(format!("{name} is not there"));
            continue;
        };
        seen += 1;
        let object: Value = serde_json::from_slice(&text).unwrap();
        let again = |object: &Value| {
            let mut stored = kind.hooks.to_storage(object).into_owned();
            kind.hooks.from_storage(&mut stored);
            stored
        };
        let mut back = again(&object);
        if name == "autoscaling.v1.HorizontalPodAutoscaler" {
            // As upstream's, it comes back with what the stored version knows besides, and stays so.
            assert_eq!(again(&back), back);
            let annotations = back["metadata"]["annotations"].as_object_mut().unwrap();
            annotations.retain(|key, _| !key.starts_with("autoscaling.alpha.kubernetes.io/"));
        }
        if back != object {
            bad.push(format!("{name}:\n  {object}\n  {back}"));
        }
    }
    assert!(seen > 30, "only {seen} objects");
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}
