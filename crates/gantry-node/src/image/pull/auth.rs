//! Credentials for registries, from pull secrets.

use crate::cri::v1;
use crate::pod::spec;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// The credentials that a secret has for an image's registry.
pub fn credentials(secret: &Value, image: &str) -> Vec<v1::AuthConfig> {
    let (field, whole) = match spec::text(secret, "type") {
        "kubernetes.io/dockercfg" => (".dockercfg", true),
        _ => (".dockerconfigjson", false),
    };
    let decoded = STANDARD
        .decode(spec::text(&secret["data"], field))
        .unwrap_or_default();
    let config: Value = serde_json::from_slice(&decoded).unwrap_or_default();
    let auths = if whole { &config } else { &config["auths"] };
    let registry = registry(image);
    let matching = auths
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(server, _)| host(server) == registry);
    matching
        .map(|(server, entry)| v1::AuthConfig {
            username: spec::text(entry, "username").into(),
            password: spec::text(entry, "password").into(),
            auth: spec::text(entry, "auth").into(),
            identity_token: spec::text(entry, "identitytoken").into(),
            registry_token: spec::text(entry, "registrytoken").into(),
            server_address: server.clone(),
        })
        .collect()
}

/// The registry of an image: its first part, if that looks like a host.
fn registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
        _ => "docker.io",
    }
}

/// The host of a server's address, which may be a URL.
fn host(server: &str) -> &str {
    let address = server.split_once("://").map_or(server, |(_, rest)| rest);
    match address.split('/').next().unwrap_or("") {
        "index.docker.io" => "docker.io",
        host => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_match_registries() {
        let config = json!({"auths": {"https://index.docker.io/v1/": {"username": "d"}, "r.example:5000": {"username": "r"}}});
        let secret = json!({"type": "kubernetes.io/dockerconfigjson",
            "data": {".dockerconfigjson": STANDARD.encode(config.to_string())}});
        let check = |image: &str, expected: &[&str]| {
            let found: Vec<String> = credentials(&secret, image)
                .into_iter()
                .map(|a| a.username)
                .collect();
            assert_eq!(found, expected, "{image}");
        };
        check("busybox", &["d"]);
        check("library/busybox", &["d"]);
        check("r.example:5000/a/b:1", &["r"]);
        check("other.example/a", &[]);
    }
}
