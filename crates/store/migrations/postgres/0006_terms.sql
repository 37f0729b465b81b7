-- On what terms programmes grant, and what projects may spend.
ALTER TABLE programmes ADD COLUMN starts_at BIGINT;
ALTER TABLE programmes ADD COLUMN until_at BIGINT;
ALTER TABLE programmes ADD COLUMN eligibility TEXT NOT NULL DEFAULT '';
ALTER TABLE programmes ADD COLUMN residency_floor TEXT COLLATE "C";

ALTER TABLE projects ADD COLUMN limit_micro_won BIGINT;
