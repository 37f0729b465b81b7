//! Where data stands and what lies between: sites and programmes that are there, each said once.

use super::{Check, Row};
use crate::at::At;
use crate::model::{JobsData, JobsLink, JobsTerms};
use crate::shape::brief;
use madang_types::{ProgrammeId, SiteId};
use std::collections::BTreeSet;
use std::ops::Range;

/// Programmes that say what waiting is worth, and places of data.
const ROWS_MAX: usize = 256;
/// Links between sites.
const LINKS_MAX: usize = 1024;

impl Check<'_, '_> {
    /// All of it, where each row is by `row`.
    pub(super) fn data<'s>(
        &mut self,
        terms: &JobsTerms,
        table: &Range<usize>,
        row: impl Fn(&'s str, usize) -> Row<'s>,
    ) {
        let lists = [
            ("jobs.data", terms.data.len(), ROWS_MAX),
            ("jobs.waits", terms.waits.len(), ROWS_MAX),
            ("jobs.links", terms.links.len(), LINKS_MAX),
        ];
        for (list, _, most) in lists.into_iter().filter(|(_, count, most)| count > most) {
            let message = format!("there are more than {most} `{list}`");
            self.report.error("number_range", table, message);
        }
        let mut programmes = BTreeSet::new();
        for (number, wait) in terms.waits.iter().enumerate() {
            let row = row("jobs.waits", number);
            let programme = At {
                span: row.key("programme"),
                value: wait.programme.clone(),
            };
            self.reference("programme", &Some(programme), "programme", ProgrammeId::new);
            self.is_first(programmes.insert(&wait.programme), &wait.programme, row);
        }
        let mut prefixes = BTreeSet::new();
        for (number, data) in terms.data.iter().enumerate() {
            let row = row("jobs.data", number);
            self.data_place(data, row);
            self.is_first(prefixes.insert(&data.prefix), &data.prefix, row);
        }
        let mut pairs = BTreeSet::new();
        for (number, link) in terms.links.iter().enumerate() {
            let row = row("jobs.links", number);
            let pair: BTreeSet<&String> = link.sites.iter().collect();
            self.link(link, row);
            self.is_first(pairs.insert(pair), &link.sites.join(" and "), row);
        }
    }

    fn data_place(&mut self, data: &JobsData, row: Row<'_>) {
        let is_path = data.prefix.starts_with('/');
        if !is_path && !data.prefix.starts_with("https://") {
            let message = format!(
                "this begins no path and no URL: \"{}\"",
                brief(&data.prefix)
            );
            let entry = self
                .report
                .error("path_invalid", &row.key("prefix"), message);
            entry.help("for example \"/data/corpus\" or \"https://data.example.kr/\"; of a bucket its [[jobs.bucket]] says `site`");
        }
        if data.sites.is_empty() {
            let message = "it stands at no site: `sites` is empty";
            let entry = self.report.error("missing_key", &row.key("sites"), message);
            entry.help("name the sites where it stands, or take the row out");
        }
        for site in &data.sites {
            self.site_of(site, "sites", row);
        }
    }

    fn link(&mut self, link: &JobsLink, row: Row<'_>) {
        let is_pair = matches!(link.sites.as_slice(), [one, other] if one != other);
        if !is_pair {
            let message = "a link lies between two sites";
            let entry = self
                .report
                .error("terms_invalid", &row.key("sites"), message);
            entry.help("write sites = [\"pohang\", \"busan\"]");
        }
        for site in &link.sites {
            self.site_of(site, "sites", row);
        }
    }

    /// A site that is there.
    pub(super) fn site_of(&mut self, site: &str, key: &'static str, row: Row<'_>) {
        let site = At {
            span: row.key(key),
            value: site.to_owned(),
        };
        self.reference(key, &Some(site), "site", SiteId::new);
    }

    fn is_first(&mut self, is_first: bool, name: &str, row: Row<'_>) {
        if !is_first {
            let message = format!("`{}` has \"{}\" twice", row.list, brief(name));
            let entry = self.report.error("id_duplicate", &row.span(), message);
            entry.help("take one of them out");
        }
    }
}
