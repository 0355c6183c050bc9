//! Moving replicas from old sets to the new.

use super::Deployments;
use super::sets::{self, DESIRED, Found, HASH_LABEL, MAX, REVISION, REVISION_HISTORY, limits, replicas};
use super::status::{self, has_deadline};
use crate::object::{annotation, controller_of, controller_reference, int, text, uid};
use crate::runner::{Error, Next};
use gantry_api::meta;
use gantry_client::resource::{DEPLOYMENTS, REPLICA_SETS};
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::sync::Arc;

/// The revision-history annotation holds this many characters.
const HISTORY_LIMIT: usize = 2000;
/// A name holds this many characters.
const NAME_LIMIT: usize = 253;
/// A limit of this size is none.
const UNLIMITED: i64 = i32::MAX as i64;

impl Deployments {
    pub(super) async fn roll(&self, mut deployment: Value, owned: Vec<Arc<Value>>) -> Result<Next, Error> {
        let mut found = self.find(&mut deployment, owned, true).await?;
        if !self.grow_new(&deployment, &mut found).await? && !self.shrink_old(&deployment, &mut found).await? {
            self.clean_when_complete(&deployment, &found).await?;
        }
        self.write_status(deployment, &found).await
    }

    pub(super) async fn recreate(&self, mut deployment: Value, owned: Vec<Arc<Value>>) -> Result<Next, Error> {
        let mut found = self.find(&mut deployment, owned.clone(), false).await?;
        let mut scaled = false;
        for set in found.old.clone() {
            scaled |= self.scale(&deployment, &mut found, &set, 0).await?;
        }
        if scaled || self.old_pods_run(&found) {
            return self.write_status(deployment, &found).await;
        }
        if found.new.is_none() {
            found = self.find(&mut deployment, owned, true).await?;
        }
        if let Some(new) = found.new.clone() {
            self.scale(&deployment, &mut found, &new, replicas(&deployment)).await?;
        }
        self.clean_when_complete(&deployment, &found).await?;
        self.write_status(deployment, &found).await
    }

    /// What a paused deployment and one whose size changed get: sizes, but no rollout.
    pub(super) async fn sync(&self, mut deployment: Value, owned: Vec<Arc<Value>>) -> Result<Next, Error> {
        let mut found = self.find(&mut deployment, owned, false).await?;
        self.scale_all(&deployment, &mut found).await?;
        if deployment["spec"]["paused"] == true {
            self.clean(&deployment, &found).await?;
        }
        self.write_plain_status(&mut deployment, &found).await?;
        Ok(Next::Done)
    }

    /// Tells the sets apart, and brings the new one's revision and annotations up to date; makes it if asked to.
    async fn find(&self, deployment: &mut Value, owned: Vec<Arc<Value>>, create: bool) -> Result<Found, Error> {
        let mut found = Found::new(deployment, owned);
        let revision = found.old.iter().map(|s| sets::revision(s)).max().unwrap_or(0) + 1;
        let Some(new) = &found.new else {
            if create {
                let made = self.create_new(deployment, &found, revision).await?;
                found.put(made);
            }
            return Ok(found);
        };
        let mut updated = (**new).clone();
        let mut changed = annotate(deployment, &mut updated, revision);
        let min_ready = deployment["spec"].get("minReadySeconds").cloned().unwrap_or(json!(0));
        if int(&updated["spec"]["minReadySeconds"]) != int(&min_ready) {
            updated["spec"]["minReadySeconds"] = min_ready;
            changed = true;
        }
        if changed {
            updated = self.ctx.client.update(&REPLICA_SETS, &updated).await?;
        }
        let current = annotation(&updated, REVISION).unwrap_or("").to_string();
        self.write_revision(deployment, &current).await?;
        if has_deadline(deployment) && crate::object::condition(&deployment["status"], "Progressing").is_none() {
            let message = format!("Found new replica set {:?}", meta::name(&updated));
            status::set_progressing(deployment, "True", "FoundNewReplicaSet", message);
            *deployment = self.ctx.client.update_status(&DEPLOYMENTS, deployment).await?;
        }
        if changed {
            found.put(updated);
        }
        Ok(found)
    }

