//! Sets of paths, as a tree, and their FieldsV1 form.

use super::element::PathElement;
use serde_json::{Map, Value};
use std::cmp::Ordering;

/// How deep a set may be; schemas are far less deep.
const MAX_DEPTH: usize = 200;

/// A set of paths below one value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// In the elements' order, each once.
    entries: Vec<Entry>,
}

/// One element of a set, and what the set has below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The step.
    pub element: PathElement,
    /// What the set has there.
    pub node: Node,
}

/// Whether a path is in a set, and what is below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Whether the path itself is in the set.
    pub member: bool,
    /// The paths below.
    pub children: Set,
}

impl Node {
    /// A path with nothing below.
    pub fn leaf() -> Self {
        Node {
            member: true,
            children: Set::default(),
        }
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }
}

impl Set {
    /// A set of paths of field names.
    pub fn of_fields(paths: &[&[&str]]) -> Self {
        let mut set = Set::default();
        for path in paths {
            let mut node = Node::leaf();
            for name in path.iter().rev() {
                let mut parent = Node::default();
                parent.children.push(PathElement::field(name), node);
                node = parent;
            }
            set = set.union(&node.children);
        }
        set
    }

    /// Whether the set has no path. Entries are never empty, so this looks at no children.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The elements at this level, to change; an entry must not be made empty.
    pub fn entries_mut(&mut self) -> &mut [Entry] {
        &mut self.entries
    }

    /// What stands at an element.
    pub fn get(&self, element: &PathElement) -> Option<&Node> {
        let at = self.entries.binary_search_by(|e| e.element.cmp(element)).ok()?;
        Some(&self.entries[at].node)
    }

    /// What stands at a field.
    pub fn field(&self, name: &str) -> Option<&Node> {
        let at = self
            .entries
            .binary_search_by(|e| match &e.element {
                PathElement::Field(own) => own.as_str().cmp(name),
                _ => Ordering::Greater,
            })
            .ok()?;
        Some(&self.entries[at].node)
    }

    /// Whether the path is in the set.
    pub fn has(&self, path: &[PathElement]) -> bool {
        match path {
            [] => false,
            [last] => self.get(last).is_some_and(|n| n.member),
            [first, rest @ ..] => self.get(first).is_some_and(|n| n.children.has(rest)),
        }
    }

    /// Adds what stands at an element not in the set yet; cheap when elements come in order.
    pub fn push(&mut self, element: PathElement, node: Node) {
        if node.is_empty() {
            return;
        }
        if self.entries.last().is_none_or(|last| last.element < element) {
            self.entries.push(Entry { element, node });
            return;
        }
        match self.entries.binary_search_by(|e| e.element.cmp(&element)) {
            Ok(at) => {
                let own = &mut self.entries[at].node;
                own.member |= node.member;
                own.children = own.children.union(&node.children);
            }
            Err(at) => self.entries.insert(at, Entry { element, node }),
        }
    }

    /// Paths in either set.
    pub fn union(&self, other: &Set) -> Set {
        if self.is_empty() {
            return other.clone();
        }
        if other.is_empty() {
            return self.clone();
        }
        self.zip(other, |a, b| match (a, b) {
            (Some(a), Some(b)) => Node {
                member: a.member || b.member,
                children: a.children.union(&b.children),
            },
            (Some(one), None) | (None, Some(one)) => one.clone(),
            (None, None) => Node::default(),
        })
    }

    /// Paths in both sets.
    pub fn intersection(&self, other: &Set) -> Set {
        self.zip(other, |a, b| match (a, b) {
            (Some(a), Some(b)) => Node {
                member: a.member && b.member,
                children: a.children.intersection(&b.children),
            },
            _ => Node::default(),
        })
    }

    /// Paths in this set that are not in the other.
    pub fn difference(&self, other: &Set) -> Set {
        let mut left = self.clone();
        left.subtract(other);
        left
    }

    /// Takes out the paths of the other set.
    pub fn subtract(&mut self, other: &Set) {
        self.take_out(other, &|own, gone| {
            own.member &= !gone.member;
            own.children.subtract(&gone.children);
        });
    }

