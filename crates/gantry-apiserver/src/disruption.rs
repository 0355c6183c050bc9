//! Disruption budgets, as an eviction meets them. Source: checkAndDecrement in pkg/registry/core/pod/storage/eviction.go.

use crate::pipeline::Validated;
use crate::registry::{self, Registry};
use crate::request::Kinds;
use crate::verbs::{TRIES, rfc3339};
use gantry_api::kind::Kind;
use gantry_api::meta;
use gantry_api::status::Status;
use serde_json::{Value, json};
use time::OffsetDateTime;

const GROUP: &str = "policy";
/// So many evictions may be under way that the budget's controller has not seen yet.
const MOST_DISRUPTED: usize = 2000;
const VIOLATION: &str = "Cannot evict pod as it would violate the pod's disruption budget.";

/// How a pod may go.
#[derive(Debug, PartialEq)]
pub enum Passage {
    /// Freely; its budget, if it has one, has been charged.
    Free,
    /// Uncharged, for as long as it stays unready. Holds the budget's name.
    WhileUnready(String),
}

/// Asks a pod's budget to let it go, and charges the budget unless nothing is to change.
pub async fn pass(kinds: &Kinds, registry: &Registry, pod: &Value, dry_run: bool) -> Result<Passage, Status> {
    let Some(kind) = kinds.get(GROUP, "v1", "poddisruptionbudgets") else {
        return Ok(Passage::Free);
    };
    let namespace = Some(meta::namespace(pod));
    let budgets = registry.all(&kind, &kind.prefix(namespace)).await?;
    let mut budgets = budgets.into_iter().filter(|budget| covers(budget, pod));
    let Some(mut budget) = budgets.next() else {
        return Ok(Passage::Free);
    };
    if budgets.next().is_some() {
        return Err(Status::new(
            500,
            "",
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
        ));
    }
    let name = meta::name(&budget).to_owned();
    if !is_ready(pod) && spares_unready(&budget) {
        return Ok(Passage::WhileUnready(name));
    }
    for _ in 0..TRIES {
        match charge(registry, &kind, &budget, meta::name(pod), dry_run).await {
            Err(status) if status.reason == "Conflict" => {
                budget = registry.get(&kind, namespace, &name).await?;
            }
            result => return result.map(|()| Passage::Free),
        }
    }
    let why = format!("Timeout: couldn't update PodDisruptionBudget {name:?} due to conflicts");
    let mut status = Status::new(504, "Timeout", why);
    status.details = Some(json!({"retryAfterSeconds": 10}));
    Err(status)
}

/// The answer while a budget's controller has not caught up.
pub fn busy(budget: &str) -> Status {
    let why = format!("The disruption budget {budget} is still being processed by the server.");
    refusal(&why, 10)
}

fn refusal(why: &str, retry_after: u32) -> Status {
    let mut status = Status::new(429, "TooManyRequests", VIOLATION);
    let mut details = json!({"causes": [{"reason": "DisruptionBudget", "message": why}]});
    if retry_after > 0 {
        details["retryAfterSeconds"] = retry_after.into();
    }
    status.details = Some(details);
    status
}

fn covers(budget: &Value, pod: &Value) -> bool {
    let selector = &budget["spec"]["selector"];
    selector.is_object() && gantry_api::kinds::selects(selector, &pod["metadata"]["labels"])
}

fn condition<'a>(object: &'a Value, type_: &str) -> Option<&'a Value> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions.iter().find(|c| c["type"] == type_)
}

fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready").is_some_and(|c| c["status"] == "True")
}

fn number(budget: &Value, field: &str) -> i64 {
    budget["status"][field].as_i64().unwrap_or(0)
}

/// Whether an unready pod may go uncharged.
fn spares_unready(budget: &Value) -> bool {
    let desired = number(budget, "desiredHealthy");
    budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
        || (desired > 0 && number(budget, "currentHealthy") >= desired)
}

async fn charge(
    registry: &Registry,
    kind: &Kind,
    budget: &Value,
    pod: &str,
    dry_run: bool,
) -> Result<(), Status> {
    let charged = charged(budget, pod)?;
    if dry_run {
        return Ok(());
    }
    let revision = registry::revision_of(budget);
    let charged = Validated::with_metadata_of(charged);
    registry.update(kind, charged, revision).await.map(drop)
}