    async fn create_new(&self, deployment: &mut Value, found: &Found, revision: i64) -> Result<Value, Error> {
        let template = &deployment["spec"]["template"];
        let hash = sets::hash(template, deployment["status"]["collisionCount"].as_i64());
        let mut template = template.clone();
        template["metadata"]["labels"][HASH_LABEL] = hash.clone().into();
        let mut selector = deployment["spec"]["selector"].clone();
        selector["matchLabels"][HASH_LABEL] = hash.clone().into();
        let total = found.old.iter().map(|s| replicas(s)).sum();
        let size = sets::new_size(deployment, 0, total);
        let base: String = meta::name(deployment).chars().take(NAME_LIMIT - 1 - hash.len()).collect();
        let mut set = json!({
            "metadata": {
                "name": format!("{base}-{hash}"), "namespace": meta::namespace(deployment),
                "labels": template["metadata"]["labels"], "annotations": {},
                "ownerReferences": [controller_reference(&DEPLOYMENTS, deployment)],
            },
            "spec": {
                "replicas": size, "minReadySeconds": int(&deployment["spec"]["minReadySeconds"]),
                "selector": selector, "template": template,
            },
        });
        annotate(deployment, &mut set, revision);
        set_sizes(deployment, &mut set);
        let made = match self.ctx.client.create(&REPLICA_SETS, &set).await {
            Ok(made) => made,
            Err(error) if error.is_already_exists() => {
                return self.resolve_collision(deployment, &set, error).await;
            }
            Err(error) => {
                self.tell_failed(deployment, meta::name(&set), &error).await?;
                return Err(error.into());
            }
        };
        if size > 0 {
            let message = format!("Scaled up replica set {} from 0 to {size}", meta::name(&made));
            self.ctx.events.event(deployment, "Normal", "ScalingReplicaSet", message);
        }
        self.write_revision(deployment, &revision.to_string()).await?;
        if has_deadline(deployment) {
            let message = format!("Created new replica set {:?}", meta::name(&made));
            status::set_progressing(deployment, "True", "NewReplicaSetCreated", message);
            *deployment = self.ctx.client.update_status(&DEPLOYMENTS, deployment).await?;
        }
        Ok(made)
    }

    /// A set of the new one's name is there: it is the new one, made before the cache knew, or another's.
    async fn resolve_collision(
        &self,
        deployment: &mut Value,
        set: &Value,
        error: gantry_client::Error,
    ) -> Result<Value, Error> {
        let (namespace, name) = (meta::namespace(set), meta::name(set));
        let there = self.ctx.client.get(&REPLICA_SETS, namespace, name).await?;
        let ours = controller_of(&there).is_some_and(|r| text(&r["uid"]) == uid(deployment));
        if ours && Found::new(deployment, vec![Arc::new(there.clone())]).new.is_some() {
            return Ok(there);
        }
        let collisions = int(&deployment["status"]["collisionCount"]) + 1;
        deployment["status"]["collisionCount"] = collisions.into();
        self.ctx.client.update_status(&DEPLOYMENTS, deployment).await?;
        Err(Error::NotYet(format!("the name for a new replica set is taken: {error}")))
    }

    async fn tell_failed(&self, deployment: &mut Value, name: &str, error: &gantry_client::Error) -> Result<(), Error> {
        if error.is_namespace_terminating() {
            return Ok(());
        }
        let message = format!("Failed to create new replica set {name:?}: {error}");
        self.ctx.events.event(deployment, "Warning", "ReplicaSetCreateError", message.as_str());
        if has_deadline(deployment) {
            status::set_progressing(deployment, "False", "ReplicaSetCreateError", message);
            *deployment = self.ctx.client.update_status(&DEPLOYMENTS, deployment).await?;
        }
        Ok(())
    }

