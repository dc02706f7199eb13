-- Times are microseconds since 1970 in UTC, and 0 where there is none.

-- The last number given to an event, a delivery or a record. Every write that
-- may make work due raises it, whoever makes it.
CREATE TABLE hooks_meta (
    id  INTEGER PRIMARY KEY CHECK (id = 1),
    seq INTEGER NOT NULL
) STRICT;
INSERT INTO hooks_meta (id, seq) VALUES (1, 0);

CREATE TABLE hooks_events (
    seq             INTEGER PRIMARY KEY,
    id              TEXT    NOT NULL UNIQUE,
    type            TEXT    NOT NULL,
    tenant          TEXT    NOT NULL,
    time            INTEGER NOT NULL,
    ordering_key    TEXT    NOT NULL,
    idempotency_key TEXT    NOT NULL,
    deliver_at      INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    metadata        TEXT,             -- a JSON object of strings
    fanout          INTEGER NOT NULL,
    stored          INTEGER NOT NULL, -- when it was enqueued
    unheard         INTEGER NOT NULL, -- 1 until it has a delivery
    data            BLOB
) STRICT;

CREATE INDEX hooks_events_unheard ON hooks_events (stored) WHERE unheard = 1;

-- status: 1 pending, 2 retrying, 3 sending, 4 succeeded, 5 failed, 6 canceled.
-- parked: 1 while an unfinished delivery has to wait for another one of its
-- subscriber, tenant and ordering key. Of each such line one is not parked.
CREATE TABLE hooks_deliveries (
    seq          INTEGER PRIMARY KEY,
    event_id     TEXT    NOT NULL,
    subscriber   TEXT    NOT NULL,
    type         TEXT    NOT NULL,
    tenant       TEXT    NOT NULL,
    ordering_key TEXT    NOT NULL,
    status       INTEGER NOT NULL,
    parked       INTEGER NOT NULL,
    reason       TEXT    NOT NULL,
    due          INTEGER NOT NULL,
    run          INTEGER NOT NULL,
    attempts     INTEGER NOT NULL,
    lost         INTEGER NOT NULL,
    token        INTEGER NOT NULL,
    created      INTEGER NOT NULL,
    updated      INTEGER NOT NULL,
    code         INTEGER NOT NULL,
    error        TEXT    NOT NULL,
    UNIQUE (event_id, subscriber)
) STRICT;

-- Claim and Backlog.
CREATE INDEX hooks_deliveries_due ON hooks_deliveries (subscriber, due, seq)
    WHERE status <= 3 AND parked = 0;
-- Lock.
CREATE INDEX hooks_deliveries_leased ON hooks_deliveries (seq) WHERE status = 3;
-- Lines of ordering keys.
CREATE INDEX hooks_deliveries_line
    ON hooks_deliveries (subscriber, tenant, ordering_key, parked, seq)
    WHERE status <= 3 AND ordering_key <> '';
-- Prune.
CREATE INDEX hooks_deliveries_done ON hooks_deliveries (updated) WHERE status IN (4, 6);
CREATE INDEX hooks_deliveries_failed ON hooks_deliveries (updated) WHERE status = 5;
-- Lists.
CREATE INDEX hooks_deliveries_subscriber ON hooks_deliveries (subscriber, seq);
CREATE INDEX hooks_deliveries_dead ON hooks_deliveries (seq) WHERE status = 5;

CREATE TABLE hooks_attempts (
    id          INTEGER PRIMARY KEY,
    event_id    TEXT    NOT NULL,
    subscriber  TEXT    NOT NULL,
    run         INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    token       INTEGER NOT NULL,
    start       INTEGER NOT NULL,
    dns         INTEGER NOT NULL, -- this and other durations in nanoseconds
    connect     INTEGER NOT NULL,
    tls         INTEGER NOT NULL,
    wait        INTEGER NOT NULL,
    took        INTEGER NOT NULL,
    url         TEXT    NOT NULL,
    code        INTEGER NOT NULL,
    error       TEXT    NOT NULL,
    retry_after INTEGER NOT NULL,
    header      TEXT,             -- a JSON object of arrays of strings
    body        BLOB,
    body_cut    INTEGER NOT NULL,
    instance    TEXT    NOT NULL
) STRICT;

CREATE INDEX hooks_attempts_delivery ON hooks_attempts (event_id, subscriber);

CREATE TABLE hooks_keys (
    tenant   TEXT    NOT NULL,
    key      TEXT    NOT NULL,
    event_id TEXT    NOT NULL,
    until    INTEGER NOT NULL,
    PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX hooks_keys_until ON hooks_keys (until);

CREATE TABLE hooks_records (
    key     TEXT    PRIMARY KEY,
    version INTEGER NOT NULL UNIQUE,
    data    BLOB -- NULL: deleted
) STRICT, WITHOUT ROWID;
