//! Commands in containers, the streams of their first processes, and ports of pods. The runtime serves them itself, on
//! loopback; the server asks it where, and relays.

use super::Api;
use super::relay::{Stop, forward};
use super::respond::{Body, Refusal};
use super::route::{Container, Pod, Query};
use crate::cri::v1;
use crate::node::machine;
use crate::pod::spec;
use crate::pod::state::{CONTAINER_NAME, POD_UID};
use gantry_api::meta;
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// The streams that a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Streams {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
}

impl Streams {
    fn parse(query: &Query) -> Result<Self, Refusal> {
        let tty = query.is_one("tty");
        let streams = Streams {
            stdin: query.is_one("input"),
            stdout: query.is_one("output"),
            // A terminal has one output.
            stderr: query.is_one("error") && !tty,
            tty,
        };
        if !streams.stdin && !streams.stdout && !streams.stderr {
            let text = "you must specify at least 1 of stdin, stdout, stderr";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, text));
        }
        Ok(streams)
    }
}

/// Runs a command.
pub async fn exec(
    api: &Arc<Api>,
    container: Container<'_>,
    query: &Query,
    request: Request<Incoming>,
    stop: Stop,
) -> Result<Response<Body>, Refusal> {
    let streams = Streams::parse(query)?;
    let pod = pod(api, container.pod)?;
    let id = running(api, &pod, container)
        .await?
        .ok_or_else(|| Refusal::internal(format!("container not found ({:?})", container.name)))?;
    let asked = v1::ExecRequest {
        container_id: id,
        cmd: query.all("command").map(String::from).collect(),
        stdin: streams.stdin,
        stdout: streams.stdout,
        stderr: streams.stderr,
        tty: streams.tty,
    };
    let url = api.shared.runtime.exec(asked).await?.url;
    forward(request, &url, stop).await
}

/// Attaches to a container's first process.
pub async fn attach(
    api: &Arc<Api>,
    container: Container<'_>,
    query: &Query,
    request: Request<Incoming>,
    stop: Stop,
) -> Result<Response<Body>, Refusal> {
    let streams = Streams::parse(query)?;
    let pod = pod(api, container.pod)?;
    let mut id = running(api, &pod, container).await?;
    // A process that has just ended may still count as running. To attach to it would show nothing; refused, clients
    // turn to the log, which has all it said.
    if let Some(found) = &id
        && let Some(pid) = api.shared.runtime.container_process(found).await?
        && machine::has_ended(pid)
    {
        id = None;
    }
    let found = id.zip(spec::container(&pod, container.name));
    let (id, spec) = found.ok_or_else(|| {
        let text = format!(
            "container {} not found in pod {}_{}",
            container.name, container.pod.name, container.pod.namespace
        );
        Refusal::internal(text)
    })?;
    // What the process has cannot be changed any more.
    let tty = spec::flag(spec, "tty");
    let asked = v1::AttachRequest {
        container_id: id,
        stdin: streams.stdin,
        stdout: streams.stdout,
        stderr: streams.stderr && !tty,
        tty,
    };
    let url = api.shared.runtime.attach(asked).await?.url;
    forward(request, &url, stop).await
}

/// Connects to ports of a pod.
pub async fn port_forward(
    api: &Arc<Api>,
    target: Pod<'_>,
    query: &Query,
    request: Request<Incoming>,
    stop: Stop,
) -> Result<Response<Body>, Refusal> {
    let ports = ports(request.headers(), query)?;
    let pod = pod(api, target)?;
    let uid = meta::text(&pod, "uid");
    if target.uid.is_some_and(|asked| asked != uid) {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "pod not found"));
    }
    let filter = v1::PodSandboxFilter {
        state: Some(v1::PodSandboxStateValue {
            state: v1::PodSandboxState::SandboxReady.into(),
        }),
        label_selector: HashMap::from([(POD_UID.to_string(), uid.to_string())]),
        ..Default::default()
    };
    let runtime = &api.shared.runtime;
    let list = v1::ListPodSandboxRequest { filter: Some(filter) };
    let sandboxes = runtime.list_pod_sandbox(list).await?.items;
    let newest = sandboxes.into_iter().max_by_key(|s| s.created_at);
    let sandbox = newest.ok_or_else(|| {
        let name = format!("{}_{}", target.name, target.namespace);
        Refusal::internal(format!("pod not found ({name:?})"))
    })?;
    let asked = v1::PortForwardRequest {
        pod_sandbox_id: sandbox.id,
        port: ports,
    };
    let url = runtime.port_forward(asked).await?.url;
    forward(request, &url, stop).await
}

