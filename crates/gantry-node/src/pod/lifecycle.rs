//! Hooks: postStart and preStop.

use crate::cri::Runtime;
use crate::pod::spec;
use crate::probe::action::{self, Outcome};
use serde_json::Value;
use std::time::Duration;

/// A hook that answers nothing for this long has failed; the grace period is shorter for preStop.
const HTTP_LIMIT: Duration = Duration::from_secs(60);

/// Runs a hook to its end. The error is what went wrong.
pub async fn run(
    runtime: &Runtime,
    pod: &Value,
    container: &Value,
    id: &str,
    pod_ip: &str,
    hook: &Value,
) -> Result<(), String> {
    if let Some(seconds) = hook["sleep"]["seconds"].as_u64() {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        return Ok(());
    }
    let what = format!(
        "for Container {:?} in Pod {:?} failed",
        spec::text(container, "name"),
        spec::format(pod)
    );
    if hook.get("exec").is_some() {
        let command = action::command(hook);
        let shown = command.join(" ");
        return match runtime.exec_sync(id, command, Duration::ZERO).await {
            Ok(answer) if answer.exit_code == 0 => Ok(()),
            Ok(answer) => {
                let output = [answer.stdout, answer.stderr].concat();
                Err(format!(
                    "Exec lifecycle hook ([{shown}]) {what} - error: command '{shown}' exited with {}: {}, message: {:?}",
                    answer.exit_code,
                    "",
                    String::from_utf8_lossy(&output)
                ))
            }
            Err(error) => Err(format!("Exec lifecycle hook ([{shown}]) {what} - error: {error}")),
        };
    }
    let target = action::Target {
        runtime,
        container,
        container_id: id,
        pod_ip,
    };
    match action::run(&target, hook, HTTP_LIMIT).await {
        Outcome::Success => Ok(()),
        // Any answer will do; only a server that cannot be reached fails the hook.
        Outcome::Failure(_) if hook.get("tcpSocket").is_some() => Ok(()),
        Outcome::Failure(why) | Outcome::Error(why) => Err(format!(
            "HTTP lifecycle hook ({}) {what} - error: {why}",
            spec::text(&hook["httpGet"], "path")
        )),
    }
}
