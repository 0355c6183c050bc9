//! Certificates and requests for them, as objects carry them: PEM.

pub mod key;

use key::PublicKey;
use time::OffsetDateTime;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::{OID_KEY_TYPE_EC_PUBLIC_KEY, OID_SIG_ED25519};
use x509_parser::prelude::{FromDer, X509Certificate};

/// One block of a PEM text.
pub(crate) struct Block {
    /// What it says it is, such as `CERTIFICATE`.
    pub label: String,
    /// Whether headers stand before its data.
    pub has_headers: bool,
    /// Its data.
    pub der: Vec<u8>,
}

/// A PKCS #10 request whose signature is right, and what it asks for.
#[derive(Debug, PartialEq)]
pub struct Request {
    /// The subject's organizations: the groups of whom the certificate will name.
    pub organizations: Vec<String>,
    /// The subject's common name: the name of whom the certificate will name. Empty when there is none.
    pub common_name: String,
}

impl Request {
    /// Reads a request. Its signature proves that the requester has the key.
    ///
    /// # Errors
    ///
    /// Why it is no request, or not one whose signature is right.
    pub fn parse(pem: &[u8]) -> Result<Request, String> {
        let block = blocks(pem).into_iter().next();
        let Some(block) = block.filter(|b| b.label == "CERTIFICATE REQUEST") else {
            return Err("PEM block type must be CERTIFICATE REQUEST".into());
        };
        let (rest, request) = X509CertificationRequest::from_der(&block.der)
            .map_err(|e| format!("asn1: structure error: {e}"))?;
        if !rest.is_empty() {
            return Err("asn1: syntax error: trailing data".into());
        }
        let info = &request.certification_request_info;
        if !key::proves(&request) {
            let key = &info.subject_pki.algorithm.algorithm;
            return Err(match () {
                () if *key == OID_KEY_TYPE_EC_PUBLIC_KEY => "x509: ECDSA verification failure",
                () if *key == OID_SIG_ED25519 => "x509: Ed25519 verification failure",
                () => "crypto/rsa: verification error",
            }
            .into());
        }
        let organizations = info.subject.iter_organization();
        let common_name = info.subject.iter_common_name().last();
        Ok(Request {
            common_name: common_name
                .and_then(|name| name.as_str().ok())
                .map(String::from)
                .unwrap_or_default(),
            organizations: organizations
                .filter_map(|o| o.as_str().ok())
                .map(String::from)
                .collect(),
        })
    }
}

/// Whether a text holds certificates and nothing else; an empty one is fine.
///
/// # Errors
///
/// What is wrong with it, in upstream's words.
pub fn check_certificates(pem: &[u8]) -> Result<(), String> {
    if pem.is_empty() {
        return Ok(());
    }
    let blocks = blocks(pem);
    if blocks.is_empty() {
        return Err("must contain at least one CERTIFICATE PEM block".into());
    }
    for block in blocks {
        if block.label != "CERTIFICATE" {
            let found = &block.label;
            return Err(format!(
                "only CERTIFICATE PEM blocks are allowed, found {found:?}"
            ));
        }
        if block.has_headers {
            return Err("no PEM block headers are permitted".into());
        }
        let mut rest = block.der.as_slice();
        if rest.is_empty() {
            return Err("found CERTIFICATE PEM block containing 0 certificates".into());
        }
        while !rest.is_empty() {
            (rest, _) =
                X509Certificate::from_der(rest).map_err(|e| format!("x509: malformed certificate: {e}"))?;
        }
    }
    Ok(())
}

/// A certificate, and what of it objects must agree with.
pub struct Certificate {
    /// Whether it may sign others.
    pub is_authority: bool,
    /// When it begins to be valid.
    pub not_before: OffsetDateTime,
    /// When it ends to be valid.
    pub not_after: OffsetDateTime,
    /// The DNS names it is for.
    pub dns_names: Vec<String>,
    /// The mail addresses it is for.
    pub mail_addresses: Vec<String>,
    /// The key it is for.
    pub key: PublicKey,
}

