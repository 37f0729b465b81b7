//! Secrets stand in files of their own. What looks like one in the fleet file is refused without being repeated.

use super::Check;
use std::ops::Range;

/// How keys of well-known services begin.
const PREFIXES: [&str; 9] = [
    "sk-",
    "sk_",
    "mdg_",
    "hf_",
    "ghp_",
    "github_pat_",
    "xai-",
    "gsk_",
    "AIza",
];

/// Whether a text looks like a key rather than like a word or a path.
pub(super) fn looks_like_secret(text: &str) -> bool {
    let word = text.strip_prefix("Bearer ").unwrap_or(text);
    let long = word.len() >= 12 && !word.contains(['/', ' ']) && !word.ends_with(".key");
    long && (text.starts_with("Bearer ") || PREFIXES.iter().any(|p| word.starts_with(p)))
}

impl Check<'_, '_> {
    /// Refuses a secret in the text; true if it was one.
    pub(super) fn secret(&mut self, text: &str, span: &Range<usize>, remedy: &str) -> bool {
        // `--api-key=sk-…` and `https://sk-…@host` too.
        let found =
            looks_like_secret(text) || text.split(['=', '@', '/', ':']).any(looks_like_secret);
        if found {
            self.report
                .error(
                    "secret_inline",
                    span,
                    "this looks like a secret; secrets stand in files of their own",
                )
                .help(remedy);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_from_paths_and_words() {
        let check = |text: &str, expected: bool| {
            assert_eq!(looks_like_secret(text), expected, "{text}");
        };
        check("sk-proj-0123456789abcdef", true);
        check("Bearer 0123456789abcdef", true);
        check("hf_ABCDEFGHIJKLMNOP", true);
        check("secrets/openai.key", false);
        check("sk-team.key", false);
        check("sk-keys/openai", false);
        check("openai.key", false);
        check("sk-1", false);
    }
}
