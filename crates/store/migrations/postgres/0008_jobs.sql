-- Batch jobs, the runs that they are carried out in, and which gateway drives them.
CREATE TABLE jobs (
    id           BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- no number is given twice
    tenant       TEXT    COLLATE "C" NOT NULL,
    project      TEXT    COLLATE "C",
    programme    TEXT    COLLATE "C", -- the tenant's when it was submitted
    key          TEXT    COLLATE "C",
    spec         TEXT    NOT NULL, -- JSON
    state        TEXT    COLLATE "C" NOT NULL,
    held         BOOLEAN NOT NULL,
    cancelled_at BIGINT,
    why          TEXT,
    submitted_at BIGINT  NOT NULL,
    ended_at     BIGINT
);

CREATE INDEX jobs_by_tenant ON jobs (tenant, id);
CREATE INDEX jobs_by_programme ON jobs (programme, id);
-- The few that are not over, however many are.
CREATE INDEX jobs_open ON jobs (id) WHERE state IN ('pending', 'held', 'running');
CREATE INDEX jobs_open_by_tenant ON jobs (tenant, id) WHERE state IN ('pending', 'held', 'running');

CREATE TABLE job_runs (
    job    BIGINT NOT NULL,
    task   BIGINT NOT NULL, -- its place in the array; -1 of a job without one
    number BIGINT NOT NULL,
    record TEXT   NOT NULL, -- JSON
    PRIMARY KEY (job, task, number)
);

CREATE TABLE job_term (
    term     BIGINT NOT NULL,
    gateway  TEXT   COLLATE "C", -- NULL: nobody has driven yet
    until_at BIGINT NOT NULL
);
INSERT INTO job_term (term, until_at) VALUES (0, 0);

-- Another number after each job that came and each wish, by which who drives sees that there was one.
CREATE TABLE jobs_revision (revision BIGINT NOT NULL);
INSERT INTO jobs_revision (revision) VALUES (0);
