package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// announcement is the statement that tells those who listen, when and if the
// transaction commits. from is who need not be told.
func (s *Store) announcement(from string) statement {
	return statement{`SELECT pg_notify($1, $2)`, []any{s.channel(), from}, nil}
}

// A herald decides which of the store's own transactions announce what they wrote.
// The commits of those that do wait for each other, in the whole server; so there is
// at most one each heraldPause, and then one for those that had none.
type herald struct {
	store *Store

	mu      sync.Mutex // guards what follows
	resting bool       // one was sent less than a pause ago
	owed    bool       // others have committed since
}

const heraldPause = 3 * time.Millisecond

// begin reports whether the transaction that is about to be made shall announce
// itself.
func (h *herald) begin() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.resting || h.store.pollOnly {
		return false
	}
	h.rest()
	return true
}

// later announces what was committed without.
func (h *herald) later() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.store.pollOnly {
		return
	}
	h.owed = true
	if !h.resting {
		h.rest()
	}
}

// rest lets a pause pass, after which what is owed is sent. h.mu is held.
func (h *herald) rest() {
	h.resting = true
	time.AfterFunc(heraldPause, func() {
		h.mu.Lock()
		owed := h.owed
		h.resting, h.owed = false, false
		if owed {
			h.rest()
		}
		h.mu.Unlock()
		if owed {
			h.send()
		}
	})
}

// send announces by itself. If it cannot, others find out by looking.
func (h *herald) send() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	st := h.store.announcement(h.store.name)
	_, _ = h.store.pool.Exec(ctx, st.sql, st.args...)
}

// A listener is the connection that hears announcements.
type listener struct {
	turn chan struct{} // holds one while nobody uses what follows
	conn *pgx.Conn
}

// Wait is [hooks.Waker]'s, for one caller at a time: others wait for it. It keeps
// a connection of its own from one call to the next, made with the pool's
// configuration, until the context of the call that made it ends. It returns when
// another store, or a transaction of the application's, has announced something, and
// when it has connected, for it may have missed something before. When the
// connection is lost it returns the error, and connects anew when it is called again.
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

// listen connects, until ctx ends. It is the caller's turn.
func (s *Store) listen(ctx context.Context) error {
	c := s.pool.Config()
	c.ConnConfig.OnNotification = nil // else the driver would keep none for Wait
	if c.BeforeConnect != nil {       // it may have the password of the hour
		if err := c.BeforeConnect(ctx, c.ConnConfig); err != nil {
			return err
		}
	}
	conn, err := pgx.ConnectConfig(ctx, c.ConnConfig)
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
