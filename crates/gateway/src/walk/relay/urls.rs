//! What becomes of the URLs that a request names. Policy is asked about the host of each; images are fetched here and stand
//! in the body in place of their URLs. No engine of ours is given a URL, and others none that policy does not permit.

use super::Route;
use super::translate::reparsed;
use crate::audit::{Going, Visit};
use crate::fetch::{self, FetchError, Link};
use crate::gateway::Gateway;
use crate::refused::Refused;
use crate::snapshot::{Origin, Snapshot};
use crate::walk::classify::Ask;
use crate::walk::inspect::holds_personal_data;
use crate::walk::route;
use crate::walk::settle::unlogged;
use madang_core::{Denial, Grant, PolicyDecision};
use madang_fleet::Limits;
use madang_types::{ErrorCode, PolicyEffect, SiteId};
use madang_wire::RequestBody;
use madang_wire::urls::{ImageData, NamedUrl, named_urls, with_images};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

/// What to do about a host that nobody has listed.
const UNLISTED_REMEDY: &str = "Send the data itself, as a `data:` URL or in base64, or have the operator list the host as an [[origin]].";
/// What to do about a host that this data may not go to.
const DENIED_REMEDY: &str = "Send the data itself, as a `data:` URL or in base64, or name a host where this data class may go.";
/// Characters of a host that are repeated to whoever named it.
const HOST_CHARS_MAX: usize = 80;
/// A stop holds within a second: so often a fetch under way asks whether it still may.
const DECIDED_ANEW_MS: u64 = 250;

/// A URL whose host policy permits.
struct Permitted<'a> {
    named: &'a NamedUrl,
    link: Link,
    origin: &'a Origin,
    grant: Grant,
}

/// Who is asked, and for which attempt.
#[derive(Clone, Copy)]
pub(super) struct Errand<'a> {
    pub gateway: &'a Gateway,
    pub ask: &'a Ask,
    pub route: &'a Route,
}

/// The body as its engine may have it; `None` where it names no URL. `asked` is the caller's, masked where policy says so.
///
/// # Errors
/// Policy does not permit one of the hosts, an image was not had, or the audit log cannot be written.
pub(super) async fn replaced(
    errand: Errand<'_>,
    asked: &RequestBody,
) -> Result<Option<RequestBody>, Refused> {
    let is_masked = errand.route.start.grant.effect == PolicyEffect::Mask;
    // The caller's own body has been looked through.
    if !is_masked && !errand.ask.names_urls() {
        return Ok(None);
    }
    let urls = named_urls(asked);
    if urls.is_empty() {
        return Ok(None);
    }
    // Boxed: few requests name a URL, and all attempts would carry the room for it.
    Box::pin(errand.replace(&urls, asked)).await.map(Some)
}

