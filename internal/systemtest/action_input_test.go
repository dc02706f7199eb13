package systemtest_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

// A starter is a Hooks or a Tenant, as far as these tests need it.
type starter interface {
	Deliveries(context.Context, hooks.Query) ([]hooks.Delivery, string, error)
	StartAction(context.Context, hooks.Action) (hooks.Action, error)
}

// Lists and actions refuse a query that no row can match, and one that is too large to be
// kept in an action's record.
func TestQueriesRefuseWhatNoRowCanBe(t *testing.T) {
	h := kit.New(t, hooks.Config{})
	year10001 := time.Date(10_001, 1, 1, 0, 0, 0, 0, time.UTC)
	for field, q := range map[string]hooks.Query{
		"Query.Statuses":   {Statuses: []hooks.Status{hooks.Failed, 99}},
		"Query.From":       {From: year10001},
		"Query.To":         {To: year10001},
		"Query.Errors":     {Errors: make([]string, 65)},
		"Query.Codes":      {Codes: []int{1000}},
		"Query.Reasons":    {Reasons: []hooks.Reason{hooks.Reason(strings.Repeat("x", 200))}},
		"Query.Event":      {Event: strings.Repeat("e", 200)},
		"Query.Subscriber": {Subscriber: "a\xff"},
	} {
		for _, v := range []starter{h, h.Tenant("acme")} {
			_, _, err := v.Deliveries(t.Context(), q)
			kit.WantInvalid(t, err, field, nil, "")
			_, err = v.StartAction(t.Context(), hooks.Action{Kind: hooks.ActionReplay, Query: q})
			kit.WantInvalid(t, err, field, nil, "")
		}
	}
}

// So do all lists, as far as they look at the fields.
func TestListsRefuseWhatNoRowCanBe(t *testing.T) {
	h := kit.New(t, hooks.Config{})
	acme := h.Tenant("acme")
	long, year10001 := strings.Repeat("x", 129), time.Date(10_001, 1, 1, 0, 0, 0, 0, time.UTC)
	for list, c := range map[string]struct {
		calls   []func(hooks.Query) error
		refused map[string]hooks.Query
	}{
		"Events": {
			[]func(hooks.Query) error{
				func(q hooks.Query) error { return third(h.Events(t.Context(), q)) },
				func(q hooks.Query) error { return third(acme.Events(t.Context(), q)) },
			},
			map[string]hooks.Query{"Query.Event": {Event: long}, "Query.Key": {Key: "a\x00"}, "Query.From": {From: year10001}},
		},
		"Endpoints": {
			[]func(hooks.Query) error{func(q hooks.Query) error { return third(h.Endpoints(t.Context(), q)) }},
			map[string]hooks.Query{"Query.Tenant": {Tenant: long}},
		},
		"Backlog": {
			[]func(hooks.Query) error{
				func(q hooks.Query) error { return third(h.Backlog(t.Context(), q)) },
				func(q hooks.Query) error { return third(acme.Backlog(t.Context(), q)) },
			},
			map[string]hooks.Query{"Query.Subscriber": {Subscriber: "a\xff"}},
		},
		"Activity": {
			[]func(hooks.Query) error{
				func(q hooks.Query) error { return second(h.Activity(t.Context(), q)) },
				func(q hooks.Query) error { return second(acme.Activity(t.Context(), q)) },
			},
			map[string]hooks.Query{"Query.Subscriber": {Subscriber: long}, "Query.To": {To: year10001}},
		},
		"Actions": {
			[]func(hooks.Query) error{func(q hooks.Query) error { return third(h.Actions(t.Context(), q)) }},
			map[string]hooks.Query{"Query.Tenant": {Tenant: "a\x00"}},
		},
	} {
		for field, q := range c.refused {
			for _, call := range c.calls {
				t.Log(list)
				kit.WantInvalid(t, call(q), field, nil, "")
			}
		}
	}
}

