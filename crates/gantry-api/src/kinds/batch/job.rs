//! Job. Source: pkg/apis/batch/validation/validation.go and pkg/registry/batch/job/strategy.go.

mod indexes;
mod spec;
mod status;

pub(super) use spec::spec as validate_spec;

use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::checks::{Errors, immutable, label_selector, selects};
use crate::kinds::columns::{age_column, between, column, name_column, template_columns};
use crate::kinds::core::pod;
use crate::kinds::values::{default_if_zero, default_to, flag, given, keep, list_mut, map_of, number, size, text};
use crate::kinds::{count_generation, start_generation, selectable, usual};
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    let mut columns = vec![
        name_column(),
        column("Status", "string", |o, _| state(o).into()),
        column("Completions", "string", |o, _| completions(o).into()),
        column("Duration", "string", |o, now| {
            let status = &o["status"];
            match (text(&status["startTime"]), text(&status["completionTime"])) {
                ("", _) => "".into(),
                (start, end) => between(start, end, now).into(),
            }
        }),
        age_column(),
    ];
    columns.extend(template_columns());
    Kind {
        categories: vec!["all".into()],
        subresources: vec![Subresource::Status],
        selectable_fields: selectable(&[("status.successful", "status.succeeded")]),
        columns,
        hooks: Box::new(JobHooks),
        ..usual("batch", "Job", "jobs", Scope::Namespaced)
    }
}

/// Labels that tie pods to their job: its name and UID, each under its present and its older key.
const NAME_LABELS: [&str; 2] = ["job-name", "batch.kubernetes.io/job-name"];
const UID_LABELS: [&str; 2] = ["controller-uid", "batch.kubernetes.io/controller-uid"];

fn state(object: &Value) -> &'static str {
    let has = |kind: &str| status::is(object, kind, "True");
    if has("Complete") {
        "Complete"
    } else if has("Failed") {
        "Failed"
    } else if crate::meta::is_deleting(object) {
        "Terminating"
    } else {
        let others = ["Suspended", "FailureTarget", "SuccessCriteriaMet"];
        others.into_iter().find(|kind| has(kind)).unwrap_or("Running")
    }
}

fn completions(object: &Value) -> String {
    let (spec, done) = (&object["spec"], number(&object["status"]["succeeded"]));
    match (spec["completions"].as_i64(), number(&spec["parallelism"])) {
        (Some(wanted), _) => format!("{done}/{wanted}"),
        (None, parallel) if parallel > 1 => format!("{done}/1 of {parallel}"),
        (None, _) => format!("{done}/1"),
    }
}

struct JobHooks;

