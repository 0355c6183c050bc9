//! What expressions cost: as estimated from the largest data there may be, and as counted when they are evaluated.
//! Source: cel-go's checker/cost.go and interpreter/runtimecost.go, and k8s.io/apiserver/pkg/cel/library/cost.go.

pub(crate) mod estimate;
pub(crate) mod rules;

use crate::ast::{Expr, Kind, Literal};
use crate::types::Type;
use crate::value::Value;
use estimate::Sizes;
use smol_str::SmolStr;

/// What going through a text costs, for each character.
pub(crate) const TRAVERSAL: f64 = 0.1;
/// What a pattern costs, for each of its characters.
pub(crate) const PATTERN: f64 = 0.25;
pub(crate) const NEW_LIST: u64 = 10;
pub(crate) const NEW_MAP: u64 = 30;
pub(crate) const NEW_OBJECT: u64 = 40;

/// The least and the most there may be: of characters, items or entries, or of cost. Sums and products saturate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The least.
    pub min: u64,
    /// The most.
    pub max: u64,
}

impl Range {
    pub(crate) const UNKNOWN: Range = Range::new(0, u64::MAX);
    pub(crate) const ZERO: Range = Range::exactly(0);
    pub(crate) const ONE: Range = Range::exactly(1);

    pub(crate) const fn new(min: u64, max: u64) -> Self {
        Range { min, max }
    }

    pub(crate) const fn exactly(n: u64) -> Self {
        Range { min: n, max: n }
    }

    pub(crate) fn plus(self, other: Range) -> Self {
        Range::new(
            self.min.saturating_add(other.min),
            self.max.saturating_add(other.max),
        )
    }

    pub(crate) fn times(self, other: Range) -> Self {
        Range::new(
            self.min.saturating_mul(other.min),
            self.max.saturating_mul(other.max),
        )
    }

    /// Multiplied and rounded up.
    pub(crate) fn by(self, factor: f64) -> Self {
        Range::new(scaled(self.min, factor), scaled(self.max, factor))
    }

    pub(crate) fn union(self, other: Range) -> Self {
        Range::new(self.min.min(other.min), self.max.max(other.max))
    }
}

/// A product, rounded up.
pub(crate) fn scaled(n: u64, factor: f64) -> u64 {
    // Casts saturate.
    (n as f64 * factor).ceil() as u64
}

/// What a call is estimated to cost, but for its arguments.
pub(crate) struct Estimate {
    pub(crate) cost: Range,
    /// How large the result is, if that is known.
    pub(crate) result: Option<Range>,
}

impl Estimate {
    pub(crate) fn of(cost: Range) -> Self {
        Estimate { cost, result: None }
    }

    pub(crate) fn sized(cost: Range, result: Range) -> Self {
        Estimate {
            cost,
            result: Some(result),
        }
    }
}

/// A part of an expression whose size matters.
pub(crate) struct Node<'e> {
    pub(crate) expr: Option<&'e Expr>,
    pub(crate) path: Vec<SmolStr>,
    pub(crate) type_: Type,
    pub(crate) size: Option<Range>,
}

/// A call as its cost is estimated.
pub(crate) struct Call<'e> {
    pub(crate) target: Option<Node<'e>>,
    pub(crate) args: Vec<Node<'e>>,
    pub(crate) sizes: &'e Sizes,
}

impl Call<'_> {
    /// The size of a part, taken from its declaration if the expression does not tell.
    pub(crate) fn size(&self, node: &Node<'_>) -> Range {
        node.size
            .or_else(|| self.sizes.of(&node.path))
            .unwrap_or(Range::UNKNOWN)
    }

    pub(crate) fn arg(&self, index: usize) -> Range {
        self.args.get(index).map_or(Range::UNKNOWN, |arg| self.size(arg))
    }

    pub(crate) fn target(&self) -> Range {
        self.target
            .as_ref()
            .map_or(Range::UNKNOWN, |target| self.size(target))
    }

    /// The size of an argument, as far as the expression alone tells.
    pub(crate) fn known(&self, index: usize) -> Range {
        self.args
            .get(index)
            .and_then(|arg| arg.size)
            .unwrap_or(Range::UNKNOWN)
    }

    pub(crate) fn known_target(&self) -> Range {
        self.target
            .as_ref()
            .and_then(|target| target.size)
            .unwrap_or(Range::UNKNOWN)
    }

    /// The number an argument is written as; negative ones count as zero.
    pub(crate) fn literal(&self, index: usize) -> Option<u64> {
        match self.args.get(index)?.expr?.kind {
            Kind::Literal(Literal::Int(i)) => Some(i.max(0) as u64),
            _ => None,
        }
    }

    /// The type and the size of the target's items, if it is a list.
    pub(crate) fn items(&self) -> Option<(Type, Range)> {
        let target = self.target.as_ref()?;
        let type_ = (*target.type_.params().first()?).clone();
        let mut path = target.path.clone();
        if !path.is_empty() {
            path.push("@items".into());
        }
        Some((type_, self.sizes.of(&path).unwrap_or(Range::UNKNOWN)))
    }
}

/// What a function costs.
#[derive(Clone, Copy)]
pub(crate) struct Rule {
    /// What a call did cost. Arguments of a call that failed may be missing.
    pub(crate) counted: fn(args: &[Value<'_>], result: Option<&Value<'_>>) -> u64,
    pub(crate) estimated: fn(&Call<'_>) -> Estimate,
    /// Whether the cost is the same when it is open which signature of the function is called.
    pub(crate) by_name: bool,
}
