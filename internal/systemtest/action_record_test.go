package systemtest_test

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

// rewrite replaces a text in the record of an action.
func (y *yard) rewrite(id, old, with string) {
	y.t.Helper()
	records, err := y.store.Records(y.t.Context(), 0)
	if err != nil {
		y.t.Fatal(err)
	}
	for _, r := range records {
		if r.Key != "action/"+id {
			continue
		}
		data := bytes.Replace(r.Data, []byte(old), []byte(with), 1)
		if bytes.Equal(data, r.Data) {
			y.t.Fatalf("record %s has no %s: %s", r.Key, old, r.Data)
		}
		r.Data = data
		if _, err := y.store.Put(y.t.Context(), time.Now(), r, nil); err != nil {
			y.t.Fatal(err)
		}
	}
}

// An action of a kind that this version does not know ends, and changes nothing; nor does it
// go on with a step of it.
func TestAnActionOfAnUnknownKind(t *testing.T) {
	for name, step := range map[string]bool{"at its start": false, "with a step under way": true} {
		t.Run(name, func(t *testing.T) {
			inYards(t, func(y *yard) {
				failed := y.fail(3)
				a := y.start(hooks.Action{Kind: hooks.ActionReplay, Query: queryFor(hooks.ActionReplay)})
				y.rewrite(a.ID, `"kind":"replay"`, `"kind":"purge"`)
				if step {
					y.rewrite(a.ID, `"until":`, `"step":{"at":"2000-01-01T00:00:00Z","rows":[{"event":"`+failed[0]+
						`","subscriber":"crm","token":1,"run":1}],"last":true},"until":`)
				}
				y.run(time.Minute)
				if got := y.wantAction(a.ID, 3, 0, 0, true); got.Error != `This version of hooks knows no actions of kind "purge".` {
					y.t.Errorf("Action(%s).Error = %q; want that the kind is unknown", a.ID, got.Error)
				}
				if sent, _ := y.received(); len(sent) > 0 {
					y.t.Errorf("sent %v; want nothing", sent)
				}
			})
		})
	}
}

// A record without a rate, which StartAction does not write, is carried out at the usual one.
func TestAnActionWithoutARate(t *testing.T) {
	inYards(t, func(y *yard) {
		y.schedule(3)
		a := y.start(hooks.Action{Kind: hooks.ActionCancel, Query: queryFor(hooks.ActionCancel)})
		y.rewrite(a.ID, `"n":50`, `"n":0`)
		y.run(time.Minute)
		y.wantAction(a.ID, 3, 3, 0, true)
	})
}

// A contested store finds that each delivery has changed, however often it is read again.
type contested struct {
	hooks.Store
	updates int
}

func (s *contested) Update(_ context.Context, _ time.Time, changes []hooks.Change) (stale []hooks.DeliveryID, err error) {
	s.updates++
	for _, c := range changes {
		stale = append(stale, c.Delivery.DeliveryID)
	}
	return stale, nil
}

// While others change the deliveries of an event that is erased, the action waits longer and
// longer before it tries again.
func TestEraseWaitsForThoseWhoChangeItsRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, shared{memory.New()})
		y.schedule(1)
		a := y.start(hooks.Action{Kind: hooks.ActionErase, Query: hooks.Query{Tenant: "acme"}})
		inner, busy := y.store, &contested{Store: y.store}
		y.store = busy
		stop := kit.StartInBubble(t, y.process())
		time.Sleep(time.Minute)
		stop()
		if busy.updates < 10 || busy.updates > 50 {
			t.Errorf("%d tries within a minute; want 10 to 50", busy.updates)
		}
		y.store = inner
		y.run(time.Minute)
		y.wantAction(a.ID, 1, 1, 0, true)
	})
}
