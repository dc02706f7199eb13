package sqlite

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"runtime"
	"slices"
	"sync"

	"example.com/hooks"
)

// maxGroup bounds how many operations share a transaction.
const maxGroup = 256

// A writer brings operations together in transactions, so that those which
// come at the same time cost one fsync. There is no goroutine at rest: the
// first operation that finds none at work starts it, and it ends when nothing
// waits any more. It watches no context, for callers may go while the
// operations of others share the transaction.
type writer struct {
	db       *sql.DB
	prepared map[string]*sql.Stmt
	watch    *watch
	file     dbFile
	keep     bool // a connection is the database, and must not be dropped

	mu      sync.Mutex // guards what follows
	queue   []*op
	working bool
	closed  bool
	idle    sync.WaitGroup // the goroutine, and calls that [Store.enter] let in
}

// An op is one caller's operation.
type op struct {
	do   func(*tx) error // repeatable
	done chan struct{}   // closed when err is known
	err  error
}

// write has f done in a transaction, maybe together with others. When ctx ends
// before, it returns the context's error, and f may still be done, whole.
func write[T any](ctx context.Context, w *writer, verb string, f func(*tx) (T, error)) (T, error) {
	var result, none T
	if err := check(ctx); err != nil {
		return none, err
	}
	err := w.submit(ctx, func(t *tx) (err error) {
		result, err = f(t)
		return err
	})
	switch {
	case err == nil:
		return result, nil
	case errors.Is(err, hooks.ErrClosed), err == ctx.Err():
		return none, err
	}
	return none, explain(verb, err)
}

func (w *writer) submit(ctx context.Context, do func(*tx) error) error {
	o := &op{do: do, done: make(chan struct{})}
	if err := w.add(o); err != nil {
		return err
	}
	select {
	case <-o.done:
		return o.err
	case <-ctx.Done():
	}
	w.forget(o)
	select {
	case <-o.done:
		return o.err
	default:
		return ctx.Err()
	}
}

// add queues o, and starts a goroutine if none is at work.
func (w *writer) add(o *op) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return hooks.ErrClosed
	}
	w.queue = append(w.queue, o)
	if !w.working {
		w.working = true
		w.idle.Go(w.work)
	}
	return nil
}

// forget takes o out of the queue, unless it is under way.
func (w *writer) forget(o *op) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := slices.Index(w.queue, o); i >= 0 {
		w.queue = slices.Delete(w.queue, i, i+1)
	}
}

// work commits what waits until nothing does.
func (w *writer) work() {
	for {
		// Callers that are ready to run join the group: without this, the first
		// of many that come at the same time would often be committed alone.
		runtime.Gosched()
		group := w.take()
		if len(group) == 0 {
			return
		}
		w.settle(group)
	}
}

// take returns what waits, and ends the work if nothing does.
func (w *writer) take() []*op {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := min(len(w.queue), maxGroup)
	group := slices.Clone(w.queue[:n])
	w.queue = slices.Delete(w.queue, 0, n)
	w.working = n > 0
	return group
}

// settle commits the group, or, if that cannot be, each alone, so that an
// operation that fails hurts no other.
func (w *writer) settle(group []*op) {
	err := w.transact(group...)
	if err != nil && len(group) > 1 && causeOf(err) != ErrBusy && !errors.Is(err, ErrReplaced) {
		for _, o := range group {
			o.answer(w.transact(o))
		}
		return
	}
	for _, o := range group {
		o.answer(err)
	}
}

func (o *op) answer(err error) {
	o.err = err
	close(o.done)
}

// transact does ops in one transaction.
func (w *writer) transact(ops ...*op) error {
	if err := w.file.check(); err != nil {
		return err
	}
	ctx := context.Background()
	conn, err := w.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	raw, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return adviseTimeout(ctx, conn, err)
	}
	t := newTx(raw, w.prepared)
	if err := t.run(ops); err != nil {
		err = adviseTimeout(ctx, raw, err)
		if raw.Rollback() != nil {
			w.drop(conn)
		}
		return err
	}
	w.watch.committing(t.begun, t.seq)
	err = raw.Commit()
	w.watch.committed(err == nil)
	if err != nil {
		err = adviseTimeout(ctx, conn, err)
		w.drop(conn)
		return err
	}
	return w.file.checkCommit(conn)
}

func (t *tx) run(ops []*op) error {
	if err := t.lock(); err != nil {
		return err
	}
	for _, o := range ops {
		if err := o.do(t); err != nil {
			return err
		}
	}
	return t.save()
}

// drop closes a connection whose transaction may not have ended.
func (w *writer) drop(conn *sql.Conn) {
	if !w.keep {
		_ = conn.Raw(func(any) error { return sqldriver.ErrBadConn })
	}
}

// enter lets a call in that does not go through the queue, unless the store
// is closed or its file replaced. The caller calls leave when it is done.
func (w *writer) enter(verb string) (leave func(), err error) {
	if !w.join() {
		return nil, hooks.ErrClosed
	}
	if err := w.file.check(); err != nil {
		w.idle.Done()
		return nil, explain(verb, err)
	}
	return w.idle.Done, nil
}

// join counts one more call under way, unless the store is closed.
func (w *writer) join() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.idle.Add(1)
	}
	return !w.closed
}

// close refuses what comes from now on, and waits for what came before. It
// reports whether the writer was open.
func (w *writer) close() bool {
	w.mu.Lock()
	open := !w.closed
	w.closed = true
	w.mu.Unlock()
	w.idle.Wait()
	return open
}
