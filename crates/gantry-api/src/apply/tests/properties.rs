//! What holds for every object and every set.

use super::super::element::{PathElement, Scalar};
use super::super::set::{Node, Set};
use super::super::{merge, walk};
use super::*;
use crate::schema::Schema;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

/// An element, not always one that fits where it stands.
fn element() -> impl Strategy<Value = PathElement> {
    let name = "[a-z.:\"/]{1,6}";
    let scalar = prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        name.prop_map(Value::from),
    ];
    let key = btree_map(name, scalar.clone(), 1..3)
        .prop_map(|keys| PathElement::Key(keys.into_iter().map(|(k, v)| (k.into(), Scalar(v))).collect()));
    prop_oneof![
        4 => name.prop_map(|n| PathElement::field(&n)),
        1 => key,
        1 => scalar.prop_map(|v| PathElement::Value(Scalar(v))),
        1 => (0i64..100).prop_map(PathElement::Index),
    ]
}

fn set() -> impl Strategy<Value = Set> {
    let leaf = vec(element(), 0..4).prop_map(|elements| {
        let mut set = Set::default();
        elements.into_iter().for_each(|e| set.push(e, Node::leaf()));
        set
    });
    leaf.prop_recursive(4, 64, 4, |below| {
        vec((element(), any::<bool>(), below), 0..4).prop_map(|entries| {
            let mut set = Set::default();
            for (element, member, children) in entries {
                set.push(element, Node { member, children });
            }
            set
        })
    })
}

/// Some containers' parts of a Deployment, chosen so that two of them often meet. Nothing in it is empty: what is
/// left when all in an object or list has gone may be empty or absent.
fn deployment() -> impl Strategy<Value = Value> {
    let text = prop::option::of("[ab]");
    let ports = vec((1i64..4, prop::option::of(prop_oneof!["TCP", "UDP"])), 1..3).prop_map(|ports| {
        let mut seen = std::collections::BTreeSet::new();
        ports
            .into_iter()
            .filter(|(port, protocol)| seen.insert((*port, protocol.clone().unwrap_or("TCP".into()))))
            .map(|(port, protocol)| match protocol {
                Some(protocol) => json!({"containerPort": port, "protocol": protocol}),
                None => json!({"containerPort": port}),
            })
            .collect::<Value>()
    });
    let container = (
        text.clone(),
        prop::option::of(ports),
        prop::option::of(vec("[xy]", 1..3)),
    );
    let containers = btree_map("[abc]", container, 1..3).prop_shuffle_values();
    let labels = prop::option::of(btree_map("[kl]", "[12]", 1..3));
    (
        labels,
        prop::option::of(1i64..3),
        text,
        prop::option::of(containers),
    )
        .prop_map(|(labels, replicas, selector, containers)| {
            let mut object = json!({"metadata": {"name": "x"}, "spec": {"paused": true}});
            object["apiVersion"] = "apps/v1".into();
            object["kind"] = "Deployment".into();
            if let Some(labels) = labels {
                object["metadata"]["labels"] = json!(labels);
            }
            if let Some(replicas) = replicas {
                object["spec"]["replicas"] = replicas.into();
            }
            if let Some(selector) = selector {
                object["spec"]["selector"] = json!({"matchLabels": {"a": selector}});
            }
            if let Some(containers) = containers {
                let containers: Vec<Value> = containers
                    .into_iter()
                    .map(|(name, (image, ports, command))| {
                        let mut container = json!({"name": name});
                        for (field, value) in [
                            ("image", json!(image)),
                            ("ports", json!(ports)),
                            ("command", json!(command)),
                        ] {
                            if !value.is_null() {
                                container[field] = value;
                            }
                        }
                        container
                    })
                    .collect();
                object["spec"]["template"] = json!({"spec": {"containers": containers}});
            }
            object
        })
}

/// Values of a map in any order.
trait ShuffleValues: Strategy + Sized {
    type Item: std::fmt::Debug + Clone;
    fn prop_shuffle_values(self) -> impl Strategy<Value = Vec<Self::Item>>;
}

