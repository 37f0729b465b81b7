-- What an hour of one accelerator of a kind costs, from an instant on.
CREATE TABLE accelerator_prices (
    accelerator    TEXT   COLLATE "C" NOT NULL,
    site           TEXT   COLLATE "C" NOT NULL, -- empty: wherever no price of its own says otherwise
    starts_at      BIGINT NOT NULL,
    hour_micro_won BIGINT NOT NULL,
    PRIMARY KEY (accelerator, site, starts_at)
);

CREATE TRIGGER people_changed AFTER INSERT OR UPDATE OR DELETE ON accelerator_prices
    FOR EACH STATEMENT EXECUTE FUNCTION people_changed();
