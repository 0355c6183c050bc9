//! What probes and hooks do: run a command, ask over HTTP or gRPC, open a connection.

use crate::cri::Runtime;
use crate::pod::spec;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use std::time::Duration;
use tokio::net::TcpStream;

mod tls;

/// More of an answer than this is not read.
const BODY_LIMIT: usize = 10 << 10;

/// The gRPC health protocol, generated from proto/health.proto.
#[allow(missing_docs, clippy::all)]
mod health {
    tonic::include_proto!("grpc.health.v1");
}

/// What an action is aimed at.
pub struct Target<'a> {
    /// The container runtime.
    pub runtime: &'a Runtime,
    /// The container's spec.
    pub container: &'a Value,
    /// Its id.
    pub container_id: &'a str,
    /// The pod's address.
    pub pod_ip: &'a str,
}

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Success,
    /// The container is not well.
    Failure(String),
    /// It could not be found out.
    Error(String),
}

/// The command of an exec action.
pub fn command(action: &Value) -> Vec<String> {
    spec::list(&action["exec"], "command")
        .iter()
        .filter_map(|c| c.as_str().map(String::from))
        .collect()
}

/// Does what `action` (a probe or a hook) says, within `limit`.
pub async fn run(target: &Target<'_>, action: &Value, limit: Duration) -> Outcome {
    if action.get("exec").is_some() {
        return exec(target, action, limit).await;
    }
    let asked = async {
        if let Some(get) = action.get("httpGet") {
            http_get(target, get).await
        } else if let Some(tcp) = action.get("tcpSocket") {
            tcp_connect(target, tcp).await
        } else if let Some(grpc) = action.get("grpc") {
            grpc_check(target, grpc, limit).await
        } else {
            Outcome::Error("the probe has no action".into())
        }
    };
    tokio::time::timeout(limit, asked)
        .await
        .unwrap_or_else(|_| Outcome::Failure(timed_out(target, action, limit)))
}

/// What a probe or hook that took too long says.
fn timed_out(target: &Target<'_>, action: &Value, limit: Duration) -> String {
    if let Some(get) = action.get("httpGet") {
        let why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
        return match address(target, get) {
            Ok((host, port)) => format!("Get {:?}: {why}", url(get, &host, port)),
            Err(_) => why.into(),
        };
    }
    let found = ["tcpSocket", "grpc"].iter().find_map(|field| action.get(field));
    match found.map(|found| address(target, found)) {
        Some(Ok((host, port))) if action.get("grpc").is_some() => format!(
            "timeout: failed to connect service \"{}\" within {limit:?}: context deadline exceeded",
            authority(&host, port)
        ),
        Some(Ok((host, port))) => format!("dial tcp {}: i/o timeout", authority(&host, port)),
        _ => "context deadline exceeded".into(),
    }
}

async fn exec(target: &Target<'_>, action: &Value, limit: Duration) -> Outcome {
    match target
        .runtime
        .exec_sync(target.container_id, command(action), limit)
        .await
    {
        Ok(answer) if answer.exit_code == 0 => Outcome::Success,
        Ok(answer) => {
            let mut output = [answer.stdout, answer.stderr].concat();
            output.truncate(BODY_LIMIT);
            Outcome::Failure(String::from_utf8_lossy(&output).into_owned())
        }
        Err(error) if error.is_timeout() => Outcome::Failure(format!("command timed out: {error}")),
        Err(error) => Outcome::Error(error.to_string()),
    }
}

/// A port by its number, or by its name in the container's spec.
fn port(container: &Value, port: &Value) -> Option<u16> {
    let number = match port.as_str() {
        None => port.as_u64(),
        Some(text) => text.parse().ok().or_else(|| {
            let ports = spec::list(container, "ports");
            ports.iter().find(|p| spec::text(p, "name") == text)?["containerPort"].as_u64()
        }),
    };
    u16::try_from(number?).ok().filter(|p| *p > 0)
}