impl<S, K, V> ShuffleValues for S
where
    S: Strategy<Value = std::collections::BTreeMap<K, V>>,
    K: std::fmt::Debug + Clone,
    V: std::fmt::Debug + Clone,
{
    type Item = (K, V);
    fn prop_shuffle_values(self) -> impl Strategy<Value = Vec<(K, V)>> {
        self.prop_map(|map| map.into_iter().collect::<Vec<_>>())
            .prop_shuffle()
    }
}

fn shape() -> Shape<'static> {
    Shape::root(message_for("apps", "v1", "Deployment").map(Schema::Table))
}

/// The paths of an applied configuration that are not in the object, or not with that value. An empty list is no
/// path: nobody owns one.
fn lost(applied: &Value, object: &Value) -> Set {
    let changes = compare(shape(), applied, object).unwrap();
    let gone = changes.modified.union(&changes.removed);
    gone.intersection(&walk::extract(shape(), applied))
}

proptest! {
    #[test]
    fn sets_come_back_from_their_encoding(set in set()) {
        let text = set.encode().to_string();
        let back = Set::decode(&serde_json::from_str(&text).unwrap());
        prop_assert_eq!(back, Ok(set));
    }

    #[test]
    fn sets_obey_set_algebra(a in set(), b in set()) {
        let (paths_a, paths_b) = (a.paths(), b.paths());
        for path in paths_a.iter().chain(&paths_b) {
            let (in_a, in_b) = (paths_a.contains(path), paths_b.contains(path));
            prop_assert_eq!(a.has(path), in_a);
            prop_assert!(a.union(&b).has(path));
            prop_assert_eq!(a.intersection(&b).has(path), in_a && in_b);
            prop_assert_eq!(a.difference(&b).has(path), in_a && !in_b);
        }
        prop_assert!(a.difference(&a).is_empty());
        prop_assert_eq!(a.union(&b), b.union(&a));
        prop_assert_eq!(a.difference(&b).union(&a.intersection(&b)), a);
    }

    #[test]
    fn a_comparison_names_what_changed(a in deployment(), b in deployment()) {
        let forth = compare(shape(), &a, &b).unwrap();
        let back = compare(shape(), &b, &a).unwrap();
        prop_assert_eq!(&forth.added, &back.removed);
        prop_assert_eq!(&forth.modified, &back.modified);
        prop_assert_eq!(compare(shape(), &a, &a).unwrap(), Comparison::default());
    }

    #[test]
    fn a_merge_holds_all_that_is_applied(a in deployment(), b in deployment()) {
        let merged = merge::merge(shape(), &a, &b).unwrap();
        prop_assert_eq!(lost(&b, &merged), Set::default());
        prop_assert_eq!(merge::merge(shape(), &merged, &b).unwrap(), merged);
    }

    #[test]
    fn removing_all_paths_of_an_object_leaves_none(a in deployment()) {
        let mut left = a.clone();
        let all = walk::extract(shape(), &a);
        walk::remove(shape(), &mut left, &all);
        prop_assert!(walk::extract(shape(), &left).intersection(&all).is_empty(), "{}", left);
    }

    #[test]
    fn applying_twice_is_applying_once(live in deployment(), steps in vec(("[mn]", deployment()), 1..5)) {
        let mut object = live;
        for (i, (manager, patch)) in steps.into_iter().enumerate() {
            let now = now(i);
            let writer = writer("apps/v1", "Deployment", &manager, &now);
            let once = writer.apply(Some(&object), &patch, true).unwrap();
            let later = super::now(i + 1);
            let twice = super::writer("apps/v1", "Deployment", &manager, &later).apply(Some(&once), &patch, false);
            prop_assert_eq!(twice.as_ref(), Ok(&once));
            prop_assert_eq!(lost(&patch, &once), Set::default());
            object = once;
        }
    }

    #[test]
    fn what_others_own_stays(theirs in deployment(), mine in deployment(), less in deployment()) {
        let apply = |live: Option<&Value>, manager: &str, patch: &Value| {
            let now = now(0);
            writer("apps/v1", "Deployment", manager, &now).apply(live, patch, true).unwrap()
        };
        let first = apply(None, "mine", &mine);
        let second = apply(Some(&first), "theirs", &theirs);
        let third = apply(Some(&second), "mine", &less);
        let merged = merge::merge(shape(), &theirs, &less).unwrap();
        prop_assert_eq!(lost(&merged, &third), Set::default());
    }
}
