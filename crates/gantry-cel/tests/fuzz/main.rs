//! Expressions that nobody would write. None may panic or take much.

#[path = "../../../../fuzz/src/harness.rs"]
mod harness;
#[path = "../../../../fuzz/src/short.rs"]
mod short;
mod targets;

#[test]
fn expressions_are_borne() {
    short::run(targets::TARGETS, 10_000);
}
