package postgres

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/hooks"
	"example.com/hooks/store/postgres/internal/batch"
)

// A herald announces what the store's own transactions have committed, each time in a
// statement of its own. None of them announces itself: commits that do wait for each
// other in the whole server, until each is on the disk and maybe on a standby. A
// statement that only announces writes nothing else, so it waits for neither.
type herald struct {
	send func() // the announcement
	mute bool   // nobody listens

	mu      sync.Mutex // guards what follows
	resting bool       // the last announcement is less than a pause ago
	owed    bool       // something was committed since it was sent
}

// heraldPause is the least time between two announcements. Dispatchers that have heard
// one look several times meanwhile, so that it costs little delay.
const heraldPause = 100 * time.Millisecond

// written announces what a transaction wrote, unless its error says for certain that it
// was not committed.
func (h *herald) written(err error) {
	certain := errors.Is(err, hooks.ErrNotFound) || errors.Is(err, hooks.ErrConflict)
	if err == nil || batch.SQLState(err) == "" && !certain {
		h.owe()
	}
}

// owe announces what was committed, or may have been, now or after the pause.
func (h *herald) owe() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.owed = !h.mute
	h.settleLocked()
}

// take makes the caller the one who announces what is owed, and reports whether
// anything is.
func (h *herald) take() (owed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	owed, h.owed = h.owed, false
	return owed
}

// settleLocked sends what is owed unless the last announcement was less than a pause ago.
func (h *herald) settleLocked() {
	if !h.owed || h.resting {
		return
	}
	h.owed, h.resting = false, true
	go h.send()
	time.AfterFunc(heraldPause, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.resting = false
		h.settleLocked()
	})
}

// announceSQL tells those who listen. The second argument names the store, which
// ignores announcements of its own.
const announceSQL = `SELECT pg_catalog.pg_notify($1, $2)`

// announce tells those who listen. If it cannot, they find out by polling.
func (s *Store) announce() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, _ = s.pool.Exec(ctx, announceSQL, s.channel(), s.name)
}

// Wake implements [hooks.Waker]: one NOTIFY, in a transaction of its own, that makes the Wait
// of other stores on the same tables return. It does nothing if [Config].PollOnly is
// set. What the store's own methods have written is announced without it, unless the
// pool is closed within a moment: they announce from a goroutine, after they have
// returned. A program that publishes and ends calls Wake before it closes the pool. Else
// dispatchers find what it published with their next poll, within about a second.
func (s *Store) Wake(ctx context.Context) error {
	if err := ctx.Err(); err != nil || s.pollOnly {
		return err
	}
	owed := s.herald.take() // this announcement tells of that as well
	_, err := s.pool.Exec(ctx, announceSQL, s.channel(), s.name)
	if err != nil && owed {
		s.herald.owe()
	}
	return explain(ctx, "wake", err)
}

// A listener is the connection that hears announcements.
type listener struct {
	turn chan struct{} // holds one while nobody uses what follows
	conn *pgx.Conn
}

// Wait implements [hooks.Waker], for one caller at a time: a second caller waits until the
// first call has returned. The first call connects, with the pool's configuration but
// outside of the pool, and returns when it has, because something may have happened before.
// The connection is kept for later calls, until the context of the call that made it ends.
// They return when another store has announced a write, or its Wake was called. When the
// connection is lost, Wait returns the error, and the next call connects again.
func (s *Store) Wait(ctx context.Context) error {
	if s.pollOnly {
		<-ctx.Done()
		return ctx.Err()
	}
	l := &s.listener
	select {
	case <-l.turn:
		defer func() { l.turn <- struct{}{} }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if l.conn == nil {
		return explain(ctx, "listen", s.listen(ctx))
	}
	for {
		n, err := l.conn.WaitForNotification(ctx)
		if err != nil {
			l.close()
			return explain(ctx, "listen", err)
		}
		if n.Payload != s.name {
			return nil
		}
	}
}

// connect makes a connection with the pool's configuration, but outside of the pool.
func (s *Store) connect(ctx context.Context) (*pgx.Conn, error) {
	c := s.pool.Config()
	c.ConnConfig.OnNotification = nil // else the driver would keep none for Wait
	if c.BeforeConnect != nil {       // it may have the password of the hour
		if err := c.BeforeConnect(ctx, c.ConnConfig); err != nil {
			return nil, err
		}
	}
	return pgx.ConnectConfig(ctx, c.ConnConfig)
}

// listen connects, until ctx ends. It is the caller's turn.
func (s *Store) listen(ctx context.Context) error {
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	s.listener.conn = conn
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{s.channel()}.Sanitize()); err != nil {
		s.listener.close()
		return err
	}
	context.AfterFunc(ctx, func() {
		<-s.listener.turn
		if s.listener.conn == conn {
			s.listener.close()
		}
		s.listener.turn <- struct{}{}
	})
	return nil
}

func (l *listener) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = l.conn.Close(ctx) // it is of no use any more
	l.conn = nil
}
