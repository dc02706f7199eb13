package storetest

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"example.com/hooks"
)

// methods calls every method of s in a way that would change or find
// something: "e → a" must be pending.
func methods(s hooks.Store) map[string]func(ctx context.Context) error {
	var d hooks.Delivery
	page, _, err := s.Deliveries(context.Background(), hooks.Query{Event: "e"})
	if err == nil && len(page) > 0 {
		d = page[0]
	}
	calls := map[string]func(ctx context.Context) error{
		"Enqueue": func(ctx context.Context) error {
			_, err := s.Enqueue(ctx, at(1), []hooks.Entry{event("new", "a")})
			return err
		},
		"Records": func(ctx context.Context) error {
			_, err := s.Records(ctx, 0)
			return err
		},
		"Claim": func(ctx context.Context) error {
			_, err := s.Claim(ctx, at(1), []hooks.ClaimLane{lane("a", 1, at(1))})
			return err
		},
		"Update": func(ctx context.Context) error {
			_, err := s.Update(ctx, at(1), []hooks.Change{outcome(d, hooks.Succeeded, at(1))})
			return err
		},
		"Backlog": func(ctx context.Context) error {
			_, err := s.Backlog(ctx)
			return err
		},
		"Put": func(ctx context.Context) error {
			_, err := s.Put(ctx, at(1), hooks.Record{Key: "new", Data: []byte("1")}, nil)
			return err
		},
		"Events": func(ctx context.Context) error {
			_, _, err := s.Events(ctx, hooks.Query{})
			return err
		},
		"Deliveries": func(ctx context.Context) error {
			_, _, err := s.Deliveries(ctx, hooks.Query{})
			return err
		},
		"Attempts": func(ctx context.Context) error {
			_, err := s.Attempts(ctx, d.DeliveryID)
			return err
		},
		"Prune": func(ctx context.Context) error {
			_, err := s.Prune(ctx, everything(at(9)))
			return err
		},
	}
	if x, ok := s.(hooks.Exclusive); ok {
		calls["Lock"] = func(ctx context.Context) error {
			_, err := x.Lock(ctx, at(1))
			return err
		}
	}
	if r, ok := s.(hooks.Reporter); ok {
		calls["Count"] = func(ctx context.Context) error {
			_, err := r.Count(ctx, hooks.Query{}, 10)
			return err
		}
		calls["AddMinutes"] = func(ctx context.Context) error {
			return r.AddMinutes(ctx, []hooks.Minute{minute(at(1), "a", 1)})
		}
		calls["Minutes"] = func(ctx context.Context) error {
			_, err := r.Minutes(ctx, hooks.Query{Subscriber: "a"})
			return err
		}
	}
	return calls
}

var contextRules = []rule{
	{"a context that has ended stops a call before it does anything", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"), keyed(event("nobody's"), "k", at(1)))
		want := read(t, s, "e", "a")
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		late, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
		defer cancel()
		for name, call := range methods(s) {
			refused(t, name+"(canceled context)", call(ended), context.Canceled)
			refused(t, name+"(context past its deadline)", call(late), context.DeadlineExceeded)
		}
		rows(t, "Deliveries()", deliveries(t, s, hooks.Query{}), []hooks.Delivery{want})
		equal(t, "len(Events())", len(stored(t, s, hooks.Query{})), 2)
		equal(t, "len(Records())", len(records(t, s, 0)), 0)
	}},
	{"a nil context holds up no later call", func(t *testing.T, s hooks.Store) {
		enqueue(t, s, at(0), event("e", "a"))
		for name, call := range methods(s) {
			if err := withoutContext(call); err == nil {
				t.Errorf("%s(nil context) = nil; want an error, or a panic", name)
			}
		}
		enqueue(t, s, at(0), event("f", "a"))
		equal(t, "len(Deliveries())", len(deliveries(t, s, hooks.Query{})), 2)
	}},
	{"an Enqueue whose context ends happens whole or not at all", checkCanceledEnqueue},
	{"an Update whose context ends happens whole or not at all", checkCanceledUpdate},
	{"a closed store says so", func(t *testing.T, s hooks.Store) {
		c, ok := s.(io.Closer)
		if !ok {
			return
		}
		enqueue(t, s, at(0), event("e", "a"))
		calls := methods(s)
		if err := c.Close(); err != nil {
			t.Fatalf("Close() = %v; want nil", err)
		}
		for name, call := range calls {
			refused(t, name+"(closed store)", call(t.Context()), hooks.ErrClosed)
		}
		if err := c.Close(); err != nil {
			t.Fatalf("Close() again = %v; want nil", err)
		}
	}},
}

