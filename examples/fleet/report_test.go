package main

import (
	"strings"
	"testing"
	"time"
)

func TestAuditCountsWhatReceiversHaveSeen(t *testing.T) {
	events := []string{"e0", "e1", "e2", "e3"}
	of := func(event string, number int, account string) arrival {
		return arrival{event, time.Time{}, Order{number, account}}
	}
	for _, c := range []struct {
		name     string
		arrivals []arrival
		ordered  bool
		want     report
	}{
		{"as promised", []arrival{of("e0", 0, "a"), of("e1", 1, ""), of("e2", 2, "a"), of("e3", 3, "")}, true, report{}},
		{"one lost", []arrival{of("e0", 0, "a"), of("e1", 1, ""), of("e2", 2, "a")}, true, report{lost: 1}},
		{"all lost, another run's taken", []arrival{of("x0", 0, "a")}, true, report{lost: 4}},
		{
			"repeated after the kill",
			[]arrival{of("e0", 0, "a"), of("e1", 1, ""), of("e0", 0, "a"), of("e2", 2, "a"), of("e3", 3, "")},
			true,
			report{repeated: 1},
		},
		{
			"repeated without it",
			[]arrival{of("e0", 0, "a"), of("e1", 1, ""), of("e1", 1, ""), of("e2", 2, "a"), of("e3", 3, "")},
			true,
			report{late: 1},
		},
		{"out of order", []arrival{of("e2", 2, "a"), of("e1", 1, ""), of("e0", 0, "a"), of("e3", 3, "")}, true, report{disorder: 1}},
		{"nobody wants order", []arrival{of("e2", 2, "a"), of("e1", 1, ""), of("e0", 0, "a"), of("e3", 3, "")}, false, report{}},
		{
			"repeated after its successor",
			[]arrival{of("e0", 0, "a"), of("e1", 1, ""), of("e2", 2, "a"), of("e0", 0, "a"), of("e3", 3, "")},
			true,
			report{repeated: 1, disorder: 1},
		},
	} {
		var got report
		got.audit(events, c.arrivals, c.ordered, map[string]bool{"e0": true})
		if got.lost != c.want.lost || got.disorder != c.want.disorder || got.repeated != c.want.repeated || got.late != c.want.late {
			t.Errorf("%s: audit = %+v; want %+v", c.name, got, c.want)
		}
	}
}

func TestBrokenPromisesAreErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		r    report
		want string // in the error; empty: none
	}{
		{"as promised", report{events: 1, deliveries: 3, repeated: 2, late: 1, refused: 5}, ""},
		{"lost", report{lost: 1}, "1 deliveries are lost"},
		{"not succeeded", report{unmade: 2}, "2 deliveries have not succeeded"},
		{"out of order", report{disorder: 3}, "3 events came out of order"},
	} {
		err := c.r.check()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: check = %v; want %q", c.name, err, c.want)
		}
		var out strings.Builder
		c.r.print(&out)
		if happy := strings.Contains(out.String(), "Nothing was lost"); happy != (c.want == "") {
			t.Errorf("%s: print ends happily: %v", c.name, happy)
		}
	}
}
