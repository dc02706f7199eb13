package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"example.com/hooks/signer"
)

// A receiver is the other side, in this process: it verifies what it gets,
// answers 200, and counts by id. It does so by hand, for a third of what a server of
// net/http takes: whatever it takes is measured with every peer, and makes them
// look alike.
type receiver struct {
	listener net.Listener
	url      string
	verify   signer.Verifier
	tally    atomic.Pointer[tally] // of the measure under way; nil between two

	unverified atomic.Int64
}

// A tally counts the receipts of payloads 0 to n-1.
type tally struct {
	mu       sync.Mutex // guards what follows
	times    []int      // by payload
	distinct int
	strange  int // receipts that are of none of these payloads

	all  chan struct{} // closed when every payload has come
	last time.Time     // when that was

	first func(i int) // see [receiver.expect]
}

func newReceiver(secret signer.Secret) (*receiver, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &receiver{
		listener: listener,
		url:      "http://" + listener.Addr().String() + "/",
		verify:   signer.Verifier{Secrets: []signer.Secret{secret}},
	}
	go r.accept()
	return r, nil
}

func (r *receiver) close() error { return r.listener.Close() }

// accept serves connections until the receiver is closed. Each ends when its peer
// closes it.
func (r *receiver) accept() {
	for {
		conn, err := r.listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			in, body := bufio.NewReader(conn), new(bytes.Buffer)
			for r.serve(in, body, conn) == nil {
			}
		}()
	}
}

// serve receives one webhook, its body into memory that is used again.
func (r *receiver) serve(in *bufio.Reader, body *bytes.Buffer, out io.Writer) error {
	req, err := http.ReadRequest(in)
	if err != nil {
		return err
	}
	body.Reset()
	if _, err := body.ReadFrom(req.Body); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "HTTP/1.1 %d \r\nContent-Length: 0\r\n\r\n", r.take(req.Header, body.Bytes()))
	return err
}

// take returns the status code for a webhook.
func (r *receiver) take(h http.Header, body []byte) int {
	if err := r.verify.Verify(h, body, time.Now()); err != nil {
		r.unverified.Add(1)
		return http.StatusUnauthorized
	}
	if t := r.tally.Load(); t != nil {
		t.count(body)
	}
	return http.StatusOK
}

// expect begins a new count, which tells first of each payload when it comes for the
// first time; nil tells nobody.
func (r *receiver) expect(n int, first func(i int)) *tally {
	t := &tally{times: make([]int, n), all: make(chan struct{}), first: first}
	r.tally.Store(t)
	return t
}

func (t *tally) count(body []byte) {
	i, ok := payloadNumber(body)
	t.mu.Lock()
	defer t.mu.Unlock()
	if !ok || i >= len(t.times) {
		t.strange++
		return
	}
	if t.times[i]++; t.times[i] > 1 {
		return
	}
	if t.first != nil {
		t.first(i)
	}
	if t.distinct++; t.distinct == len(t.times) {
		t.last = time.Now()
		close(t.all)
	}
}

// missing returns how many payloads have not come.
func (t *tally) missing() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.times) - t.distinct
}

// wait returns when every payload has come, or ctx ends.
func (t *tally) wait(ctx context.Context) error {
	select {
	case <-t.all:
		return nil
	case <-ctx.Done():
		return errors.Join(t.check(), context.Cause(ctx))
	}
}

// check returns an error unless every payload has come exactly once.
func (t *tally) check() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var lost, more int
	for _, times := range t.times {
		switch {
		case times == 0:
			lost++
		case times > 1:
			more++
		}
	}
	if lost+more+t.strange > 0 {
		return fmt.Errorf("of %d payloads %d did not come, %d came more than once; %d others came",
			len(t.times), lost, more, t.strange)
	}
	return nil
}
