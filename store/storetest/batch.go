package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"example.com/hooks"
)

// scaleTxRules are the same for transactions, with the shapes that a store has most to
// look up for.
var scaleTxRules = []txRule{
	{"a batch of four times as many entries takes about four times as long", func(
		t *testing.T, _ hooks.Store, begin func() Transaction,
	) {
		for _, b := range []batch{takenKeys, someOfEach} {
			linear(t, b, func(entries []hooks.Entry) {
				tx := begin()
				enqueue(t, tx, at(0), entries...)
				commit(t, tx)
			})
		}
	}},
}

// A batch is a shape that what is given to one Enqueue may have.
type batch struct {
	what string
	// before is enqueued first, and does not count.
	before, entries func(ids []string) []hooks.Entry
}

var batches = []batch{
	{"new events", nothing, of(keyless)},
	{"new events with keys", nothing, of(withKey)},
	{"events that are stored", of(keyless), of(keyless)},
	takenKeys,
	{"keys that have expired", of(withExpiredKey), of(withTakenKey)},
	{"one event again and again", nothing, func(ids []string) (entries []hooks.Entry) {
		for range len(ids) / 4 {
			entries = append(entries, event(ids[0], "a"))
		}
		return entries
	}},
	{"deliveries for stored events", of(keyless), of(func(id string) hooks.Entry { return adding(event(id, "b")) })},
	someOfEach,
}

var takenKeys = batch{"keys that are taken", of(withKey), of(withTakenKey)}

var someOfEach = batch{"some of each", func(ids []string) []hooks.Entry {
	n := len(ids) / 4
	return slices.Concat(of(keyless)(ids[:n]), of(withKey)(ids[n:2*n]), of(withExpiredKey)(ids[2*n:3*n]))
}, func(ids []string) []hooks.Entry {
	n := len(ids) / 4
	return slices.Concat(of(keyless)(ids[:n]), of(withTakenKey)(ids[n:3*n]), of(withKey)(ids[3*n:]))
}}

func nothing([]string) []hooks.Entry { return nil }

// of returns entries that f makes, one of each id.
func of(f func(id string) hooks.Entry) func(ids []string) []hooks.Entry {
	return func(ids []string) (entries []hooks.Entry) {
		for _, id := range ids {
			entries = append(entries, f(id))
		}
		return entries
	}
}

func keyless(id string) hooks.Entry        { return event(id, "a") }
func withKey(id string) hooks.Entry        { return keyed(event(id, "a"), "key "+id, at(60)) }
func withExpiredKey(id string) hooks.Entry { return keyed(event(id, "a"), "key "+id, at(-60)) }
func withTakenKey(id string) hooks.Entry   { return keyed(event(id+" again", "a"), "key "+id, at(60)) }

// linear fails the test if four times as many entries take much more than four times
// as long: what looks at all of them for each one takes sixteen times as long. The
// machine may be busy meanwhile, so that the best of three tries counts, and
// less than a second is good in any case.
func linear(t *testing.T, b batch, write func([]hooks.Entry)) {
	t.Helper()
	const size, limit, enough = 2000, 9, time.Second
	few, many := time.Hour, time.Hour
	for try := range 3 {
		measure := func(n int) time.Duration {
			ids := numbered(fmt.Sprint(b.what, try, n, "_"), n)
			if before := b.before(ids); len(before) > 0 {
				write(before)
			}
			return timeOf(func() { write(b.entries(ids)) })
		}
		few, many = min(few, measure(size)), min(many, measure(4*size))
		if many <= max(limit*few, enough) {
			t.Logf("%s: %v, four times as many: %v", b.what, few, many)
			return
		}
	}
	t.Errorf("Enqueue(%s) takes %v, of four times as many %v; want at most %d times as long",
		b.what, few, many, limit)
}
