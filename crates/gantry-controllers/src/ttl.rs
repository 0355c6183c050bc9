//! TTL: tells every node, by an annotation, for how long it may believe Secrets and ConfigMaps it has read: the longer, the
//! more nodes there are. Source: pkg/controller/ttl.

use crate::object::annotation;
use crate::runner::{Context, Controller, Descriptor, Error, Next, Rule};
use async_trait::async_trait;
use gantry_client::resource::NODES;
use gantry_client::{Change, Informer, PatchType, Resource, key_of};
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

const ANNOTATION: &str = "node.alpha.kubernetes.io/ttl";
/// From how many nodes down to how many a step is kept, and its seconds. The steps overlap, so that a node more or less
/// does not change all annotations.
const STEPS: [(usize, usize, u32); 5] =
    [(0, 100, 0), (90, 500, 15), (450, 1000, 30), (900, 2000, 60), (1800, usize::MAX, 300)];

pub(crate) static DESCRIPTOR: Descriptor = Descriptor {
    name: "ttl-controller",
    queue: "ttlcontroller",
    workers: 2,
    watches: || vec![NODES],
    rules: &[
        Rule { groups: &[""], resources: &["nodes"], verbs: &["list", "patch", "update", "watch"] },
        Rule { groups: &["", "events.k8s.io"], resources: &["events"], verbs: &["create", "patch", "update"] },
    ],
    make: |ctx| {
        let nodes = ctx.informers.of(&NODES);
        Arc::new(Ttl { ctx, nodes, count: AtomicUsize::new(0), step: Mutex::new(0) })
    },
};

struct Ttl {
    ctx: Context,
    nodes: Arc<Informer>,
    count: AtomicUsize,
    step: Mutex<usize>,
}

#[async_trait]
impl Controller for Ttl {
    /// Nodes write their status often enough to be told of a new step in time.
    fn keys(&self, _: &Resource, change: Change<'_>) -> Vec<String> {
        match (change.old, change.new) {
            (None, Some(_)) => self.count.fetch_add(1, Ordering::Relaxed),
            (Some(_), None) => self.count.fetch_sub(1, Ordering::Relaxed),
            _ => 0,
        };
        change.new.map(|node| key_of(node)).into_iter().collect()
    }

    async fn reconcile(&self, key: &str) -> Result<Next, Error> {
        let Some(node) = self.nodes.get("", key) else { return Ok(Next::Done) };
        let seconds = {
            let mut step = self.step.lock().unwrap_or_else(PoisonError::into_inner);
            *step = next_step(*step, self.count.load(Ordering::Relaxed));
            STEPS[*step].2.to_string()
        };
        if annotation(&node, ANNOTATION) == Some(&seconds) {
            return Ok(Next::Done);
        }
        let patch = json!({"metadata": {"annotations": {ANNOTATION: seconds}}});
        match self.ctx.client.patch(&NODES, ("", key), "", PatchType::Strategic, &patch).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(Next::Done),
        }
    }
}

fn next_step(mut step: usize, nodes: usize) -> usize {
    while nodes > STEPS[step].1 {
        step += 1;
    }
    while nodes < STEPS[step].0 {
        step -= 1;
    }
    step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_overlap() {
        let check = |step: usize, nodes: usize, seconds: u32| {
            assert_eq!(STEPS[next_step(step, nodes)].2, seconds, "{nodes} after step {step}");
        };
        check(0, 0, 0);
        check(0, 100, 0);
        check(0, 101, 15);
        check(1, 95, 15);
        check(1, 89, 0);
        check(0, 5000, 300);
        check(4, 1, 0);
    }
}