impl Certificate {
    /// Reads a certificate; `None` for what is none.
    pub fn parse(der: &[u8]) -> Option<Certificate> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let (mut dns_names, mut mail_addresses) = (Vec::new(), Vec::new());
        let names = certificate.subject_alternative_name().ok()?;
        for name in names.iter().flat_map(|names| &names.value.general_names) {
            match name {
                GeneralName::DNSName(name) => dns_names.push((*name).to_string()),
                GeneralName::RFC822Name(name) => mail_addresses.push((*name).to_string()),
                _ => {}
            }
        }
        let constraints = certificate.basic_constraints().ok()?;
        Some(Certificate {
            is_authority: constraints.is_some_and(|constraints| constraints.value.ca),
            not_before: certificate.validity().not_before.to_datetime(),
            not_after: certificate.validity().not_after.to_datetime(),
            dns_names,
            mail_addresses,
            key: PublicKey::of(certificate.public_key())?,
        })
    }
}

/// The key of a PKCS #10 request, and whether it signed the request; `None` for what is no request.
pub fn requested_key(der: &[u8]) -> Option<(PublicKey, bool)> {
    let (rest, request) = X509CertificationRequest::from_der(der).ok()?;
    let key = PublicKey::of(&request.certification_request_info.subject_pki)?;
    rest.is_empty().then(|| (key, key::proves(&request)))
}

/// The well-formed blocks of a PEM text; what stands around them does not count.
pub(crate) fn blocks(pem: &[u8]) -> Vec<Block> {
    use base64::Engine;
    let text = String::from_utf8_lossy(pem);
    let mut lines = text.lines().map(str::trim_end);
    let mut blocks = Vec::new();
    let label = |line: &str, mark: &str| {
        let label = line.strip_prefix(mark)?.strip_suffix("-----")?;
        Some(label.to_string())
    };
    while let Some(line) = lines.next() {
        let Some(begin) = label(line, "-----BEGIN ") else {
            continue;
        };
        let (mut body, mut has_headers) = (String::new(), false);
        for line in lines.by_ref() {
            if let Some(end) = label(line, "-----END ") {
                if let Ok(der) = base64::engine::general_purpose::STANDARD.decode(&body)
                    && end == begin
                {
                    blocks.push(Block {
                        label: begin,
                        has_headers,
                        der,
                    });
                }
                break;
            }
            match line.contains(':') {
                true => has_headers = true,
                false => body.push_str(line.trim()),
            }
        }
    }
    blocks
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A request for `O=system:masters, CN=a`, signed with a P-256 key.
    pub(crate) const REQUEST: &str = include_str!("../tests/data/request.pem");

    #[test]
    fn requests() {
        let check = |pem: &str, expected: Result<&[&str], &str>| {
            let found = Request::parse(pem.as_bytes()).map(|r| r.organizations);
            let expected = expected.map(|o| o.iter().map(ToString::to_string).collect());
            assert_eq!(found, expected.map_err(String::from));
        };
        check(REQUEST, Ok(&["system:masters"]));
        check(&format!("a comment\n{REQUEST}"), Ok(&["system:masters"]));
        let other = REQUEST.replace("CERTIFICATE REQUEST", "CERTIFICATE");
        check(&other, Err("PEM block type must be CERTIFICATE REQUEST"));
        check("", Err("PEM block type must be CERTIFICATE REQUEST"));
        // The signature ends the request: a change of its last bytes leaves the rest readable.
        let mut lines: Vec<String> = REQUEST.lines().map(String::from).collect();
        let last = lines.len() - 2;
        lines[last] = lines[last]
            .chars()
            .rev()
            .skip_while(|c| *c == '=')
            .collect::<Vec<_>>()
            .iter()
            .rev()
            .collect();
        assert!(Request::parse(lines.join("\n").as_bytes()).is_err());
    }

    #[test]
    fn certificates() {
        let check = |pem: &str, expected: Result<(), &str>| {
            assert_eq!(check_certificates(pem.as_bytes()), expected.map_err(String::from));
        };
        check("", Ok(()));
        check("x", Err("must contain at least one CERTIFICATE PEM block"));
        check(
            REQUEST,
            Err("only CERTIFICATE PEM blocks are allowed, found \"CERTIFICATE REQUEST\""),
        );
        check(
            "-----BEGIN CERTIFICATE-----\na: b\n\nAAAA\n-----END CERTIFICATE-----",
            Err("no PEM block headers are permitted"),
        );
    }
}
