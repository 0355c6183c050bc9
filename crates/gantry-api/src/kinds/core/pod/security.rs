//! The rules for security contexts.

use super::os;
use crate::features::{Feature, enabled};
use crate::field::{Error, Path};
use crate::formats;
use crate::kinds::checks::{Errors, optional_one_of, optional_range};
use crate::kinds::values::{flag, given, list, repeats, text};
use serde_json::Value;

/// The rules for a pod's security context.
pub fn pod(errors: &mut Errors, path: &Path, spec: &Value) {
    let context = &spec["securityContext"];
    for field in ["fsGroup", "runAsUser", "runAsGroup"] {
        optional_range(errors, &path.child(field), &context[field], formats::user_id);
    }
    let groups = path.child("supplementalGroups");
    for (i, group) in list(&context["supplementalGroups"]).iter().enumerate() {
        optional_range(errors, &groups.index(i), group, formats::user_id);
    }
    if flag(&spec["shareProcessNamespace"]) && flag(&spec["hostPID"]) {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(Error::invalid(path.child("shareProcessNamespace"), true, detail));
    }
    sysctls(errors, &path.child("sysctls"), spec);
    optional_one_of(
        errors,
        &path.child("fsGroupChangePolicy"),
        &context["fsGroupChangePolicy"],
        &["Always", "OnRootMismatch"],
    );
    profile(errors, &path.child("seccompProfile"), &context["seccompProfile"], "seccomp");
    os::windows_options(errors, &path.child("windowsOptions"), &context["windowsOptions"]);
    profile(errors, &path.child("appArmorProfile"), &context["appArmorProfile"], "AppArmor");
    optional_one_of(
        errors,
        &path.child("supplementalGroupsPolicy"),
        &context["supplementalGroupsPolicy"],
        &["Merge", "Strict"],
    );
    optional_one_of(
        errors,
        &path.child("seLinuxChangePolicy"),
        &context["seLinuxChangePolicy"],
        if enabled(Feature::SELinuxMount) { &["MountOption", "Recursive"] } else { &["Recursive"] },
    );
}

/// The rules for a container's security context.
pub fn container(errors: &mut Errors, path: &Path, context: &Value, host_users: bool) {
    if !given(context) {
        return;
    }
    for field in ["runAsUser", "runAsGroup"] {
        optional_range(errors, &path.child(field), &context[field], formats::user_id);
    }
    let mount = &context["procMount"];
    let at = path.child("procMount");
    optional_one_of(errors, &at, mount, &["Default", "Unmasked"]);
    if host_users && mount == "Unmasked" {
        let detail = "`hostUsers` must be false to use `Unmasked`";
        errors.push(Error::invalid(at, "Unmasked", detail));
    }
    profile(errors, &path.child("seccompProfile"), &context["seccompProfile"], "seccomp");
    if context["allowPrivilegeEscalation"] == false {
        if flag(&context["privileged"]) {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.push(Error::invalid(path, context.clone(), detail));
        }
        if list(&context["capabilities"]["add"]).iter().any(|c| c == "CAP_SYS_ADMIN") {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.push(Error::invalid(path, context.clone(), detail));
        }
    }
    os::windows_options(errors, &path.child("windowsOptions"), &context["windowsOptions"]);
    profile(errors, &path.child("appArmorProfile"), &context["appArmorProfile"], "AppArmor");
}

/// A seccomp or AppArmor profile: only those of the node itself have a name.
fn profile(errors: &mut Errors, path: &Path, profile: &Value, what: &str) {
    if !given(profile) {
        return;
    }
    let at = path.child("localhostProfile");
    let local = &profile["localhostProfile"];
    match text(&profile["type"]) {
        "" => {
            let field = if what == "seccomp" { "seccompProfile" } else { "appArmorProfile" };
            let detail = format!("type is required when {field} is set");
            errors.push(Error::required(path.child("type"), detail));
            if what == "AppArmor" {
                return;
            }
        }
        "Localhost" => {
            if text(local).trim().is_empty() {
                let detail = format!("must be set when {what} type is Localhost");
                errors.push(Error::required(at, detail));
            } else if what == "seccomp" {
                super::volume::descending(errors, &at, text(local));
            } else if text(local).trim() != text(local) {
                let detail = "must not be padded with whitespace";
                errors.push(Error::invalid(at, local.clone(), detail));
            } else if text(local).len() > 4095 {
                errors.push(Error::too_long(at, 4095));
            }
            return;
        }
        "RuntimeDefault" | "Unconfined" => {}
        other => {
            let types = ["Localhost", "RuntimeDefault", "Unconfined"];
            errors.push(Error::not_supported(path.child("type"), other, &types));
            if what == "AppArmor" {
                return;
            }
        }
    }
    if given(local) {
        let detail = format!("can only be set when {what} type is Localhost");
        let error = Error::invalid(at, local.clone(), detail);
        errors.push(match what {
            // Upstream shows the whole profile, by its fields in Go.
            "seccomp" => {
                let shown = format!("{{\"Type\":{},\"LocalhostProfile\":{local}}}", profile["type"]);
                error.showing(shown)
            }
            _ => error,
        });
    }
}

fn sysctls(errors: &mut Errors, path: &Path, spec: &Value) {
    let sysctls = list(&spec["securityContext"]["sysctls"]);
    let repeated = repeats(sysctls, |s| &s["name"]);
    for (i, sysctl) in sysctls.iter().enumerate() {
        let path = path.index(i);
        let path = path.child("name");
        let name = text(&sysctl["name"]);
        if name.is_empty() {
            errors.push(Error::required(path, ""));
        } else if !is_sysctl(name) {
            let detail = "must have at most 253 characters and match regex \
                          ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
            errors.push(Error::invalid(path, name, detail));
        } else if repeated[i] {
            errors.push(Error::duplicate(path, name));
        }
        let name = name.replace('/', ".");
        let of_network = name.starts_with("net.");
        let of_ipc = ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|p| name.starts_with(p));
        if flag(&spec["hostNetwork"]) && of_network {
            let detail = "may not be specified when 'hostNetwork' is true";
            errors.push(Error::invalid(path, sysctl["name"].clone(), detail));
        } else if flag(&spec["hostIPC"]) && (of_ipc || name == "kernel.sem") {
            let detail = "may not be specified when 'hostIPC' is true";
            errors.push(Error::invalid(path, sysctl["name"].clone(), detail));
        }
    }
}

fn is_sysctl(name: &str) -> bool {
    let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let segment = |part: &str| {
        let bytes = part.as_bytes();
        bytes.first().copied().is_some_and(alnum)
            && bytes.last().copied().is_some_and(alnum)
            && bytes.iter().all(|b| alnum(*b) || matches!(b, b'-' | b'_'))
    };
    name.len() <= 253 && name.split(['.', '/']).all(segment)
}
