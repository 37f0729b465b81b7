//! Memory that running requests will need at once. Each is predicted to need the most at its own end, and they do not end together.

/// What a running request holds, and how many tokens it has yet to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ahead {
    pub left_tokens: u64,
    pub held_tokens: u64,
}

/// The most that they will hold together, each making as many tokens in a given time: it is when one of them ends. By then whoever
/// ends later has made as many tokens more, and whoever ends sooner has left.
pub(crate) fn needed_at_once(running: &mut [Ahead]) -> u64 {
    running.sort_unstable_by(|one, other| other.cmp(one));
    let (mut held, mut most) = (0_u64, 0_u64);
    for (count, request) in (1_u64..).zip(running) {
        held = held.saturating_add(request.held_tokens);
        most = most.max(held.saturating_add(count.saturating_mul(request.left_tokens)));
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_is_held_when_one_of_them_ends() {
        let needed = |running: &[(u64, u64)]| {
            let each = running.iter().map(|(left_tokens, held_tokens)| Ahead {
                left_tokens: *left_tokens,
                held_tokens: *held_tokens,
            });
            needed_at_once(&mut each.collect::<Vec<_>>())
        };
        assert_eq!(needed(&[]), 0);
        // Those that began together end together.
        assert_eq!(needed(&[(100, 50), (100, 50)]), 300);
        // One of 100 and 100 ends now, when the other has half of its answer.
        assert_eq!(needed(&[(0, 200), (50, 150)]), 350);
        // The first ends soon; the second alone needs more at its own end.
        assert_eq!(needed(&[(10, 100), (500, 100)]), 600);
        // Evenly spread over their answers they hold what they hold now.
        assert_eq!(needed(&[(0, 140), (10, 130), (20, 120), (30, 110)]), 500);
    }
}
