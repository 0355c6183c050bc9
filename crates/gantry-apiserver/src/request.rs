//! The path parser: what a request is about. Source of the grammar: k8s.io/apiserver/pkg/endpoints/request.

use crate::group_priority;
use arc_swap::ArcSwap;
use bytes::Bytes;
use gantry_api::kind::{Kind, Scope, Subresource};
use gantry_api::version_priority;
use http::Uri;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

/// Kinds by group, version and plural. They are looked up several times a request, so that no key is made for it.
type ByPlace = BTreeMap<String, BTreeMap<String, BTreeMap<String, Arc<Kind>>>>;

/// The kinds served at one moment.
pub struct Kinds {
    all: ByPlace,
    /// The OpenAPI documents of these kinds.
    pub documents: Documents,
}

/// What was made of OpenAPI documents, once somebody asked for them.
#[derive(Default)]
pub struct Documents {
    /// The places of version 3's, with their hashes.
    pub v3: OnceLock<Vec<(String, String)>>,
    /// Version 2's with its hash, in JSON and in protobuf. Making one takes many times its memory.
    pub v2: [OnceLock<(Bytes, String)>; 2],
}

/// The kinds served as time goes by: the built-in ones, and those that definitions make and unmake. A request takes
/// them as they are when it comes, which costs no lock, and keeps to them.
pub struct Served {
    builtin: Arc<Kinds>,
    now: ArcSwap<Kinds>,
    changes: watch::Sender<()>,
}

impl Served {
    /// Serves the built-in kinds.
    pub fn new(builtin: Vec<Kind>) -> Self {
        let builtin = Arc::new(Kinds::new(builtin));
        Served {
            now: ArcSwap::new(builtin.clone()),
            builtin,
            changes: watch::Sender::new(()),
        }
    }

    /// The kinds served now.
    pub fn now(&self) -> Arc<Kinds> {
        self.now.load_full()
    }

