-- What programmes say of their tenants' jobs, why a run is being stopped, and what runs had of accelerators.
ALTER TABLE programmes ADD COLUMN jobs_when_ended TEXT COLLATE "C" NOT NULL DEFAULT 'run_on';
ALTER TABLE programmes ADD COLUMN jobs_preempted TEXT COLLATE "C" NOT NULL DEFAULT 'charged';

UPDATE job_runs SET record = replace(record, '"makes_room":true', '"stop":{"why":"room","at":0}')
    WHERE record LIKE '%"state":"stopping","makes_room":true,%';

-- Of a run that is over and had any: about when, and how much of a whole accelerator in milliseconds.
ALTER TABLE job_runs ADD COLUMN used_at BIGINT;
ALTER TABLE job_runs ADD COLUMN used_ms BIGINT;
-- By the text, as a record may hold what PostgreSQL's JSON cannot. A quote within a text of it has a backslash before it.
UPDATE job_runs SET used_at = (began + ended) / 2, used_ms = milli * ((ended - began) / 1000) / 1000
    FROM (SELECT job AS j, task AS t, number AS n,
            substring(record FROM '"started_at":([0-9]+),"ended_at"')::bigint AS began,
            substring(record FROM '"started_at":[0-9]+,"ended_at":([0-9]+)')::bigint AS ended,
            substring(record FROM '"accelerator_milli":([0-9]+)')::bigint AS milli
        FROM job_runs WHERE record ~ '"started_at":[0-9]+,"ended_at":[0-9]+') AS past
    WHERE job = j AND task = t AND number = n;
CREATE INDEX job_runs_used ON job_runs (used_at) WHERE used_at IS NOT NULL;
