package egress

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
)

// A quietConn carries HTTP/1 and ends, without a word, where a receiver says more than
// it was asked: behind the last byte of a response nothing is handed on. net/http writes
// such bytes to the standard logger, up to 4 KiB of the receiver's own words at a time.
//
// It follows the responses with net/http's own parser and hands on what that cannot
// read, for then net/http ends the connection itself, and writes nothing.
type quietConn struct {
	net.Conn
	limit int64 // of a response's header, in bytes

	owed   atomic.Bool // a request has begun whose response has not ended
	method atomic.Pointer[string]

	// What follows is used by Read, which has one caller at a time.
	over    bool                                       // nothing more is handed on
	follow  func(c *quietConn, data []byte) (used int) // nil: everything is handed on
	line    []byte                                     // a header or line, as far as it has come
	remain  int64                                      // bytes of the body or the chunk
	parser  *bufio.Reader                              // of header, for request
	header  bytes.Reader
	request http.Request
}

func newQuietConn(c net.Conn, headerLimit int64) *quietConn {
	return &quietConn{Conn: c, limit: headerLimit, follow: (*quietConn).head, parser: bufio.NewReaderSize(nil, 512)}
}

// Write notices the beginnings of requests. The rest of one may be written when its
// response has ended already.
func (c *quietConn) Write(p []byte) (int, error) {
	line, _, _ := bytes.Cut(p, []byte("\n"))
	method, _, _ := bytes.Cut(line, []byte(" "))
	if bytes.HasSuffix(line, []byte(" HTTP/1.1\r")) && len(bytes.Trim(method, tokenChars)) == 0 {
		if last := c.method.Load(); last == nil || *last != string(method) {
			m := string(method)
			c.method.Store(&m)
		}
		c.owed.Store(true)
	}
	return c.Conn.Write(p)
}

// What a method is made of, RFC 9110 section 5.6.2. JSON has no carriage return within a
// text, so that no body has a line like that of a request.
const tokenChars = lowerAlnum + "ABCDEFGHIJKLMNOPQRSTUVWXYZ!#$%&'*+-.^_`|~"

// Read hands on what belongs to responses. With the last byte of one behind which
// something else came, it says io.EOF, so that the connection is not used again.
func (c *quietConn) Read(p []byte) (int, error) {
	if c.over {
		return 0, io.EOF
	}
	n, err := c.Conn.Read(p)
	used := 0
	for used < n && c.follow != nil && c.owed.Load() {
		used += c.follow(c, p[used:n])
	}
	if c.follow == nil || used == n {
		return n, err
	}
	c.over = true
	return used, io.EOF
}

// head follows the status line and the header.
func (c *quietConn) head(data []byte) (used int) {
	before := len(c.line)
	c.line = append(c.line, data...)
	end := endOfHead(c.line, before)
	if end < 0 {
		if int64(len(c.line)) > c.limit {
			c.follow = nil
		}
		return len(data)
	}
	head := c.line[:end]
	if c.line = c.line[:0]; cap(c.line) > 4<<10 {
		c.line = nil
	}
	c.request.Method = *c.method.Load()
	if n, ok := plainLength(head); ok && c.request.Method == http.MethodPost {
		if c.remain, c.follow = n, (*quietConn).body; n == 0 {
			c.end()
		}
		return end - before
	}
	c.header.Reset(head)
	c.parser.Reset(&c.header)
	resp, err := http.ReadResponse(c.parser, &c.request)
	switch {
	case err != nil || resp.Close || c.request.Method == http.MethodConnect || resp.StatusCode == http.StatusSwitchingProtocols:
		c.follow = nil
	case resp.StatusCode < 200: // the response is still to come
	case resp.Body == http.NoBody:
		c.end()
	case resp.ContentLength > 0:
		c.remain, c.follow = resp.ContentLength, (*quietConn).body
	case len(resp.TransferEncoding) > 0:
		c.follow = (*quietConn).chunkSize
	default:
		c.follow = nil
	}
	return end - before
}

