//! Chance from a seed, so that what failed once fails again.

/// A small generator (SplitMix64).
pub struct Random(u64);

impl Random {
    /// The generator of these numbers: the same ones give the same.
    pub fn of(numbers: &[u64]) -> Self {
        let mut random = Self(0);
        for number in numbers {
            random.0 ^= *number;
            random.0 = random.next();
        }
        random
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    pub fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    pub fn pick<'t, T>(&mut self, list: &'t [T]) -> &'t T {
        &list[self.below(list.len())]
    }

    /// A few of a list, at least one.
    pub fn some<'t>(&mut self, list: &[&'t str]) -> Vec<&'t str> {
        let mut some: Vec<&str> = list.iter().copied().filter(|_| self.one_in(3)).collect();
        if some.is_empty() {
            some.push(*self.pick(list));
        }
        some
    }

    pub fn digits(&mut self, length: usize) -> String {
        (0..length).map(|_| self.below(10).to_string()).collect()
    }
}
