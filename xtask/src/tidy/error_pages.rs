//! Every error code has its page and every page its code: `docs/errors/<code>.md`, listed in its README.

use super::Finding;
use super::repo::Repo;
use madang_types::ErrorCode;

const FOLDER: &str = "docs/errors/";

/// What a page must say.
struct Entry<'a> {
    code: &'a str,
    status: u16,
    kind: &'a str,
    remedy: &'a str,
}

pub fn check(repo: &Repo) -> Vec<Finding> {
    let entries: Vec<Entry<'_>> = ErrorCode::ALL
        .iter()
        .map(|code| Entry {
            code: code.as_str(),
            status: code.status(),
            kind: code.kind(),
            remedy: code.remedy(),
        })
        .collect();
    pages(repo, &entries)
}

fn pages(repo: &Repo, entries: &[Entry<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let index_path = format!("{FOLDER}README.md");
    let index = repo.text(&index_path).unwrap_or_default();
    for entry in entries {
        let path = format!("{FOLDER}{}.md", entry.code);
        match repo.text(&path) {
            None => findings.push(Finding::new(
                &path,
                0,
                "the code has no page: write it as the others are",
            )),
            Some(page) => findings.extend(
                lacks(page, entry)
                    .into_iter()
                    .map(|text| Finding::new(&path, 0, text)),
            ),
        }
        let row = index
            .lines()
            .find(|line| line.contains(&format!("]({}.md)", entry.code)));
        if !row.is_some_and(|row| row.contains(&entry.status.to_string())) {
            let text = format!(
                "no row with the link to {}.md and the status {}",
                entry.code, entry.status
            );
            findings.push(Finding::new(&index_path, 0, text));
        }
    }
    for (path, _) in repo.texts().filter(|(path, _)| path.starts_with(FOLDER)) {
        let name = path.trim_start_matches(FOLDER).trim_end_matches(".md");
        if name != "README" && !entries.iter().any(|entry| entry.code == name) {
            findings.push(Finding::new(
                path,
                0,
                "no code has this name (crates/types/src/code.rs): delete the page",
            ));
        }
    }
    findings
}

fn lacks(page: &str, entry: &Entry<'_>) -> Vec<String> {
    // a line end inside the remedy is as good as a space
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let flat = words(page);
    let mut lacks = Vec::new();
    if !page.starts_with(&format!("# {}\n", entry.code)) {
        lacks.push(format!("the title is not `# {}`", entry.code));
    }
    let status = format!("HTTP {}", entry.status);
    let kind = format!("`{}`", entry.kind);
    let in_json = format!("\"code\": \"{}\"", entry.code);
    for (what, text) in [
        ("status", &status),
        ("type", &kind),
        ("example's code", &in_json),
    ] {
        if !page.contains(text.as_str()) {
            lacks.push(format!("the {what} is not on the page: {text}"));
        }
    }
    if !flat.contains(&words(entry.remedy)) {
        lacks.push(format!(
            "the remedy is not on the page word for word: {}",
            entry.remedy
        ));
    }
    lacks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_wrong_and_orphaned_pages_are_found() {
        let entries =
            [("good", 400), ("absent", 404), ("wrong", 500)].map(|(code, status)| Entry {
                code,
                status,
                kind: "server_error",
                remedy: "Do this, then that.",
            });
        let repo = Repo::of(&[
            (
                "docs/errors/good.md",
                "# good\n\nHTTP 400 · `server_error`\n\n{\"code\": \"good\"}\n\nDo this,\nthen that.\n",
            ),
            (
                "docs/errors/wrong.md",
                "# wrong\n\nHTTP 400 · `server_error`\n{\"code\": \"wrong\"}\nDo that.\n",
            ),
            ("docs/errors/orphan.md", "# orphan\n"),
            (
                "docs/errors/README.md",
                "| [good](good.md) | 400 |\n| [absent](absent.md) | 404 |\n| [wrong](wrong.md) | 400 |\n",
            ),
        ]);
        let found: Vec<String> = pages(&repo, &entries)
            .iter()
            .map(ToString::to_string)
            .collect();
        let starts = [
            "docs/errors/absent.md: the code has no page",
            "docs/errors/wrong.md: the status is not",
            "docs/errors/wrong.md: the remedy is not",
            "docs/errors/README.md: no row with the link to wrong.md",
            "docs/errors/orphan.md: no code has this name",
        ];
        assert_eq!(found.len(), starts.len(), "{found:?}");
        for (found, start) in found.iter().zip(starts) {
            assert!(found.starts_with(start), "{found}");
        }
    }
}