// What StartAction has accepted, every process can read: of each field the longest value.
func TestActionsAreReadBack(t *testing.T) {
	inYards(t, func(y *yard) {
		long := strings.Repeat("x", 128)
		last := time.Date(9998, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
		full := hooks.Query{
			Event: long, Subscriber: "crm", Tenant: long, Types: []string{"**"}, From: time.Time{}.Add(time.Microsecond), To: last,
			Statuses: slices.Repeat([]hooks.Status{hooks.Pending, hooks.Retrying, hooks.Sending, hooks.Failed}, 16),
			Reasons:  slices.Repeat([]hooks.Reason{hooks.Reason(long)}, 64), Errors: slices.Repeat([]string{long}, 64),
		}
		for _, rate := range []hooks.Rate{
			{N: 1, Per: time.Hour}, {N: 1, Per: time.Nanosecond}, {N: math.MaxInt, Per: math.MaxInt64}, {N: math.MaxInt, Per: 1}, {N: 3, Per: time.Microsecond},
		} {
			a := y.start(hooks.Action{Kind: hooks.ActionReplay, Query: full, Rate: rate, By: long})
			if got, err := y.process().Action(y.t.Context(), a.ID); err != nil || !reflect.DeepEqual(got, a) {
				y.t.Errorf("Action = %+v, %v; want %+v", got, err, a)
			}
		}
	})
}

// A replay or cancel for a subscriber that does not exist, and has no rows from before, is
// ErrNotFound, for a dry run too.
func TestActionsForNoSubscriber(t *testing.T) {
	inYards(t, func(y *yard) {
		y.publish("acme", 2)
		if err := y.h.Subscribe(hooks.Handler{Name: "billing", Events: []string{"**"}, Func: kit.Ignore}); err != nil {
			y.t.Fatal(err)
		}
		kit.Put(y.t, y.h, hooks.Endpoint{ID: "foreign", Tenant: "globex", URL: kit.AnyURL})
		kit.Put(y.t, y.h, hooks.Endpoint{ID: "former", Tenant: "globex", URL: kit.AnyURL})
		if err := y.h.DeleteEndpoint(y.t.Context(), "former"); err != nil {
			y.t.Fatal(err)
		}
		acme := y.h.Tenant("acme")
		for _, c := range []struct {
			of         starter
			subscriber string
			found      bool
		}{
			{y.h, "crm", true},
			{y.h, "billing", true},
			{y.h, "foreign", true},
			{y.h, "former", false},
			{y.h, "nobody", false},
			{acme, "crm", true},
			{acme, "billing", false},
			{acme, "foreign", false},
			{acme, "former", false},
			{acme, "nobody", false},
		} {
			for _, k := range []hooks.ActionKind{hooks.ActionReplay, hooks.ActionCancel} {
				for _, dry := range []bool{true, false} {
					_, err := c.of.StartAction(y.t.Context(), hooks.Action{
						Kind: k, Query: hooks.Query{Subscriber: c.subscriber, Types: []string{"invoice.*"}}, DryRun: dry,
					})
					if errors.Is(err, hooks.ErrNotFound) == c.found || c.found && err != nil {
						y.t.Errorf("%T: %s of %q, dry %t = %v; want found %t", c.of, k, c.subscriber, dry, err, c.found)
					}
				}
			}
		}
		if err := y.h.DeleteEndpoint(y.t.Context(), "crm"); err != nil {
			y.t.Fatal(err)
		}
		if a := y.start(hooks.Action{Kind: hooks.ActionCancel, Query: hooks.Query{Subscriber: "crm"}}); a.Total.N != 2 {
			y.t.Errorf("cancel of a deleted endpoint's deliveries: total %v; want 2", a.Total)
		}
	})
}

// Counting what an action selects gives up after 200 pages. The action goes on to the end.
func TestCountingGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &paged{Store: memory.New()}
		y := newYard(t, store)
		kit.Put(t, y.h, hooks.Endpoint{ID: "ops", URL: kit.AnyURL})
		evs := slices.Repeat([]hooks.Event{kit.InvoicePaid.New(kit.Invoice{})}, 700)
		for i := range evs {
			evs[i].Tenant = "globex"
		}
		for range 30 {
			if _, err := y.h.PublishBatch(t.Context(), evs); err != nil {
				t.Fatal(err)
			}
		}
		kit.Publish(t, y.h, kit.InvoicePaid.New(kit.Invoice{}))
		store.pages.Store(0)
		a := y.start(hooks.Action{Kind: hooks.ActionBackfill, Query: hooks.Query{Subscriber: "ops", From: y.began}})
		if want := (hooks.Count{More: true}); a.Total != want || !a.Finished.IsZero() {
			t.Errorf("StartAction: total %v, finished %v; want %v, and unfinished", a.Total, a.Finished, want)
		}
		if n := store.pages.Load(); n > 201 { // and one for the newest event
			t.Errorf("counting has read %d pages; want at most 201", n)
		}
		y.run(time.Hour)
		y.wantAction(a.ID, 0, 0, 1, true)
	})
}

