//! Keeps the graph up to date over everything that is served.

use super::GarbageCollector;
use super::graph::Graph;
use crate::discovery;
use crate::object::uid;
use crate::runner::{Error, Feed};
use gantry_client::resource::{CUSTOM_RESOURCE_DEFINITIONS, EVENTS};
use gantry_client::{Begin, Client, EventType, ListOptions, Resource, WatchOptions};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, JoinSet};

/// How often what is served is asked for, and how long after a definition changed: it changes several times at once.
const DISCOVERY_PERIOD: Duration = Duration::from_secs(30);
const SETTLED: Duration = Duration::from_millis(500);
/// The pauses between attempts to reach the server.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

impl GarbageCollector {
    /// Watches all that is served, and looks for what is newly served from time to time.
    pub(super) async fn watch_all(&self, feed: &Feed) {
        // Ends the watches with this task.
        let mut tasks = JoinSet::new();
        let mut watched: HashMap<Resource, Option<AbortHandle>> = HashMap::new();
        let mut pause = FIRST_PAUSE;
        loop {
            match discovery::discover(&self.ctx.client).await {
                Ok(found) => {
                    let failed = !found.failures.is_empty();
                    let all: Vec<Resource> = found.resources.iter().map(|(r, _)| r.clone()).collect();
                    let wanted = |verbs: &HashSet<String>| ["delete", "list", "watch"].iter().all(|v| verbs.contains(*v));
                    let wanted: Vec<Resource> = found
                        .resources
                        .into_iter()
                        .filter(|(r, verbs)| wanted(verbs) && r.plural != EVENTS.plural)
                        .map(|(r, _)| r)
                        .collect();
                    if !failed {
                        watched.retain(|resource, task| wanted.contains(resource) || self.end(resource, task, feed));
                        *self.kinds.write().unwrap_or_else(PoisonError::into_inner) = all;
                    }
                    self.watch_new(&wanted, &mut watched, &mut tasks, feed).await;
                    if !failed {
                        self.complete.send_replace(true);
                    }
                    pause = DISCOVERY_PERIOD;
                }
                Err(error) => {
                    tracing::warn!("what is served cannot be found out, trying again: {error}");
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
            if tokio::time::timeout(pause, self.redefined.notified()).await.is_ok() {
                tokio::time::sleep(SETTLED).await;
            }
        }
    }

    /// Ends the watch of a resource that is no longer served. Informers go on by themselves and are kept.
    fn end(&self, resource: &Resource, task: &Option<AbortHandle>, feed: &Feed) -> bool {
        let Some(task) = task else { return true };
        task.abort();
        let gone = self.graph.uids_of(resource);
        gone.iter().flat_map(|uid| self.graph.remove(uid)).for_each(|uid| feed.add(uid));
        false
    }

    async fn watch_new(
        &self,
        wanted: &[Resource],
        watched: &mut HashMap<Resource, Option<AbortHandle>>,
        tasks: &mut JoinSet<()>,
        feed: &Feed,
    ) {
        // What others watch anyway is not watched twice.
        let shared: Vec<Resource> = crate::ALL.iter().flat_map(|d| (d.watches)()).collect();
        let mut waits = Vec::new();
        for resource in wanted {
            if watched.contains_key(resource) {
                continue;
            }
            let (graph, feed) = (self.graph.clone(), feed.clone());
            let resource = Arc::new(resource.clone());
            let task = if shared.contains(&resource) {
                let informer = self.ctx.informers.of(&resource);
                let of = resource.clone();
                informer.on_change(move |change| {
                    let look = match change.new {
                        Some(object) => graph.set(&of, object),
                        None => graph.remove(uid(change.object())),
                    };
                    look.into_iter().for_each(|uid| feed.add(uid));
                });
                informer.synced().await;
                None
            } else {
                let (listed, wait) = watch::channel(false);
                waits.push(wait);
                let redefined = (*resource == CUSTOM_RESOURCE_DEFINITIONS).then(|| self.redefined.clone());
                let client = self.ctx.client.clone();
                let monitor = Monitor { client, resource: resource.clone(), graph, feed, redefined };
                Some(tasks.spawn(async move { monitor.run(&listed).await }))
            };
            watched.insert((*resource).clone(), task);
        }
        for mut wait in waits {
            // Fails only when the watch has been ended, and then there is nothing to wait for.
            let _ = wait.wait_for(|listed| *listed).await;
        }
        while tasks.try_join_next().is_some() {}
    }
}

/// Watches one resource without keeping its objects.
struct Monitor {
    client: Client,
    resource: Arc<Resource>,
    graph: Arc<Graph>,
    feed: Feed,
    /// To be told of every change, where these are definitions of others.
    redefined: Option<Arc<Notify>>,
}

impl Monitor {
    async fn run(&self, listed: &watch::Sender<bool>) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.follow(listed, &mut pause).await {
                Ok(()) => {}
                Err(error) => tracing::debug!("{} must be watched anew: {error}", self.resource.plural),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn follow(&self, listed: &watch::Sender<bool>, pause: &mut Duration) -> Result<(), Error> {
        let mut begin = Begin::Existing;
        // What was there at the start, until all of it has been told.
        let mut there = Some(HashSet::new());
        loop {
            let options = WatchOptions { list: ListOptions::default(), begin: begin.clone() };
            let mut watch = self.client.watch(&self.resource, "", &options).await?;
            while let Some(event) = watch.next().await? {
                let object = event.object.outline()?;
                if there.is_none() && event.type_ != EventType::Bookmark {
                    self.redefined.iter().for_each(|redefined| redefined.notify_one());
                }
                match event.type_ {
                    EventType::Added | EventType::Modified => {
                        if let Some(there) = &mut there {
                            there.insert(uid(&object).to_string());
                        }
                        self.look(self.graph.set(&self.resource, &object));
                    }
                    EventType::Deleted => self.look(self.graph.remove(uid(&object))),
                    EventType::Bookmark => {}
                    EventType::Listed => {
                        let there = there.take().unwrap_or_default();
                        for gone in self.graph.uids_of(&self.resource).iter().filter(|u| !there.contains(*u)) {
                            self.look(self.graph.remove(gone));
                        }
                        listed.send_replace(true);
                        *pause = FIRST_PAUSE;
                    }
                }
                if there.is_none() {
                    begin = Begin::After(gantry_api::meta::text(&object, "resourceVersion").to_string());
                }
            }
            if there.is_some() {
                // It begins anew after a pause.
                return Ok(());
            }
        }
    }

    fn look(&self, uids: Vec<String>) {
        uids.into_iter().for_each(|uid| self.feed.add(uid));
    }
}
