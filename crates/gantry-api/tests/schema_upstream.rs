//! Compares the tables with upstream's round-trip objects, where those are at hand.

use gantry_api::schema;
use serde_json::Value;

#[test]
fn roundtrip_objects_pass_unchanged() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let Some(dir) = here
        .ancestors()
        .map(|a| a.join("../shared/upstream/api-roundtrip"))
        .find(|d| d.is_dir())
    else {
        println!("skipped: no ../shared/upstream");
        return;
    };
    let (mut seen, mut bad) = (0, Vec::new());
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let mut object: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let api = object["apiVersion"].as_str().unwrap_or_default();
        let (group, version) = api.split_once('/').unwrap_or(("", api));
        let Some(m) = schema::message_for(group, version, object["kind"].as_str().unwrap_or_default()) else {
            continue;
        };
        seen += 1;
        let before = object.clone();
        let result = schema::check(m, &mut object);
        if result != Ok(Vec::new()) || object != before {
            bad.push(format!("{}: {result:?}", path.display()));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
    assert!(seen > 50, "{seen}");
}
