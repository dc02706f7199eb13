// Package memory is a [hooks.Store] that keeps everything in memory: for unit
// tests, and for programs whose events may end with the process.
//
//	store := memory.New()
//	h, err := hooks.New(hooks.Config{Store: store})
//
// Final deliveries and their events use memory until they are pruned: after 30 or 90
// days, unless Retention and FailedRetention of [hooks.Config] say otherwise.
//
// Give a memory store to one [hooks.Hooks] only. It is no [hooks.Waker], so a
// second Hooks that publishes to the same store would not wake the first.
package memory

import (
	"context"
	"sync"
	"time"

	"example.com/hooks"
)

// A Store is a [hooks.Store], [hooks.Exclusive], [hooks.Ephemeral] and [hooks.Reporter]. Make
// one with [New].
//
// It is a [hooks.Tx] as well, so that code which publishes in a transaction can
// be tested: give the Store itself to PublishTx. But it has no transactions:
// what is published stays, whether the application commits or not.
//
// Methods are safe for concurrent use and wait for nothing but each other. If
// the context has ended before a call, the method does nothing and returns the
// context's error.
type Store struct {
	mu     sync.Mutex // guards what follows
	closed bool
	locked bool
	seq    int64 // the last number given: to an event, a delivery or a record

	events     map[string]*event
	eventLog   journal[*event]
	deliveries journal[*delivery]
	unfinished map[string]*journal[*delivery] // those that are not final, by subscriber
	keys       map[keyID]*key
	records    map[string]*hooks.Record
	recordLog  journal[*hooks.Record]

	// Where every delivery stands in one queue: a final one in done or failed,
	// an unfinished one in the lane of its subscriber or, while it must wait
	// for another of its ordering key, in a line.
	lanes  map[string]*queue[*delivery] // by subscriber
	lines  map[lineID]*line
	done   *queue[*delivery]
	failed *queue[*delivery]

	unwanted *queue[*event] // those without deliveries
	endings  *queue[*key]
	minutes  map[minuteID]hooks.Minute
}

var (
	_ hooks.Store     = (*Store)(nil)
	_ hooks.Exclusive = (*Store)(nil)
	_ hooks.Reporter  = (*Store)(nil)
)

// New returns an empty store.
func New() *Store {
	return &Store{
		events:     map[string]*event{},
		unfinished: map[string]*journal[*delivery]{},
		keys:       map[keyID]*key{},
		records:    map[string]*hooks.Record{},
		lanes:      map[string]*queue[*delivery]{},
		lines:      map[lineID]*line{},
		done:       newQueue(earlierFinal),
		failed:     newQueue(earlierFinal),
		unwanted:   newQueue(earlierStored),
		endings:    newQueue(earlierEnd),
		minutes:    map[minuteID]hooks.Minute{},
	}
}

// Ephemeral implements [hooks.Ephemeral]: nothing is on disk.
func (s *Store) Ephemeral() {}

// Close makes every later call return [hooks.ErrClosed]. It returns nil.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

// enter takes the lock, unless the call is refused; then it returns why.
func (s *Store) enter(ctx context.Context) error {
	if ctx == nil {
		return &hooks.InvalidError{Field: "Context", Problem: "it is nil; give context.Background()"}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return hooks.ErrClosed
	}
	return nil
}

// next returns a number above all that were given before.
func (s *Store) next() int64 {
	s.seq++
	return s.seq
}

// Lock implements [hooks.Exclusive]. Calling unlock again does nothing.
func (s *Store) Lock(ctx context.Context, now time.Time) (unlock func() error, err error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	if s.locked {
		return nil, hooks.ErrLocked
	}
	s.locked = true
	for _, d := range s.deliveries.after(0) {
		if d.Status == hooks.Sending {
			s.change(d, func() {
				d.Delivery = d.Released(now)
				d.Lost++
			})
		}
	}
	var once sync.Once
	return func() error {
		once.Do(s.unlock)
		return nil
	}, nil
}

func (s *Store) unlock() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.locked = false
}
