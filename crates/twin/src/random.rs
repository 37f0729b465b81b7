//! Random numbers that are the same everywhere: PCG with a named seed, and the few distributions that experiments need.

/// PCG-XSL-RR 128/64 (O'Neill 2014).
#[derive(Clone, Copy, Debug)]
pub struct Random(u128);

const MULTIPLIER: u128 = 0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645;
const INCREMENT: u128 = 0x5851_F42D_4C95_7F2D_1405_7B7E_F767_814F;

impl Random {
    /// The stream of that seed and purpose: streams of one seed do not depend on how much another one drew.
    pub fn new(seed: u64, purpose: u64) -> Self {
        let mut random = Self(
            (u128::from(seed) << 64) | u128::from(purpose.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
        );
        for _ in 0..4 {
            random.bits();
        }
        random
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT);
        let rotation = u32::try_from(self.0 >> 122).unwrap_or(0);
        let low = |value: u128| u64::try_from(value & u128::from(u64::MAX)).unwrap_or(0);
        (low(self.0 >> 64) ^ low(self.0)).rotate_right(rotation)
    }

    /// In [0, 1).
    pub fn unit(&mut self) -> f64 {
        const STEPS: f64 = 9_007_199_254_740_992.0; // 2^53
        let bits = self.bits() >> 11;
        let whole = bits as f64;
        whole / STEPS
    }

    /// Below `bound`, which is far below 2^64.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.bits() % bound.max(1)
    }

    /// Time to the next of events that come `per_second` on average, in nanoseconds (exponential).
    pub fn gap_ns(&mut self, per_second: f64) -> u64 {
        (self.exponential() / per_second.max(1e-12) * 1e9) as u64
    }

    /// Exponential, with the mean 1.
    pub fn exponential(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }

    /// Normal, with the mean 0 and the standard deviation 1 (Box and Muller's transform).
    pub fn normal(&mut self) -> f64 {
        let radius = (2.0 * self.exponential()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}
