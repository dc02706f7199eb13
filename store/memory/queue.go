package memory

import "container/heap"

// A queue gives its members out in order, and lets any of them leave. It
// implements [heap.Interface]; use the lower-case methods.
type queue[T member] struct {
	items   []T
	earlier func(a, b T) bool
}

// A member of a queue keeps its index there.
type member interface{ index() *int }

func newQueue[T member](earlier func(a, b T) bool) *queue[T] {
	return &queue[T]{earlier: earlier}
}

func (q *queue[T]) add(x T)     { heap.Push(q, x) }
func (q *queue[T]) remove(x T)  { heap.Remove(q, *x.index()) }
func (q *queue[T]) empty() bool { return len(q.items) == 0 }

// first is the earliest member of a queue that is not empty.
func (q *queue[T]) first() T { return q.items[0] }

// take removes and returns the first.
func (q *queue[T]) take() T { return heap.Pop(q).(T) }

func (q *queue[T]) Len() int           { return len(q.items) }
func (q *queue[T]) Less(i, j int) bool { return q.earlier(q.items[i], q.items[j]) }

func (q *queue[T]) Swap(i, j int) {
	q.items[i], q.items[j] = q.items[j], q.items[i]
	*q.items[i].index(), *q.items[j].index() = i, j
}

func (q *queue[T]) Push(x any) {
	item := x.(T)
	*item.index() = len(q.items)
	q.items = append(q.items, item)
}

func (q *queue[T]) Pop() any {
	last := len(q.items) - 1
	item := q.items[last]
	var none T
	q.items[last] = none
	q.items = q.items[:last]
	return item
}
