package hostile_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/hooks"
)

// Guarantee: a hostile receiver costs bounded resources. Attempts here may take
// hostileTimeout; a machine that is busy may take a little longer.
const hostileTimeout = 400 * time.Millisecond

// anyCode is the code of an attempt where the network decides.
const anyCode = -1

const ok200 = "HTTP/1.1 200 OK\r\n"

// hostiles are the receivers without HTTP/2.
func hostiles() []hostile {
	chunked := ok200 + "Transfer-Encoding: chunked\r\n\r\n"
	many, distinct := new(strings.Builder), new(strings.Builder)
	for i := range 12_000 {
		fmt.Fprintf(many, "X-%d: v\r\n", i)
	}
	for i := range 9_000 { // as many as a header of 64 KiB can have
		fmt.Fprintf(distinct, "%c%c%c:\r\n", 'A'+i/900%10, 'a'+i/30%30%26, "abcdefghijklmnopqrstuvwxyz0123"[i%30])
	}
	return []hostile{
		// Bodies.
		{name: "gzip bomb", serve: gzipBomb(), code: 200, check: packed},
		{name: "endless body", serve: repeats(ok200+"\r\n", "x"), code: 200, check: filled},
		{name: "endless chunks", serve: repeats(chunked, "1\r\nx\r\n"), code: 200, check: filled, class: "|protocol"},
		{name: "chunks with endless extensions", serve: repeats(chunked+"1;", "x"), code: 200, class: "protocol"},
		{name: "endless trailer", serve: repeats(chunked+"0\r\n", "X-Trailer: v\r\n"), code: 200, class: "protocol"},
		{name: "body in bytes", serve: trickles(asked, ok200+"\r\n", "x"), code: 200, class: "timeout", hangs: true},
		{name: "body without end", serve: replies(ok200, "Content-Length: 100\r\n\r\nshort"), code: 200, class: "timeout", hangs: true},
		{name: "failure without end", serve: replies("HTTP/1.1 500 No\r\n\r\nshort"), code: 500, class: "timeout", hangs: true},
		{name: "body reset", serve: resets(ok200 + "Content-Length: 100\r\n\r\nshort"), code: 200, class: "connection reset"},
		{name: "body truncated", serve: breaksOff(ok200 + "Content-Length: 100\r\n\r\nshort"), code: 200, class: "connection closed"},
		{name: "bad chunks", serve: replies(chunked, "zzz\r\nshort\r\n"), code: 200, class: "protocol"},
		{name: "chunk of 2^64", serve: replies(chunked, "10000000000000000\r\nshort\r\n"), code: 200, class: "protocol"},
		{name: "length of 10^18", serve: replies(ok200, "Content-Length: 1000000000000000000\r\n\r\nx"), code: 200, class: "timeout", hangs: true},
		{name: "length of 10^30", serve: replies(ok200, "Content-Length: 1", strings.Repeat("0", 30), "\r\n\r\nx"), class: "protocol"},
		{name: "negative length", serve: replies(ok200, "Content-Length: -1\r\n\r\nx"), class: "protocol"},
		{name: "two lengths", serve: replies(ok200, "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx"), class: "protocol"},

		// Headers.
		{name: "header in bytes", serve: trickles(asked, ok200, "X-Slow: v\r\n"), class: "timeout", hangs: true},
		{name: "12,000 fields", serve: replies(ok200, many.String(), "\r\n"), class: "protocol"},
		{name: "9,000 empty fields", serve: breaksOff(ok200 + distinct.String() + "\r\n"), code: 200},
		{name: "field of 1 MiB", serve: replies(ok200, "X-Huge: ", strings.Repeat("v", 1<<20), "\r\n\r\n"), class: "protocol"},
		{name: "endless header", serve: repeats(ok200, "X-Again: v\r\n"), class: "protocol"},
		{name: "endless early hints", serve: repeats("", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"), class: "protocol"},
		{name: "endless continue", serve: repeats("", "HTTP/1.1 100 Continue\r\n\r\n"), class: "protocol"},
		{name: "switching protocols", serve: repeats("HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", "x"), code: 101, class: "status"},
		{name: "no HTTP", serve: replies("220 smtp.example.com ESMTP\r\n"), class: "protocol"},
		{name: "Retry-After of 10^11", serve: asksForLater("100000000000"), code: 503, class: "status", check: after(24 * time.Hour)},
		{name: "Retry-After of 10^30", serve: asksForLater("1" + strings.Repeat("0", 30)), code: 503, class: "status", check: after(24 * time.Hour)},
		{name: "negative Retry-After", serve: asksForLater("-120"), code: 503, class: "status", check: after(0)},
		{name: "Retry-After in 1970", serve: asksForLater("Thu, 01 Jan 1970 00:00:00 GMT"), code: 503, class: "status", check: after(0)},
		{name: "Retry-After in 9999", serve: asksForLater("Fri, 31 Dec 9999 23:59:59 GMT"), code: 503, class: "status", check: after(24 * time.Hour)},
		{name: "Retry-After is garbage", serve: asksForLater("\x80soon, 5"), code: 503, class: "status", check: after(0)},

		// Connections.
		{name: "never answers", serve: listens, class: "timeout", hangs: true},
		{name: "reset", serve: resets(""), class: "connection reset"},
		{name: "closed", serve: breaksOff(""), class: "connection closed"},
		{name: "success before the request", serve: early(ok200 + "Content-Length: 0\r\n\r\n"), code: 200},
		{name: "refusal before the request", serve: early("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"), code: 413, class: "status"},
		{name: "refusal before the request, and away", serve: earlyAndAway, code: anyCode, class: "status|connection reset|connection closed"},
		{name: "closes each time", serve: breaksOff(ok200 + "Connection: close\r\n\r\n"), code: 200},

		// TLS.
		{name: "never speaks TLS", speak: "none", serve: listens, class: "timeout", hangs: true},
		{name: "TLS in bytes", speak: "none", serve: trickles(always, "\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03", "\x00"), class: "timeout", hangs: true},
		{name: "TLS message of 16 MiB", speak: "none", serve: endlessHello, class: "protocol"},
		{name: "speaks no TLS", speak: "none", serve: hasSaid("HTTP/1.1 400 Bad Request\r\n\r\n"), class: "tls"},
		{name: "silent after TLS", speak: "good", serve: listens, class: "timeout", hangs: true},
		{name: "endless body in TLS", speak: "good", serve: repeats(ok200+"\r\n", "x"), code: 200, check: filled},
		{name: "expired certificate", speak: "expired", serve: listens, class: "certificate"},
		{name: "self-signed certificate", speak: "self-signed", serve: listens, class: "certificate"},
		{name: "certificate of another name", speak: "wrong name", serve: listens, class: "certificate"},
	}
}

// gzipBomb answers with 100 MB of zeros in 100 KB, as gzip's format allows:
// the same file over and over.
func gzipBomb() func(net.Conn) {
	var one bytes.Buffer
	z := gzip.NewWriter(&one)
	z.Write(make([]byte, 1_000_000))
	z.Close()
	bomb := strings.Repeat(one.String(), 100)
	head := fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n", len(bomb))
	return replies(ok200, head, bomb)
}

// packed reports whether what was kept is as it came.
func packed(a hooks.Attempt) bool { return filled(a) && bytes.HasPrefix(a.Body, []byte("\x1f\x8b")) }

// filled reports whether as much was kept as ever is.
func filled(a hooks.Attempt) bool { return a.Error != "" || len(a.Body) == 4<<10 && a.BodyCut }

func asksForLater(value string) func(net.Conn) {
	return replies("HTTP/1.1 503 Later\r\nContent-Length: 0\r\nRetry-After: ", value, "\r\n\r\n")
}

func after(want time.Duration) func(hooks.Attempt) bool {
	return func(a hooks.Attempt) bool { return a.RetryAfter == want }
}

// early answers as soon as a request begins, and reads none of the rest.
func early(text string) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := io.ReadFull(c, make([]byte, 1)); err == nil {
			io.WriteString(c, text)
			listens(c)
		}
	}
}

