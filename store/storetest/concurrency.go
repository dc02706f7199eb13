package storetest

import (
	"errors"
	"fmt"
	"maps"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"example.com/hooks"
)

// concurrencyRules are checked with several handles of one store where there
// are such; otherwise all of them are the same.
var concurrencyRules = []sharedRule{
	{"many claim each delivery once", checkClaimedOnce},
	{"many claim one delivery of a key at a time", checkOneOfAKey},
	{"of many updates with one token one is applied", checkOneUpdate},
	{"of many that put a record with one version one succeeds, and emits", checkOnePut},
	{"many publish an event once", checkPublishedOnce},
	{"many publish an idempotency key once", checkKeyOnce},
	{"counters that many add to lose nothing", checkMinutesAddUp},
	{"what is enqueued is pending, leased, final or pruned", checkConservation},
}

// A sharedRule is a rule about several handles of one store.
type sharedRule struct {
	name  string
	check func(t testing.TB, handles []hooks.Store)
}

// together runs f in n goroutines, each with one of the handles.
func together(t testing.TB, handles []hooks.Store, n int, f func(t testing.TB, i int, s hooks.Store)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(aside{t}, i, handles[i%len(handles)]) })
	}
	wg.Wait()
}

// aside is a test in a goroutine beside the test's own, where FailNow may not
// be called: it ends that goroutine only.
type aside struct{ testing.TB }

func (a aside) FailNow() {
	a.Fail()
	runtime.Goexit()
}

func (a aside) Fatalf(format string, args ...any) {
	a.Helper()
	a.Errorf(format, args...)
	runtime.Goexit()
}

// A tally counts by name, for several goroutines.
type tally struct {
	mu sync.Mutex // guards what follows
	n  map[string]int
}

func (c *tally) add(names ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	for _, name := range names {
		c.n[name]++
	}
}

func checkClaimedOnce(t testing.TB, handles []hooks.Store) {
	const rows = 400
	ids := numbered("e", rows)
	enqueue(t, handles[0], at(0), events("a", ids...)...)
	var claimed tally
	together(t, handles, 8, func(t testing.TB, _ int, s hooks.Store) {
		for {
			got := claim(t, s, at(0), "a", 7)
			if len(got) == 0 {
				return
			}
			claimed.add(names(got)...)
		}
	})
	for _, id := range ids {
		if claimed.n[id] != 1 {
			t.Errorf("Claim leased %s %d times; want once", id, claimed.n[id])
		}
	}
}

// checkOneOfAKey has workers finish 3 keys of 40 deliveries each, and looks
// on at how many of a key are out at once and in what order they come.
func checkOneOfAKey(t testing.TB, handles []hooks.Store) {
	const rows = 40
	keys := []string{"j", "k", "l"}
	for i := range rows {
		for _, key := range keys {
			enqueue(t, handles[0], at(0), line(key, key+strconv.Itoa(i))...)
		}
	}
	var left atomic.Int64
	left.Store(rows * int64(len(keys)))
	flying := map[string]*atomic.Int64{"j": {}, "k": {}, "l": {}}
	var next [128]atomic.Int64
	together(t, handles, 8, func(t testing.TB, _ int, s hooks.Store) {
		for left.Load() > 0 {
			for _, d := range claim(t, s, at(0), "a", 2) {
				if n := flying[d.OrderingKey].Add(1); n != 1 {
					t.Errorf("%d deliveries of key %s are leased at once", n, d.OrderingKey)
				}
				want := d.OrderingKey + strconv.FormatInt(next[d.OrderingKey[0]].Add(1)-1, 10)
				if d.Event != want {
					t.Errorf("Claim(key %s) = %s; want %s", d.OrderingKey, d.Event, want)
				}
				flying[d.OrderingKey].Add(-1)
				apply(t, s, at(0), outcome(d, hooks.Succeeded, at(0)))
				left.Add(-1)
			}
			if t.Failed() {
				return
			}
		}
	})
}

