//! Rows about budgets, allocations and prices.

use super::{ABSENT, EVERYBODY, FORBIDDEN, MANAGER_TOO, NO_SUCH_NAME, OPERATOR, Row, World, row};
use serde_json::json;

impl World {
    pub(super) fn money_rows(&self) -> Vec<Row> {
        let seen_by = [200, 200, 403, 403, 200];
        let until = "2100-01-01T00:00:00Z";
        let price = json!({"model": "m", "uncached": "350", "cached": "90", "output": "1400.5"});
        vec![
            row("GET /api/v1/budgets", seen_by),
            row("POST /api/v1/budgets", OPERATOR)
                .made()
                .body(json!({"programme": "ours", "amount": 2_000_000_000_i64})),
            row("GET /api/v1/allocations", EVERYBODY).filtered(),
            row("POST /api/v1/allocations", MANAGER_TOO)
                .made()
                .body(json!({"id": "more", "tenant": "alpha", "unit": "tokens", "amount": 5, "until": until}))
                .foreign_body(
                    "beta",
                    json!({"id": "other", "tenant": "beta", "amount": 5, "until": until}),
                    [NO_SUCH_NAME, FORBIDDEN, FORBIDDEN],
                ),
            row("GET /api/v1/allocations/{id}", EVERYBODY).object("alpha-2026", "beta-2026"),
            row("DELETE /api/v1/allocations/{id}", MANAGER_TOO).object("alpha-2026", "beta-2026"),
            row("GET /api/v1/programmes/{id}/report", seen_by)
                .object("ours", "theirs")
                .answers([ABSENT, FORBIDDEN, FORBIDDEN]),
            row("GET /api/v1/costs", EVERYBODY).filtered(),
            row("GET /api/v1/reports/energy", EVERYBODY).filtered(),
            row("GET /api/v1/reports/idle", EVERYBODY).filtered(),
            row("GET /api/v1/prices", EVERYBODY),
            row("POST /api/v1/prices", OPERATOR).made().body(price),
            row("GET /api/v1/accelerator-prices", EVERYBODY),
            row("POST /api/v1/accelerator-prices", OPERATOR)
                .made()
                .body(json!({"accelerator": "h200", "won_per_hour": "4500"})),
            row("GET /api/v1/exchanges", EVERYBODY),
            row("POST /api/v1/exchanges", OPERATOR)
                .made()
                .body(json!({"currency": "USD", "won": "1391.5"})),
        ]
    }
}
