//! ResourceClaim and its template in version v1beta1, where a request for one thing has no field of its own for it.

use super::spec::{default_request, default_tolerations};
use super::status;
use crate::kinds::values::{field_mut, given, list_mut, remove, size, text};
use crate::version::Conversion;
use serde_json::{Map, Value};

/// The fields of a request that stand under `exactly` in later versions.
const EXACTLY: [&str; 7] =
    ["adminAccess", "allocationMode", "capacity", "count", "deviceClassName", "selectors", "tolerations"];

/// The conversion of ResourceClaims.
pub fn claim() -> Conversion {
    Conversion {
        default: |claim| {
            default(claim.get_mut("spec"));
            status::default(claim);
        },
        to_stored: |claim| nest(claim.get_mut("spec")),
        from_stored: |claim| flatten(claim.get_mut("spec")),
    }
}

/// The conversion of ResourceClaimTemplates.
pub fn template() -> Conversion {
    Conversion {
        default: |template| default(template.pointer_mut("/spec/spec")),
        to_stored: |template| nest(template.pointer_mut("/spec/spec")),
        from_stored: |template| flatten(template.pointer_mut("/spec/spec")),
    }
}

fn requests(spec: Option<&mut Value>) -> &mut [Value] {
    match spec.and_then(|spec| field_mut(spec, "devices")) {
        Some(devices) => list_mut(devices, "requests"),
        None => &mut [],
    }
}

fn default(spec: Option<&mut Value>) {
    for request in requests(spec) {
        match text(&request["deviceClassName"]) {
            "" => default_tolerations(request),
            _ => default_request(request),
        }
        list_mut(request, "firstAvailable").iter_mut().for_each(default_request);
    }
}

fn nest(spec: Option<&mut Value>) {
    for request in requests(spec) {
        let mut exactly = Map::new();
        for field in EXACTLY {
            if let Some(value) = remove(request, field) {
                exactly.insert(field.into(), value);
            }
        }
        let says = |(field, value): (&String, &Value)| match field.as_str() {
            "count" => *value != 0,
            "allocationMode" | "deviceClassName" => !text(value).is_empty(),
            "selectors" | "tolerations" => size(value) > 0,
            _ => given(value),
        };
        if exactly.iter().any(says) {
            exactly.entry("deviceClassName").or_insert_with(|| "".into());
            request["exactly"] = exactly.into();
        }
    }
}

fn flatten(spec: Option<&mut Value>) {
    for request in requests(spec) {
        let exactly = remove(request, "exactly");
        if let Some(map) = request.as_object_mut() {
            if let Some(Value::Object(exactly)) = exactly {
                map.extend(exactly);
            }
            // Shown even where it is empty.
            map.entry("deviceClassName").or_insert_with(|| "".into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn requests_change_their_form() {
        let of = |request: &Value| json!({"spec": {"devices": {"requests": [request]}}});
        let check = |old: Value, new: Value| {
            let mut object = of(&old);
            (claim().default)(&mut object);
            (claim().to_stored)(&mut object);
            assert_eq!(object, of(&new));
            (claim().from_stored)(&mut object);
            (claim().to_stored)(&mut object);
            assert_eq!(object, of(&new));
        };
        check(
            json!({"name": "r", "deviceClassName": "c"}),
            json!({"name": "r", "exactly": {"deviceClassName": "c", "allocationMode": "ExactCount", "count": 1}}),
        );
        check(json!({"name": "r", "adminAccess": true}), json!({"name": "r", "exactly": {"deviceClassName": "", "adminAccess": true}}));
        check(
            json!({"name": "r", "firstAvailable": [{"name": "a", "deviceClassName": "c", "allocationMode": "All"}]}),
            json!({"name": "r", "firstAvailable": [{"name": "a", "deviceClassName": "c", "allocationMode": "All"}]}),
        );
        check(json!({"name": "r"}), json!({"name": "r"}));
    }
}
