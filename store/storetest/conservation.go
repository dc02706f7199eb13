package storetest

import (
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"example.com/hooks"
)

// checkConservation has publishers, workers and pruners at work at once, and
// counts rows, events and deliveries: none is lost, none comes from nowhere.
func checkConservation(t testing.TB, handles []hooks.Store) {
	const publishers, workers, pruners = 3, 4, 1
	batches := scaled(30, 10)
	var enqueued, pruned atomic.Int64
	together(t, handles, publishers+workers+pruners, func(t testing.TB, i int, s hooks.Store) {
		random := rand.New(rand.NewPCG(2, uint64(i)))
		for b := range batches {
			switch {
			case i < publishers:
				enqueued.Add(publishSome(t, s, random, strconv.Itoa(i)+"-"+strconv.Itoa(b)))
			case i < publishers+workers:
				workSome(t, s, random)
			default:
				p := hooks.Cutoffs{Done: at(1), Failed: at(1), Limit: 7}
				pruned.Add(int64(prune(t, s, p)))
			}
		}
	})
	left := map[hooks.Status]int64{}
	for _, d := range deliveries(t, handles[0], hooks.Query{Limit: 500}) {
		left[d.Status]++
	}
	total := pruned.Load() + int64(len(stored(t, handles[0], hooks.Query{Limit: 500})))
	for _, n := range left {
		total += n
	}
	if total != enqueued.Load() {
		t.Fatalf("%d rows were pruned or are there (deliveries: %v); want %d, as were enqueued",
			total, left, enqueued.Load())
	}
	finishAll(t, handles[0])
}

// publishSome enqueues a batch and returns how many rows it wrote.
func publishSome(t testing.TB, s hooks.Store, random *rand.Rand, name string) (n int64) {
	var batch []hooks.Entry
	for i := range 5 {
		e := event("e"+name+"-"+strconv.Itoa(i), "a", "b")
		if random.IntN(2) == 0 {
			e = ordered(e, "k"+strconv.Itoa(random.IntN(3)))
		}
		batch = append(batch, e)
	}
	for _, r := range enqueue(t, s, at(0), batch...) {
		n += 1 + int64(r.Deliveries)
	}
	return n
}

// workSome claims some and leaves each in a status of chance; some stay
// leased.
func workSome(t testing.TB, s hooks.Store, random *rand.Rand) {
	var changes []hooks.Change
	for _, sub := range []string{"a", "b"} {
		entries, err := s.Claim(t.Context(), at(0), []hooks.ClaimLane{lane(sub, 5, at(0))})
		if err != nil {
			t.Errorf("Claim(%s): %v", sub, err)
		}
		for _, e := range entries {
			to := hooks.Status(random.IntN(8)) // some are none: those stay leased
			if to == hooks.Pending || to == hooks.Retrying || to.Final() {
				changes = append(changes, outcome(e.Deliveries[0], to, at(0)))
			}
		}
	}
	apply(t, s, at(0), changes...)
}

// finishAll finishes what is left, lets all be pruned, and finds nothing.
func finishAll(t testing.TB, s hooks.Store) {
	t.Helper()
	for _, sub := range []string{"a", "b"} {
		for ds := claim(t, s, at(1000), sub, 99); len(ds) > 0; ds = claim(t, s, at(1000), sub, 99) {
			finishEach(t, s, ds, at(1000))
		}
	}
	pruneAll(t, s, everything(at(2000)))
	equal(t, "len(Deliveries())", len(deliveries(t, s, hooks.Query{})), 0)
	equal(t, "len(Events())", len(stored(t, s, hooks.Query{})), 0)
	equal(t, "len(Backlog())", len(backlog(t, s)), 0)
}

// finishEach lets deliveries that are leased succeed.
func finishEach(t testing.TB, s hooks.Store, ds []hooks.Delivery, when time.Time) {
	t.Helper()
	var changes []hooks.Change
	for _, d := range ds {
		changes = append(changes, outcome(d, hooks.Succeeded, when))
	}
	apply(t, s, when, changes...)
}
