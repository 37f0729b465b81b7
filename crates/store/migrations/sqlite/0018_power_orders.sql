-- Of an event that a grid ordered: which order it is; NULL of one that people set.
ALTER TABLE power_events ADD COLUMN grid_order TEXT;
