//! Rust files that no target reaches are not compiled, and rot.

use super::Finding;
use super::repo::Repo;
use std::collections::BTreeSet;
use syn::visit::{self, Visit};

pub fn check(repo: &Repo) -> Vec<Finding> {
    let mut reached = BTreeSet::new();
    for folder in repo.crates() {
        for (path, _) in repo.texts_ending(".rs") {
            if path
                .strip_prefix(folder)
                .is_some_and(|rest| is_root(rest.trim_start_matches('/')))
            {
                reach(repo, path, &mut reached);
            }
        }
    }
    let dead = repo
        .texts_ending(".rs")
        .filter(|(path, _)| !reached.contains(*path));
    dead.map(|(path, _)| Finding::new(path, 0, "no `mod` leads here: declare it or delete it"))
        .collect()
}

/// Whether cargo takes this file, relative to its package, for the root of a target.
fn is_root(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    matches!(
        parts.as_slice(),
        ["build.rs"]
            | ["src", "lib.rs" | "main.rs"]
            | ["src", "bin", _]
            | ["src", "bin", _, "main.rs"]
            | ["tests" | "benches" | "examples", _]
            | ["tests" | "benches" | "examples", _, "main.rs"]
    )
}

fn reach(repo: &Repo, path: &str, reached: &mut BTreeSet<String>) {
    let Some(text) = repo.text(path) else { return };
    if !reached.insert(path.to_owned()) {
        return;
    }
    // what does not parse is the sizes check's finding
    let Ok(file) = syn::parse_file(text) else {
        return;
    };
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let own = matches!(name, "mod.rs" | "lib.rs" | "main.rs") || is_root_of_target(path);
    let base = if own {
        folder.to_owned()
    } else {
        format!("{folder}/{}", name.trim_end_matches(".rs"))
    };
    let mut modules = Modules {
        base,
        folder: folder.to_owned(),
        candidates: Vec::new(),
    };
    modules.visit_file(&file);
    for candidate in modules.candidates {
        reach(repo, &candidate, reached);
    }
}

/// A root outside `src/lib.rs` and `src/main.rs`: its modules lie beside it.
fn is_root_of_target(path: &str) -> bool {
    let folder = path.rsplit('/').nth(1).unwrap_or_default();
    matches!(folder, "bin" | "tests" | "benches" | "examples") && !path.contains("/src/tests/")
}

struct Modules {
    /// Where the files of `mod x;` are looked for.
    base: String,
    /// Where `#[path]` and `include!` start.
    folder: String,
    candidates: Vec<String>,
}

impl<'ast> Visit<'ast> for Modules {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let name = item.ident.to_string();
        let name = name.trim_start_matches("r#");
        if item.content.is_some() {
            let outer = self.base.clone();
            self.base = format!("{outer}/{name}");
            visit::visit_item_mod(self, item);
            self.base = outer;
            return;
        }
        if let Some(path) = item.attrs.iter().find_map(path_attribute) {
            self.candidates.push(join(&self.folder, &path));
        }
        self.candidates.push(format!("{}/{name}.rs", self.base));
        self.candidates.push(format!("{}/{name}/mod.rs", self.base));
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        if item.path.is_ident("include")
            && let Ok(path) = item.parse_body::<syn::LitStr>()
        {
            self.candidates.push(join(&self.folder, &path.value()));
        }
    }
}

fn path_attribute(attribute: &syn::Attribute) -> Option<String> {
    let syn::Meta::NameValue(pair) = &attribute.meta else {
        return None;
    };
    let syn::Expr::Lit(syn::ExprLit {
        lit: syn::Lit::Str(text),
        ..
    }) = &pair.value
    else {
        return None;
    };
    pair.path.is_ident("path").then(|| text.value())
}

/// Joins and takes away `.` and `..`.
pub fn join(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_without_a_mod_are_found() {
        let repo = Repo::of(&[
            ("crates/a/Cargo.toml", ""),
            (
                "crates/a/src/lib.rs",
                "mod one; mod inline { mod two; } #[path = \"odd/name.rs\"] mod three;",
            ),
            ("crates/a/src/one.rs", "mod inner;"),
            ("crates/a/src/one/inner.rs", ""),
            ("crates/a/src/inline/two/mod.rs", "#[cfg(test)] mod tests;"),
            ("crates/a/src/inline/two/tests.rs", "include!(\"data.rs\");"),
            ("crates/a/src/inline/two/data.rs", ""),
            ("crates/a/src/odd/name.rs", ""),
            ("crates/a/src/bin/tool.rs", ""),
            ("crates/a/tests/black_box.rs", "mod common;"),
            ("crates/a/tests/common/mod.rs", ""),
            ("crates/a/src/dead.rs", "mod also_dead;"),
            ("crates/a/src/one/dead.rs", ""),
        ]);
        let found: Vec<String> = check(&repo)
            .into_iter()
            .map(|finding| finding.path)
            .collect();
        assert_eq!(found, ["crates/a/src/dead.rs", "crates/a/src/one/dead.rs"]);
    }
}
