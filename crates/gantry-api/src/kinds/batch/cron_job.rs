//! CronJob

use super::job;
use crate::cron::Schedule;
use crate::field::{Error, Path};
use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::checks::{Errors, nonnegative, one_of};
use crate::kinds::columns::{age, age_column, column, label_selector, name_column, wide};
use crate::kinds::core::pod;
use crate::kinds::usual;
use crate::kinds::values::{default_if_zero, default_to, flag, given, joined, list, map_of, number, same, size, text};
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        short_names: vec!["cj".into()],
        categories: vec!["all".into()],
        subresources: vec![Subresource::Status],
        columns: vec![
            name_column(),
            column("Schedule", "string", |o, _| text(&o["spec"]["schedule"]).into()),
            column("Timezone", "string", |o, _| match &o["spec"]["timeZone"] {
                Value::Null => "<none>".into(),
                zone => zone.clone(),
            }),
            column("Suspend", "boolean", |o, _| match &o["spec"]["suspend"] {
                Value::Bool(suspend) => if *suspend { "True" } else { "False" }.into(),
                _ => "<unset>".into(),
            }),
            column("Active", "integer", |o, _| size(&o["status"]["active"]).into()),
            column("Last Schedule", "string", |o, now| match text(&o["status"]["lastScheduleTime"]) {
                "" => "<none>".into(),
                at => age(at, now).into(),
            }),
            age_column(),
            wide("Containers", "string", |o, _| of_containers(o, "name")),
            wide("Images", "string", |o, _| of_containers(o, "image")),
            wide("Selector", "string", |o, _| label_selector(&o["spec"]["jobTemplate"]["spec"]["selector"]).into()),
        ],
        hooks: Box::new(CronJobHooks),
        ..usual("batch", "CronJob", "cronjobs", Scope::Namespaced)
    }
}

fn of_containers(object: &Value, field: &str) -> Value {
    let containers = list(&object["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]);
    joined(containers.iter().map(|c| text(&c[field])), ",").into()
}

/// Jobs are named after their CronJob and the time, in 11 letters of the 63 that a label may have.
const LONGEST_NAME: usize = 52;

struct CronJobHooks;

impl Hooks for CronJobHooks {
    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        let mut warnings: Vec<String> = pod::owner_name_warning(object, old).into_iter().collect();
        warnings.extend(pod::template_warnings("spec.jobTemplate.spec.template", object, old));
        warnings
    }

    fn default(&self, object: &mut Value) {
        let spec = map_of(object, "spec");
        default_if_zero(spec, "concurrencyPolicy", "Allow");
        default_to(spec, "suspend", false);
        default_to(spec, "successfulJobsHistoryLimit", 3);
        default_to(spec, "failedJobsHistoryLimit", 1);
        let template = map_of(spec, "jobTemplate");
        map_of(template, "metadata");
        let job = map_of(template, "spec");
        job::default_patterns(job);
        pod::default_template(job, "template");
        map_of(object, "status");
    }

    fn prepare_create(&self, object: &mut Value) {
        pod::drop_disabled(object, None, "/spec/jobTemplate/spec/template/spec");
        crate::kinds::start_generation(object);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        pod::drop_disabled(object, Some(old), "/spec/jobTemplate/spec/template/spec");
        if !same(&object["spec"], &old["spec"]) {
            object["metadata"]["generation"] = (number(&old["metadata"]["generation"]) + 1).into();
        }
    }

    fn prepare_subresource(&self, _: Subresource, _: &mut Value, _: &Value) {}

    fn validate_create(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        spec(&mut errors, &Path::new("spec"), &object["spec"], None);
        let name = crate::meta::name(object);
        if name.len() > LONGEST_NAME {
            let detail = format!("must be no more than {LONGEST_NAME} characters");
            errors.push(Error::invalid("metadata.name", name, detail));
        }
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        spec(&mut errors, &Path::new("spec"), &object["spec"], Some(&old["spec"]));
        errors
    }
}

fn spec(errors: &mut Errors, path: &Path, spec: &Value, old: Option<&Value>) {
    let zone = &spec["timeZone"];
    match text(&spec["schedule"]) {
        "" => errors.push(Error::required(path.child("schedule"), "")),
        text_ => {
            let had_zone = old.is_some_and(|old| text(&old["schedule"]).contains("TZ"));
            schedule(errors, &path.child("schedule"), text_, had_zone, given(zone));
        }
    }
    nonnegative(errors, &path.child("startingDeadlineSeconds"), &spec["startingDeadlineSeconds"]);
    if given(zone) && old.is_none_or(|old| old["timeZone"] != *zone) {
        time_zone(errors, &path.child("timeZone"), text(zone));
    }
    let policies = ["Allow", "Forbid", "Replace"];
    one_of(errors, &path.child("concurrencyPolicy"), &spec["concurrencyPolicy"], &policies);
    let path_of_job = path.child("jobTemplate");
    let path_of_job = path_of_job.child("spec");
    let job = &spec["jobTemplate"]["spec"];
    job::validate_spec(errors, &path_of_job, job);
    if given(&job["selector"]) {
        let detail = "`selector` will be auto-generated";
        errors.push(Error::invalid(path_of_job.child("selector"), job["selector"].clone(), detail));
    }
    if flag(&job["manualSelector"]) {
        errors.push(Error::not_supported(path_of_job.child("manualSelector"), true, &["nil", "false"]));
    }
    for field in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        nonnegative(errors, &path.child(field), &spec[field]);
    }
}

