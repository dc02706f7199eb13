package systemtest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

var everyKind = []hooks.ActionKind{hooks.ActionReplay, hooks.ActionCancel, hooks.ActionBackfill, hooks.ActionErase}

// queryFor returns a query that each kind accepts, for all that the endpoint "crm" has.
func queryFor(k hooks.ActionKind) hooks.Query {
	switch k {
	case hooks.ActionBackfill:
		return hooks.Query{Subscriber: "crm", From: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)}
	case hooks.ActionErase:
		return hooks.Query{Types: []string{"invoice.*"}}
	}
	return hooks.Query{Subscriber: "crm"}
}

// A dry run counts and stores nothing.
func TestADryRunOnlyCounts(t *testing.T) {
	inYards(t, func(y *yard) {
		y.publish("acme", 5)
		before, err := y.store.Records(y.t.Context(), 0)
		if err != nil {
			y.t.Fatal(err)
		}
		for _, k := range everyKind {
			a := y.start(hooks.Action{Kind: k, Query: queryFor(k), DryRun: true, Done: 7, Error: "x", Finished: time.Now()})
			want := hooks.Action{Kind: k, Query: a.Query, Rate: hooks.Rate{N: 50, Per: time.Second}, DryRun: true, Total: hooks.Count{N: 5}}
			if got, want := fmt.Sprintf("%+v", a), fmt.Sprintf("%+v", want); got != want {
				y.t.Errorf("a dry run of %s = %s; want %s", k, got, want)
			}
		}
		after, err := y.store.Records(y.t.Context(), 0)
		if err != nil || len(after) != len(before) {
			y.t.Errorf("there are %d records, %v; want %d as before", len(after), err, len(before))
		}
		page, _, err := y.h.Actions(y.t.Context(), hooks.Query{})
		if len(page) != 0 || err != nil {
			y.t.Errorf("Actions = %v, %v; want none", page, err)
		}
	})
}

// Stopped half-way, an action does nothing more, and its counts are exact.
func TestStopAction(t *testing.T) {
	inYards(t, func(y *yard) {
		ids := y.fail(8)
		a := y.start(hooks.Action{Kind: hooks.ActionReplay, Query: queryFor(hooks.ActionReplay), Rate: hooks.Rate{N: 2, Per: time.Second}})
		stop := kit.StartInBubble(y.t, y.h)
		time.Sleep(1500 * time.Millisecond)
		stopped, err := y.h.StopAction(y.t.Context(), a.ID)
		if err != nil || !stopped.Stopped || stopped.Finished.IsZero() || stopped.Done != 4 {
			y.t.Errorf("StopAction = %+v, %v; want it stopped with 4 done", stopped, err)
		}
		time.Sleep(time.Minute)
		if again, err := y.h.StopAction(y.t.Context(), a.ID); err != nil || !again.Finished.Equal(stopped.Finished) {
			y.t.Errorf("StopAction again = %+v, %v; want %+v", again, err, stopped)
		}
		stop()
		y.wantAction(a.ID, 8, 4, 0, true)
		if sent, _ := y.received(); !slices.Equal(sent, ids[:4]) {
			y.t.Errorf("sent %v; want %v", sent, ids[:4])
		}
		if _, err := y.h.StopAction(y.t.Context(), "act_x"); !errors.Is(err, hooks.ErrNotFound) {
			y.t.Errorf("StopAction(unknown) = %v; want ErrNotFound", err)
		}
	})
}

// An action that is stopped while no process runs does nothing at all; one that has finished
// stays as it is.
func TestStopActionWithoutRun(t *testing.T) {
	inYards(t, func(y *yard) {
		y.fail(2)
		stopped := y.start(hooks.Action{Kind: hooks.ActionReplay, Query: queryFor(hooks.ActionReplay)})
		if _, err := y.h.StopAction(y.t.Context(), stopped.ID); err != nil {
			y.t.Fatal(err)
		}
		y.run(time.Minute)
		y.wantAction(stopped.ID, 2, 0, 0, true)
		ended := y.start(hooks.Action{Kind: hooks.ActionReplay, Query: queryFor(hooks.ActionReplay)})
		y.run(time.Minute)
		if a, err := y.h.StopAction(y.t.Context(), ended.ID); err != nil || a.Stopped || a.Done != 2 {
			y.t.Errorf("StopAction(finished) = %+v, %v; want it as it was", a, err)
		}
	})
}

