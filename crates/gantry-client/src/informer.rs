//! One copy of what components watch, shared between them.

use crate::client::{Client, ListOptions};
use crate::error::Error;
use crate::held::{Held, Objects};
use crate::ready;
use crate::resource::Resource;
use crate::shared::Shared;
use crate::watch::{Begin, EventType, WatchOptions};
use gantry_api::meta;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;
use tokio::sync::watch;

/// The pauses between attempts to reach the server.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// `namespace/name`, or `name` in the cluster as a whole.
pub fn key_of(object: &Value) -> String {
    key(meta::namespace(object), meta::name(object))
}

fn key(namespace: &str, name: &str) -> String {
    if namespace.is_empty() {
        name.to_string()
    } else {
        format!("{namespace}/{name}")
    }
}

/// A change of one object.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The object before; `None` when it is new to the informer.
    pub old: Option<&'a Arc<Value>>,
    /// The object after; `None` when it is gone.
    pub new: Option<&'a Arc<Value>>,
}

impl<'a> Change<'a> {
    /// The object after the change, or the last there was.
    pub fn object(&self) -> &'a Arc<Value> {
        match (self.new, self.old) {
            (Some(object), _) | (None, Some(object)) => object,
            (None, None) => unreachable!("a change has a before or an after"),
        }
    }
}

