-- The books: one row for each request, and who may make requests. As in ../sqlite/0001_books.sql, in PostgreSQL's words.
--
-- Units are integers, words are text (their `as_str`), instants are microseconds since the Unix epoch.
-- No CHECK lists the words: a new word must not need a migration. The reader refuses words that it does not know.
-- No foreign keys: the order in which a fleet file's rows arrive is the caller's, and a usage row outlives its tenant.
-- Names and words are compared as bytes (COLLATE "C"), whatever the database's language.

CREATE TABLE usage (
    id             UUID    NOT NULL PRIMARY KEY, -- compared as 16 bytes, so that order is arrival
    arrived_at     BIGINT  NOT NULL,
    tenant         TEXT    COLLATE "C" NOT NULL,
    key            TEXT    COLLATE "C" NOT NULL,
    endpoint       TEXT    COLLATE "C" NOT NULL,
    model          TEXT    COLLATE "C",
    site           TEXT    COLLATE "C",
    replica        TEXT    COLLATE "C",
    outcome        TEXT    COLLATE "C" NOT NULL,
    status         BIGINT  NOT NULL,
    error          TEXT    COLLATE "C",
    streamed       BOOLEAN NOT NULL,
    attempts       BIGINT  NOT NULL,
    data_class     TEXT    COLLATE "C" NOT NULL,
    priority       TEXT    COLLATE "C" NOT NULL,
    uncached_tokens  BIGINT  NOT NULL,
    cached_tokens    BIGINT  NOT NULL,
    output_tokens    BIGINT  NOT NULL,
    tokens_estimated BOOLEAN NOT NULL,
    bytes_in       BIGINT  NOT NULL,
    bytes_out      BIGINT  NOT NULL,
    queued_us      BIGINT  NOT NULL,
    first_token_us BIGINT,
    per_token_us   BIGINT,
    total_us       BIGINT  NOT NULL,
    cost_micro_won BIGINT,
    energy_mj      BIGINT,
    decision       TEXT
);

-- Both end with the primary key, so "newest first" needs no sort.
CREATE INDEX usage_by_tenant  ON usage (tenant, arrived_at, id);
CREATE INDEX usage_by_arrival ON usage (arrived_at, id);

CREATE TABLE programmes (
    id          TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    weight      BIGINT NOT NULL,
    origin      TEXT   COLLATE "C" NOT NULL,
    created_at  BIGINT NOT NULL,
    disabled_at BIGINT
);

CREATE TABLE tenants (
    id          TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    programme   TEXT   COLLATE "C",
    weight      BIGINT NOT NULL,
    class_floor TEXT   COLLATE "C" NOT NULL,
    origin      TEXT   COLLATE "C" NOT NULL,
    created_at  BIGINT NOT NULL,
    disabled_at BIGINT
);

CREATE TABLE keys (
    id          TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    tenant      TEXT   COLLATE "C",
    role        TEXT   COLLATE "C" NOT NULL,
    label       TEXT   NOT NULL,
    secret_hash BYTEA  NOT NULL, -- 32 bytes; never the secret
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT,
    revoked_at  BIGINT
);

CREATE INDEX keys_by_tenant ON keys (tenant);

-- Another number after each change of who may do what, by which gateways that share these books see that there was one.
CREATE TABLE people_revision (revision BIGINT NOT NULL);
INSERT INTO people_revision (revision) VALUES (0);

CREATE FUNCTION people_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE madang.people_revision SET revision = revision + 1;
    RETURN NULL;
END
$$;

CREATE TRIGGER people_changed AFTER INSERT OR UPDATE OR DELETE ON programmes
    FOR EACH STATEMENT EXECUTE FUNCTION people_changed();
CREATE TRIGGER people_changed AFTER INSERT OR UPDATE OR DELETE ON tenants
    FOR EACH STATEMENT EXECUTE FUNCTION people_changed();
CREATE TRIGGER people_changed AFTER INSERT OR UPDATE OR DELETE ON keys
    FOR EACH STATEMENT EXECUTE FUNCTION people_changed();
