package systemtest_test

import (
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
)

// Two steps of the same moment are both made. The first one finds nothing to change, so that
// the second one need not wait, and in a bubble the time stands still.
func TestStepsOfTheSameMoment(t *testing.T) {
	inYards(t, func(y *yard) {
		erase := hooks.Action{Kind: hooks.ActionErase, Query: hooks.Query{Tenant: "acme"}}
		y.publish("acme", 50)
		a := y.start(erase)
		y.run(10 * time.Second)
		y.wantAction(a.ID, 50, 50, 0, true)
		y.publish("acme", 50)
		a = y.start(erase)
		y.run(10 * time.Second)
		y.wantAction(a.ID, 100, 50, 50, true)
		for _, ev := range kit.Events(y.t, y.h) {
			if ev.Erased.IsZero() {
				y.t.Errorf("event %s was not erased", ev.ID)
			}
		}
	})
}

func TestBackfillStepsOfTheSameMoment(t *testing.T) {
	inYards(t, func(y *yard) {
		e := kit.Put(y.t, y.h, hooks.Endpoint{ID: "new", Tenant: "acme", URL: kit.AnyURL})
		y.publish("acme", 50)
		for _, events := range [][]string{{"order.*"}, e.Events} {
			e.Version, e.Events = 0, events
			kit.Put(y.t, y.h, e)
			if events[0] == "order.*" {
				y.publish("acme", 50)
			}
		}
		y.wantBackfill("new", y.began, 100, 50, 50)
	})
}
