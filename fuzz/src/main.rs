//! libFuzzer's entry. `GANTRY_FUZZ` names the target; `GANTRY_FUZZ_WORDS` a file to write its words to, for `-dict`.

#![no_main]

#[path = "../../crates/gantry-api/tests/fuzz/targets.rs"]
mod api;
#[path = "../../crates/gantry-apiserver/tests/fuzz/targets.rs"]
mod apiserver;
#[path = "../../crates/gantry-cel/tests/fuzz/targets.rs"]
mod cel;
mod harness;

use harness::Target;
use std::fmt::Write;
use std::sync::LazyLock;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("GANTRY_FUZZ").unwrap_or_default();
    let mut all = [api::TARGETS, apiserver::TARGETS, cel::TARGETS]
        .into_iter()
        .flatten();
    match all.clone().find(|target| target.name == name) {
        Some(target) => target,
        None => {
            all.by_ref().for_each(|target| println!("{}", target.name));
            std::process::exit(2);
        }
    }
});

/// The words as libFuzzer reads them.
fn write_words() {
    let Ok(file) = std::env::var("GANTRY_FUZZ_WORDS") else {
        return;
    };
    let mut dictionary = String::new();
    for word in TARGET.words {
        let escaped = word.bytes().fold(String::new(), |mut text, byte| {
            write!(text, "\\x{byte:02x}").expect("a string takes everything");
            text
        });
        writeln!(dictionary, "\"{escaped}\"").expect("a string takes everything");
    }
    std::fs::write(file, dictionary).expect("the file of words can be written");
}

libfuzzer_sys::fuzz_target!(
    init: {
        LazyLock::force(&TARGET);
        write_words();
    },
    |input: &[u8]| TARGET.feed(input)
);
