//! The rules for what a signer has issued: the chain fits the request, and the times fit the chain.

use super::{Errors, bytes, number, text};
use crate::field::{Error, Path};
use crate::x509::key::PublicKey;
use crate::x509::{self, Certificate};
use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

const LARGEST_CHAIN: usize = 100 * 1024;

/// Checks an issued chain and its times.
pub fn check(object: &Value, old: &Value, now: OffsetDateTime) -> Errors {
    let path = Path::new("status");
    let at = path.child("certificateChain");
    let chain = text(&object["status"]["certificateChain"]);
    let wrong = |why: &str| vec![Error::invalid(at, chain, why)];
    if chain.len() > LARGEST_CHAIN {
        return vec![Error::too_long(at, LARGEST_CHAIN)];
    }
    let blocks = x509::blocks(chain.as_bytes());
    let Some(first) = blocks.first() else {
        return wrong("issued certificate chain must contain at least one certificate");
    };
    if first.label != "CERTIFICATE" {
        return wrong("issued certificate chain must consist entirely of CERTIFICATE PEM blocks");
    }
    let Some(leaf) = Certificate::parse(&first.der) else {
        return wrong("leaf certificate does not parse as valid X.509");
    };
    let mut errors = names(&at, &leaf);
    match requested(&old["spec"]) {
        Err(error) => {
            errors.push(error);
            return errors;
        }
        Ok(key) if key != leaf.key => {
            errors.extend(wrong("leaf certificate was not issued to the requested public key"));
            return errors;
        }
        Ok(_) => {}
    }
    let status = &object["status"];
    errors.extend(absent(&path, status));
    if !errors.is_empty() {
        return errors;
    }
    let most = Duration::seconds(number(&object["spec"]["maxExpirationSeconds"]));
    let problem = times(&path, status, &leaf, now)
        .or_else(|| lifetime(&at, &leaf, most))
        .or_else(|| refresh(&path, status));
    if let Some(problem) = problem {
        return vec![problem];
    }
    for block in &blocks[1..] {
        if block.label != "CERTIFICATE" {
            return wrong("issued certificate chain must consist entirely of CERTFICATE PEM blocks");
        }
        if Certificate::parse(&block.der).is_none() {
            return wrong("intermediate certificate does not parse as valid X.509");
        }
    }
    errors
}

/// The names a certificate is for must make sense.
fn names(at: &Path, leaf: &Certificate) -> Errors {
    let mut errors = Vec::new();
    for name in &leaf.dns_names {
        let mut wrong = |why: &str| errors.push(Error::invalid(at, name.as_str(), why));
        if name.is_empty() {
            wrong("leaf certificate should not contain empty DNSName");
        }
        if name.contains("..") {
            wrong("leaf certificate's DNSName should not contain '..'");
        }
        if name.starts_with('.') || name.ends_with('.') {
            wrong("leaf certificate's DNSName should not start or end with '.'");
        }
    }
    for address in leaf.mail_addresses.iter().filter(|address| !is_address(address)) {
        let detail = "leaf certificate should not contain invalid EmailAddress";
        errors.push(Error::invalid(at, address.as_str(), detail));
    }
    errors
}

/// Whether a text is a plain mail address, as RFC 5322 has them.
fn is_address(text: &str) -> bool {
    let is_atom = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c))
    };
    let (local, domain) = text.rsplit_once('@').unwrap_or_default();
    let quoted = local.len() > 1 && local.starts_with('"') && local.ends_with('"');
    (quoted || local.split('.').all(is_atom)) && domain.split('.').all(is_atom)
}

/// The key that was asked for.
fn requested(spec: &Value) -> Result<PublicKey, Error> {
    let path = Path::new("spec");
    let request = bytes(&spec["stubPKCS10Request"]);
    match request.is_empty() {
        true => PublicKey::parse(&bytes(&spec["pkixPublicKey"])).ok_or_else(|| {
            Error::malformed(path.child("pkixPublicKey"), "must be a valid PKIX-serialized public key")
        }),
        false => x509::requested_key(&request)
            .map(|(key, _)| key)
            .ok_or_else(|| Error::malformed(path.child("stubPKCS10Request"), "must be a valid PKCS#10 CSR")),
    }
}

fn time(status: &Value, field: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text(&status[field]), &Rfc3339).ok()
}

/// All times must be there.
fn absent(path: &Path, status: &Value) -> Errors {
    let consistent = "must be present and consistent with the issued certificate";
    let needed = [
        ("notBefore", consistent),
        ("notAfter", consistent),
        ("beginRefreshAt", "must be present and in the range [notbefore+10min, notafter-10min]"),
    ];
    let absent = needed.iter().filter(|(field, _)| time(status, field).is_none());
    absent.map(|(field, why)| Error::required(path.child(field), *why)).collect()
}

/// The times noted must be the certificate's, which begins now.
fn times(path: &Path, status: &Value, leaf: &Certificate, now: OffsetDateTime) -> Option<Error> {
    const SKEW: Duration = Duration::minutes(5);
    let wrong = |field: &str, why: &str| Some(Error::invalid(path.child(field), status[field].clone(), why));
    if time(status, "notBefore") != Some(leaf.not_before) {
        return wrong("notBefore", "must be set to the NotBefore time encoded in the leaf certificate");
    }
    if (leaf.not_before - now).abs() >= SKEW {
        return wrong("notBefore", "must be set to within 5 minutes of kube-apiserver's current time");
    }
    if time(status, "notAfter") != Some(leaf.not_after) {
        return wrong("notAfter", "must be set to the NotAfter time encoded in the leaf certificate");
    }
    None
}

/// A certificate is good for an hour at least, and no longer than was asked for.
fn lifetime(at: &Path, leaf: &Certificate, most: Duration) -> Option<Error> {
    let lifetime = leaf.not_after - leaf.not_before;
    let wrong = |why: String| {
        // As Go counts time.
        let nanoseconds = i64::try_from(lifetime.whole_nanoseconds()).unwrap_or(i64::MAX);
        Some(Error::invalid(at, nanoseconds, why))
    };
    if lifetime < Duration::HOUR {
        return wrong("leaf certificate lifetime must be >= 1 hour".into());
    }
    match lifetime > most {
        true => wrong(format!(
            "leaf certificate lifetime must be <= spec.maxExpirationSeconds ({})",
            most.whole_seconds()
        )),
        false => None,
    }
}

/// A new one is asked for well within the certificate's time.
fn refresh(path: &Path, status: &Value) -> Option<Error> {
    const MARGIN: Duration = Duration::minutes(10);
    let of = |field: &str| time(status, field);
    let (begin, end, refresh) = (of("notBefore")?, of("notAfter")?, of("beginRefreshAt")?);
    let why = match refresh {
        early if early < begin + MARGIN => "must be at least 10 minutes after status.notBefore",
        late if late > end - MARGIN => "must be at least 10 minutes before status.notAfter",
        _ => return None,
    };
    Some(Error::invalid(path.child("beginRefreshAt"), status["beginRefreshAt"].clone(), why))
}
