-- What programmes say of their tenants' jobs, why a run is being stopped, and what runs had of accelerators.
ALTER TABLE programmes ADD COLUMN jobs_when_ended TEXT NOT NULL DEFAULT 'run_on';
ALTER TABLE programmes ADD COLUMN jobs_preempted TEXT NOT NULL DEFAULT 'charged';

UPDATE job_runs SET record = replace(record, '"makes_room":true', '"stop":{"why":"room","at":0}')
    WHERE record LIKE '%"state":"stopping","makes_room":true,%';

-- Of a run that is over and had any: about when, and how much of a whole accelerator in milliseconds.
ALTER TABLE job_runs ADD COLUMN used_at INTEGER;
ALTER TABLE job_runs ADD COLUMN used_ms INTEGER;
UPDATE job_runs SET
    used_at = (json_extract(record, '$.end.started_at') + json_extract(record, '$.end.ended_at')) / 2,
    used_ms = json_extract(record, '$.accelerator_milli')
        * ((json_extract(record, '$.end.ended_at') - json_extract(record, '$.end.started_at')) / 1000) / 1000
    WHERE json_extract(record, '$.end.started_at') IS NOT NULL;
CREATE INDEX job_runs_used ON job_runs (used_at) WHERE used_at IS NOT NULL;
