//! Expressions in CEL that objects carry: what they may name, and whether they compile.
//!
//! Source: k8s.io/apiserver/pkg/admission/plugin/cel and k8s.io/dynamic-resource-allocation/cel.

use super::checks::Errors;
use crate::field::{Error, ErrorKind, Path};
use gantry_cel::{Authorizer, CompileError, Decl, Env, Type};
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};

/// What selecting a device may cost.
const MOST_FOR_DEVICE: u64 = 1_000_000;

/// Why an expression is refused.
enum Refusal {
    /// It is wrong.
    Wrong(String),
    /// It is right, and still cannot be evaluated.
    Unusable(String),
}

impl Refusal {
    fn note(self, errors: &mut Errors, path: &Path, expression: &str) {
        errors.push(match self {
            Refusal::Wrong(detail) => Error::invalid(path, expression, detail),
            Refusal::Unusable(detail) => Error::new(ErrorKind::Internal, path, Value::Null, detail),
        });
    }
}

/// What admission's expressions may name beside the object and the request.
#[derive(Clone, Copy, Default)]
pub struct Names {
    /// The parameters of a policy.
    pub params: bool,
    /// What asks the authorizer.
    pub authorizer: bool,
    /// The types of objects and patches that can be made.
    pub mutation: bool,
}

/// The expressions of one policy or webhook. Each variable of a policy can be named by what comes after it.
#[derive(Default)]
pub struct Expressions {
    /// None where there can be no variables.
    variables: Option<Vec<(String, Type)>>,
}

impl Expressions {
    /// Those of a policy with variables.
    pub fn with_variables() -> Self {
        Expressions {
            variables: Some(Vec::new()),
        }
    }

    fn env(&self, names: Names) -> Env {
        let mut env = ADMISSION.clone();
        if names.params {
            env = env.variable("params", Type::Dyn);
        }
        if names.authorizer {
            env = env.variable("authorizer", Authorizer::type_());
            env = env.variable("authorizer.requestResource", Authorizer::request_type());
        }
        if let Some(variables) = &self.variables {
            let fields = variables
                .iter()
                .map(|(name, type_)| (name.as_str(), Decl::of_type(type_.clone(), 0)));
            let decl = Decl::named("kubernetes.variables", fields);
            env = env.variable("variables", Type::declared(&decl, "variables"));
        }
        if names.mutation { env.with_mutation() } else { env }
    }

    /// Checks an expression that must yield one of these types.
    pub fn check(&self, errors: &mut Errors, path: &Path, expression: &str, names: Names, output: &[Type]) {
        let compiled = self
            .env(names)
            .compile(expression, output)
            .map_err(|e| refusal(e, output));
        if let Err(refusal) = compiled {
            refusal.note(errors, path, expression);
        }
    }

    /// Checks a variable's expression and notes its type. One that is wrong may be anything.
    pub fn add_variable(
        &mut self,
        errors: &mut Errors,
        path: &Path,
        name: &str,
        expression: &str,
        names: Names,
    ) {
        let type_ = match self.env(names).compile_any(expression) {
            Ok(program) => variable_type(program.output()),
            Err(error) => {
                refusal(error, &[]).note(errors, path, expression);
                Type::Dyn
            }
        };
        let variables = self.variables.get_or_insert_default();
        variables.retain(|(other, _)| other != name);
        variables.push((name.to_owned(), type_));
    }
}

fn refusal(error: CompileError, output: &[Type]) -> Refusal {
    match error {
        CompileError::Issues(issues) => Refusal::Wrong(format!("compilation failed: {issues}")),
        CompileError::Output(found) => {
            let wanted: Vec<String> = output.iter().map(Type::full_name).collect();
            let found = found.full_name();
            Refusal::Wrong(match wanted.as_slice() {
                [wanted] => format!("must evaluate to {wanted} but got {found}"),
                wanted => format!("must evaluate to one of [{}] but got {found}", wanted.join(" ")),
            })
        }
        CompileError::Unusable(why) => Refusal::Unusable(format!("program instantiation failed: {why}")),
    }
}

/// A variable's type as other expressions see it: objects of libraries may be anything.
fn variable_type(type_: &Type) -> Type {
    match type_ {
        Type::List(item) => Type::list(variable_type(item)),
        Type::Map(entry) => Type::map(variable_type(&entry.0), variable_type(&entry.1)),
        Type::Object(_) | Type::Opaque(..) | Type::Type(_) | Type::Param(_) | Type::Var(_) | Type::Error => {
            Type::Dyn
        }
        plain => plain.clone(),
    }
}

