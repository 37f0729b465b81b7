//! Links between our pages lead somewhere, down to the heading.

use super::Finding;
use super::dead_files::join;
use super::repo::{Repo, numbered};

pub fn check(repo: &Repo) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in repo.texts_ending(".md") {
        for (number, target) in links(text) {
            if let Some(text) = fault(repo, path, &target) {
                findings.push(Finding::new(path, number, text));
            }
        }
    }
    findings
}

/// Targets of `[…](target)` and `![…](target)` outside code, with their lines.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        for (at, _) in line.match_indices("](") {
            let rest = &line[at + 2..];
            let Some(end) = rest.find(')') else { continue };
            // [text](target "title")
            let target = rest[..end].split_whitespace().next().unwrap_or_default();
            found.push((number, target.trim_matches(['<', '>']).to_owned()));
        }
    }
    found
}

/// Lines outside fenced blocks, without their inline code.
fn prose(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut fenced = false;
    numbered(text).filter_map(move |(number, line)| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return None;
        }
        let outside = |line: &str| line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        (!fenced).then(|| (number, outside(line)))
    })
}

fn fault(repo: &Repo, path: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let full = match file {
        "" => path.to_owned(),
        file => match file.strip_prefix('/') {
            Some(file) => file.to_owned(),
            None => join(folder, file),
        },
    };
    if !repo.has(&full) {
        return Some(format!("the link leads nowhere: {target}"));
    }
    if anchor.is_empty() || !full.ends_with(".md") {
        return None;
    }
    let page = repo.text(&full)?;
    let found = headings(page).any(|heading| slug(&heading) == anchor)
        || page.contains(&format!("id=\"{anchor}\""));
    (!found).then(|| format!("{full} has no heading for #{anchor}"))
}

fn headings(page: &str) -> impl Iterator<Item = String> {
    let mut fenced = false;
    page.lines().filter_map(move |line| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        let heading = line.trim_start_matches('#');
        (!fenced && heading.len() < line.len() && heading.starts_with(' '))
            .then(|| heading.trim().to_owned())
    })
}

/// A heading's anchor, as the forges make it.
fn slug(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading
        .to_lowercase()
        .chars()
        .filter(kept)
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_links_are_found() {
        let repo = Repo::of(&[
            (
                "README.md",
                "# 첫 답\n[a](docs/a.md) [b](docs/b.md) [c](docs/a.md#two-words) [d](docs/a.md#three)\n[e](#첫-답) [f](https://x.org/y) [g](docs) `[h](no.md)`\n```\n[i](no.md)\n```\n![j](docs/j.svg \"title\")\n",
            ),
            (
                "docs/a.md",
                "# Two `words`\n[k](../README.md) [l](/README.md)\n",
            ),
        ]);
        let found: Vec<String> = check(&repo).iter().map(ToString::to_string).collect();
        let expected = [
            "README.md:2: the link leads nowhere: docs/b.md",
            "README.md:2: docs/a.md has no heading for #three",
            "README.md:7: the link leads nowhere: docs/j.svg",
        ];
        assert_eq!(found, expected);
    }
}
