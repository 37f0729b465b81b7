//! Countries: sovereignty is decided on them, so a misspelt one is an error and not an unknown land.

use super::Check;
use crate::at::At;
use crate::problem::Report;
use crate::raw::Text;
use crate::shape::brief;
use madang_types::Country;

/// ISO 3166-1 alpha-2, the officially assigned codes.
const CODES: &str = "\
AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ \
CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR \
GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP \
KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT \
MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW \
SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ \
UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW";

impl Check<'_, '_> {
    /// A country code, checked.
    pub(super) fn country(&mut self, text: &Text) -> Option<Country> {
        self.country_at(text.as_ref()?)
    }

    pub(super) fn country_at(&mut self, at: &At<String>) -> Option<Country> {
        read(at, self.report)
    }
}

pub(super) fn is_code(word: &str) -> bool {
    word.len() == 2 && CODES.split(' ').any(|code| code == word)
}

/// A country code, checked.
pub(super) fn read(at: &At<String>, report: &mut Report<'_>) -> Option<Country> {
    if is_code(&at.value) {
        return at.value.parse().ok();
    }
    let upper = at.value.trim().to_ascii_uppercase();
    let meant = match upper.as_str() {
        "UK" => Some("GB"),
        "KO" | "KOR" | "KOREA" | "SOUTH KOREA" | "REPUBLIC OF KOREA" => Some("KR"),
        "JAPAN" | "JPN" => Some("JP"),
        "USA" | "UNITED STATES" => Some("US"),
        other => Some(other).filter(|word| is_code(word)),
    };
    let help = match meant {
        Some(code) => format!("write \"{code}\""),
        None => "two upper-case letters of ISO 3166-1, such as \"KR\"".into(),
    };
    let message = format!("\"{}\" is no country code", brief(&at.value));
    report
        .error("country_invalid", &at.span, message)
        .help(help);
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_list_is_complete_and_ordered() {
        let codes: Vec<&str> = CODES.split(' ').collect();
        assert_eq!(codes.len(), 249);
        assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), 249);
        assert!(codes.is_sorted());
    }
}
