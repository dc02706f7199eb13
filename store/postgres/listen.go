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
// at most one each heraldPause. It tells of what the others wrote as well, and if
// none is at hand, a transaction of its own does.
type herald struct {
	send func() // the announcement, by itself
	mute bool   // nobody listens

	mu      sync.Mutex // guards what follows
	resting bool       // one was sent less than a pause ago
	owed    bool       // others have committed since
	busy    bool       // groups are being written, which can tell of it
}

const heraldPause = 3 * time.Millisecond

// begin reports whether the group that is about to be written shall announce
// itself, if it has news, and what was committed without.
func (h *herald) begin(news bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.busy = true
	if h.resting || h.mute || !news && !h.owed {
		return false
	}
	h.owed = false
	h.rest()
	return true
}

// end says what became of the group, and whether it announced itself.
func (h *herald) end(news, told bool, err error) {
	if told && err != nil || news && !told && err == nil {
		h.later()
	}
}

// idle says that no group is being written any more.
func (h *herald) idle() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.busy = false
	h.settle()
}

// later announces what was committed without, or may have been.
func (h *herald) later() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.owed = !h.mute
	h.settle()
}

// settle sends what is owed, if it is time to and no group will. h.mu is held.
func (h *herald) settle() {
	if h.owed && !h.resting && !h.busy {
		h.owed = false
		h.rest()
		go h.send()
	}
}

// rest lets a pause pass. h.mu is held.
func (h *herald) rest() {
	h.resting = true
	time.AfterFunc(heraldPause, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.resting = false
		h.settle()
	})
}

// announce tells those who listen, in a transaction of its own. If it cannot, they
// find out by looking.
func (s *Store) announce() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	st := s.announcement(s.name)
	_, _ = s.pool.Exec(ctx, st.sql, st.args...)
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
