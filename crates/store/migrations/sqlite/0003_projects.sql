-- A tenant's working units, and what a key may be used for: lists are words with commas, '' is all.
CREATE TABLE projects (
    tenant      TEXT    NOT NULL,
    id          TEXT    NOT NULL,
    label       TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    disabled_at INTEGER,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

ALTER TABLE keys ADD COLUMN programme TEXT;
ALTER TABLE keys ADD COLUMN project TEXT;
ALTER TABLE keys ADD COLUMN models TEXT NOT NULL DEFAULT '';
ALTER TABLE keys ADD COLUMN endpoints TEXT NOT NULL DEFAULT '';
ALTER TABLE keys ADD COLUMN rate_requests_per_min INTEGER;
ALTER TABLE keys ADD COLUMN rate_tokens_per_min INTEGER;
ALTER TABLE keys ADD COLUMN limit_micro_won INTEGER;

ALTER TABLE usage ADD COLUMN project TEXT;
