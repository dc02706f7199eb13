package systemtest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
