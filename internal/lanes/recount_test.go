package lanes

import (
	"slices"
	"testing"
)

// recount compares everything that a Set keeps with what its lanes say.
func recount(t *testing.T, s *Set[*job]) {
	t.Helper()
	var sum totals
	for id, l := range s.lanes {
		if l.ID != id || l.expected < 0 || l.active < 0 || l.saving < 0 || l.lateAttempts < 0 {
			t.Fatalf("lane %s holds %+v", id, l)
		}
		if l.counted != l.tally() {
			t.Fatalf("lane %s is counted as %+v; want %+v", id, l.counted, l.tally())
		}
		sum.add(l.tally(), +1)
		recountPlaces(t, s, l)
	}
	if sum != s.totals {
		t.Fatalf("totals = %+v; want %+v", s.totals, sum)
	}
	if n := sum.active[proven] + sum.active[untried] + sum.active[slow]; n > s.concurrency {
		t.Fatalf("%d attempts are under way; want %d at most", n, s.concurrency)
	}
	if n := sum.active[untried] + sum.active[hanging]; n > 4*s.concurrency {
		t.Fatalf("%d first attempts are under way; want %d at most", n, 4*s.concurrency)
	}
	for of := range standings {
		recountList(t, s, &s.lines[of])
		recountList(t, s, &s.claims.wants[of])
	}
	recountList(t, s, &s.claims.full)
	recountLate(t, s)
}

// recountPlaces checks in which lists and calendars a lane is.
func recountPlaces(t *testing.T, s *Set[*job], l *lane[*job]) {
	t.Helper()
	var line *list[*lane[*job]]
	if len(l.queue) > 0 && l.active < min(l.Slots, l.allowance) {
		line = &s.lines[l.standing()]
	}
	if l.line.in != line {
		t.Fatalf("lane %s stands in the wrong line: %+v", l.ID, l)
	}
	if l.claim.in != s.claims.listFor(l, l.standing()) {
		t.Fatalf("lane %s is in the wrong list of claims: %+v", l.ID, l)
	}
	if in := l.expires.place > 0; in != (len(l.queue) > 0) || in && !l.expires.at.Equal(l.overdueAt()) {
		t.Fatalf("lane %s: its calendar says %v, %v", l.ID, in, l.expires.at)
	}
	if l.wanted && !l.behind && !l.roomy() {
		t.Fatalf("lane %s has a due job, no room, and is not behind", l.ID)
	}
}

func recountList(t *testing.T, s *Set[*job], in *list[*lane[*job]]) {
	t.Helper()
	n := 0
	for k, prev := in.first, (*link[*lane[*job]])(nil); k != nil; prev, k = k, k.next {
		if n++; k.in != in || k.prev != prev || s.lanes[k.of.ID] != k.of {
			t.Fatalf("a list holds a lane that is not in it, or is gone: %+v", k.of)
		}
		if k.next == nil && in.last != k {
			t.Fatal("a list ends elsewhere")
		}
	}
	if n != in.n {
		t.Fatalf("a list counts %d members; want %d", in.n, n)
	}
}

func recountLate(t *testing.T, s *Set[*job]) {
	t.Helper()
	for i, m := range s.late.heap {
		if m.place != i+1 || i > 0 && m.at.Before(s.late.heap[(i-1)/2].at) {
			t.Fatalf("the calendar of late attempts is out of order at %d", i)
		}
	}
	active, late := 0, 0
	for _, l := range s.lanes {
		active += l.active
		late += l.lateAttempts
	}
	if len(s.late.heap)+late != active {
		t.Fatalf("%d attempts may become late and %d are; want %d together", len(s.late.heap), late, active)
	}
	if !slices.IsSortedFunc(s.leases.heap[:min(len(s.leases.heap), 2)], func(a, b *moment[*lane[*job]]) int { return a.at.Compare(b.at) }) {
		t.Fatal("the calendar of leases is out of order")
	}
}

// blocked checks that nothing may start by the rules, after Next has said so.
func blocked(t *testing.T, s *Set[*job]) {
	t.Helper()
	var startable, active [standings]int
	for _, l := range s.lanes {
		active[l.standing()] += l.active
		if len(l.queue) > 0 && l.active < min(l.Slots, l.allowance) {
			startable[l.standing()]++
		}
	}
	if active[proven]+active[untried]+active[slow] == s.concurrency {
		return
	}
	half := (s.concurrency + 1) / 2
	quarter := (half + 1) / 2
	fits := active[untried]+active[slow] < half
	switch {
	case startable[proven] > 0:
		t.Fatal("a proven lane has a job, there are slots, and nothing started")
	case startable[untried] > 0 && active[untried]+active[hanging] < 4*s.concurrency && (fits || active[untried] < quarter):
		t.Fatal("an untried lane has a job, there are slots, and nothing started")
	case startable[slow] > 0 && fits && (startable[untried] == 0 || active[slow] < quarter):
		t.Fatal("a slow lane has a job, there are slots, and nothing started")
	}
}
