//! What to do for a pod, decided from its spec and what runs. Pure.

use crate::pod::spec;
use crate::pod::state::{Container, Phase, PodState};
use serde_json::Value;

/// A probe's say about a running container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing speaks against it.
    Fine,
    /// The liveness probe failed.
    NotAlive,
    /// The startup probe failed.
    NotStarted,
}

/// What is known about containers besides their state.
pub trait Health {
    /// What liveness and startup probes say about a container.
    fn verdict(&self, container: &Container) -> Verdict;
    /// Whether a sidecar is far enough for what comes after it.
    fn started(&self, container: &Container) -> bool;
}

/// A container to be stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kill {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Why, for the event.
    pub message: String,
}

/// What to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Stop everything the pod has: it ends, or gets a new sandbox.
    pub kill_pod: bool,
    /// Make a sandbox with this number.
    pub sandbox: Option<u32>,
    /// Stop these.
    pub kill: Vec<Kill>,
    /// Then start these, in order, by name.
    pub start: Vec<String>,
}

/// Decides. Follows computePodActions of upstream's kuberuntime_manager.go.
pub fn plan(pod: &Value, state: &PodState, health: &dyn Health) -> Plan {
    if let Some(attempt) = state.needs_sandbox(pod) {
        return plan_sandbox(pod, state, attempt);
    }
    let mut plan = plan_containers(pod, state, health);
    if !plan.kill_pod {
        // Once, whatever the others do; not again, not even in another sandbox.
        let names = spec::ephemeral_containers(pod)
            .iter()
            .map(|c| spec::text(c, "name"));
        let fresh: Vec<String> = names
            .filter(|name| state.latest(name).is_none())
            .map(String::from)
            .collect();
        plan.start.splice(0..0, fresh);
    }
    plan
}

fn plan_containers(pod: &Value, state: &PodState, health: &dyn Health) -> Plan {
    let active = state.active();
    let mut plan = Plan::default();
    let created = spec::containers(pod)
        .iter()
        .any(|c| active.latest(spec::text(c, "name")).is_some());
    if !plan_init(pod, &active, health, created, &mut plan) {
        return plan;
    }
    let mut kept = 0;
    for container in spec::containers(pod) {
        let name = spec::text(container, "name");
        let Some(found) = active.latest(name) else {
            plan.start.push(name.to_string());
            continue;
        };
        if found.phase != Phase::Running {
            if runs_again(pod, container, found) {
                if found.phase == Phase::Unknown {
                    let message = "Container is in \"unknown\" state, try killing it before restart";
                    plan.kill.push(kill(found, message.into()));
                }
                plan.start.push(name.to_string());
            }
            continue;
        }
        match outdated(pod, container, found, health) {
            None => kept += 1,
            Some((message, restart)) => {
                plan.kill.push(kill(found, message));
                if restart {
                    plan.start.push(name.to_string());
                }
            }
        }
    }
    if kept == 0 && plan.start.iter().all(|name| is_sidecar_name(pod, name)) {
        // All app containers have ended for good; what runs beside them ends, too.
        plan = Plan {
            kill_pod: true,
            ..Plan::default()
        };
    }
    plan
}

fn plan_sandbox(pod: &Value, state: &PodState, attempt: u32) -> Plan {
    let policy = spec::text(&pod["spec"], "restartPolicy");
    let mut plan = Plan {
        kill_pod: true,
        ..Plan::default()
    };
    // Containers that ran once are not run again in another sandbox, when they are never to be restarted.
    if policy == "Never" && attempt != 0 && !state.containers.is_empty() {
        return plan;
    }
    let succeeded = |c: &&Value| {
        let latest = state.latest(spec::text(c, "name"));
        latest.is_some_and(|l| l.phase == Phase::Exited && l.exit_code == 0)
    };
    let all_done = spec::containers(pod)
        .iter()
        .all(|c| policy == "OnFailure" && succeeded(&c));
    if all_done {
        return plan;
    }
    plan.sandbox = Some(attempt);
    plan.start = match spec::init_containers(pod).first() {
        Some(first) => vec![spec::text(first, "name").to_string()],
        None => spec::containers(pod)
            .iter()
            .filter(|c| !(policy == "OnFailure" && succeeded(c)))
            .map(|c| spec::text(c, "name").to_string())
            .collect(),
    };
    plan
}

/// Init containers, one after the other. True when the app containers' turn has come.
fn plan_init(pod: &Value, active: &PodState, health: &dyn Health, created: bool, plan: &mut Plan) -> bool {
    for container in spec::init_containers(pod) {
        let name = spec::text(container, "name");
        let found = active.latest(name);
        if !spec::is_sidecar(container) {
            if created {
                continue;
            }
            match found {
                Some(c) if c.phase == Phase::Exited && c.exit_code == 0 => continue,
                Some(c) if c.phase == Phase::Exited => {
                    if spec::restarts(pod, container, c.exit_code) {
                        plan.start.push(name.to_string());
                    } else {
                        plan.kill_pod = true;
                    }
                }
                Some(c) if c.phase == Phase::Running => {}
                _ => plan.start.push(name.to_string()),
            }
            return false;
        }
        let go_on = match found {
            Some(c) if c.phase == Phase::Running => {
                if let Some((message, restart)) = outdated(pod, container, c, health) {
                    plan.kill.push(kill(c, message));
                    if restart {
                        plan.start.push(name.to_string());
                    }
                    false
                } else {
                    health.started(c)
                }
            }
            _ => {
                plan.start.push(name.to_string());
                false
            }
        };
        if !go_on && !created {
            return false;
        }
    }
    true
}

/// Why a running container must go, and whether it comes again.
fn outdated(
    pod: &Value,
    container: &Value,
    found: &Container,
    health: &dyn Health,
) -> Option<(String, bool)> {
    let name = spec::text(container, "name");
    let (message, restart) = if found.hash != spec::hash(container) {
        (format!("Container {name} definition changed"), true)
    } else {
        // Exit code 1 stands for a failure, which is what a failed probe is.
        let restart = spec::restarts(pod, container, 1);
        match health.verdict(found) {
            Verdict::Fine => return None,
            Verdict::NotAlive => (format!("Container {name} failed liveness probe"), restart),
            Verdict::NotStarted => (format!("Container {name} failed startup probe"), restart),
        }
    };
    Some((
        if restart {
            format!("{message}, will be restarted")
        } else {
            message
        },
        restart,
    ))
}

/// Whether a container that does not run is to run again.
pub fn runs_again(pod: &Value, container: &Value, found: &Container) -> bool {
    if spec::is_ephemeral(pod, &found.name) {
        return false;
    }
    match found.phase {
        Phase::Running => false,
        Phase::Created | Phase::Unknown => true,
        Phase::Exited => spec::restarts(pod, container, found.exit_code),
    }
}

fn is_sidecar_name(pod: &Value, name: &str) -> bool {
    spec::init_containers(pod)
        .iter()
        .any(|c| spec::text(c, "name") == name)
}

fn kill(container: &Container, message: String) -> Kill {
    Kill {
        id: container.id.clone(),
        name: container.name.clone(),
        message,
    }
}
