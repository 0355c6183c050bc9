//! The rules for what goes with the pod's operating system, and for Windows' own settings.

use crate::field::{Error, Path};
use crate::formats;
use crate::kinds::checks::{Errors, one_of, optional_format};
use crate::kinds::values::{flag, given, list, text};
use serde_json::Value;

const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];
/// Bytes of a credential spec.
const CREDENTIAL_LIMIT: usize = 64 << 10;
const DOMAIN_LIMIT: usize = 256;
const USER_LIMIT: usize = 104;

/// The rules for the operating system that a pod names: each has settings that the other does not.
pub fn os(errors: &mut Errors, path: &Path, spec: &Value) {
    if !given(&spec["os"]) {
        return;
    }
    let at = path.child("os");
    match text(&spec["os"]["name"]) {
        "linux" => settings(errors, path, spec, &["windowsOptions"], "windows options cannot be set for a linux pod"),
        "windows" => windows(errors, path, spec),
        "" => one_of(errors, &at.child("name"), &spec["os"]["name"], &[]),
        _ => one_of(errors, &at, &spec["os"]["name"], &["linux", "windows"]),
    }
}

fn windows(errors: &mut Errors, path: &Path, spec: &Value) {
    const DETAIL: &str = "cannot be set for a windows pod";
    for field in ["hostUsers", "shareProcessNamespace"] {
        if given(&spec[field]) {
            errors.push(Error::forbidden(path.child(field), DETAIL));
        }
    }
    for field in ["hostPID", "hostIPC"] {
        if flag(&spec[field]) {
            errors.push(Error::forbidden(path.child(field), DETAIL));
        }
    }
    let of_linux = [
        "appArmorProfile",
        "seLinuxOptions",
        "seccompProfile",
        "fsGroup",
        "fsGroupChangePolicy",
        "sysctls",
        "capabilities",
        "readOnlyRootFilesystem",
        "privileged",
        "allowPrivilegeEscalation",
        "procMount",
        "runAsUser",
        "runAsGroup",
        "supplementalGroups",
        "supplementalGroupsPolicy",
        "seLinuxChangePolicy",
    ];
    settings(errors, path, spec, &of_linux, DETAIL);
}

/// Neither the pod's security context nor those of its containers may have these settings.
fn settings(errors: &mut Errors, path: &Path, spec: &Value, fields: &[&str], detail: &str) {
    let mut check = |path: &Path, of: &Value| {
        let path = path.child("securityContext");
        let set = fields.iter().filter(|field| given(&of["securityContext"][**field]));
        errors.extend(set.map(|field| Error::forbidden(path.child(field), detail)));
    };
    check(path, spec);
    for kind in CONTAINERS {
        let path = path.child(kind);
        for (i, container) in list(&spec[kind]).iter().enumerate() {
            check(&path.index(i), container);
        }
    }
}

/// The rules for containers that run as processes of a Windows host: all of a pod or none.
pub fn host_process(errors: &mut Errors, path: &Path, spec: &Value) {
    let of = |owner: &Value| owner["securityContext"]["windowsOptions"]["hostProcess"].as_bool();
    let pod = of(spec);
    let (mut all, mut of_host) = (0, 0);
    for kind in CONTAINERS {
        let path = path.child(kind);
        for (i, container) in list(&spec[kind]).iter().enumerate() {
            let own = of(container);
            if let (Some(pod), Some(own)) = (pod, own)
                && pod != own
            {
                let path = path.index(i);
                let path = path.child("securityContext");
                let path = path.child("windowsOptions");
                let detail = format!("pod hostProcess value must be identical if both are specified, was {pod}");
                errors.push(Error::invalid(path.child("hostProcess"), own, detail));
            }
            all += 1;
            of_host += usize::from(own.or(pod) == Some(true));
        }
    }
    if of_host == 0 {
        return;
    }
    if of_host != all {
        let detail = "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        errors.push(Error::invalid(path, "", detail));
    }
    if !flag(&spec["hostNetwork"]) {
        let detail = "hostNetwork must be true if pod contains any hostProcess containers";
        errors.push(Error::invalid(path.child("hostNetwork"), false, detail));
    }
}

