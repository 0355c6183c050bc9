//! A compiled expression.

use crate::cost::Range;
use crate::error::Error;
use crate::eval::{Evaluation, Slot};
use crate::plan::Plan;
use crate::types::Type;
use crate::value::Value;
use smol_str::SmolStr;
use std::fmt;

/// A compiled expression. It can be evaluated any number of times, from any thread.
pub struct Program {
    plan: Plan,
    cost: Range,
    output: Type,
    uses: Vec<SmolStr>,
}

/// What came of an evaluation.
#[derive(Debug)]
pub struct Outcome<'a> {
    /// The value, or why there is none.
    pub result: Result<Value<'a>, Error>,
    /// What the evaluation did cost. If that is more than it was allowed, `result` is an error.
    pub cost: u64,
}

impl Program {
    pub(crate) fn new(plan: Plan, cost: Range, output: Type, uses: Vec<SmolStr>) -> Self {
        Program {
            plan,
            cost,
            output,
            uses,
        }
    }

    /// Evaluates the expression with the values of the environment's variables, in the order in which these were
    /// declared. A value that is an error, such as [`Value::declared`] may give, is one only for expressions that look at
    /// it. The evaluation ends when it has cost more than `limit`, which usually is [`crate::limits::PER_CALL`].
    pub fn eval<'a, V>(&'a self, variables: V, limit: u64) -> Outcome<'a>
    where
        V: IntoIterator<Item = Result<Value<'a>, Error>>,
    {
        let mut slots = Vec::with_capacity(self.plan.slots);
        slots.extend(variables.into_iter().take(self.plan.variables).map(Slot::Known));
        slots.resize(self.plan.slots, Slot::Unset);
        let mut evaluation = Evaluation {
            slots,
            cost: 0,
            limit,
        };
        let result = evaluation.eval(&self.plan.root);
        Outcome {
            result,
            cost: evaluation.cost,
        }
    }

    /// What an evaluation costs at least and at most, by the largest data that is declared.
    pub fn estimated_cost(&self) -> Range {
        self.cost
    }

    /// The type of the value.
    pub fn output(&self) -> &Type {
        &self.output
    }

    /// Whether the expression names a variable.
    pub fn uses(&self, variable: &str) -> bool {
        self.uses.iter().any(|name| name == variable)
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program")
            .field("output", &self.output)
            .field("cost", &self.cost)
            .field("uses", &self.uses)
            .finish_non_exhaustive()
    }
}
