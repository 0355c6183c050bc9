//! Decoders fed with what nobody would write. None may panic or take much, and what is read must be written and read again
//! alike.

#[path = "../../../../fuzz/src/harness.rs"]
mod harness;
#[path = "../../../../fuzz/src/short.rs"]
mod short;
mod targets;

#[test]
fn decoders_bear_everything() {
    short::run(targets::TARGETS, 1_500);
}