/// What all expressions of admission can name.
static ADMISSION: LazyLock<Env> = LazyLock::new(|| {
    let of = |schema: Value| Decl::of_schema(&schema, false);
    let text = of(json!({"type": "string"}));
    let texts = of(json!({"type": "array", "items": {"type": "string"}}));
    let time = of(json!({"type": "string", "format": "date-time"}));
    let whole = of(json!({"type": "integer"}));
    let labels = of(json!({"type": "object", "additionalProperties": {"type": "string"}}));
    let list_of = |name: &str, decl: &Arc<Decl>| Decl::of_type(Type::list(Type::declared(decl, name)), 0);
    let all_text =
        |name, fields: &[&'static str]| Decl::named(name, fields.iter().map(|f| (*f, text.clone())));
    let kind = all_text("kubernetes.GroupVersionKind", &["group", "version", "kind"]);
    let resource = all_text(
        "kubernetes.GroupVersionResource",
        &["group", "version", "resource"],
    );
    let user = Decl::named(
        "kubernetes.UserInfo",
        [
            ("username", text.clone()),
            ("uid", text.clone()),
            ("groups", texts.clone()),
            (
                "extra",
                of(
                    json!({"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}}),
                ),
            ),
        ],
    );
    let request = Decl::named(
        "kubernetes.AdmissionRequest",
        [
            ("kind", kind.clone()),
            ("resource", resource.clone()),
            ("subResource", text.clone()),
            ("requestKind", kind),
            ("requestResource", resource),
            ("requestSubResource", text.clone()),
            ("name", text.clone()),
            ("namespace", text.clone()),
            ("operation", text.clone()),
            ("userInfo", user),
            ("dryRun", of(json!({"type": "boolean"}))),
            ("options", Decl::any()),
        ],
    );
    let condition = Decl::named(
        "kubernetes.NamespaceCondition",
        [
            ("status", text.clone()),
            ("type", text.clone()),
            ("lastTransitionTime", time.clone()),
            ("message", text.clone()),
            ("reason", text.clone()),
        ],
    );
    let metadata = Decl::named(
        "kubernetes.NamespaceMetadata",
        [
            ("name", text.clone()),
            ("generateName", text.clone()),
            ("namespace", text.clone()),
            ("labels", labels.clone()),
            ("annotations", labels),
            ("UID", text.clone()),
            ("creationTimestamp", time.clone()),
            ("deletionGracePeriodSeconds", whole.clone()),
            ("deletionTimestamp", time),
            ("generation", whole),
            ("resourceVersion", text.clone()),
            ("finalizers", texts.clone()),
        ],
    );
    let namespace = Decl::named(
        "kubernetes.Namespace",
        [
            ("metadata", metadata),
            (
                "spec",
                Decl::named("kubernetes.NamespaceSpec", [("finalizers", texts)]),
            ),
            (
                "status",
                Decl::named(
                    "kubernetes.NamespaceStatus",
                    [("conditions", list_of("condition", &condition)), ("phase", text)],
                ),
            ),
        ],
    );
    Env::default()
        .variable("object", Type::Dyn)
        .variable("oldObject", Type::Dyn)
        .variable("namespaceObject", Type::declared(&namespace, "namespaceObject"))
        .variable("request", Type::declared(&request, "request"))
});

/// What selects devices can name.
static DEVICE: LazyLock<Env> = LazyLock::new(|| {
    const MOST_NAMES: u64 = 32;
    let text = |longest: u64| Decl::of_type(Type::String, longest);
    let by_name = |value: Arc<Decl>| {
        let of_domain = Decl::map(text(32), value, MOST_NAMES);
        Decl::map(text(63), of_domain, MOST_NAMES)
    };
    let quantity = Decl::of_type(Type::Opaque("kubernetes.Quantity".into(), [].into()), 0);
    let device = Decl::named(
        "kubernetes.DRADevice",
        [
            ("driver", text(63)),
            ("attributes", by_name(Decl::of_type(Type::Any, 64))),
            ("capacity", by_name(quantity)),
            ("allowMultipleAllocations", Decl::of_type(Type::Bool, 1)),
        ],
    );
    Env::default().declared("device", &device, "device").with_bind()
});

/// Checks an expression that selects devices.
pub fn device_selector(errors: &mut Errors, path: &Path, expression: &str) {
    match DEVICE.compile(expression, &[Type::Bool, Type::Any]) {
        Ok(program) if program.estimated_cost().max > MOST_FOR_DEVICE => {
            errors.push(Error::forbidden(path, "too complex, exceeds cost limit"));
        }
        Ok(_) => {}
        Err(CompileError::Output(found)) => {
            let detail = format!(
                "must evaluate to bool or the unknown type, not {}",
                found.full_name()
            );
            errors.push(Error::invalid(path, expression, detail));
        }
        Err(error) => refusal(error, &[]).note(errors, path, expression),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_cel::Made;

    fn texts(errors: &Errors) -> Vec<String> {
        errors.iter().map(|e| e.detail.clone()).collect()
    }

    #[test]
    fn names_and_types() {
        let all = Names {
            params: true,
            authorizer: true,
            mutation: false,
        };
        let check = |names: Names, expression: &str, output: &[Type], expected: &[&str]| {
            let mut errors = Vec::new();
            Expressions::default().check(&mut errors, &Path::new("e"), expression, names, output);
            assert_eq!(texts(&errors), expected, "{expression}");
        };
        let bool_ = [Type::Bool];
        check(
            all,
            "object.a == oldObject.b && params.c && request.namespace == 'x'",
            &bool_,
            &[],
        );
        check(
            all,
            "authorizer.requestResource.check('get').allowed()",
            &bool_,
            &[],
        );
        check(
            all,
            "namespaceObject.metadata.labels['a'] == request.userInfo.username",
            &bool_,
            &[],
        );
        check(
            all,
            "request.nothing",
            &bool_,
            &[
                "compilation failed: ERROR: <input>:1:8: undefined field 'nothing'\n | request.nothing\n | .......^",
            ],
        );
        check(
            Names::default(),
            "params.a",
            &bool_,
            &[
                "compilation failed: ERROR: <input>:1:1: undeclared reference to 'params' (in container '')\n | params.a\n | ^",
            ],
        );
        check(all, "1", &bool_, &["must evaluate to bool but got int"]);
        check(
            all,
            "[1]",
            &[Type::String, Type::Null],
            &["must evaluate to one of [string null_type] but got list(int)"],
        );
        check(
            all,
            "request.kind == 1",
            &bool_,
            &[
                "compilation failed: ERROR: <input>:1:14: found no matching overload for '_==_' applied to \
               '(kubernetes.GroupVersionKind, int)'\n | request.kind == 1\n | .............^",
            ],
        );
    }

    #[test]
    fn variables() {
        let mut errors = Vec::new();
        let mut expressions = Expressions::with_variables();
        let path = Path::new("v");
        expressions.add_variable(&mut errors, &path, "a", "[1, 2]", Names::default());
        expressions.add_variable(
            &mut errors,
            &path,
            "b",
            "variables.a.map(x, quantity(string(x)))",
            Names::default(),
        );
        expressions.check(
            &mut errors,
            &path,
            "variables.b[0].x == variables.a[0]",
            Names::default(),
            &[Type::Bool],
        );
        assert_eq!(texts(&errors), [""; 0]);
        expressions.check(&mut errors, &path, "variables.c", Names::default(), &[Type::Bool]);
        let detail =
            "compilation failed: ERROR: <input>:1:10: undefined field 'c'\n | variables.c\n | .........^";
        assert_eq!(texts(&errors), [detail]);
    }

    #[test]
    fn mutations() {
        let check = |expression: &str, output: Type, expected: &[&str]| {
            let mut errors = Vec::new();
            let names = Names {
                mutation: true,
                ..Names::default()
            };
            Expressions::default().check(&mut errors, &Path::new("e"), expression, names, &[output]);
            assert_eq!(texts(&errors), expected, "{expression}");
        };
        check("Object{spec: Object.spec{a: object.b}}", Made::object(), &[]);
        check(
            "Object.spec{}",
            Made::object(),
            &["must evaluate to Object but got Object.spec"],
        );
        check("[JSONPatch{op: 'add'}]", Type::list(Made::patch()), &[]);
        check(
            "[]",
            Type::list(Made::patch()),
            &["must evaluate to list(JSONPatch) but got list(dyn)"],
        );
    }

    #[test]
    fn devices() {
        let check = |expression: &str, expected: &[&str]| {
            let mut errors = Vec::new();
            device_selector(&mut errors, &Path::new("e"), expression);
            assert_eq!(texts(&errors), expected, "{expression}");
        };
        check("device.driver == 'a' && device.attributes['a'].b", &[]);
        check("cel.bind(a, device.attributes['a'], a.b && a.c)", &[]);
        check("device.capacity['a'].b.compareTo(quantity('1Gi')) >= 0", &[]);
        check("device.attributes['a'].b", &[]);
        check(
            "device.driver",
            &["must evaluate to bool or the unknown type, not string"],
        );
        check(
            "device.attributes.all(a, device.attributes.all(b, device.attributes.all(c, device.attributes.all(d, true))))",
            &["too complex, exceeds cost limit"],
        );
    }
}
