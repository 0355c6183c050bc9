//! PodTemplate

use crate::field::{Error, Path};
use crate::kind::{Hooks, Kind, Scope};
use crate::kinds::columns::{column, labels, name_column};
use crate::kinds::core::pod;
use crate::kinds::usual;
use crate::kinds::values::{joined, list, number, same, text};
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        columns: vec![
            name_column(),
            column("Containers", "string", |o, _| of_containers(o, "name")),
            column("Images", "string", |o, _| of_containers(o, "image")),
            column("Pod Labels", "string", |o, _| labels(&o["template"]["metadata"]["labels"]).into()),
        ],
        returns_deleted: true,
        hooks: Box::new(PodTemplateHooks),
        ..usual("", "PodTemplate", "podtemplates", Scope::Namespaced)
    }
}

fn of_containers(object: &Value, field: &str) -> Value {
    let containers = list(&object["template"]["spec"]["containers"]);
    joined(containers.iter().map(|c| text(&c[field])), ",").into()
}

struct PodTemplateHooks;

impl Hooks for PodTemplateHooks {
    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        pod::template_warnings("template", object, old)
    }

    fn default(&self, object: &mut Value) {
        pod::default_template(object, "template");
    }

    fn prepare_create(&self, object: &mut Value) {
        pod::drop_disabled(object, None, "/template/spec");
        object["metadata"]["generation"] = 1.into();
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        pod::drop_disabled(object, Some(old), "/template/spec");
        if !same(&object["template"], &old["template"]) {
            object["metadata"]["generation"] = (number(&old["metadata"]["generation"]) + 1).into();
        }
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        pod::validate_template(&mut errors, &Path::new("template"), &object["template"]);
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_template_is_filled_in_and_checked() {
        let mut object = json!({"template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}});
        PodTemplateHooks.default(&mut object);
        PodTemplateHooks.prepare_create(&mut object);
        assert_eq!(object["template"]["spec"]["restartPolicy"], "Always");
        assert_eq!(PodTemplateHooks.validate(&object), Vec::new());
        let mut new = object.clone();
        new["template"]["spec"]["containers"][0]["image"] = "j".into();
        PodTemplateHooks.prepare_update(&mut new, &object);
        assert_eq!(new["metadata"]["generation"], 2);
        new["template"]["spec"]["containers"] = json!([]);
        assert_eq!(PodTemplateHooks.validate(&new).len(), 1);
    }
}
