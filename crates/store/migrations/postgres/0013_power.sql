-- What people say of a site's power: caps, and events in which a grid wants less. Rows are ended, not deleted.
CREATE TABLE power_events (
    id             BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site           TEXT COLLATE "C" NOT NULL,
    cap_watts      BIGINT, -- of a cap; NULL for a cut
    cut_milli      BIGINT, -- of a cut, in thousandths of what the site drew when it began
    baseline_watts BIGINT, -- what that was, once it has begun
    from_us        BIGINT NOT NULL,
    until_us       BIGINT, -- NULL until it is taken back
    reason         TEXT NOT NULL,
    set_by         TEXT NOT NULL,
    set_at         BIGINT NOT NULL
);
