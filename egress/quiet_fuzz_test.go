package egress_test

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"

	"example.com/hooks/egress"
)

// plainHeads are heads of responses to a POST, and whether they are plain.
var plainHeads = []struct {
	head   string
	length int64
	ok     bool
}{
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 5, true},
	{"HTTP/1.1 200 OK\r\nDate: x\r\ncontent-length:0\r\nX-A: a b; c\r\n\r\n", 0, true},
	{"HTTP/1.1 500 Internal Server Error\r\nContent-Length:   12  \r\n\r\n", 12, true},
	{"HTTP/1.1 299 \r\nContent-Length: 1\r\n\r\n", 1, true},
	{"HTTP/1.1 200 OK\r\n\r\n", -1, false},
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", 5, false},
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 5, false},
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nconnection: close\r\n\r\n", 5, false},
	{"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n", 0, false},
	{"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", 0, false},
	{"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n", 0, false},
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n folded\r\n\r\n", 0, false},
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: a\rb\r\n\r\n", 0, false},
	{"HTTP/1.1 200 OK\nContent-Length: 5\n\n", 0, false},
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\n", 0, false},
	{"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n", 0, false},
	{"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", 0, false},
	{"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 0, false},
	{"HTTP/1.1 2x0 OK\r\nContent-Length: 5\r\n\r\n", 0, false},
	{"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n", 0, false},
	{"HTTP/1.1 200 \n\r\nContent-Length: 5\r\n\r\n", 0, false},
	{"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", 0, false},
}

func TestPlainLength(t *testing.T) {
	for _, c := range plainHeads {
		n, ok := egress.PlainLength([]byte(c.head))
		if ok != c.ok || ok && n != c.length {
			t.Errorf("plainLength(%q) = %d, %t; want %d, %t", c.head, n, ok, c.length, c.ok)
		}
	}
}

// Whatever is called plain, net/http reads as a response with a body of this length, on
// a connection that stays open.
func FuzzPlainLength(f *testing.F) {
	for _, c := range plainHeads {
		f.Add([]byte(c.head))
	}
	f.Fuzz(func(t *testing.T, head []byte) {
		n, ok := egress.PlainLength(head)
		if !ok {
			return
		}
		resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), &http.Request{Method: http.MethodPost})
		if err != nil {
			t.Fatalf("plainLength(%q) = %d; net/http: %v", head, n, err)
		}
		if resp.ContentLength != n || resp.Close || len(resp.TransferEncoding) > 0 || resp.StatusCode < 200 {
			t.Errorf("plainLength(%q) = %d; net/http reads %+v", head, n, resp)
		}
		if !strings.HasSuffix(string(head), "\r\n\r\n") {
			t.Errorf("plainLength(%q) = %d, although there is something behind the head", head, n)
		}
	})
}
