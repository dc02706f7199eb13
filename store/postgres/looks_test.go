package postgres_test

import (
	"crypto/rand"
	"math"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/hooks"
	"example.com/hooks/store/postgres"
)

// A look does not read the dead entries of a subscriber that has nothing to do, if the
// store has met it before, though looks were cheap then.
func TestLooksPassOverIdleSubscribers(t *testing.T) {
	for name, meet := range map[string]func(*heldSnapshot, *postgres.Store){
		"published to": func(h *heldSnapshot, s *postgres.Store) { h.publish(s, "idle", h.now) },
		"emitted to":   func(h *heldSnapshot, s *postgres.Store) { h.put(s, linedUp("emitted", "idle", "", h.now)) },
		"claimed":      func(h *heldSnapshot, s *postgres.Store) { h.claim(s, "idle", 1) },
		"seen": func(h *heldSnapshot, s *postgres.Store) {
			h.publish(storeOn(h.t, h.pool), "idle", h.now)
			h.backlog(s)
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := holdSnapshot(t, func(c *pgxpool.Config) { c.MaxConns = 1 })
			s := storeOn(t, h.pool)
			meet(h, s)
			mustExec(t, h.pool, `DELETE FROM hooks.deliveries`)
			h.kill("idle", 24_000)
			h.now = h.now.Add(10 * time.Second)
			h.look(s)
			h.backlog(s) // a whole one
			if n := h.leastTouched(s); n > 100 {
				t.Errorf("a look touched %d buffers beside 24,000 dead entries of an idle subscriber; want at most 100", n)
			}
		})
	}
}

// When the database's clock was set, a look finds at once what is due by it, if a call of
// the same store has told it the time.
func TestLooksFollowTheClockBesideAHeldSnapshot(t *testing.T) {
	for name, tell := range map[string]func(*heldSnapshot, *postgres.Store){
		"Enqueue": func(h *heldSnapshot, s *postgres.Store) { h.publish(s, "another", h.now) },
		"Update": func(h *heldSnapshot, s *postgres.Store) {
			none := hooks.Change{Delivery: entry("none", "another").Deliveries[0]}
			if _, err := s.Update(h.t.Context(), h.now, []hooks.Change{none}); err != nil {
				h.t.Fatal(err)
			}
		},
		"Claim": func(h *heldSnapshot, s *postgres.Store) { h.look(s) },
		"Put":   func(h *heldSnapshot, s *postgres.Store) { h.put(s) },
		// Nobody has told it for long, so that it asks; and the usual time is the right one.
		"Backlog itself": func(h *heldSnapshot, s *postgres.Store) { s.ForgetTime() },
	} {
		t.Run(name, func(t *testing.T) {
			h := holdSnapshot(t, func(c *pgxpool.Config) { c.MaxConns = 1 })
			at := h.now
			for _, step := range []time.Duration{-time.Hour, time.Hour} {
				h.now = at.Add(-step)
				h.kill("crm", many)
				s, other := storeOn(t, h.pool), storeOn(t, h.pool)
				h.claim(s, "crm", 1)
				h.backlog(s)
				h.now = at
				h.publish(other, "crm", h.now)
				tell(h, s)
				before := buffersTouched(t, h.pool)
				if due, ok := h.backlog(s)["crm"]; !ok || due.After(h.now) {
					t.Errorf("Backlog()[crm] = %v after a step of %v; want what is due at %v", due, step, h.now)
				}
				first := buffersTouched(t, h.pool) - before
				if n := min(first, h.leastTouched(s)); n > 80 {
					t.Errorf("looks touched %d buffers after a step of %v; want them not to be whole", n, step)
				}
				mustExec(t, h.pool, `DELETE FROM hooks.deliveries`)
			}
		})
	}
}

// put writes a record that is new, with entries.
func (h *heldSnapshot) put(s *postgres.Store, emit ...hooks.Entry) {
	h.t.Helper()
	r := hooks.Record{Key: rand.Text(), Data: []byte("1")}
	if _, err := s.Put(h.t.Context(), h.now, r, emit); err != nil {
		h.t.Fatal(err)
	}
}

// leastTouched is how many buffers a look touches, unless it happens to be a whole one.
func (h *heldSnapshot) leastTouched(s *postgres.Store) int64 {
	least := int64(math.MaxInt64)
	for range 3 {
		before := buffersTouched(h.t, h.pool)
		h.backlog(s)
		least = min(least, buffersTouched(h.t, h.pool)-before)
	}
	return least
}
