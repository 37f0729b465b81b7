-- Who may spend how much, which gateway holds how much of it, what things cost, and what would be booked if a gateway died now.
-- As in ../sqlite/0005_bank.sql.

CREATE TABLE budgets (
    programme                  TEXT   COLLATE "C" NOT NULL,
    unit                       TEXT   COLLATE "C" NOT NULL,
    amount                     BIGINT NOT NULL,
    concentration_permille_max BIGINT NOT NULL,
    PRIMARY KEY (programme, unit)
);

CREATE TABLE allocations (
    id          TEXT    COLLATE "C" NOT NULL PRIMARY KEY,
    programme   TEXT    COLLATE "C" NOT NULL,
    tenant      TEXT    COLLATE "C" NOT NULL,
    unit        TEXT    COLLATE "C" NOT NULL,
    amount      BIGINT  NOT NULL,
    hard        BOOLEAN NOT NULL,
    starts_at   BIGINT  NOT NULL,
    until_at    BIGINT  NOT NULL,
    created_at  BIGINT  NOT NULL,
    recalled_at BIGINT
);

CREATE INDEX allocations_by_tenant ON allocations (tenant);
CREATE INDEX allocations_by_programme ON allocations (programme);

-- The latest run of each gateway. Earlier ones hold nothing.
CREATE TABLE runs (
    gateway  TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    epoch    BIGINT NOT NULL,
    begun_at BIGINT NOT NULL,
    seen_at  BIGINT NOT NULL
);

-- The last order of each of these runs about each purse, and what it moved.
CREATE TABLE leases (
    purse   TEXT   COLLATE "C" NOT NULL,
    gateway TEXT   COLLATE "C" NOT NULL,
    epoch   BIGINT NOT NULL,
    unit    TEXT   COLLATE "C" NOT NULL,
    number  BIGINT NOT NULL,
    moved   BIGINT NOT NULL,
    PRIMARY KEY (purse, gateway, epoch)
) WITH (fillfactor = 50);

CREATE INDEX leases_by_run ON leases (gateway, epoch);

CREATE TABLE prices (
    model     TEXT   COLLATE "C" NOT NULL,
    place     TEXT   COLLATE "C" NOT NULL, -- empty: wherever no price of its own says otherwise
    starts_at BIGINT NOT NULL,
    currency  TEXT   COLLATE "C" NOT NULL,
    uncached  BIGINT NOT NULL, -- millionths of the currency for a million tokens
    cached    BIGINT NOT NULL,
    output    BIGINT NOT NULL,
    PRIMARY KEY (model, place, starts_at)
);

CREATE TABLE exchanges (
    currency  TEXT   COLLATE "C" NOT NULL,
    starts_at BIGINT NOT NULL,
    won       BIGINT NOT NULL, -- millionths of a won for one of it
    PRIMARY KEY (currency, starts_at)
);

-- A request under way at one of the gateways: its record and its entry as they would be booked now, as JSON.
CREATE TABLE drafts (
    id         UUID NOT NULL PRIMARY KEY,
    gateway    TEXT COLLATE "C" NOT NULL,
    settlement TEXT NOT NULL
) WITH (fillfactor = 50);

CREATE INDEX drafts_by_gateway ON drafts (gateway);

-- Entries of requests that the rules refused: a fault of ours. Kept, so that nothing is lost, and told by whoever verifies.
CREATE TABLE refused_entries (
    id    UUID NOT NULL PRIMARY KEY,
    fault TEXT NOT NULL,
    entry TEXT NOT NULL
);

-- What is changed of these is seen by the other gateways as what is changed of people is.
CREATE TRIGGER people_changed AFTER INSERT OR UPDATE OR DELETE ON budgets
    FOR EACH STATEMENT EXECUTE FUNCTION people_changed();
CREATE TRIGGER people_changed AFTER INSERT OR UPDATE OR DELETE ON allocations
    FOR EACH STATEMENT EXECUTE FUNCTION people_changed();
CREATE TRIGGER people_changed AFTER INSERT OR UPDATE OR DELETE ON prices
    FOR EACH STATEMENT EXECUTE FUNCTION people_changed();
CREATE TRIGGER people_changed AFTER INSERT OR UPDATE OR DELETE ON exchanges
    FOR EACH STATEMENT EXECUTE FUNCTION people_changed();
