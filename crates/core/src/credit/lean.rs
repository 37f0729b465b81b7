//! Who leans on whom: credit is spent only out of the shares of those who owe, and only while they ask for more than theirs.

/// A tenant that is active in a pool.
#[derive(Clone, Copy, Debug)]
pub struct Claimant {
    /// Its part by weight, of all active.
    pub part: f64,
    /// What its part may become, in times itself: [`super::Credits::reach`], or 1 where it asks for no more than its part.
    pub reach: f64,
    /// What it asks for.
    pub asks: f64,
}

impl Claimant {
    fn gain(&self) -> f64 {
        let gain = self.part * (self.reach - 1.0);
        let needs = (self.asks - self.part).max(0.0);
        if gain > needs { needs } else { gain }
    }
}

/// Each claimant's part with credit counted; `None` where nothing moves. Their sum is that of the parts; whoever has neither
/// credit nor debt keeps its own.
pub fn leans(claimants: &[Claimant]) -> Option<Vec<f64>> {
    let (mut gains, mut gives) = (0.0, 0.0);
    for claimant in claimants {
        let gain = claimant.gain();
        if gain > 0.0 {
            gains += gain;
        } else {
            gives -= gain;
        }
    }
    if gains <= 0.0 || gives <= 0.0 {
        return None;
    }
    let moved = if gains < gives { gains } else { gives };
    let lean = |claimant: &Claimant| {
        let gain = claimant.gain();
        claimant.part + gain * moved / if gain > 0.0 { gains } else { gives }
    };
    Some(claimants.iter().map(lean).collect())
}