// To start an action again is safe: it returns the one that there is.
func TestTheSameAction(t *testing.T) {
	inYards(t, func(y *yard) {
		y.fail(3)
		first := y.start(hooks.Action{ID: "act_mine", Kind: hooks.ActionReplay, Query: queryFor(hooks.ActionReplay)})
		y.run(time.Minute)
		again, err := y.process().StartAction(y.t.Context(), hooks.Action{ID: "act_mine", Kind: hooks.ActionReplay, Query: queryFor(hooks.ActionReplay), By: "somebody else"})
		if err != nil || again.Kind != first.Kind || again.Done != 3 {
			y.t.Errorf("StartAction again = %+v, %v; want the first one", again, err)
		}
		_, err = y.h.Tenant("acme").StartAction(y.t.Context(), hooks.Action{ID: "act_mine", Kind: hooks.ActionReplay, Query: queryFor(hooks.ActionReplay)})
		kit.WantInvalid(y.t, err, "Action.ID", nil, `"act_mine" is taken; choose another one`)
		if n := len(kit.Deliveries(y.t, y.h)); n != 3 {
			y.t.Errorf("%d deliveries; want 3", n)
		}
	})
}

// A tenant's action changes what the tenant sees, and nobody else's view shows the action.
func TestATenantsAction(t *testing.T) {
	inYards(t, func(y *yard) {
		ignore := hooks.Handler{Name: "audit", Events: []string{"**"}, Func: kit.Ignore}
		if err := y.h.Subscribe(ignore); err != nil {
			y.t.Fatal(err)
		}
		kit.Put(y.t, y.h, hooks.Endpoint{ID: "foreign", Tenant: "other", URL: kit.AnyURL})
		y.publish("acme", 3)
		y.publish("other", 4)
		acme, other := y.h.Tenant("acme"), y.h.Tenant("other")
		all := hooks.Query{Types: []string{"**"}}
		a, err := acme.StartAction(y.t.Context(), hooks.Action{Kind: hooks.ActionCancel, Query: all})
		if err != nil || a.Total.N != 3 || a.Query.Tenant != "acme" {
			y.t.Fatalf("StartAction = %+v, %v; want a total of 3, acme's", a, err)
		}
		for _, id := range []string{"audit", "foreign", "unknown"} {
			_, err := acme.StartAction(y.t.Context(), hooks.Action{Kind: hooks.ActionBackfill, Query: hooks.Query{Subscriber: id, From: y.began}})
			if want := fmt.Sprintf("hooks: backfill to %q: hooks: not found", id); err == nil || err.Error() != want {
				y.t.Errorf("StartAction(backfill to %s) = %v; want %s", id, err, want)
			}
		}
		_, err = acme.StartAction(y.t.Context(), hooks.Action{Kind: hooks.ActionErase, Query: hooks.Query{Tenant: "other"}})
		kit.WantInvalid(y.t, err, "Query.Tenant", nil, "is not yours")
		for _, call := range []func(context.Context, string) (hooks.Action, error){other.Action, other.StopAction} {
			if _, err := call(y.t.Context(), a.ID); !errors.Is(err, hooks.ErrNotFound) {
				y.t.Errorf("of another tenant's action: %v; want ErrNotFound", err)
			}
		}
		if page, next, err := other.Actions(y.t.Context(), hooks.Query{}); len(page) > 0 || next != "" || err != nil {
			y.t.Errorf("Actions of the other tenant = %v, %q, %v; want none", page, next, err)
		}
		ctx, cancel := context.WithCancel(y.t.Context())
		done := make(chan error, 1)
		go func() { done <- y.h.Run(ctx) }()
		time.Sleep(time.Minute)
		cancel()
		if err := <-done; err != nil {
			y.t.Fatal(err)
		}
		if a, err := acme.Action(y.t.Context(), a.ID); err != nil || a.Done+a.Skipped != 3 || a.Finished.IsZero() {
			y.t.Errorf("Action = %+v, %v; want 3 rows", a, err)
		}
		for _, d := range kit.Deliveries(y.t, y.h) {
			if d.Status == hooks.Canceled && d.Subscriber != "crm" {
				y.t.Errorf("%v was canceled", d.DeliveryID)
			}
		}
	})
}

func TestStartActionRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, memory.New())
		since := hooks.Query{From: time.Now()}
		for _, c := range []struct {
			a             hooks.Action
			field, advice string
		}{
			{hooks.Action{Kind: "purge", Query: since}, "Action.Kind", "give replay, cancel, backfill or erase"},
			{hooks.Action{ID: "a b", Kind: hooks.ActionReplay, Query: since}, "Action.ID", "letters, digits"},
			{hooks.Action{Kind: hooks.ActionReplay, Query: since, By: "a\nb"}, "Action.By", "control character"},
			{hooks.Action{Kind: hooks.ActionReplay, Query: since, By: strings.Repeat("k", 129)}, "Action.By", "at most 128"},
			{hooks.Action{Kind: hooks.ActionReplay, Query: since, Rate: hooks.Rate{N: 5}}, "Action.Rate", "two positive numbers"},
			{hooks.Action{Kind: hooks.ActionReplay, Query: since, Rate: hooks.Rate{N: -1, Per: time.Second}}, "Action.Rate", "two positive numbers"},
			{hooks.Action{Kind: hooks.ActionReplay, Query: since, Rate: hooks.Rate{N: 1, Per: 2 * time.Hour}}, "Action.Rate", "at least one an hour"},
			{hooks.Action{Kind: hooks.ActionReplay, Query: hooks.Query{Limit: 5}}, "Query.Limit", "leave it empty"},
			{hooks.Action{Kind: hooks.ActionReplay, Query: hooks.Query{Key: "k"}}, "Query.Key", "leave it empty"},
			{hooks.Action{Kind: hooks.ActionErase, Query: hooks.Query{Subscriber: "crm"}}, "Query.Subscriber", "leave it empty"},
			{hooks.Action{Kind: hooks.ActionCancel, Query: hooks.Query{Statuses: []hooks.Status{hooks.Failed}}}, "Query.Statuses", "pending, retrying or sending"},
			{hooks.Action{Kind: hooks.ActionBackfill, Query: since}, "Query.Subscriber", "to which endpoint"},
			{hooks.Action{Kind: hooks.ActionBackfill, Query: hooks.Query{Subscriber: "crm"}}, "Query.From", "since when"},
			{hooks.Action{Kind: hooks.ActionBackfill, Query: hooks.Query{Subscriber: "crm", From: since.From, Tenant: "other"}}, "Query.Tenant", "its own tenant"},
			{hooks.Action{Kind: hooks.ActionBackfill, Query: hooks.Query{Subscriber: "crm", From: since.From, Types: []string{"old.type"}}}, "Query.Types", "none of these types"},
		} {
			for _, dry := range []bool{false, true} {
				c.a.DryRun = dry
				_, err := y.h.StartAction(t.Context(), c.a)
				kit.WantInvalid(t, err, c.field, nil, c.advice)
			}
		}
		for _, k := range everyKind {
			for _, q := range []hooks.Query{{}, {Types: []string{}, Statuses: []hooks.Status{}}} {
				_, err := y.h.StartAction(t.Context(), hooks.Action{Kind: k, Query: q})
				kit.WantInvalid(t, err, "Action.Query", nil, "it is empty, so that it would select everything")
				_, err = y.h.Tenant("acme").StartAction(t.Context(), hooks.Action{Kind: k, Query: q})
				kit.WantInvalid(t, err, "Action.Query", nil, "it is empty, so that it would select everything")
			}
		}
		_, _, err := y.h.Actions(t.Context(), hooks.Query{Subscriber: "crm"})
		kit.WantInvalid(t, err, "Query.Subscriber", nil, "leave it empty")
		_, _, err = y.h.Actions(t.Context(), hooks.Query{Cursor: "x"})
		kit.WantInvalid(t, err, "Query.Cursor", nil, "the page before")
	})
}

