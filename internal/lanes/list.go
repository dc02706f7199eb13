package lanes

// A list is linked through its members, so that joining and leaving it costs
// the same however long it is, and allocates nothing. The zero list is empty.
type list[T any] struct {
	first, last *link[T]
	n           int
}

// A link is a member's place in a list. Its zero value is in none.
type link[T any] struct {
	of         T
	in         *list[T]
	prev, next *link[T]
}

// move puts a member at the end of a list, or in none if to is nil. A member
// that is in that list already keeps its place.
func (k *link[T]) move(to *list[T]) {
	if k.in == to {
		return
	}
	k.leave()
	if to == nil {
		return
	}
	k.in, k.prev = to, to.last
	if to.last == nil {
		to.first = k
	} else {
		to.last.next = k
	}
	to.last = k
	to.n++
}

// leave takes a member out of its list, if it is in one.
func (k *link[T]) leave() {
	in := k.in
	if in == nil {
		return
	}
	if k.prev == nil {
		in.first = k.next
	} else {
		k.prev.next = k.next
	}
	if k.next == nil {
		in.last = k.prev
	} else {
		k.next.prev = k.prev
	}
	in.n--
	k.in, k.prev, k.next = nil, nil, nil
}
