-- Secrets of jobs, sealed: without the operator's key file nobody reads them.
CREATE TABLE secrets (
    tenant   TEXT    NOT NULL,
    project  TEXT    NOT NULL, -- '': for all jobs of the tenant
    name     TEXT    NOT NULL,
    version  INTEGER NOT NULL,
    seal_key TEXT    NOT NULL,
    sealed   TEXT    NOT NULL,
    set_by   TEXT    NOT NULL,
    set_at   INTEGER NOT NULL,
    PRIMARY KEY (tenant, project, name)
) STRICT, WITHOUT ROWID;
