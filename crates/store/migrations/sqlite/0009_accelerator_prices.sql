-- What an hour of one accelerator of a kind costs, from an instant on.
CREATE TABLE accelerator_prices (
    accelerator    TEXT    NOT NULL,
    site           TEXT    NOT NULL, -- empty: wherever no price of its own says otherwise
    starts_at      INTEGER NOT NULL,
    hour_micro_won INTEGER NOT NULL,
    PRIMARY KEY (accelerator, site, starts_at)
) STRICT, WITHOUT ROWID;