    /// Takes out the paths of the other set, and those that lie below one of them.
    pub fn subtract_below(&mut self, other: &Set) {
        self.take_out(other, &|own, gone| match gone.member {
            true => *own = Node::default(),
            false => own.children.subtract_below(&gone.children),
        });
    }

    fn take_out(&mut self, other: &Set, change: &dyn Fn(&mut Node, &Node)) {
        if self.is_empty() {
            return;
        }
        let mut emptied = false;
        for gone in &other.entries {
            if let Ok(at) = self.entries.binary_search_by(|e| e.element.cmp(&gone.element)) {
                let own = &mut self.entries[at].node;
                change(own, &gone.node);
                // Later elements are found beside an emptied one all the same.
                emptied |= own.is_empty();
            }
        }
        if emptied {
            self.entries.retain(|e| !e.node.is_empty());
        }
    }

    /// Paths in this set that are in the other or lie below one that is.
    pub fn only_below(&self, other: &Set) -> Set {
        self.zip(other, |a, b| match (a, b) {
            (Some(a), Some(b)) if b.member => a.clone(),
            (Some(a), Some(b)) => Node {
                member: false,
                children: a.children.only_below(&b.children),
            },
            _ => Node::default(),
        })
    }

    fn zip(&self, other: &Set, join: impl Fn(Option<&Node>, Option<&Node>) -> Node) -> Set {
        let mut out = Set {
            entries: Vec::with_capacity(self.entries.len()),
        };
        let (mut i, mut j) = (0, 0);
        loop {
            let (a, b) = (self.entries.get(i), other.entries.get(j));
            let order = match (a, b) {
                (Some(a), Some(b)) => a.element.cmp(&b.element),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return out,
            };
            let a = a.filter(|_| order.is_le());
            let b = b.filter(|_| order.is_ge());
            i += usize::from(a.is_some());
            j += usize::from(b.is_some());
            let node = join(a.map(|e| &e.node), b.map(|e| &e.node));
            if let Some(entry) = a.or(b)
                && !node.is_empty()
            {
                out.entries.push(Entry {
                    element: entry.element.clone(),
                    node,
                });
            }
        }
    }

    /// All paths, at each level the members before what is below them, as upstream lists them.
    pub fn paths(&self) -> Vec<Vec<PathElement>> {
        let mut out = Vec::new();
        self.collect(&mut Vec::new(), &mut out);
        out
    }

    fn collect(&self, at: &mut Vec<PathElement>, out: &mut Vec<Vec<PathElement>>) {
        for entry in self.entries.iter().filter(|e| e.node.member) {
            out.push([at.as_slice(), std::slice::from_ref(&entry.element)].concat());
        }
        for entry in &self.entries {
            at.push(entry.element.clone());
            entry.node.children.collect(at, out);
            at.pop();
        }
    }

    /// The FieldsV1 form.
    pub fn encode(&self) -> Value {
        let mut map = Map::new();
        for Entry { element, node } in &self.entries {
            let mut below = match node.children.encode() {
                Value::Object(map) => map,
                _ => Map::new(),
            };
            if node.member && !below.is_empty() {
                below.insert(".".into(), Value::Object(Map::new()));
            }
            map.insert(element.encode(), Value::Object(below));
        }
        Value::Object(map)
    }

    /// Reads the FieldsV1 form.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn decode(fields: &Value) -> Result<Set, String> {
        Ok(decode(fields, 0)?.children)
    }
}

fn decode(fields: &Value, depth: usize) -> Result<Node, String> {
    if depth > MAX_DEPTH {
        return Err(format!("fieldsV1 is more than {MAX_DEPTH} levels deep"));
    }
    let map = fields.as_object().ok_or("fieldsV1 must be made of objects")?;
    let mut node = Node::default();
    for (key, below) in map {
        if key == "." {
            node.member = true;
        } else if let Some(element) = PathElement::decode(key)? {
            node.children.push(element, decode(below, depth + 1)?);
        }
    }
    node.member |= node.children.is_empty();
    Ok(node)
}
