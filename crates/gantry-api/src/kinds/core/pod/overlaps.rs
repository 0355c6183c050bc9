//! Files of a volume that lie where others lie already: the last one counts.

use super::warnings::MANY;
use crate::kinds::values::{given, list, text};
use serde_json::Value;

/// A file, and what it is from: a kind, and the name of the object if there is one to tell.
struct Place<'a> {
    path: &'a str,
    source: (&'static str, Option<&'a str>),
}

impl<'a> Place<'a> {
    fn new(path: &'a Value, kind: &'static str, name: Option<&'a Value>) -> Self {
        Place { path: text(path).trim_end_matches('/'), source: (kind, name.map(text)) }
    }

    fn shown(&self) -> String {
        match self.source {
            ("", _) => format!("{:?}", self.path),
            (kind, None) => format!("{:?} ({kind})", self.path),
            (kind, Some(name)) => format!("{:?} ({kind} {name:?})", self.path),
        }
    }

    fn overlaps(&self, other: &Place) -> bool {
        let within = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let named = !self.path.is_empty() && !other.path.is_empty();
        named && (within(self.path, other.path) || within(other.path, self.path))
    }
}

/// The warnings of one volume.
pub fn of_volume(volume: &Value) -> Vec<String> {
    let (name, mut found) = (text(&volume["name"]), Vec::new());
    let mut check = |kind: &str, named: Option<&Value>, places: Vec<Place>| {
        for (i, place) in places.iter().enumerate() {
            if found.len() > MANY {
                return;
            }
            for other in places[..i].iter().filter(|other| place.overlaps(other)).take(MANY) {
                let (place, other) = (place.shown(), other.shown());
                let what = named.map_or_else(|| kind.into(), |named| format!("{kind} {:?}", text(named)));
                found.push(format!("volume {name:?} ({what}): overlapping paths: {place} with {other}"));
            }
        }
    };
    let (map, secret) = (&volume["configMap"], &volume["secret"]);
    check("ConfigMap", Some(&map["name"]), items(map, "", None));
    check("Secret", Some(&secret["secretName"]), items(secret, "", None));
    check("DownwardAPI", None, items(&volume["downwardAPI"], "", None));
    let sources = list(&volume["projected"]["sources"]);
    check("Projected", None, sources.iter().flat_map(projected).collect());
    let empty = sources.iter().filter(|source| !source.as_object().is_some_and(|s| s.values().any(given)));
    found.extend(empty.map(|_| format!("volume {name:?} (Projected) has no sources provided")));
    found
}

/// The files that a source names.
fn items<'a>(source: &'a Value, kind: &'static str, name: Option<&'a Value>) -> Vec<Place<'a>> {
    let items = list(&source["items"]).iter();
    items.map(|item| Place::new(&item["path"], kind, name)).collect()
}

/// The files of one source of a projected volume.
fn projected(source: &Value) -> Vec<Place<'_>> {
    let named = |source, kind, name| items(source, kind, Some(name));
    let (bundle, certificate) = (&source["clusterTrustBundle"], &source["podCertificate"]);
    if given(&source["configMap"]["items"]) {
        named(&source["configMap"], "ConfigMap", &source["configMap"]["name"])
    } else if given(&source["secret"]["items"]) {
        named(&source["secret"], "Secret", &source["secret"]["name"])
    } else if given(&source["downwardAPI"]["items"]) {
        items(&source["downwardAPI"], "DownwardAPI", None)
    } else if given(&source["serviceAccountToken"]) {
        vec![Place::new(&source["serviceAccountToken"]["path"], "ServiceAccountToken", None)]
    } else if given(bundle) {
        let name = if given(&bundle["name"]) { &bundle["name"] } else { &bundle["signerName"] };
        vec![Place::new(&bundle["path"], "ClusterTrustBundle", Some(name))]
    } else {
        let files = [
            ("certificateChainPath", "PodCertificate chain"),
            ("keyPath", "PodCertificate key"),
            ("credentialBundlePath", "PodCertificate credential bundle"),
        ];
        let set = files.iter().filter(|(field, _)| given(&certificate[*field]));
        set.map(|(field, shown)| Place::new(&certificate[*field], shown, None)).collect()
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
