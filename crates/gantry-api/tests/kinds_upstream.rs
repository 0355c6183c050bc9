//! Compares the built-in kinds with what upstream serves and with its round-trip objects, where those are at hand.

use gantry_api::kind::{Kind, Scope};
use gantry_api::{kinds, schema};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn upstream(part: &str) -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = here
        .ancestors()
        .map(|a| a.join("../shared/upstream").join(part))
        .find(|d| d.is_dir());
    if found.is_none() {
        println!("skipped: no ../shared/upstream");
    }
    found
}

fn read(path: &Path) -> Option<Value> {
    let bytes = std::fs::read(path).ok()?;
    Some(serde_json::from_slice(&bytes).unwrap())
}

#[test]
fn hooks_take_whole_objects_and_make_known_fields() {
    let Some(folder) = upstream("api-roundtrip") else {
        return;
    };
    let mut seen = 0;
    for kind in kinds::builtin() {
        let group = if kind.group.is_empty() {
            "core"
        } else {
            &kind.group
        };
        let Some(mut object) = read(&folder.join(format!("{group}.{}.{}.json", kind.version, kind.kind)))
        else {
            continue;
        };
        let message = schema::message_for(&kind.group, &kind.version, &kind.kind).unwrap();
        let hooks = &kind.hooks;
        hooks.default(&mut object);
        let old = object.clone();
        hooks.prepare_create(&mut object);
        hooks.validate(&object);
        hooks.validate_create(&object);
        hooks.prepare_update(&mut object, &old);
        hooks.validate_update(&object, &old);
        for subresource in &kind.subresources {
            hooks.prepare_subresource(*subresource, &mut object, &old);
            hooks.validate_subresource(*subresource, &object, &old);
        }
        for column in &kind.columns {
            column.value(&hooks.printed(&object), 0);
        }
        assert_eq!(
            schema::check(message, &mut object),
            Ok(Vec::new()),
            "{}",
            kind.kind
        );
        seen += 1;
    }
    assert!(seen > 40, "{seen}");
}

#[test]
fn kinds_are_served_as_upstream_serves_them() {
    let Some(folder) = upstream("discovery") else {
        return;
    };
    let mut wrong = Vec::new();
    for kind in kinds::builtin() {
        let file = match kind.group.is_empty() {
            true => format!("api__{}.json", kind.version),
            false => format!("apis__{}__{}.json", kind.group, kind.version),
        };
        let found = read(&folder.join(file)).unwrap_or_default();
        let resources = found["resources"].as_array().cloned().unwrap_or_default();
        let of = |name: &str| resources.iter().find(|r| r["name"] == name);
        let own = shape(&kind);
        match of(&kind.plural) {
            Some(theirs) => {
                for field in [
                    "singularName",
                    "namespaced",
                    "kind",
                    "verbs",
                    "shortNames",
                    "categories",
                ] {
                    if own[field] != theirs[field] {
                        wrong.push(format!("{} {field}: {} {}", kind.kind, own[field], theirs[field]));
                    }
                }
            }
            None => wrong.push(format!("{} {} is not served", kind.api_version(), kind.kind)),
        }
        let start = format!("{}/", kind.plural);
        let theirs = resources
            .iter()
            .filter_map(|r| r["name"].as_str()?.strip_prefix(&start));
        let mut theirs: Vec<&str> = theirs.collect();
        let mut own: Vec<&str> = kind.subresources.iter().map(|s| s.name()).collect();
        theirs.sort_unstable();
        own.sort_unstable();
        if own != theirs {
            wrong.push(format!("{}'s subresources: {own:?} {theirs:?}", kind.kind));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn shape(kind: &Kind) -> Value {
    let mut shape = json!({
        "singularName": kind.singular, "namespaced": kind.scope == Scope::Namespaced, "kind": kind.kind,
        "verbs": kind.verbs,
    });
    if !kind.short_names.is_empty() {
        shape["shortNames"] = json!(kind.short_names);
    }
    if !kind.categories.is_empty() {
        shape["categories"] = json!(kind.categories);
    }
    shape
}
