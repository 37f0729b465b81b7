-- What gateways noted of sites' energy in spans that are not booked yet. A row goes once its span is in the ledger.
CREATE TABLE energy_notes (
    until_us BIGINT NOT NULL, -- the end of the span
    from_us  BIGINT NOT NULL,
    site     TEXT COLLATE "C" NOT NULL,
    gateway  TEXT COLLATE "C" NOT NULL,
    note     TEXT NOT NULL, -- JSON
    PRIMARY KEY (until_us, from_us, site, gateway)
);
