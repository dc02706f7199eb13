package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"sync"
	"time"

	"example.com/hooks"
)

// A lock allows one dispatcher.
type lock struct {
	mu   sync.Mutex // guards what follows
	held bool
}

// Lock is [hooks.Exclusive]'s. The lock is one of the operating system on a
// file beside the database's, with "-lock" added to its name: it ends with the
// process, and the file may stay. A database in memory has a lock of its
// Store's. Calling unlock again does nothing.
func (s *Store) Lock(ctx context.Context, now time.Time) (unlock func() error, err error) {
	if err := check(ctx); err != nil {
		return nil, err
	}
	leave, err := s.writer.enter("lock")
	if err != nil {
		return nil, err
	}
	defer leave()
	unlock, err = s.exclude()
	if err != nil {
		return nil, err
	}
	if err := s.voidLeases(ctx, now); err != nil {
		return nil, errors.Join(err, unlock())
	}
	return unlock, nil
}

// exclude takes the lock.
func (s *Store) exclude() (release func() error, err error) {
	s.lock.mu.Lock()
	defer s.lock.mu.Unlock()
	if s.lock.held {
		return nil, hooks.ErrLocked
	}
	var file *os.File
	if path := s.writer.file.path; path != "" {
		if file, err = lockFile(path + "-lock"); err != nil {
			return nil, explain("lock", err)
		}
	}
	s.lock.held = true
	return sync.OnceValue(func() error {
		s.lock.mu.Lock()
		defer s.lock.mu.Unlock()
		s.lock.held = false
		if file == nil {
			return nil
		}
		return explain("unlock", file.Close())
	}), nil
}

const voidSQL = `UPDATE hooks_deliveries
	SET status = iif(attempts > 0, 2, 1), due = ?, lost = lost + 1, token = token + 1
	WHERE status = 3 RETURNING subscriber, tenant, ordering_key`

// voidLeases ends every lease without an outcome. It is waited for even when
// ctx ends: later it could void the leases of the next dispatcher.
func (s *Store) voidLeases(ctx context.Context, now time.Time) error {
	_, err := write(context.WithoutCancel(ctx), &s.writer, "lock", func(t *tx) (struct{}, error) {
		rows, err := t.query(voidSQL, micros(now))
		if err != nil {
			return struct{}{}, err
		}
		lines, err := scan(rows, func(rows *sql.Rows) (l line, err error) {
			err = rows.Scan(&l.subscriber, &l.tenant, &l.key)
			return l, err
		})
		for _, l := range lines {
			err = errors.Join(err, t.advance(l))
		}
		return struct{}{}, err
	})
	return err
}

// A watch knows whether somebody else has written. Every write that may make
// work due raises the number in hooks_meta, so it is enough to remember what
// the store's own transactions left there. PRAGMA data_version would tell less:
// it is one connection's view, and in a shared database counts the
// application's own tables.
type watch struct {
	signal chan struct{} // wakes Wait, to look at what follows

	mu      sync.Mutex // guards what follows
	known   int64      // the number as last seen, or left by our own commits
	ours    int64      // what the commit under way will leave; else 0
	foreign bool       // somebody else has raised it, and Wait has not told
	looks   int        // how often Wait shall look, while a transaction may commit
}

const (
	// sharedPause is between two looks at a shared file, and txPause while a
	// transaction of the application may commit, for txLooks times: a minute.
	sharedPause = 50 * time.Millisecond
	txPause     = 20 * time.Millisecond
	txLooks     = int(time.Minute / txPause)
)

// Wait is [hooks.Waker]'s, for one caller at a time. It reads nothing and sets
// no timer until there is something to see: for a minute after each Enqueue
// in a transaction of the application's it looks every 20 ms whether that was
// committed, and if the file is Shared every 50 ms.
func (s *Store) Wait(ctx context.Context) error {
	if err := check(ctx); err != nil {
		return err
	}
	for {
		told, pause := s.watch.next(s.Shared)
		if told {
			return nil
		}
		var look <-chan time.Time
		if pause > 0 {
			look = time.After(pause)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.done:
			return hooks.ErrClosed
		case <-s.watch.signal:
		case <-look:
			if err := s.look(ctx); err != nil {
				return err
			}
		}
	}
}

// Wake is [hooks.Waker]'s. It does nothing, because Wait sees what transactions of the
// application's have committed, in this process and, if Shared is set, in others.
func (s *Store) Wake(ctx context.Context) error {
	select {
	case <-s.done:
		return hooks.ErrClosed
	default:
		return ctx.Err()
	}
}

// look reads the number. A database that is busy is looked at next time.
func (s *Store) look(ctx context.Context) error {
	seen, err := read(ctx, s, "wait", func(rows *sql.Rows) (n int64, err error) {
		err = rows.Scan(&n)
		return n, err
	}, seqSQL)
	if errors.Is(err, ErrBusy) {
		return nil
	}
	for _, n := range seen {
		s.watch.see(n)
	}
	return err
}

// next reports whether there is something to tell, and if not how long to
// wait before looking: 0 is for ever.
func (w *watch) next(shared bool) (told bool, pause time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.foreign:
		w.foreign = false
		return true, 0
	case w.looks > 0:
		w.looks--
		return false, txPause
	case shared:
		return false, sharedPause
	}
	return false, 0
}

// expect has Wait look for the commit of a transaction.
func (w *watch) expect() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looks = txLooks
	w.wake()
}

// see notes what the number is now. If it is what our own commit under way
// will leave, the next look will tell whose it was.
func (w *watch) see(n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n > w.known && n != w.ours {
		w.known, w.foreign = n, true
	}
}

// committing notes what our commit that now begins found, and will leave.
func (w *watch) committing(found, left int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if found > w.known {
		w.known, w.foreign = found, true
		w.wake()
	}
	w.ours = left
}

func (w *watch) committed(ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ok {
		w.known = max(w.known, w.ours)
	}
	w.ours = 0
}

// wake makes Wait look again. w.mu is held.
func (w *watch) wake() {
	select {
	case w.signal <- struct{}{}:
	default:
	}
}
