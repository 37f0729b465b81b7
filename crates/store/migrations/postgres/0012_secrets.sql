-- Secrets of jobs, sealed: without the operator's key file nobody reads them.
CREATE TABLE secrets (
    tenant   TEXT COLLATE "C" NOT NULL,
    project  TEXT COLLATE "C" NOT NULL, -- '': for all jobs of the tenant
    name     TEXT COLLATE "C" NOT NULL,
    version  BIGINT NOT NULL,
    seal_key TEXT    NOT NULL,
    sealed   TEXT    NOT NULL,
    set_by   TEXT    NOT NULL,
    set_at   BIGINT NOT NULL,
    PRIMARY KEY (tenant, project, name)
);
