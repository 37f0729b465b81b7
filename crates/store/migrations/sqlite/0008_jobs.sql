-- Batch jobs, the runs that they are carried out in, and which gateway drives them.
CREATE TABLE jobs (
    id           INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, -- no number is given twice
    tenant       TEXT    NOT NULL,
    project      TEXT,
    programme    TEXT,             -- the tenant's when it was submitted
    key          TEXT,
    spec         TEXT    NOT NULL, -- JSON
    state        TEXT    NOT NULL,
    held         INTEGER NOT NULL,
    cancelled_at INTEGER,
    why          TEXT,
    submitted_at INTEGER NOT NULL,
    ended_at     INTEGER
) STRICT;

CREATE INDEX jobs_by_tenant ON jobs (tenant, id);
CREATE INDEX jobs_by_programme ON jobs (programme, id);
-- The few that are not over, however many are.
CREATE INDEX jobs_open ON jobs (id) WHERE state IN ('pending', 'held', 'running');
CREATE INDEX jobs_open_by_tenant ON jobs (tenant, id) WHERE state IN ('pending', 'held', 'running');

CREATE TABLE job_runs (
    job    INTEGER NOT NULL,
    task   INTEGER NOT NULL, -- its place in the array; -1 of a job without one
    number INTEGER NOT NULL,
    record TEXT    NOT NULL, -- JSON
    PRIMARY KEY (job, task, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE job_term (
    term     INTEGER NOT NULL,
    gateway  TEXT, -- NULL: nobody has driven yet
    until_at INTEGER NOT NULL
) STRICT;
INSERT INTO job_term (term, until_at) VALUES (0, 0);
