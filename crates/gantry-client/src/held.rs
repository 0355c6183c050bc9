//! What an informer holds: the objects that changed last as trees, all others as JSON.
//!
//! A tree takes six times the memory of its JSON and more, for each of its maps has room for eleven fields. What changes is
//! what components look at; the rest is read from its JSON when somebody asks. Informers of few objects hold trees alone.
//! Beside the server, the JSON is the one that it holds itself.

use crate::shared::Shared;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

/// So many objects are held as trees.
const TREES: usize = 1024;

/// One object, cheap to clone.
#[derive(Clone)]
pub(crate) enum Held {
    /// A tree, perhaps with the JSON that it was read from.
    Tree(Arc<Value>, Option<Shared>),
    Json(Shared),
}

impl Held {
    /// The object.
    pub(crate) fn tree(&self) -> Arc<Value> {
        match self {
            Held::Tree(tree, _) => tree.clone(),
            // It was a tree before, and what a tree was read from can be read again.
            Held::Json(json) => Arc::new(json.read().unwrap_or_default()),
        }
    }

    fn shrink(&mut self) {
        let Held::Tree(tree, json) = self else { return };
        let written = || {
            serde_json::to_vec(&**tree)
                .ok()
                .map(|json| Shared::complete(json.into_boxed_slice()))
        };
        if let Some(json) = json.take().or_else(written) {
            *self = Held::Json(json);
        }
    }
}

/// Objects by key.
#[derive(Default)]
pub(crate) struct Objects {
    by_key: BTreeMap<Arc<str>, Held>,
    /// The keys of the trees, oldest first. Some may be gone.
    trees: VecDeque<Arc<str>>,
}

impl Objects {
    /// One object.
    pub(crate) fn get(&self, key: &str) -> Option<&Held> {
        self.by_key.get(key)
    }

    /// All objects from a key on, in order.
    pub(crate) fn from(&self, key: &str) -> impl Iterator<Item = (&Arc<str>, &Held)> {
        self.by_key
            .range::<str, _>((Bound::Included(key), Bound::Unbounded))
    }

    /// Takes in an object; returns what it replaces.
    pub(crate) fn insert(&mut self, key: &str, tree: Arc<Value>, json: Option<Shared>) -> Option<Held> {
        let tree = Held::Tree(tree, json);
        if let Some(held) = self.by_key.get_mut(key) {
            let old = std::mem::replace(held, tree);
            if let Held::Json(_) = old
                && let Some((key, _)) = self.by_key.get_key_value(key)
            {
                let key = key.clone();
                self.keep(key);
            }
            return Some(old);
        }
        let key: Arc<str> = key.into();
        self.by_key.insert(key.clone(), tree);
        self.keep(key);
        None
    }

    fn keep(&mut self, key: Arc<str>) {
        self.trees.push_back(key);
        if self.trees.len() > TREES
            && let Some(oldest) = self.trees.pop_front()
            && let Some(held) = self.by_key.get_mut(&oldest)
        {
            held.shrink();
        }
    }

    /// Takes an object out.
    pub(crate) fn remove(&mut self, key: &str) -> Option<Held> {
        self.by_key.remove(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn old_trees_become_json_and_read_the_same() {
        let mut objects = Objects::default();
        let object = |n: usize| json!({"metadata": {"name": n.to_string()}, "list": [1, {"a": null}]});
        // Of every second one, the JSON comes with it.
        let json = |n: usize| {
            n.is_multiple_of(2)
                .then(|| Shared::complete(object(n).to_string()))
        };
        for n in 0..TREES + 10 {
            assert!(
                objects
                    .insert(&n.to_string(), Arc::new(object(n)), json(n))
                    .is_none()
            );
        }
        let is_tree =
            |objects: &Objects, n: usize| matches!(objects.get(&n.to_string()), Some(Held::Tree(..)));
        for n in [0, 9, 10, TREES + 9] {
            assert_eq!(*objects.get(&n.to_string()).unwrap().tree(), object(n));
            assert_eq!(is_tree(&objects, n), n >= 10, "{n}");
        }
        // A change makes a tree of it again, for which the oldest goes; a change of a tree costs no other its place.
        let old = objects.insert("0", Arc::new(object(0)), None).unwrap();
        assert_eq!(*old.tree(), object(0));
        assert!(is_tree(&objects, 0) && !is_tree(&objects, 10) && is_tree(&objects, 11));
        objects.insert("0", Arc::new(object(0)), None);
        assert!(is_tree(&objects, 11));
        assert_eq!(objects.from("").count(), TREES + 10);
        assert!(objects.remove("5").is_some() && objects.get("5").is_none());
    }
}
