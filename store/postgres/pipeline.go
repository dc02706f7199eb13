package postgres

import (
	"cmp"
	"context"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A pipeline does transactions on a connection, and sends the next while the server
// is still at those before: it need not wait for us, nor we for it. The server does
// them in order, and after one that failed no other, for that one has not been
// ended: all fail until [pipeline.end].
//
// It is what SendBatch of [pgx.Conn] does, for several batches, and with one buffer
// for all that is encoded. One goroutine may use it.
type pipeline struct {
	store *Store
	conn  *pgx.Conn
	ctx   context.Context // the connection is closed if it ends

	prepared map[string]*pgconn.StatementDescription // by what is in the code
	wire     *pgconn.Pipeline                        // nil: the connection is free for anything
	sent     []transaction                           // which the server has not answered

	buf    []byte   // the arguments of one transaction, encoded
	ends   []int    // where each ends
	values [][]byte // each of them
	out    []byte   // its messages
}

// A transaction is statements, from BEGIN to COMMIT, and who is told of its end.
type transaction struct {
	list []statement
	done func(error)
}

func newPipeline(ctx context.Context, s *Store, conn *pgx.Conn) *pipeline {
	return &pipeline{store: s, conn: conn, ctx: ctx, prepared: make(map[string]*pgconn.StatementDescription)}
}

// send sends a transaction, or tells it at once why it was not sent.
func (p *pipeline) send(t transaction) {
	err := p.prepare(t.list)
	if err == nil {
		err = p.encode(t.list)
	}
	if err != nil {
		t.done(err)
		return
	}
	if p.wire == nil {
		p.wire = p.conn.PgConn().StartPipeline(p.ctx)
	}
	p.conn.PgConn().Frontend().Send(p.room(t.list))
	values := p.values
	for _, st := range t.list {
		n := len(st.args)
		p.wire.SendQueryPrepared(p.prepared[st.sql].Name, values[:n], allBinary, nil)
		values = values[n:]
	}
	p.sent = append(p.sent, t)
	if err := p.wire.Sync(); err != nil { // the connection is closed
		p.fail(err)
	}
}

// prepare prepares statements that are new, for which it must receive all that was
// sent.
func (p *pipeline) prepare(list []statement) error {
	for _, st := range list {
		if p.prepared[st.sql] != nil {
			continue
		}
		for len(p.sent) > 0 {
			p.receive()
		}
		if err := p.free(); err != nil {
			return err
		}
		text := p.store.text(st.sql)
		d, err := p.conn.Prepare(p.ctx, text, text) // it asks the server the first time only
		if err != nil {
			return err
		}
		p.prepared[st.sql] = d
	}
	return nil
}

// allBinary is the format of all arguments.
var allBinary = []int16{pgx.BinaryFormatCode}

// encode puts the arguments of all statements into values, as they are sent.
func (p *pipeline) encode(list []statement) error {
	p.buf, p.ends = p.buf[:0], p.ends[:0]
	for _, st := range list {
		types := p.prepared[st.sql].ParamOIDs
		for i, arg := range st.args {
			buf, err := p.appendArg(types[i], arg)
			if err != nil {
				return fmt.Errorf("argument %d: %w", i+1, err)
			}
			p.buf, p.ends = buf, append(p.ends, len(buf))
		}
	}
	p.values = p.values[:0]
	begin := 0
	for _, end := range p.ends {
		p.values = append(p.values, p.buf[begin:end])
		begin = end
	}
	return nil
}

func (p *pipeline) appendArg(typ uint32, arg any) ([]byte, error) {
	if a, ok := arg.(array); ok {
		return a.binary(p.buf), nil
	}
	return p.conn.TypeMap().Encode(typ, pgx.BinaryFormatCode, arg, p.buf)
}

// room returns memory for the messages of a transaction, whose arguments have been
// encoded. It is used again for the next one: by then, these have been written.
func (p *pipeline) room(list []statement) room {
	size := len(p.buf)
	for _, st := range list {
		size += 256 + 4*len(st.args) // lengths, and the names of statement and portal
	}
	if cap(p.out) < size {
		p.out = make([]byte, 0, 2*size)
	}
	return room(p.out)
}

// A room is a message without content, which has those after it written into its own
// memory. The driver begins with 1 KiB after each flush, and would let that grow to a
// group's hundreds every time.
type room []byte

func (r room) Encode(dst []byte) ([]byte, error) { return append(r[:0], dst...), nil }
func (room) Decode([]byte) error                 { return nil }
func (room) Frontend()                           {}

// receive waits for the first of the transactions that were sent.
func (p *pipeline) receive() {
	t := p.sent[0]
	var err error
	for i := 0; ; i++ {
		results, failed := p.wire.GetResults()
		if failed != nil {
			results = nil // some versions of the driver return a nil pointer
		}
		switch r := results.(type) {
		case *pgconn.PipelineSync:
			p.sent = p.sent[1:]
			t.done(err)
			return
		case *pgconn.ResultReader:
			failed = read(pgx.RowsFromResultReader(p.conn.TypeMap(), r), t.list[i].each)
		case nil:
			if sqlState(failed) == "" || p.conn.IsClosed() { // else it goes on at the next transaction
				failed = cmp.Or(failed, io.ErrUnexpectedEOF)
				p.sent = p.sent[1:]
				t.done(cmp.Or(err, failed))
				p.fail(failed) // nobody knows what became of the others
				return
			}
		}
		err = cmp.Or(err, failed)
	}
}

// fail gives up all that was sent.
func (p *pipeline) fail(err error) {
	sent := p.sent
	p.sent = nil
	for _, t := range sent {
		t.done(err)
	}
}

// read has f take the rows.
func read(rows pgx.Rows, f func(row) error) error {
	defer rows.Close()
	for f != nil && rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	rows.Close()
	return rows.Err()
}

// free makes the connection free for anything, when all has been received.
func (p *pipeline) free() error {
	if p.wire == nil {
		return nil
	}
	err := p.wire.Close()
	p.wire = nil
	return err
}

// end frees the connection, and ends a transaction that failed.
func (p *pipeline) end() error {
	if err := p.free(); err != nil || p.conn.PgConn().TxStatus() == 'I' {
		return err
	}
	_, err := p.conn.Exec(p.ctx, `ROLLBACK`)
	return err
}
