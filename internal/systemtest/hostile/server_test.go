package hostile_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/egress"
	"example.com/hooks/internal/kit"
)

// A hostile is a receiver that does its worst, and how an attempt at it must end.
type hostile struct {
	name  string
	speak string // a certificate's name, "h2" for HTTP/2 with a good one; empty: no TLS
	// serve has one connection, which is closed when it returns. It ends when
	// the other side goes, or its server is closed.
	serve func(net.Conn)

	code  int
	class string // of the attempt; several, with "|" between, where the network decides
	hangs bool   // it keeps the attempt until the timeout
	check func(hooks.Attempt) bool
}

// A hostileServer is one listener with all of its connections.
type hostileServer struct {
	url     string
	arrived chan<- struct{} // told of connections while there is room
	l       net.Listener
	running sync.WaitGroup

	mu     sync.Mutex // guards what follows
	conns  map[net.Conn]struct{}
	closed bool
}

// listen starts the receiver; it is closed at the end of the test, if not before.
func (r hostile) listen(t *testing.T, ca *authority, arrived chan<- struct{}) *hostileServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &hostileServer{l: l, arrived: arrived, conns: make(map[net.Conn]struct{})}
	s.url = "http://" + l.Addr().String()
	if r.speak != "" {
		s.url = "https://" + l.Addr().String()
	}
	serve := ca.wrap(r.speak, r.serve)
	s.running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.running.Go(func() { s.serve(c, serve) })
		}
	})
	t.Cleanup(s.close)
	return s
}

func (s *hostileServer) serve(c net.Conn, serve func(net.Conn)) {
	defer c.Close()
	s.mu.Lock()
	s.conns[c] = struct{}{}
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return
	}
	select {
	case s.arrived <- struct{}{}:
	default:
	}
	serve(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// close ends everything and waits for it.
func (s *hostileServer) close() {
	s.l.Close()
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
}

// settled waits until at most so many connections are open, or late is told,
// and returns how many are.
func (s *hostileServer) settled(most int, late <-chan struct{}) int {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		s.mu.Lock()
		open := len(s.conns)
		s.mu.Unlock()
		if open <= most {
			return open
		}
		select {
		case <-tick.C:
		case <-late:
			return open
		}
	}
}

// An authority issues the certificates of a test, in which it alone is trusted.
type authority struct {
	pool  *x509.CertPool
	certs map[string]tls.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	now := time.Now()
	root := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	good := x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "good"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	expired, wrong := good, good
	expired.NotAfter = now.Add(-time.Minute)
	wrong.IPAddresses, wrong.DNSNames = []net.IP{net.IPv4(127, 0, 0, 2)}, []string{"example.com"}
	ca := issue(t, root, nil)
	a := &authority{pool: x509.NewCertPool(), certs: map[string]tls.Certificate{
		"good": issue(t, good, &ca), "h2": issue(t, good, &ca), "expired": issue(t, expired, &ca),
		"wrong name": issue(t, wrong, &ca), "self-signed": issue(t, good, nil),
	}}
	a.pool.AddCert(ca.Leaf)
	return a
}

// issue makes a key and its certificate, signed by ca, or by itself if that is nil.
func issue(t *testing.T, template x509.Certificate, ca *tls.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if ca == nil {
		ca = &tls.Certificate{PrivateKey: key, Leaf: &template}
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, ca.Leaf, &key.PublicKey, ca.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// wrap puts TLS with a certificate of a's before serve, if a has one of that name.
func (a *authority) wrap(name string, serve func(net.Conn)) func(net.Conn) {
	cert, ok := a.certs[name]
	if !ok {
		return serve
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}}
	if name == "h2" {
		cfg.NextProtos = []string{"h2"}
	}
	return func(raw net.Conn) {
		c := tls.Server(raw, cfg)
		if c.Handshake() == nil {
			serve(c)
		}
	}
}

// transport is what hooks makes for itself, but that it trusts a and gives up
// handshakes after a second that no attempt waits for any more.
func (a *authority) transport() *http.Transport {
	return egress.NewTransport(egress.Config{Policy: kit.Loopback, RootCAs: a.pool, IdlePerHost: 64, DialTimeout: time.Second})
}

// asked reads a whole request, and reports whether one came.
func asked(c net.Conn) bool {
	r, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, r.Body)
	return err == nil
}

