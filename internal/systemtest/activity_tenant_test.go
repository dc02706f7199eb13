package systemtest_test

import (
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
)

// delivered makes n deliveries, of events of a tenant.
func delivered(t *testing.T, h *hooks.Hooks, tenant string, n int) {
	t.Helper()
	for i := range n {
		ev := kit.InvoicePaid.New(kit.Invoice{Number: i})
		ev.Tenant = tenant
		kit.Publish(t, h, ev)
	}
	synctest.Wait()
}

// withoutTook returns a copy of counters without Took, in which tests of tenants are not interested.
func withoutTook(list []hooks.Minute) []hooks.Minute {
	list = slices.Clone(list)
	for i := range list {
		list[i].Took = [13]int{}
	}
	return list
}

// A tenant's activity is that of its endpoints, added up, and nothing else. The operator
// sees everything, deleted endpoints and handlers included.
func TestTenantsSeeTheirOwnActivity(t *testing.T) {
	inMetered(t, func(t *testing.T, s *metered) {
		h := kit.Dispatching(t, hooks.Config{
			Store: s, Logger: kit.Silent, Transport: &caller{status: 200},
		}, hooks.Handler{Name: "audit", Func: kit.Ignore})
		midnight := time.Now().UTC()
		for id, tenant := range map[string]string{"a1": "acme", "a2": "acme", "gone": "acme", "r1": "rival", "shared": ""} {
			kit.Put(t, h, hooks.Endpoint{ID: id, Tenant: tenant, URL: kit.AnyURL})
		}
		delivered(t, h, "acme", 2)
		delivered(t, h, "rival", 5)
		delivered(t, h, "", 1)
		time.Sleep(7 * time.Minute)
		delivered(t, h, "acme", 1)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if err := h.DeleteEndpoint(t.Context(), "gone"); err != nil {
			t.Fatal(err)
		}
		at := func(minutes int, subscriber string, n int) hooks.Minute {
			return hooks.Minute{Start: midnight.Add(time.Duration(minutes) * time.Minute), Subscriber: subscriber, Succeeded: n}
		}
		acme, rival := h.Tenant("acme").Activity, h.Tenant("rival").Activity
		for _, c := range []struct {
			what string
			got  []hooks.Minute
			want []hooks.Minute
		}{
			{"the operator's", activity(t, h.Activity, hooks.Query{}), []hooks.Minute{at(0, "", 6+5+1+8), at(7, "", 4)}},
			{"the operator's of a deleted endpoint", activity(t, h.Activity, hooks.Query{Subscriber: "gone"}), []hooks.Minute{at(0, "gone", 2), at(5, "gone", 1)}},
			{"the operator's of a handler", activity(t, h.Activity, hooks.Query{Subscriber: "audit"}), []hooks.Minute{at(0, "audit", 8), at(5, "audit", 1)}},
			{"acme's", activity(t, acme, hooks.Query{}), []hooks.Minute{at(0, "", 4), at(5, "", 2)}},
			{"acme's from 00:05", activity(t, acme, hooks.Query{From: midnight.Add(5 * time.Minute)}), []hooks.Minute{at(5, "", 2)}},
			{"acme's to 00:05", activity(t, acme, hooks.Query{To: midnight.Add(5 * time.Minute)}), []hooks.Minute{at(0, "", 4)}},
			{"acme's of a1", activity(t, acme, hooks.Query{Subscriber: "a1"}), []hooks.Minute{at(0, "a1", 2), at(5, "a1", 1)}},
			{"acme's of its deleted one", activity(t, acme, hooks.Query{Subscriber: "gone"}), nil},
			{"acme's of rival's", activity(t, acme, hooks.Query{Subscriber: "r1"}), nil},
			{"acme's of a handler", activity(t, acme, hooks.Query{Subscriber: "audit"}), nil},
			{"acme's of nobody's", activity(t, acme, hooks.Query{Subscriber: "shared"}), nil},
			{"acme's of what does not exist", activity(t, acme, hooks.Query{Subscriber: "none"}), nil},
			{"rival's", activity(t, rival, hooks.Query{}), []hooks.Minute{at(0, "", 5)}},
			{"that of a tenant without endpoints", activity(t, h.Tenant("new").Activity, hooks.Query{}), nil},
		} {
			if got := withoutTook(c.got); !slices.Equal(got, c.want) {
				t.Errorf("Activity, %s, =\n%v; want\n%v", c.what, got, c.want)
			}
		}
	})
}

// An endpoint that has the id of a deleted one shows nothing of it: neither what was counted
// before, nor an attempt that ends later.
func TestActivityOfAnEndpointPutAgainHasNothingOfTheOld(t *testing.T) {
	inMetered(t, func(t *testing.T, s *metered) {
		var calls atomic.Int64
		web := kit.Exchange(func(r *http.Request) (*http.Response, error) {
			if r.URL.String() == oldURL && calls.Add(1) > 3 {
				time.Sleep(20 * time.Minute)
				return kit.Answer(500, nil, ""), nil
			}
			return kit.Answer(200, nil, ""), nil
		})
		h := kit.Dispatching(t, hooks.Config{Store: s, Logger: kit.Silent, Transport: web})
		kit.Put(t, h, hooks.Endpoint{ID: "crm", Tenant: "acme", URL: oldURL, Timeout: time.Hour, Retry: []time.Duration{}})
		delivered(t, h, "acme", 3)
		delivered(t, h, "acme", 1) // under way for 20 minutes
		time.Sleep(4*time.Minute + 30*time.Second)
		if err := h.DeleteEndpoint(t.Context(), "crm"); err != nil {
			t.Fatal(err)
		}
		kit.Put(t, h, hooks.Endpoint{ID: "crm", Tenant: "rival", URL: newURL}) // 30 s before the next border
		rival := h.Tenant("rival")
		time.Sleep(time.Minute)
		delivered(t, h, "rival", 1) // in the first minutes, which are left out
		time.Sleep(30 * time.Minute)
		if got := activity(t, rival.Activity, hooks.Query{}); len(got) > 0 {
			t.Errorf("Activity of the new endpoint's tenant = %v; want nothing of the old one", got)
		}
		if is, err := rival.EndpointHealth(t.Context(), "crm"); err != nil || is.LastError != "" || is.LastCode != 0 || is.Failures != 0 {
			t.Errorf("EndpointHealth = %+v, %v; want nothing of the old endpoint", is, err)
		}
		delivered(t, h, "rival", 2)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for _, q := range []hooks.Query{{}, {Subscriber: "crm"}, {From: time.Now().Add(-time.Hour)}} {
			if ok, failed := attempts(activity(t, rival.Activity, q)); ok != 2 || failed != 0 {
				t.Errorf("Activity(%+v) counts %d and %d; want 2 and 0, its own", q, ok, failed)
			}
		}
		if ok, failed := attempts(activity(t, h.Activity, hooks.Query{})); ok != 6 || failed != 1 {
			t.Errorf("the operator's Activity counts %d and %d; want all, 6 and 1", ok, failed)
		}
	})
}
