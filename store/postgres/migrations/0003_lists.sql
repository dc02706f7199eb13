-- +goose Up
-- Indexes for lists and counts that pass over nothing that has succeeded: of each other
-- status, of one subscriber, one tenant or of all; and those of a tenant. deliveries_dead is now only
-- for programs of the version before.
--
-- Making an index holds up everybody who publishes, for about a second per million rows.
-- Where there are many, Migrate has each made CONCURRENTLY before it runs this script, which
-- then finds it. Another tool can do the same: run each CREATE INDEX with the word
-- CONCURRENTLY after INDEX, alone and outside of a transaction, and then this script.
--
-- Programs of the version before go on working beside this schema.

UPDATE hooks.meta SET version = 3 WHERE one;

-- Expressions in the conditions keep these indexes for the statements that repeat them, see
-- version 1. The columns have none, so that a count need not look at the rows.
CREATE INDEX IF NOT EXISTS deliveries_status ON hooks.deliveries (status, seq)
    WHERE status + 0 <> 4;
CREATE INDEX IF NOT EXISTS deliveries_status_subscriber ON hooks.deliveries (subscriber, status, seq)
    WHERE status + 0 <> 3 AND status + 0 <> 4;
CREATE INDEX IF NOT EXISTS deliveries_status_tenant ON hooks.deliveries (tenant, status, seq)
    WHERE status + 0 <> 3 AND status + 0 <> 4 AND tenant <> '';
CREATE INDEX IF NOT EXISTS deliveries_tenant ON hooks.deliveries (tenant, seq) WHERE tenant <> '';
CREATE INDEX IF NOT EXISTS events_tenant ON hooks.events (tenant, seq) WHERE tenant <> '';
