package admin_test

import (
	"net/http"
	"strings"
	"testing"
)

// A filter that cannot be read must not be left out: the list would show too much.
func TestAQueryStringThatCannotBeReadIsRefused(t *testing.T) {
	s := newSite(t, nil)
	before := s.store.writes.Load()
	for _, query := range []string{"subscriber=erp;x=1", "subscriber=100%", "a;b", "status=failed&%zz=1", strings.Repeat("status=failed&", 10_001)} {
		for _, address := range []string{
			"GET /deliveries", "GET /failures", "GET /events", "GET /endpoints", "GET /actions/new", "GET /search", "GET /types",
			"GET /deliveries/evt_failed.crm", "POST /deliveries/evt_failed.crm/replay", "GET /api/v1/deliveries", "GET /api/v1/events",
			"GET /api/v1/actions", "GET /api/v1/endpoints", "GET /api/v1/health", "POST /api/v1/deliveries/evt_failed.crm/replay",
		} {
			method, path, _ := strings.Cut(address, " ")
			w := s.do(t, method, path+"?"+query, "")
			if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "The part of the address after the question mark") {
				t.Errorf("%s?%.40s = %d %s; want 400 that names the query string", address, query, w.Code, said(w))
			}
		}
	}
	if n := s.store.writes.Load() - before; n > 0 {
		t.Errorf("the store was written %d times; want none", n)
	}
	if w := s.do(t, http.MethodGet, "/api/v1/deliveries?subscriber=a%3Bb%25", ""); w.Code != http.StatusOK {
		t.Errorf("an escaped semicolon and percent sign = %d %s; want 200", w.Code, w.Body)
	}
}
