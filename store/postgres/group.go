package postgres

import (
	"context"
	"runtime"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// caution is how long groups look whether events are new, when one was not: more may
// come. At other times they take it for granted, which costs the server less; and if
// it is wrong, a transaction, and an error in the server's log that names the key.
const caution = time.Second

// doGroups commits what waits until nothing does. It takes a group when it has a
// connection: until then it may grow, or be forgotten.
func (w *writer) doGroups() {
	for w.waits() {
		runtime.Gosched() // those that were just answered may have more: half as many commits
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		conn, err := w.store.pool.Acquire(ctx)
		cancel()
		group := w.take()
		switch {
		case err != nil:
			answerAll(group, err)
		case len(group) > 0:
			w.settle(group, w.commit(conn, group))
		}
		if conn != nil {
			conn.Release()
		}
	}
}

// waits reports whether something does, and ends the work on groups if not.
func (w *writer) waits() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.groups.ops) == 0 {
		w.groups.workers--
		w.store.herald.idle()
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

// commit does a group in one transaction; again if the server gave it up because of
// another one, and carefully if it refused it.
func (w *writer) commit(conn *pgxpool.Conn, group []*op) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	news := slices.ContainsFunc(group, (*op).announces)
	told := w.store.herald.begin(news)
	write := func(bold bool) error {
		list := prepare(group, bold)
		if told {
			list = append(list, w.store.announcement(w.store.name))
		}
		return w.store.transact(ctx, conn, shortly, list)
	}
	err = again(ctx, func() error {
		if w.isBold(conn) {
			if err := write(true); !isDuplicate(err) {
				return err
			}
			w.beCareful()
		}
		return write(false)
	})
	w.store.herald.end(news, told, err)
	return err
}

// isBold reports whether a group may take for granted that its events are new. The
// server's log shows the text of what it refuses: in the simple protocol that has the
// arguments in it, which are nobody's business there.
func (w *writer) isBold(conn *pgxpool.Conn) bool {
	if conn.Conn().Config().DefaultQueryExecMode == pgx.QueryExecModeSimpleProtocol {
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
