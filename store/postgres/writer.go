package postgres

import (
	"context"
	"slices"
	"sync"
	"time"

	"example.com/hooks"
	"example.com/hooks/store/postgres/internal/batch"
)

// maxGroup is about how many rows share a transaction at most.
const maxGroup = 1000

// A writer brings operations together in transactions, so that those which come at the
// same time cost one commit. No goroutine is at rest: an operation that finds its queue
// without one starts one, which ends when the queue is empty. These goroutines watch no
// caller's context, because the operations of others share the transaction.
//
// An operation goes from one queue to the next:
//
//   - groups: it shares a transaction. The server does groups in their order, so that what
//     was asked for later is done later.
//   - single: it has a transaction of its own, because it takes more than a group can do,
//     or because its group had to wait for somebody's lock.
//   - contested: it had to wait for a lock again. Here it waits for longer and holds up
//     only operations of this queue.
type writer struct {
	store *Store

	mu        sync.Mutex // guards what follows
	groups    queue
	single    queue
	contested queue

	carefulUntil time.Time // until then groups look before they insert, see caution
}

// A queue is operations that wait.
type queue struct {
	ops     []*op
	workers int // goroutines that take operations from it
}

// maxWorkers is how many goroutines work for each of single and contested.
const maxWorkers = 2

// An op is one caller's Enqueue or Update.
type op struct {
	now     time.Time
	entries []hooks.Entry
	changes []hooks.Change

	// The writer's mutex guards these two.
	cancel context.CancelFunc // ends the transaction that is under way for it alone
	left   bool               // the caller has gone

	done chan struct{} // closed when what follows is written
	err  error

	receipts []hooks.Receipt
	revised  []revision
}

// stale lists the changes that were not applied.
func (o *op) stale() (ids []hooks.DeliveryID) {
	for i := range o.revised {
		if r := &o.revised[i]; !r.applied {
			ids = append(ids, r.Delivery.DeliveryID)
		}
	}
	return ids
}

// freed lists the deliveries that its changes have made the next of their lines.
func (o *op) freed() (list []hooks.BacklogLane) {
	var last *[]hooks.BacklogLane
	for i := range o.revised {
		if f := o.revised[i].freed; f != last {
			list, last = append(list, *f...), f
		}
	}
	return list
}

// size returns about how many rows it writes.
func (o *op) size() int { return 1 + len(o.entries) + len(o.changes) }

// isSingle reports whether it needs a transaction of its own.
func (o *op) isSingle() bool { return adds(o.entries) || emits(o.changes) || o.size() > maxGroup }

// announces reports whether it leaves work that other dispatchers may do.
func (o *op) announces() bool { return waiting(o.entries) || frees(o.now, o.changes) }

// submit queues o and waits until it is done, maybe together with others. If ctx ends
// before, submit returns the context's error, and o is done whole or not at all.
func (w *writer) submit(ctx context.Context, o *op) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	o.done = make(chan struct{})
	w.add(o)
	select {
	case <-o.done:
		return o.err
	case <-ctx.Done():
	}
	w.forget(o)
	select {
	case <-o.done:
		if o.err == nil {
			return nil
		}
	case <-time.After(afterwards):
	}
	return ctx.Err()
}

// add queues o, and starts a goroutine if none is at work.
func (w *writer) add(o *op) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if o.isSingle() {
		w.addSingleLocked(&w.single, shortly, o)
		return
	}
	w.groups.ops = append(w.groups.ops, o)
	if w.groups.workers == 0 {
		w.groups.workers++
		go w.doGroups()
	}
}

// addSingleLocked queues operations that have a transaction each.
func (w *writer) addSingleLocked(q *queue, lock string, ops ...*op) {
	for _, o := range ops {
		if o.left {
			o.answer(context.Canceled) // nobody will hear it
			continue
		}
		q.ops = append(q.ops, o)
		if q.workers < maxWorkers {
			q.workers++
			go w.doSingles(q, lock)
		}
	}
}

// forget takes o out of its queue, or ends the transaction that is under way for it
// alone. If it is in a group, it will be done.
func (w *writer) forget(o *op) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o.left = true
	if o.cancel != nil {
		o.cancel()
	}
	for _, q := range []*queue{&w.groups, &w.single, &w.contested} {
		if i := slices.Index(q.ops, o); i >= 0 {
			q.ops = slices.Delete(q.ops, i, i+1)
			o.answer(context.Canceled)
		}
	}
}

func (o *op) answer(err error) {
	o.receipts, o.err = closed(o.receipts), err
	close(o.done)
}

func answerAll(group []*op, err error) {
	for _, o := range group {
		o.answer(err)
	}
}

// doSingles does what waits in a queue, one by one, until nothing does. lock is how
// long each may wait for one.
func (w *writer) doSingles(q *queue, lock string) {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		o := w.takeSingle(q, cancel)
		if o == nil {
			cancel()
			return
		}
		err := w.do(ctx, o, lock)
		cancel()
		w.mu.Lock()
		if lock == shortly && isLocked(err) {
			w.addSingleLocked(&w.contested, long, o)
		} else {
			o.answer(err)
		}
		w.mu.Unlock()
	}
}

// takeSingle returns the next operation, or nil if there is none; then the goroutine that
// calls it ends. cancel ends the transaction that is begun for the operation.
func (w *writer) takeSingle(q *queue, cancel context.CancelFunc) *op {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(q.ops) == 0 {
		q.workers--
		return nil
	}
	o := q.ops[0]
	q.ops = slices.Delete(q.ops, 0, 1)
	o.cancel = cancel
	return o
}

// do does one operation in a transaction of its own.
func (w *writer) do(ctx context.Context, o *op, lock string) error {
	err := batch.Again(ctx, func() error {
		return w.store.inTx(ctx, lock, func(to batch.Session) (err error) {
			o.revised = revisions(o.changes)
			if err := updateIn(ctx, to, o.now, o.revised); err != nil {
				return err
			}
			o.receipts, err = enqueueIn(ctx, to, o.now, o.entries)
			return err
		})
	})
	if o.announces() {
		w.store.herald.written(err)
	}
	return err
}