fn schedule(errors: &mut Errors, path: &Path, schedule: &str, had_zone: bool, has_field: bool) {
    if let Err(problem) = Schedule::parse(schedule, is_time_zone) {
        errors.push(Error::invalid(path, schedule, problem));
    }
    if !schedule.contains("TZ") {
        return;
    }
    if !had_zone {
        let detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
        errors.push(Error::invalid(path, schedule, detail));
    } else if has_field {
        let detail = "cannot use both timeZone field and TZ or CRON_TZ in schedule";
        errors.push(Error::invalid(path, schedule, detail));
    }
}

/// The names of the time zone database, in order.
const TIME_ZONES: &str = include_str!("cron_job/time_zones.txt");

fn is_time_zone(name: &str) -> bool {
    matches!(name, "" | "UTC" | "Local") || TIME_ZONES.lines().any(|known| known == name)
}

fn time_zone(errors: &mut Errors, path: &Path, zone: &str) {
    const LONGEST_PART: usize = 14;
    if zone.is_empty() {
        errors.push(Error::invalid(path, "", "timeZone must be nil or non-empty string"));
        return;
    }
    let well_formed = |part: &str| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-+".contains(&b);
        let length = (1..=LONGEST_PART).contains(&part.len());
        length && part.bytes().all(fits) && !matches!(part, "." | "..") && !part.starts_with('-')
    };
    if !zone.split('/').all(well_formed) {
        errors.push(Error::invalid(path, zone, format!("unknown time zone {zone}")));
        return;
    }
    if zone.eq_ignore_ascii_case("Local") {
        let detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        errors.push(Error::invalid(path, zone, detail));
    }
    if !is_time_zone(zone) {
        errors.push(Error::invalid(path, zone, format!("unknown time zone {zone}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn cron_job(change: impl Fn(&mut Value)) -> Value {
        let pod = json!({"restartPolicy": "OnFailure", "containers": [{"name": "c", "image": "i"}]});
        let mut object = json!({"metadata": {"name": "c"}, "spec": {
            "schedule": "* * * * ?", "jobTemplate": {"spec": {"template": {"spec": pod}}},
        }});
        change(&mut object);
        CronJobHooks.default(&mut object);
        object
    }

    #[test]
    fn rules() {
        let check = |change: fn(&mut Value), expected: &[&str]| {
            let errors = CronJobHooks.validate_create(&cron_job(change));
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        };
        check(|_| {}, &[]);
        check(|o| o["spec"]["schedule"] = "".into(), &["spec.schedule: Required value"]);
        check(|o| o["spec"]["schedule"] = "error".into(), &[
            "spec.schedule: Invalid value: \"error\": expected exactly 5 fields, found 1: [error]",
        ]);
        check(|o| o["spec"]["schedule"] = "TZ=UTC * * * * *".into(), &[
            "spec.schedule: Invalid value: \"TZ=UTC * * * * *\": cannot use TZ or CRON_TZ in schedule, use timeZone field \
             instead",
        ]);
        check(|o| o["spec"]["timeZone"] = "America/Argentina/Buenos_Aires".into(), &[]);
        check(|o| o["spec"]["timeZone"] = "America/Gotham".into(), &[
            "spec.timeZone: Invalid value: \"America/Gotham\": unknown time zone America/Gotham",
        ]);
        check(|o| o["spec"]["timeZone"] = "Local".into(), &[
            "spec.timeZone: Invalid value: \"Local\": timeZone must be an explicit time zone as defined in \
             https://www.iana.org/time-zones",
        ]);
        check(|o| o["spec"]["timeZone"] = "../etc".into(), &[
            "spec.timeZone: Invalid value: \"../etc\": unknown time zone ../etc",
        ]);
        check(|o| o["spec"]["concurrencyPolicy"] = "Any".into(), &[
            "spec.concurrencyPolicy: Unsupported value: \"Any\": supported values: \"Allow\", \"Forbid\", \"Replace\"",
        ]);
        check(|o| o["spec"]["jobTemplate"]["spec"]["manualSelector"] = true.into(), &[
            "spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: \"nil\", \"false\"",
        ]);
        check(|o| o["metadata"]["name"] = "n".repeat(53).into(), &[
            "metadata.name: Invalid value: \"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn\": must be no more than 52 \
             characters",
        ]);
    }

    #[test]
    fn what_was_taken_stays() {
        let check = |before: fn(&mut Value), after: fn(&mut Value), fine: bool| {
            let (old, mut new) = (cron_job(before), cron_job(before));
            after(&mut new);
            assert_eq!(CronJobHooks.validate_update(&new, &old).is_empty(), fine);
        };
        check(|o| o["metadata"]["name"] = "n".repeat(53).into(), |_| {}, true);
        check(|o| o["spec"]["schedule"] = "TZ=UTC * * * * *".into(), |_| {}, true);
        check(|o| o["spec"]["timeZone"] = "Mars/Olympus".into(), |_| {}, true);
        check(|_| {}, |o| o["spec"]["timeZone"] = "Mars/Olympus".into(), false);
    }
}
