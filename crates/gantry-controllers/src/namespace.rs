//! Namespace: empties a namespace that is being deleted, then lets it go.

use crate::discovery::{self, Discovered};
use crate::object::{condition, int, items, now_stamp, put_condition, text, time_of};
use crate::pods;
use crate::runner::{Context, Controller, Descriptor, Error, Next, Rule};
use async_trait::async_trait;
use gantry_api::meta;
use gantry_client::resource::{NAMESPACES, PODS};
use gantry_client::{Change, Informer, ListOptions, Resource, key_of};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;

/// The finalizer that is this controller's.
const FINALIZER: &str = "kubernetes";
/// How long until what remains is looked at again.
const AGAIN: Duration = Duration::from_secs(2);

pub(crate) static DESCRIPTOR: Descriptor = Descriptor {
    name: "namespace-controller",
    queue: "namespace",
    workers: 10,
    watches: || vec![NAMESPACES, PODS],
    rules: &[
        Rule { groups: &[""], resources: &["namespaces"], verbs: &["delete", "get", "list", "watch"] },
        Rule { groups: &[""], resources: &["namespaces/finalize", "namespaces/status"], verbs: &["update"] },
        Rule { groups: &["*"], resources: &["*"], verbs: &["delete", "deletecollection", "get", "list"] },
    ],
    make: |ctx| {
        let namespaces = ctx.informers.of(&NAMESPACES);
        Arc::new(Namespaces { ctx, namespaces })
    },
};

struct Namespaces {
    ctx: Context,
    namespaces: Arc<Informer>,
}

#[async_trait]
impl Controller for Namespaces {
    fn keys(&self, resource: &Resource, change: Change<'_>) -> Vec<String> {
        if *resource == NAMESPACES {
            return match meta::is_deleting(change.object()) {
                true => vec![key_of(change.object())],
                false => Vec::new(),
            };
        }
        // Pods are what a namespace waits for most: go on as soon as one is gone.
        let name = meta::namespace(change.object());
        let waits = change.new.is_none() && self.namespaces.get("", name).is_some_and(|ns| meta::is_deleting(&ns));
        if waits { vec![name.to_string()] } else { Vec::new() }
    }

    async fn reconcile(&self, key: &str) -> Result<Next, Error> {
        if self.namespaces.get("", key).is_none_or(|ns| !meta::is_deleting(&ns)) {
            return Ok(Next::Done);
        }
        let namespace = match self.ctx.client.get(&NAMESPACES, "", key).await {
            Ok(namespace) => namespace,
            Err(error) if error.is_not_found() => return Ok(Next::Done),
            Err(error) => return Err(error.into()),
        };
        if !meta::is_deleting(&namespace) || !items(&namespace["spec"]["finalizers"]).any(|f| f == FINALIZER) {
            return Ok(Next::Done);
        }
        let found = discovery::discover(&self.ctx.client).await;
        let left = self.empty(key, found).await;
        let namespace = self.write_conditions(namespace, &left).await?;
        if !left.is_empty() {
            return match left.errors.first().cloned() {
                Some(error) => Err(Error::NotYet(error)),
                None => Ok(Next::After(left.pause(&namespace))),
            };
        }
        self.finalize(namespace).await
    }
}

/// What a namespace still holds.
#[derive(Default)]
struct Left {
    discovery: Option<String>,
    errors: Vec<String>,
    // How many objects by resource, and by finalizer.
    resources: BTreeMap<String, usize>,
    finalizers: BTreeMap<String, usize>,
    // The longest grace period of its pods.
    grace: i64,
}

impl Left {
    fn is_empty(&self) -> bool {
        self.discovery.is_none() && self.errors.is_empty() && self.resources.is_empty()
    }

    fn count(&mut self, resource: &Resource, objects: &[Value]) {
        if objects.is_empty() {
            return;
        }
        self.resources.insert(format!("{}.{}", resource.plural, resource.group), objects.len());
        for finalizer in objects.iter().flat_map(|o| items(&o["metadata"]["finalizers"])) {
            *self.finalizers.entry(text(finalizer).to_string()).or_default() += 1;
        }
        if *resource == PODS {
            let running = objects.iter().filter(|p| !pods::is_finished(p));
            self.grace = running.map(|p| int(&p["spec"]["terminationGracePeriodSeconds"])).max().unwrap_or(0);
        }
    }

    /// Pods that may still take their time need no frequent looks; their end is told.
    fn pause(&self, namespace: &Value) -> Duration {
        let deleted = time_of(&namespace["metadata"]["deletionTimestamp"]).unwrap_or_else(OffsetDateTime::now_utc);
        let left = self.grace - (OffsetDateTime::now_utc() - deleted).whole_seconds();
        AGAIN.max(Duration::from_secs(u64::try_from(left / 2).unwrap_or(0)))
    }
}

