-- How busy the accelerators of runs were, as far as it was measured, and what of machines was held: sums alone.
CREATE TABLE run_busy (
    job         BIGINT NOT NULL,
    task        BIGINT NOT NULL, -- as in job_runs
    number      BIGINT NOT NULL,
    began_at    BIGINT NOT NULL,
    measured_at BIGINT NOT NULL,
    at_work_at  BIGINT,
    measured_ms BIGINT NOT NULL,
    busy_ms     BIGINT NOT NULL,
    samples     BIGINT NOT NULL,
    PRIMARY KEY (job, task, number)
);
CREATE INDEX run_busy_by_time ON run_busy (measured_at);

CREATE TABLE nodes_held (
    hour        BIGINT NOT NULL, -- since 1970-01-01
    nodes       TEXT COLLATE "C" NOT NULL,
    capacity_ms BIGINT NOT NULL,
    held_ms     BIGINT NOT NULL,
    PRIMARY KEY (hour, nodes)
);
