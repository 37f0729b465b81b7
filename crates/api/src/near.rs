//! The known name that was probably meant.

/// `; did you mean 'x'?` where a candidate is near, else nothing.
pub(crate) fn hint<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> String {
    let likeness = |c: &str| strsim::jaro_winkler(&word.to_lowercase(), &c.to_lowercase());
    candidates
        .into_iter()
        .map(|c| (likeness(c), c))
        .filter(|(score, _)| *score > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(a.1)))
        .map(|(_, c)| format!("; did you mean '{c}'?"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_near_names_are_offered() {
        let names = ["startups-2026", "public"];
        assert_eq!(
            hint("startup-2026", names),
            "; did you mean 'startups-2026'?"
        );
        assert_eq!(hint("zzz", names), "");
    }
}
