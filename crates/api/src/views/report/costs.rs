//! Costs under the column names of FOCUS 1.2 (FinOps Open Cost and Usage Specification): one row for each tenant, model, site and day in
//! which something was used.
//!
//! A row holds tokens of three prices, and each request is charged once over all of them. So no unit price makes its cost: the
//! columns of unit prices and SKU prices, which FOCUS wants filled, are empty.

use super::super::csv::{Cells, csv, text_cell};
use super::super::stamp;
use super::super::usage::won;
use madang_ledger::report::{Cell, Delivered};
use madang_types::{Micros, ProgrammeId, TenantId};
use std::collections::BTreeMap;

/// Who provides, publishes and bills.
const PROVIDER: &str = "Madang";
const DAY_US: i64 = 86_400_000_000;
/// The columns of FOCUS by name, then our own.
const NAMES: [&str; 45] = [
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingAccountType",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "ContractedUnitPrice",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "ListUnitPrice",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "RegionId",
    "RegionName",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "SkuId",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "SubAccountType",
    "Tags",
    "x_CachedTokens",
    "x_EnergyMillijoules",
    "x_OutputTokens",
    "x_Requests",
    "x_UncachedTokens",
];

/// The table of a month whose days begin `offset_s` seconds east of UTC. `programme_of` says who pays for a tenant; who is of no
/// programme pays itself.
pub(crate) fn costs_csv(
    rows: &BTreeMap<Cell, Delivered>,
    (span, offset_s): ((Micros, Micros), i32),
    programme_of: impl Fn(&TenantId) -> Option<ProgrammeId>,
) -> String {
    let used = rows
        .iter()
        .filter(|(_, delivered)| delivered.sums.tokens() > 0 || delivered.sums.cost.0 != 0);
    let cells = used.map(|(cell, delivered)| {
        let programme = programme_of(&cell.tenant);
        cells((cell, delivered), (span, offset_s), programme.as_ref())
    });
    csv(&NAMES, cells)
}

fn cells(
    (cell, delivered): (&Cell, &Delivered),
    ((begins, ends), offset_s): ((Micros, Micros), i32),
    programme: Option<&ProgrammeId>,
) -> Cells {
    let tenant = text_cell(cell.tenant.as_str());
    let name = |id: Option<&str>| text_cell(id.unwrap_or_default());
    let model = name(cell.model.as_ref().map(|id| id.as_str()));
    let site = name(cell.site.as_ref().map(|id| id.as_str()));
    let (account, account_type) = match programme {
        Some(programme) => (text_cell(programme.as_str()), "Programme"),
        None => (tenant.clone(), "Tenant"),
    };
    let of = cell.model.as_ref().map(|model| format!(" of {model}"));
    let of = of.unwrap_or_default();
    let sums = &delivered.sums;
    let day = cell.day * DAY_US - i64::from(offset_s) * 1_000_000;
    let (billed, list, tokens) = (
        won(delivered.charged()),
        won(sums.cost),
        sums.tokens().to_string(),
    );
    let word = str::to_owned;
    vec![
        billed.clone(),
        account.clone(),
        account,
        word(account_type),
        word("KRW"),
        second(ends),
        second(begins),
        word("Usage"),
        String::new(),
        format!("Tokens{of} at {site}"),
        word("Usage-Based"),
        second(Micros(day + DAY_US)),
        second(Micros(day)),
        tokens.clone(),
        word("Tokens"),
        list.clone(),
        String::new(),
        billed,
        word(PROVIDER),
        list,
        String::new(),
        word("Standard"),
        tokens,
        word("Tokens"),
        word(PROVIDER),
        word(PROVIDER),
        site.clone(),
        site,
        model.clone(),
        model.clone(),
        word("Model"),
        word("AI and Machine Learning"),
        word("Inference"),
        word("Generative AI"),
        model,
        String::new(),
        tenant.clone(),
        tenant,
        word("Tenant"),
        tags(programme),
        sums.cached_tokens.to_string(),
        sums.energy.0.to_string(),
        sums.output_tokens.to_string(),
        sums.requests.to_string(),
        sums.uncached_tokens.to_string(),
    ]
}

/// Tags are an object of JSON; the provider's own have its prefix.
fn tags(programme: Option<&ProgrammeId>) -> String {
    match programme {
        Some(programme) => {
            serde_json::json!({ "madang/programme": programme.as_str() }).to_string()
        }
        None => "{}".into(),
    }
}

/// An instant as FOCUS writes them: ISO 8601 in UTC, to the second. Months and days begin at whole seconds.
fn second(at: Micros) -> String {
    format!("{:.0}", stamp(at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_ledger::report::Sums;
    use madang_types::MicroWon;

    #[test]
    fn a_row_is_a_day_of_a_tenant() {
        let cell = Cell {
            tenant: "hanbit".parse().unwrap(),
            model: Some("LGAI/EXAONE-4.0:32b".parse().unwrap()),
            site: Some("pohang".parse().unwrap()),
            day: 20_513,
        };
        let delivered = Delivered {
            sums: Sums {
                requests: 2,
                uncached_tokens: 10,
                cached_tokens: 3,
                output_tokens: 7,
                cost: MicroWon(12_000_001),
                ..Sums::default()
            },
            cost_in_tokens: MicroWon(2_000_000),
            unmetered_requests: 0,
        };
        let nothing = Cell {
            day: 20_514,
            ..cell.clone()
        };
        let rows = [(cell, delivered), (nothing, Delivered::default())].into();
        let march = (Micros(1_772_290_800_000_000), Micros(1_774_969_200_000_000));
        let table = costs_csv(&rows, (march, 32_400), |_| {
            Some("startups-2026".parse().unwrap())
        });
        let mut reader = csv::Reader::from_reader(table.as_bytes());
        let names = reader.headers().unwrap().clone();
        let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 1, "{table}");
        let check = |name: &str, expected: &str| {
            let place = names.iter().position(|column| column == name).unwrap();
            assert_eq!(&rows[0][place], expected, "{name}");
        };
        check("BilledCost", "10.000001");
        check("EffectiveCost", "10.000001");
        check("ListCost", "12.000001");
        check("BillingPeriodStart", "2026-02-28T15:00:00Z");
        check("BillingPeriodEnd", "2026-03-31T15:00:00Z");
        check("ChargePeriodStart", "2026-02-28T15:00:00Z");
        check("ChargePeriodEnd", "2026-03-01T15:00:00Z");
        check("ConsumedQuantity", "20");
        check("BillingAccountId", "startups-2026");
        check("SubAccountId", "hanbit");
        check(
            "ChargeDescription",
            "Tokens of LGAI/EXAONE-4.0:32b at pohang",
        );
        check("RegionId", "pohang");
        check("SkuId", "LGAI/EXAONE-4.0:32b");
        check("SkuPriceId", "");
        check("Tags", r#"{"madang/programme":"startups-2026"}"#);
        check("x_UncachedTokens", "10");
        check("x_Requests", "2");
    }
}