impl Namespaces {
    /// Deletes all there is: pods first, so that what they use outlives them.
    async fn empty(&self, namespace: &str, found: Result<Discovered, Error>) -> Left {
        let mut left = Left::default();
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                left.discovery = Some(error.to_string());
                return left;
            }
        };
        if !found.failures.is_empty() {
            left.discovery = Some(format!(
                "Discovery failed for some groups, {} failing: {}",
                found.failures.len(),
                found.failures.join(", ")
            ));
        }
        let deletable = |verbs: &std::collections::HashSet<String>| verbs.contains("delete") && verbs.contains("list");
        let mut resources: Vec<_> =
            found.resources.iter().filter(|(r, verbs)| r.namespaced && deletable(verbs)).collect();
        resources.sort_by_key(|(r, _)| *r != PODS);
        for (resource, verbs) in resources {
            match self.empty_of(resource, namespace, verbs.contains("deletecollection")).await {
                Ok(objects) => left.count(resource, &objects),
                Err(error) => left.errors.push(error.to_string()),
            }
            if *resource == PODS && (!left.resources.is_empty() || !left.errors.is_empty()) {
                break;
            }
        }
        left.errors.sort();
        left
    }

    /// Deletes all objects of one resource, and returns those that remain.
    async fn empty_of(&self, resource: &Resource, namespace: &str, at_once: bool) -> Result<Vec<Value>, Error> {
        let client = &self.ctx.client;
        let all = ListOptions::default();
        let first = client.pages(resource, namespace, &all).next().await?.unwrap_or_default();
        if first.is_empty() {
            return Ok(first);
        }
        let options = json!({"propagationPolicy": "Background"});
        let done = match at_once {
            true => client.delete_collection(resource, namespace, &all, &options).await,
            false => Ok(()),
        };
        match done {
            Ok(()) if at_once => {}
            Err(error) if !matches!(error.code(), 404 | 405) => return Err(error.into()),
            _ => {
                let mut pages = client.pages(resource, namespace, &all);
                while let Some(objects) = pages.next().await? {
                    for object in objects.iter().filter(|o| !meta::is_deleting(o)) {
                        match client.delete(resource, namespace, meta::name(object), &options).await {
                            Err(error) if !error.is_not_found() => return Err(error.into()),
                            _ => {}
                        }
                    }
                }
            }
        }
        Ok(client.list(resource, namespace, &all).await?.items)
    }

    async fn write_conditions(&self, mut namespace: Value, left: &Left) -> Result<Value, Error> {
        let mut changed = false;
        for new in conditions(left) {
            let old = condition(&namespace["status"], text(&new["type"])).cloned();
            if old.as_ref().is_some_and(|o| ["status", "reason", "message"].iter().all(|f| o[*f] == new[*f])) {
                continue;
            }
            let mut new = new;
            new["lastTransitionTime"] = match old {
                Some(old) if old["status"] == new["status"] => old["lastTransitionTime"].clone(),
                _ => now_stamp().into(),
            };
            put_condition(&mut namespace["status"], new);
            changed = true;
        }
        match changed {
            true => Ok(self.ctx.client.update_status(&NAMESPACES, &namespace).await?),
            false => Ok(namespace),
        }
    }

    async fn finalize(&self, mut namespace: Value) -> Result<Next, Error> {
        if let Some(finalizers) = namespace["spec"]["finalizers"].as_array_mut() {
            finalizers.retain(|f| f != FINALIZER);
        }
        match self.ctx.client.update_subresource(&NAMESPACES, &namespace, "finalize").await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(Next::Done),
        }
    }
}

/// The conditions that tell how far the deletion has come.
fn conditions(left: &Left) -> Vec<Value> {
    let list = |counts: &BTreeMap<String, usize>, word: &str| {
        counts.iter().map(|(name, n)| format!("{name} {word} {n} resource instances")).collect::<Vec<_>>().join(", ")
    };
    let content = (!left.errors.is_empty()).then(|| {
        format!("Failed to delete all resource types, {} remaining: {}", left.errors.len(), left.errors.join(", "))
    });
    let remaining = (!left.resources.is_empty())
        .then(|| format!("Some resources are remaining: {}", list(&left.resources, "has")));
    let finalizers = (!left.finalizers.is_empty()).then(|| {
        format!("Some content in the namespace has finalizers remaining: {}", list(&left.finalizers, "in"))
    });
    let one = |type_: &str, bad: Option<String>, reason: &str, good_reason: &str, good: &str| match bad {
        Some(message) => json!({"type": type_, "status": "True", "reason": reason, "message": message}),
        None => json!({"type": type_, "status": "False", "reason": good_reason, "message": good}),
    };
    vec![
        one(
            "NamespaceDeletionDiscoveryFailure",
            left.discovery.clone(),
            "DiscoveryFailed",
            "ResourcesDiscovered",
            "All resources successfully discovered",
        ),
        one(
            "NamespaceDeletionGroupVersionParsingFailure",
            None,
            "GroupVersionParsingFailed",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        one(
            "NamespaceDeletionContentFailure",
            content,
            "ContentDeletionFailed",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        one(
            "NamespaceContentRemaining",
            remaining,
            "SomeResourcesRemain",
            "ContentRemoved",
            "All content successfully removed",
        ),
        one(
            "NamespaceFinalizersRemaining",
            finalizers,
            "SomeFinalizersRemain",
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_remains_is_told() {
        let mut left = Left::default();
        let pod = json!({"metadata": {"finalizers": ["a.b/c"]}, "spec": {"terminationGracePeriodSeconds": 30}});
        left.count(&PODS, &[pod.clone(), pod]);
        let messages: Vec<String> = conditions(&left).iter().map(|c| text(&c["message"]).to_string()).collect();
        assert_eq!(messages[3], "Some resources are remaining: pods. has 2 resource instances");
        assert_eq!(
            messages[4],
            "Some content in the namespace has finalizers remaining: a.b/c in 2 resource instances"
        );
        assert_eq!(left.grace, 30);
        assert!(conditions(&Left::default()).iter().all(|c| c["status"] == "False"));
    }
}
