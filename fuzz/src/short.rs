//! A short run for the tests of a crate: the corpus, and what comes of it when it is changed at random, the same way every
//! time. Guided by coverage is only the fuzzer.

#[path = "mutator.rs"]
pub mod mutator;

use crate::harness::Target;
use mutator::Mutator;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Decoders must do with the stack that the server's threads have.
const STACK: usize = 2 << 20;

/// The inputs kept for a target, in order.
pub fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(name);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    let inputs: Vec<_> = paths
        .into_iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    assert!(!inputs.is_empty(), "{} has no inputs", folder.display());
    inputs
}

/// Feeds each target with its corpus, and with so many changed inputs.
pub fn run(targets: &'static [Target], rounds: usize) {
    let fed: Vec<_> = targets
        .iter()
        .map(|target| {
            let thread = std::thread::Builder::new().stack_size(STACK);
            thread.spawn(move || feed(target, rounds)).unwrap()
        })
        .collect();
    for (target, thread) in targets.iter().zip(fed) {
        assert!(thread.join().is_ok(), "{} failed: see above", target.name);
    }
}

fn feed(target: &Target, rounds: usize) {
    let bears = |input: &[u8]| {
        let caught = catch_unwind(AssertUnwindSafe(|| target.feed(input)));
        let shown = String::from_utf8_lossy(input);
        assert!(
            caught.is_ok(),
            "{} does not bear {shown:?} {input:?}",
            target.name
        );
    };
    let corpus = corpus(target.name);
    let seeds: Vec<&[u8]> = corpus.iter().map(Vec::as_slice).collect();
    seeds.iter().for_each(|seed| bears(seed));
    let mut mutator = Mutator::default();
    for _ in 0..rounds {
        let input = mutator.change(&seeds, target.words);
        bears(&input);
    }
}
