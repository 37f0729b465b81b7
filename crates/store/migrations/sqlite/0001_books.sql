-- The books: one row for each request, and who may make requests.
--
-- Units are integers, words are text (their `as_str`), instants are microseconds since the Unix epoch.
-- No CHECK lists the words: a new word must not need a migration. The reader refuses words that it does not know.
-- No foreign keys: the order in which a fleet file's rows arrive is the caller's, and a usage row outlives its tenant.

-- WITHOUT ROWID: ids are made in order of time, so rows are appended at the right edge of one tree, and a look-up by
-- id walks one tree and not two.
CREATE TABLE usage (
    id             BLOB    NOT NULL PRIMARY KEY, -- 16 bytes, big end first, so that order is arrival
    arrived_at     INTEGER NOT NULL,
    tenant         TEXT    NOT NULL,
    key            TEXT    NOT NULL,
    endpoint       TEXT    NOT NULL,
    model          TEXT,
    site           TEXT,
    replica        TEXT,
    outcome        TEXT    NOT NULL,
    status         INTEGER NOT NULL,
    error          TEXT,
    streamed       INTEGER NOT NULL,
    attempts       INTEGER NOT NULL,
    data_class     TEXT    NOT NULL,
    priority       TEXT    NOT NULL,
    uncached_tokens  INTEGER NOT NULL,
    cached_tokens    INTEGER NOT NULL,
    output_tokens    INTEGER NOT NULL,
    tokens_estimated INTEGER NOT NULL,
    bytes_in       INTEGER NOT NULL,
    bytes_out      INTEGER NOT NULL,
    queued_us      INTEGER NOT NULL,
    first_token_us INTEGER,
    per_token_us   INTEGER,
    total_us       INTEGER NOT NULL,
    cost_micro_won INTEGER,
    energy_mj      INTEGER,
    decision       TEXT
) STRICT, WITHOUT ROWID;

-- Both end with the primary key of themselves, so "newest first" needs no sort.
CREATE INDEX usage_by_tenant  ON usage (tenant, arrived_at);
CREATE INDEX usage_by_arrival ON usage (arrived_at);

CREATE TABLE programmes (
    id          TEXT    NOT NULL PRIMARY KEY,
    weight      INTEGER NOT NULL,
    origin      TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    disabled_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE tenants (
    id          TEXT    NOT NULL PRIMARY KEY,
    programme   TEXT,
    weight      INTEGER NOT NULL,
    class_floor TEXT    NOT NULL,
    origin      TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    disabled_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
    id          TEXT    NOT NULL PRIMARY KEY,
    tenant      TEXT,
    role        TEXT    NOT NULL,
    label       TEXT    NOT NULL,
    secret_hash BLOB    NOT NULL, -- 32 bytes; never the secret
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER,
    revoked_at  INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX keys_by_tenant ON keys (tenant);
