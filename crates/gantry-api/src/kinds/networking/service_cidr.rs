//! ServiceCIDR

use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::checks::{Errors, format};
use crate::kinds::columns::{age_column, column, name_column};
use crate::kinds::usual;
use crate::kinds::values::{joined, list, map_of, text};
use crate::version::Version;
use serde_json::{Value, json};

/// The kind.
pub fn kind() -> Kind {
    Kind {
        other_versions: vec![Version::same("v1beta1").deprecated_since(34)],
        subresources: vec![Subresource::Status],
        status_alone: true,
        columns: vec![
            name_column(),
            column("CIDRs", "string", |o, _| joined(list(&o["spec"]["cidrs"]).iter().map(text), ",").into()),
            age_column(),
        ],
        hooks: Box::new(ServiceCidrHooks),
        ..usual("networking.k8s.io", "ServiceCIDR", "servicecidrs", Scope::Cluster)
    }
}

struct ServiceCidrHooks;

impl Hooks for ServiceCidrHooks {
    fn default(&self, object: &mut Value) {
        map_of(object, "spec");
        map_of(object, "status");
    }

    fn prepare_create(&self, object: &mut Value) {
        object["status"] = json!({});
    }

    fn validate_create(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        cidrs(&mut errors, &Path::new("spec").child("cidrs"), &object["spec"]);
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        const IMMUTABLE: &str = "field is immutable";
        let mut errors = Vec::new();
        let (new, old) = (list(&object["spec"]["cidrs"]), list(&old["spec"]["cidrs"]));
        let path = Path::new("spec");
        let path = path.child("cidrs");
        let grows = old.len() == 1 && new.len() == 2;
        if new.len() != old.len() && !grows {
            return vec![Error::invalid(path, new.to_vec(), IMMUTABLE)];
        }
        for (i, (new, old)) in new.iter().zip(old).enumerate() {
            if new != old {
                errors.push(Error::invalid(path.index(i), new.clone(), IMMUTABLE));
            }
        }
        // One of the other family may join it.
        if grows {
            cidrs(&mut errors, &path, &object["spec"]);
        }
        errors
    }
}

fn cidrs(errors: &mut Errors, path: &Path, spec: &Value) {
    let cidrs = list(&spec["cidrs"]);
    if cidrs.is_empty() {
        errors.push(Error::required(path, "at least one CIDR required"));
        return;
    }
    if cidrs.len() > 2 {
        errors.push(Error::invalid(path, spec.clone(), "may only hold up to 2 values"));
        return;
    }
    for (i, cidr) in cidrs.iter().enumerate() {
        format(errors, &path.index(i), text(cidr), formats::canonical_cidr);
    }
    let families: Vec<bool> =
        cidrs.iter().filter_map(|c| formats::parse_cidr(text(c))).map(|(ip, _)| ip.is_ipv4()).collect();
    if families.len() == 2 && families[0] == families[1] {
        let detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        errors.push(Error::invalid(path, cidrs.to_vec(), detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(cidrs: &[&str]) -> Value {
        json!({"spec": {"cidrs": cidrs}})
    }

    #[test]
    fn rules() {
        let check = |cidrs: &[&str], expected: &[&str]| {
            let errors = ServiceCidrHooks.validate_create(&of(cidrs));
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        };
        check(&["10.0.0.0/8", "fd00::/64"], &[]);
        check(&[], &["spec.cidrs: Required value: at least one CIDR required"]);
        check(
            &["10.0.0.1/8"],
            &["spec.cidrs[0]: Invalid value: \"10.0.0.1/8\": must not have bits set beyond the prefix length"],
        );
        check(
            &["10.0.0.0/8", "11.0.0.0/8"],
            &["spec.cidrs: Invalid value: [\"10.0.0.0/8\",\"11.0.0.0/8\"]: may specify no more than one IP for each IP \
               family, i.e 192.168.0.0/24 and 2001:db8::/64"],
        );
    }

    #[test]
    fn changes() {
        let check = |new: &[&str], old: &[&str], wrong: usize| {
            assert_eq!(ServiceCidrHooks.validate_update(&of(new), &of(old)).len(), wrong);
        };
        check(&["10.0.0.0/8"], &["10.0.0.0/8"], 0);
        check(&["10.0.0.0/8", "fd00::/64"], &["10.0.0.0/8"], 0);
        check(&["11.0.0.0/8"], &["10.0.0.0/8"], 1);
        check(&["10.0.0.0/8", "11.0.0.0/8"], &["10.0.0.0/8"], 1);
        check(&["10.0.0.0/8"], &["10.0.0.0/8", "fd00::/64"], 1);
    }
}
