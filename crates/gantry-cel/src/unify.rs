//! Which types fit where, and what type parameters stand for.

use crate::types::Type;

/// What type variables stand for, as far as it is known.
#[derive(Default)]
pub(crate) struct Bindings {
    bound: Vec<Option<Type>>,
    /// What was bound before, so that a failed attempt can be undone.
    journal: Vec<(u32, Option<Type>)>,
}

impl Bindings {
    pub(crate) fn new_var(&mut self) -> Type {
        self.bound.push(None);
        Type::Var(self.bound.len() as u32 - 1)
    }

    fn get(&self, var: u32) -> Option<&Type> {
        self.bound[var as usize].as_ref()
    }

    fn bind(&mut self, var: u32, to: Type) {
        let before = self.bound[var as usize].replace(to);
        self.journal.push((var, before));
    }

    /// Whether a value of type `b` fits where `a` is wanted; then variables are bound so that it does.
    pub(crate) fn assignable(&mut self, a: &Type, b: &Type) -> bool {
        self.attempt(|this| this.fits(a, b))
    }

    /// The same for all pairs together.
    pub(crate) fn all_assignable(&mut self, a: &[Type], b: &[Type]) -> bool {
        a.len() == b.len() && self.attempt(|this| a.iter().zip(b).all(|(a, b)| this.fits(a, b)))
    }

    fn attempt(&mut self, check: impl FnOnce(&mut Self) -> bool) -> bool {
        self.journal.clear();
        let fits = check(self);
        if !fits {
            while let Some((var, before)) = self.journal.pop() {
                self.bound[var as usize] = before;
            }
        }
        fits
    }

    fn fits(&mut self, a: &Type, b: &Type) -> bool {
        if let Type::Var(var) = b {
            let bound = self.get(*var).is_some();
            if self.stands_for(*var, a) {
                return true;
            }
            if bound {
                return false;
            }
        }
        if let Type::Var(var) = a {
            return self.stands_for(*var, b);
        }
        match (a, b) {
            (Type::Dyn | Type::Any | Type::Error, _) | (_, Type::Dyn | Type::Any | Type::Error) => true,
            (Type::Null, other) | (other, Type::Null) => matches!(
                other,
                Type::Null | Type::Opaque(..) | Type::Object(_) | Type::Duration | Type::Timestamp
            ),
            (Type::Type(_), Type::Type(_)) => true,
            (Type::List(_) | Type::Map(_) | Type::Opaque(..), _) => {
                let (ours, theirs) = (a.params(), b.params());
                a.runtime_name() == b.runtime_name()
                    && ours.len() == theirs.len()
                    && ours.iter().zip(theirs).all(|(a, b)| self.fits(a, b))
            }
            _ => a.same(b, false),
        }
    }

    /// Whether a variable can stand for a type; then it does.
    fn stands_for(&mut self, var: u32, to: &Type) -> bool {
        if matches!(to, Type::Var(other) if *other == var) {
            return true;
        }
        if let Some(bound) = self.get(var).cloned() {
            if bound.same(to, false) {
                return true;
            }
            if !self.fits(to, &bound) {
                return false;
            }
            let general = most_general(to, &bound);
            if !self.occurs(var, &general) {
                self.bind(var, general);
            }
            return true;
        }
        if self.occurs(var, to) {
            return false;
        }
        self.bind(var, to.clone());
        true
    }

    fn occurs(&self, var: u32, within: &Type) -> bool {
        match within {
            Type::Var(other) if *other == var => true,
            Type::Var(other) => self.get(*other).is_some_and(|t| self.occurs(var, t)),
            _ => within.params().iter().any(|p| self.occurs(var, p)),
        }
    }

    /// A type with its variables replaced by what they stand for; if `open_is_dyn`, the others become dyn.
    pub(crate) fn substitute(&self, t: &Type, open_is_dyn: bool) -> Type {
        match t {
            Type::Var(var) => match self.get(*var) {
                Some(bound) => self.substitute(bound, open_is_dyn),
                None if open_is_dyn => Type::Dyn,
                None => t.clone(),
            },
            Type::List(element) => Type::list(self.substitute(element, open_is_dyn)),
            Type::Map(entry) => Type::map(
                self.substitute(&entry.0, open_is_dyn),
                self.substitute(&entry.1, open_is_dyn),
            ),
            Type::Opaque(name, params) => {
                let params = params.iter().map(|p| self.substitute(p, open_is_dyn));
                Type::Opaque(name.clone(), params.collect())
            }
            Type::Type(Some(of)) => Type::Type(Some(self.substitute(of, open_is_dyn).into())),
            Type::Param(_) if open_is_dyn => Type::Dyn,
            _ => t.clone(),
        }
    }
}

/// The more general of two types that fit each other.
pub(crate) fn most_general(a: &Type, b: &Type) -> Type {
    if less_specific(a, b) { a.clone() } else { b.clone() }
}

fn less_specific(a: &Type, b: &Type) -> bool {
    match (a, b) {
        (Type::Dyn | Type::Any | Type::Var(_), _) => true,
        (_, Type::Dyn | Type::Any | Type::Var(_)) => false,
        (Type::Type(_), Type::Type(_)) => true,
        (Type::Opaque(..), Type::Opaque(..))
        | (Type::List(_), Type::List(_))
        | (Type::Map(_), Type::Map(_)) => {
            let (ours, theirs) = (a.params(), b.params());
            a.runtime_name() == b.runtime_name()
                && ours.len() == theirs.len()
                && ours.iter().zip(theirs).all(|(a, b)| less_specific(a, b))
        }
        _ => a.same(b, false),
    }
}
