//! Paths and queries of the node's own server, as upstream's kubelet has them.

use percent_encoding::percent_decode_str;

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// Whether the server answers.
    Healthz,
    /// The pods of the node, by their API objects.
    Pods,
    /// The pods that the runtime runs.
    RunningPods,
    /// What the node was told at start.
    Configz,
    /// What node and pods use.
    Summary,
    /// The process and the numbers of pods.
    Metrics,
    /// What node, pods and containers use.
    ResourceMetrics,
    /// A container's log.
    Logs(Container<'a>),
    /// A command in a container.
    Exec(Container<'a>),
    /// The streams of a container's first process.
    Attach(Container<'a>),
    /// Connections into a pod.
    PortForward(Pod<'a>),
}

/// A pod as paths name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pod<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its uid, if the path has it.
    pub uid: Option<&'a str>,
}

/// A container as paths name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Container<'a> {
    /// Its pod.
    pub pod: Pod<'a>,
    /// Its name.
    pub name: &'a str,
}

impl<'a> Route<'a> {
    /// Reads a path; `None` if there is nothing behind it.
    pub fn parse(path: &'a str) -> Option<Self> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        if parts.contains(&"") {
            return None;
        }
        let pod = |namespace, name, uid| Pod { namespace, name, uid };
        let container = |parts: &[&'a str]| match *parts {
            [namespace, pod_name, name] => Some(Container {
                pod: pod(namespace, pod_name, None),
                name,
            }),
            [namespace, pod_name, uid, name] => Some(Container {
                pod: pod(namespace, pod_name, Some(uid)),
                name,
            }),
            _ => None,
        };
        match parts.as_slice() {
            ["healthz"] | ["healthz", "ping" | "log" | "syncloop"] => Some(Route::Healthz),
            ["pods"] => Some(Route::Pods),
            ["runningpods"] => Some(Route::RunningPods),
            ["configz"] => Some(Route::Configz),
            ["stats", "summary"] => Some(Route::Summary),
            ["metrics"] => Some(Route::Metrics),
            ["metrics", "resource"] => Some(Route::ResourceMetrics),
            ["containerLogs", rest @ ..] if rest.len() == 3 => container(rest).map(Route::Logs),
            ["exec", rest @ ..] => container(rest).map(Route::Exec),
            ["attach", rest @ ..] => container(rest).map(Route::Attach),
            ["portForward", namespace, name] => Some(Route::PortForward(pod(namespace, name, None))),
            ["portForward", namespace, name, uid] => {
                Some(Route::PortForward(pod(namespace, name, Some(uid))))
            }
            _ => None,
        }
    }

    /// Whether a request of this method may ask for it.
    pub fn takes(self, method: &http::Method) -> bool {
        match self {
            Route::Exec(_) | Route::Attach(_) | Route::PortForward(_) => {
                method == http::Method::GET || method == http::Method::POST
            }
            _ => method == http::Method::GET,
        }
    }
}

/// A request's query.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query; what is no UTF-8 is replaced.
    pub fn parse(text: &str) -> Self {
        let decode = |text: &str| {
            let text = text.replace('+', " ");
            percent_decode_str(&text).decode_utf8_lossy().into_owned()
        };
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Query(
            pairs
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode(name), decode(value))
                })
                .collect(),
        )
    }

    /// The first value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// All values of a name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// A flag as the API's options have them: only `0`, `false` and its absence say no.
    pub fn flag(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
    }

    /// A flag as streaming requests have them: only `1` says yes.
    pub fn is_one(&self, name: &str) -> bool {
        self.get(name) == Some("1")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let pod = |uid| Pod {
            namespace: "ns",
            name: "p",
            uid,
        };
        let container = |uid| Container {
            pod: pod(uid),
            name: "c",
        };
        let check =
            |path: &str, expected: Option<Route<'_>>| assert_eq!(Route::parse(path), expected, "{path}");
        check("/healthz", Some(Route::Healthz));
        check("/pods/", Some(Route::Pods));
        check("/stats/summary", Some(Route::Summary));
        check("/metrics", Some(Route::Metrics));
        check("/metrics/resource", Some(Route::ResourceMetrics));
        check("/containerLogs/ns/p/c", Some(Route::Logs(container(None))));
        check("/containerLogs/ns/p/u/c", None);
        check("/containerLogs/ns/p", None);
        check("/exec/ns/p/c", Some(Route::Exec(container(None))));
        check("/exec/ns/p/u/c", Some(Route::Exec(container(Some("u")))));
        check("/attach/ns/p/c", Some(Route::Attach(container(None))));
        check("/portForward/ns/p", Some(Route::PortForward(pod(None))));
        check("/portForward/ns/p/u", Some(Route::PortForward(pod(Some("u")))));
        check("/exec/ns//c", None);
        check("/", None);
        check("/logs/", None);
    }

    #[test]
    fn queries() {
        let query = Query::parse("command=sh&command=-c&command=echo+a%26b&input=1&tty=true&follow&x=false");
        assert_eq!(query.all("command").collect::<Vec<_>>(), ["sh", "-c", "echo a&b"]);
        assert!(query.is_one("input") && !query.is_one("tty"));
        assert!(query.flag("follow") && query.flag("tty") && !query.flag("x") && !query.flag("y"));
        assert_eq!(query.get("none"), None);
    }
}
