package pgserver_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"testing"
	"time"

	"example.com/hooks/internal/pgserver"
)

// A session is a client's connection, with as much of PostgreSQL's protocol as
// the tests need.
type session struct {
	conn net.Conn
	in   *bufio.Reader
}

// dial opens a session in the database postgres and leaves its end to t.
func dial(t *testing.T, s *pgserver.Server) *session {
	t.Helper()
	u, err := url.Parse(s.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialTimeout("tcp", u.Host, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	c := &session{conn, bufio.NewReader(conn)}
	hello := binary.BigEndian.AppendUint32(nil, 3<<16) // version 3.0
	hello = fmt.Appendf(hello, "user\x00%s\x00database\x00%s\x00\x00", u.User.Username(), u.Path[1:])
	c.send(t, nil, hello)
	c.untilReady(t)
	return c
}

// query runs one statement and returns the first column of the first row.
func (c *session) query(t *testing.T, sql string) string {
	t.Helper()
	c.send(t, []byte{'Q'}, append([]byte(sql), 0))
	return c.untilReady(t)
}

func (c *session) send(t *testing.T, kind, body []byte) {
	t.Helper()
	message := binary.BigEndian.AppendUint32(kind, uint32(len(body)+4))
	if _, err := c.conn.Write(append(message, body...)); err != nil {
		t.Fatal(err)
	}
}

// untilReady reads the messages up to ReadyForQuery and returns the first
// column of the first row among them.
func (c *session) untilReady(t *testing.T) (value string) {
	t.Helper()
	for rows := 0; ; {
		kind, body := c.receive(t)
		switch kind {
		case 'Z': // ReadyForQuery
			return value
		case 'E': // ErrorResponse
			t.Fatalf("the server says %q", body)
		case 'D': // DataRow: a count of columns, then length and bytes of each.
			if rows++; rows == 1 {
				value = string(body[6 : 6+binary.BigEndian.Uint32(body[2:])])
			}
		}
	}
}

func (c *session) receive(t *testing.T) (kind byte, body []byte) {
	t.Helper()
	var header [5]byte
	if _, err := io.ReadFull(c.in, header[:]); err != nil {
		t.Fatal(err)
	}
	body = make([]byte, binary.BigEndian.Uint32(header[1:])-4)
	if _, err := io.ReadFull(c.in, body); err != nil {
		t.Fatal(err)
	}
	return header[0], body
}

// ask runs one statement in a session of its own.
func ask(t *testing.T, s *pgserver.Server, sql string) string {
	t.Helper()
	c := dial(t, s)
	defer c.conn.Close()
	return c.query(t, sql)
}
