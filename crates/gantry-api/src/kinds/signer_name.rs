//! The names of signers of certificates.

use super::checks::Errors;
use crate::field::{Error, Path};
use crate::formats;

/// A signer is `domain/name`. Source: pkg/apis/core/validation/names.go.
pub fn signer_name(errors: &mut Errors, path: &Path, name: &str) {
    const LONGEST_DOMAIN: usize = 253;
    const LONGEST: usize = 571;
    if name.is_empty() {
        errors.push(Error::required(path, ""));
        return;
    }
    let parts: Vec<&str> = name.split('/').collect();
    let [domain, rest] = parts[..] else {
        let detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        errors.push(Error::invalid(path, name, detail));
        return;
    };
    if domain.len() > LONGEST_DOMAIN {
        errors.push(Error::too_long(path, LONGEST_DOMAIN));
    }
    labels(errors, path, domain, formats::dns_label);
    if !domain.contains('.') {
        let detail = "should be a domain with at least two segments separated by dots";
        errors.push(Error::invalid(path, domain, detail));
    }
    labels(errors, path, rest, formats::dns_subdomain);
    if name.len() > LONGEST {
        errors.push(Error::too_long(path, LONGEST));
    }
}

/// Each label must have a format; the first that has not speaks for all.
fn labels(errors: &mut Errors, path: &Path, whole: &str, rule: fn(&str) -> formats::Problems) {
    let checked = whole.split('.').map(|label| (label, rule(label)));
    let wrong = checked.into_iter().find(|(_, problems)| !problems.is_empty());
    for (label, problem) in wrong
        .into_iter()
        .flat_map(|(l, problems)| problems.into_iter().map(move |p| (l, p)))
    {
        let detail = format!("validating label {label:?}: {problem}");
        errors.push(Error::invalid(path, whole, detail));
    }
}
