-- Lists and counts that pass over nothing that has succeeded: of each other status, of one
-- subscriber, one tenant or of all; and those of a tenant. Leases have an index already, so a
-- delivery that is handed over and succeeds at once has no entry in the first three, and
-- without tenants the others are empty.
DROP INDEX hooks_deliveries_dead;
CREATE INDEX hooks_deliveries_status ON hooks_deliveries (status, seq)
    WHERE status <> 3 AND status <> 4;
CREATE INDEX hooks_deliveries_status_subscriber ON hooks_deliveries (subscriber, status, seq)
    WHERE status <> 3 AND status <> 4;
CREATE INDEX hooks_deliveries_status_tenant ON hooks_deliveries (tenant, status, seq)
    WHERE status <> 3 AND status <> 4 AND tenant <> '';
CREATE INDEX hooks_deliveries_tenant ON hooks_deliveries (tenant, seq) WHERE tenant <> '';
CREATE INDEX hooks_events_tenant ON hooks_events (tenant, seq) WHERE tenant <> '';
