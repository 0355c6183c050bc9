//! Calls that stand for longer expressions: `has`, `all`, `map` and their kin.

use crate::ast::{Call, Comprehension, Expr, Id, Kind, List, Literal, Select, operators as op};
use crate::parser::Nodes;
use smol_str::SmolStr;

/// The name of the accumulator; nobody can write it.
pub(crate) const ACCUMULATOR: &str = "@result";
/// A loop over nothing has this variable.
const UNUSED: &str = "#unused";
const SORT_INPUT: &str = "@__sortBy_input__";

/// Why a macro cannot be expanded, and where.
pub(crate) struct MacroError {
    pub(crate) at: usize,
    pub(crate) message: String,
}

type Expanded = Result<Expr, MacroError>;

/// The call itself, or what it stands for if its name and arguments are a macro's.
pub(crate) fn expand(
    nodes: &mut Nodes,
    at: usize,
    name: &str,
    target: Option<Expr>,
    mut args: Vec<Expr>,
) -> Expanded {
    let mut make = Maker { nodes, at };
    let Some(target) = target else {
        if name == "has" && args.len() == 1 {
            return make.has(args.remove(0));
        }
        return Ok(make.call(name, args));
    };
    match (name, args.len()) {
        ("all" | "exists" | "exists_one", 2 | 3) | ("existsOne", 3) => make.quantifier(name, target, args),
        ("map", 2 | 3) => make.map(target, args),
        ("filter", 2) => make.filter(target, args),
        ("transformList" | "transformMap" | "transformMapEntry", 3 | 4) => make.transform(name, target, args),
        ("optMap" | "optFlatMap", 2) => make.optional_map(name, target, args),
        ("sortBy", 2) => make.sort_by(target, args),
        ("bind", 3) if make.nodes.binds && matches!(&target.kind, Kind::Ident(name) if name == "cel") => {
            make.named(args)
        }
        _ => Ok(make.node(Kind::Call(Box::new(Call {
            function: name.into(),
            target: Some(target),
            args,
        })))),
    }
}

struct Maker<'n> {
    nodes: &'n mut Nodes,
    at: usize,
}

/// The parts of a loop, but for its range and result.
struct Fold {
    variable: SmolStr,
    second: Option<SmolStr>,
    initial: Expr,
    condition: Expr,
    step: Expr,
}