/// The ports of a request: WebSocket requests must name them, others do so in their streams.
fn ports(headers: &HeaderMap, query: &Query) -> Result<Vec<i32>, Refusal> {
    let bad = |text: String| Refusal::new(StatusCode::BAD_REQUEST, text);
    let websocket = headers
        .get("upgrade")
        .is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if !websocket {
        return Ok(Vec::new());
    }
    let mut ports = Vec::new();
    for text in query.all("port") {
        if text.is_empty() {
            return Err(bad("query parameter \"port\" cannot be empty".into()));
        }
        for part in text.split(',') {
            match part.parse::<u16>() {
                Ok(0) => return Err(bad(format!("port {text:?} must be > 0"))),
                Ok(port) => ports.push(port.into()),
                Err(_) => {
                    return Err(bad(format!(
                        "unable to parse {text:?} as a port: {part:?} is none"
                    )));
                }
            }
        }
    }
    if ports.is_empty() {
        return Err(bad("query parameter \"port\" is required".into()));
    }
    Ok(ports)
}

fn pod(api: &Api, pod: Pod<'_>) -> Result<Arc<Value>, Refusal> {
    let known = api.manager.find(pod.namespace, pod.name);
    known
        .map(|known| known.pod)
        .ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "pod does not exist"))
}

/// The id of a container that runs; the runtime is asked, for it may have ended a moment ago.
async fn running(api: &Api, pod: &Value, container: Container<'_>) -> Result<Option<String>, Refusal> {
    let uid = meta::text(pod, "uid");
    if container.pod.uid.is_some_and(|asked| asked != uid) {
        return Ok(None);
    }
    let labels = [(POD_UID, uid), (CONTAINER_NAME, container.name)];
    let filter = v1::ContainerFilter {
        state: Some(v1::ContainerStateValue {
            state: v1::ContainerState::ContainerRunning.into(),
        }),
        label_selector: labels.map(|(k, v)| (k.to_string(), v.to_string())).into(),
        ..Default::default()
    };
    let list = v1::ListContainersRequest { filter: Some(filter) };
    let found = api.shared.runtime.list_containers(list).await?.containers;
    Ok(found.into_iter().max_by_key(|c| c.created_at).map(|c| c.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams() {
        let check = |query: &str, expected: Option<(bool, bool, bool, bool)>| {
            let parsed = Streams::parse(&Query::parse(query)).ok();
            let parsed = parsed.map(|s| (s.stdin, s.stdout, s.stderr, s.tty));
            assert_eq!(parsed, expected, "{query}");
        };
        check("", None);
        check("input=true", None);
        check("tty=1&error=1", None);
        check("input=1", Some((true, false, false, false)));
        check("output=1&error=1", Some((false, true, true, false)));
        check("input=1&output=1&error=1&tty=1", Some((true, true, false, true)));
    }

    #[test]
    fn forwarded_ports() {
        let check = |websocket: bool, query: &str, expected: Result<&[i32], &str>| {
            let mut headers = HeaderMap::new();
            let value = if websocket { "websocket" } else { "SPDY/3.1" };
            headers.insert("upgrade", value.parse().unwrap());
            let result = ports(&headers, &Query::parse(query)).map_err(|e| e.to_string());
            assert_eq!(
                result,
                expected.map(<[i32]>::to_vec).map_err(String::from),
                "{query}"
            );
        };
        check(false, "", Ok(&[]));
        check(true, "port=80&port=81,82", Ok(&[80, 81, 82]));
        check(true, "", Err("query parameter \"port\" is required"));
        check(true, "port=", Err("query parameter \"port\" cannot be empty"));
        check(true, "port=0", Err("port \"0\" must be > 0"));
        check(
            true,
            "port=x",
            Err("unable to parse \"x\" as a port: \"x\" is none"),
        );
    }
}