    async fn grow_new(&self, deployment: &Value, found: &mut Found) -> Result<bool, Error> {
        let Some(new) = found.new.clone() else { return Ok(false) };
        let size = match replicas(&new) > replicas(deployment) {
            true => replicas(deployment),
            false => sets::new_size(deployment, replicas(&new), found.all().map(|s| replicas(s)).sum()),
        };
        self.scale(deployment, found, &new, size).await
    }

    /// Takes from the old sets what availability allows: pods that serve nobody first.
    async fn shrink_old(&self, deployment: &Value, found: &mut Found) -> Result<bool, Error> {
        let Some(new) = found.new.clone() else { return Ok(false) };
        let old_total: i64 = found.old.iter().map(|s| replicas(s)).sum();
        if old_total == 0 {
            return Ok(false);
        }
        let min_available = replicas(deployment) - limits(deployment).unavailable;
        let new_unavailable = replicas(&new) - sets::available(&new);
        let mut spare = old_total + replicas(&new) - min_available - new_unavailable;
        if spare <= 0 {
            return Ok(false);
        }
        let mut scaled = false;
        for set in found.old.clone() {
            let unhealthy = (replicas(&set) - sets::available(&set)).clamp(0, spare);
            if unhealthy > 0 {
                scaled |= self.scale(deployment, found, &set, replicas(&set) - unhealthy).await?;
                spare -= unhealthy;
            }
        }
        let available: i64 = found.all().map(|s| sets::available(s)).sum();
        let mut spare = available - min_available;
        for set in found.old.clone() {
            let step = replicas(&set).clamp(0, spare.max(0));
            if step > 0 {
                scaled |= self.scale(deployment, found, &set, replicas(&set) - step).await?;
                spare -= step;
            }
        }
        Ok(scaled)
    }

    /// Spreads a changed number of replicas over the sets.
    async fn scale_all(&self, deployment: &Value, found: &mut Found) -> Result<(), Error> {
        let desired = replicas(deployment);
        if let Some(set) = found.active_or_latest() {
            if replicas(&set) != desired {
                self.scale(deployment, found, &set, desired).await?;
            }
            return Ok(());
        }
        let saturated = found.new.as_ref().is_some_and(|s| {
            replicas(s) == desired && sets::desired_annotation(s) == Some(desired) && sets::available(s) == desired
        });
        if saturated {
            for set in found.old.clone() {
                self.scale(deployment, found, &set, 0).await?;
            }
            return Ok(());
        }
        if deployment["spec"]["strategy"]["type"] != "RollingUpdate" {
            return Ok(());
        }
        let mut active = found.active();
        let allowed = if desired > 0 { desired + limits(deployment).surge } else { 0 };
        let to_add = allowed - active.iter().map(|s| replicas(s)).sum::<i64>();
        // The largest change most; of those of a size, the newer grows and the older shrinks.
        active.sort_by(|a, b| sets::by_age(a, b));
        if to_add > 0 {
            active.reverse();
        }
        active.sort_by_key(|s| Reverse(replicas(s)));
        let mut added = 0;
        let mut sizes = Vec::new();
        for set in &active {
            let step = match to_add {
                0 => 0,
                _ => sets::proportion(set, deployment, to_add, added),
            };
            added += step;
            sizes.push(replicas(set) + step);
        }
        if let Some(first) = sizes.first_mut() {
            *first = (*first + to_add - added).max(0);
        }
        for (set, size) in active.into_iter().zip(sizes) {
            self.resize(deployment, found, &set, size).await?;
        }
        Ok(())
    }

    /// Gives a set another size; false when it has it.
    async fn scale(&self, deployment: &Value, found: &mut Found, set: &Value, size: i64) -> Result<bool, Error> {
        match replicas(set) == size {
            true => Ok(false),
            false => self.resize(deployment, found, set, size).await,
        }
    }

    /// Gives a set its size, and notes for which size of the deployment that is.
    async fn resize(&self, deployment: &Value, found: &mut Found, set: &Value, size: i64) -> Result<bool, Error> {
        let before = replicas(set);
        let mut updated = set.clone();
        updated["spec"]["replicas"] = size.into();
        if !set_sizes(deployment, &mut updated) && before == size {
            return Ok(false);
        }
        let updated = self.ctx.client.update(&REPLICA_SETS, &updated).await?;
        if before != size {
            let way = if before < size { "up" } else { "down" };
            let message = format!("Scaled {way} replica set {} from {before} to {size}", meta::name(set));
            self.ctx.events.event(deployment, "Normal", "ScalingReplicaSet", message);
        }
        found.put(updated);
        Ok(before != size)
    }

