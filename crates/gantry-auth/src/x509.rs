//! Users from client certificates: the common name is the user, each organization a group.

use crate::User;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Why a certificate names no user.
#[derive(Debug, thiserror::Error)]
pub enum X509Error {
    /// It is not a certificate.
    #[error("the client certificate cannot be parsed: {0}")]
    Malformed(String),
    /// It has no common name.
    #[error("the client certificate has no common name; issue one whose CN is the user's name")]
    NoName,
}

/// The user a verified certificate (DER) stands for.
pub fn user_from_certificate(der: &[u8]) -> Result<User, X509Error> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|e| X509Error::Malformed(e.to_string()))?;
    let subject = certificate.subject();
    let name = subject
        .iter_common_name()
        .find_map(|a| a.as_str().ok())
        .filter(|n| !n.is_empty());
    let name = name.ok_or(X509Error::NoName)?.to_string();
    let mut groups: Vec<String> = subject
        .iter_organization()
        .filter_map(|a| a.as_str().ok())
        .map(str::to_string)
        .collect();
    groups.push("system:authenticated".into());
    Ok(User {
        name,
        uid: String::new(),
        groups,
    })
}
