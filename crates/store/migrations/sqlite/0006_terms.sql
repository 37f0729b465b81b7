-- On what terms programmes grant, what projects may spend, and allocations that come in parts.
ALTER TABLE programmes ADD COLUMN starts_at INTEGER;
ALTER TABLE programmes ADD COLUMN until_at INTEGER;
ALTER TABLE programmes ADD COLUMN eligibility TEXT NOT NULL DEFAULT '';
ALTER TABLE programmes ADD COLUMN residency_floor TEXT;

ALTER TABLE projects ADD COLUMN limit_micro_won INTEGER;

-- INSTANT:AMOUNT with commas between them, in order; '' where all of it comes at once.
ALTER TABLE allocations ADD COLUMN tranches TEXT NOT NULL DEFAULT '';

-- How far each ceiling was filled. One of an earlier schema has no row: it was filled once, and is not raised.
CREATE TABLE ceilings (
    id               TEXT    NOT NULL PRIMARY KEY,
    filled_micro_won INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
