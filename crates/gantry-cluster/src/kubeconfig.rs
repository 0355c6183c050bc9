//! The kubeconfig file a client reads.

use crate::file;
use crate::pki::{Identity, Pki, PkiError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io;
use std::path::{Path, PathBuf};

/// Why a kubeconfig was not written.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    /// The file or its folder could not be written.
    #[error("cannot write the kubeconfig {}: {source}; check that its folder exists and that you may write there", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file that is there could not be read.
    #[error("cannot read the kubeconfig {}: {source}; check that you own the file and may read it", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate could not be issued.
    #[error(transparent)]
    Certificate(#[from] PkiError),
    /// The server's URL cannot be one.
    #[error("{0:?} is not a server URL; give one such as https://127.0.0.1:6443")]
    BadUrl(String),
}

/// Whom a kubeconfig is for.
pub struct Client<'a> {
    /// The user's name.
    pub common_name: &'a str,
    /// The user's groups.
    pub organizations: &'a [&'a str],
}

/// Makes sure that a kubeconfig for `client` stands at `path`.
///
/// A file that leads to the server, with a certificate that serves for 30 more days, is kept, so that copies of it go
/// on working, and so does what its user has changed, such as the namespace. Any other is written anew with a fresh
/// certificate.
pub fn ensure(path: &Path, server_url: &str, pki: &Pki, client: &Client) -> Result<(), KubeconfigError> {
    let current = file::read(path).map_err(|source| KubeconfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    let serves = |identity: &Identity| pki.still_serves(identity, client.common_name, client.organizations);
    if let Some(current) = current
        && identity_in(&current).is_some_and(|identity| serves(&identity))
        && leads_to(&current, server_url, pki.ca_pem())
    {
        return Ok(());
    }
    let identity = pki.issue_client(client.common_name, client.organizations)?;
    write(path, server_url, pki.ca_pem(), &identity)
}

/// Whether a kubeconfig names this server and its CA.
fn leads_to(kubeconfig: &str, server_url: &str, ca_pem: &str) -> bool {
    let ca = STANDARD.encode(ca_pem);
    let has = |field: &str, value: &str| {
        let mut values = kubeconfig.lines().filter_map(|line| {
            let line = line.trim_start().trim_start_matches("- ");
            Some(line.strip_prefix(field)?.trim().trim_matches('"'))
        });
        values.any(|found| found == value)
    };
    has("server:", server_url) && has("certificate-authority-data:", &ca)
}

/// The certificate and key in a kubeconfig that [`write`] made.
fn identity_in(kubeconfig: &str) -> Option<Identity> {
    let field = |name: &str| {
        let encoded = kubeconfig
            .lines()
            .find_map(|line| line.trim_start().strip_prefix(name))?;
        String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()
    };
    Some(Identity {
        certificate_pem: field("client-certificate-data:")?,
        key_pem: field("client-key-data:")?,
    })
}

/// Writes a kubeconfig whose only context, `default`, reaches `server_url` as `identity`.
///
/// The file holds a key: only its owner may read it, and it appears whole or not at all.
pub fn write(
    path: &Path,
    server_url: &str,
    ca_pem: &str,
    identity: &Identity,
) -> Result<(), KubeconfigError> {
    let plain = |c: char| c.is_ascii_graphic() && c != '"' && c != '\\';
    if !server_url.starts_with("https://") || !server_url.chars().all(plain) {
        return Err(KubeconfigError::BadUrl(server_url.to_owned()));
    }
    file::write(path, text(server_url, ca_pem, identity).as_bytes(), file::SECRET).map_err(|source| {
        KubeconfigError::Write {
            path: path.to_owned(),
            source,
        }
    })
}

fn text(server_url: &str, ca_pem: &str, identity: &Identity) -> String {
    let ca = STANDARD.encode(ca_pem);
    let certificate = STANDARD.encode(&identity.certificate_pem);
    let key = STANDARD.encode(&identity.key_pem);
    format!(
        r#"apiVersion: v1
kind: Config
clusters:
- name: default
  cluster:
    certificate-authority-data: {ca}
    server: "{server_url}"
contexts:
- name: default
  context:
    cluster: default
    user: default
current-context: default
preferences: {{}}
users:
- name: default
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::ServerNames;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn identity() -> Identity {
        Identity {
            certificate_pem: "cert".into(),
            key_pem: "key".into(),
        }
    }

    #[test]
    fn the_file_is_private_and_complete() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        write(&path, "https://127.0.0.1:6443", "ca", &identity()).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        for line in [
            "    certificate-authority-data: Y2E=",
            "    server: \"https://127.0.0.1:6443\"",
            "    client-certificate-data: Y2VydA==",
            "    client-key-data: a2V5",
            "current-context: default",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in {text}");
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_serves_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        let pki = Pki::open(&dir.path().join("pki"), &ServerNames::default()).unwrap();
        let other = Pki::open(&dir.path().join("other"), &ServerNames::default()).unwrap();
        let admin = Client {
            common_name: "admin",
            organizations: &["a", "b"],
        };
        let lesser = Client {
            common_name: "admin",
            organizations: &["a"],
        };
        let url = "https://127.0.0.1:6443";
        let cases = [
            ("first", url, &pki, &admin, false),
            ("again", url, &pki, &admin, true),
            ("other groups", url, &pki, &lesser, false),
            ("other URL", "https://127.0.0.1:1", &pki, &lesser, false),
            ("other CA", "https://127.0.0.1:1", &other, &lesser, false),
        ];
        for (what, url, pki, client, kept) in cases {
            let before = file::read(&path).unwrap();
            ensure(&path, url, pki, client).unwrap();
            let after = file::read(&path).unwrap();
            assert_eq!(before == after, kept, "{what}");
            assert!(identity_in(&after.unwrap()).is_some(), "{what}");
        }
        ensure(&path, url, &pki, &admin).unwrap();
        let edited = fs::read_to_string(&path).unwrap() + "# the user's own\n";
        fs::write(&path, &edited).unwrap();
        ensure(&path, url, &pki, &admin).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), edited);
        fs::write(&path, "nonsense").unwrap();
        ensure(&path, url, &pki, &admin).unwrap();
        assert!(file::read(&path).unwrap().unwrap().contains(url));
    }

    #[test]
    fn mistakes_are_named() {
        let dir = tempfile::tempdir().unwrap();
        for url in ["", "127.0.0.1:6443", "http://a", "https://a\"\nb: c"] {
            let error = write(&dir.path().join("c"), url, "ca", &identity()).unwrap_err();
            assert!(matches!(error, KubeconfigError::BadUrl(_)), "{url:?}");
        }
        let error = write(&dir.path().join("no/c"), "https://a", "ca", &identity()).unwrap_err();
        assert!(error.to_string().contains("no/c"), "{error}");
    }
}
