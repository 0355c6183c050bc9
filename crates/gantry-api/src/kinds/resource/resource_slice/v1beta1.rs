//! ResourceSlice in version v1beta1, where a device's fields stand under `basic`.

use super::device;
use crate::kinds::values::{drop_zero, field_mut, list_mut, remove};
use crate::version::Conversion;
use serde_json::{Map, Value};

/// The conversion.
pub fn conversion() -> Conversion {
    Conversion {
        default: |slice| {
            for device in devices(slice) {
                if let Some(basic) = field_mut(device, "basic") {
                    device::default_one(basic);
                }
            }
        },
        to_stored: |slice| {
            if let Some(spec) = slice.get_mut("spec") {
                // Absent and zero are the same in this version.
                drop_zero(spec, &["allNodes", "nodeName"]);
            }
            for device in devices(slice) {
                if let (Some(Value::Object(basic)), Some(map)) = (remove(device, "basic"), device.as_object_mut()) {
                    map.extend(basic);
                }
            }
        },
        from_stored: |slice| {
            for device in devices(slice) {
                let Some(map) = device.as_object_mut() else {
                    continue;
                };
                let (name, basic): (Map<_, _>, Map<_, _>) = std::mem::take(map).into_iter().partition(|(key, _)| key == "name");
                *map = name;
                map.insert("basic".into(), basic.into());
            }
        },
    }
}

fn devices(slice: &mut Value) -> &mut [Value] {
    match slice.get_mut("spec") {
        Some(spec) => list_mut(spec, "devices"),
        None => &mut [],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn devices_change_their_form() {
        let old = json!({"spec": {"devices": [{"name": "a", "basic": {"attributes": {"x": {"int": 1}}}}]}});
        let new = json!({"spec": {"devices": [{"name": "a", "attributes": {"x": {"int": 1}}}]}});
        let mut object = old.clone();
        object["spec"]["allNodes"] = false.into();
        (conversion().to_stored)(&mut object);
        assert_eq!(object, new);
        (conversion().from_stored)(&mut object);
        assert_eq!(object, old);
    }
}