// plainLength returns the length of the body behind a head that leaves no doubt of it:
// HTTP/1.1 with a final status, one Content-Length, and nothing else that says how long
// the response or the connection lasts. ok is false for all others, also for what is
// merely unusual: net/http's parser decides about these. It would decide about most
// responses just so, and takes seven allocations for it.
func plainLength(head []byte) (length int64, ok bool) {
	line, rest, _ := bytes.Cut(head, []byte("\r\n"))
	status, found := bytes.CutPrefix(line, []byte("HTTP/1.1 "))
	if !found || len(status) < len("200 ") || status[0] < '2' || status[0] > '5' || status[3] != ' ' ||
		string(status[:3]) == "204" || string(status[:3]) == "304" || bytes.ContainsFunc(status, isControl) {
		return 0, false
	}
	for _, b := range status[1:3] {
		if b < '0' || b > '9' {
			return 0, false
		}
	}
	length = -1
	for {
		line, rest, found = bytes.Cut(rest, []byte("\r\n"))
		if !found || len(line) == 0 {
			return length, found && length >= 0 && len(rest) == 0
		}
		name, value, isField := bytes.Cut(line, []byte(":"))
		if !isField || len(name) == 0 || len(bytes.Trim(name, tokenChars)) > 0 || bytes.ContainsFunc(value, isControl) {
			return 0, false
		}
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			n, err := strconv.ParseUint(string(bytes.Trim(value, " ")), 10, 62)
			if err != nil || length >= 0 {
				return 0, false
			}
			length = int64(n)
		case bytes.EqualFold(name, []byte("Connection")), bytes.EqualFold(name, []byte("Transfer-Encoding")):
			return 0, false
		}
	}
}

// isControl reports whether a status line or the value of a field may not hold r.
func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// endOfHead returns the index behind the empty line, or -1. It is not in the first
// bytes that were looked at before.
func endOfHead(b []byte, before int) int {
	for i := max(0, before-len("\n\r")); ; {
		n := bytes.IndexByte(b[i:], '\n')
		if n < 0 {
			return -1
		}
		i += n + 1
		if rest := b[i:]; bytes.HasPrefix(rest, []byte("\n")) {
			return i + 1
		} else if bytes.HasPrefix(rest, []byte("\r\n")) {
			return i + 2
		}
	}
}

// end notes that the response has ended.
func (c *quietConn) end() {
	c.follow = (*quietConn).head
	c.owed.Store(false)
}

// body follows a body whose length is known.
func (c *quietConn) body(data []byte) (used int) {
	used = c.skip(data)
	if c.remain == 0 {
		c.end()
	}
	return used
}

// skip passes over as much of remain as there is.
func (c *quietConn) skip(data []byte) (used int) {
	used = int(min(c.remain, int64(len(data))))
	c.remain -= int64(used)
	return used
}

// chunkSize follows the line before a chunk.
func (c *quietConn) chunkSize(data []byte) (used int) {
	line, used, ok := c.nextLine(data)
	if !ok {
		return used
	}
	digits, _, _ := strings.Cut(line, ";")
	size, err := strconv.ParseUint(strings.TrimSpace(digits), 16, 62)
	switch {
	case err != nil:
		c.follow = nil
	case size == 0:
		c.follow = (*quietConn).trailer
	default:
		c.remain, c.follow = int64(size)+int64(len("\r\n")), (*quietConn).chunk
	}
	return used
}

// chunk follows a chunk and the end of its line.
func (c *quietConn) chunk(data []byte) (used int) {
	used = c.skip(data)
	if c.remain == 0 {
		c.follow = (*quietConn).chunkSize
	}
	return used
}

// trailer follows what is behind the last chunk, to the empty line.
func (c *quietConn) trailer(data []byte) (used int) {
	line, used, ok := c.nextLine(data)
	if ok && line == "" {
		c.end()
	}
	return used
}

// nextLine returns a line without its end, if it is there as a whole.
func (c *quietConn) nextLine(data []byte) (line string, used int, ok bool) {
	n := bytes.IndexByte(data, '\n')
	if n < 0 {
		c.line = append(c.line, data...)
		if int64(len(c.line)) > c.limit {
			c.follow = nil
		}
		return "", len(data), false
	}
	line = strings.TrimSuffix(string(append(c.line, data[:n]...)), "\r")
	c.line = c.line[:0]
	return line, n + 1, true
}

// A dialFunc connects to an address, as those of an [http.Transport] do.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// quiet returns f with quiet connections.
func quiet(f dialFunc, headerLimit int64) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := f(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if c, ok := conn.(*tls.Conn); ok && c.ConnectionState().NegotiatedProtocol == "h2" {
			return conn, nil // net/http wants HTTP/2's as they are
		}
		return newQuietConn(conn, headerLimit), nil
	}
}