    /// A kind served now.
    pub fn get(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Kind>> {
        self.now.load().get(group, version, plural)
    }

    /// Serves these beside the built-in kinds, which they do not replace.
    pub fn set_custom(&self, custom: impl Iterator<Item = Arc<Kind>>) {
        let mut all = self.builtin.all.clone();
        custom.for_each(|kind| insert(&mut all, kind));
        let documents = Documents::default();
        self.now.store(Arc::new(Kinds { all, documents }));
        self.changes.send_replace(());
    }

    /// Completes once a kind is no longer served as it is here. Built-in kinds always are.
    pub async fn replaced(&self, kind: &Arc<Kind>) {
        if kind.custom.is_none() {
            return std::future::pending().await;
        }
        let mut changes = self.changes.subscribe();
        loop {
            let now = self.get(&kind.group, &kind.version, &kind.plural);
            if now.is_none_or(|now| !Arc::ptr_eq(&now, kind)) {
                return;
            }
            // Fails only when the server is no more.
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Adds a kind, unless there is one at its place.
fn insert(all: &mut ByPlace, kind: Arc<Kind>) {
    let versions = all.entry(kind.group.to_string()).or_default();
    let plurals = versions.entry(kind.version.to_string()).or_default();
    plurals.entry(kind.plural.to_string()).or_insert(kind);
}

impl Kinds {
    /// Indexes `kinds`.
    pub fn new(kinds: Vec<Kind>) -> Self {
        let mut all = ByPlace::new();
        kinds
            .into_iter()
            .for_each(|kind| insert(&mut all, Arc::new(kind)));
        Kinds {
            all,
            documents: Documents::default(),
        }
    }

    /// The kind served at a place, if any.
    pub fn get(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Kind>> {
        self.all.get(group)?.get(version)?.get(plural).cloned()
    }

    /// All kinds, ordered by group, version and plural.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Kind>> {
        let plurals = self.all.values().flat_map(BTreeMap::values);
        plurals.flat_map(BTreeMap::values)
    }

    /// The kinds of one group version.
    pub fn of(&self, group: &str, version: &str) -> Vec<&Kind> {
        self.iter()
            .map(Arc::as_ref)
            .filter(|k| k.group == group && k.version == version)
            .collect()
    }

    /// The group versions served: groups in order, and the preferred version of each first.
    pub fn group_versions(&self) -> Vec<(String, String)> {
        let pairs = self.all.iter().flat_map(|(group, versions)| {
            let pair = |version: &String| (group.clone(), version.clone());
            versions.keys().map(pair)
        });
        let mut all: Vec<_> = pairs.collect();
        // The second sort keeps the order of versions that have no priority of their own.
        all.sort_by(|(_, v), (_, w)| version_priority::compare(w, v));
        all.sort_by_cached_key(|(group, version)| group_priority::order(group, version));
        all
    }
}

/// What a resource request is about.
pub struct Target {
    /// The kind.
    pub kind: Arc<Kind>,
    /// The namespace, for namespaced kinds; `None` means all namespaces.
    pub namespace: Option<String>,
    /// The object; `None` means the collection.
    pub name: Option<String>,
    /// The subresource's name.
    pub subresource: Option<String>,
    /// What follows `proxy` in the path, as it was sent: empty, or beginning with a slash.
    pub rest: String,
}

impl Target {
    /// The subresource, when requests to it are passed on instead of answered here.
    pub fn connects(&self) -> Option<Subresource> {
        let name = self.subresource.as_deref()?;
        let mut all = self.kind.subresources.iter().copied();
        all.find(|s| s.name() == name && s.connects())
    }
}

impl Target {
    /// Whether this place takes the verb.
    pub fn takes(&self, verb: &str) -> bool {
        let Some(name) = &self.subresource else {
            let of_all = matches!(verb, "create" | "deletecollection" | "list" | "watch");
            // Across namespaces objects are only read.
            let placed = self.kind.scope == Scope::Cluster || self.namespace.is_some();
            return self.kind.verbs.contains(&verb)
                && of_all == self.name.is_none()
                && (placed || matches!(verb, "list" | "watch"));
        };
        let mut all = self.kind.subresources.iter();
        all.any(|s| s.name() == name && s.verbs().contains(&verb))
    }
}

/// A parsed path.
pub enum Parsed {
    /// A resource.
    Resource(Target),
    /// Anything else: health, discovery, version.
    Other,
    /// Below /api or /apis, but nothing is served there.
    Unknown,
    /// A part that custom resources of this kind do not have, of the one with this name.
    NoSuchPart(Arc<Kind>, String),
}

/// The way to say today what a deprecated path such as `/api/v1/watch/pods` says; none for other paths.
pub fn undeprecated(uri: &Uri) -> Option<Uri> {
    let parts: Vec<&str> = uri.path().split('/').filter(|p| !p.is_empty()).collect();
    let (root, rest) = match parts.as_slice() {
        ["api", version, "watch", rest @ ..] => (format!("/api/{version}"), rest),
        ["apis", group, version, "watch", rest @ ..] => (format!("/apis/{group}/{version}"), rest),
        _ => return None,
    };
    let (collection, name) = match rest {
        ["namespaces", _, _] | [_] => (rest, None),
        ["namespaces", _, _, name] | [_, name] => (&rest[..rest.len() - 1], Some(name)),
        _ => return None,
    };
    let kept = |p: &&str| !p.is_empty() && !p.starts_with("watch=");
    let query = uri.query().unwrap_or("").split('&').filter(kept);
    let mut query: Vec<String> = query.map(String::from).collect();
    query.push("watch=true".into());
    if let Some(name) = name {
        let own = format!("metadata.name%3D{name}");
        match query.iter_mut().find(|p| p.starts_with("fieldSelector=")) {
            Some(selector) => selector.push_str(&format!(",{own}")),
            None => query.push(format!("fieldSelector={own}")),
        }
    }
    let path = format!("{root}/{}?{}", collection.join("/"), query.join("&"));
    path.parse().ok()
}

/// Parses a request's path.
pub fn parse(path: &str, kinds: &Kinds) -> Parsed {
    let parts: Vec<String> = path
        .split('/')
        .filter(|p| !p.is_empty())
        .map(|p| {
            percent_encoding::percent_decode_str(p)
                .decode_utf8_lossy()
                .into_owned()
        })
        .collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => return Parsed::Other,
    };
    // "namespaces" is both a kind and the way into one; status and finalize are the only words under a namespace
    // that are not resources.
    let (namespace, rest) = match rest {
        ["namespaces", ns, sub, ..] if !matches!(*sub, "status" | "finalize") => (Some(*ns), &rest[2..]),
        _ => (None, rest),
    };
    let (plural, name, subresource) = match rest {
        [plural] => (*plural, None, None),
        [plural, name] => (*plural, Some(*name), None),
        [plural, name, sub] | [plural, name, sub @ "proxy", ..] => (*plural, Some(*name), Some(*sub)),
        _ => return Parsed::Unknown,
    };
    let Some(kind) = kinds.get(group, version, plural) else {
        return Parsed::Unknown;
    };
    let scoped_right = match kind.scope {
        Scope::Namespaced => namespace.is_some() || name.is_none(),
        Scope::Cluster => namespace.is_none(),
    };
    let known = subresource.is_none_or(|s| kind.subresources.iter().any(|k| k.name() == s));
    // What is only asked, and not stored, has no objects to name.
    let nameless = name.is_some() && !kind.verbs.contains(&"get") && subresource.is_none();
    if !scoped_right || !known || nameless {
        return match name {
            Some(name) if scoped_right && kind.custom.is_some() => Parsed::NoSuchPart(kind, name.into()),
            _ => Parsed::Unknown,
        };
    }
    let read = parts.len() - rest.len() + 3;
    let rest = match subresource {
        Some("proxy") => after(path, read),
        _ => "",
    };
    Parsed::Resource(Target {
        rest: rest.to_string(),
        kind,
        namespace: namespace.map(str::to_string),
        name: name.map(str::to_string),
        subresource: subresource.map(str::to_string),
    })
}

/// What follows the first `count` parts of a path.
fn after(path: &str, count: usize) -> &str {
    let mut rest = path;
    for _ in 0..count {
        rest = rest.trim_start_matches('/');
        rest = &rest[rest.find('/').unwrap_or(rest.len())..];
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxied_paths() {
        let kinds = Kinds::new(gantry_api::kinds::builtin());
        let check = |path: &str, expected: Option<(&str, &str)>| {
            let found = match parse(path, &kinds) {
                Parsed::Resource(target) => target
                    .connects()
                    .and(target.name.clone())
                    .map(|n| (n, target.rest)),
                _ => None,
            };
            let expected = expected.map(|(name, rest)| (name.to_owned(), rest.to_owned()));
            assert_eq!(found, expected, "{path}");
        };
        check("/api/v1/nodes/n:10250/proxy/logs/", Some(("n:10250", "/logs/")));
        check("/api/v1/nodes/n/proxy", Some(("n", "")));
        let pod = "/api/v1/namespaces/ns/pods";
        check(&format!("{pod}/p/proxy/"), Some(("p", "/")));
        check(
            &format!("{pod}/https:p:443/proxy/a%2Fb//c"),
            Some(("https:p:443", "/a%2Fb//c")),
        );
        check(&format!("{pod}/p/exec"), Some(("p", "")));
        check(&format!("{pod}/p/exec/more"), None);
        check(&format!("{pod}/p/status"), None);
        check("//api/v1//namespaces/ns/services/s/proxy/x", Some(("s", "/x")));
    }

    #[test]
    fn places_take_verbs() {
        let kinds = Kinds::new(gantry_api::kinds::builtin());
        let check = |path: &str, expected: &[&str]| {
            let Parsed::Resource(target) = parse(path, &kinds) else {
                panic!("{path}")
            };
            let all = [
                "create",
                "delete",
                "deletecollection",
                "get",
                "list",
                "patch",
                "update",
                "watch",
            ];
            let found: Vec<&str> = all.into_iter().filter(|v| target.takes(v)).collect();
            assert_eq!(found, expected, "{path}");
        };
        check("/api/v1/pods", &["list", "watch"]);
        check("/api/v1/nodes", &["create", "deletecollection", "list", "watch"]);
        check("/api/v1/namespaces", &["create", "list", "watch"]);
        let pods = "/api/v1/namespaces/a/pods";
        check(pods, &["create", "deletecollection", "list", "watch"]);
        check(&format!("{pods}/p"), &["delete", "get", "patch", "update"]);
        check(&format!("{pods}/p/status"), &["get", "patch", "update"]);
        check(&format!("{pods}/p/eviction"), &["create"]);
        check("/api/v1/namespaces/a/finalize", &["update"]);
    }

    #[test]
    fn deprecated_watches_are_todays() {
        let check = |path: &str, expected: Option<&str>| {
            let uri = path.parse().unwrap();
            let found = undeprecated(&uri).map(|u| u.to_string());
            assert_eq!(found.as_deref(), expected, "{path}");
        };
        check("/api/v1/watch/pods", Some("/api/v1/pods?watch=true"));
        check(
            "/api/v1/watch/namespaces/a/pods/b?fieldSelector=x%3Dy&watch=false",
            Some("/api/v1/namespaces/a/pods?fieldSelector=x%3Dy,metadata.name%3Db&watch=true"),
        );
        check(
            "/api/v1/watch/namespaces/a",
            Some("/api/v1/namespaces?watch=true&fieldSelector=metadata.name%3Da"),
        );
        check(
            "/apis/apps/v1/watch/deployments?resourceVersion=5",
            Some("/apis/apps/v1/deployments?resourceVersion=5&watch=true"),
        );
        check("/api/v1/namespaces/watch/pods", None);
        check("/api/v1/pods", None);
        check("/api/v1/watch", None);
    }
}
