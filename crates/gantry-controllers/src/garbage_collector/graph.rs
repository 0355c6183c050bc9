//! Who owns whom, by identities alone: a node is a few strings, never an object.

use crate::object::{items, text, uid};
use gantry_api::meta;
use gantry_client::Resource;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(super) const FOREGROUND: &str = "foregroundDeletion";
pub(super) const ORPHAN: &str = "orphan";

/// An object.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) resource: Arc<Resource>,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) owners: Vec<Owner>,
    pub(super) deleting: bool,
    foreground: bool,
    orphan: bool,
}

/// A reference to an owner.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Owner {
    pub(super) uid: String,
    api_version: String,
    kind: String,
    name: String,
    /// Whether the owner's deletion waits for the object that names it.
    blocks: bool,
}

impl Owner {
    fn of(reference: &Value) -> Self {
        let field = |name: &str| text(&reference[name]).to_string();
        Owner {
            uid: field("uid"),
            api_version: field("apiVersion"),
            kind: field("kind"),
            name: field("name"),
            blocks: reference["blockOwnerDeletion"] == true,
        }
    }

    /// Whether the reference, from an object in `namespace`, is to `node` and not only to its uid.
    fn fits(&self, namespace: &str, node: &Node) -> bool {
        (node.namespace.is_empty() || node.namespace == namespace)
            && self.name == node.name
            && self.kind == node.resource.kind
            && self.api_version.split_once('/').map_or("", |(group, _)| group) == node.resource.group
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.api_version, self.kind)
    }
}

impl Node {
    /// What to tell people of references to objects of other namespaces, in upstream's words.
    pub(super) fn misplaced_owners(&self, graph: &Graph) -> Vec<String> {
        let own = &self.namespace;
        let misplaced = |owner: &&Owner| {
            graph.get(&owner.uid).is_some_and(|o| !o.namespace.is_empty() && o.namespace != *own)
        };
        let describe = |owner: &Owner| {
            format!(
                "ownerRef [{owner}, namespace: {own}, name: {}, uid: {}] does not exist in namespace {own:?}",
                owner.name, owner.uid
            )
        };
        self.owners.iter().filter(misplaced).map(describe).collect()
    }

    fn of(resource: &Arc<Resource>, object: &Value) -> Self {
        let metadata = &object["metadata"];
        let has = |finalizer: &str| items(&metadata["finalizers"]).any(|f| f == finalizer);
        Node {
            resource: resource.clone(),
            namespace: meta::namespace(object).to_string(),
            name: meta::name(object).to_string(),
            owners: items(&metadata["ownerReferences"]).map(Owner::of).collect(),
            deleting: meta::is_deleting(object),
            foreground: has(FOREGROUND),
            orphan: has(ORPHAN),
        }
    }

    /// Its deletion waits for its dependents' deletion.
    pub(super) fn deletes_dependents(&self) -> bool {
        self.deleting && self.foreground
    }

    /// Its deletion waits for its dependents to be let go.
    pub(super) fn orphans_dependents(&self) -> bool {
        self.deleting && self.orphan
    }

    /// Whether the deletion of `owner` waits for it.
    pub(super) fn blocks(&self, owner: &str) -> bool {
        self.owners.iter().any(|o| o.uid == owner && o.blocks)
    }
}

#[derive(Default)]
struct State {
    nodes: HashMap<String, Node>,
    dependents: HashMap<String, HashSet<String>>,
}

/// The graph.
#[derive(Default)]
pub(super) struct Graph(Mutex<State>);

impl Graph {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node.
    pub(super) fn get(&self, key: &str) -> Option<Node> {
        self.state().nodes.get(key).cloned()
    }

    /// The nodes that `owner` owns, by uid.
    pub(super) fn dependents(&self, owner: &str) -> Vec<(String, Node)> {
        let state = self.state();
        let uids = state.dependents.get(owner).into_iter().flatten();
        uids.filter_map(|uid| Some((uid.clone(), state.nodes.get(uid)?.clone()))).collect()
    }

    /// The uids of all objects of a resource.
    pub(super) fn uids_of(&self, resource: &Resource) -> Vec<String> {
        let state = self.state();
        state.nodes.iter().filter(|(_, n)| *n.resource == *resource).map(|(uid, _)| uid.clone()).collect()
    }

