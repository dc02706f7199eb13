package batch

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"
)

// The settings hold for one transaction of the store's own.
//
// sameSQL makes a transaction independent of what a role or a database sets. Texts
// have one form on their way to the server and back. And the caller's context, not the
// server's statement_timeout, ends what takes too long.
//
// viewingSQL is for transactions that only read. The server takes what a list looks for to
// be spread evenly, and pages in order to be cheap, so it would rather pass over a million
// rows that are finished than use the index that has only what is asked for. Therefore
// whole tables are not read, and plans are compared by the rows that they look at, and not
// by their pages.
//
// settingsSQL is for transactions that write. Plans are made once, perhaps while the
// tables are almost empty, so index scans are forced. A forced plan has a huge estimated
// cost, which would trigger JIT compilation; that is turned off. A process that dies or
// freezes between two statements loses its locks after 30 s.
const (
	beginSQL  = `BEGIN ISOLATION LEVEL READ COMMITTED`
	viewSQL   = `BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY`
	commitSQL = `COMMIT`

	sameSQL = `SELECT pg_catalog.set_config('client_encoding', 'UTF8', true), pg_catalog.set_config('DateStyle', 'ISO', true),
		pg_catalog.set_config('bytea_output', 'hex', true), pg_catalog.set_config('statement_timeout', '0', true)`
	viewingSQL = sameSQL + `,
		pg_catalog.set_config('enable_seqscan', 'off', true), pg_catalog.set_config('enable_bitmapscan', 'off', true),
		pg_catalog.set_config('random_page_cost', '0', true), pg_catalog.set_config('seq_page_cost', '0', true),
		pg_catalog.set_config('jit', 'off', true)`
	settingsSQL = sameSQL + `,
		pg_catalog.set_config('enable_seqscan', 'off', true), pg_catalog.set_config('enable_hashjoin', 'off', true),
		pg_catalog.set_config('enable_mergejoin', 'off', true), pg_catalog.set_config('enable_bitmapscan', 'off', true),
		pg_catalog.set_config('enable_sort', 'off', true), pg_catalog.set_config('plan_cache_mode', 'force_generic_plan', true),
		pg_catalog.set_config('jit', 'off', true), pg_catalog.set_config('lock_timeout', $1, true),
		pg_catalog.set_config('idle_in_transaction_session_timeout', '30s', true)`
)

// Write returns a transaction of statements that write. Each waits for a lock no longer
// than lock says, such as "100ms".
func Write(lock string, list []Statement) []Statement {
	return slices.Concat([]Statement{{SQL: beginSQL}, Settings(lock)}, list, []Statement{{SQL: commitSQL}})
}

// Settings returns the statement that comes first in a transaction that writes. [Write]
// has it already.
func Settings(lock string) Statement { return Statement{SQL: settingsSQL, Args: []any{lock}} }

// View returns a transaction of one statement that only reads.
func View(st Statement) []Statement {
	return []Statement{{SQL: viewSQL}, {SQL: viewingSQL}, st, {SQL: commitSQL}}
}

// Again calls f until the server does not give its transaction up because of another
// one, with a moment in between, but at most five times.
func Again(ctx context.Context, f func() error) (err error) {
	for try := range 5 {
		err = f()
		if !GaveUp(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(rand.N(10 * time.Millisecond << try)):
		}
	}
	return err
}

// GaveUp reports whether the server undid a transaction because of others, and
// may not the next time.
func GaveUp(err error) bool {
	code := SQLState(err)
	return code == "40001" || code == "40P01"
}
