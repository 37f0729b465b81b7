//! What happened in the worlds that were played.

/// What happened in a world: a run of many in which something never happened tests nothing of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub served: usize,
    pub refused: u64,
    /// Runs that began after a crash.
    pub crashes: u32,
    /// Entries that came to the bank more than once.
    pub repeated: u64,
    /// Orders for parts that had not come yet.
    pub early: u64,
    pub given_up: u32,
    /// Parts in suspense that were released, and entries that came after that.
    pub releases: u64,
    pub after_release: u64,
    /// Requests that cost more than they were promised: what the tenant owes, what nobody pays.
    pub owed: usize,
    pub forgiven: usize,
}

impl Tally {
    pub fn add(&mut self, other: &Self) {
        self.served += other.served;
        self.refused += other.refused;
        self.crashes += other.crashes;
        self.repeated += other.repeated;
        self.early += other.early;
        self.given_up += other.given_up;
        self.releases += other.releases;
        self.after_release += other.after_release;
        self.owed += other.owed;
        self.forgiven += other.forgiven;
    }

    pub fn is_complete(&self) -> bool {
        let counts = [self.served, self.owed, self.forgiven];
        let events = [
            self.refused,
            self.repeated,
            self.early,
            self.releases,
            self.after_release,
            self.crashes.into(),
            self.given_up.into(),
        ];
        !counts.contains(&0) && !events.contains(&0)
    }
}