/// The budget with one disruption less, taken by `pod`; an error when there is none.
fn charged(budget: &Value, pod: &str) -> Result<Value, Status> {
    let name = meta::name(budget);
    let forbidden = |why| Status::forbidden(GROUP, "poddisruptionbudget", name, why);
    let generation = budget["metadata"]["generation"].as_i64().unwrap_or(0);
    if number(budget, "observedGeneration") < generation {
        return Err(busy(name));
    }
    let allowed = number(budget, "disruptionsAllowed");
    if allowed < 0 {
        return Err(forbidden("pdb disruptions allowed is negative"));
    }
    let disrupted = budget["status"]["disruptedPods"].as_object();
    if disrupted.is_some_and(|d| d.len() > MOST_DISRUPTED) {
        return Err(forbidden(
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
        ));
    }
    if allowed == 0 {
        return Err(refusal(&why_none(budget), 0));
    }
    let now = rfc3339(OffsetDateTime::now_utc());
    let mut budget = budget.clone();
    budget["status"]["disruptionsAllowed"] = (allowed - 1).into();
    if allowed == 1 {
        insufficient(&mut budget, generation, &now);
    }
    budget["status"]["disruptedPods"][pod] = now.into();
    Ok(budget)
}

fn why_none(budget: &Value) -> String {
    let name = meta::name(budget);
    let (current, desired) = (number(budget, "currentHealthy"), number(budget, "desiredHealthy"));
    let condition = condition(budget, "DisruptionAllowed").filter(|c| c["status"] == "False");
    let text = |field: &str| condition.and_then(|c| c[field].as_str()).unwrap_or("");
    match (text("reason"), text("message")) {
        ("SyncFailed", message) if !message.is_empty() => {
            format!(
                "The disruption budget {name} does not allow evicting pods currently because it failed sync: {message}"
            )
        }
        _ if current <= desired => {
            format!("The disruption budget {name} needs {desired} healthy pods and has {current} currently")
        }
        (_, "") => format!("The disruption budget {name} does not allow evicting pods currently"),
        (reason, message) => {
            format!(
                "The disruption budget {name} does not allow evicting pods currently ({reason}): {message}"
            )
        }
    }
}

