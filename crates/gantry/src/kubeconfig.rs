//! Reads a kubeconfig: where its current context leads, and as whom.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gantry_client::Identity;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Where a kubeconfig leads, and as whom.
pub struct Access {
    /// Such as `https://127.0.0.1:6443`.
    pub server: String,
    /// The authority of the server's certificate.
    pub ca_pem: String,
    /// Who asks.
    pub identity: Identity,
}

/// Why a kubeconfig cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    /// A file cannot be read.
    #[error("{0} cannot be read: {1}")]
    Read(PathBuf, std::io::Error),
    /// It is not what it should be.
    #[error("the kubeconfig {0} cannot be used: {1}")]
    Content(PathBuf, String),
}

/// Reads the current context of a kubeconfig.
pub fn read(path: &Path) -> Result<Access, KubeconfigError> {
    let text = read_file(path)?;
    let wrong = |why: String| KubeconfigError::Content(path.into(), why);
    let config: Value = serde_saphyr::from_str(&text).map_err(|e| wrong(e.to_string()))?;
    let context = config["current-context"].as_str().unwrap_or("");
    let named = |list: &str, name: &str, what: &str| -> Result<Value, KubeconfigError> {
        let items = config[list].as_array().into_iter().flatten();
        let found = items.into_iter().find(|i| i["name"] == name);
        found
            .map(|i| i[what].clone())
            .ok_or_else(|| wrong(format!("{list} has no {name:?}")))
    };
    let context = named("contexts", context, "context")?;
    let of = |what: &str| context[what].as_str().unwrap_or("").to_string();
    let cluster = named("clusters", &of("cluster"), "cluster")?;
    let user = named("users", &of("user"), "user")?;
    // A value stands in the kubeconfig itself, or in a file that it names relative to its own folder.
    let pem = |from: &Value, field: &str| -> Result<Option<String>, KubeconfigError> {
        if let Some(encoded) = from[format!("{field}-data")].as_str() {
            let bytes = STANDARD.decode(encoded.trim()).ok();
            let text = bytes.and_then(|b| String::from_utf8(b).ok());
            return text
                .map(Some)
                .ok_or_else(|| wrong(format!("{field}-data is no base64 text")));
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        from[field]
            .as_str()
            .map(|file| read_file(&folder.join(file)))
            .transpose()
    };
    let server = cluster["server"].as_str().unwrap_or("").trim_end_matches('/');
    if !server.starts_with("https://") {
        return Err(wrong(format!(
            "its server {server:?} does not begin with https://"
        )));
    }
    let ca_pem = pem(&cluster, "certificate-authority")?
        .ok_or_else(|| wrong("it has no certificate-authority".into()))?;
    let certificate = pem(&user, "client-certificate")?;
    let key = pem(&user, "client-key")?;
    let identity = match (certificate, key, user["token"].as_str()) {
        (Some(certificate), Some(key), _) => Identity::Certificate { certificate, key },
        (_, _, Some(token)) => Identity::Token(token.into()),
        _ => {
            return Err(wrong(
                "its user has neither a client certificate nor a token".into(),
            ));
        }
    };
    Ok(Access {
        server: server.into(),
        ca_pem,
        identity,
    })
}

fn read_file(path: &Path) -> Result<String, KubeconfigError> {
    std::fs::read_to_string(path).map_err(|e| KubeconfigError::Read(path.into(), e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        std::fs::write(dir.path().join("ca.crt"), "CA").unwrap();
        let text = "current-context: a\ncontexts:\n- {name: a, context: {cluster: c, user: u}}\n\
                    clusters:\n- {name: c, cluster: {server: 'https://h:1', certificate-authority: ca.crt}}\n\
                    users:\n- {name: u, user: {token: secret}}\n";
        let check = |change: (&str, &str), expected: &str| {
            std::fs::write(&path, text.replace(change.0, change.1)).unwrap();
            let found = match read(&path) {
                Ok(access) => match access.identity {
                    Identity::Token(token) => format!("{} {} {token}", access.server, access.ca_pem),
                    Identity::Certificate { certificate, key } => format!("{certificate} {key}"),
                },
                Err(error) => error.to_string(),
            };
            assert!(found.contains(expected), "{change:?}: {found}");
        };
        check(("", ""), "https://h:1 CA secret");
        check(
            (
                "token: secret",
                "client-certificate-data: YQ==, client-key-data: Yg==",
            ),
            "a b",
        );
        check(
            ("current-context: a", "current-context: b"),
            "contexts has no \"b\"",
        );
        check(("https:", "http:"), "does not begin with https://");
        check(
            ("token: secret", "password: x"),
            "neither a client certificate nor a token",
        );
        check(("ca.crt", "none.crt"), "none.crt cannot be read");
        check(
            (
                "token: secret",
                "client-certificate-data: '!', client-key-data: Yg==",
            ),
            "is no base64",
        );
        check(("clusters:", "clusters: ["), "cannot be used");
    }
}