    /// Takes in an object as it is now; returns the uids to look at.
    pub(super) fn set(&self, resource: &Arc<Resource>, object: &Value) -> Vec<String> {
        let key = uid(object).to_string();
        let node = Node::of(resource, object);
        let mut state = self.state();
        let old = state.nodes.get(&key).cloned();
        if old.as_ref() == Some(&node) {
            return Vec::new();
        }
        let mut look = Vec::new();
        if let Some(old) = &old {
            unlink(&mut state, &key, old);
            // An owner that waited for this one may wait no longer.
            look.extend(old.owners.iter().map(|o| o.uid.clone()));
        }
        for owner in &node.owners {
            state.dependents.entry(owner.uid.clone()).or_default().insert(key.clone());
            if state.nodes.get(&owner.uid).is_none_or(|o| o.deletes_dependents() || !owner.fits(&node.namespace, o)) {
                look.push(key.clone());
            }
        }
        let began = |now: bool, before: fn(&Node) -> bool| now && !old.as_ref().is_some_and(before);
        if began(node.deletes_dependents(), Node::deletes_dependents) {
            look.extend(state.dependents.get(&key).into_iter().flatten().cloned());
            look.push(key.clone());
        } else if node.orphans_dependents()
            || (!node.owners.is_empty() && old.as_ref().is_some_and(|o| o.owners != node.owners))
        {
            look.push(key.clone());
        }
        state.nodes.insert(key, node);
        look
    }

    /// Takes out an object that is gone; returns the uids to look at.
    pub(super) fn remove(&self, key: &str) -> Vec<String> {
        let mut state = self.state();
        let Some(old) = state.nodes.remove(key) else {
            return Vec::new();
        };
        unlink(&mut state, key, &old);
        let dependents = state.dependents.get(key).into_iter().flatten().cloned();
        dependents.chain(old.owners.into_iter().map(|o| o.uid)).collect()
    }
}

fn unlink(state: &mut State, key: &str, node: &Node) {
    for owner in &node.owners {
        if let Some(dependents) = state.dependents.get_mut(&owner.uid) {
            dependents.remove(key);
            if dependents.is_empty() {
                state.dependents.remove(&owner.uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_client::resource::PODS;
    use serde_json::json;

    fn object(name: &str, owners: &[&str], change: Value) -> Value {
        let reference = |o: &&str| json!({"apiVersion": "v1", "kind": "Pod", "name": o, "uid": o, "blockOwnerDeletion": true});
        let owners: Vec<Value> = owners.iter().map(reference).collect();
        let object = json!({"metadata": {"uid": name, "name": name, "ownerReferences": owners}});
        gantry_api::patch::merge(object, &json!({"metadata": change}))
    }

    #[test]
    fn says_where_to_look() {
        let graph = Graph::default();
        let pods = Arc::new(PODS);
        let check = |what: &str, mut found: Vec<String>, expected: &[&str]| {
            found.sort();
            found.dedup();
            assert_eq!(found, expected, "{what}");
        };
        check("its owner is unknown", graph.set(&pods, &object("b", &["a"], json!({}))), &["b"]);
        check("an owner comes", graph.set(&pods, &object("a", &[], json!({}))), &[]);
        check("a second dependent comes", graph.set(&pods, &object("c", &["a"], json!({}))), &[]);
        check("nothing that matters changes", graph.set(&pods, &object("c", &["a"], json!({"labels": {}}))), &[]);
        let gone = json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": [FOREGROUND]});
        check("foreground deletion begins", graph.set(&pods, &object("a", &[], gone)), &["a", "b", "c"]);
        check("a dependent has gone", graph.remove("b"), &["a"]);
        check("the owner has gone", graph.remove("a"), &["c"]);
        assert_eq!(graph.dependents("a").len(), 1, "c still names it");
        check("the last has gone", graph.remove("c"), &["a"]);
        assert!(graph.dependents("a").is_empty());
    }

    #[test]
    fn references_that_do_not_fit_are_looked_at() {
        let graph = Graph::default();
        let pods = Arc::new(PODS);
        let place = |namespace: &str| json!({"namespace": namespace});
        graph.set(&pods, &object("a", &[], place("one")));
        let check = |what: &str, change: Value, looked: bool, told: usize| {
            let object = object("b", &["a"], change);
            assert_eq!(graph.set(&pods, &object), if looked { vec!["b".to_string()] } else { Vec::new() }, "{what}");
            assert_eq!(graph.get("b").unwrap().misplaced_owners(&graph).len(), told, "{what}");
            graph.remove("b");
        };
        let named = |kind: &str, name: &str| {
            let reference = json!({"apiVersion": "v1", "kind": kind, "name": name, "uid": "a"});
            json!({"namespace": "one", "ownerReferences": [reference]})
        };
        check("it fits", place("one"), false, 0);
        check("another namespace", place("two"), true, 1);
        check("another name", named("Pod", "c"), true, 0);
        check("another kind", named("Secret", "a"), true, 0);
        graph.set(&pods, &object("b", &["a"], place("two")));
        assert_eq!(
            graph.get("b").unwrap().misplaced_owners(&graph),
            ["ownerRef [v1/Pod, namespace: two, name: a, uid: a] does not exist in namespace \"two\""]
        );
    }
}
