//! No file longer than 500 lines (800 for tests), no function longer than 70 or with more than 5 parameters. A test's
//! function may be long: it is a table.

use super::Finding;
use super::repo::Repo;
use proc_macro2::Span;
use syn::visit::{self, Visit};

const FILE_LINES_MAX: usize = 500;
const TEST_FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;
const PARAMETERS_MAX: usize = 5;

pub fn check(repo: &Repo) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in repo.texts_ending(".rs") {
        let lines = text.lines().count();
        let max = if is_test(path) {
            TEST_FILE_LINES_MAX
        } else {
            FILE_LINES_MAX
        };
        if lines > max {
            let text = format!("{lines} lines, at most {max}: split it by what its parts do");
            findings.push(Finding::new(path, 0, text));
        }
        match syn::parse_file(text) {
            Ok(file) => {
                let mut functions = Functions {
                    path,
                    text,
                    findings: &mut findings,
                    trait_impl: false,
                };
                functions.visit_file(&file);
            }
            Err(error) => {
                let line = error.span().start().line;
                findings.push(Finding::new(path, line, format!("not Rust: {error}")));
            }
        }
    }
    findings
}

fn is_test(path: &str) -> bool {
    path.split('/').any(|part| part == "tests") || path.ends_with("tests.rs")
}

struct Functions<'a> {
    path: &'a str,
    text: &'a str,
    findings: &'a mut Vec<Finding>,
    /// Parameters of a trait's function are its own choice, not the impl's.
    trait_impl: bool,
}

impl Functions<'_> {
    fn function(
        &mut self,
        attributes: &[syn::Attribute],
        signature: &syn::Signature,
        block: Option<&syn::Block>,
    ) {
        let name = &signature.ident;
        let line = name.span().start().line;
        let parameters = signature.inputs.len();
        if parameters > PARAMETERS_MAX
            && !self.trait_impl
            && !expected(attributes, "too_many_arguments")
        {
            let text = format!(
                "`{name}` has {parameters} parameters, at most {PARAMETERS_MAX}: put what belongs together in a struct"
            );
            self.findings.push(Finding::new(self.path, line, text));
        }
        let lines = block.map_or(0, |block| {
            self.code_lines(
                block.brace_token.span.open(),
                block.brace_token.span.close(),
            )
        });
        if lines > FUNCTION_LINES_MAX
            && !is_test_function(attributes)
            && !expected(attributes, "too_many_lines")
        {
            let text = format!(
                "`{name}` has {lines} lines, at most {FUNCTION_LINES_MAX}: give its steps names"
            );
            self.findings.push(Finding::new(self.path, line, text));
        }
    }

    /// Lines between the braces that are neither empty nor comments, as clippy counts.
    fn code_lines(&self, open: Span, close: Span) -> usize {
        let (first, last) = (open.start().line, close.end().line);
        let inner = last.saturating_sub(first + 1);
        let lines = self.text.lines().skip(first).take(inner);
        lines
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with("//"))
            .count()
    }
}

/// Whether `#[test]`, `#[tokio::test]` or the like stands on it.
fn is_test_function(attributes: &[syn::Attribute]) -> bool {
    let last = |attribute: &syn::Attribute| {
        attribute
            .path()
            .segments
            .last()
            .map(|segment| segment.ident.clone())
    };
    attributes
        .iter()
        .filter_map(last)
        .any(|name| name == "test")
}

/// Whether `#[expect(clippy::LINT, reason = …)]` stands on it.
fn expected(attributes: &[syn::Attribute], lint: &str) -> bool {
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else {
            return false;
        };
        list.path.is_ident("expect") && list.tokens.to_string().contains(lint)
    })
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.attrs, &item.sig, Some(&item.block));
        visit::visit_item_fn(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let outer = std::mem::replace(&mut self.trait_impl, item.trait_.is_some());
        visit::visit_item_impl(self, item);
        self.trait_impl = outer;
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.attrs, &item.sig, Some(&item.block));
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        self.function(&item.attrs, &item.sig, item.default.as_ref());
        visit::visit_trait_item_fn(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_functions_many_parameters_and_long_files_are_found() {
        let long = format!("// head\nfn long() {{\n{}}}\n", "    call();\n".repeat(71));
        let just = format!(
            "fn just() {{\n{}{}}}\n",
            "    call();\n".repeat(70),
            "    // why\n\n".repeat(9)
        );
        let expected = format!("#[expect(clippy::too_many_lines, reason = \"r\")]\n{long}");
        let table = format!(
            "#[tokio::test(flavor = \"multi_thread\")]\nasync {}",
            long.trim_start_matches("// head\n")
        );
        let many = "fn six(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8) {}\nimpl T for S { fn t(&self, b: u8, c: u8, d: u8, e: u8, f: u8) {} }\n";
        let file = "// line\n".repeat(501);
        let repo = Repo::of(&[
            ("a.rs", &long),
            ("b.rs", &just),
            ("c.rs", &expected),
            ("c2.rs", &table),
            ("d.rs", many),
            ("e.rs", &file),
            ("tests/f.rs", &file),
            ("g.rs", "fn ("),
        ]);
        let found: Vec<String> = check(&repo).iter().map(ToString::to_string).collect();
        let starts = [
            "a.rs:2: `long` has 71",
            "d.rs:1: `six` has 6",
            "e.rs: 501 lines",
            "g.rs:1: not Rust",
        ];
        assert_eq!(found.len(), starts.len(), "{found:?}");
        for (found, start) in found.iter().zip(starts) {
            assert!(found.starts_with(start), "{found}");
        }
    }
}
