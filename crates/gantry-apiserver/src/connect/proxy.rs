//! `proxy` of pods, services and nodes: where an HTTP request is passed on to.
//!
//! Source: ResourceLocation of pkg/registry/core/{pod,service,node}.

use crate::connect::backend::Backend;
use crate::connect::hold::Hold;
use crate::connect::{Connect, Request, forward, node, stream, unavailable};
use crate::respond::Body;
use crate::verbs::Api;
use gantry_api::status::Status;
use http::Response;
use rand::Rng;
use serde_json::Value;
use std::net::IpAddr;

/// Passes a request on.
pub async fn answer(
    connect: &Connect,
    api: &Api,
    request: Request,
    hold: Hold,
) -> Result<Response<Body>, Status> {
    let id = request.name()?;
    let backend = match request.target.kind.plural.as_str() {
        "pods" => {
            let wanted = Wanted::parse(id, "pod")?;
            let pod = get(api, "pods", request.namespace(), wanted.name).await?;
            let (host, port) = pod_address(&pod, wanted.port)?;
            wanted.backend(connect, host, &port)?
        }
        "services" => {
            let wanted = Wanted::parse(id, "service")?;
            let (host, port) = endpoint(api, request.namespace(), id, &wanted).await?;
            wanted.backend(connect, host, &port.to_string())?
        }
        _ => node_backend(connect, api, &Wanted::parse(id, "node")?).await?,
    };
    forward::pass_on(&backend, request, hold).await
}

/// What a proxied name asks for: `name`, `name:port` or `scheme:name:port`.
#[derive(Debug, PartialEq)]
struct Wanted<'a> {
    https: bool,
    name: &'a str,
    port: &'a str,
}

impl<'a> Wanted<'a> {
    fn parse(id: &'a str, what: &str) -> Result<Self, Status> {
        let parts: Vec<&str> = id.split(':').collect();
        let (scheme, name, port) = match parts[..] {
            [name] => ("", name, ""),
            [name, port] => ("", name, port),
            [scheme, name, port] => (scheme, name, port),
            _ => ("invalid", "", ""),
        };
        if name.is_empty() || !matches!(scheme, "" | "http" | "https") {
            return Err(Status::bad_request(format!("invalid {what} request {id:?}")));
        }
        Ok(Wanted {
            https: scheme == "https",
            name,
            port,
        })
    }

    fn backend(&self, connect: &Connect, host: IpAddr, port: &str) -> Result<Backend, Status> {
        let usual = if self.https { 443 } else { 80 };
        let port = match port {
            "" => usual,
            text => text.parse().map_err(|_| {
                unavailable(format!(
                    "error trying to reach service: dial tcp: lookup tcp/{text}: unknown port"
                ))
            })?,
        };
        Ok(Backend {
            host: host.to_string(),
            port,
            tls: self.https.then(|| connect.any_certificate.clone()),
        })
    }
}

async fn get(api: &Api, plural: &str, namespace: Option<&str>, name: &str) -> Result<Value, Status> {
    let kind = api.kinds.get("", "v1", plural).ok_or_else(Status::no_such_path)?;
    api.registry.get(&kind, namespace, name).await
}

fn list<'a>(object: &'a Value, field: &str) -> &'a [Value] {
    object[field].as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A pod's address, and the port wanted or else the first that it declares.
fn pod_address<'a>(pod: &Value, port: &'a str) -> Result<(IpAddr, std::borrow::Cow<'a, str>), Status> {
    let declared = || {
        let ports = list(&pod["spec"], "containers")
            .iter()
            .flat_map(|c| list(c, "ports"));
        ports.filter_map(|p| p["containerPort"].as_u64()).next()
    };
    let port = match port {
        "" => declared().map(|p| p.to_string()).unwrap_or_default().into(),
        given => given.into(),
    };
    Ok((allowed(text(&pod["status"]["podIPs"][0]["ip"]))?, port))
}

/// An address that others may be connected to. The server's own machine, its neighbours on the link, and groups are
/// not: a proxy would let whoever may set a pod's or node's address reach what only the server should.
fn allowed(address: &str) -> Result<IpAddr, Status> {
    let parsed = address.parse().ok().filter(|ip| match ip {
        IpAddr::V4(ip) => {
            let inner = ip.is_loopback() || ip.is_link_local();
            !(inner || ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast())
        }
        IpAddr::V6(ip) => {
            let inner = ip.is_loopback() || ip.is_unicast_link_local();
            let mapped = ip.to_ipv4_mapped().is_some();
            !(inner || mapped || ip.is_unspecified() || ip.is_multicast())
        }
    });
    parsed.ok_or_else(|| Status::bad_request("address not allowed"))
}

