//! Random choices from a seed.

use crate::Micros;

/// A seeded source of random choices.
#[derive(Clone, Debug)]
pub struct Dice(fastrand::Rng);

impl Dice {
    /// The same seed and stream give the same choices.
    pub fn new(seed: u64, stream: u64) -> Self {
        // Neighbouring seeds must not give similar choices.
        let mut rng = fastrand::Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ stream);
        rng.u64(..);
        Self(rng)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0.u64(low..=high.max(low))
    }

    /// A position in a list of this length, or 0 for an empty list.
    pub fn below(&mut self, length: usize) -> usize {
        if length == 0 { 0 } else { self.0.usize(..length) }
    }

    /// True this number of times in a thousand.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.0.u64(..1_000) < per_mille
    }

    /// Plus or minus this span.
    pub fn sign(&mut self, span: Micros) -> i64 {
        let span = i64::try_from(span).unwrap_or(i64::MAX);
        if self.0.bool() { span } else { -span }
    }

    /// One item of a list.
    pub fn pick<T: Copy>(&mut self, from: &[T], otherwise: T) -> T {
        let place = self.below(from.len());
        from.get(place).copied().unwrap_or(otherwise)
    }
}
