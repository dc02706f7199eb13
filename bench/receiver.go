package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"time"

	"example.com/hooks/signer"
)

// A receiver is the other side, in this process: it verifies what it gets,
// answers 204, and counts by id.
type receiver struct {
	server *httptest.Server
	verify signer.Verifier
	tally  atomic.Pointer[tally] // of the measure under way; nil between two

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
}

func newReceiver(secret signer.Secret) *receiver {
	r := &receiver{verify: signer.Verifier{Secrets: []signer.Secret{secret}}}
	r.server = httptest.NewServer(r)
	return r
}

func (r *receiver) close() { r.server.Close() }

// expect begins a new count.
func (r *receiver) expect(n int) *tally {
	t := &tally{times: make([]int, n), all: make(chan struct{})}
	r.tally.Store(t)
	return t
}

// ServeHTTP receives a webhook.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		http.Error(w, "cannot read the body", http.StatusBadRequest)
		return
	}
	if err := r.verify.Verify(req.Header, body, time.Now()); err != nil {
		r.unverified.Add(1)
		http.Error(w, "cannot verify the signature", http.StatusUnauthorized)
		return
	}
	if t := r.tally.Load(); t != nil {
		t.count(body)
	}
	w.WriteHeader(http.StatusNoContent)
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
	if t.distinct++; t.distinct == len(t.times) {
		t.last = time.Now()
		close(t.all)
	}
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
