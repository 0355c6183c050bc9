//! A container's environment.

use gantry_client::Client;
use serde_json::Value;

/// Where references lead.
pub struct Sources {
    /// The API.
    pub client: Client,
}

/// The addresses that field references may name.
pub struct Ips {
    /// Of the pod.
    pub pod: Vec<String>,
    /// Of the node.
    pub host: Vec<String>,
}

/// Why there is no environment.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct EnvError(pub String);

/// The environment of a container.
pub fn container_env(
    _pod: &Value,
    container: &Value,
    _sources: &Sources,
    _ips: &Ips,
) -> Result<Vec<(String, String)>, EnvError> {
    let mut vars: Vec<(String, String)> = Vec::new();
    for var in container["env"].as_array().into_iter().flatten() {
        let text = |field: &str| var[field].as_str().unwrap_or("");
        let value = expand(text("value"), &vars);
        vars.push((text("name").to_string(), value));
    }
    Ok(vars)
}

/// Replaces `$(NAME)`; `$$` stands for `$`, and what is unknown stays.
pub fn expand(text: &str, vars: &[(String, String)]) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$$") {
            out.push('$');
            rest = after;
            continue;
        }
        let name = rest.strip_prefix("$(").and_then(|r| r.split_once(')'));
        match name {
            Some((name, after)) => {
                match vars.iter().rev().find(|(n, _)| n == name) {
                    Some((_, value)) => out.push_str(value),
                    None => out.push_str(&rest[..name.len() + 3]),
                }
                rest = after;
            }
            None => {
                out.push('$');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}
