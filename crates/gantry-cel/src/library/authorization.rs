//! Questions to the authorizer. Who it is, the caller says: an [`Authorizer`] is the value of a variable.

use super::{Library, mismatch};
use crate::cost::rules;
use crate::error::{Error, Result};
use crate::types::Type;
use crate::value::{Object, Value};
use gantry_formats::formats;
use std::any::Any;
use std::fmt;
use std::sync::Arc;

const AUTHORIZER: &str = "kubernetes.authorization.Authorizer";
const PATH: &str = "kubernetes.authorization.PathCheck";
const GROUP: &str = "kubernetes.authorization.GroupCheck";
const RESOURCE: &str = "kubernetes.authorization.ResourceCheck";
const DECISION: &str = "kubernetes.authorization.Decision";

/// Answers what users may do.
pub trait Authorize: Send + Sync {
    /// Decides.
    fn authorize(&self, question: &Question) -> Decision;
}

/// Whether somebody may do something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// Namespace and name of a service account; none for the user of the request.
    pub service_account: Option<(String, String)>,
    /// A path that is no resource's; none if it is about a resource.
    pub path: Option<String>,
    /// The API group.
    pub group: String,
    /// The resource.
    pub resource: String,
    /// The subresource.
    pub subresource: String,
    /// The namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// A selector of fields, as it was written.
    pub field_selector: String,
    /// A selector of labels, as it was written.
    pub label_selector: String,
    /// What is to be done.
    pub verb: String,
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Whether it is allowed.
    pub allowed: bool,
    /// Why.
    pub reason: String,
    /// What went wrong on the way.
    pub error: Option<String>,
}

/// The value of the variables `authorizer` and `authorizer.requestResource`.
#[derive(Clone)]
pub struct Authorizer {
    authorize: Arc<dyn Authorize>,
    question: Question,
    stage: &'static str,
}

impl Authorizer {
    /// The value of `authorizer`.
    pub fn new(authorize: Arc<dyn Authorize>) -> Self {
        Authorizer {
            authorize,
            question: Question::default(),
            stage: AUTHORIZER,
        }
    }

    /// The value of `authorizer.requestResource`: the question begins with what the request is about.
    pub fn of_request(authorize: Arc<dyn Authorize>, question: Question) -> Self {
        Authorizer {
            authorize,
            question,
            stage: RESOURCE,
        }
    }

    /// The value.
    pub fn value(self) -> Value<'static> {
        Value::object(self)
    }

    /// The type of `authorizer`.
    pub fn type_() -> Type {
        Type::object(AUTHORIZER)
    }

    /// The type of `authorizer.requestResource`.
    pub fn request_type() -> Type {
        Type::object(RESOURCE)
    }
}

impl fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple(self.stage).field(&self.question).finish()
    }
}