/// The rules for a security context's settings for Windows.
pub fn windows_options(errors: &mut Errors, path: &Path, options: &Value) {
    let name = &options["gmsaCredentialSpecName"];
    optional_format(errors, &path.child("gmsaCredentialSpecName"), name, formats::dns_subdomain);
    let credential = &options["gmsaCredentialSpec"];
    if given(credential) {
        let at = path.child("gmsaCredentialSpec");
        match text(credential).len() {
            0 => {
                let detail = "gmsaCredentialSpec cannot be an empty string";
                errors.push(Error::invalid(at, "", detail));
            }
            length if length > CREDENTIAL_LIMIT => {
                let detail = "gmsaCredentialSpec size must be under 64 KiB";
                errors.push(Error::invalid(at, credential.clone(), detail));
            }
            _ => {}
        }
    }
    let user = &options["runAsUserName"];
    if given(user) {
        let at = path.child("runAsUserName");
        let problems = user_name(text(user)).into_iter();
        errors.extend(problems.map(|problem| Error::invalid(at, user.clone(), format!("runAsUserName{problem}"))));
    }
}

/// What is wrong with the name of a Windows user, which may have a domain before it.
fn user_name(name: &str) -> Vec<String> {
    if name.is_empty() {
        return vec![" cannot be an empty string".into()];
    }
    if name.chars().any(|c| c.is_ascii_control()) {
        return vec![" cannot contain control characters".into()];
    }
    let (domain, user) = match name.split_once('\\') {
        Some((_, rest)) if rest.contains('\\') => {
            return vec![" cannot contain more than one backslash".into()];
        }
        Some((domain, user)) => (Some(domain), user),
        None => (None, name),
    };
    let mut problems = Vec::new();
    if domain.is_some_and(|domain| domain.len() >= DOMAIN_LIMIT) {
        problems.push(format!("'s Domain length must be under {DOMAIN_LIMIT} characters"));
    }
    if domain.is_some_and(|domain| !is_net_bios(domain) && !is_dns(domain)) {
        problems.push("'s Domain doesn't match the NetBios nor the DNS format".into());
    }
    if user.is_empty() {
        problems.push("'s User cannot be empty".into());
    } else if user.len() > USER_LIMIT {
        problems.push(format!("'s User length must not be longer than {USER_LIMIT} characters"));
    }
    if !user.is_empty() && user.chars().all(|c| matches!(c, '.' | ' ')) {
        problems.push("'s User cannot contain only periods or spaces".into());
    }
    if user.contains(|c| "\"/\\:;|=,+*?<>@[]".contains(c)) {
        problems.push("'s User cannot contain the following characters: \"/\\:;|=,+*?<>@[]".into());
    }
    problems
}

fn is_net_bios(domain: &str) -> bool {
    (1..=15).contains(&domain.chars().count())
        && !domain.starts_with('.')
        && !domain.contains(|c| "\\/:*?\"<>|".contains(c))
}

fn is_dns(domain: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    domain.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_of_windows() {
        let check = |name: &str, expected: &[&str]| assert_eq!(user_name(name), expected, "{name}");
        check("ContainerUser", &[]);
        check(r"NT AUTHORITY\Local System", &[]);
        check(r"a.example.com\user", &[]);
        check("", &[" cannot be an empty string"]);
        check("a\nb", &[" cannot contain control characters"]);
        check(r"a\b\c", &[" cannot contain more than one backslash"]);
        check(r".a\b", &["'s Domain doesn't match the NetBios nor the DNS format"]);
        check(r"a\", &["'s User cannot be empty"]);
        check(". .", &["'s User cannot contain only periods or spaces"]);
        check("a@b", &["'s User cannot contain the following characters: \"/\\:;|=,+*?<>@[]"]);
        check(&"u".repeat(105), &["'s User length must not be longer than 104 characters"]);
        let domain = format!(r"{}\u", "d".repeat(256));
        let problems = [
            "'s Domain length must be under 256 characters",
            "'s Domain doesn't match the NetBios nor the DNS format",
        ];
        check(&domain, &problems);
    }
}
