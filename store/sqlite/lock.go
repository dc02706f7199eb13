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

// A lock makes one dispatcher of this Store the only one.
type lock struct {
	mu   sync.Mutex // guards held
	held bool
}

// Lock implements [hooks.Exclusive]. It locks a file beside the database's, with "-lock"
// added to its name. The operating system ends that lock with the process. The file may
// stay. A database in memory belongs to one Store, so no file is locked for it. Calling
// unlock again does nothing.
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

// exclude takes the lock, or returns [hooks.ErrLocked].
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

// voidSQL is [hooks.Delivery.Released] of each delivery that is leased.
const voidSQL = `UPDATE hooks_deliveries
	SET status = iif(attempts > 0, 2, 1), due = ?, lost = lost + 1, token = token + 1
	WHERE status = 3 RETURNING subscriber, tenant, ordering_key`

// voidLeases ends every lease without an outcome. It goes on, and is waited for, when ctx
// ends, because a write that came later could void the leases of the next dispatcher.
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
