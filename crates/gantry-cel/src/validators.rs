//! What is wrong with constants in an expression whose types are right. Source: cel-go's cel/validator.go.

use crate::ast::{Expr, Kind, Literal};
use crate::checker::Checked;
use crate::issue::Reports;
use crate::library;
use crate::types::Type;
use crate::value::{Timestamp, time};
use gantry_formats::Pattern;

/// Reports durations, times, patterns and formats that are none, and lists and maps of mixed types.
pub(crate) fn validate(root: &Expr, places: &[usize], checked: &Checked, reports: &mut Reports) {
    let mut validator = Validator {
        places,
        checked,
        reports,
    };
    root.walk(&mut |expr| validator.constant(expr));
    validator.mixed(root, false);
    root.walk(&mut |expr| {
        library::check_format(expr, checked, &mut |id, message| {
            validator.reports.add(Some(places[id as usize]), message);
        })
    });
}

struct Validator<'v> {
    places: &'v [usize],
    checked: &'v Checked,
    reports: &'v mut Reports,
}

impl Validator<'_> {
    fn constant(&mut self, expr: &Expr) {
        let Kind::Call(call) = &expr.kind else {
            return;
        };
        let Some(arg) = call.args.first() else {
            return;
        };
        let Kind::Literal(literal) = &arg.kind else {
            return;
        };
        let good = match (call.function.as_str(), literal) {
            ("duration", Literal::String(text)) => time::parse_duration(text).is_some(),
            ("duration", Literal::Int(_)) => false,
            ("timestamp", Literal::String(text)) => {
                Timestamp::parse(text).is_some_and(|t| time::in_range(&t))
            }
            ("timestamp", Literal::Int(seconds)) => Timestamp::of_seconds(*seconds).is_ok(),
            ("matches", Literal::String(pattern)) => Pattern::check(pattern).is_ok(),
            _ => true,
        };
        if !good {
            let place = self.places[arg.id as usize];
            self.reports
                .add(Some(place), format!("invalid {} argument", call.function));
        }
    }

    /// Elements of lists and maps must be of one type, but for the arguments of `format`.
    fn mixed(&mut self, expr: &Expr, exempt: bool) {
        let exempt = exempt || matches!(&expr.kind, Kind::Call(call) if call.function == "format");
        expr.for_children(&mut |child| self.mixed(child, exempt));
        if exempt {
            return;
        }
        match &expr.kind {
            Kind::List(list) => {
                let mut first: Option<Type> = None;
                for (i, element) in list.elements.iter().enumerate() {
                    let type_ = self.element(element, list.optional.contains(&i));
                    match &first {
                        None => first = Some(type_),
                        Some(wanted) if !wanted.same(&type_, true) => {
                            let wanted = wanted.clone();
                            self.report(element, &wanted, &type_);
                            break;
                        }
                        Some(_) => {}
                    }
                }
            }
            Kind::Map(entries) => {
                let mut first: Option<(Type, Type)> = None;
                for entry in entries {
                    let key = self.element(&entry.key, false);
                    let value = self.element(&entry.value, entry.optional);
                    let Some((wanted_key, wanted_value)) = first.clone() else {
                        first = Some((key, value));
                        continue;
                    };
                    if !wanted_key.same(&key, true) {
                        self.report(&entry.key, &wanted_key, &key);
                    }
                    if !wanted_value.same(&value, true) {
                        self.report(&entry.value, &wanted_value, &value);
                    }
                }
            }
            _ => {}
        }
    }

    fn element(&self, expr: &Expr, optional: bool) -> Type {
        let type_ = self.checked.type_of(expr.id);
        let inner = if optional { type_.unwrap_optional() } else { None };
        inner.unwrap_or(type_).clone()
    }

    fn report(&mut self, expr: &Expr, wanted: &Type, found: &Type) {
        let place = self.places[expr.id as usize];
        self.reports.add(
            Some(place),
            format!("expected type '{wanted}' but found '{found}'"),
        );
    }
}
