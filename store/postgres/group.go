package postgres

import (
	"context"
	"runtime"
	"slices"
	"time"

	"example.com/hooks/store/postgres/internal/batch"
	"github.com/jackc/pgx/v5/pgxpool"
)

// caution is how long, after one duplicate, groups look before they insert, because
// duplicates come in bursts. A wrong bold guess costs a transaction, and an error with the
// key in the server's log.
const caution = time.Second

// ahead is how many groups may be under way. While the server does one it has the next
// already, and more operations gather here. With a third, groups would be smaller and
// cost more.
const ahead = 2

// shift is how long groups use a connection before they give it back to the pool, where
// others may wait for it. It costs little to get one again.
const shift = 100 * time.Millisecond

// doGroups commits groups until nothing waits. It takes a group only when it has a
// connection, because until then more operations may come, or callers go.
func (w *writer) doGroups() {
	for w.waits() {
		runtime.Gosched() // let callers that were just answered enqueue again: this halves the commits
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

// doAhead commits groups until nothing waits, the shift is over, or one fails. Then it
// mends those that failed, in their order.
func (w *writer) doAhead(conn *pgxpool.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p := batch.NewPipeline(ctx, conn.Conn(), w.store.text)
	var failed []*groupTx
	over := time.Now().Add(shift)
	for len(failed) == 0 && time.Now().Before(over) {
		group := w.take()
		if len(group) == 0 && p.Sent() == 0 {
			break
		}
		if len(group) > 0 {
			t := w.begin(group)
			p.Send(batch.Write(shortly, t.list), func(err error) {
				if w.end(t, err); err == nil {
					answerAll(group, nil)
				} else {
					failed = append(failed, t)
				}
			})
		}
		if len(group) == 0 || p.Sent() == ahead {
			p.Receive()
		}
		runtime.Gosched() // see doGroups
	}
	for p.Sent() > 0 {
		p.Receive()
	}
	_ = p.End() // the pool throws away a connection that is not free
	for _, t := range failed {
		w.mend(conn, t)
	}
}

// mend commits a group that failed once more, by itself, if that may succeed.
func (w *writer) mend(conn *pgxpool.Conn, t *groupTx) {
	again := batch.GaveUp(t.err) || t.refused()
	switch batch.SQLState(t.err) {
	case "25P02": // it came after one that failed
		again = true
	case "26000": // somebody has deallocated what was prepared
		again = conn.Conn().DeallocateAll(context.Background()) == nil
	}
	err := t.err
	if again {
		err = w.commit(conn, t.group)
	}
	w.settle(t.group, err)
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

// A groupTx is the transaction of a group.
type groupTx struct {
	group []*op
	list  []batch.Statement
	bold  bool // the statements insert its events without looking whether they are there
	err   error
}

// begin makes a transaction of a group.
func (w *writer) begin(group []*op) *groupTx {
	t := &groupTx{group: group, bold: w.isBold()}
	t.list = prepare(group, t.bold)
	return t
}

// end records what became of a transaction, and announces what it wrote.
func (w *writer) end(t *groupTx, err error) {
	t.err = err
	if slices.ContainsFunc(t.group, (*op).announces) {
		w.store.herald.written(err)
	}
	if t.refused() {
		w.beCareful()
	}
}

// refused reports whether the server refused a group because not all of it was new.
func (t *groupTx) refused() bool { return t.bold && isDuplicate(t.err) }

// commit does a group in one transaction; again if the server gave it up because of
// another one, and carefully if it refused it.
func (w *writer) commit(conn *pgxpool.Conn, group []*op) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	try := func() *groupTx {
		t := w.begin(group)
		w.end(t, w.store.transact(ctx, conn, batch.Write(shortly, t.list)))
		return t
	}
	return batch.Again(ctx, func() error {
		t := try()
		if t.refused() {
			t = try()
		}
		return t.err
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
func prepare(group []*op, bold bool) []batch.Statement {
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
	return slices.Concat(lockLines(rev), insert(ins, bold), revise(rev))
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
	w.addSingleLocked(&w.single, shortly, group...)
}
