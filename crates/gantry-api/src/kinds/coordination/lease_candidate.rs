//! LeaseCandidate

use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Hooks, Kind, Scope};
use crate::kinds::checks::{Errors, immutable, required};
use crate::kinds::columns::{age_column, column, name_column};
use crate::kinds::coordination::lease::strategy;
use crate::kinds::values::{drop_zero, map_of, text};
use crate::kinds::{selectable, usual};
use crate::version::Version;
use serde_json::Value;
use std::cmp::Ordering;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        version: "v1beta1".into(),
        deprecation: Some(crate::kind::Deprecation::unstable_since(36)),
        other_versions: vec![Version::same("v1alpha2").deprecated_since(35)],
        selectable_fields: selectable(&[("spec.leaseName", "spec.leaseName")]),
        columns: vec![
            name_column(),
            column("LeaseName", "string", |o, _| text(&o["spec"]["leaseName"]).into()),
            column("BinaryVersion", "string", |o, _| text(&o["spec"]["binaryVersion"]).into()),
            column("EmulationVersion", "string", |o, _| text(&o["spec"]["emulationVersion"]).into()),
            age_column(),
        ],
        hooks: Box::new(LeaseCandidateHooks),
        ..usual("coordination.k8s.io", "LeaseCandidate", "leasecandidates", Scope::Namespaced)
    }
}

const OLDEST: &str = "OldestEmulationVersion";

struct LeaseCandidateHooks;

impl Hooks for LeaseCandidateHooks {
    fn default(&self, object: &mut Value) {
        drop_zero(map_of(object, "spec"), &["emulationVersion", "strategy"]);
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        whole(&mut errors, &Path::new("spec"), &object["spec"]);
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let at = Path::new("spec");
        let (new, old) = (&object["spec"]["leaseName"], &old["spec"]["leaseName"]);
        immutable(&mut errors, &at.child("leaseName"), new, old);
        errors
    }

    fn needs_version(&self) -> bool {
        true
    }

    fn validate_name(&self, name: &str) -> Result<(), String> {
        formats::config_map_key(name).into_iter().next().map_or(Ok(()), Err)
    }
}

fn whole(errors: &mut Errors, path: &Path, spec: &Value) {
    required(errors, &path.child("leaseName"), &spec["leaseName"]);
    // What is no version counts as the lowest.
    let mut versions = ["emulationVersion", "binaryVersion"].map(|field| {
        let text = text(&spec[field]);
        match Semantic::parse(text) {
            _ if text.is_empty() && field == "binaryVersion" => errors.push(Error::required(path.child(field), "")),
            _ if text.is_empty() => {}
            None => errors.push(Error::invalid(path.child(field), text, "must be a valid semantic version")),
            found => return found,
        }
        None
    });
    let [emulation, binary] = versions.each_mut().map(Option::take);
    let given = |field: &str| !text(&spec[field]).is_empty();
    if given("binaryVersion") && given("emulationVersion") && binary < emulation {
        let detail = "must be greater than or equal to `emulationVersion`";
        errors.push(Error::invalid(path.child("binaryVersion"), spec["binaryVersion"].clone(), detail));
    }
    let at = path.child("strategy");
    match text(&spec["strategy"]) {
        "" => errors.push(Error::required(at, "")),
        name => {
            if name == OLDEST && emulation.is_none_or(|version| version.is_zero()) {
                let detail = "must be specified when `strategy` is 'OldestEmulationVersion'";
                errors.push(Error::required(path.child("emulationVersion"), detail));
            }
            strategy(errors, &at, name);
        }
    }
}

/// A semantic version, in the order of versions; what it was built from does not count.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Semantic<'a> {
    numbers: [u64; 3],
    before: Before<'a>,
}

/// What stands before a release; the release itself comes last.
#[derive(PartialEq, Eq)]
struct Before<'a>(Vec<&'a str>);

impl PartialOrd for Before<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Before<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.0.is_empty(), other.0.is_empty()) {
            (false, false) => {}
            (one, another) => return one.cmp(&another),
        }
        // Numbers come before words.
        let key = |part: &&str| (part.parse::<u64>().map_or((1, 0), |number| (0, number)), part.to_string());
        self.0.iter().map(key).cmp(other.0.iter().map(key))
    }
}

impl<'a> Semantic<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let is_part = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        let is_number = |part: &str| part.bytes().all(|b| b.is_ascii_digit()) && !part.is_empty();
        let plain = |part: &str| part == "0" || !part.starts_with('0');
        let (rest, build) = text.split_once('+').unwrap_or((text, "x"));
        let (numbers, before) = match rest.split_once('-') {
            Some((numbers, before)) => (numbers, before.split('.').collect()),
            None => (rest, Vec::new()),
        };
        let parts: Vec<&str> = numbers.split('.').collect();
        let numbers: [&str; 3] = parts.try_into().ok()?;
        let fits = numbers.iter().all(|part| is_number(part) && plain(part))
            && before.iter().all(|part| is_part(part) && (plain(part) || !is_number(part)))
            && build.split('.').all(is_part);
        let read = numbers.map(|part| part.parse().ok());
        let [Some(major), Some(minor), Some(patch)] = read else {
            return None;
        };
        fits.then_some(Semantic { numbers: [major, minor, patch], before: Before(before) })
    }

    fn is_zero(&self) -> bool {
        self.numbers == [0; 3] && self.before.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules() {
        let check = |change: fn(&mut Value), expected: &[&str]| {
            let mut object = json!({"metadata": {"name": "c"}, "spec": {
                "leaseName": "l", "binaryVersion": "1.36.0", "emulationVersion": "1.35.0", "strategy": OLDEST,
            }});
            change(&mut object["spec"]);
            let texts: Vec<String> = LeaseCandidateHooks.validate(&object).iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        };
        check(|_| {}, &[]);
        check(
            |s| *s = json!({}),
            &[
                "spec.leaseName: Required value",
                "spec.binaryVersion: Required value",
                "spec.strategy: Required value",
            ],
        );
        check(
            |s| s["binaryVersion"] = "1.34.9".into(),
            &["spec.binaryVersion: Invalid value: \"1.34.9\": must be greater than or equal to `emulationVersion`"],
        );
        check(
            |s| s["emulationVersion"] = "1.35".into(),
            &[
                "spec.emulationVersion: Invalid value: \"1.35\": must be a valid semantic version",
                "spec.emulationVersion: Required value: must be specified when `strategy` is 'OldestEmulationVersion'",
            ],
        );
        check(
            |s| s["strategy"] = "Newest".into(),
            &["spec.strategy.strategy: Unsupported value: \"Newest\": supported values: \"OldestEmulationVersion\""],
        );
        check(|s| s["strategy"] = "example.com/newest".into(), &[]);
    }

    #[test]
    fn versions() {
        let check = |lower: &str, higher: &str| {
            assert!(Semantic::parse(lower).unwrap() < Semantic::parse(higher).unwrap(), "{lower} {higher}");
        };
        check("1.9.0", "1.10.0");
        check("1.0.0-alpha.1", "1.0.0-alpha.beta");
        check("1.0.0-2", "1.0.0-10");
        check("1.0.0-rc.1", "1.0.0");
        for bad in ["", "1", "1.2", "01.2.3", "1.2.3-", "1.2.3-01", "1.2.3+", "v1.2.3", "1.2.x"] {
            assert!(Semantic::parse(bad).is_none(), "{bad}");
        }
        assert!(Semantic::parse("1.2.3+build.01") == Semantic::parse("1.2.3"));
    }
}
