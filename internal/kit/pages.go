package kit

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"example.com/hooks"
)

// pages are the addresses of the admin handler that are measured, by who opens them. Words in
// braces stand for a parameter of chance.
var pages = []struct {
	tenant    bool // a customer opens it; else the operator
	most      time.Duration
	addresses []string
}{
	{false, aPage, []string{
		"/",
		"/deliveries",
		"/deliveries?status=pending",
		"/deliveries?status=retrying",
		"/deliveries?status=succeeded",
		"/deliveries?status=failed",
		"/deliveries?status=failed&error={class}",
		"/deliveries?error={class}",
		"/deliveries?subscriber={endpoint}",
		"/deliveries?subscriber={endpoint}&status=failed",
		"/deliveries?subscriber=" + Busy,
		"/deliveries?subscriber=" + Busy + "&status=retrying",
		"/deliveries?subscriber=" + Busy + "&status=succeeded",
		"/deliveries?subscriber=" + Quiet + "&status=failed",
		"/deliveries?tenant={tenant}",
		"/deliveries?tenant={tenant}&status=failed",
		"/deliveries?tenant=" + SmallTenant,
		"/deliveries?type={type}",
		"/deliveries?type=" + RareType,
		"/deliveries?type=group_1.*&subscriber={endpoint}",
		"/deliveries?since=24h",
		"/deliveries?since=24h&type=" + RareType + "&status=failed",
		"/deliveries?from={time}&type=" + RareType,
		"/failures",
		"/failures?subscriber={endpoint}",
		"/failures?tenant={tenant}&error={class}",
		"/events",
		"/events?tenant={tenant}",
		"/events?type=" + RareType,
		"/events?key=key_{event}",
		"/search?q={event}",
		"/endpoints",
		"/endpoints?limit=200",
		"/endpoints?tenant={tenant}&state=working",
		"/endpoints/{endpoint}",
		"/endpoints/" + Busy,
		"/endpoints/" + Quiet,
		"/types",
		"/actions",
		"/system",
		"/api/v1/endpoint-healths?limit=200",
		"/api/v1/backlog",
		"/api/v1/activity",
		"/api/v1/deliveries?limit=200",
	}},
	{false, aPage, []string{"/deliveries/{delivery}", "/events/{event}"}},
	{false, aCount, []string{
		"/actions/new?kind=replay&status=failed", "/actions/new?kind=replay&subscriber=" + Busy + "&status=pending",
	}},
	{false, byID, []string{
		"/api/v1/events/{event}", "/api/v1/deliveries/{delivery}", "/api/v1/deliveries/{delivery}/attempts", "/api/v1/endpoints/{endpoint}",
	}},
	{true, aPage, []string{
		"/",
		"/deliveries",
		"/deliveries?status=failed",
		"/deliveries?status=retrying",
		"/deliveries?type=" + RareType,
		"/failures",
		"/events",
		"/events?type=" + RareType,
		"/endpoints",
		"/types",
		"/actions",
	}},
}

// CustomerPages are the lists, counts and states of the admin handler that the customer
// [SmallTenant] of an [Archive] can ask for.
var CustomerPages = []string{
	"/", "/deliveries", "/deliveries?status=failed", "/deliveries?status=retrying", "/deliveries?status=succeeded", "/deliveries?status=canceled",
	"/deliveries?type=" + RareType, "/deliveries?type=group_1.*&status=failed", "/deliveries?since=30d", "/deliveries?error=status",
	"/deliveries?subscriber=endpoint_small", "/deliveries?subscriber=endpoint_small&status=failed", "/deliveries?subscriber=" + Busy,
	"/deliveries?order=oldest&limit=5", "/failures", "/failures?error=timeout", "/failures?subscriber=endpoint_small",
	"/events", "/events?type=" + RareType, "/events?type=group_0.*", "/events?since=24h", "/endpoints", "/endpoints?state=failing",
	"/endpoints/endpoint_small", "/types", "/actions", "/actions/new?kind=replay&status=failed", "/actions/new?kind=erase&type=group_1.*",
	"/actions/new?kind=backfill&subscriber=endpoint_small&from=2000-01-01T00:00:00Z", "/search?q=nothing",
	"/api/v1/deliveries?limit=200", "/api/v1/events?limit=200", "/api/v1/failures", "/api/v1/backlog", "/api/v1/activity", "/api/v1/endpoint-healths",
}

// Pages returns a call of each page of the admin handler on an archive. mount returns the
// handler for a customer, or for the operator if tenant is empty.
func (a *Archive) Pages(t *testing.T, s hooks.Store, mount func(h *hooks.Hooks, tenant string) http.Handler) (list []Read) {
	t.Helper()
	r := &reading{h: NewArchived(t, s), s: s, a: a}
	handlers := make(map[string]http.Handler)
	for _, group := range pages {
		for _, address := range group.addresses {
			name := address
			if group.tenant {
				name += " of a customer"
			}
			list = append(list, Read{name, group.most, func(ctx context.Context, i int) error {
				r.rng = rand.New(rand.NewPCG(3, uint64(i)))
				tenant := ""
				if group.tenant {
					tenant = r.tenant()
				}
				if handlers[tenant] == nil {
					handlers[tenant] = mount(r.h, tenant)
				}
				return open(ctx, handlers[tenant], r.fill(address))
			}})
		}
	}
	return list
}

// fill puts parameters into an address.
func (r *reading) fill(address string) string {
	d := r.any()
	return strings.NewReplacer(
		"{class}", r.class(), "{endpoint}", r.endpoint(), "{tenant}", r.tenant(), "{type}", r.typ(),
		"{event}", d.id.Event, "{delivery}", d.id.String(), "{time}", url.QueryEscape(r.at(0.5).Format(time.RFC3339)),
	).Replace(address)
}

// open opens an address, and returns an error unless the answer is a page, or leads to one.
func open(ctx context.Context, h http.Handler, address string) error {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", address, nil))
	if w.Code != http.StatusOK && w.Code != http.StatusSeeOther {
		return fmt.Errorf("GET %s = %d %s", address, w.Code, w.Body)
	}
	return nil
}
