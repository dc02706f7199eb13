package systemtest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
)

// EndpointHealths says of each endpoint what EndpointHealth says of it, page by page, and
// reads the backlog once a page.
func TestManyHealthsAreReadAtOnce(t *testing.T) {
	for name, open := range stores(t) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &kit.CountingStore{Store: open(t)}
				h := fiveStates(t, store)
				for _, v := range []interface {
					EndpointHealth(context.Context, string) (hooks.EndpointHealth, error)
					EndpointHealths(context.Context, hooks.Query) ([]hooks.EndpointHealth, string, error)
				}{h, h.Tenant("acme")} {
					store.Backlogs.Store(0)
					var got []hooks.EndpointHealth
					for is, err := range hooks.All(t.Context(), v.EndpointHealths, hooks.Query{Limit: 2}) {
						if err != nil {
							t.Fatal(err)
						}
						got = append(got, is)
					}
					if n := store.Backlogs.Load(); n != int64(len(got)+1)/2 {
						t.Errorf("%T: %d endpoints by two cost %d readings of the backlog", v, len(got), n)
					}
					for _, is := range got {
						if want, err := v.EndpointHealth(t.Context(), is.Endpoint); err != nil || !reflect.DeepEqual(is, want) {
							t.Errorf("%T.EndpointHealths has %+v; EndpointHealth says %+v, %v", v, is, want, err)
						}
					}
				}
			})
		})
	}
}

// fiveStates returns a Hooks that runs, with the endpoints a to e of acme and f of globex.
// The endpoint b fails and c is disabled. Something waits for these two.
func fiveStates(t *testing.T, store hooks.Store) *hooks.Hooks {
	h := kit.New(t, hooks.Config{Store: store, Transport: kit.Exchange(func(r *http.Request) (*http.Response, error) {
		if r.Host == "b.example" {
			return kit.Answer(http.StatusServiceUnavailable, nil, ""), nil
		}
		return kit.Answer(http.StatusOK, nil, ""), nil
	})})
	for _, id := range []string{"a", "b", "c", "d", "e", "f"} {
		e := hooks.Endpoint{ID: id, Tenant: "acme", URL: "https://" + id + ".example/", Events: []string{"invoice.*"}}
		if id == "f" {
			e.Tenant = "globex"
		}
		kit.Put(t, h, e)
	}
	if err := h.DisableEndpoint(t.Context(), "c", "moving", time.Time{}); err != nil {
		t.Fatal(err)
	}
	kit.StartInBubble(t, h)
	for i := range 4 {
		ev := kit.InvoicePaid.New(kit.Invoice{Number: i})
		ev.Tenant = "acme"
		kit.Publish(t, h, ev)
	}
	time.Sleep(time.Minute)
	return h
}

func TestEndpointsAreListedByState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := fiveStates(t, stores(t)["memory"](t))
		for _, c := range []struct {
			states []hooks.EndpointState
			limit  int
			want   string
		}{
			{nil, 0, "[a b c d e f]"},
			{[]hooks.EndpointState{hooks.StateFailing}, 0, "[b]"},
			{[]hooks.EndpointState{hooks.StateFailing, hooks.StateDisabled, hooks.StateNoKey}, 1, "[b c]"},
			{[]hooks.EndpointState{hooks.StateWorking}, 2, "[a d e f]"},
			{[]hooks.EndpointState{hooks.StateNoKey}, 0, "[]"},
		} {
			q := hooks.Query{States: c.states, Limit: c.limit}
			ids := []string{}
			for e, err := range hooks.All(t.Context(), h.Endpoints, q) {
				if err != nil {
					t.Fatal(err)
				}
				ids = append(ids, e.ID)
			}
			if got := fmt.Sprint(ids); got != c.want {
				t.Errorf("Endpoints(%v by %d) = %s; want %s", c.states, c.limit, got, c.want)
			}
			ids = ids[:0]
			for is, err := range hooks.All(t.Context(), h.EndpointHealths, q) {
				if err != nil {
					t.Fatal(err)
				}
				ids = append(ids, is.Endpoint)
			}
			if got := fmt.Sprint(ids); got != c.want {
				t.Errorf("EndpointHealths(%v by %d) = %s; want %s", c.states, c.limit, got, c.want)
			}
		}
	})
}

func TestStatesThatDoNotExist(t *testing.T) {
	h := kit.New(t, hooks.Config{Store: stores(t)["memory"](t)})
	for _, err := range []error{
		third(h.Endpoints(t.Context(), hooks.Query{States: []hooks.EndpointState{"wrong"}})),
		third(h.EndpointHealths(t.Context(), hooks.Query{States: []hooks.EndpointState{""}})),
		third(h.EndpointHealths(t.Context(), hooks.Query{Event: "evt_1"})),
		third(h.Deliveries(t.Context(), hooks.Query{States: []hooks.EndpointState{hooks.StateFailing}})),
	} {
		if _, ok := errors.AsType[*hooks.InvalidError](err); !ok {
			t.Errorf("%v; want an InvalidError", err)
		}
	}
}