// withoutContext returns the error of a call with a nil context, or what it panics with.
func withoutContext(call func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return call(nil)
}

// canceling runs f in several goroutines, many times in each, with contexts
// that end at random moments of the calls.
func canceling(t testing.TB, s hooks.Store, f func(t testing.TB, ctx context.Context, name string)) {
	const writers = 8
	took := timeOf(func() { enqueue(t, s, at(0), event("first", "first")) })
	together(t, []hooks.Store{s}, writers, func(t testing.TB, w int, _ hooks.Store) {
		random := rand.New(rand.NewPCG(1, uint64(w)))
		for c := range scaled(25, 8) {
			wait := time.Duration(random.Int64N(int64(2*took) + 1))
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			f(t, ctx, strconv.Itoa(w)+"-"+strconv.Itoa(c))
			cancel()
		}
	})
}

// checkCanceledEnqueue cancels calls that write two events each. Repeating a
// call settles it, at whatever time the first one happens: both events are
// duplicates or neither is, and then both are there with all their
// deliveries.
func checkCanceledEnqueue(t *testing.T, s hooks.Store) {
	var calls tally
	pair := func(name string) []hooks.Entry {
		return []hooks.Entry{event("x"+name, "a", "b"), event("y"+name, "a", "b", "c")}
	}
	canceling(t, s, func(t testing.TB, ctx context.Context, name string) {
		calls.add(name)
		_, err := s.Enqueue(ctx, at(1), pair(name))
		if err == nil && len(deliveries(t, s, hooks.Query{Event: "y" + name})) != 3 {
			t.Errorf("Enqueue(%s) = nil; but it is not there", name)
		}
	})
	for name := range calls.n {
		if r := enqueue(t, s, at(2), pair(name)...); r[0].Duplicate != r[1].Duplicate {
			t.Errorf("Enqueue again = %+v; want both duplicates or neither", r)
		}
		for event, want := range map[string]int{"x" + name: 2, "y" + name: 3} {
			readEvent(t, s, event)
			equal(t, "len(Deliveries("+event+"))", len(deliveries(t, s, hooks.Query{Event: event})), want)
		}
	}
}

// checkCanceledUpdate cancels calls that finish a delivery, append its
// attempt and emit an event. Repeating a call settles it: all of it has
// happened once.
func checkCanceledUpdate(t *testing.T, s hooks.Store) {
	var calls tally
	change := func(name string) hooks.Change {
		c := outcome(event("e"+name, "a").Deliveries[0], hooks.Failed, at(2))
		c.Emit = []hooks.Entry{event("told"+name, "b")}
		return c
	}
	canceling(t, s, func(t testing.TB, ctx context.Context, name string) {
		calls.add(name)
		enqueue(t, s, at(1), event("e"+name, "a"))
		_, err := s.Update(ctx, at(2), []hooks.Change{change(name)})
		if err == nil && read(t, s, "e"+name, "a").Status != hooks.Failed {
			t.Errorf("Update(%s) = nil; but it has not happened", name)
		}
	})
	for name := range calls.n {
		update(t, s, at(3), change(name))
		equal(t, "Status", read(t, s, "e"+name, "a").Status, hooks.Failed)
		equal(t, "Token", read(t, s, "e"+name, "a").Token, 1)
		equal(t, "len(Attempts())", len(attempts(t, s, "e"+name, "a")), 1)
		read(t, s, "told"+name, "b")
	}
}

// timeOf returns how long f takes.
func timeOf(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}
