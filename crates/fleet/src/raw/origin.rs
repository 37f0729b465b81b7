//! Hosts that URLs in requests may name, as written.

use super::policy::ZONES;
use super::{ASSURANCES, Text, Texts, words};
use crate::at::At;
use schemars::JsonSchema;
use serde::Deserialize;

/// A host that URLs in requests may name: at one of our sites (`site`), or run by others, with the facts of its place.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawOrigin {
    /// Its name.
    #[schemars(required)]
    pub id: Text,
    /// Scheme and host, with the port where it is not the scheme's: `https://images.example.kr`. Of `http://` nothing is encrypted.
    #[schemars(required)]
    pub url: Text,
    /// The site of ours where it stands: it is that place to the policy, and may have a private address.
    pub site: Text,
    /// Country where it stands; unknown counts as the worst.
    #[schemars(extend("pattern" = "^[A-Z]{2}$"))]
    pub country: Text,
    /// Country of the operator's seat.
    #[schemars(extend("pattern" = "^[A-Z]{2}$"))]
    pub operator_country: Text,
    /// Kind of ground, seen from the policy's home country. It counts only where `tls_ends_in`, and `stored_in` and `abuse_logs_in` (or `zero_retention`), are given too and all at home; else the host counts as `foreign`.
    #[schemars(extend("enum" = ZONES))]
    pub zone: Text,
    /// What it is certified for: `csap_high`, `csap_mid`, `csap_low`, `nis_verified`, `isms_p`, `iso_27001`.
    #[schemars(extend("items" = words(ASSURANCES)))]
    pub assurance: Texts,
    /// Countries where it keeps what it is asked for.
    pub stored_in: Texts,
    /// Countries where TLS may end.
    pub tls_ends_in: Texts,
    /// Countries where logs against abuse are kept.
    pub abuse_logs_in: Texts,
    /// How long logs against abuse are kept, in days.
    #[schemars(range(min = 0, max = 36_500))]
    pub abuse_log_days: Option<At<u32>>,
    /// Nothing of a request is kept once it is answered.
    #[schemars(extend("default" = false))]
    pub zero_retention: Option<At<bool>>,
    /// Day on which somebody last verified these facts, as `2026-11-26`.
    pub verified_on: Text,
    /// Who receives what it is asked for, with a contact, for reports of transfers abroad.
    pub recipient: Text,
    /// What the recipient uses it for.
    pub purpose: Text,
    /// How long the recipient keeps it.
    pub retention: Text,
}
