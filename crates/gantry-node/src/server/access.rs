//! Who may ask the node: cluster administrators and the API server.

use super::respond::Refusal;
use gantry_auth::{MASTERS, User};
use http::{Method, StatusCode};

/// The name under which the API server asks.
const API_SERVER: &str = "kube-apiserver-kubelet-client";

/// Refuses whoever may not ask for `path`, with upstream's texts.
pub fn check(user: Option<&User>, method: &Method, path: &str) -> Result<(), Refusal> {
    let Some(user) = user else {
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "Unauthorized"));
    };
    if user.name == API_SERVER || user.groups.iter().any(|g| g == MASTERS) {
        return Ok(());
    }
    let text = format!(
        "Forbidden (user={}, verb={}, resource=nodes, subresource(s)=[{}])\n",
        user.name,
        verb(method),
        subresources(path).join(" "),
    );
    Err(Refusal::new(StatusCode::FORBIDDEN, text))
}

fn verb(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::GET => "get",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    }
}

/// The parts of the Node object that stand for a path: one of them must be allowed.
fn subresources(path: &str) -> Vec<&'static str> {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or("");
    let fine = match first {
        "pods" | "runningpods" => Some("pods"),
        "healthz" => Some("healthz"),
        "configz" => Some("configz"),
        _ => None,
    };
    let coarse = match first {
        "stats" => "stats",
        "metrics" => "metrics",
        "logs" => "log",
        "checkpoint" => "checkpoint",
        "statusz" => "statusz",
        "flagz" => "configz",
        _ => "proxy",
    };
    fine.into_iter().chain([coarse]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_ask() {
        let check = |user: Option<User>, method: Method, path: &str, expected: Result<(), &str>| {
            let result = super::check(user.as_ref(), &method, path).map_err(|e| e.to_string());
            assert_eq!(result, expected.map_err(String::from), "{path}");
        };
        check(None, Method::GET, "/pods", Err("Unauthorized"));
        check(
            Some(User::new("x", &[MASTERS])),
            Method::POST,
            "/exec/a/b/c",
            Ok(()),
        );
        check(Some(User::new(API_SERVER, &[])), Method::GET, "/pods", Ok(()));
        let node = || Some(User::new("system:node:n", &["system:nodes"]));
        check(
            node(),
            Method::POST,
            "/exec/a/b/c",
            Err("Forbidden (user=system:node:n, verb=create, resource=nodes, subresource(s)=[proxy])\n"),
        );
        check(
            node(),
            Method::GET,
            "/pods/",
            Err("Forbidden (user=system:node:n, verb=get, resource=nodes, subresource(s)=[pods proxy])\n"),
        );
        check(
            node(),
            Method::GET,
            "/stats/summary",
            Err("Forbidden (user=system:node:n, verb=get, resource=nodes, subresource(s)=[stats])\n"),
        );
    }
}