impl Maker<'_> {
    fn node(&mut self, kind: Kind) -> Expr {
        self.nodes.node(self.at, kind)
    }

    fn call(&mut self, name: &str, args: Vec<Expr>) -> Expr {
        self.node(Kind::Call(Box::new(Call {
            function: name.into(),
            target: None,
            args,
        })))
    }

    fn method(&mut self, name: &str, target: Expr, args: Vec<Expr>) -> Expr {
        self.node(Kind::Call(Box::new(Call {
            function: name.into(),
            target: Some(target),
            args,
        })))
    }

    fn ident(&mut self, name: &str) -> Expr {
        self.node(Kind::Ident(name.into()))
    }

    fn accumulator(&mut self) -> Expr {
        self.ident(ACCUMULATOR)
    }

    fn literal(&mut self, literal: Literal) -> Expr {
        self.node(Kind::Literal(literal))
    }

    fn list(&mut self, elements: Vec<Expr>) -> Expr {
        self.node(Kind::List(List {
            elements,
            optional: Vec::new(),
        }))
    }

    fn fail<R>(&self, id: Id, message: impl Into<String>) -> Result<R, MacroError> {
        Err(MacroError {
            at: self.nodes.place(id),
            message: message.into(),
        })
    }

    fn comprehension(&mut self, range: Expr, fold: Fold, result: Expr) -> Expr {
        self.node(Kind::Comprehension(Box::new(Comprehension {
            range,
            variable: fold.variable,
            second: fold.second,
            accumulator: ACCUMULATOR.into(),
            initial: fold.initial,
            condition: fold.condition,
            step: fold.step,
            result,
        })))
    }

    /// Gives a value a name within an expression.
    fn bind(&mut self, name: SmolStr, value: Expr, within: Expr) -> Expr {
        let range = self.list(Vec::new());
        let condition = self.literal(Literal::Bool(false));
        let step = self.ident(&name);
        self.node(Kind::Comprehension(Box::new(Comprehension {
            range,
            variable: UNUSED.into(),
            second: None,
            accumulator: name,
            initial: value,
            condition,
            step,
            result: within,
        })))
    }

    fn copy(&mut self, expr: &Expr) -> Expanded {
        if self.nodes.are_many() {
            return self.fail(expr.id, "expression is too large");
        }
        let mut copy = expr.clone();
        renumber(self.nodes, &mut copy);
        Ok(copy)
    }

    fn has(&mut self, arg: Expr) -> Expanded {
        match arg.kind {
            Kind::Select(select) => Ok(self.node(Kind::Select(Box::new(Select {
                test: true,
                ..*select
            })))),
            _ => self.fail(arg.id, "invalid argument to has() macro"),
        }
    }

    fn variable(&self, arg: &Expr, message: &str) -> Result<SmolStr, MacroError> {
        match &arg.kind {
            Kind::Ident(name) => Ok(name.clone()),
            _ => self.fail(arg.id, message),
        }
    }

    fn not_accumulator(&self, arg: &Expr, name: &str) -> Result<(), MacroError> {
        match name {
            "__result__" | ACCUMULATOR => {
                self.fail(arg.id, "iteration variable overwrites accumulator variable")
            }
            _ => Ok(()),
        }
    }

    /// The one or two variables that `args` begins with, which are taken from it.
    fn variables(
        &self,
        args: &mut Vec<Expr>,
        count: usize,
    ) -> Result<(SmolStr, Option<SmolStr>), MacroError> {
        const SIMPLE: &str = "argument must be a simple name";
        let first = self.variable(&args[0], SIMPLE)?;
        let second = match count {
            2 => Some(self.variable(&args[1], SIMPLE)?),
            _ => None,
        };
        if second.as_ref() == Some(&first) {
            return self.fail(args[1].id, format!("duplicate variable name: {first}"));
        }
        self.not_accumulator(&args[0], &first)?;
        if let Some(second) = &second {
            self.not_accumulator(&args[1], second)?;
        }
        args.drain(..count);
        Ok((first, second))
    }

    fn quantifier(&mut self, name: &str, target: Expr, mut args: Vec<Expr>) -> Expanded {
        let count = args.len() - 1;
        let (variable, second) = self.variables(&mut args, count)?;
        let predicate = args.remove(0);
        let (initial, condition, step, result);
        match name {
            "all" => {
                initial = self.literal(Literal::Bool(true));
                let so_far = self.accumulator();
                condition = self.call(op::NOT_STRICTLY_FALSE, vec![so_far]);
                let so_far = self.accumulator();
                step = self.call(op::AND, vec![so_far, predicate]);
                result = self.accumulator();
            }
            "exists" => {
                initial = self.literal(Literal::Bool(false));
                let so_far = self.accumulator();
                let not = self.call(op::NOT, vec![so_far]);
                condition = self.call(op::NOT_STRICTLY_FALSE, vec![not]);
                let so_far = self.accumulator();
                step = self.call(op::OR, vec![so_far, predicate]);
                result = self.accumulator();
            }
            _ => {
                initial = self.literal(Literal::Int(0));
                condition = self.literal(Literal::Bool(true));
                let (so_far, one) = (self.accumulator(), self.literal(Literal::Int(1)));
                let more = self.call(op::ADD, vec![so_far, one]);
                let so_far = self.accumulator();
                step = self.call(op::CONDITIONAL, vec![predicate, more, so_far]);
                let (count, one) = (self.accumulator(), self.literal(Literal::Int(1)));
                result = self.call(op::EQUALS, vec![count, one]);
            }
        }
        let fold = Fold {
            variable,
            second,
            initial,
            condition,
            step,
        };
        Ok(self.comprehension(target, fold, result))
    }

    /// A loop that gathers: `step` for each element, or for those the filter takes.
    fn gather(
        &mut self,
        range: Expr,
        variables: (SmolStr, Option<SmolStr>),
        initial: Expr,
        filter: Option<Expr>,
        mut step: Expr,
    ) -> Expr {
        let condition = self.literal(Literal::Bool(true));
        if let Some(filter) = filter {
            let unchanged = self.accumulator();
            step = self.call(op::CONDITIONAL, vec![filter, step, unchanged]);
        }
        let fold = Fold {
            variable: variables.0,
            second: variables.1,
            initial,
            condition,
            step,
        };
        let result = self.accumulator();
        self.comprehension(range, fold, result)
    }

    fn append(&mut self, element: Expr) -> Expr {
        let so_far = self.accumulator();
        let element = self.list(vec![element]);
        self.call(op::ADD, vec![so_far, element])
    }

    fn map(&mut self, target: Expr, mut args: Vec<Expr>) -> Expanded {
        let variable = self.variable(&args[0], "argument is not an identifier")?;
        self.not_accumulator(&args[0], &variable)?;
        let element = args.pop().expect("the arity is known");
        let filter = (args.len() == 2).then(|| args.remove(1));
        let initial = self.list(Vec::new());
        let step = self.append(element);
        Ok(self.gather(target, (variable, None), initial, filter, step))
    }

    fn filter(&mut self, target: Expr, mut args: Vec<Expr>) -> Expanded {
        let variable = self.variable(&args[0], "argument is not an identifier")?;
        self.not_accumulator(&args[0], &variable)?;
        let filter = args.pop().expect("the arity is known");
        let element = args.remove(0);
        let initial = self.list(Vec::new());
        let step = self.append(element);
        Ok(self.gather(target, (variable, None), initial, Some(filter), step))
    }

    fn transform(&mut self, name: &str, target: Expr, mut args: Vec<Expr>) -> Expanded {
        let (first, second) = self.variables(&mut args, 2)?;
        let made = args.pop().expect("the arity is known");
        let filter = args.pop();
        let initial = match name {
            "transformList" => self.list(Vec::new()),
            _ => self.node(Kind::Map(Vec::new())),
        };
        let step = match name {
            "transformList" => self.append(made),
            "transformMap" => {
                let (so_far, key) = (self.accumulator(), self.ident(&first));
                self.call(op::MAP_INSERT, vec![so_far, key, made])
            }
            _ => {
                let so_far = self.accumulator();
                self.call(op::MAP_INSERT, vec![so_far, made])
            }
        };
        Ok(self.gather(target, (first, second), initial, filter, step))
    }

    fn optional_map(&mut self, name: &str, target: Expr, mut args: Vec<Expr>) -> Expanded {
        let message = format!("{name}() variable name must be a simple identifier");
        let variable = self.variable(&args[0], &message)?;
        let made = args.remove(1);
        let again = self.copy(&target)?;
        let has_value = self.method("hasValue", target, Vec::new());
        let value = self.method("value", again, Vec::new());
        let mut bound = self.bind(variable, value, made);
        if name == "optMap" {
            bound = self.call("optional.of", vec![bound]);
        }
        let none = self.call("optional.none", Vec::new());
        Ok(self.call(op::CONDITIONAL, vec![has_value, bound, none]))
    }

    /// `cel.bind(name, value, within)`.
    fn named(&mut self, mut args: Vec<Expr>) -> Expanded {
        let name = self.variable(&args[0], "cel.bind() variable names must be simple identifiers")?;
        let within = args.remove(2);
        Ok(self.bind(name, args.remove(1), within))
    }

    fn sort_by(&mut self, target: Expr, args: Vec<Expr>) -> Expanded {
        if matches!(
            target.kind,
            Kind::Literal(_) | Kind::Map(_) | Kind::Struct(_) | Kind::Broken
        ) {
            return self.fail(
                target.id,
                "sortBy can only be applied to a list, identifier, comprehension, call or select expression",
            );
        }
        let input = self.ident(SORT_INPUT);
        let keys = self.map(input, args)?;
        let input = self.ident(SORT_INPUT);
        let sorted = self.method(op::SORT_BY_KEYS, input, vec![keys]);
        Ok(self.bind(SORT_INPUT.into(), target, sorted))
    }
}

/// Gives a copy nodes of its own, in the same places.
fn renumber(nodes: &mut Nodes, expr: &mut Expr) {
    expr.id = nodes.id(nodes.place(expr.id));
    match &mut expr.kind {
        Kind::Literal(_) | Kind::Ident(_) | Kind::Broken => {}
        Kind::Select(select) => renumber(nodes, &mut select.operand),
        Kind::Call(call) => {
            call.target.iter_mut().for_each(|e| renumber(nodes, e));
            call.args.iter_mut().for_each(|e| renumber(nodes, e));
        }
        Kind::List(list) => list.elements.iter_mut().for_each(|e| renumber(nodes, e)),
        Kind::Map(entries) => {
            for entry in entries {
                renumber(nodes, &mut entry.key);
                renumber(nodes, &mut entry.value);
            }
        }
        Kind::Struct(message) => {
            for field in &mut message.fields {
                field.id = nodes.id(nodes.place(field.id));
                renumber(nodes, &mut field.value);
            }
        }
        Kind::Comprehension(c) => {
            for part in [
                &mut c.range,
                &mut c.initial,
                &mut c.condition,
                &mut c.step,
                &mut c.result,
            ] {
                renumber(nodes, part);
            }
        }
    }
}
