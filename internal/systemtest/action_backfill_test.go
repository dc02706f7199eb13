package systemtest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
)

// wantBackfill backfills to an endpoint, and checks the counts, and that each event since
// from has reached it.
func (y *yard) wantBackfill(id string, from time.Time, total, done, skipped int) {
	y.t.Helper()
	a := y.start(hooks.Action{Kind: hooks.ActionBackfill, Query: hooks.Query{Subscriber: id, From: from}})
	y.run(2 * time.Minute)
	y.wantAction(a.ID, total, done, skipped, true)
	n := 0
	for _, d := range kit.Deliveries(y.t, y.h) {
		if d.Subscriber != id || d.Status == hooks.Canceled && d.Reason == hooks.ReasonDeleted && d.Created.Before(from) {
			continue
		}
		if n++; d.Status != hooks.Succeeded {
			y.t.Errorf("%v is %v %s; want it sent", d.DeliveryID, d.Status, d.Reason)
		}
	}
	if n != total {
		y.t.Errorf("%s has %d deliveries; want %d", id, n, total)
	}
}

// What is filled in is that of the endpoint that has the id now, not of the one that had it
// before and was deleted, even in the moment in which it is put again.
func TestBackfillToAnEndpointThatWasPutAgain(t *testing.T) {
	inYards(t, func(y *yard) {
		if err := y.h.DeleteEndpoint(y.t.Context(), "crm"); err != nil {
			y.t.Fatal(err)
		}
		from := time.Now()
		kit.Put(y.t, y.h, hooks.Endpoint{ID: "other", Tenant: "acme", URL: kit.AnyURL})
		y.publish("acme", 10)
		kit.Put(y.t, y.h, hooks.Endpoint{ID: "crm", Tenant: "acme", URL: kit.AnyURL})
		y.wantBackfill("crm", from, 10, 10, 0)
	})
}

// The same after the clock was set back behind the time at which the endpoint was put. Then
// all its deliveries are dated alike: those that were published to it, and those that this
// backfill or one before has added.
func TestBackfillAfterTheClockWasSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := kit.NewClockedStore(t, 0)
		store.Tolerance = 3 * time.Hour
		y := newYard(t, store)
		if err := y.h.DeleteEndpoint(t.Context(), "crm"); err != nil {
			t.Fatal(err)
		}
		y.run(time.Minute)
		kit.Put(t, y.h, hooks.Endpoint{ID: "other", Tenant: "acme", URL: kit.AnyURL})
		y.publish("acme", 10)
		kit.Put(t, y.h, hooks.Endpoint{ID: "crm", Tenant: "acme", URL: kit.AnyURL})
		store.Set(func(s *kit.ClockedStore) { s.Clock = func() time.Time { return time.Now().Add(-time.Hour) } })
		time.Sleep(2 * time.Minute)
		y.publish("acme", 3)
		from := time.Now().Add(-2 * time.Hour)
		y.wantBackfill("crm", from, 13, 10, 3)
		y.wantBackfill("crm", from, 13, 0, 13)
	})
}