/// The address to ask: one the action names, or the pod's.
fn address(target: &Target<'_>, action: &Value) -> Result<(String, u16), Outcome> {
    let named = spec::text(action, "host");
    let host = if named.is_empty() { target.pod_ip } else { named };
    let port = port(target.container, &action["port"])
        .ok_or_else(|| Outcome::Error(format!("the container has no port {}", action["port"])))?;
    Ok((host.to_string(), port))
}

async fn http_get(target: &Target<'_>, get: &Value) -> Outcome {
    let (host, port) = match address(target, get) {
        Ok(found) => found,
        Err(outcome) => return outcome,
    };
    let url = url(get, &host, port);
    let request = match request(get, &url) {
        Ok(request) => request,
        Err(why) => return Outcome::Error(why),
    };
    let answer = Client::builder(TokioExecutor::new())
        .build(tls::connector())
        .request(request)
        .await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            let why = said(&error, &authority(&host, port));
            return Outcome::Failure(format!("Get {url:?}: {why}"));
        }
    };
    let status = answer.status();
    // The body is read so that the server can finish; what it says does not matter, nor does its length.
    let _ = Limited::new(answer.into_body(), BODY_LIMIT).collect().await;
    if (200..400).contains(&status.as_u16()) {
        return Outcome::Success;
    }
    Outcome::Failure(format!("HTTP probe failed with statuscode: {}", status.as_u16()))
}

fn request(get: &Value, url: &str) -> Result<Request<Empty<Bytes>>, String> {
    let uri: Uri = url.parse().map_err(|_| format!("{url:?} is no URL"))?;
    let mut request = Request::get(uri).body(Empty::new()).map_err(|e| e.to_string())?;
    let headers = request.headers_mut();
    headers.insert(
        http::header::USER_AGENT,
        HeaderValue::from_static("kube-probe/1.36"),
    );
    headers.insert(http::header::ACCEPT, HeaderValue::from_static("*/*"));
    for header in spec::list(get, "httpHeaders") {
        let name: HeaderName = spec::text(header, "name")
            .parse()
            .map_err(|_| format!("{} is no header name", header["name"]))?;
        let value = HeaderValue::from_str(spec::text(header, "value"))
            .map_err(|_| format!("{} is no header value", header["value"]))?;
        headers.append(name, value);
    }
    Ok(request)
}

