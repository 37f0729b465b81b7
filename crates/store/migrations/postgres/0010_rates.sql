-- Which gateway holds which part of a key's rates, until when: as JSON. A key that is not in use has no row, but where
-- the last gateway that used it died or was stopped.

CREATE TABLE rate_parts (
    key   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    parts TEXT NOT NULL
) WITH (fillfactor = 50);
