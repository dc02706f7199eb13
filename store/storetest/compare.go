package storetest

import (
	"cmp"
	"errors"
	"flag"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/hooks"
)

var (
	firstSeed = flag.Uint64("storetest.seed", 1,
		"first seed of the comparison with a model")
	seeds = flag.Uint64("storetest.seeds", 0,
		"how many seeds the comparison with a model has; 0: 25, with -short or -race 2")
)

// steps is how many operations a comparison has.
const steps = 300

// compareAll compares stores with a model, from several seeds.
func compareAll(t *testing.T, open func(t *testing.T) hooks.Store) {
	n := *seeds
	if n == 0 {
		n = uint64(scaled(25, 2))
	}
	for seed := *firstSeed; seed < *firstSeed+n; seed++ {
		t.Run("seed "+strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			compare(t, open(t), seed)
		})
	}
}

// compare does the same random operations to a store and to a model, and
// compares what they return, and at times all that they hold.
func compare(t *testing.T, s hooks.Store, seed uint64) {
	c := comparison{
		T: t, Rand: rand.New(rand.NewPCG(seed, 0)),
		real: s, model: &model{}, versions: map[int64]int64{0: 0},
	}
	for c.step = range steps {
		c.now = at(0).Add(c.clock)
		c.act()
		if c.step%25 == 0 {
			c.compareRows()
		}
		c.clock += time.Duration(c.IntN(4)*c.IntN(8)) * time.Second
	}
	c.compareRows()
	c.drain()
}

// A comparison is a store, a model and what has been done to both.
type comparison struct {
	*testing.T
	*rand.Rand
	real     hooks.Store
	model    *model
	step     int
	clock    time.Duration
	now      time.Time
	named    int             // events so far
	versions map[int64]int64 // the store's, by the model's
}

// act does one operation of chance.
func (c *comparison) act() {
	switch n := c.IntN(100); {
	case n < 30:
		c.enqueue()
	case n < 55:
		c.claim()
	case n < 85:
		c.update()
	case n < 89:
		c.prune()
	case n < 91:
		c.erase()
	case n < 92:
		c.minutes()
	case n < 96:
		c.put()
	default:
		c.query()
	}
}

// agree fails the test unless the store and the model returned the same.
func agree[T comparable](c *comparison, what string, real, model T) {
	c.Helper()
	if real != model {
		c.Fatalf("step %d: %s:\nstore %+v\nmodel %+v", c.step, what, real, model)
	}
}

// agreeRows is agree for lists of structs, but for Seq, which is the store's
// to choose.
func agreeRows[T any](c *comparison, what string, real, model []T) {
	c.Helper()
	if len(real) != len(model) {
		c.Fatalf("step %d: %s:\nstore %+v\nmodel %+v", c.step, what, real, model)
	}
	for i := range model {
		if diff := differences(real[i], model[i], "Seq"); diff != nil {
			c.Fatalf("step %d: %s:\nstore %+v\nmodel %+v\nrow %d of the store differs:\n%s",
				c.step, what, real, model, i, strings.Join(diff, "\n"))
		}
	}
}

func agreeError(c *comparison, what string, real, model error) {
	c.Helper()
	if !errors.Is(real, model) {
		c.Fatalf("step %d: %s:\nstore %v\nmodel %v", c.step, what, real, model)
	}
}

// compareBacklog: the store may count deliveries in a line that no claim has
// met, so its due may be that of one, and earlier than the model's.
func (c *comparison) compareBacklog() {
	real, model := backlog(c, c.real), backlog(c, c.model)
	agree(c, "len(Backlog())", len(real), len(model))
	for sub, due := range model {
		got, ok := real[sub]
		if !ok || got.After(due) {
			c.Fatalf("step %d: Backlog()[%s] = %v, %v; want %v", c.step, sub, got, ok, due)
		}
		if got.Before(due) && !c.dueInLine(sub, got) {
			c.Fatalf("step %d: Backlog()[%s] = %v; want %v: nothing is due before", c.step, sub, got, due)
		}
	}
}

func (c *comparison) dueInLine(subscriber string, due time.Time) bool {
	return slices.ContainsFunc(c.model.deliveries, func(d hooks.Delivery) bool {
		return d.Subscriber == subscriber && d.OrderingKey != "" && !d.Status.Final() && d.Due.Equal(due)
	})
}

func (c *comparison) compareRows() {
	c.Helper()
	all := hooks.Query{Limit: 10_000}
	real, model := deliveries(c, c.real, all), deliveries(c, c.model, all)
	if !slices.IsSortedFunc(real, func(a, b hooks.Delivery) int { return cmp.Compare(b.Seq, a.Seq) }) {
		c.Fatalf("step %d: Deliveries() is not newest first", c.step)
	}
	agreeRows(c, "Deliveries()", real, model)
	agreeRows(c, "Events()", stored(c, c.real, all), stored(c, c.model, all))
}

// drain finishes and prunes all that is left.
func (c *comparison) drain() {
	end := c.now.Add(time.Hour)
	for _, s := range []hooks.Store{c.real, c.model} {
		for _, sub := range []string{"plain", "other", "lined", "queued"} {
			for ds := claim(c, s, end, sub, 99); len(ds) > 0; ds = claim(c, s, end, sub, 99) {
				finishEach(c, s, ds, end)
			}
		}
		agree(c, "len(Backlog()) when all is finished", len(backlog(c, s)), 0)
	}
	c.compareRows()
	everything := everything(end.Add(time.Hour))
	agree(c, "Prune(everything)", pruneAll(c, c.real, everything), pruneAll(c, c.model, everything))
	agree(c, "len(Events())", len(stored(c, c.real, hooks.Query{})), 0)
}