// listens reads what comes, says nothing, and goes when the other side does.
func listens(c net.Conn) { io.Copy(io.Discard, c) }

// replies answers a request and then says no more.
func replies(text ...string) func(net.Conn) {
	return func(c net.Conn) {
		if asked(c) {
			io.WriteString(c, strings.Join(text, ""))
			listens(c)
		}
	}
}

// breaksOff answers a request and closes the connection.
func breaksOff(text string) func(net.Conn) {
	return func(c net.Conn) {
		if asked(c) {
			io.WriteString(c, text)
		}
	}
}

// resets answers a request and resets the connection.
func resets(text string) func(net.Conn) {
	return func(c net.Conn) {
		if asked(c) {
			io.WriteString(c, text)
			c.(*net.TCPConn).SetLinger(0)
		}
	}
}

// repeats answers a request with head and then again and again.
func repeats(head, again string) func(net.Conn) {
	chunk := bytes.Repeat([]byte(again), max(1, 8<<10/len(again)))
	return func(c net.Conn) {
		if asked(c) {
			io.WriteString(c, head)
			flood(c, chunk)
		}
	}
}

// flood writes a chunk until it cannot, and reads what comes meanwhile.
func flood(c net.Conn, chunk []byte) {
	var reading sync.WaitGroup
	reading.Go(func() { listens(c) })
	for {
		if _, err := c.Write(chunk); err != nil {
			break
		}
	}
	c.Close()
	reading.Wait()
}

// trickles writes head, and then a byte of text every 100 ms, over and over,
// if first agrees.
func trickles(first func(net.Conn) bool, head, text string) func(net.Conn) {
	return func(c net.Conn) {
		if !first(c) {
			return
		}
		io.WriteString(c, head)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			if _, err := c.Write([]byte{text[i%len(text)]}); err != nil {
				return
			}
			<-tick.C
		}
	}
}

func always(net.Conn) bool { return true }

// What this process has open, or holds.
type usage struct{ goroutines, sockets, heap int }

func used(t *testing.T) usage {
	t.Helper()
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return usage{runtime.NumGoroutine(), sockets(t), int(m.HeapAlloc)}
}

// sockets counts the open sockets of this process, where that is easy.
func sockets(t *testing.T) (n int) {
	t.Helper()
	const fds = "/proc/self/fd"
	if runtime.GOOS != "linux" {
		return 0
	}
	entries, err := os.ReadDir(fds)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		// A file may have been closed meanwhile.
		if to, err := os.Readlink(filepath.Join(fds, e.Name())); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

// wantUsage waits until no more goroutines and sockets are there than there
// were, and fails the test if they stay.
func wantUsage(t *testing.T, before usage) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(10 * time.Second)
	for {
		now := used(t)
		if now.goroutines <= before.goroutines && now.sockets <= before.sockets {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines and %d sockets remain; want %d and %d\n%s", now.goroutines, now.sockets,
				before.goroutines, before.sockets, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// peakHeap samples the heap until the function that it returns is called,
// which returns the most that was in use.
func peakHeap() (stop func() (most int)) {
	ended, peak := make(chan struct{}), make(chan int)
	go func() {
		var m runtime.MemStats
		most := 0
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			runtime.ReadMemStats(&m)
			most = max(most, int(m.HeapAlloc))
			select {
			case <-tick.C:
			case <-ended:
				peak <- most
				return
			}
		}
	}()
	return func() int {
		close(ended)
		return <-peak
	}
}
