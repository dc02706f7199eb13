-- +goose Up
-- Counters by minute, and when an event was erased.
--
-- Nothing is rewritten or read, so that this takes a moment however many rows there are.
-- ALTER TABLE waits for the transactions that use hooks.events, and everybody who
-- publishes waits behind it. Migrate therefore waits 300 ms at a time and tries again. A
-- tool that runs this script should set lock_timeout too.
--
-- Programs of the version before go on working beside this schema. They write the column
-- fanout, which nobody reads any more, so it stays, with a default for those that do not
-- write it. They do not know of erased, and need not: they deliver an erased event as it is
-- stored. Once this script has run, their Migrate returns hooks.ErrTooNew, so that one
-- that is started later has to be upgraded first.

-- First, because Put locks this row before it writes events.
UPDATE hooks.meta SET version = 2 WHERE one;

-- What attempts came to: of all subscribers together (subscriber '') in one minute, or of
-- one subscriber in five. took_N counts attempts of up to N ms that took longer than the
-- column before says, took_longer those of more than 5 s.
CREATE TABLE hooks.minutes (
    subscriber  text        NOT NULL,
    start       timestamptz NOT NULL,
    succeeded   bigint      NOT NULL,
    failed      bigint      NOT NULL,
    took_1      bigint      NOT NULL,
    took_2      bigint      NOT NULL,
    took_5      bigint      NOT NULL,
    took_10     bigint      NOT NULL,
    took_20     bigint      NOT NULL,
    took_50     bigint      NOT NULL,
    took_100    bigint      NOT NULL,
    took_200    bigint      NOT NULL,
    took_500    bigint      NOT NULL,
    took_1000   bigint      NOT NULL,
    took_2000   bigint      NOT NULL,
    took_5000   bigint      NOT NULL,
    took_longer bigint      NOT NULL,
    PRIMARY KEY (subscriber, start)
) WITH (fillfactor = 70); -- a row is written over again and again while its minute lasts

CREATE INDEX minutes_start ON hooks.minutes (start); -- Prune

ALTER TABLE hooks.events
    ADD COLUMN erased timestamptz, -- when data and metadata were erased; null: they were not
    ALTER COLUMN fanout SET DEFAULT 0;
