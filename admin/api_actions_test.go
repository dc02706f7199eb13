package admin_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/hooks"
)

const replayOfCRM = `{"id":"act_2","kind":"replay","query":{"subscriber":"crm","statuses":["failed"]},"rate":{"n":5,"per_ms":1000}}`

func TestActionsByAPI(t *testing.T) {
	s := newSite(t, nil)
	var count struct{ Total hooks.Count }
	before := s.store.writes.Load()
	if s.api(t, "POST", "actions/count", replayOfCRM, 200, &count); count.Total.N != 1 || s.store.writes.Load() != before {
		t.Errorf("counted = %+v with %d writes; want 1, and none", count, s.store.writes.Load()-before)
	}
	s.audited()
	var a hooks.Action
	w := s.api(t, "POST", "actions", replayOfCRM, 201, &a)
	if a.ID != "act_2" || a.By != "kim" || a.Total.N != 1 || a.Rate.N != 5 || a.Rate.Per != time.Second || w.Header().Get("Location") != "actions/act_2" {
		t.Errorf("started = %s at %q; want the action, by kim", w.Body, w.Header().Get("Location"))
	}
	told := s.audited()
	if len(told) != 1 || told[0].Target != "act_2" || told[0].Count != 1 || told[0].Query == nil || told[0].Query.Subscriber != "crm" {
		t.Errorf("the audit was told %+v; want the id, the query and the count", told)
	}
	var again, stopped hooks.Action
	if s.api(t, "POST", "actions", replayOfCRM, 201, &again); !again.Started.Equal(a.Started) {
		t.Errorf("started again = %+v; want the one that there is, %+v", again, a)
	}
	if s.api(t, "POST", "actions/act_2/stop", "", 200, &stopped); !stopped.Stopped || stopped.Finished.IsZero() {
		t.Errorf("stopped = %+v", stopped)
	}
	if s.api(t, "GET", "actions/act_2", "", 200, &a); !a.Stopped {
		t.Errorf("read, it is %+v; want it stopped", a)
	}
	s.refused(t, "GET", "actions/none", "", 404)
	s.refused(t, "GET", "actions?subscriber=crm", "", 400)
}

func TestActionsThatAreRefused(t *testing.T) {
	s := newSite(t, nil)
	for body, field := range map[string]string{
		`{"kind":"replay","query":{}}`:                                                    "Action.Query",
		`{"kind":"burn","query":{"subscriber":"crm"}}`:                                    "Action.Kind",
		`{"kind":"replay","query":{"subscriber":"crm","statusses":["failed"]}}`:           "statusses",
		`{"kind":"replay","query":{"subscriber":"crm"},"rate":{"n":5,"per_s":1}}`:         "per_s",
		`{"kind":"replay","query":{"subscriber":"crm"},"by":"somebody else"}`:             "by",
		`{"kind":"replay","query":{"subscriber":"crm"},"dry_run":true}`:                   "dry_run",
		`{"kind":"replay","query":{"subscriber":"crm"},"done":7}`:                         "done",
		`{"kind":"replay","query":{"subscriber":"crm","limit":7}}`:                        "limit",
		`{"kind":"replay","query":{"subscriber":"crm"},"rate":{"n":-1,"per_ms":1000}}`:    "Action.Rate",
		`{"kind":"backfill","query":{"subscriber":"crm"}}`:                                "Query.From",
		`{"kind":"erase","query":{"subscriber":"crm"}}`:                                   "Query.Subscriber",
		`{"id":"no id","kind":"replay","query":{"subscriber":"crm"}}`:                     "Action.ID",
		`{"kind":"replay","query":{"types":["` + strings.Repeat(`a.b","`, 70) + `c.d"]}}`: "Query.Types",
	} {
		for _, path := range []string{"actions", "actions/count"} {
			if p := s.refused(t, "POST", path, body, 400); p.Field != field {
				t.Errorf("POST %s %s = field %q, %s; want %q", path, body, p.Field, p.Detail, field)
			}
		}
	}
}

func TestATenantsActionsByAPI(t *testing.T) {
	s := newSite(t, nil)
	list := func() (ids []string) {
		var page struct{ Actions []hooks.Action }
		s.api(t, "GET", "actions", "", 200, &page)
		for _, a := range page.Actions {
			ids = append(ids, a.ID)
		}
		slices.Sort(ids)
		return ids
	}
	if got := list(); !slices.Equal(got, []string{"act_1", "act_globex"}) {
		t.Errorf("the operator sees %v; want all", got)
	}
	s.as(customer)
	if got := list(); !slices.Equal(got, []string{"act_1"}) {
		t.Errorf("a tenant sees %v; want its own", got)
	}
	var count struct{ Total hooks.Count }
	if s.api(t, "POST", "actions/count", `{"kind":"replay","query":{"types":["invoice.*"]}}`, 200, &count); count.Total.N != 3 {
		t.Errorf("a tenant's count is %+v; want 3, its own deliveries", count.Total)
	}
	s.refused(t, "POST", "actions/count", `{"kind":"replay","query":{"tenant":"globex"}}`, 400)
}