type Handler = Box<dyn Fn(Change<'_>) + Send + Sync>;
type Indexer = fn(&Value) -> Vec<String>;

#[derive(Default)]
struct Cache {
    objects: Objects,
    indexes: HashMap<&'static str, Index>,
}

struct Index {
    keys_of: Indexer,
    keys: HashMap<String, HashSet<String>>,
}

impl Index {
    fn insert(&mut self, key: &str, object: &Value) {
        for value in (self.keys_of)(object) {
            self.keys.entry(value).or_default().insert(key.to_string());
        }
    }

    fn remove(&mut self, key: &str, object: &Value) {
        for value in (self.keys_of)(object) {
            if let Some(keys) = self.keys.get_mut(&value) {
                keys.remove(key);
                if keys.is_empty() {
                    self.keys.remove(&value);
                }
            }
        }
    }
}

impl Cache {
    fn set(&mut self, key: &str, object: &Arc<Value>, json: Option<Shared>) -> Option<Arc<Value>> {
        let old = self.objects.insert(key, object.clone(), json);
        let old = old.map(|old| old.tree());
        for index in self.indexes.values_mut() {
            if let Some(old) = &old {
                index.remove(key, old);
            }
            index.insert(key, object);
        }
        old
    }

    fn remove(&mut self, key: &str) -> Option<Arc<Value>> {
        let old = self.objects.remove(key)?.tree();
        for index in self.indexes.values_mut() {
            index.remove(key, &old);
        }
        Some(old)
    }
}

/// The objects of one resource, kept up to date by a watch.
///
/// What it holds lags behind the server; whoever needs the newest must ask the server.
pub struct Informer {
    resource: Resource,
    options: ListOptions,
    cache: RwLock<Cache>,
    // Held while handlers run, so that each sees every change once and in order.
    handlers: Mutex<Vec<Handler>>,
    synced: watch::Sender<bool>,
}

impl Informer {
    fn new(resource: Resource, options: ListOptions) -> Self {
        Informer {
            resource,
            options,
            cache: RwLock::default(),
            handlers: Mutex::default(),
            synced: watch::Sender::new(false),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Cache> {
        self.cache.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_handlers(&self) -> MutexGuard<'_, Vec<Handler>> {
        self.handlers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The resource it watches.
    pub fn resource(&self) -> &Resource {
        &self.resource
    }

    /// One object; `namespace` is empty for those of the cluster as a whole.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.get_key(&key(namespace, name))
    }

    /// One object by the key that [`key_of`] gives.
    pub fn get_key(&self, key: &str) -> Option<Arc<Value>> {
        let held = self.read().objects.get(key).cloned();
        held.map(|held| held.tree())
    }

    /// All objects, ordered by namespace and name, each made when it is its turn: for a look at each of many.
    pub fn iter(&self) -> impl Iterator<Item = Arc<Value>> + use<> {
        let all: Vec<Held> = self
            .read()
            .objects
            .from("")
            .map(|(_, held)| held.clone())
            .collect();
        all.into_iter().map(|held| held.tree())
    }

    /// All objects, ordered by namespace and name.
    pub fn list(&self) -> Vec<Arc<Value>> {
        self.iter().collect()
    }

    /// The objects of a namespace, ordered by name.
    pub fn list_namespace(&self, namespace: &str) -> Vec<Arc<Value>> {
        let prefix = format!("{namespace}/");
        let cache = self.read();
        let range = cache.objects.from(&prefix);
        let found: Vec<Held> = range
            .take_while(|(k, _)| k.starts_with(&prefix))
            .map(|(_, held)| held.clone())
            .collect();
        drop(cache);
        found.iter().map(Held::tree).collect()
    }

    /// Keeps an index: `keys_of` says under which keys an object stands in it. Adding it twice changes nothing.
    pub fn add_index(&self, name: &'static str, keys_of: Indexer) {
        let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
        if cache.indexes.contains_key(name) {
            return;
        }
        let mut index = Index {
            keys_of,
            keys: HashMap::new(),
        };
        for (key, held) in cache.objects.from("") {
            index.insert(key, &held.tree());
        }
        cache.indexes.insert(name, index);
    }

    /// The objects that stand under `value` in an index that was added before, ordered by key.
    pub fn indexed(&self, index: &str, value: &str) -> Vec<Arc<Value>> {
        let cache = self.read();
        let Some(keys) = cache.indexes.get(index).and_then(|i| i.keys.get(value)) else {
            return Vec::new();
        };
        let mut keys: Vec<&String> = keys.iter().collect();
        keys.sort();
        let found = keys.into_iter().filter_map(|k| cache.objects.get(k).cloned());
        let found: Vec<Held> = found.collect();
        drop(cache);
        found.iter().map(Held::tree).collect()
    }

    /// How many objects stand under `value` in an index.
    pub fn count_indexed(&self, index: &str, value: &str) -> usize {
        let cache = self.read();
        let keys = cache.indexes.get(index).and_then(|i| i.keys.get(value));
        keys.map_or(0, HashSet::len)
    }

    /// Calls `handler` with every object there is, then with every change, in order. It runs in the informer's own
    /// task and must be quick: put a key into a queue.
    pub fn on_change(&self, handler: impl Fn(Change<'_>) + Send + Sync + 'static) {
        let mut handlers = self.lock_handlers();
        for object in self.iter() {
            handler(Change {
                old: None,
                new: Some(&object),
            });
        }
        handlers.push(Box::new(handler));
    }

    /// Whether the first list has come.
    pub fn has_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// Waits until the first list has come.
    pub async fn synced(&self) {
        // The sender lives in self, so the wait cannot fail.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }

    /// Takes in an object, perhaps with the JSON that the server holds of it.
    fn set(&self, object: Value, json: Option<Shared>) {
        let handlers = self.lock_handlers();
        let object = Arc::new(object);
        let old = {
            let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
            cache.set(&key_of(&object), &object, json)
        };
        let same = |old: &Arc<Value>| {
            meta::text(old, "resourceVersion") == meta::text(&object, "resourceVersion")
                && meta::text(old, "uid") == meta::text(&object, "uid")
        };
        if old.as_ref().is_some_and(same) {
            return;
        }
        for handler in handlers.iter() {
            handler(Change {
                old: old.as_ref(),
                new: Some(&object),
            });
        }
    }

    fn remove(&self, key: &str) {
        let handlers = self.lock_handlers();
        let old = self
            .cache
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
        if let Some(old) = old {
            for handler in handlers.iter() {
                handler(Change {
                    old: Some(&old),
                    new: None,
                });
            }
        }
    }

    /// Forgets what is not among `keys`.
    fn retain(&self, keys: &HashSet<String>) {
        let gone: Vec<Arc<str>> = self
            .read()
            .objects
            .from("")
            .map(|(key, _)| key)
            .filter(|key| !keys.contains(&***key))
            .cloned()
            .collect();
        for key in gone {
            self.remove(&key);
        }
    }

    async fn run(&self, client: &Client) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.follow(client, &mut pause).await {
                Ok(()) => {}
                Err(error) if error.is_expired() => {
                    tracing::debug!("the watch of {} must start again: {error}", self.resource.plural);
                }
                Err(error) => {
                    tracing::warn!(
                        "{} cannot be watched, trying again: {error}",
                        self.resource.plural
                    );
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Watches what there is and what happens to it, for as long as the server lets it.
    async fn follow(&self, client: &Client, pause: &mut Duration) -> Result<(), Error> {
        let mut begin = Begin::Existing;
        // What was there at the start, until all of it has been told.
        let mut listed = Some(HashSet::new());
        loop {
            let options = WatchOptions {
                list: self.options.clone(),
                begin: begin.clone(),
            };
            let mut watch = client.watch(&self.resource, "", &options).await?;
            while let Some(event) = watch.next().await? {
                let (object, json) = event.object.into_tree()?;
                let revision = meta::text(&object, "resourceVersion").to_string();
                match event.type_ {
                    EventType::Added | EventType::Modified => {
                        if let Some(listed) = &mut listed {
                            listed.insert(key_of(&object));
                        }
                        self.set(object, json);
                    }
                    EventType::Deleted => self.remove(&key_of(&object)),
                    EventType::Bookmark => {}
                    EventType::Listed => {
                        self.retain(&listed.take().unwrap_or_default());
                        self.synced.send_replace(true);
                        *pause = FIRST_PAUSE;
                    }
                }
                if listed.is_none() {
                    begin = Begin::After(revision);
                }
            }
            if listed.is_some() {
                return Err(Error::Answer(
                    "the watch ended before it told what there is".into(),
                ));
            }
        }
    }
}

/// Hands out informers; those who ask for the same get the same.
#[derive(Clone)]
pub struct Informers {
    client: Client,
    all: Arc<Mutex<Vec<Arc<Informer>>>>,
}

impl Informers {
    /// Informers that read through `client`.
    pub fn new(client: Client) -> Self {
        Informers {
            client,
            all: Arc::default(),
        }
    }

    /// The informer of all objects of a resource. It starts at once.
    pub fn of(&self, resource: &Resource) -> Arc<Informer> {
        self.filtered(resource, ListOptions::default())
    }

    /// The informer of the objects that selectors choose. It starts at once, and runs as long as the runtime does.
    pub fn filtered(&self, resource: &Resource, options: ListOptions) -> Arc<Informer> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = all
            .iter()
            .find(|i| i.resource == *resource && i.options == options)
        {
            return found.clone();
        }
        // Those who read all objects of a kind take the trees that the server has of them.
        if options == ListOptions::default() {
            ready::want(&resource.group, &resource.plural);
        }
        let informer = Arc::new(Informer::new(resource.clone(), options));
        all.push(informer.clone());
        let (task, client) = (informer.clone(), self.client.clone());
        tokio::spawn(async move { task.run(&client).await });
        informer
    }

    /// Waits until all informers handed out so far have their first list.
    pub async fn synced(&self) {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for informer in all {
            informer.synced().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(namespace: &str, name: &str, revision: u32, node: &str) -> Value {
        json!({"metadata": {"namespace": namespace, "name": name, "resourceVersion": revision.to_string()}, "node": node})
    }

    #[test]
    fn handlers_see_what_changes_once() {
        let informer = Informer::new(crate::resource::PODS, ListOptions::default());
        informer.set(object("a", "x", 1, "n1"), None);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = seen.clone();
        informer.on_change(move |change| {
            let text = |o: Option<&Arc<Value>>| o.map(|o| meta::text(o, "resourceVersion").to_string());
            sink.lock()
                .unwrap()
                .push((key_of(change.object()), text(change.old), text(change.new)));
        });
        for object in [
            object("a", "x", 1, "n1"),
            object("a", "x", 2, "n2"),
            object("b", "y", 3, "n2"),
        ] {
            informer.set(object, None);
        }
        informer.set(object("b", "y", 3, "n2"), None);
        informer.retain(&HashSet::from(["b/y".to_string()]));
        let some = |s: &str| Some(s.to_string());
        assert_eq!(
            *seen.lock().unwrap(),
            [
                ("a/x".to_string(), None, some("1")),
                ("a/x".to_string(), some("1"), some("2")),
                ("b/y".to_string(), None, some("3")),
                ("a/x".to_string(), some("2"), None),
            ]
        );
    }

    #[test]
    fn indexes_follow_changes() {
        let informer = Informer::new(crate::resource::PODS, ListOptions::default());
        informer.set(object("a", "x", 1, "n1"), None);
        informer.add_index("node", |o| vec![o["node"].as_str().unwrap_or("").to_string()]);
        informer.set(object("a", "y", 2, "n1"), None);
        informer.set(object("a", "x", 3, "n2"), None);
        let names = |node: &str| {
            informer
                .indexed("node", node)
                .iter()
                .map(|o| key_of(o))
                .collect::<Vec<_>>()
        };
        assert_eq!(names("n1"), ["a/y"]);
        assert_eq!(names("n2"), ["a/x"]);
        informer.remove("a/x");
        assert!(names("n2").is_empty());
        assert_eq!(informer.list_namespace("a").len(), 1);
    }
}
