//! Servers of a grid: reached safely, each for a site that is there.

use super::url::BaseUrl;
use super::{Check, rows, some_of};
use crate::at::At;
use crate::model::Vtn;
use crate::shape::brief;
use std::collections::BTreeMap;
use std::ops::Range;

impl Check<'_, '_> {
    pub(super) fn vtns(&mut self) -> Vec<Vtn> {
        let raw = self.raw;
        let mut ids = BTreeMap::new();
        for At { value, span } in rows(&raw.vtn) {
            if let Some(first) = ids.insert(value.id.as_str(), span) {
                let message = format!("the VTN \"{}\" is there twice", brief(&value.id));
                let entry = self.report.error("id_duplicate", span, message);
                entry
                    .help("give one of the two another id")
                    .related(first, "first here");
            }
            self.vtn(value, span);
        }
        let vtns = rows(&raw.vtn).map(|row| Vtn {
            client_secret_file: row
                .value
                .client_secret_file
                .as_ref()
                .map(|path| self.base_dir.join(path)),
            ..row.value.clone()
        });
        vtns.collect()
    }

    fn vtn(&mut self, vtn: &Vtn, span: &Range<usize>) {
        let sites = self.index.table("site");
        if !sites.contains_key(vtn.site.as_str()) {
            let message = format!(
                "the VTN is for no site that is there: \"{}\"",
                brief(&vtn.site)
            );
            let help = format!("there are: {}", some_of(sites.keys()));
            let entry = self.report.error("reference_unknown", span, message);
            entry.help(help);
        }
        for url in [Some(&vtn.url), vtn.token_url.as_ref()]
            .into_iter()
            .flatten()
        {
            self.vtn_url(url, vtn.client_secret_file.is_some(), span);
        }
        let has_id = vtn.client_id.is_some();
        let lonely = [
            ("client_id", has_id && vtn.client_secret_file.is_none()),
            (
                "client_secret_file",
                !has_id && vtn.client_secret_file.is_some(),
            ),
            ("token_url", !has_id && vtn.token_url.is_some()),
            ("scope", !has_id && vtn.scope.is_some()),
        ];
        for (key, _) in lonely.into_iter().filter(|(_, is_lonely)| *is_lonely) {
            let message = format!("`{key}` does nothing alone");
            let entry = self.report.error("key_without_effect", span, message);
            entry.help("a token is asked for with `client_id` and `client_secret_file`: name both");
        }
        if vtn.simple_cut_milli.windows(2).any(|two| two[0] > two[1]) {
            let message = "a higher level of `simple_cut_milli` cuts less than a lower one";
            let entry = self.report.error("number_range", span, message);
            entry.help("name what levels 1, 2 and 3 cut, in this order");
        }
    }

    fn vtn_url(&mut self, url: &str, with_secret: bool, span: &Range<usize>) {
        // Not quoted: what stands before an `@` may be a password.
        let wrong = |message: &str, remedy: String| (message.to_owned(), remedy);
        let (code, (message, remedy)) = match BaseUrl::parse(url) {
            Ok(BaseUrl::Unix(_)) => (
                "url_invalid",
                wrong(
                    "a VTN is reached by http:// or https://",
                    "for example \"https://vtn.example.kr/openadr3/3.1.0\"".to_owned(),
                ),
            ),
            Ok(base) if with_secret && !base.keeps_secrets() => (
                "key_without_tls",
                wrong(
                    "the client's secret would go unencrypted",
                    "use https://; http:// does on this very machine alone".to_owned(),
                ),
            ),
            Ok(_) => return,
            Err(fault) if url.contains('@') => (
                "url_invalid",
                wrong(
                    fault.message,
                    "take them out and use `client_id` and `client_secret_file`".to_owned(),
                ),
            ),
            Err(fault) => ("url_invalid", wrong(fault.message, fault.remedy)),
        };
        self.report.error(code, span, message).help(remedy);
    }
}
