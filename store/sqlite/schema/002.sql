-- When the event's data was erased.
ALTER TABLE hooks_events ADD COLUMN erased INTEGER NOT NULL DEFAULT 0;

-- What attempts came to, of one subscriber from a start; of all together, subscriber is ''.
CREATE TABLE hooks_minutes (
    subscriber TEXT    NOT NULL,
    start      INTEGER NOT NULL,
    succeeded  INTEGER NOT NULL,
    failed     INTEGER NOT NULL,
    took       TEXT    NOT NULL, -- a JSON array of numbers
    PRIMARY KEY (subscriber, start)
) STRICT, WITHOUT ROWID;

-- Prune.
CREATE INDEX hooks_minutes_start ON hooks_minutes (start);

-- Claim and Backlog: what waits, and apart from it the leases that there are, for Lock
-- too. The first of the two indexes then keeps its entries from a claim to the outcome, and
-- a delivery has one entry less to write.
DROP INDEX hooks_deliveries_due;
DROP INDEX hooks_deliveries_leased;
CREATE INDEX hooks_deliveries_due ON hooks_deliveries (subscriber, due, seq)
    WHERE status < 3 AND parked = 0;
CREATE INDEX hooks_deliveries_leased ON hooks_deliveries (parked, subscriber, due, seq)
    WHERE status = 3;
