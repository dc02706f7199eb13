package kit

import (
	"context"
	"maps"
	"sync"
	"time"

	"example.com/hooks"
)

// Counting returns a handler that succeeds, and the number of its calls by event.
func Counting(name string) (hooks.Handler, *Tally) {
	c := &Tally{n: make(map[string]int)}
	return hooks.Handler{Name: name, Func: func(_ context.Context, ev hooks.Event) error {
		c.add(ev.ID)
		return nil
	}}, c
}

// A Tally counts calls of a handler by the ID of the event.
type Tally struct {
	mu sync.Mutex // guards what follows
	n  map[string]int
}

func (c *Tally) add(event string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n[event]++
}

// Of returns the number of calls for an event.
func (c *Tally) Of(event string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[event]
}

// All returns the number of calls for each event that had one.
func (c *Tally) All() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.n)
}

// Ignore is the function of a handler that succeeds and does nothing.
func Ignore(context.Context, hooks.Event) error { return nil }

// A CallLog records when a handler was called for an event.
type CallLog struct {
	began time.Time

	mu    sync.Mutex // guards what follows
	calls map[string][]time.Duration
}

// NewCallLog returns a CallLog whose time 0 is now.
func NewCallLog() *CallLog {
	return &CallLog{began: time.Now(), calls: make(map[string][]time.Duration)}
}

// Note records a call for an event, and returns how many there were for it.
func (l *CallLog) Note(event string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls[event] = append(l.calls[event], time.Since(l.began))
	return len(l.calls[event])
}

// Of returns the times of the calls for an event, counted from the making of the log.
func (l *CallLog) Of(event string) []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls[event]
}

// BusyFor returns a handler, "a", with so many slots. Its calls last as long as took and
// succeed.
func BusyFor(took time.Duration, slots int) (hooks.Handler, *CallLog) {
	l := NewCallLog()
	return hooks.Handler{Name: "a", Concurrency: slots, Func: func(_ context.Context, ev hooks.Event) error {
		l.Note(ev.ID)
		time.Sleep(took)
		return nil
	}}, l
}
