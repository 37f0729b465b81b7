//! Hosts that URLs in requests may name.

use super::url::BaseUrl;
use super::{Check, rows};
use crate::at::At;
use crate::model::{Origin, OriginAddress, PlaceFacts, Site};
use crate::raw::RawOrigin;
use crate::shape::brief;
use madang_types::{Place, SiteId};
use std::collections::BTreeMap;
use std::ops::Range;

/// Origins of a fleet: each is a place of the policy, and all places are worked out at each load.
const ORIGINS_MAX: usize = 1024;

impl<'c> Check<'c, '_> {
    pub(super) fn origin(
        &mut self,
        row: &At<RawOrigin>,
        sites: &BTreeMap<SiteId, Site>,
    ) -> Option<(SiteId, Origin)> {
        let raw = &row.value;
        let id = self.name(&raw.id, SiteId::new);
        let address = raw.url.as_ref().and_then(|at| self.origin_address(at));
        let (site, place, facts) = match &raw.site {
            Some(at) => self.of_site(raw, at, sites)?,
            None => {
                let (place, facts) = self.of_others(raw)?;
                (None, place, facts)
            }
        };
        let origin = Origin {
            address: address?,
            site,
            place,
            facts,
        };
        Some((id?, origin))
    }

    /// What stands at a site is that place: its facts are the site's.
    fn of_site(
        &mut self,
        raw: &RawOrigin,
        at: &At<String>,
        sites: &BTreeMap<SiteId, Site>,
    ) -> Option<(Option<SiteId>, Place, PlaceFacts)> {
        if let Some(span) = raw.own_fact() {
            self.report
                .error(
                    "choose_one",
                    span,
                    "the origin stands at a site, which has these facts",
                )
                .help("take this key out, or `site`")
                .related(&at.span, "the site");
            return None;
        }
        let id = self.reference("site", &raw.site, "site", SiteId::new)?;
        // Where it is not there, what is wrong with it was reported.
        let site = sites.get(&id)?;
        Some((Some(id), site.place.clone(), site.facts.clone()))
    }

    fn of_others(&mut self, raw: &RawOrigin) -> Option<(Place, PlaceFacts)> {
        let countries = (&raw.country, &raw.operator_country);
        let (place, facts) = self.others_place(countries, &raw.facts())?;
        // It uses what it is asked for where it stands.
        let inferred_in = place.country.into_iter().collect();
        Some((
            Place {
                inferred_in,
                ..place
            },
            facts,
        ))
    }

    fn origin_address(&mut self, at: &At<String>) -> Option<OriginAddress> {
        match self.base_url(at)?.1 {
            BaseUrl::Http {
                secure: tls,
                host,
                port,
                path,
            } if path.is_empty() => Some(OriginAddress { tls, host, port }),
            BaseUrl::Http { .. } | BaseUrl::Unix(_) => {
                let message = format!("\"{}\" is no scheme, host and port alone", brief(&at.value));
                self.report
                    .error("url_invalid", &at.span, message)
                    .help("for example \"https://images.example.kr\"; every path there is meant");
                None
            }
        }
    }

    /// One address is one place, and there are not too many of them.
    pub(super) fn origins_apart(&mut self) {
        let raw = self.raw;
        let mut seen: BTreeMap<String, &'c Range<usize>> = BTreeMap::new();
        for at in rows(&raw.origin).filter_map(|row| row.value.url.as_ref()) {
            let Ok(BaseUrl::Http {
                secure: tls,
                host,
                port,
                ..
            }) = BaseUrl::parse(&at.value)
            else {
                continue;
            };
            let address = OriginAddress { tls, host, port }.to_string();
            if let Some(first) = seen.get(&address) {
                self.report
                    .error("url_duplicate", &at.span, "two origins have the same url")
                    .help("one host is one place; take one of the two out")
                    .related(first, "first here");
            } else {
                seen.insert(address, &at.span);
            }
        }
        if let Some(row) = rows(&raw.origin).nth(ORIGINS_MAX) {
            let count = rows(&raw.origin).count();
            let message =
                format!("there are {count} origins, at most {ORIGINS_MAX} are worked out");
            self.report
                .error("number_range", &row.span, message)
                .help("list hosts of one kind behind one proxy of your own");
        }
    }
}