/// One of a Service's ready endpoints that is a pod's own address.
async fn endpoint(
    api: &Api,
    namespace: Option<&str>,
    id: &str,
    wanted: &Wanted<'_>,
) -> Result<(IpAddr, u16), Status> {
    let name = wanted.name;
    let port = match wanted.port.parse::<i64>() {
        // A number is a port of the Service; its endpoints know it by name.
        Ok(number) => {
            let service = get(api, "services", namespace, name).await?;
            let ports = list(&service["spec"], "ports").iter();
            let port = ports
                .clone()
                .find(|p| p["port"] == number)
                .ok_or_else(|| unavailable(format!("no service port {number} found for service {name:?}")))?;
            text(&port["name"]).to_owned()
        }
        Err(_) => wanted.port.to_owned(),
    };
    let endpoints = get(api, "endpoints", namespace, name).await?;
    let subsets = list(&endpoints, "subsets");
    if subsets.is_empty() {
        return Err(unavailable(format!(
            "no endpoints available for service {name:?}"
        )));
    }
    for subset in from_anywhere(subsets) {
        let ports = list(subset, "ports").iter().filter(|p| text(&p["name"]) == port);
        for port in ports.filter_map(|p| u16::try_from(p["port"].as_u64()?).ok()) {
            for address in from_anywhere(list(subset, "addresses")) {
                match pod_of(api, namespace, address).await {
                    Ok(ip) => return Ok((ip, port)),
                    Err(why) => {
                        tracing::debug!("an endpoint of service {name} is not proxied to: {why}");
                    }
                }
            }
        }
    }
    Err(unavailable(format!("no endpoints available for service {id:?}")))
}

/// All items, beginning anywhere, so that the work is spread.
fn from_anywhere(items: &[Value]) -> impl Iterator<Item = &Value> {
    let start = match items.len() {
        0 => 0,
        len => rand::rng().random_range(0..len),
    };
    items.iter().cycle().skip(start).take(items.len())
}

/// An endpoint's address, if it is that of the pod it names.
async fn pod_of(api: &Api, namespace: Option<&str>, address: &Value) -> Result<IpAddr, Status> {
    let (target, ip) = (&address["targetRef"], text(&address["ip"]));
    if target["kind"] != "Pod" || Some(text(&target["namespace"])) != namespace {
        return Err(Status::bad_request(format!(
            "{ip} is not of a pod in this namespace"
        )));
    }
    let pod = get(api, "pods", namespace, text(&target["name"])).await?;
    if !list(&pod["status"], "podIPs").iter().any(|p| p["ip"] == ip) {
        return Err(Status::bad_request(format!("{ip} is not of the pod it names")));
    }
    allowed(ip)
}

/// A node's agent, or another port of the node.
async fn node_backend(connect: &Connect, api: &Api, wanted: &Wanted<'_>) -> Result<Backend, Status> {
    let node = stream::node(api, wanted.name).await?;
    let (host, port) = node::location(&node)?;
    let addresses: Vec<IpAddr> = match host.parse() {
        Ok(address) => vec![address],
        Err(_) => tokio::net::lookup_host((host, port))
            .await
            .map_err(|e| Status::bad_request(format!("lookup {host}: {e}")))?
            .map(|a| a.ip())
            .collect(),
    };
    let [first, ..] = addresses[..] else {
        return Err(Status::bad_request("no addresses for hostname"));
    };
    for address in &addresses {
        allowed(&address.to_string())?;
    }
    if wanted.port.is_empty() || wanted.port == port.to_string() {
        return connect.nodes()?.agent(&node, true);
    }
    wanted.backend(connect, first, wanted.port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names() {
        let check = |id: &str, expected: Option<(bool, &str, &str)>| {
            let found = Wanted::parse(id, "pod").map(|w| (w.https, w.name, w.port));
            assert_eq!(found.as_ref().ok(), expected.as_ref(), "{id}");
        };
        check("a", Some((false, "a", "")));
        check("a:80", Some((false, "a", "80")));
        check("https:a:443", Some((true, "a", "443")));
        check("http:a:", Some((false, "a", "")));
        check("ftp:a:21", None);
        check(":80", None);
        check("a:b:c:d", None);
        let why = Wanted::parse("a:b:c:d", "pod").unwrap_err().message;
        assert_eq!(why, "invalid pod request \"a:b:c:d\"");
    }

    #[test]
    fn addresses() {
        for ip in ["10.42.0.7", "192.168.1.1", "8.8.8.8", "fd00::1", "2001:db8::1"] {
            assert!(allowed(ip).is_ok(), "{ip}");
        }
        let refused = [
            "",
            "x",
            "127.0.0.1",
            "0.0.0.0",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
        ];
        for ip in refused {
            let why = allowed(ip).unwrap_err();
            assert_eq!(
                (why.code, why.message.as_str()),
                (400, "address not allowed"),
                "{ip}"
            );
        }
        let pod = json!({
            "spec": {"containers": [{}, {"ports": [{"containerPort": 8080}, {"containerPort": 9090}]}]},
            "status": {"podIPs": [{"ip": "10.42.0.7"}]},
        });
        let port = |wanted| pod_address(&pod, wanted).unwrap().1.into_owned();
        assert_eq!((port(""), port("9090")), ("8080".to_owned(), "9090".to_owned()));
    }
}