impl Errand<'_> {
    async fn replace(self, urls: &[NamedUrl], asked: &RequestBody) -> Result<RequestBody, Refused> {
        let Self { ask, route, .. } = self;
        if let Some(message) = too_many(urls, &ask.snapshot.fleet.limits) {
            return Err(self.refused(ErrorCode::FieldInvalid, &message));
        }
        let is_masked = route.start.grant.effect == PolicyEffect::Mask;
        if is_masked && !same_urls(urls, &named_urls(&ask.body)) {
            // A placeholder would be asked for, or the value that it hides.
            return Err(personal());
        }
        let snapshot = self.gateway.snapshot();
        // All of them, before anything is asked for.
        let permitted: Vec<Permitted<'_>> = urls
            .iter()
            .map(|named| self.permit(&snapshot, named))
            .collect::<Result<_, _>>()?;
        let (images, others): (Vec<_>, Vec<_>) = permitted
            .iter()
            .partition(|permitted| permitted.named.is_image());
        for other in others {
            self.log(other).await?;
        }
        if images.is_empty() {
            return Ok(asked.clone());
        }
        // Once for each request: an attempt elsewhere sends what was fetched for the first.
        let fetched = ask
            .images
            .get_or_try_init(|| self.fetch_all(&images))
            .await?;
        let named = images.iter().map(|permitted| permitted.named);
        reparsed(with_images(asked, named.zip(fetched)), ask)
    }

    /// What policy says of a URL. What is no image goes to others only, if nobody can read it otherwise than we do.
    fn permit<'a>(
        self,
        snapshot: &'a Snapshot,
        named: &'a NamedUrl,
    ) -> Result<Permitted<'a>, Refused> {
        if self.route.target.own && !named.is_image() {
            let message = "only images are fetched for this model: send the data itself, in base64";
            return Err(self.refused(ErrorCode::FeatureUnsupported, message));
        }
        let link = link_of(named).ok_or_else(|| self.unlisted(None))?;
        let origin = snapshot.origins.get(&link.origin);
        let origin = origin.ok_or_else(|| self.unlisted(Some(&link)))?;
        let grant = self.decide(origin, &link)?;
        if grant.effect == PolicyEffect::Mask && holds_personal_data(&named.url) {
            return Err(personal());
        }
        Ok(Permitted {
            named,
            link,
            origin,
            grant,
        })
    }

    fn decide(self, origin: &Origin, link: &Link) -> Result<Grant, Refused> {
        let at = (&origin.location_id, &origin.place);
        let denial = match self.gateway.driver.grant_at(self.route.request, at) {
            Some(Ok(grant)) => return Ok(grant),
            Some(Err(denial)) => Some(denial),
            // The core knows the request no more: it was called off.
            None => None,
        };
        let message = format!("policy does not permit the host '{}'", shown(link));
        let refused = self.refused(ErrorCode::PolicyDenied, &message);
        Err(refused
            .denied(denial.into_iter().collect())
            .remedied(DENIED_REMEDY))
    }

    async fn log(self, permitted: &Permitted<'_>) -> Result<(), Refused> {
        let Self {
            gateway,
            ask,
            route,
        } = self;
        let Permitted {
            named,
            origin,
            grant,
            ..
        } = permitted;
        let going = Going {
            attempt: route.start.attempt,
            model: &route.start.model,
            location: origin.location(grant.zone),
            visit: Some(Visit {
                origin: &origin.id,
                bytes: u64::try_from(named.url.len()).unwrap_or(u64::MAX),
            }),
        };
        let logged = gateway.audit.allow((&ask.whose, &ask.facts), going, grant);
        logged.await.map_err(|error| unlogged(&error))
    }

    async fn fetch_all(self, images: &[&Permitted<'_>]) -> Result<Vec<ImageData>, Refused> {
        let limits = &self.ask.snapshot.fleet.limits;
        let until = Instant::now() + Duration::from_millis(limits.fetch_ms_max);
        let until = until.min(self.route.deadline);
        let mut left = limits.fetch_bytes_max;
        let mut fetched = Vec::with_capacity(images.len());
        for image in images {
            self.log(image).await?;
            let fetching = timeout_at(until, self.fetch(image, left));
            let data = fetching.await.unwrap_or_else(|_| {
                let message = format!(
                    "the images were not had within limits.fetch_ms_max = {} ms",
                    limits.fetch_ms_max
                );
                Err(self.refused(ErrorCode::FieldInvalid, &message))
            })?;
            // Base64 makes four bytes of three.
            left = left.saturating_sub(u64::try_from(data.base64.len() / 4 * 3).unwrap_or(left));
            fetched.push(data);
        }
        Ok(fetched)
    }

    /// Fetches one image for as long as policy permits it.
    async fn fetch(self, image: &Permitted<'_>, bytes_max: u64) -> Result<ImageData, Refused> {
        let Permitted { link, origin, .. } = image;
        let from = (&origin.address, origin.reach);
        let mut fetching = Box::pin(fetch::image(
            &self.gateway.client,
            from,
            &link.target,
            bytes_max,
        ));
        let mut again = interval(Duration::from_millis(DECIDED_ANEW_MS));
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                fetched = &mut fetching => return fetched.map_err(|error| self.missed(link, error)),
                _ = again.tick() => drop(self.decide(origin, link)?),
            }
        }
    }

    fn missed(self, link: &Link, error: FetchError) -> Refused {
        let message = format!("an image at '{}' cannot be had: {error}", shown(link));
        self.refused(ErrorCode::FieldInvalid, &message)
    }

    /// Nobody says under which law the host is.
    fn unlisted(self, link: Option<&Link>) -> Refused {
        let what = match link {
            Some(link) => format!(
                "the host '{}' is in no [[origin]] of the fleet",
                shown(link)
            ),
            None => "a URL does not begin with http:// or https:// and a host, as an [[origin]] is written".to_owned(),
        };
        let denial = Denial {
            location: SiteId::new("unlisted").expect("letters are a name"),
            decision: PolicyDecision::unlisted(),
        };
        self.refused(ErrorCode::PolicyDenied, &what)
            .denied(vec![denial])
            .remedied(UNLISTED_REMEDY)
    }

    fn refused(self, code: ErrorCode, message: &str) -> Refused {
        let mut fields = ["messages", "input"].into_iter();
        let field = fields.find(|name| self.ask.body.has(name));
        Refused::new(code, message).at(field.unwrap_or("body"))
    }
}

fn same_urls(one: &[NamedUrl], other: &[NamedUrl]) -> bool {
    let (one, other) = (one.iter(), other.iter());
    one.map(|named| &named.url)
        .eq(other.map(|named| &named.url))
}

fn personal() -> Refused {
    let refused = route::unmasked();
    let message = "personal data may go there masked only, and a URL that holds some leads nowhere once it is masked";
    Refused {
        message: message.into(),
        ..refused
    }
}

/// What is wrong where a request names more URLs than it may.
pub(crate) fn too_many(urls: &[NamedUrl], limits: &Limits) -> Option<String> {
    let (count, max) = (urls.len(), limits.fetch_count_max);
    let most = usize::try_from(max).unwrap_or(usize::MAX);
    (count > most)
        .then(|| format!("the request names {count} URLs, limits.fetch_count_max is {max}"))
}

/// Where a URL leads; `None` where it is none of those whose hosts can be listed. What is no image goes to others, who must
/// not be able to read it otherwise than we do.
pub(crate) fn link_of(named: &NamedUrl) -> Option<Link> {
    Link::parse(&named.url).filter(|link| named.is_image() || link.is_spelled_out())
}

/// A host as it is repeated.
pub(crate) fn shown(link: &Link) -> String {
    link.origin.host.chars().take(HOST_CHARS_MAX).collect()
}
