// SPDX-License-Identifier: Apache-2.0
//! Latency counts in bins whose width grows with the value: 64 bins per power of two, so at most 1/64 of error.

const SUB_BITS: u32 = 6;
const SUB: usize = 1 << SUB_BITS;
const BINS: usize = SUB * (64 - SUB_BITS as usize + 1);

/// A histogram of nanoseconds.
#[derive(Debug, Clone)]
pub struct Histogram {
    bins: Vec<u64>,
    count: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { bins: vec![0; BINS], count: 0, max: 0 }
    }
}

fn bin(value: u64) -> usize {
    if value < SUB as u64 {
        return value as usize;
    }
    let shift = value.ilog2() - SUB_BITS;
    (shift as usize + 1) * SUB + (value >> shift) as usize - SUB
}

/// The largest value that falls into bin `index`.
fn top(index: usize) -> u64 {
    if index < SUB {
        return index as u64;
    }
    let shift = (index / SUB - 1) as u32;
    let next = (index % SUB + SUB) as u128 + 1;
    u64::try_from((next << shift) - 1).unwrap_or(u64::MAX)
}

impl Histogram {
    /// Counts one value.
    pub fn add(&mut self, value: u64) {
        self.bins[bin(value)] += 1;
        self.count += 1;
        self.max = self.max.max(value);
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The largest value, exactly.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The value that `fraction` of all values do not exceed; 0 when nothing was counted.
    pub fn quantile(&self, fraction: f64) -> u64 {
        #[allow(clippy::cast_precision_loss, clippy::cast_sign_loss)]
        let wanted = ((self.count as f64 * fraction).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, n) in self.bins.iter().enumerate() {
            seen += n;
            if seen >= wanted {
                return top(index).min(self.max);
            }
        }
        self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_lies_in_its_bin() {
        for value in (0..100_000).chain([u64::MAX, u64::MAX / 2, 1 << 40, (1 << 40) + 1]) {
            let index = bin(value);
            assert!(index < BINS);
            assert!(top(index) >= value);
            assert!(index == 0 || top(index - 1) < value);
        }
    }

    #[test]
    fn quantiles_are_within_a_sixty_fourth() {
        let mut histogram = Histogram::default();
        for value in 1..=100_000 {
            histogram.add(value);
        }
        for (fraction, exact) in [(0.5, 50_000), (0.9, 90_000), (0.99, 99_000), (0.999, 99_900), (1.0, 100_000)] {
            let found = histogram.quantile(fraction);
            assert!(found >= exact && found - exact <= exact / 64, "{fraction}: {found}");
        }
    }

    #[test]
    fn an_empty_histogram_has_no_latency() {
        assert_eq!(Histogram::default().quantile(0.5), 0);
    }
}
