//! One bucket that jobs may name.

use super::{Check, Row};
use crate::check::url::BaseUrl;
use crate::model::JobsBucket;
use crate::shape::brief;

/// What stands for the job's tenant in a prefix.
const TENANT: &str = "{tenant}";

impl Check<'_, '_> {
    pub(super) fn bucket(&mut self, before: &[JobsBucket], bucket: &JobsBucket, row: Row<'_>) {
        let name = brief(&bucket.name);
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c);
        if !(3..=63).contains(&bucket.name.len()) || !bucket.name.chars().all(plain) {
            let message = format!("this is no name of a bucket: \"{name}\"");
            let entry = self.report.error("name_invalid", &row.key("name"), message);
            entry.help("3 to 63 of: small letters, digits, `.` and `-`");
        }
        let twice =
            |other: &JobsBucket| (&other.name, &other.prefix) == (&bucket.name, &bucket.prefix);
        if before.iter().any(twice) {
            let message = format!("the bucket \"{name}\" with that prefix is there twice");
            let entry = self.report.error("id_duplicate", &row.key("name"), message);
            entry.help("give one of them another `prefix`, or take it out");
        }
        match BaseUrl::parse(&bucket.endpoint) {
            Ok(BaseUrl::Http { path, .. }) if path.is_empty() => {}
            Ok(_) => {
                let message = "a store's address is a host, with nothing after it";
                let entry = self
                    .report
                    .error("url_invalid", &row.key("endpoint"), message);
                entry.help("for example \"https://s3.example.kr\"; the bucket is `name`");
            }
            Err(fault) => {
                let entry = self
                    .report
                    .error("url_invalid", &row.key("endpoint"), fault.message);
                entry.help(fault.remedy);
            }
        }
        for (key, file) in [
            ("access_key_file", &bucket.access_key_file),
            ("secret_key_file", &bucket.secret_key_file),
        ] {
            let remedy = "write it into a file that Madang's user alone reads, and name that file";
            self.secret(&file.display().to_string(), &row.key(key), remedy);
        }
        if let Some(site) = &bucket.site {
            self.site_of(site, "site", row);
        }
        if bucket.prefix.starts_with('/') || bucket.prefix.replace(TENANT, "").contains(['{', '}'])
        {
            let message = format!(
                "this begins no key of an object: \"{}\"",
                brief(&bucket.prefix)
            );
            let entry = self
                .report
                .error("path_invalid", &row.key("prefix"), message);
            entry.help("for example \"jobs/{tenant}/\"");
        }
    }
}
