-- Who may spend how much, which gateway holds how much of it, what things cost, and what would be booked if a gateway died now.

CREATE TABLE budgets (
    programme                  TEXT    NOT NULL,
    unit                       TEXT    NOT NULL,
    amount                     INTEGER NOT NULL,
    concentration_permille_max INTEGER NOT NULL,
    PRIMARY KEY (programme, unit)
) STRICT;

CREATE TABLE allocations (
    id          TEXT    NOT NULL PRIMARY KEY,
    programme   TEXT    NOT NULL,
    tenant      TEXT    NOT NULL,
    unit        TEXT    NOT NULL,
    amount      INTEGER NOT NULL,
    hard        INTEGER NOT NULL,
    starts_at   INTEGER NOT NULL,
    until_at    INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    recalled_at INTEGER
) STRICT;

CREATE INDEX allocations_by_tenant ON allocations (tenant);
CREATE INDEX allocations_by_programme ON allocations (programme);

-- The latest run of each gateway. Earlier ones hold nothing.
CREATE TABLE runs (
    gateway  TEXT    NOT NULL PRIMARY KEY,
    epoch    INTEGER NOT NULL,
    begun_at INTEGER NOT NULL,
    seen_at  INTEGER NOT NULL
) STRICT;

-- The last order of each of these runs about each purse, and what it moved.
CREATE TABLE leases (
    purse   TEXT    NOT NULL,
    gateway TEXT    NOT NULL,
    epoch   INTEGER NOT NULL,
    unit    TEXT    NOT NULL,
    number  INTEGER NOT NULL,
    moved   INTEGER NOT NULL,
    PRIMARY KEY (purse, gateway, epoch)
) STRICT, WITHOUT ROWID;

CREATE INDEX leases_by_run ON leases (gateway, epoch);

CREATE TABLE prices (
    model     TEXT    NOT NULL,
    place     TEXT    NOT NULL, -- empty: wherever no price of its own says otherwise
    starts_at INTEGER NOT NULL,
    currency  TEXT    NOT NULL,
    uncached  INTEGER NOT NULL, -- millionths of the currency for a million tokens
    cached    INTEGER NOT NULL,
    output    INTEGER NOT NULL,
    PRIMARY KEY (model, place, starts_at)
) STRICT, WITHOUT ROWID;

CREATE TABLE exchanges (
    currency  TEXT    NOT NULL,
    starts_at INTEGER NOT NULL,
    won       INTEGER NOT NULL, -- millionths of a won for one of it
    PRIMARY KEY (currency, starts_at)
) STRICT, WITHOUT ROWID;

-- A request under way: its record and its entry as they would be booked now, as JSON.
CREATE TABLE drafts (
    id         BLOB NOT NULL PRIMARY KEY,
    settlement TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Entries of requests that the rules refused: a fault of ours. Kept, so that nothing is lost, and told by whoever verifies.
CREATE TABLE refused_entries (
    id    BLOB NOT NULL PRIMARY KEY,
    fault TEXT NOT NULL,
    entry TEXT NOT NULL
) STRICT, WITHOUT ROWID;
