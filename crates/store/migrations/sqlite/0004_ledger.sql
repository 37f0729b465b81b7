-- The ledger: double entry by the rules of madang-ledger. Entries are written once and never changed; the triggers below say so
-- to whoever tries.
--
-- These tables grow by several rows for each request, so words are small numbers here: the unit 1 micro_won, 2 tokens,
-- 3 uncached_tokens, 4 cached_tokens, 5 output_tokens, 6 accelerator_ms, 7 milli_joules; the phase 1 direct, 2 reserve, 3 post,
-- 4 void; what an entry is about 1 budget, 2 allocation, 3 lease, 4 request, 5 job. A number never gets another meaning.

CREATE TABLE ledger_accounts (
    id   INTEGER NOT NULL PRIMARY KEY,
    name TEXT    NOT NULL UNIQUE
) STRICT;

CREATE TABLE ledger_entries (
    seq     INTEGER NOT NULL PRIMARY KEY, -- the order of writing: from 1 on, without a gap
    id      BLOB    NOT NULL,             -- 16 bytes, big end first
    phase   INTEGER NOT NULL,
    at      INTEGER NOT NULL,             -- microseconds since the Unix epoch
    about   INTEGER NOT NULL,
    -- Of what is meant: a name, or 16 bytes of a request; NULL for leases, and where the request's id is the entry's own.
    subject ANY,
    checksum INTEGER NOT NULL             -- CRC-32 of all of it, its legs included
) STRICT;

CREATE UNIQUE INDEX ledger_entries_by_id ON ledger_entries (id, phase);
CREATE INDEX ledger_entries_by_time ON ledger_entries (at);
CREATE INDEX ledger_entries_by_subject ON ledger_entries (about, subject) WHERE subject IS NOT NULL;

-- In the order of writing too: a scan of both tables reads each page once.
CREATE TABLE ledger_legs (
    seq          INTEGER NOT NULL,
    leg          INTEGER NOT NULL, -- from 0 on
    unit         INTEGER NOT NULL,
    amount       INTEGER NOT NULL,
    from_account INTEGER NOT NULL,
    to_account   INTEGER NOT NULL,
    PRIMARY KEY (seq, leg)
) STRICT, WITHOUT ROWID;

-- Which entries name an account: once each, where two indexes of the legs would hold each leg twice. In blocks of 4096 entries, so
-- that a batch changes the few pages of the newest block and not a page for each account; whoever looks for an account goes from
-- block to block.
CREATE TABLE ledger_account_entries (
    block   INTEGER NOT NULL, -- seq / 4096
    account INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    PRIMARY KEY (block, account, seq)
) STRICT, WITHOUT ROWID;

-- What follows from all entries, kept beside them. By name and not by number, so that an account that was renamed shows.
CREATE TABLE ledger_balances (
    account      TEXT    NOT NULL,
    unit         INTEGER NOT NULL,
    total_in     INTEGER NOT NULL,
    total_out    INTEGER NOT NULL,
    reserved_out INTEGER NOT NULL,
    PRIMARY KEY (account, unit)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER ledger_accounts_update BEFORE UPDATE ON ledger_accounts
    BEGIN SELECT RAISE(ABORT, 'accounts of the ledger are never changed'); END;
CREATE TRIGGER ledger_accounts_delete BEFORE DELETE ON ledger_accounts
    BEGIN SELECT RAISE(ABORT, 'accounts of the ledger are never deleted'); END;
CREATE TRIGGER ledger_entries_update BEFORE UPDATE ON ledger_entries
    BEGIN SELECT RAISE(ABORT, 'entries are never changed: write one that moves the amount back'); END;
CREATE TRIGGER ledger_entries_delete BEFORE DELETE ON ledger_entries
    BEGIN SELECT RAISE(ABORT, 'entries are never deleted: write one that moves the amount back'); END;
CREATE TRIGGER ledger_legs_update BEFORE UPDATE ON ledger_legs
    BEGIN SELECT RAISE(ABORT, 'entries are never changed: write one that moves the amount back'); END;
CREATE TRIGGER ledger_legs_delete BEFORE DELETE ON ledger_legs
    BEGIN SELECT RAISE(ABORT, 'entries are never deleted: write one that moves the amount back'); END;
CREATE TRIGGER ledger_account_entries_update BEFORE UPDATE ON ledger_account_entries
    BEGIN SELECT RAISE(ABORT, 'entries are never changed'); END;
CREATE TRIGGER ledger_account_entries_delete BEFORE DELETE ON ledger_account_entries
    BEGIN SELECT RAISE(ABORT, 'entries are never deleted'); END;
