//! The Common Expression Language as Kubernetes 1.36 runs it: its functions, its error messages, what it costs. Pure.
//!
//! Data is declared by a schema ([`Decl::of_schema`]) and read in place ([`Value::declared`]). An [`Env`] has the
//! variables of expressions; [`Env::compile`] checks one and makes a [`Program`] of it, and [`Program::eval`] evaluates it
//! and counts what that costs.
//!
//! An expression's way: `lexer` and `parser` make a tree (`ast`), in which `macros` have been expanded; `checker` finds
//! types and functions; `validators` look at constants; `plan` makes steps of the tree and `eval` takes them. Functions
//! are in `library/`, one file a library; to add one is to add an entry there.

mod ast;
mod checker;
mod cost;
mod decl;
mod env;
mod error;
mod escape;
mod eval;
mod issue;
mod lexer;
mod library;
pub mod limits;
mod macros;
mod parser;
mod plan;
mod program;
mod recovery;
mod schema;
mod source;
mod stack;
mod types;
mod unescape;
mod unify;
mod validators;
mod value;

pub use cost::Range;
pub use decl::Decl;
pub use env::{CompileError, Env};
pub use error::Error;
pub use escape::{escape, is_identifier, unescape};
pub use issue::{Issue, Issues};
pub use library::{Authorize, Authorizer, Decision, Made, Question};
pub use program::{Outcome, Program};
pub use types::{ObjectType, Type};
pub use value::{Key, List, Map, Object, Text, Timestamp, Value};
