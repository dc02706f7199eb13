package storetest

import (
	"context"
	"slices"
	"testing"

	"example.com/hooks"
)

// A Transaction is one of the application's own, with what the store's method
// Tx returns for it. With database/sql:
//
//	storetest.Transaction{Tx: store.Tx(tx), Commit: tx.Commit, Rollback: tx.Rollback}
type Transaction struct {
	hooks.Tx
	Commit, Rollback func() error
}

// RunTx checks stores that work inside the application's transactions. Each
// call of open must return an empty store, and a function that begins a
// transaction in which that store can work; open registers its own cleanup
// with t. One transaction is open at a time; while it is, the rules only read
// from the store.
func RunTx(t *testing.T, open func(t *testing.T) (s hooks.Store, begin func() Transaction)) {
	rules := txRules
	if !testing.Short() && !race {
		rules = slices.Concat(rules, scaleTxRules)
	}
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			s, begin := open(t)
			r.check(t, s, begin)
		})
	}
}

type txRule struct {
	name  string
	check func(t *testing.T, s hooks.Store, begin func() Transaction)
}

func commit(t testing.TB, tx Transaction) {
	t.Helper()
	if err := tx.Commit(); err != nil {
		t.Fatalf("Commit: %v", err)
	}
}

func rollback(t testing.TB, tx Transaction) {
	t.Helper()
	if err := tx.Rollback(); err != nil {
		t.Fatalf("Rollback: %v", err)
	}
}

var txRules = []txRule{
	{"what was committed is there", func(t *testing.T, s hooks.Store, begin func() Transaction) {
		tx := begin()
		r := enqueue(t, tx, at(0), event("1", "a", "b"))
		equal(t, "Enqueue", r[0], hooks.Receipt{EventID: "1", Deliveries: 2})
		enqueue(t, tx, at(0), event("2", "a"))
		commit(t, tx)
		same(t, "Claim(a)", names(claim(t, s, at(0), "a", 9)), []string{"1", "2"})
		same(t, "Claim(b)", names(claim(t, s, at(0), "b", 9)), []string{"1"})
	}},
	{"what is not committed is not there", func(t *testing.T, s hooks.Store, begin func() Transaction) {
		tx := begin()
		enqueue(t, tx, at(0), keyed(event("e", "a"), "k", at(60)))
		equal(t, "len(Events())", len(stored(t, s, hooks.Query{})), 0)
		equal(t, "len(Deliveries())", len(deliveries(t, s, hooks.Query{})), 0)
		equal(t, "len(Backlog())", len(backlog(t, s)), 0)
		commit(t, tx)
		equal(t, "len(Backlog()) after the commit", len(backlog(t, s)), 1)
	}},
	{"nothing stays of what was rolled back", func(
		t *testing.T, s hooks.Store, begin func() Transaction,
	) {
		e := keyed(ordered(event("e", "a"), "k"), "k", at(60))
		tx := begin()
		enqueue(t, tx, at(0), e)
		rollback(t, tx)
		equal(t, "len(Events())", len(stored(t, s, hooks.Query{})), 0)
		equal(t, "len(Deliveries())", len(deliveries(t, s, hooks.Query{})), 0)
		same(t, "Claim(a)", names(claim(t, s, at(0), "a", 9)), nil)
		enqueue(t, s, at(0), line("k", "f")...)
		equal(t, "Claim(a) of the key", claimOne(t, s, at(0), "a").Event, "f")
		equal(t, "Enqueue again", enqueue(t, s, at(0), e)[0], hooks.Receipt{EventID: "e", Deliveries: 1})
	}},
	{"a transaction sees what is stored", func(t *testing.T, s hooks.Store, begin func() Transaction) {
		enqueue(t, s, at(0), keyed(event("1"), "k", at(60)))
		v := put(t, s, "r", 0, "data")
		tx := begin()
		same(t, "Records(0)", describe(records(t, tx, 0)), []recordLine{{"r", v, "data"}})
		same(t, "Records(since)", describe(records(t, tx, v)), nil)
		same(t, "Enqueue",
			enqueue(t, tx, at(1), event("1", "a"), keyed(event("2"), "k", at(60)), adding(event("1", "b"))),
			[]hooks.Receipt{
				{EventID: "1", Duplicate: true},
				{EventID: "1", Duplicate: true},
				{EventID: "1", Deliveries: 1},
			})
		commit(t, tx)
		equal(t, "len(Deliveries())", len(deliveries(t, s, hooks.Query{})), 1)
	}},
	{"a transaction sees what it has written", func(
		t *testing.T, s hooks.Store, begin func() Transaction,
	) {
		tx := begin()
		enqueue(t, tx, at(0), keyed(event("1", "a"), "k", at(60)))
		same(t, "Enqueue", enqueue(t, tx, at(0), event("1", "a"), keyed(event("2"), "k", at(60))),
			[]hooks.Receipt{{EventID: "1", Duplicate: true}, {EventID: "1", Duplicate: true}})
		commit(t, tx)
		equal(t, "len(Deliveries())", len(deliveries(t, s, hooks.Query{})), 1)
	}},
	{"a transaction goes on after ErrNotFound, and keeps nothing of that call", func(
		t *testing.T, s hooks.Store, begin func() Transaction,
	) {
		tx := begin()
		enqueue(t, tx, at(0), event("1", "a"))
		_, err := tx.Enqueue(t.Context(), at(0), []hooks.Entry{event("2", "a"), adding(event("unknown", "a"))})
		refused(t, "Enqueue(Add to an unknown event)", err, hooks.ErrNotFound)
		enqueue(t, tx, at(0), event("3", "a"))
		commit(t, tx)
		same(t, "Claim(a)", names(claim(t, s, at(0), "a", 9)), []string{"1", "3"})
	}},
	{"a context that has ended does not harm the transaction", func(
		t *testing.T, s hooks.Store, begin func() Transaction,
	) {
		tx := begin()
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := tx.Enqueue(ended, at(0), []hooks.Entry{event("1", "a")})
		refused(t, "Enqueue(canceled context)", err, context.Canceled)
		_, err = tx.Records(ended, 0)
		refused(t, "Records(canceled context)", err, context.Canceled)
		enqueue(t, tx, at(0), event("2", "a"))
		commit(t, tx)
		same(t, "Claim(a)", names(claim(t, s, at(0), "a", 9)), []string{"2"})
	}},
	{"a transaction that has ended takes nothing", func(
		t *testing.T, s hooks.Store, begin func() Transaction,
	) {
		for i, end := range []func(testing.TB, Transaction){commit, rollback} {
			tx := begin()
			end(t, tx)
			if _, err := tx.Enqueue(t.Context(), at(0), []hooks.Entry{event("e", "a")}); err == nil {
				t.Errorf("Enqueue(after end %d) = nil; want an error", i)
			}
		}
		equal(t, "len(Events())", len(stored(t, s, hooks.Query{})), 0)
	}},
	{"what a transaction wrote takes its turn", func(
		t *testing.T, s hooks.Store, begin func() Transaction,
	) {
		enqueue(t, s, at(0), line("k", "1")...)
		first := claimOne(t, s, at(0), "a")
		tx := begin()
		enqueue(t, tx, at(0), line("k", "2")...)
		commit(t, tx)
		enqueue(t, s, at(0), line("k", "3")...)
		same(t, "Claim(a) meanwhile", names(claim(t, s, at(0), "a", 9)), nil)
		apply(t, s, at(0), outcome(first, hooks.Succeeded, at(0)))
		equal(t, "Claim(a)", claimOne(t, s, at(0), "a").Event, "2")
	}},
}
