//! A container's log.

use super::Api;
use super::respond::{self, Body, Refusal};
use super::route::{Container, Query};
use crate::clock;
use crate::cri::{CriError, Runtime, v1};
use crate::logs::read::{Follow, Log};
use crate::logs::{Options, Stream};
use crate::pod::{spec, status};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Pieces of a log that wait for a slow reader.
const WAITING: usize = 4;

/// Streams a log, as the query asks.
pub async fn answer(
    api: &Arc<Api>,
    container: Container<'_>,
    query: &Query,
) -> Result<Response<Body>, Refusal> {
    let (options, previous) = options(query, clock::now())?;
    let (pod, name) = (container.pod.name, container.name);
    let known = api
        .manager
        .find(container.pod.namespace, pod)
        .ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, format!("pod {pod:?} does not exist")))?;
    let bad = |text: String| Refusal::new(StatusCode::BAD_REQUEST, text);
    if spec::container(&known.pod, name).is_none() {
        let text = format!("container {name:?} not found in pod {pod:?}");
        return Err(Refusal::new(StatusCode::NOT_FOUND, text));
    }
    let id = instance(&known.status, pod, name, previous).map_err(bad)?;
    let runtime = api.shared.runtime.clone();
    let short = id
        .split_once("://")
        .map_or(id.as_str(), |(_, short)| short)
        .to_string();
    let found = runtime.container_status(&short).await.map_err(|error| {
        tracing::debug!("the log of {id} is not known: {error}");
        bad(format!("unable to retrieve container logs for {id}"))
    })?;
    let log = Log::open(found.log_path.into(), options)
        .await
        .map_err(|e| bad(e.to_string()))?;
    let (sender, receiver) = mpsc::channel::<Bytes>(WAITING);
    tokio::spawn(async move {
        let follow = Runs { runtime, id: short };
        if let Err(error) = log.run(&sender, &follow).await {
            tracing::info!("the log of {id} breaks off: {error}");
        }
    });
    let frames = futures::stream::unfold(receiver, |mut receiver| async {
        let piece = receiver.recv().await?;
        Some((piece, receiver))
    });
    let body = StreamBody::new(frames.map(|piece| Ok(Frame::data(piece)))).boxed_unsync();
    Ok(respond::typed(StatusCode::OK, "text/plain; charset=utf-8", body))
}

/// Whether a container still writes.
struct Runs {
    runtime: Runtime,
    id: String,
}

#[async_trait]
impl Follow for Runs {
    async fn goes_on(&self) -> bool {
        match self.runtime.container_status(&self.id).await {
            Ok(status) => status.state() == v1::ContainerState::ContainerRunning,
            // Containers go on when only the runtime is away.
            Err(CriError::Rpc {
                code: tonic::Code::Unavailable,
                ..
            }) => true,
            Err(_) => false,
        }
    }
}

/// Reads the query; upstream answers all that is wrong with one text.
fn options(query: &Query, now: i64) -> Result<(Options, bool), Refusal> {
    let unreadable = || {
        let text = r#"{"message": "Unable to decode query."}"#;
        Refusal::new(StatusCode::BAD_REQUEST, text)
    };
    let number = |name: &str| {
        let value = query.get(name).filter(|v| !v.is_empty());
        value
            .map(|v| v.parse::<i64>().map_err(|_| unreadable()))
            .transpose()
    };
    let tail = match query.get("tail") {
        Some("all") => None,
        Some(_) => number("tail")?,
        None => number("tailLines")?,
    };
    let (limit, seconds) = (number("limitBytes")?, number("sinceSeconds")?);
    let time = match query.get("sinceTime").filter(|t| !t.is_empty()) {
        Some(text) => Some(clock::parse(text).ok_or_else(unreadable)?),
        None => None,
    };
    let stream = match query.get("stream").filter(|s| !s.is_empty()) {
        None | Some("All") => Some(None),
        Some("Stdout") => Some(Some(Stream::Stdout)),
        Some("Stderr") => Some(Some(Stream::Stderr)),
        Some(_) => None,
    };
    let wrong = tail.is_some_and(|n| n < 0)
        || limit.is_some_and(|n| n < 1)
        || seconds.is_some_and(|n| n < 1)
        || (seconds.is_some() && time.is_some())
        || stream.is_none_or(|s| s.is_some() && tail.is_some());
    if wrong {
        let text = r#"{"message": "Invalid request."}"#;
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, text));
    }
    let since = time.or_else(|| Some(now.saturating_sub(seconds?.saturating_mul(1_000_000_000))));
    let options = Options {
        follow: query.flag("follow"),
        timestamps: query.flag("timestamps"),
        tail: tail.and_then(|n| u64::try_from(n).ok()),
        limit: limit.and_then(|n| u64::try_from(n).ok()),
        since,
        stream: stream.flatten(),
    };
    Ok((options, query.flag("previous")))
}

