//! The rules for probes and lifecycle handlers.

use super::container::Around;
use crate::field::{Error, Path};
use crate::formats;
use crate::kinds::checks::{Errors, format, nonnegative, one_of, port, port_or_name, required};
use crate::kinds::values::{given, list, number, text};
use serde_json::Value;

/// The rules for what runs when a container starts and before it stops.
pub fn lifecycle(errors: &mut Errors, path: &Path, lifecycle: &Value, around: &Around) {
    for moment in ["postStart", "preStop"] {
        if given(&lifecycle[moment]) {
            let kinds = ["exec", "httpGet", "tcpSocket", "sleep"];
            handler(errors, &path.child(moment), &lifecycle[moment], &kinds, around);
        }
    }
    let signal = &lifecycle["stopSignal"];
    if given(signal) {
        let path = path.child("stopSignal");
        match around.os() {
            "" => {
                let detail = "may not be set for containers with empty `spec.os.name`";
                errors.push(Error::forbidden(path, detail));
            }
            "windows" => one_of(errors, &path, signal, &["SIGKILL", "SIGTERM"]),
            _ => one_of(errors, &path, signal, LINUX_SIGNALS),
        }
    }
}

/// The rules for a container's probes.
pub fn probes(errors: &mut Errors, path: &Path, container: &Value, around: &Around) {
    for field in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let probe = &container[field];
        if !given(probe) {
            continue;
        }
        let path = path.child(field);
        handler(errors, &path, probe, &["exec", "httpGet", "tcpSocket", "grpc"], around);
        for field in [
            "initialDelaySeconds",
            "timeoutSeconds",
            "periodSeconds",
            "successThreshold",
            "failureThreshold",
        ] {
            nonnegative(errors, &path.child(field), &probe[field]);
        }
        let grace = &probe["terminationGracePeriodSeconds"];
        let at = path.child("terminationGracePeriodSeconds");
        if given(grace) && number(grace) <= 0 {
            errors.push(Error::invalid(at, grace.clone(), "must be greater than 0"));
        }
        if field == "readinessProbe" {
            if given(grace) {
                errors.push(Error::invalid(at, grace.clone(), "must not be set for readinessProbes"));
            }
        } else if number(&probe["successThreshold"]) != 1 {
            let threshold = number(&probe["successThreshold"]);
            errors.push(Error::invalid(path.child("successThreshold"), threshold, "must be 1"));
        }
    }
}

/// A handler is exactly one of `kinds`.
fn handler(errors: &mut Errors, path: &Path, handler: &Value, kinds: &[&str], around: &Around) {
    let mut found = false;
    for kind in kinds.iter().filter(|k| given(&handler[**k])) {
        let (path, action) = (path.child(kind), &handler[*kind]);
        if found {
            errors.push(Error::forbidden(path, "may not specify more than 1 handler type"));
            continue;
        }
        found = true;
        match *kind {
            "exec" if list(&action["command"]).is_empty() => {
                errors.push(Error::required(path.child("command"), ""));
            }
            "httpGet" => {
                required(errors, &path.child("path"), &action["path"]);
                port_or_name(errors, &path.child("port"), &action["port"]);
                one_of(errors, &path.child("scheme"), &action["scheme"], &["HTTP", "HTTPS"]);
                for header in list(&action["httpHeaders"]) {
                    let name = text(&header["name"]);
                    format(errors, &path.child("httpHeaders"), name, formats::http_header_name);
                }
            }
            "tcpSocket" => port_or_name(errors, &path.child("port"), &action["port"]),
            "grpc" => port(errors, &path.child("port"), &action["port"]),
            "sleep" => {
                let seconds = number(&action["seconds"]);
                if let Some(grace) = around.grace
                    && !(0..=grace).contains(&seconds)
                {
                    let detail = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
                    errors.push(Error::invalid(path, seconds, detail));
                }
            }
            _ => {}
        }
    }
    if !found {
        errors.push(Error::required(path, "must specify a handler type"));
    }
}

#[rustfmt::skip]
const LINUX_SIGNALS: &[&str] = &[
    "SIGABRT", "SIGALRM", "SIGBUS", "SIGCHLD", "SIGCLD", "SIGCONT", "SIGFPE", "SIGHUP", "SIGILL", "SIGINT", "SIGIO",
    "SIGIOT", "SIGKILL", "SIGPIPE", "SIGPOLL", "SIGPROF", "SIGPWR", "SIGQUIT", "SIGRTMAX", "SIGRTMAX-1", "SIGRTMAX-10",
    "SIGRTMAX-11", "SIGRTMAX-12", "SIGRTMAX-13", "SIGRTMAX-14", "SIGRTMAX-2", "SIGRTMAX-3", "SIGRTMAX-4", "SIGRTMAX-5",
    "SIGRTMAX-6", "SIGRTMAX-7", "SIGRTMAX-8", "SIGRTMAX-9", "SIGRTMIN", "SIGRTMIN+1", "SIGRTMIN+10", "SIGRTMIN+11",
    "SIGRTMIN+12", "SIGRTMIN+13", "SIGRTMIN+14", "SIGRTMIN+15", "SIGRTMIN+2", "SIGRTMIN+3", "SIGRTMIN+4", "SIGRTMIN+5",
    "SIGRTMIN+6", "SIGRTMIN+7", "SIGRTMIN+8", "SIGRTMIN+9", "SIGSEGV", "SIGSTKFLT", "SIGSTOP", "SIGSYS", "SIGTERM",
    "SIGTRAP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGUSR1", "SIGUSR2", "SIGVTALRM", "SIGWINCH", "SIGXCPU",
    "SIGXFSZ",
];