// At most 100 actions of one view are unfinished.
func TestTooManyActions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, memory.New())
		y.publish("acme", 1)
		a := hooks.Action{Kind: hooks.ActionReplay, Query: queryFor(hooks.ActionReplay)}
		var last hooks.Action
		for range 100 {
			last = y.start(a)
			time.Sleep(time.Second)
		}
		_, err := y.h.StartAction(t.Context(), a)
		kit.WantInvalid(t, err, "Action", nil, "100 actions are unfinished")
		if _, err := y.h.Tenant("acme").StartAction(t.Context(), a); err != nil {
			t.Errorf("StartAction of a tenant = %v; want nil", err)
		}
		if _, err := y.h.StopAction(t.Context(), last.ID); err != nil {
			t.Fatal(err)
		}
		y.start(a)
		var ids []string
		for a, err := range hooks.All(t.Context(), y.h.Actions, hooks.Query{Limit: 7}) {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, a.ID)
		}
		if len(ids) != 102 || !slices.IsSortedFunc(ids, func(a, b string) int { return strings.Compare(b, a) }) {
			t.Errorf("Actions lists %d: %v; want 102, the newest first", len(ids), ids)
		}
	})
}

// Actions that have finished 90 days ago are forgotten, and those of a later version of the
// library are left alone.
func TestOldActionsAreForgotten(t *testing.T) {
	inYards(t, func(y *yard) {
		y.fail(1)
		const later = `{"form":9,"id":"act_later","kind":"replay"}`
		if _, err := y.store.Put(y.t.Context(), time.Now(), hooks.Record{Key: "action/act_later", Data: []byte(later)}, nil); err != nil {
			y.t.Fatal(err)
		}
		old := y.start(hooks.Action{Kind: hooks.ActionReplay, Query: queryFor(hooks.ActionReplay)})
		y.run(time.Minute)
		unfinished := y.start(hooks.Action{Kind: hooks.ActionErase, Query: queryFor(hooks.ActionErase)})
		time.Sleep(89 * 24 * time.Hour)
		list := func() (ids []string) {
			if err := y.h.Prune(y.t.Context()); err != nil {
				y.t.Fatal(err)
			}
			page, _, err := y.process().Actions(y.t.Context(), hooks.Query{})
			if err != nil {
				y.t.Fatal(err)
			}
			for _, a := range page {
				ids = append(ids, a.ID)
			}
			return ids
		}
		if got, want := list(), []string{unfinished.ID, old.ID}; !slices.Equal(got, want) {
			y.t.Errorf("Actions after 89 days = %v; want %v", got, want)
		}
		time.Sleep(2 * 24 * time.Hour)
		if got, want := list(), []string{unfinished.ID}; !slices.Equal(got, want) {
			y.t.Errorf("Actions after 91 days = %v; want %v", got, want)
		}
		records, err := y.store.Records(y.t.Context(), 0)
		if err != nil {
			y.t.Fatal(err)
		}
		for _, r := range records {
			if r.Key == "action/"+old.ID && len(r.Data) > 0 || r.Key == "action/act_later" && string(r.Data) != later {
				y.t.Errorf("record %s is %s", r.Key, r.Data)
			}
		}
		for _, call := range []func(context.Context, string) (hooks.Action, error){y.h.Action, y.h.StopAction} {
			if _, err := call(y.t.Context(), "act_later"); err == nil || !strings.Contains(err.Error(), "newer version") {
				y.t.Errorf("of an action of a later version: %v; want that a newer version wrote it", err)
			}
		}
	})
}

// An action that cannot go on says why.
func TestAnActionToADeletedEndpoint(t *testing.T) {
	inYards(t, func(y *yard) {
		since := time.Now()
		y.publish("acme", 10)
		kit.Put(y.t, y.h, hooks.Endpoint{ID: "new", Tenant: "acme", URL: kit.AnyURL})
		a := y.start(hooks.Action{
			Kind: hooks.ActionBackfill, Query: hooks.Query{Subscriber: "new", From: since}, Rate: hooks.Rate{N: 1, Per: time.Second},
		})
		y.run(1500 * time.Millisecond)
		if err := y.h.DeleteEndpoint(y.t.Context(), "new"); err != nil {
			y.t.Fatal(err)
		}
		kit.Put(y.t, y.h, hooks.Endpoint{ID: "new", Tenant: "acme", URL: kit.AnyURL})
		y.run(time.Minute)
		if got := y.wantAction(a.ID, 10, 2, 0, true); got.Error != `"new" was deleted.` || got.Stopped {
			y.t.Errorf("Error = %q, stopped %t; want that the endpoint was deleted", got.Error, got.Stopped)
		}
	})
}

