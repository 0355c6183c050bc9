//! Upstream's round-trip objects in both forms, where they are at hand: bytes and trees must become each other.

use gantry_api::{protobuf, schema};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn upstream(part: &str) -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors()
        .map(|a| a.join("../shared/upstream").join(part))
        .find(|p| p.exists())
}

#[test]
fn objects_become_upstreams_bytes_and_back() {
    let Some(folder) = upstream("api-roundtrip") else {
        println!("skipped: no ../shared/upstream");
        return;
    };
    let (mut seen, mut bad) = (0, Vec::new());
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "pb") {
            continue;
        }
        let object: Value =
            serde_json::from_slice(&std::fs::read(path.with_extension("json")).unwrap()).unwrap();
        if !protobuf::has_form(&object) {
            continue;
        }
        seen += 1;
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let bytes = std::fs::read(&path).unwrap();
        match protobuf::decode_object(&bytes, None) {
            Ok(decoded) if decoded == object => {}
            Ok(decoded) => bad.push(format!(
                "{name} decoded: {}",
                difference(&decoded, &object, String::new())
            )),
            Err(error) => bad.push(format!("{name} decoded: {error}")),
        }
        match protobuf::encode_object(&object) {
            Ok(encoded) if encoded == bytes => {}
            Ok(encoded) => {
                let at = encoded.iter().zip(&bytes).take_while(|(a, b)| a == b).count();
                let near = String::from_utf8_lossy(&bytes[at.saturating_sub(40)..at]).into_owned();
                bad.push(format!("{name} encoded: differs after {near:?}"));
            }
            Err(error) => bad.push(format!("{name} encoded: {error}")),
        }
    }
    assert!(seen > 50, "only {seen} objects have a protobuf form");
    assert!(bad.is_empty(), "{} of {seen}:\n{}", bad.len(), bad.join("\n"));
}

/// Where two trees first differ.
fn difference(a: &Value, b: &Value, at: String) -> String {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            let mut keys: Vec<&String> = x.keys().chain(y.keys()).collect();
            keys.sort();
            for key in keys {
                match (x.get(key), y.get(key)) {
                    (Some(a), Some(b)) if a == b => {}
                    (Some(a), Some(b)) => return difference(a, b, format!("{at}.{key}")),
                    (Some(_), None) => return format!("{at}.{key} is too much"),
                    _ => return format!("{at}.{key} is missing"),
                }
            }
            at
        }
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() => {
            match x.iter().zip(y).position(|(a, b)| a != b) {
                Some(i) => difference(&x[i], &y[i], format!("{at}[{i}]")),
                None => at,
            }
        }
        _ => format!("{at} is {a}, not {b}"),
    }
}

#[test]
fn numbers_are_upstreams() {
    let Some(path) = upstream("protobuf-fields.json") else {
        println!("skipped: no ../shared/upstream");
        return;
    };
    let numbers: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let (mut seen, mut bad) = (0, Vec::new());
    for (name, fields) in numbers.as_object().unwrap() {
        let Some(message) = schema::message(&format!("io.k8s.{name}")) else {
            continue;
        };
        for (field, about) in fields.as_object().unwrap() {
            let Some(known) = message.field(field).filter(|f| f.path.len() == 1) else {
                continue;
            };
            seen += 1;
            if u64::from(known.path[0]) != about[0].as_u64().unwrap() {
                bad.push(format!("{name}.{field} is {}, not {}", known.path[0], about[0]));
            }
        }
    }
    assert!(seen > 1000, "only {seen} fields were compared");
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}
