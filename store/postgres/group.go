package postgres

import (
	"context"
	"runtime"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// caution is how long groups look whether events are new, when one was not: more may
// come. At other times they take it for granted, which costs the server less; and if
// it is wrong, a transaction, and an error in the server's log that names the key.
const caution = time.Second

// ahead is how many groups may be under way: while the server does one, it has the
// next already, and more are gathered here. With a third they are small, and cost more.
const ahead = 2

// shift is how long groups use a connection until others may have it. It costs them
// little to get one again.
const shift = 100 * time.Millisecond

// doGroups commits what waits until nothing does. It takes a group when it has a
// connection: until then it may grow, or be forgotten.
func (w *writer) doGroups() {
	for w.waits() {
		runtime.Gosched() // those that were just answered may have more: half as many commits
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		conn, err := w.store.pool.Acquire(ctx)
		cancel()
		if err != nil {
			answerAll(w.take(), err)
			continue
		}
		if w.store.pipelined {
			w.doAhead(conn)
		} else if group := w.take(); len(group) > 0 {
			w.settle(group, w.commit(conn, group))
		}
		conn.Release()
	}
}

// doAhead commits groups until nothing waits, the shift is over, or one fails. Those
// that failed are then looked after in the same order.
func (w *writer) doAhead(conn *pgxpool.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p := newPipeline(ctx, w.store, conn.Conn())
	var failed []*batch
	over := time.Now().Add(shift)
	for len(failed) == 0 && time.Now().Before(over) {
		group := w.take()
		if len(group) == 0 && len(p.sent) == 0 {
			break
		}
		if len(group) > 0 {
			b := w.begin(group)
			p.send(transaction{whole(shortly, b.list), func(err error) {
				if w.end(b, err); err == nil {
					answerAll(group, nil)
				} else {
					failed = append(failed, b)
				}
			}})
		}
		if len(group) == 0 || len(p.sent) == ahead {
			p.receive()
		}
		runtime.Gosched() // see doGroups
	}
	for len(p.sent) > 0 {
		p.receive()
	}
	_ = p.end() // the pool throws away a connection that is not free
	for _, b := range failed {
		w.mend(conn, b)
	}
}

// mend does a group again, by itself, if it may pass then.
func (w *writer) mend(conn *pgxpool.Conn, b *batch) {
	again := gaveUp(b.err) || b.refused()
	switch sqlState(b.err) {
	case "25P02": // it came after one that failed
		again = true
	case "26000": // somebody has deallocated what was prepared
		again = conn.Conn().DeallocateAll(context.Background()) == nil
	}
	err := b.err
	if again {
		err = w.commit(conn, b.group)
	}
	w.settle(b.group, err)
}

// waits reports whether something does, and ends the work on groups if not.
func (w *writer) waits() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.groups.ops) == 0 {
		w.groups.workers--
		return false
	}
	return true
}

// take returns a group of what waits.
func (w *writer) take() []*op {
	w.mu.Lock()
	defer w.mu.Unlock()
	q := &w.groups
	n, rows := 0, 0
	for n < len(q.ops) && rows < maxGroup {
		rows += q.ops[n].size()
		n++
	}
	group := slices.Clone(q.ops[:n])
	q.ops = slices.Delete(q.ops, 0, n)
	return group
}

// A batch is a group on its way to the server.
type batch struct {
	group []*op
	list  []statement
	bold  bool // it takes for granted that its events are new
	err   error
}

// begin makes a batch of a group.
func (w *writer) begin(group []*op) *batch {
	b := &batch{group: group, bold: w.isBold()}
	b.list = prepare(group, b.bold)
	return b
}

// end notes what became of a batch, and announces what it wrote.
func (w *writer) end(b *batch, err error) {
	b.err = err
	if slices.ContainsFunc(b.group, (*op).announces) {
		w.store.herald.written(err)
	}
	if b.refused() {
		w.beCareful()
	}
}

// refused reports whether not all of it was new.
func (b *batch) refused() bool { return b.bold && isDuplicate(b.err) }

// commit does a group in one transaction; again if the server gave it up because of
// another one, and carefully if it refused it.
func (w *writer) commit(conn *pgxpool.Conn, group []*op) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	try := func() *batch {
		b := w.begin(group)
		w.end(b, w.store.transact(ctx, conn, whole(shortly, b.list)))
		return b
	}
	return again(ctx, func() error {
		b := try()
		if b.refused() {
			b = try()
		}
		return b.err
	})
}

// isBold reports whether a group may take for granted that its events are new. The
// server's log shows the text of what it refuses: in the simple protocol that has the
// arguments in it, which are nobody's business there.
func (w *writer) isBold() bool {
	if w.store.simple {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().After(w.carefulUntil)
}

func (w *writer) beCareful() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.carefulUntil = time.Now().Add(caution)
}

// prepare returns the statements of a group. What they find goes to its members.
func prepare(group []*op, bold bool) []statement {
	var ins []insertion
	var rev []revision
	for _, o := range group {
		var part []insertion
		part, o.receipts = insertions(o.now, o.entries)
		ins = append(ins, part...)
		rev = append(rev, revisions(o.changes)...)
	}
	all := rev
	for _, o := range group {
		o.revised, all = all[:len(o.changes)], all[len(o.changes):]
	}
	bold = bold && apart(ins) == len(ins) // what the group has twice would be refused for sure
	return slices.Concat(lockThem(rev), insert(ins, bold), revise(rev))
}

// settle tells the members of a group what became of it. If one of them may be
// to blame, each is done by itself.
func (w *writer) settle(group []*op, err error) {
	if err == nil || !blames(err, len(group)) {
		answerAll(group, err)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.addSingle(&w.single, shortly, group...)
}
