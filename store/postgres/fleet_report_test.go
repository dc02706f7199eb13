package postgres_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/hooks"
)

// A record is all that is known in the end: what the receiver saw, what the store
// says, and when whom was killed.
type record struct {
	t        *testing.T
	book     *book // nobody writes to it any more
	kills    []kill
	rows     map[hooks.DeliveryID]final
	attempts map[hooks.DeliveryID][]attempted
	lives    int
}

// A final is how a delivery stands.
type final struct {
	status  hooks.Status
	lost    int
	created time.Time
}

// An attempted is an attempt as it is stored.
type attempted struct {
	token int64
	start time.Time
	life  int
	class string
}

// read collects it when all are gone.
func (f *fleet) read() *record {
	f.t.Helper()
	r := &record{
		t: f.t, book: f.book, kills: f.kills, lives: f.lives,
		rows:     make(map[hooks.DeliveryID]final),
		attempts: make(map[hooks.DeliveryID][]attempted),
	}
	var id hooks.DeliveryID
	var d final
	rows, err := f.pool.Query(f.t.Context(), `SELECT event_id, subscriber, status, lost, created FROM hooks.deliveries`)
	if err != nil {
		f.t.Fatal(err)
	}
	_, err = pgx.ForEachRow(rows, []any{&id.Event, &id.Subscriber, &d.status, &d.lost, &d.created}, func() error {
		r.rows[id] = d
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	var a attempted
	rows, err = f.pool.Query(f.t.Context(), `SELECT event_id, subscriber, token, start, instance::int, error FROM hooks.attempts`)
	if err != nil {
		f.t.Fatal(err)
	}
	_, err = pgx.ForEachRow(rows, []any{&id.Event, &id.Subscriber, &a.token, &a.start, &a.life, &a.class}, func() error {
		r.attempts[id] = append(r.attempts[id], a)
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

// complain fails the test, and shows the first few of what it found.
func (r *record) complain(what string, found []string) {
	r.t.Helper()
	if len(found) > 0 {
		r.t.Errorf("%s: %d, such as\n\t%s", what, len(found), strings.Join(found[:min(len(found), 5)], "\n\t"))
	}
}

// report tells what happened.
func (r *record) report(began time.Time, published time.Duration) {
	r.t.Helper()
	visits, visited := 0, make(map[int]int)
	for _, list := range r.book.visits {
		visits += len(list)
		for _, v := range list {
			visited[v.life]++
		}
	}
	rate := float64(r.book.promised) / published.Seconds()
	r.t.Logf("%d deliveries acknowledged in %.1f s, %.0f/s, by %d processes with %d kills; %d stored",
		r.book.promised, published.Seconds(), rate, r.lives, len(r.kills), len(r.rows))
	r.t.Logf("%d requests; the last first delivery came after %.1f s",
		visits, r.book.last.Sub(began).Seconds())
	each := slices.Sorted(maps.Values(visited))
	r.t.Logf("requests of each process: %d at least, %d in the median, %d at most", each[0], each[len(each)/2], each[len(each)-1])
}

// checkFinal checks that all that was promised is stored, and that all that is
// stored was delivered.
func (r *record) checkFinal() {
	r.t.Helper()
	var lost []string
	for id, d := range r.rows {
		if d.status != hooks.Succeeded || !r.book.has(id) {
			lost = append(lost, fmt.Sprintf("%v is %v after %d lost leases and %d requests",
				id, d.status, d.lost, len(r.book.visits[id])))
		}
	}
	if n := len(r.rows); n < r.book.promised {
		lost = append(lost, fmt.Sprintf("%d rows for %d promised", n, r.book.promised))
	}
	r.t.Logf("lost: %d", len(lost))
	r.complain("lost deliveries", lost)
}

// checkOrder checks that no line was out of order.
func (r *record) checkOrder() {
	r.t.Helper()
	r.t.Logf("inversions: %d in %d lines", len(r.book.inversions), len(r.book.lines))
	r.complain("inversions", r.book.inversions)
}

// checkRepeats checks that every request is in the history, but those that were
// under way when their process was killed, or whose outcome it had not saved yet.
func (r *record) checkRepeats() {
	r.t.Helper()
	killed := make(map[int]bool)
	for _, k := range r.kills {
		killed[k.life] = true
	}
	unsaved := make(map[int]int) // requests by life
	twice := 0                   // deliveries that succeeded more than once
	var odd []string
	for id, visits := range r.book.visits {
		saved := make(map[int]int)
		for _, a := range r.attempts[id] {
			saved[a.life]++
		}
		succeeded := 0
		for _, v := range visits {
			if v.code/100 == 2 {
				succeeded++
			}
			if saved[v.life]--; saved[v.life] >= 0 {
				continue
			}
			unsaved[v.life]++
			if !killed[v.life] {
				odd = append(odd, fmt.Sprintf("%v by %d, which was not killed", id, v.life))
			}
		}
		if succeeded > 1 {
			twice++
		}
	}
	most, total := 0, 0
	const bound = 4 * fleetHeld // endpoints, and what is held for each
	for life, n := range unsaved {
		most, total = max(most, n), total+n
		if n > bound {
			odd = append(odd, fmt.Sprintf("%d of process %d; at most %d can have been in flight", n, life, bound))
		}
	}
	r.t.Logf("requests without a saved outcome: %d, %d at most by one process (bound %d); delivered twice: %d", total, most, bound, twice)
	r.complain("requests without a saved outcome", odd)
}

// checkTakeovers checks that what the dead had leased was taken over in time.
func (r *record) checkTakeovers() {
	r.t.Helper()
	const within = fleetLease + 5*time.Second
	var took []time.Duration
	var late []string
	for i, k := range r.kills {
		for id, token := range k.leased {
			if r.isSaved(id, token) || i > 0 && r.kills[i-1].leased[id] == token {
				continue // a lease of the living, or of one that had died before
			}
			at, ok := r.takenOver(id, i)
			took = append(took, at.Sub(k.at))
			if !ok || at.Sub(k.at) > within {
				late = append(late, fmt.Sprintf("%v of process %d after %v; at most %v", id, k.life, at.Sub(k.at), within))
			}
		}
	}
	if len(took) == 0 {
		r.t.Error("the dead held nothing; want them to be killed while they work")
		return
	}
	slices.Sort(took)
	r.t.Logf("the dead held %d leases, taken over after %.1f to %.1f s, median %.1f (bound %.0f)",
		len(took), took[0].Seconds(), took[len(took)-1].Seconds(), took[len(took)/2].Seconds(), within.Seconds())
	r.complain("taken over late", late)
}

// isSaved reports whether an outcome was saved under a lease.
func (r *record) isSaved(id hooks.DeliveryID, token int64) bool {
	return slices.ContainsFunc(r.attempts[id], func(a attempted) bool { return a.token == token })
}

// takenOver returns when somebody else first came with a delivery that was leased
// at the i-th kill, or was seen to have leased it.
func (r *record) takenOver(id hooks.DeliveryID, i int) (at time.Time, ok bool) {
	k := r.kills[i]
	for _, later := range r.kills[i+1:] {
		if later.leased[id] > k.leased[id] {
			at, ok = later.at, true
			break
		}
	}
	for _, v := range r.book.visits[id] {
		if v.start.After(k.at) && v.life != k.life && (!ok || v.start.Before(at)) {
			return v.start, true
		}
	}
	return at, ok
}

// checkFaultless checks that every delivery took one attempt, and did not wait for
// the end of a lease.
func (r *record) checkFaultless() {
	r.t.Helper()
	var faults []string
	var longest time.Duration
	for id, d := range r.rows {
		as := r.attempts[id]
		if len(as) != 1 || as[0].class != "" || d.lost > 0 || len(r.book.visits[id]) != 1 {
			faults = append(faults, fmt.Sprintf("%v: attempts %v, %d lost leases, %d requests", id, as, d.lost, len(r.book.visits[id])))
			continue
		}
		longest = max(longest, as[0].start.Sub(d.created))
	}
	r.t.Logf("%d deliveries by %d processes; the longest wait was %v", len(r.rows), r.lives, longest)
	r.complain("not delivered at the first attempt", faults)
	if longest > 10*time.Second {
		r.t.Errorf("a delivery waited %v; want about a second at most", longest)
	}
}
