package lanes

import (
	"container/heap"
	"time"
)

// A calendar is a heap of moments, the earliest first.
type calendar[T any] struct{ heap moments[T] }

// A moment is when something is due for its owner. It is in one calendar at
// most; its zero value is in none.
type moment[T any] struct {
	of    T
	at    time.Time
	place int // in the heap, from 1; zero if it is in none
}

// set enters a moment, or moves it.
func (c *calendar[T]) set(m *moment[T], at time.Time) {
	switch {
	case m.place == 0:
		m.at = at
		heap.Push(&c.heap, m)
	case !m.at.Equal(at):
		m.at = at
		heap.Fix(&c.heap, m.place-1)
	}
}

// drop takes a moment out, if it is in.
func (c *calendar[T]) drop(m *moment[T]) {
	if m.place > 0 {
		heap.Remove(&c.heap, m.place-1)
	}
}

// next returns the earliest moment; zero if there is none.
func (c *calendar[T]) next() time.Time {
	if len(c.heap) == 0 {
		return time.Time{}
	}
	return c.heap[0].at
}

// due returns the owner of the earliest moment if it has come.
func (c *calendar[T]) due(now time.Time) (of T, ok bool) {
	if len(c.heap) == 0 || now.Before(c.heap[0].at) {
		return of, false
	}
	return c.heap[0].of, true
}

// moments is a [heap.Interface].
type moments[T any] []*moment[T]

func (h moments[T]) Len() int           { return len(h) }
func (h moments[T]) Less(i, j int) bool { return h[i].at.Before(h[j].at) }

func (h moments[T]) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i+1, j+1
}

func (h *moments[T]) Push(x any) {
	m := x.(*moment[T])
	*h = append(*h, m)
	m.place = len(*h)
}

func (h *moments[T]) Pop() any {
	last := len(*h) - 1
	m := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	m.place = 0
	return m
}

// earliest returns the earlier of two times, of which zero is none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
