-- What people say of a site's power: caps, and events in which a grid wants less. Rows are ended, not deleted.
CREATE TABLE power_events (
    id             INTEGER NOT NULL PRIMARY KEY,
    site           TEXT    NOT NULL,
    cap_watts      INTEGER, -- of a cap; NULL for a cut
    cut_milli      INTEGER, -- of a cut, in thousandths of what the site drew when it began
    baseline_watts INTEGER, -- what that was, once it has begun
    from_us        INTEGER NOT NULL,
    until_us       INTEGER, -- NULL until it is taken back
    reason         TEXT    NOT NULL,
    set_by         TEXT    NOT NULL,
    set_at         INTEGER NOT NULL
) STRICT;
