//! Writes a pod's status to the API, apart from the work on the pod: a slow API must not slow containers down.

use crate::pod::spec;
use crate::pod::status::is_our_condition;
use gantry_api::meta;
use gantry_client::resource::PODS;
use gantry_client::{Client, Error, PatchType};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The pauses between attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The newest status, and whether the object is to be deleted after it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Wanted {
    pod: Arc<Value>,
    status: Value,
    delete: bool,
}

/// Writes the status of one pod; it ends when dropped.
pub struct Writer {
    wanted: watch::Sender<Wanted>,
    deleted: watch::Receiver<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Writer {
    /// A writer that has nothing to write yet.
    pub fn new(client: Client) -> Self {
        let (wanted, receiver) = watch::channel(Wanted::default());
        let (deleted_sender, deleted) = watch::channel(false);
        Writer {
            wanted,
            deleted,
            task: tokio::spawn(run(client, receiver, deleted_sender)),
        }
    }

    /// Has `status` written. `pod` is the object as last seen.
    pub fn write(&self, pod: &Arc<Value>, status: Value) {
        self.wanted.send_if_modified(|w| {
            let new = Wanted {
                pod: pod.clone(),
                status,
                delete: w.delete,
            };
            let changed = *w != new;
            *w = new;
            changed
        });
    }

    /// Has the object deleted, after the last status is written, and waits for that.
    pub async fn delete(&mut self) {
        self.wanted.send_modify(|w| w.delete = true);
        // The sender lives in the task, which ends only after it has sent.
        let _ = self.deleted.wait_for(|deleted| *deleted).await;
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(client: Client, mut wanted: watch::Receiver<Wanted>, deleted: watch::Sender<bool>) {
    // What the API has, as far as this writer knows; the newest of what it wrote and what it was shown.
    let mut written: Option<Value> = None;
    let mut pause = FIRST_PAUSE;
    while wanted.changed().await.is_ok() {
        loop {
            let now = wanted.borrow_and_update().clone();
            match attempt(&client, &now, &mut written).await {
                Ok(()) if now.delete => {
                    deleted.send_replace(true);
                    return;
                }
                Ok(()) => break,
                // Gone: there is nobody left to tell.
                Err(error) if error.is_not_found() || error.is_conflict() => {
                    if now.delete {
                        deleted.send_replace(true);
                        return;
                    }
                    break;
                }
                Err(error) => {
                    tracing::warn!(
                        "the status of pod {} cannot be written: {error}",
                        spec::format(&now.pod)
                    );
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        pause = FIRST_PAUSE;
    }
}

async fn attempt(client: &Client, wanted: &Wanted, written: &mut Option<Value>) -> Result<(), Error> {
    let pod = &wanted.pod;
    let (namespace, name, uid) = (meta::namespace(pod), meta::name(pod), meta::text(pod, "uid"));
    let base = newer(pod, written.as_ref());
    if let Some(patch) = patch(&base["status"], &wanted.status) {
        let body = json!({"metadata": {"uid": uid}, "status": patch});
        *written = Some(
            client
                .patch(&PODS, (namespace, name), "status", PatchType::Strategic, &body)
                .await?,
        );
    }
    if wanted.delete {
        let options = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": uid}});
        client.delete(&PODS, namespace, name, &options).await?;
    }
    Ok(())
}

fn newer<'a>(pod: &'a Value, written: Option<&'a Value>) -> &'a Value {
    let revision = |o: &Value| meta::text(o, "resourceVersion").parse::<u64>().unwrap_or(0);
    match written {
        Some(written) if revision(written) > revision(pod) => written,
        _ => pod,
    }
}

/// The patch from one status to another; `None` when they are the same.
fn patch(old: &Value, new: &Value) -> Option<Value> {
    let mut patch = Map::new();
    let empty = Map::new();
    let new_fields = new.as_object().unwrap_or(&empty);
    for (field, value) in new_fields {
        if old.get(field) == Some(value) {
            continue;
        }
        let value = match field.as_str() {
            // Merged by type: only what is ours and has changed.
            "conditions" => {
                let before = spec::list(old, "conditions");
                let ours = spec::list(new, "conditions").iter();
                let changed: Vec<Value> = ours
                    .filter(|c| is_our_condition(spec::text(c, "type")) && !before.contains(c))
                    .map(|c| with_nulls(c, &["reason", "message"]))
                    .collect();
                if changed.is_empty() {
                    continue;
                }
                changed.into()
            }
            // Merged by address, which would keep old ones.
            "podIPs" | "hostIPs" => {
                let mut list = vec![json!({"$patch": "replace"})];
                list.extend(value.as_array().into_iter().flatten().cloned());
                list.into()
            }
            _ => value.clone(),
        };
        patch.insert(field.clone(), value);
    }
    for field in ["reason", "message", "podIP", "initContainerStatuses"] {
        if old.get(field).is_some() && !new_fields.contains_key(field) {
            patch.insert(field.into(), Value::Null);
        }
    }
    (!patch.is_empty()).then(|| patch.into())
}

/// A copy whose missing fields are null, which removes them.
fn with_nulls(object: &Value, fields: &[&str]) -> Value {
    let mut copy = object.clone();
    for field in fields {
        if copy.get(field).is_none() {
            copy[*field] = Value::Null;
        }
    }
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_hold_what_changed() {
        let check = |old: Value, new: Value, expected: Option<Value>| {
            assert_eq!(patch(&old, &new), expected, "{old} -> {new}");
        };
        check(json!({"phase": "Pending"}), json!({"phase": "Pending"}), None);
        check(
            json!({"phase": "Pending"}),
            json!({"phase": "Running"}),
            Some(json!({"phase": "Running"})),
        );
        check(json!({"reason": "x"}), json!({}), Some(json!({"reason": null})));
        check(
            json!({"podIPs": [{"ip": "a"}]}),
            json!({"podIPs": [{"ip": "b"}]}),
            Some(json!({"podIPs": [{"$patch": "replace"}, {"ip": "b"}]})),
        );
        check(
            json!({"conditions": [{"type": "Ready", "status": "False", "reason": "x"}, {"type": "own", "status": "a"}]}),
            json!({"conditions": [{"type": "own", "status": "b"}, {"type": "Ready", "status": "True"}]}),
            Some(
                json!({"conditions": [{"type": "Ready", "status": "True", "reason": null, "message": null}]}),
            ),
        );
    }
}
