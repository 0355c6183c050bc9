//! Files of a volume that lie where others lie already: the last one counts.

use super::warnings::MANY;
use crate::kinds::values::{given, list, text};
use serde_json::Value;

struct Place {
    path: String,
    source: String,
}

impl Place {
    fn new(path: &Value, source: impl Into<String>) -> Place {
        Place { path: text(path).trim_end_matches('/').to_owned(), source: source.into() }
    }

    fn shown(&self) -> String {
        match self.source.as_str() {
            "" => format!("{:?}", self.path),
            source => format!("{:?} ({source})", self.path),
        }
    }

    fn overlaps(&self, other: &Place) -> bool {
        let within = |inner: &str, outer: &str| match inner.strip_prefix(outer) {
            Some(rest) => rest.is_empty() || rest.starts_with('/'),
            None => false,
        };
        let named = !self.path.is_empty() && !other.path.is_empty();
        named && (within(&self.path, &other.path) || within(&other.path, &self.path))
    }
}

/// The warnings of one volume.
pub fn of_volume(volume: &Value) -> Vec<String> {
    let (name, mut found) = (text(&volume["name"]), Vec::new());
    let mut check = |what: &str, places: Vec<Place>| {
        for (i, place) in places.iter().enumerate() {
            if found.len() > MANY {
                return;
            }
            for other in places[..i].iter().filter(|other| place.overlaps(other)).take(MANY) {
                let (place, other) = (place.shown(), other.shown());
                found.push(format!("volume {name:?} ({what}): overlapping paths: {place} with {other}"));
            }
        }
    };
    let items = |source: &Value| list(&source["items"]).iter().map(|item| Place::new(&item["path"], "")).collect();
    let (map, secret) = (&volume["configMap"], &volume["secret"]);
    check(&format!("ConfigMap {:?}", text(&map["name"])), items(map));
    check(&format!("Secret {:?}", text(&secret["secretName"])), items(secret));
    check("DownwardAPI", items(&volume["downwardAPI"]));
    let sources = list(&volume["projected"]["sources"]);
    check("Projected", sources.iter().flat_map(projected).collect());
    let empty = sources.iter().filter(|source| !source.as_object().is_some_and(|s| s.values().any(given)));
    found.extend(empty.map(|_| format!("volume {name:?} (Projected) has no sources provided")));
    found
}

/// The files of one source of a projected volume.
fn projected(source: &Value) -> Vec<Place> {
    let items = |of: &Value, shown: String| {
        let places = list(&of["items"]).iter().map(|item| Place::new(&item["path"], shown.clone()));
        places.collect::<Vec<_>>()
    };
    let quoted = |kind: &str, name: &Value| format!("{kind} {:?}", text(name));
    let (bundle, certificate) = (&source["clusterTrustBundle"], &source["podCertificate"]);
    if given(&source["configMap"]["items"]) {
        items(&source["configMap"], quoted("ConfigMap", &source["configMap"]["name"]))
    } else if given(&source["secret"]["items"]) {
        items(&source["secret"], quoted("Secret", &source["secret"]["name"]))
    } else if given(&source["downwardAPI"]["items"]) {
        items(&source["downwardAPI"], "DownwardAPI".into())
    } else if given(&source["serviceAccountToken"]) {
        vec![Place::new(&source["serviceAccountToken"]["path"], "ServiceAccountToken")]
    } else if given(bundle) {
        let name = if given(&bundle["name"]) { &bundle["name"] } else { &bundle["signerName"] };
        vec![Place::new(&bundle["path"], quoted("ClusterTrustBundle", name))]
    } else {
        let files = [
            ("certificateChainPath", "PodCertificate chain"),
            ("keyPath", "PodCertificate key"),
            ("credentialBundlePath", "PodCertificate credential bundle"),
        ];
        let set = files.iter().filter(|(field, _)| given(&certificate[*field]));
        set.map(|(field, shown)| Place::new(&certificate[*field], *shown)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn files_in_one_place() {
        let check = |volume: Value, expected: &[&str]| assert_eq!(of_volume(&volume), expected, "{volume}");
        let map = |paths: &[&str]| {
            let items: Vec<Value> = paths.iter().map(|path| json!({"key": "k", "path": path})).collect();
            json!({"name": "m", "items": items})
        };
        check(json!({"name": "v", "configMap": map(&["a", "b"])}), &[]);
        check(
            json!({"name": "v", "configMap": map(&["a", "a/b"])}),
            &["volume \"v\" (ConfigMap \"m\"): overlapping paths: \"a/b\" with \"a\""],
        );
        check(
            json!({"name": "v", "projected": {"sources": [
                {"configMap": map(&["a"])}, {"serviceAccountToken": {"path": "a/"}}, {},
            ]}}),
            &[
                "volume \"v\" (Projected): overlapping paths: \"a\" (ServiceAccountToken) with \"a\" (ConfigMap \"m\")",
                "volume \"v\" (Projected) has no sources provided",
            ],
        );
    }
}
