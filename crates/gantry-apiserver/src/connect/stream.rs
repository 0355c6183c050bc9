//! `pods/exec`, `pods/attach` and `pods/portforward`: connections to the node's agent that carry streams.
//!
//! Source: pkg/registry/core/pod/strategy.go and pkg/registry/core/pod/rest/subresources.go.

use crate::connect::hold::Hold;
use crate::connect::query::{self, Query};
use crate::connect::translate::{self, Streams};
use crate::connect::{Connect, Request, tunnel, upgrade};
use crate::respond::Body;
use crate::verbs::Api;
use gantry_api::kind::Subresource;
use gantry_api::meta;
use gantry_api::status::Status;
use http::Response;
use serde_json::Value;

/// The streams of a command: their names here and at the node.
const STREAMS: [(&str, &str); 4] = [
    ("stdin", "input"),
    ("stdout", "output"),
    ("stderr", "error"),
    ("tty", "tty"),
];

/// Connects a client to the agent of a pod's node.
pub async fn answer(
    connect: &Connect,
    api: &Api,
    subresource: Subresource,
    request: Request,
    hold: Hold,
) -> Result<Response<Body>, Status> {
    let (query, name) = (request.query(), request.name()?);
    let pod = api
        .registry
        .get(&request.target.kind, request.namespace(), name)
        .await?;
    let path = path(subresource, &pod, &query)?;
    let node = node_of(api, &pod)
        .await?
        .ok_or_else(|| Status::bad_request(format!("pod {name} does not have a host assigned")))?;
    let agent = connect.nodes()?.agent(&node, true)?;
    if !upgrade::is_wanted(&request.head) {
        return Err(Status::bad_request("Upgrade request required"));
    }
    let head = request.head;
    if subresource == Subresource::PortForward && tunnel::is_wanted(&head) {
        return tunnel::pass_on(&agent, &path, head, hold).await;
    }
    if subresource != Subresource::PortForward && translate::is_wanted(&head) {
        let streams = Streams {
            stdin: query.flag("stdin"),
            stdout: query.flag("stdout"),
            stderr: query.flag("stderr"),
            tty: query.flag("tty"),
        };
        return translate::pass_on(&agent, &path, streams, head, hold).await;
    }
    upgrade::pass_on(&agent, &path, head, hold).await
}

/// The path and query at the node's agent.
fn path(subresource: Subresource, pod: &Value, query: &Query) -> Result<String, Status> {
    let place = format!(
        "{}/{}",
        query::path_part(meta::namespace(pod)),
        query::path_part(meta::name(pod))
    );
    if subresource == Subresource::PortForward {
        let ports = ports(query)?;
        let pairs = (!ports.is_empty()).then_some(("port", ports.as_str()));
        return Ok(format!("/portForward/{place}?{}", query::write(pairs)));
    }
    let container = container(pod, query.text("container"))?;
    let mut pairs: Vec<(&str, &str)> = STREAMS
        .into_iter()
        .filter(|(name, _)| query.flag(name))
        .map(|(_, at_node)| (at_node, "1"))
        .collect();
    if subresource == Subresource::Exec {
        pairs.extend(query.all("command").map(|c| ("command", c)));
    }
    Ok(format!(
        "/{}/{place}/{}?{}",
        subresource.name(),
        query::path_part(container),
        query::write(pairs)
    ))
}

fn ports(query: &Query) -> Result<String, Status> {
    let wanted = query.all("ports").filter(|p| !p.is_empty());
    let mut ports = Vec::new();
    for port in wanted.flat_map(|p| p.split(',')) {
        let number: i32 = port.parse().map_err(|_| {
            Status::bad_request(format!("strconv.ParseInt: parsing {port:?}: invalid syntax"))
        })?;
        ports.push(number.to_string());
    }
    Ok(ports.join(","))
}

/// The container meant: the one named, or the only one there is.
pub fn container<'a>(pod: &'a Value, named: &str) -> Result<&'a str, Status> {
    let list = |field: &str| {
        let containers = pod["spec"][field].as_array().map_or(&[][..], Vec::as_slice);
        containers.iter().filter_map(|c| c["name"].as_str())
    };
    let all: Vec<&str> = ["initContainers", "containers", "ephemeralContainers"]
        .into_iter()
        .flat_map(list)
        .collect();
    let name = meta::name(pod);
    if !named.is_empty() {
        return all
            .into_iter()
            .find(|c| *c == named)
            .ok_or_else(|| Status::bad_request(format!("container {named} is not valid for pod {name}")));
    }
    let mut usual = list("containers");
    match (usual.next(), usual.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(Status::bad_request(format!(
            "a container name must be specified for pod {name}"
        ))),
        _ => Err(Status::bad_request(format!(
            "a container name must be specified for pod {name}, choose one of: [{}]",
            all.join(" ")
        ))),
    }
}

/// The node a pod is on, if it is on one.
pub async fn node_of(api: &Api, pod: &Value) -> Result<Option<Value>, Status> {
    let name = pod["spec"]["nodeName"].as_str().unwrap_or("");
    if name.is_empty() {
        return Ok(None);
    }
    // Upstream calls it a pod that is not there.
    let found = node(api, name).await.map(Some);
    found.map_err(|status| match status.code {
        404 => Status::not_found("", "pods", name),
        _ => status,
    })
}

/// A node by name.
pub async fn node(api: &Api, name: &str) -> Result<Value, Status> {
    let kind = api
        .kinds
        .get("", "v1", "nodes")
        .ok_or_else(Status::no_such_path)?;
    api.registry.get(&kind, None, name).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn containers() {
        let pod = |names: &[&str]| {
            let containers: Vec<Value> = names.iter().map(|n| json!({"name": n})).collect();
            json!({"metadata": {"name": "p"}, "spec": {"initContainers": [{"name": "i"}], "containers": containers}})
        };
        let check = |names: &[&str], named: &str, expected: Result<&str, &str>| {
            let pod = pod(names);
            let found = container(&pod, named).map_err(|s| (s.code, s.message));
            assert_eq!(
                found,
                expected.map_err(|e| (400, e.to_owned())),
                "{names:?} {named}"
            );
        };
        check(&["a"], "", Ok("a"));
        check(&["a", "b"], "b", Ok("b"));
        check(&["a"], "i", Ok("i"));
        check(
            &["a", "b"],
            "",
            Err("a container name must be specified for pod p, choose one of: [i a b]"),
        );
        check(&[], "", Err("a container name must be specified for pod p"));
        check(&["a"], "x", Err("container x is not valid for pod p"));
    }

    #[test]
    fn paths_at_the_node() {
        let pod = json!({
            "metadata": {"namespace": "n", "name": "p"}, "spec": {"containers": [{"name": "c"}]},
        });
        let check = |subresource: Subresource, query: &str, expected: &str| {
            assert_eq!(path(subresource, &pod, &Query::parse(query)).unwrap(), expected);
        };
        check(
            Subresource::Exec,
            "command=sh&command=-c&command=a%20b&stdin=true&stdout=1&tty=0",
            "/exec/n/p/c?input=1&output=1&command=sh&command=-c&command=a%20b",
        );
        check(
            Subresource::Attach,
            "stdin=true&stderr=true&tty=true&command=no",
            "/attach/n/p/c?input=1&error=1&tty=1",
        );
        check(
            Subresource::PortForward,
            "ports=80&ports=90",
            "/portForward/n/p?port=80%2C90",
        );
        check(Subresource::PortForward, "", "/portForward/n/p?");
    }
}
