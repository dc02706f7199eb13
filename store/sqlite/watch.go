package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"time"

	"example.com/hooks"
)

// A watch knows whether another process, or a transaction of the application's, has
// written. Every write that may make work due raises the number in hooks_meta. So the
// watch remembers the number that the store's own transactions left there, and any higher
// one is somebody else's. PRAGMA data_version would not do: it counts what one connection
// sees, and in a shared database also changes of the application's own tables.
type watch struct {
	signal chan struct{} // makes Wait look at what follows; holds one

	mu      sync.Mutex // guards what follows
	known   int64      // the number as it was last read, or as our own commits left it
	ours    int64      // the number that our commit under way will leave; 0: none is under way
	foreign bool       // somebody else has raised the number, and Wait has not returned since
	looks   int        // how often Wait still reads the number, because a transaction may commit
}

const (
	// Wait reads the number of a shared file every sharedPause. While a transaction of
	// the application's may commit it reads every txPause, for txLooks times: a minute.
	sharedPause = 50 * time.Millisecond
	txPause     = 20 * time.Millisecond
	txLooks     = int(time.Minute / txPause)
)

// Wait implements [hooks.Waker], for one caller at a time. It looks into the file in two
// cases: every 20 ms for a minute after each Enqueue in a transaction of the application's,
// because that may commit; and every 50 ms if the file is shared. Otherwise it reads nothing
// and sets no timer.
func (s *Store) Wait(ctx context.Context) error {
	if err := check(ctx); err != nil {
		return err
	}
	for {
		told, pause := s.watch.next(s.shared)
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

// Wake implements [hooks.Waker]. It does nothing, because Wait sees what transactions of the
// application's have committed, in this process and, if the file is shared, in others.
func (s *Store) Wake(ctx context.Context) error {
	select {
	case <-s.done:
		return hooks.ErrClosed
	default:
		return ctx.Err()
	}
}

// look reads the number. If the database is busy, the next look reads it.
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

// next reports whether Wait returns now, because somebody else has written. If not, pause
// is how long Wait waits before it reads the number; zero: until there is a signal.
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

// expect makes Wait look for the commit of a transaction of the application's.
func (w *watch) expect() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looks = txLooks
	w.wakeLocked()
}

// see records the number that a look has read. If it is the one that our own commit under
// way will leave, nobody knows yet whose it is; the next look tells.
func (w *watch) see(n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n > w.known && n != w.ours {
		w.known, w.foreign = n, true
	}
}

// committing records the number that our commit, which now begins, has found, and the one
// that it will leave.
func (w *watch) committing(found, left int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if found > w.known {
		w.known, w.foreign = found, true
		w.wakeLocked()
	}
	w.ours = left
}

// committed ends what committing began.
func (w *watch) committed(ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ok {
		w.known = max(w.known, w.ours)
	}
	w.ours = 0
}

// wakeLocked makes Wait call next again.
func (w *watch) wakeLocked() {
	select {
	case w.signal <- struct{}{}:
	default:
	}
}
