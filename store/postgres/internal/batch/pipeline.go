package batch

import (
	"cmp"
	"context"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A Pipeline sends transactions on a connection. It need not wait for the answer to one
// before it sends the next, and the server need not wait for the next one. The server
// does them in order. When one has failed, all that were sent after it fail as well,
// until [Pipeline.End], because the server is still in the transaction that failed.
//
// It does what SendBatch of [pgx.Conn] does, for several batches, and encodes all of
// them in one buffer. One goroutine may use it. Make one with [NewPipeline].
type Pipeline struct {
	conn *pgx.Conn
	text func(string) string
	ctx  context.Context // the connection is closed if it ends

	prepared map[string]*pgconn.StatementDescription // by [Statement].SQL
	wire     *pgconn.Pipeline                        // nil: the connection is not in pipeline mode
	sent     []transaction                           // those that the server has not answered

	buf    []byte   // the arguments of one transaction, encoded
	ends   []int    // where each ends
	values [][]byte // each of them
	out    []byte   // its messages
}

// A transaction is statements, from BEGIN to COMMIT, and the function that is called
// when its outcome is known.
type transaction struct {
	list []Statement
	done func(error)
}

// NewPipeline returns a pipeline on a connection, which nobody else may use until
// [Pipeline.End]. The connection is closed if ctx ends while something is under way.
// text returns a statement as it is sent.
func NewPipeline(ctx context.Context, conn *pgx.Conn, text func(string) string) *Pipeline {
	return &Pipeline{conn: conn, text: text, ctx: ctx, prepared: make(map[string]*pgconn.StatementDescription)}
}

// Sent returns how many transactions the server has not answered yet.
func (p *Pipeline) Sent() int { return len(p.sent) }

// Send sends a transaction. It calls done, in this call or a later one, with the error
// that the transaction ended with; nil says that it was committed.
func (p *Pipeline) Send(list []Statement, done func(error)) {
	t := transaction{list, done}
	err := p.prepare(list)
	if err == nil {
		err = p.encode(list)
	}
	if err != nil {
		done(err)
		return
	}
	if p.wire == nil {
		p.wire = p.conn.PgConn().StartPipeline(p.ctx)
	}
	p.conn.PgConn().Frontend().Send(p.room(list))
	values := p.values
	for _, st := range list {
		n := len(st.Args)
		p.wire.SendQueryPrepared(p.prepared[st.SQL].Name, values[:n], allBinary, nil)
		values = values[n:]
	}
	p.sent = append(p.sent, t)
	if err := p.wire.Sync(); err != nil { // the connection is closed
		p.fail(err)
	}
}

// prepare prepares statements that are new to the pipeline. Before that it receives all
// answers, because the driver prepares only on a connection that is free.
func (p *Pipeline) prepare(list []Statement) error {
	for _, st := range list {
		if p.prepared[st.SQL] != nil {
			continue
		}
		for len(p.sent) > 0 {
			p.Receive()
		}
		if err := p.free(); err != nil {
			return err
		}
		text := p.text(st.SQL)
		d, err := p.conn.Prepare(p.ctx, text, text) // asks the server only the first time
		if err != nil {
			return err
		}
		p.prepared[st.SQL] = d
	}
	return nil
}

// allBinary is the format of all arguments.
var allBinary = []int16{pgx.BinaryFormatCode}

// encode puts the arguments of all statements into values, as they are sent.
func (p *Pipeline) encode(list []Statement) error {
	p.buf, p.ends = p.buf[:0], p.ends[:0]
	for _, st := range list {
		types := p.prepared[st.SQL].ParamOIDs
		for i, arg := range st.Args {
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

func (p *Pipeline) appendArg(typ uint32, arg any) ([]byte, error) {
	if a, ok := arg.(array); ok {
		return a.binary(p.buf), nil
	}
	return p.conn.TypeMap().Encode(typ, pgx.BinaryFormatCode, arg, p.buf)
}

// room returns memory for the messages of a transaction whose arguments have been
// encoded. The next transaction uses it again: by then the driver has written these.
func (p *Pipeline) room(list []Statement) room {
	size := len(p.buf)
	for _, st := range list {
		size += 256 + 4*len(st.Args) // lengths, and the names of statement and portal
	}
	if cap(p.out) < size {
		p.out = make([]byte, 0, 2*size)
	}
	return room(p.out)
}

// A room is a message without content. The driver appends the messages after it to its
// memory. After each flush the driver itself would begin with 1 KiB, which would have to
// grow to a group's hundreds of KiB every time.
type room []byte

func (r room) Encode(dst []byte) ([]byte, error) { return append(r[:0], dst...), nil }
func (room) Decode([]byte) error                 { return nil }
func (room) Frontend()                           {}

// Receive waits for the answer to the first transaction that has none yet, and calls its
// done. Something must have been sent.
func (p *Pipeline) Receive() {
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
			failed = read(pgx.RowsFromResultReader(p.conn.TypeMap(), r), t.list[i].Each)
		case nil:
			if SQLState(failed) == "" || p.conn.IsClosed() { // else it goes on at the next transaction
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

// fail ends all that was sent with an error.
func (p *Pipeline) fail(err error) {
	sent := p.sent
	p.sent = nil
	for _, t := range sent {
		t.done(err)
	}
}

// free leaves the driver's pipeline mode, in which a connection can do nothing else. All
// answers have been received.
func (p *Pipeline) free() error {
	if p.wire == nil {
		return nil
	}
	err := p.wire.Close()
	p.wire = nil
	return err
}

// End frees the connection, and rolls a transaction back that failed. All answers must
// have been received.
func (p *Pipeline) End() error {
	if err := p.free(); err != nil || p.conn.PgConn().TxStatus() == 'I' {
		return err
	}
	_, err := p.conn.Exec(p.ctx, `ROLLBACK`)
	return err
}
