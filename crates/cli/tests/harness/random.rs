//! Random choices that a seed repeats.

/// SplitMix64.
pub struct Random(u64);

impl Random {
    /// From `MADANG_TEST_SEED`, else from the system; the seed is printed, which a failed test shows.
    pub fn new() -> Self {
        let given = std::env::var("MADANG_TEST_SEED")
            .ok()
            .map(|text| text.parse().expect("MADANG_TEST_SEED is a number"));
        let seed = given.unwrap_or_else(|| getrandom::u64().expect("the system has randomness"));
        println!("MADANG_TEST_SEED={seed}");
        Self(seed)
    }

    /// Below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
