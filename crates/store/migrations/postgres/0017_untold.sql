-- Runs that were given up, as nobody could be asked how they stand, and of whose end nobody has told yet: they are asked about until then.
ALTER TABLE job_runs ADD COLUMN untold BOOLEAN NOT NULL DEFAULT false;
UPDATE job_runs SET untold = true WHERE record LIKE '%"unseen_since":%,"end":{"outcome"%';
CREATE INDEX job_runs_untold ON job_runs (job, task, number) WHERE untold;

-- What told last how busy a run was.
ALTER TABLE run_busy ADD COLUMN source TEXT COLLATE "C";