// earlyAndAway is early, and closes with the rest of the request unread, which
// may take the response with it.
func earlyAndAway(c net.Conn) {
	if _, err := io.ReadFull(c, make([]byte, 1)); err == nil {
		io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
	}
}

// hasSaid speaks before it is spoken to.
func hasSaid(text string) func(net.Conn) {
	return func(c net.Conn) {
		io.WriteString(c, text)
		listens(c)
	}
}

// endlessHello begins a ServerHello that says it has 16 MiB, and goes on.
func endlessHello(c net.Conn) {
	record := append([]byte("\x16\x03\x03\x10\x00"), make([]byte, 4096)...)
	copy(record[5:], "\x02\xff\xff\xff\x03\x03")
	flood(c, record)
}

// bounded returns what is wrong with an attempt, whatever the receiver did.
func bounded(a hooks.Attempt) error {
	header := 0
	for name, values := range a.Header {
		for _, v := range values {
			header += len(name) + len(v)
		}
	}
	switch {
	case len(a.Body) > 4<<10 || header > 8<<10:
		return fmt.Errorf("%d bytes of body and %d of header are kept; want at most 4096 and 8192", len(a.Body), header)
	case a.RetryAfter < 0 || a.RetryAfter > 24*time.Hour:
		return fmt.Errorf("RetryAfter = %v; want 0 to 24 h", a.RetryAfter)
	}
	return nil
}

// timeout is how long an attempt may take: those that hang have a short one,
// the others must end of themselves.
func (r hostile) timeout() time.Duration {
	if r.hangs {
		return hostileTimeout
	}
	return time.Minute
}

// wantEnd checks that an attempt ended as it must.
func (r hostile) wantEnd(t *testing.T, a hooks.Attempt) {
	t.Helper()
	early := r.hangs && a.Code == 0 // on a busy machine the timeout may precede the response
	if a.Code != r.code && r.code != anyCode && !early || !slices.Contains(strings.Split(r.class, "|"), a.Error) {
		t.Errorf("%s: attempt ended with %d %q; want %d %q", r.name, a.Code, a.Error, r.code, r.class)
	}
	if err := bounded(a); err != nil {
		t.Errorf("%s: %v", r.name, err)
	}
	if r.check != nil && !r.check(a) {
		t.Errorf("%s: attempt = %+v; want what its check asks for", r.name, a)
	}
	if a.Took > r.timeout()+2*time.Second {
		t.Errorf("%s: it took %v; want %v at most", r.name, a.Took, r.timeout())
	}
}

// allHostiles returns every row.
func allHostiles() []hostile { return slices.Concat(hostiles(), http2Hostiles()) }

// theHostiles returns every row, but with -short only one in three of those
// that hang, because each of them lasts until its timeout.
func theHostiles() (rows []hostile) {
	hanging := 0
	for _, r := range allHostiles() {
		if r.hangs {
			hanging++
		}
		if !testing.Short() || !r.hangs || hanging%3 == 0 {
			rows = append(rows, r)
		}
	}
	return rows
}

// silenceLog keeps net/http from telling about receivers that break the rules.
func silenceLog(t *testing.T) {
	log.SetOutput(io.Discard)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
}
