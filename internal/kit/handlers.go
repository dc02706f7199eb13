package kit

import (
	"context"
	"sync"
	"time"

	"example.com/hooks"
)

// counting returns a handler that counts its calls by event, and succeeds.
func Counting(name string) (hooks.Handler, *Tally) {
	c := &Tally{N: make(map[string]int)}
	return hooks.Handler{Name: name, Func: func(_ context.Context, ev hooks.Event) error {
		c.add(ev.ID)
		return nil
	}}, c
}

type Tally struct {
	mu sync.Mutex // guards what follows
	N  map[string]int
}

func (c *Tally) add(event string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.N[event]++
}

func (c *Tally) Of(event string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.N[event]
}

func Ignore(context.Context, hooks.Event) error { return nil }

// A log of calls: when each was, since the log was made.
type CallLog struct {
	began time.Time
	mu    sync.Mutex // guards what follows
	calls map[string][]time.Duration
}

func NewCallLog() *CallLog {
	return &CallLog{began: time.Now(), calls: make(map[string][]time.Duration)}
}

func (l *CallLog) Note(event string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls[event] = append(l.calls[event], time.Since(l.began))
	return len(l.calls[event])
}

func (l *CallLog) Of(event string) []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls[event]
}

// busyFor returns a handler whose calls last so long, and succeed.
func BusyFor(took time.Duration, slots int) (hooks.Handler, *CallLog) {
	l := NewCallLog()
	return hooks.Handler{Name: "a", Concurrency: slots, Func: func(_ context.Context, ev hooks.Event) error {
		l.Note(ev.ID)
		time.Sleep(took)
		return nil
	}}, l
}
