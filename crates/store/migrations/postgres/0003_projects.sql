-- A tenant's working units, and what a key may be used for: lists are words with commas, '' is all.
CREATE TABLE projects (
    tenant      TEXT   COLLATE "C" NOT NULL,
    id          TEXT   COLLATE "C" NOT NULL,
    label       TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    disabled_at BIGINT,
    PRIMARY KEY (tenant, id)
);

CREATE TRIGGER people_changed AFTER INSERT OR UPDATE OR DELETE ON projects
    FOR EACH STATEMENT EXECUTE FUNCTION people_changed();

ALTER TABLE keys ADD COLUMN programme TEXT COLLATE "C";
ALTER TABLE keys ADD COLUMN project TEXT COLLATE "C";
ALTER TABLE keys ADD COLUMN models TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE keys ADD COLUMN endpoints TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE keys ADD COLUMN rate_requests_per_min BIGINT;
ALTER TABLE keys ADD COLUMN rate_tokens_per_min BIGINT;
ALTER TABLE keys ADD COLUMN limit_micro_won BIGINT;

ALTER TABLE usage ADD COLUMN project TEXT COLLATE "C";
