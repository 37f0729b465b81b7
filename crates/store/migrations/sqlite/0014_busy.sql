-- How busy the accelerators of runs were, as far as it was measured, and what of machines was held: sums alone.
CREATE TABLE run_busy (
    job         INTEGER NOT NULL,
    task        INTEGER NOT NULL, -- as in job_runs
    number      INTEGER NOT NULL,
    began_at    INTEGER NOT NULL,
    measured_at INTEGER NOT NULL,
    at_work_at  INTEGER,
    measured_ms INTEGER NOT NULL,
    busy_ms     INTEGER NOT NULL,
    samples     INTEGER NOT NULL,
    PRIMARY KEY (job, task, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_busy_by_time ON run_busy (measured_at);

CREATE TABLE nodes_held (
    hour        INTEGER NOT NULL, -- since 1970-01-01
    nodes       TEXT    NOT NULL,
    capacity_ms INTEGER NOT NULL,
    held_ms     INTEGER NOT NULL,
    PRIMARY KEY (hour, nodes)
) STRICT, WITHOUT ROWID;