/// The id of the instance of a container whose log is asked for; else upstream's text that says why there is none.
fn instance(of_pod: &Value, pod: &str, name: &str, previous: bool) -> Result<String, String> {
    let found = status::of_containers(of_pod).find(|s| spec::text(s, "name") == name);
    let what = format!("container {name:?} in pod {pod:?}");
    let Some(found) = found else {
        return Err(format!("{what} is not available"));
    };
    let state = &found["state"];
    let id = |terminated: &Value| spec::text(terminated, "containerID").to_string();
    let last = found["lastState"].get("terminated");
    let last_id = last.map(id).filter(|id| !id.is_empty());
    if previous {
        return last_id.ok_or_else(|| format!("previous terminated {what} not found"));
    }
    if state.get("running").is_some() {
        return Ok(spec::text(found, "containerID").to_string());
    }
    if let Some(terminated) = state.get("terminated") {
        let own = Some(id(terminated)).filter(|id| !id.is_empty());
        return own.or(last_id).ok_or_else(|| format!("{what} is terminated"));
    }
    if last.is_some() {
        return last_id.ok_or_else(|| format!("{what} is terminated"));
    }
    Err(match state.get("waiting").map(|w| spec::text(w, "reason")) {
        Some("ErrImagePull") => format!("{what} is waiting to start: image can't be pulled"),
        Some("ImagePullBackOff") => {
            format!("{what} is waiting to start: trying and failing to pull image")
        }
        Some(reason) => format!("{what} is waiting to start: {reason}"),
        None => format!("{what} is waiting to start - no logs yet"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn instances() {
        let check = |status: Value, previous: bool, expected: Result<&str, &str>| {
            let mut status = status;
            status["name"] = "c".into();
            let pod = json!({"containerStatuses": [status]});
            let result = instance(&pod, "p", "c", previous);
            assert_eq!(
                result.as_deref(),
                expected.map_err(String::from).as_deref(),
                "{pod}"
            );
        };
        let running = json!({"state": {"running": {}}, "containerID": "containerd://new",
            "lastState": {"terminated": {"containerID": "containerd://old"}}});
        check(running.clone(), false, Ok("containerd://new"));
        check(running, true, Ok("containerd://old"));
        check(
            json!({"state": {"running": {}}, "containerID": "a", "lastState": {}}),
            true,
            Err("previous terminated container \"c\" in pod \"p\" not found"),
        );
        check(
            json!({"state": {"terminated": {"containerID": "a"}}}),
            false,
            Ok("a"),
        );
        check(
            json!({"state": {"terminated": {}}, "lastState": {"terminated": {"containerID": "b"}}}),
            false,
            Ok("b"),
        );
        check(
            json!({"state": {"terminated": {}}}),
            false,
            Err("container \"c\" in pod \"p\" is terminated"),
        );
        check(
            json!({"state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"containerID": "b"}}}),
            false,
            Ok("b"),
        );
        let waiting = |reason: &str, text: &str| {
            check(
                json!({"state": {"waiting": {"reason": reason}}}),
                false,
                Err(&format!(
                    "container \"c\" in pod \"p\" is waiting to start: {text}"
                )),
            );
        };
        waiting("ContainerCreating", "ContainerCreating");
        waiting("ErrImagePull", "image can't be pulled");
        waiting("ImagePullBackOff", "trying and failing to pull image");
        assert_eq!(
            instance(&json!({}), "p", "c", false),
            Err("container \"c\" in pod \"p\" is not available".into())
        );
    }

    #[test]
    fn queries() {
        let now = 100_000_000_000;
        let check = |query: &str, expected: Result<(Options, bool), StatusCode>| {
            let result = options(&Query::parse(query), now).map_err(|e| e.response().status());
            assert_eq!(result, expected, "{query}");
        };
        check("", Ok((Options::default(), false)));
        check(
            "follow=true&timestamps=1&previous=true&tailLines=5&limitBytes=7&sinceSeconds=10",
            Ok((
                Options {
                    follow: true,
                    timestamps: true,
                    tail: Some(5),
                    limit: Some(7),
                    since: Some(90_000_000_000),
                    stream: None,
                },
                true,
            )),
        );
        check(
            "sinceTime=1970-01-01T00:00:01Z&stream=Stderr",
            Ok((
                Options {
                    since: Some(1_000_000_000),
                    stream: Some(Stream::Stderr),
                    ..Default::default()
                },
                false,
            )),
        );
        check("tail=all&tailLines=3", Ok((Options::default(), false)));
        check("tailLines=x", Err(StatusCode::BAD_REQUEST));
        check("sinceTime=yesterday", Err(StatusCode::BAD_REQUEST));
        for query in [
            "tailLines=-1",
            "limitBytes=0",
            "sinceSeconds=0",
            "sinceSeconds=1&sinceTime=1970-01-01T00:00:01Z",
            "stream=stdout",
            "stream=Stdout&tailLines=1",
        ] {
            check(query, Err(StatusCode::UNPROCESSABLE_ENTITY));
        }
    }
}
