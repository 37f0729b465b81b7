-- How many jobs of each tenant are not over, kept as they come and end: each job that comes asks for it, and they may be 100,000.
CREATE TABLE jobs_open_counts (
    tenant TEXT    NOT NULL PRIMARY KEY,
    count  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO jobs_open_counts (tenant, count)
    SELECT tenant, count(*) FROM jobs WHERE state IN ('pending', 'held', 'running') GROUP BY tenant;

CREATE TRIGGER jobs_open_came AFTER INSERT ON jobs WHEN NEW.state IN ('pending', 'held', 'running')
BEGIN
    INSERT INTO jobs_open_counts (tenant, count) VALUES (NEW.tenant, 1) ON CONFLICT (tenant) DO UPDATE SET count = count + 1;
END;
CREATE TRIGGER jobs_open_changed AFTER UPDATE OF state ON jobs
    WHEN (NEW.state IN ('pending', 'held', 'running')) <> (OLD.state IN ('pending', 'held', 'running'))
BEGIN
    UPDATE jobs_open_counts SET count = count + iif(NEW.state IN ('pending', 'held', 'running'), 1, -1) WHERE tenant = NEW.tenant;
END;
