-- What the data of a tenant, or of one key, is at least: a class for keys too, and flags for both (words with commas).
ALTER TABLE tenants ADD COLUMN data_flags TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE keys ADD COLUMN class_floor TEXT COLLATE "C" NOT NULL DEFAULT 'open';
ALTER TABLE keys ADD COLUMN data_flags TEXT COLLATE "C" NOT NULL DEFAULT '';

-- Places to which nothing goes until somebody lifts the stop.
CREATE TABLE stops (
    scope TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    reason TEXT NOT NULL,
    set_by TEXT COLLATE "C" NOT NULL,
    set_at BIGINT NOT NULL
);

CREATE TRIGGER people_changed AFTER INSERT OR UPDATE OR DELETE ON stops
    FOR EACH STATEMENT EXECUTE FUNCTION people_changed();