func checkOneUpdate(t testing.TB, handles []hooks.Store) {
	enqueue(t, handles[0], at(0), event("e", "a"))
	for round := range 10 {
		d := read(t, handles[0], "e", "a")
		var applied atomic.Int64
		together(t, handles, 8, func(t testing.TB, i int, s hooks.Store) {
			c := outcome(d, hooks.Retrying, at(round))
			c.Delivery.Code = i + 1
			applied.Add(1 - int64(len(update(t, s, at(round), c))))
		})
		if applied.Load() != 1 {
			t.Fatalf("%d of 8 updates with one token were applied; want one", applied.Load())
		}
		equal(t, "Token", read(t, handles[0], "e", "a").Token, d.Token+1)
		equal(t, "len(Attempts())", len(attempts(t, handles[0], "e", "a")), round+1)
	}
}

func checkOnePut(t testing.TB, handles []hooks.Store) {
	version := int64(0)
	for round := range 10 {
		var won atomic.Int64
		together(t, handles, 16, func(t testing.TB, i int, s hooks.Store) {
			v, err := s.Put(t.Context(), at(0), hooks.Record{
				Key: "k", Version: version, Data: fmt.Appendf(nil, "%d-%d", round, i),
			}, []hooks.Entry{event(fmt.Sprintf("%d-%d", round, i), "a")})
			switch {
			case err == nil && !won.CompareAndSwap(0, v):
				t.Errorf("two puts with version %d succeeded", version)
			case err != nil && !errors.Is(err, hooks.ErrConflict):
				t.Errorf("Put(k) = %v; want ErrConflict", err)
			}
		})
		rs := records(t, handles[0], 0)
		if len(rs) != 1 || rs[0].Version != won.Load() || rs[0].Version <= version {
			t.Fatalf("Records(0) = %v; want version %d", describe(rs), won.Load())
		}
		version = won.Load()
		if newest := ids(stored(t, handles[0], hooks.Query{})); len(newest) != round+1 || newest[0] != string(rs[0].Data) {
			t.Fatalf("Events() = %v; want one a round, the last of them %s", newest, rs[0].Data)
		}
	}
}

// checkPublishedOnce has 16 goroutines publish as many as 1,000 ids 5 times each.
func checkPublishedOnce(t testing.TB, handles []hooks.Store) {
	ids := numbered("e", scaled(1000, 200))
	var written tally
	together(t, handles, 16, func(t testing.TB, _ int, s hooks.Store) {
		for round := range 5 {
			for batch := range len(ids) / 50 {
				part := events("a", ids[batch*50:(batch+1)*50]...)
				for _, r := range enqueue(t, s, at(round), part...) {
					if !r.Duplicate {
						written.add(r.EventID)
					}
				}
			}
		}
	})
	for _, id := range ids {
		if written.n[id] != 1 {
			t.Errorf("Enqueue(%s) was no duplicate %d times; want once", id, written.n[id])
		}
	}
	equal(t, "len(Deliveries())", len(deliveries(t, handles[0], hooks.Query{Limit: 1000})), len(ids))
}

func checkKeyOnce(t testing.TB, handles []hooks.Store) {
	holders := make([]map[string]string, 16)
	together(t, handles, 16, func(t testing.TB, i int, s hooks.Store) {
		holders[i] = map[string]string{}
		for _, key := range numbered("k", 20) {
			e := keyed(event(key+"-by-"+strconv.Itoa(i), "a"), key, at(60))
			holders[i][key] = enqueue(t, s, at(0), e)[0].EventID
		}
	})
	for _, h := range holders[1:] {
		if !maps.Equal(h, holders[0]) {
			t.Fatalf("Enqueue: the keys belong to %v and to %v", h, holders[0])
		}
	}
	equal(t, "len(Deliveries())", len(deliveries(t, handles[0], hooks.Query{})), 20)
}

// scaled is n, or few with -short and under the race detector.
func scaled(n, few int) int {
	if testing.Short() || race {
		return few
	}
	return n
}