impl Hooks for JobHooks {
    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        let mut warnings: Vec<String> = pod::owner_name_warning(object, old).into_iter().collect();
        warnings.extend(pod::template_warnings("spec.template", object, old));
        warnings
    }

    fn orphans_by_default(&self) -> bool {
        true
    }

    fn deletion_warning(&self) -> &'static str {
        "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set \
         propagationPolicy=Orphan to suppress this warning"
    }

    fn default(&self, object: &mut Value) {
        let spec = map_of(object, "spec");
        default_patterns(spec);
        if !given(&spec["completions"]) && !given(&spec["parallelism"]) {
            default_to(spec, "completions", 1);
        }
        default_to(spec, "parallelism", 1);
        let limit = if given(&spec["backoffLimitPerIndex"]) { i32::MAX } else { 6 };
        default_to(spec, "backoffLimit", limit);
        default_to(spec, "completionMode", "NonIndexed");
        default_to(spec, "suspend", false);
        let replacement = if given(&spec["podFailurePolicy"]) { "Failed" } else { "TerminatingOrFailed" };
        default_to(spec, "podReplacementPolicy", replacement);
        default_to(spec, "manualSelector", false);
        pod::default_template(spec, "template");
        let labels = spec["template"]["metadata"]["labels"].clone();
        let metadata = map_of(object, "metadata");
        if labels.is_object() && size(&metadata["labels"]) == 0 {
            metadata["labels"] = labels;
        }
        map_of(object, "status");
    }

    fn prepare_create(&self, object: &mut Value) {
        pod::drop_disabled(object, None, "/spec/template/spec");
        start_generation(object);
        if flag(&object["spec"]["manualSelector"]) {
            return;
        }
        let name = Value::from(crate::meta::name(object));
        let uid = object["metadata"]["uid"].clone();
        // Labels that the job has from its template stay those of the template.
        let shared = object["metadata"]["labels"] == object["spec"]["template"]["metadata"]["labels"];
        let spec = &mut object["spec"];
        let labels = map_of(map_of(map_of(spec, "template"), "metadata"), "labels");
        NAME_LABELS.iter().for_each(|label| default_to(labels, label, name.clone()));
        UID_LABELS.iter().for_each(|label| default_to(labels, label, uid.clone()));
        let labels = labels.clone();
        default_to(map_of(map_of(spec, "selector"), "matchLabels"), UID_LABELS[1], uid);
        if shared {
            object["metadata"]["labels"] = labels;
        }
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        pod::drop_disabled(object, Some(old), "/spec/template/spec");
        count_generation(object, old);
    }

    fn prepare_subresource(&self, _: Subresource, _: &mut Value, _: &Value) {}

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (path, spec) = (Path::new("spec"), &object["spec"]);
        let (selector, labels) = (&spec["selector"], &spec["template"]["metadata"]["labels"]);
        generated(&mut errors, object);
        spec::spec(&mut errors, &path, spec);
        if given(selector) {
            label_selector(&mut errors, &path.child("selector"), selector);
        } else {
            errors.push(Error::required(path.child("selector"), ""));
        }
        if is_readable(selector) && !selects(selector, labels) {
            let detail = "`selector` does not match template `labels`";
            errors.push(Error::invalid("spec.template.metadata.labels", labels.clone(), detail));
        }
        let most = number(&spec["completions"]);
        if spec["completionMode"] == "Indexed" && most > 0 {
            let name = crate::meta::name(object);
            let last = format!("{name}-{}", most - 1);
            if !formats::dns_label(&last).is_empty() {
                let detail = format!("will not able to create pod with invalid DNS label: {last}");
                errors.push(Error::invalid("metadata.name", name, detail));
            }
        }
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let path = Path::new("spec");
        let (new, before) = (&object["spec"], &old["spec"]);
        let at = path.child("completions");
        if new["completionMode"] != "Indexed" {
            immutable(&mut errors, &at, &new["completions"], &before["completions"]);
        } else if new["completions"] != before["completions"]
            && given(&new["completions"])
            && new["completions"] != new["parallelism"]
        {
            let detail = "can only be modified in tandem with spec.parallelism";
            errors.push(Error::invalid(at, new["completions"].clone(), detail));
        }
        immutable(&mut errors, &path.child("selector"), &new["selector"], &before["selector"]);
        template(&mut errors, &path.child("template"), &new["template"], old);
        for field in [
            "completionMode",
            "podFailurePolicy",
            "backoffLimitPerIndex",
            "managedBy",
            "successPolicy",
        ] {
            immutable(&mut errors, &path.child(field), &new[field], &before[field]);
        }
        errors
    }

    fn validate_subresource(&self, _: Subresource, object: &Value, old: &Value) -> Vec<Error> {
        status::update(object, old)
    }
}

/// A condition of pods that is named counts when it is true.
pub(super) fn default_patterns(spec: &mut Value) {
    if let Some(policy) = spec.get_mut("podFailurePolicy") {
        for rule in list_mut(policy, "rules") {
            for pattern in list_mut(rule, "onPodConditions") {
                default_if_zero(pattern, "status", "True");
            }
        }
    }
}

/// Whether a selector selects anything at all. One that is wrong is refused for that alone.
fn is_readable(selector: &Value) -> bool {
    let mut errors = Vec::new();
    label_selector(&mut errors, &Path::new("selector"), selector);
    !given(selector) || errors.is_empty()
}