/// A host with its port.
fn authority(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

fn url(get: &Value, host: &str, port: u16) -> String {
    let scheme = match spec::text(get, "scheme") {
        "HTTPS" => "https",
        _ => "http",
    };
    let path = spec::text(get, "path").trim_start_matches('/');
    format!("{scheme}://{}/{path}", authority(host, port))
}

/// What really happened, in the words that people know from upstream.
fn said(error: &(dyn std::error::Error + 'static), address: &str) -> String {
    let mut cause = error;
    loop {
        if let Some(error) = cause.downcast_ref::<std::io::Error>() {
            use std::io::ErrorKind;
            match error.kind() {
                ErrorKind::ConnectionRefused => {
                    return format!("dial tcp {address}: connect: connection refused");
                }
                ErrorKind::HostUnreachable => {
                    return format!("dial tcp {address}: connect: no route to host");
                }
                ErrorKind::NetworkUnreachable => {
                    return format!("dial tcp {address}: connect: network is unreachable");
                }
                ErrorKind::ConnectionReset => return "read: connection reset by peer".into(),
                ErrorKind::UnexpectedEof => return "EOF".into(),
                _ => {}
            }
        }
        if let Some(error) = cause.downcast_ref::<hyper::Error>()
            && error.is_incomplete_message()
        {
            return "EOF".into();
        }
        match cause.source() {
            Some(inner) => cause = inner,
            None => return cause.to_string(),
        }
    }
}

/// The innermost cause, which says what really happened.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

async fn tcp_connect(target: &Target<'_>, tcp: &Value) -> Outcome {
    let (host, port) = match address(target, tcp) {
        Ok(found) => found,
        Err(outcome) => return outcome,
    };
    match TcpStream::connect((host.as_str(), port)).await {
        Ok(_) => Outcome::Success,
        Err(error) => {
            let address = authority(&host, port);
            let why = said(&error, &address);
            Outcome::Failure(match why.starts_with("dial ") {
                true => why,
                false => format!("dial tcp {address}: {why}"),
            })
        }
    }
}

async fn grpc_check(target: &Target<'_>, grpc: &Value, limit: Duration) -> Outcome {
    use health::health_check_response::ServingStatus;
    let (host, port) = match address(target, grpc) {
        Ok(found) => found,
        Err(outcome) => return outcome,
    };
    let endpoint = match tonic::transport::Endpoint::from_shared(format!("http://{host}:{port}")) {
        Ok(endpoint) => endpoint.connect_timeout(limit),
        Err(error) => return Outcome::Error(error.to_string()),
    };
    let channel = match endpoint.connect().await {
        Ok(channel) => channel,
        Err(error) => {
            let why = root_cause(&error);
            return Outcome::Failure(format!(
                "error: failed to connect service \"{host}:{port}\": {why}"
            ));
        }
    };
    let service = spec::text(grpc, "service").to_string();
    let request = health::HealthCheckRequest { service };
    match health::health_client::HealthClient::new(channel)
        .check(request)
        .await
    {
        Ok(answer) => match answer.into_inner().status() {
            ServingStatus::Serving => Outcome::Success,
            other => Outcome::Failure(format!(
                "service unhealthy (responded with {:?})",
                other.as_str_name()
            )),
        },
        Err(status) => Outcome::Failure(format!("error: health rpc probe failed: {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ports() {
        let container = json!({"ports": [{"name": "web", "containerPort": 8080}]});
        let check =
            |value: Value, expected: Option<u16>| assert_eq!(port(&container, &value), expected, "{value}");
        check(json!(80), Some(80));
        check(json!("80"), Some(80));
        check(json!("web"), Some(8080));
        check(json!("other"), None);
        check(json!(0), None);
        check(json!(70000), None);
    }

    #[tokio::test]
    async fn failures_are_told_as_upstream_does() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let runtime = Runtime::new(std::path::Path::new("/none")).unwrap();
        let target = Target {
            runtime: &runtime,
            container: &Value::Null,
            container_id: "",
            pod_ip: "127.0.0.1",
        };
        let check = async |action: Value, expected: String| {
            let outcome = run(&target, &action, Duration::from_secs(10)).await;
            assert_eq!(outcome, Outcome::Failure(expected), "{action}");
        };
        let refused = format!("dial tcp 127.0.0.1:{port}: connect: connection refused");
        check(json!({"tcpSocket": {"port": port}}), refused.clone()).await;
        check(
            json!({"httpGet": {"port": port, "path": "/x"}}),
            format!("Get \"http://127.0.0.1:{port}/x\": {refused}"),
        )
        .await;
        let late = |action: Value| timed_out(&target, &action, Duration::from_secs(1));
        assert_eq!(
            late(json!({"httpGet": {"port": 80}})),
            "Get \"http://127.0.0.1:80/\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        );
        assert_eq!(
            late(json!({"tcpSocket": {"port": 80}})),
            "dial tcp 127.0.0.1:80: i/o timeout"
        );
    }

    #[test]
    fn requests_carry_headers() {
        let get = json!({"httpHeaders": [{"name": "X-A", "value": "1"}]});
        let request = request(&get, "http://127.0.0.1:1/x").unwrap();
        assert_eq!(request.headers()["x-a"], "1");
        assert!(
            super::request(
                &json!({"httpHeaders": [{"name": "a b", "value": ""}]}),
                "http://h/"
            )
            .is_err()
        );
    }
}