// A paged store counts the pages of events that are read.
type paged struct {
	hooks.Store
	pages atomic.Int64
}

func (s *paged) Unwrap() hooks.Store { return s.Store }

func (s *paged) Events(ctx context.Context, q hooks.Query) ([]hooks.Event, string, error) {
	s.pages.Add(1)
	return s.Store.Events(ctx, q)
}

// An ID names one action: started again with another query or kind, it is refused.
func TestAnIDNamesOneAction(t *testing.T) {
	inYards(t, func(y *yard) {
		y.fail(2)
		a := hooks.Action{ID: "nightly", Kind: hooks.ActionReplay, Query: queryFor(hooks.ActionReplay)}
		first := y.start(a)
		if again := y.start(a); again.Started != first.Started {
			y.t.Errorf("the same action began at %v again; want %v", again.Started, first.Started)
		}
		other := a
		other.Query.Statuses = []hooks.Status{hooks.Failed}
		_, err := y.h.StartAction(y.t.Context(), other)
		kit.WantInvalid(y.t, err, "Action.ID", nil, "another action")
		other = a
		other.Query.Tenant = "acme"
		_, err = y.h.StartAction(y.t.Context(), other)
		kit.WantInvalid(y.t, err, "Action.ID", nil, "another action")
		ofAcme := hooks.Action{ID: "acme", Kind: hooks.ActionReplay, Query: other.Query}
		y.start(ofAcme)
		ofAcme.Query.Tenant = ""
		_, err = y.h.StartAction(y.t.Context(), ofAcme)
		kit.WantInvalid(y.t, err, "Action.ID", nil, "another action")
		other = a
		other.Kind = hooks.ActionCancel
		_, err = y.h.StartAction(y.t.Context(), other)
		kit.WantInvalid(y.t, err, "Action.ID", nil, "another action")
	})
}

// One view may start a thousand actions in a day, also such that find nothing.
func TestActionsOfADayAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, memory.New())
		acme := y.h.Tenant("acme")
		a := hooks.Action{Kind: hooks.ActionReplay, Query: hooks.Query{Event: "unknown"}}
		for i := range 1_000 {
			if _, err := acme.StartAction(t.Context(), a); err != nil {
				t.Fatalf("StartAction number %d: %v", i+1, err)
			}
		}
		_, err := acme.StartAction(t.Context(), a)
		kit.WantInvalid(t, err, "Action", nil, "in the last day")
		if _, err := y.h.StartAction(t.Context(), a); err != nil {
			t.Errorf("the operator's StartAction: %v; want none of the tenant's bound", err)
		}
		time.Sleep(25 * time.Hour)
		if _, err := acme.StartAction(t.Context(), a); err != nil {
			t.Errorf("StartAction a day later: %v", err)
		}
	})
}

// A list of actions may be of one tenant, and each action says whose it is.
func TestActionsSayWhoseTheyAre(t *testing.T) {
	inYards(t, func(y *yard) {
		y.fail(1)
		acme := y.h.Tenant("acme")
		a, err := acme.StartAction(y.t.Context(), hooks.Action{Kind: hooks.ActionReplay, Query: queryFor(hooks.ActionReplay), Tenant: "ignored"})
		if err != nil || a.Tenant != "acme" {
			y.t.Fatalf("StartAction = %+v, %v; want one of acme", a, err)
		}
		y.start(hooks.Action{Kind: hooks.ActionReplay, Query: queryFor(hooks.ActionReplay)})
		for q, want := range map[string]string{"": "[ acme]", "acme": "[acme]", "globex": "[]"} {
			page, _, err := y.h.Actions(y.t.Context(), hooks.Query{Tenant: q})
			var whose []string
			for _, a := range page {
				whose = append(whose, a.Tenant)
			}
			if got := fmt.Sprint(whose); err != nil || got != want {
				y.t.Errorf("Actions(Tenant %q) are of %s, %v; want %s", q, got, err, want)
			}
		}
		if page, _, err := acme.Actions(y.t.Context(), hooks.Query{Tenant: "acme"}); err != nil || len(page) != 1 {
			y.t.Errorf("a tenant's own Actions(Tenant) = %v, %v; want one", page, err)
		}
		_, _, err = acme.Actions(y.t.Context(), hooks.Query{Tenant: "globex"})
		kit.WantInvalid(y.t, err, "Query.Tenant", nil, "")
	})
}