/// What `prepare_create` fills in must not have been given otherwise.
fn generated(errors: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    if flag(&spec["manualSelector"]) || !given(&spec["selector"]) {
        return;
    }
    let labels = &spec["template"]["metadata"]["labels"];
    let (name, uid) = (&Value::from(crate::meta::name(object)), &object["metadata"]["uid"]);
    let mut expected = serde_json::json!({});
    let wanted = [(UID_LABELS[0], uid), (NAME_LABELS[0], name), (UID_LABELS[1], uid), (NAME_LABELS[1], name)];
    for (label, value) in wanted {
        expected[label] = value.clone();
        if !given(&labels[label]) {
            let detail = format!("must be '{}'", text(value));
            errors.push(Error::required(format!("spec.template.metadata.labels[{label}]"), detail));
        } else if labels[label] != *value {
            let at = format!("spec.template.metadata.labels[{label}]");
            errors.push(Error::invalid(at, labels.clone(), format!("must be '{}'", text(value))));
        }
    }
    if is_readable(&spec["selector"]) && !selects(&spec["selector"], &expected) {
        errors.push(Error::invalid("spec.selector", spec["selector"].clone(), "`selector` not auto-generated"));
    }
}

/// A template stays, but for where its pods run and what they get while the job is suspended and has none.
fn template(errors: &mut Errors, path: &Path, new: &Value, old: &Value) {
    let before = &old["spec"]["template"];
    let rests = !given(&old["status"]["startTime"]) || status::is(old, "Suspended", "True");
    if !flag(&old["spec"]["suspend"]) || !rests || number(&old["status"]["active"]) != 0 {
        immutable(errors, path, new, before);
        return;
    }
    let mut fixed = before["spec"].clone();
    for field in ["nodeSelector", "tolerations", "schedulingGates"] {
        keep(&mut fixed, &new["spec"], field);
    }
    let affinity = &new["spec"]["affinity"];
    keep(map_of(&mut fixed, "affinity"), affinity, "nodeAffinity");
    for list in ["containers", "initContainers"] {
        let given = crate::kinds::values::list(&new["spec"][list]);
        let containers = list_mut(&mut fixed, list);
        if containers.len() == given.len() {
            let pairs = containers.iter_mut().zip(given).filter(|(old, new)| old["name"] == new["name"]);
            pairs.for_each(|(old, new)| keep(old, new, "resources"));
        }
    }
    immutable(errors, &path.child("spec"), &new["spec"], &fixed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn job(change: impl Fn(&mut Value)) -> Value {
        let mut object = json!({"metadata": {"name": "j", "uid": "u"}, "spec": {
            "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}},
        }});
        change(&mut object);
        JobHooks.default(&mut object);
        JobHooks.prepare_create(&mut object);
        object
    }

    #[test]
    fn rules() {
        let check = |change: fn(&mut Value), expected: &[&str]| {
            let errors = JobHooks.validate(&job(change));
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        };
        check(|_| {}, &[]);
        check(
            |o| o["spec"]["template"]["spec"]["restartPolicy"] = "Always".into(),
            &["spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""],
        );
        check(|o| o["metadata"]["name"] = "".into(), &[]);
        check(
            |o| o["spec"]["selector"] = json!({"matchLabels": {"b!": "c"}}),
            &["spec.selector.matchLabels: Invalid value: \"b!\": name part must consist of alphanumeric characters, '-', \
               '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or \
               '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"],
        );
        check(
            |o| o["spec"]["backoffLimitPerIndex"] = 1.into(),
            &["spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"],
        );
        check(
            |o| o["spec"]["completions"] = (-1).into(),
            &["spec.completions: Invalid value: -1: must be greater than or equal to 0"],
        );
        check(
            |o| {
                o["spec"]["manualSelector"] = true.into();
                o["spec"]["selector"] = json!({"matchLabels": {"a": "b"}});
                o["spec"]["template"]["metadata"] = json!({"labels": {"a": "b"}});
            },
            &[],
        );
    }

    #[test]
    fn little_changes() {
        let old = job(|_| {});
        let check = |change: fn(&mut Value), expected: usize| {
            let mut new = old.clone();
            change(&mut new);
            assert_eq!(JobHooks.validate_update(&new, &old).len(), expected);
        };
        check(|o| o["spec"]["parallelism"] = 3.into(), 0);
        check(|o| o["spec"]["completions"] = 3.into(), 1);
        check(|o| o["spec"]["template"]["spec"]["hostname"] = "h".into(), 1);
        check(|o| o["spec"]["selector"]["matchLabels"]["x"] = "y".into(), 1);
    }
}