    async fn clean_when_complete(&self, deployment: &Value, found: &Found) -> Result<(), Error> {
        match status::is_complete(deployment, &deployment["status"]) {
            true => self.clean(deployment, found).await,
            false => Ok(()),
        }
    }

    /// Deletes old sets beyond the history limit, the oldest revisions first.
    async fn clean(&self, deployment: &Value, found: &Found) -> Result<(), Error> {
        let Some(limit) = deployment["spec"]["revisionHistoryLimit"].as_i64().filter(|l| *l != UNLIMITED) else {
            return Ok(());
        };
        let mut old: Vec<_> = found.old.iter().filter(|s| !meta::is_deleting(s)).collect();
        let surplus = old.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        old.sort_by_key(|s| sets::revision(s));
        for set in old.into_iter().take(surplus) {
            let status = &set["status"];
            let in_use = int(&status["replicas"]) != 0
                || replicas(set) != 0
                || int(&set["metadata"]["generation"]) > int(&status["observedGeneration"]);
            if in_use {
                continue;
            }
            let options = json!({"preconditions": {"uid": uid(set)}});
            match self.ctx.client.delete(&REPLICA_SETS, meta::namespace(set), meta::name(set), &options).await {
                Err(error) if !error.is_not_found() && !error.is_conflict() => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Gives the new set the deployment's annotations and its revision; says whether that changed it.
fn annotate(deployment: &Value, set: &mut Value, revision: i64) -> bool {
    const OWN: [&str; 6] = [
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        REVISION_HISTORY,
        DESIRED,
        MAX,
        "deprecated.deployment.rollback.to",
    ];
    let mut changed = false;
    let theirs = deployment["metadata"]["annotations"].as_object();
    for (key, value) in theirs.into_iter().flatten().filter(|(k, _)| !OWN.contains(&k.as_str())) {
        if annotation(set, key) != value.as_str() {
            set["metadata"]["annotations"][key] = value.clone();
            changed = true;
        }
    }
    let old = annotation(set, REVISION).map(str::to_string);
    if sets::revision(set) >= revision {
        return changed;
    }
    set["metadata"]["annotations"][REVISION] = revision.to_string().into();
    if let Some(old) = old {
        let history = annotation(set, REVISION_HISTORY).unwrap_or("");
        let mut all: Vec<&str> = history.split(',').filter(|r| !r.is_empty()).chain([old.as_str()]).collect();
        while all.join(",").len() > HISTORY_LIMIT {
            all.remove(0);
        }
        set["metadata"]["annotations"][REVISION_HISTORY] = all.join(",").into();
    }
    true
}

/// Notes for which size of the deployment a set was sized; says whether that changed it.
fn set_sizes(deployment: &Value, set: &mut Value) -> bool {
    let desired = replicas(deployment);
    let mut changed = false;
    for (name, value) in [(DESIRED, desired), (MAX, desired + limits(deployment).surge)] {
        let value = value.to_string();
        if annotation(set, name) != Some(&value) {
            set["metadata"]["annotations"][name] = value.into();
            changed = true;
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_leave_a_history() {
        let deployment = json!({"metadata": {"annotations": {"a": "b", REVISION: "9"}}, "spec": {"replicas": 1}});
        let mut set = json!({"metadata": {"annotations": {REVISION: "1"}}});
        assert!(annotate(&deployment, &mut set, 3));
        assert!(!annotate(&deployment, &mut set, 3), "nothing is left to do");
        assert!(annotate(&deployment, &mut set, 5));
        let expected = json!({"a": "b", REVISION: "5", REVISION_HISTORY: "1,3"});
        assert_eq!(set["metadata"]["annotations"], expected);
    }
}