impl Object for Authorizer {
    fn type_name(&self) -> &'static str {
        self.stage
    }

    fn equals(&self, _: &dyn Object) -> Option<bool> {
        None
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Object for Decision {
    fn type_name(&self) -> &'static str {
        DECISION
    }

    fn equals(&self, _: &dyn Object) -> Option<bool> {
        None
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

pub(super) fn register(library: &mut Library) {
    let on = |of: &str, to: &str| format!("({of}, string) -> {to}");
    let resource = on(RESOURCE, RESOURCE);
    library.add_member("path", "authorizer_path", &on(AUTHORIZER, PATH), path);
    library.add_member("group", "authorizer_group", &on(AUTHORIZER, GROUP), |args| {
        next(args, GROUP, |q, text| q.group = text)
    });
    let account = format!("({AUTHORIZER}, string, string) -> {AUTHORIZER}");
    library.add_member(
        "serviceAccount",
        "authorizer_serviceaccount",
        &account,
        service_account,
    );
    library.add_member(
        "resource",
        "groupcheck_resource",
        &on(GROUP, RESOURCE),
        resource_of_group,
    );
    library.add_member("subresource", "resourcecheck_subresource", &resource, |args| {
        next(args, RESOURCE, |q, text| q.subresource = text)
    });
    library.add_member("namespace", "resourcecheck_namespace", &resource, |args| {
        next(args, RESOURCE, |q, text| q.namespace = text)
    });
    library.add_member("name", "resourcecheck_name", &resource, |args| {
        next(args, RESOURCE, |q, text| q.name = text)
    });
    library
        .add_member("fieldSelector", "authorizer_fieldselector", &resource, |args| {
            next(args, RESOURCE, |q, text| q.field_selector = text)
        })
        .cost(rules::SELECTOR);
    library
        .add_member("labelSelector", "authorizer_labelselector", &resource, |args| {
            next(args, RESOURCE, |q, text| q.label_selector = text)
        })
        .cost(rules::SELECTOR);
    for (id, of) in [("pathcheck_check", PATH), ("resourcecheck_check", RESOURCE)] {
        library
            .add_member("check", id, &on(of, DECISION), check)
            .cost(rules::AUTHORIZATION);
    }
    let answer = |to: &str| format!("({DECISION}) -> {to}");
    library.add_member("errored", "decision_errored", &answer("bool"), |args| {
        decided(args, |d| Value::Bool(d.error.is_some()))
    });
    library.add_member("error", "decision_error", &answer("string"), |args| {
        decided(args, |d| d.error.clone().unwrap_or_default().into())
    });
    library.add_member("allowed", "decision_allowed", &answer("bool"), |args| {
        decided(args, |d| Value::Bool(d.allowed))
    });
    library.add_member("reason", "decision_reason", &answer("string"), |args| {
        decided(args, |d| d.reason.clone().into())
    });
}

fn next<'a>(
    args: &[Value<'a>],
    stage: &'static str,
    set: impl FnOnce(&mut Question, String),
) -> Result<Value<'a>> {
    let (Some(authorizer), Some(text)) = (
        args.first().and_then(Value::as_object::<Authorizer>),
        args.get(1).and_then(Value::as_str),
    ) else {
        return mismatch();
    };
    let mut next = authorizer.clone();
    next.stage = stage;
    set(&mut next.question, text.to_owned());
    Ok(Value::object(next))
}

fn path<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args.get(1).and_then(Value::as_str) {
        Some(path) if path.trim().is_empty() => Err(Error::fixed("path must not be empty")),
        _ => next(args, PATH, |q, text| q.path = Some(text)),
    }
}

fn resource_of_group<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args.get(1).and_then(Value::as_str) {
        Some(name) if name.trim().is_empty() => Err(Error::fixed("resource must not be empty")),
        _ => next(args, RESOURCE, |q, text| q.resource = text),
    }
}

fn service_account<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let Some(name) = args.get(2).and_then(Value::as_str) else {
        return mismatch();
    };
    if !formats::dns_subdomain(name).is_empty() {
        return Err(Error::fixed("Invalid service account name"));
    }
    if args
        .get(1)
        .and_then(Value::as_str)
        .is_some_and(|n| !formats::dns_label(n).is_empty())
    {
        return Err(Error::fixed("Invalid service account namespace"));
    }
    next(args, AUTHORIZER, |q, namespace| {
        q.service_account = Some((namespace, name.to_owned()));
    })
}

fn check<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let (Some(authorizer), Some(verb)) = (
        args.first().and_then(Value::as_object::<Authorizer>),
        args.get(1).and_then(Value::as_str),
    ) else {
        return mismatch();
    };
    let question = Question {
        verb: verb.to_owned(),
        ..authorizer.question.clone()
    };
    Ok(Value::object(authorizer.authorize.authorize(&question)))
}

fn decided<'a>(args: &[Value<'a>], of: impl Fn(&Decision) -> Value<'a>) -> Result<Value<'a>> {
    match args.first().and_then(Value::as_object::<Decision>) {
        Some(decision) => Ok(of(decision)),
        None => mismatch(),
    }
}