// What somebody has decided about since the start, or an attempt has changed, is skipped.
func TestRowsThatOthersHaveChangedAreSkipped(t *testing.T) {
	inYards(t, func(y *yard) {
		ids := y.schedule(4)
		a := y.start(hooks.Action{Kind: hooks.ActionCancel, Query: hooks.Query{Subscriber: "crm"}, Rate: hooks.Rate{N: 1, Per: time.Second}})
		time.Sleep(time.Second)
		y.respond(500)
		if _, err := y.h.Replay(y.t.Context(), hooks.DeliveryID{Event: ids[3], Subscriber: "crm"}); err != nil {
			y.t.Fatal(err)
		}
		y.run(time.Minute) // it is tried, fails, and waits for its retry
		y.wantAction(a.ID, 4, 3, 1, true)
		if d := kit.Delivery(y.t, y.h, ids[3], "crm"); d.Status != hooks.Retrying {
			y.t.Errorf("%v is %v; want it retrying", d.DeliveryID, d.Status)
		}
	})
}

// Of two processes on one store, one carries out an action. When its Run ends, the other one
// goes on at once, at the same rate. Until then it leaves the action alone.
func TestAnActionIsHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, kit.NewClockedStore(t, 0))
		ids := y.fail(9)
		a := y.start(hooks.Action{Kind: hooks.ActionReplay, Query: queryFor(hooks.ActionReplay), Rate: hooks.Rate{N: 2, Per: time.Second}})
		y.respond(200)
		stop := kit.StartInBubble(t, y.process())
		time.Sleep(100 * time.Millisecond)
		kit.StartInBubble(t, y.process())
		time.Sleep(1500 * time.Millisecond)
		y.wantAction(a.ID, 9, 4, 0, false)
		stop()
		time.Sleep(3500 * time.Millisecond)
		y.wantAction(a.ID, 9, 9, 0, true)
		sent, at := y.received()
		if !slices.Equal(sorted(sent), sorted(ids)) {
			t.Errorf("sent %v; want each of %v once", sent, ids)
		}
		for i := range at[2:] {
			if at[i+2]-at[i] < 700*time.Millisecond {
				t.Errorf("requests came at %v; want two a second", at)
			}
		}
	})
}

// A notice about a handler's delivery is for handlers only, and so it stays in a backfill.
func TestABackfillKeepsNoticesFromEndpoints(t *testing.T) {
	inYards(t, func(y *yard) {
		pager, called := kit.Counting("pager")
		pager.Events = []string{"hooks.**"}
		bad := hooks.Handler{Name: "bad", Events: []string{"invoice.*"}, Func: func(context.Context, hooks.Event) error {
			return hooks.Permanent(errors.New("no"))
		}}
		for _, s := range []hooks.Handler{pager, bad} {
			if err := y.h.Subscribe(s); err != nil {
				y.t.Fatal(err)
			}
		}
		defer kit.StartInBubble(y.t, y.h)()
		kit.Publish(y.t, y.h, kit.InvoicePaid.New(kit.Invoice{}))
		time.Sleep(time.Minute)
		if n := len(called.All()); n != 1 {
			y.t.Fatalf("%d notices; want 1", n)
		}
		kit.Put(y.t, y.h, hooks.Endpoint{ID: "ops", URL: kit.AnyURL, Events: []string{"hooks.**"}})
		a := y.start(hooks.Action{Kind: hooks.ActionBackfill, Query: hooks.Query{Subscriber: "ops", From: y.began}})
		time.Sleep(time.Minute)
		y.wantAction(a.ID, 1, 0, 1, true)
		if sent, _ := y.received(); len(sent) > 0 {
			y.t.Errorf("sent %v; want nothing", sent)
		}
	})
}
