// Package storetest checks that a [hooks.Store] keeps its contract.
//
// A test of the store calls [Run]:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) hooks.Store {
//			s, err := mystore.Open(t.TempDir())
//			if err != nil {
//				t.Fatal(err)
//			}
//			t.Cleanup(func() { s.Close() })
//			return s
//		})
//	}
//
// [Run] is for every store, [RunDurable] for those that outlive the process,
// [RunTx] for those that write in the application's transactions, [RunWaker] for
// those that tell other processes of their writes. Each rule is a subtest, and its
// name is the sentence of the contract that it checks. With -short and under the
// race detector, rules that need many rows take fewer, and rules that compare times
// are skipped.
//
// The last rule compares the store with a naive model on random operations.
// A failure names its seed. To run one seed alone, and to run many others, give
// the name of your own test:
//
//	go test -run 'TestStore/random/seed_17$'
//	go test -run 'TestStore/random' -storetest.seed 1000 -storetest.seeds 500
package storetest

import (
	"slices"
	"testing"

	"example.com/hooks"
)

// A rule is one sentence of the contract, and what shows whether it is kept.
type rule struct {
	name  string
	check func(t *testing.T, s hooks.Store)
}

// Run checks the stores that open returns. Each call of open must return an
// empty store; open registers its own cleanup with t. A store that is
// [hooks.Exclusive] or a [hooks.Reporter], or has a method Close() error, is checked for
// what that means as well.
func Run(t *testing.T, open func(t *testing.T) hooks.Store) {
	rules := slices.Concat(
		enqueueRules, duplicateRules, addRules,
		claimRules, leaseRules, backlogRules,
		updateRules, staleRules, attemptRules,
		orderingRules, recordRules, emitRules,
		queryRules, listRules, pruneRules, eraseRules,
		contextRules, copyRules,
	)
	s := open(t)
	if _, ok := s.(hooks.Exclusive); ok {
		rules = append(rules, exclusiveRules...)
	}
	if _, ok := s.(hooks.Reporter); ok {
		rules = append(rules, reporterRules...)
	}
	if !testing.Short() && !race {
		rules = append(rules, scaleRules...)
	}
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) { r.check(t, open(t)) })
	}
	for _, r := range concurrencyRules {
		t.Run(r.name, func(t *testing.T) { r.check(t, []hooks.Store{open(t)}) })
	}
	t.Run("random operations do what they do to a naive model", func(t *testing.T) {
		compareAll(t, open)
	})
}