/// Says in the budget's conditions that no disruption is left.
fn insufficient(budget: &mut Value, generation: i64, now: &str) {
    let was = condition(budget, "DisruptionAllowed")
        .filter(|c| c["status"] == "False")
        .map(|c| c["lastTransitionTime"].clone());
    let mut conditions = budget["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    conditions.retain(|c| c["type"] != "DisruptionAllowed");
    conditions.push(json!({
        "type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": "",
        "observedGeneration": generation, "lastTransitionTime": was.unwrap_or_else(|| now.into()),
    }));
    budget["status"]["conditions"] = conditions.into();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(status: Value) -> Value {
        json!({
            "metadata": {"name": "b", "generation": 2}, "spec": {"selector": {"matchLabels": {"app": "a"}}},
            "status": status,
        })
    }

    #[tokio::test]
    async fn a_disruption_is_charged_once() {
        let any = gantry_api::kinds::builtin()
            .into_iter()
            .find(|k| k.plural == "leases")
            .unwrap();
        let kind = Kind {
            group: GROUP.into(),
            kind: "PodDisruptionBudget".into(),
            plural: "poddisruptionbudgets".into(),
            storage_prefix: "poddisruptionbudgets".into(),
            hooks: Box::new(gantry_api::kind::NoHooks),
            ..any
        };
        let kinds = Kinds::new(vec![kind]);
        let kind = kinds.get(GROUP, "v1", "poddisruptionbudgets").unwrap();
        let registry = Registry::new(std::sync::Arc::new(gantry_store::Memory::new()));
        let make = async |name: &str| {
            let mut object = budget(json!({"observedGeneration": 2, "disruptionsAllowed": 1}));
            object["metadata"]["namespace"] = "n".into();
            object["metadata"]["name"] = name.into();
            registry
                .create(&kind, Validated::with_metadata_of(object))
                .await
                .unwrap();
        };
        let pod = json!({"metadata": {"namespace": "n", "name": "p", "labels": {"app": "a"}}});
        make("b").await;
        let left = async || {
            let found = registry.get(&kind, Some("n"), "b").await.unwrap();
            found["status"]["disruptionsAllowed"].clone()
        };
        for (dry_run, expected) in [(true, 1), (false, 0)] {
            assert_eq!(
                pass(&kinds, &registry, &pod, dry_run).await.unwrap(),
                Passage::Free
            );
            assert_eq!(left().await, expected);
        }
        assert_eq!(pass(&kinds, &registry, &pod, false).await.unwrap_err().code, 429);
        let stranger = json!({"metadata": {"namespace": "n", "name": "q"}});
        assert_eq!(
            pass(&kinds, &registry, &stranger, false).await.unwrap(),
            Passage::Free
        );
        make("c").await;
        let why = pass(&kinds, &registry, &pod, false).await.unwrap_err().message;
        assert!(why.contains("more than one PodDisruptionBudget"), "{why}");
    }

    #[test]
    fn what_a_budget_allows() {
        let check = |status: Value, code: u16, expected: &str| {
            let status = charged(&budget(status), "p").unwrap_err();
            let details = status.details.clone().unwrap_or_default();
            let cause = details["causes"][0]["message"]
                .as_str()
                .unwrap_or(&status.message)
                .to_owned();
            assert_eq!((status.code, cause.as_str()), (code, expected));
        };
        check(
            json!({"observedGeneration": 1, "disruptionsAllowed": 1}),
            429,
            "The disruption budget b is still being processed by the server.",
        );
        check(
            json!({"observedGeneration": 2, "disruptionsAllowed": -1}),
            403,
            "poddisruptionbudget.policy \"b\" is forbidden: pdb disruptions allowed is negative",
        );
        check(
            json!({"observedGeneration": 2, "currentHealthy": 1, "desiredHealthy": 2}),
            429,
            "The disruption budget b needs 2 healthy pods and has 1 currently",
        );
        check(
            json!({"observedGeneration": 2, "currentHealthy": 3, "desiredHealthy": 2}),
            429,
            "The disruption budget b does not allow evicting pods currently",
        );
        let failed = json!([{
            "type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": "no scale",
        }]);
        check(
            json!({"observedGeneration": 2, "conditions": failed}),
            429,
            "The disruption budget b does not allow evicting pods currently because it failed sync: no scale",
        );
        let last = charged(
            &budget(json!({"observedGeneration": 2, "disruptionsAllowed": 1})),
            "p",
        )
        .unwrap();
        assert_eq!(last["status"]["disruptionsAllowed"], 0);
        assert!(last["status"]["disruptedPods"]["p"].is_string());
        assert_eq!(last["status"]["conditions"][0]["reason"], "InsufficientPods");
        let many = charged(
            &budget(json!({"observedGeneration": 2, "disruptionsAllowed": 3})),
            "p",
        )
        .unwrap();
        assert_eq!(
            (
                &many["status"]["disruptionsAllowed"],
                &many["status"]["conditions"]
            ),
            (&json!(2), &Value::Null)
        );
    }

    #[test]
    fn whom_a_budget_covers() {
        let pod = json!({"metadata": {"labels": {"app": "a"}}});
        let other = json!({"metadata": {"labels": {"app": "b"}}});
        let own = budget(json!({}));
        assert!(covers(&own, &pod) && !covers(&own, &other) && !covers(&own, &json!({})));
        assert!(
            !covers(&json!({"spec": {}}), &pod),
            "a budget without a selector covers nothing"
        );
        assert!(covers(&json!({"spec": {"selector": {}}}), &other));
        let spares = |status: Value| spares_unready(&budget(status));
        assert!(spares(json!({"currentHealthy": 2, "desiredHealthy": 2})));
        assert!(!spares(json!({"currentHealthy": 1, "desiredHealthy": 2})) && !spares(json!({})));
        let always = json!({"spec": {"unhealthyPodEvictionPolicy": "AlwaysAllow"}});
        assert!(spares_unready(&always));
    }
}
