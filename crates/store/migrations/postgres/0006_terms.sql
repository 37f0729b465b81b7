-- On what terms programmes grant, what projects may spend, and allocations that come in parts.
ALTER TABLE programmes ADD COLUMN starts_at BIGINT;
ALTER TABLE programmes ADD COLUMN until_at BIGINT;
ALTER TABLE programmes ADD COLUMN eligibility TEXT NOT NULL DEFAULT '';
ALTER TABLE programmes ADD COLUMN residency_floor TEXT COLLATE "C";

ALTER TABLE projects ADD COLUMN limit_micro_won BIGINT;

-- INSTANT:AMOUNT with commas between them, in order; '' where all of it comes at once.
ALTER TABLE allocations ADD COLUMN tranches TEXT COLLATE "C" NOT NULL DEFAULT '';

-- How far each ceiling was filled.
CREATE TABLE ceilings (
    id               TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    filled_micro_won BIGINT NOT NULL
);
