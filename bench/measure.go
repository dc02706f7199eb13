package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// A measure is one of the things that the peers are compared in.
type measure struct {
	name, what string
	backlog    bool // the payloads are inserted before the clock starts
	publish    bool // they are inserted while it runs
	deliver    bool // they are delivered while it runs
}

var measures = []measure{
	{"steady", "inserted and delivered at the same time", false, true, true},
	{"publish", "inserted while nobody delivers", false, true, false},
	{"drain", "delivered, inserted before", true, false, true},
}

// A result is what one measure of one peer came to.
type result struct {
	n    int
	sent float64       // statements per delivery, counted in a measure of their own
	took time.Duration // until the last of n payloads was inserted, or received
	used usage         // until all that was received was marked as done
	transactions
}

// take measures a peer in a database of its own. An error says that the peer
// could not do the work, lost some of it, or did some of it twice.
func (m measure) take(ctx context.Context, s *server, p peer, r *receiver, n int) (res result, err error) {
	b, drop, err := s.newBench(ctx, bench{receiver: r.url, secret: r.verify.Secrets[0]})
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, drop()) }()
	if err := p.migrate(ctx, b); err != nil {
		return res, fmt.Errorf("migrate: %w", err)
	}
	if m.backlog {
		if err := fill(ctx, p, b, n); err != nil {
			return res, fmt.Errorf("insert the backlog: %w", err)
		}
	}
	before, err := s.settle(ctx, b)
	if err != nil {
		return res, err
	}
	if res, err = m.run(ctx, s, p, b, r.expect(n, nil)); err != nil {
		return res, err
	}
	after, err := s.settle(ctx, b)
	res.transactions = after.since(before)
	return res, err
}

// fill inserts payloads 0 to n-1.
func fill(ctx context.Context, p peer, b bench, n int) error {
	l, err := p.open(ctx, b)
	if err != nil {
		return err
	}
	return errors.Join(insertAll(ctx, l, n), l.close())
}

// run opens the peer's library, has it do the work, and checks that it did.
func (m measure) run(ctx context.Context, s *server, p peer, b bench, t *tally) (res result, err error) {
	l, err := p.open(ctx, b)
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	before, err := s.usage(ctx, b)
	if err != nil {
		return res, err
	}
	took, err := m.work(ctx, l, t)
	if err != nil {
		return res, err
	}
	after, err := s.usage(ctx, b)
	if err != nil {
		return res, err
	}
	return result{n: len(t.times), took: took, used: after.since(before)}, m.check(ctx, l, t)
}

// work is what the clock measures.
func (m measure) work(ctx context.Context, l library, t *tally) (took time.Duration, err error) {
	began := time.Now()
	if m.deliver {
		if err := l.start(ctx); err != nil {
			return 0, err
		}
	}
	if m.publish {
		began = time.Now() // whoever delivers is at work already
		err = insertAll(ctx, l, len(t.times))
		took = time.Since(began)
	}
	if !m.deliver {
		return took, err
	}
	if err == nil {
		if err = t.wait(ctx); err == nil {
			took = t.last.Sub(began)
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return took, errors.Join(err, l.stop(ctx))
}

// check returns an error if payloads are where they should not be.
func (m measure) check(ctx context.Context, l library, t *tally) error {
	left, err := l.left(ctx)
	switch {
	case err != nil:
		return err
	case !m.deliver && left != len(t.times):
		return fmt.Errorf("of %d payloads inserted %d are there", len(t.times), left)
	case !m.deliver:
		return nil
	case left > 0:
		return fmt.Errorf("of %d payloads delivered %d are not marked as done", len(t.times), left)
	}
	return t.check()
}

// insertAll inserts payloads 0 to n-1, several at once.
func insertAll(ctx context.Context, l library, n int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var group sync.WaitGroup
	for range publishers {
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(n) && ctx.Err() == nil; i = next.Add(1) - 1 {
				if err := l.insert(ctx, payload(int(i))); err != nil {
					cancel(err)
				}
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}
