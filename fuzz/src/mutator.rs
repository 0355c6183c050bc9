//! Inputs that nobody would write, for the tests that feed decoders with them.

/// Inputs grow to no more.
const LARGEST: usize = 4096;

/// Changes inputs at random, from a seed.
pub struct Mutator(u64);

impl Default for Mutator {
    fn default() -> Self {
        Mutator(0x9e37_79b9_7f4a_7c15)
    }
}

impl Mutator {
    /// xorshift64*, by Marsaglia and Vigna.
    fn number(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap_or_default() % below.max(1)
    }

    /// One of the seeds with pieces changed, moved and repeated, and some of the words put in.
    pub fn change(&mut self, seeds: &[&[u8]], words: &[&str]) -> Vec<u8> {
        let mut input = seeds[self.number(seeds.len())].to_vec();
        for _ in 0..=self.number(6) {
            let at = self.number(input.len() + 1);
            let end = (at + self.number(16)).min(input.len());
            match self.number(7) {
                0 if !input.is_empty() => {
                    let at = at.min(input.len() - 1);
                    input[at] ^= 1 << self.number(8);
                }
                1 => input.insert(at, [0, 0x7f, 0x80, 0xff, b'"', b'{', b'[', b'-'][self.number(8)]),
                2 => drop(input.drain(at..end)),
                3 => {
                    let piece = input[at..end].repeat(1 + self.number(20));
                    input.splice(at..at, piece);
                }
                4 => input.truncate(at),
                5 => {
                    let word = words[self.number(words.len())];
                    input.splice(at..end, word.bytes());
                }
                _ => {
                    let other = seeds[self.number(seeds.len())];
                    let from = self.number(other.len() + 1);
                    input.splice(at.., other[from..].iter().copied());
                }
            }
            input.truncate(LARGEST);
        }
        input
    }
}
