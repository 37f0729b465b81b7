-- Which gateway holds which part of a key's rates, until when: as JSON. A key that nobody asked for lately has no row.

CREATE TABLE rate_parts (
    key   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    parts TEXT NOT NULL
) WITH (fillfactor = 50);
