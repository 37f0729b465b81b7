-- How many jobs of each tenant are not over, kept as they come and end: each job that comes asks for it, and they may be 100,000.
CREATE TABLE jobs_open_counts (
    tenant TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    count  BIGINT NOT NULL
);
INSERT INTO jobs_open_counts (tenant, count)
    SELECT tenant, count(*) FROM jobs WHERE state IN ('pending', 'held', 'running') GROUP BY tenant;

CREATE FUNCTION jobs_open_count() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO jobs_open_counts (tenant, count) VALUES (NEW.tenant, 1)
        ON CONFLICT (tenant) DO UPDATE SET count = jobs_open_counts.count
            + CASE WHEN NEW.state IN ('pending', 'held', 'running') THEN 1 ELSE -1 END;
    RETURN NULL;
END $$;
CREATE TRIGGER jobs_open_came AFTER INSERT ON jobs FOR EACH ROW
    WHEN (NEW.state IN ('pending', 'held', 'running')) EXECUTE FUNCTION jobs_open_count();
CREATE TRIGGER jobs_open_changed AFTER UPDATE OF state ON jobs FOR EACH ROW
    WHEN ((NEW.state IN ('pending', 'held', 'running')) <> (OLD.state IN ('pending', 'held', 'running')))
    EXECUTE FUNCTION jobs_open_count();
