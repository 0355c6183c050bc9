//! Finding a container's image, and pulling it.

use super::name;
use crate::clock;
use crate::cri::{CriError, Runtime, v1};
use crate::pod::backoff::Backoff;
use crate::pod::spec;
use gantry_api::meta;
use gantry_client::Recorder;
use gantry_client::resource::SECRETS;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::Semaphore;

mod auth;

/// Pulls that go on at once.
const PULLS: usize = 4;

/// Why a container has no image; the reason is what its status shows.
#[derive(Debug, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct PullError {
    /// Such as `ErrImagePull`.
    pub reason: &'static str,
    /// What a person reads.
    pub message: String,
    /// When to try again, in nanoseconds since 1970.
    pub again: Option<i64>,
}

/// Finds and pulls images for all pods.
pub struct Puller {
    runtime: Runtime,
    client: gantry_client::Client,
    recorder: Recorder,
    places: Semaphore,
    failures: Mutex<Failures>,
}

struct Failures {
    backoff: Backoff,
    messages: HashMap<String, String>,
}

impl Puller {
    /// A puller that has not failed yet.
    pub fn new(runtime: Runtime, client: gantry_client::Client, recorder: Recorder) -> Self {
        let failures = Failures {
            backoff: Backoff::usual(),
            messages: HashMap::new(),
        };
        Puller {
            runtime,
            client,
            recorder,
            places: Semaphore::new(PULLS),
            failures: Mutex::new(failures),
        }
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The image of a container, pulled if its policy says so.
    pub async fn ensure(&self, pod: &Value, container: &Value) -> Result<v1::Image, PullError> {
        let image = spec::text(container, "image");
        let tell = |type_: &str, reason: &str, message: String| {
            self.recorder
                .event_at(pod, &spec::field_path(pod, container), type_, reason, message);
        };
        let unusable = |reason: &'static str, message: String| {
            tell("Warning", "InspectFailed", message.clone());
            PullError {
                reason,
                message,
                again: None,
            }
        };
        if let Some(message) = name::fault(image) {
            return Err(unusable("InvalidImageName", message));
        }
        let present = self.runtime.image_status(image).await.map_err(|error| {
            let message = format!("Failed to inspect image {image:?}: {error}");
            unusable("ImageInspectError", message)
        })?;
        match (spec::text(container, "imagePullPolicy"), present) {
            ("Always", _) | ("IfNotPresent" | "", None) => {}
            (_, Some(present)) => {
                tell(
                    "Normal",
                    "Pulled",
                    format!(
                        "Container image {image:?} already present on machine and can be accessed by the pod"
                    ),
                );
                return Ok(present);
            }
            (_, None) => {
                let message = format!("Container image {image:?} is not present with pull policy of Never");
                tell("Warning", "ErrImageNeverPull", message.clone());
                return Err(PullError {
                    reason: "ErrImageNeverPull",
                    message,
                    again: None,
                });
            }
        }
        let key = format!("{}_{image}", meta::text(pod, "uid"));
        if let Some((again, before)) = self.backing_off(&key) {
            let message = format!("Back-off pulling image {image:?}");
            tell("Normal", "BackOff", message.clone());
            let message = if before.is_empty() {
                message
            } else {
                format!("{message}: {before}")
            };
            return Err(PullError {
                reason: "ImagePullBackOff",
                message,
                again: Some(again),
            });
        }
        tell("Normal", "Pulling", format!("Pulling image {image:?}"));
        let begin = Instant::now();
        // The semaphore is never closed; without a place there is just no limit.
        let place = self.places.acquire().await.ok();
        let pulling = Instant::now();
        let pulled = self.pull(pod, image).await;
        drop(place);
        match pulled {
            Ok(found) => {
                let (took, waited) = (text(pulling), text(begin));
                tell(
                    "Normal",
                    "Pulled",
                    format!(
                        "Successfully pulled image {image:?} in {took} ({waited} including waiting). Image size: {} bytes.",
                        found.size
                    ),
                );
                self.failures().messages.remove(&key);
                Ok(found)
            }
            Err(error) => {
                tell(
                    "Warning",
                    "Failed",
                    format!("Failed to pull image {image:?}: {error}"),
                );
                let message = error.to_string();
                let mut failures = self.failures();
                failures.backoff.failed(&key, clock::now());
                failures
                    .messages
                    .insert(key.clone(), format!("ErrImagePull: {message}"));
                let again = failures.backoff.pause_since_failure(&key, clock::now());
                Err(PullError {
                    reason: "ErrImagePull",
                    message,
                    again,
                })
            }
        }
    }

    /// When the pause after a failed pull ends, and how it failed.
    fn backing_off(&self, key: &str) -> Option<(i64, String)> {
        let failures = self.failures();
        let again = failures.backoff.pause_since_failure(key, clock::now())?;
        Some((again, failures.messages.get(key).cloned().unwrap_or_default()))
    }

    /// Forgets what failed for a pod that is gone.
    pub fn forget(&self, uid: &str) {
        let mut failures = self.failures();
        let prefix = format!("{uid}_");
        failures.messages.retain(|key, _| !key.starts_with(&prefix));
        failures.backoff.forget(&prefix);
    }

    async fn pull(&self, pod: &Value, image: &str) -> Result<v1::Image, CriError> {
        let mut credentials = Vec::new();
        let mut missing = Vec::new();
        for secret in spec::list(&pod["spec"], "imagePullSecrets") {
            let name = spec::text(secret, "name");
            // Older versions of the API took references without a name.
            if name.is_empty() {
                continue;
            }
            match self.client.get(&SECRETS, meta::namespace(pod), name).await {
                Ok(secret) => credentials.extend(auth::credentials(&secret, image)),
                Err(error) => {
                    tracing::info!("the image pull secret {name} cannot be read: {error}");
                    missing.push(name);
                }
            }
        }
        if !missing.is_empty() {
            let message = format!(
                "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                missing.join(", ")
            );
            self.recorder
                .event(pod, "Warning", "FailedToRetrieveImagePullSecret", message);
        }
        let mut result = Err(CriError::Incomplete("PullImage"));
        // Without credentials if there are none; otherwise each until one is good.
        let attempts: Vec<_> = match credentials.is_empty() {
            true => vec![None],
            false => credentials.into_iter().map(Some).collect(),
        };
        for attempt in attempts {
            result = self.runtime.pull_image(image, attempt).await;
            if result.is_ok() {
                break;
            }
        }
        result?;
        self.runtime
            .image_status(image)
            .await?
            .ok_or(CriError::Incomplete("ImageStatus"))
    }
}

/// The time since `begin`, to the millisecond.
fn text(begin: Instant) -> String {
    let millis = begin.elapsed().as_millis();
    if millis < 1000 {
        format!("{millis}ms")
    } else {
        format!("{}.{:03}s", millis / 1000, millis % 1000)
    }
}
