package main

import (
	"io"
	"net/http"
	"net/http/httputil"
	"sync"
	"time"

	"example.com/hooks/signer"
)

// A receiver is a program of somebody else that gets the shop's webhooks. It
// checks their signatures and remembers their ids, as every receiver should.
type receiver struct {
	name   string
	secret signer.Secret
	// closed is how many attempts at each event it answers with 503 before it
	// takes the event.
	closed int
	server *server

	mu       sync.Mutex     // guards what follows
	rejects  int            // how many events it still answers with 410, which is for good
	tries    map[string]int // verified requests by webhook-id
	accepted map[string]int // those of them answered with 200
	last     capture
}

// A capture is a request that somebody has recorded on its way.
type capture struct {
	head   []byte // the request line and the header, as they are written on the wire
	header http.Header
	body   []byte
}

func newReceiver(name string, closed, rejects int) *receiver {
	return &receiver{
		name:     name,
		secret:   signer.NewSecret(),
		closed:   closed,
		rejects:  rejects,
		tries:    make(map[string]int),
		accepted: make(map[string]int),
	}
}

// ServeHTTP believes a request only when its signature is right.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, 1<<20))
	if err != nil {
		http.Error(w, "unreadable", http.StatusBadRequest)
		return
	}
	verifier := signer.Verifier{Secrets: []signer.Secret{r.secret}}
	if err := verifier.Verify(req.Header, body, time.Now()); err != nil {
		http.Error(w, "refused", http.StatusUnauthorized) // and nothing more: err is for the receiver's own log
		return
	}
	if !r.open(req.Header.Get(signer.HeaderID)) {
		http.Error(w, "stocktaking", http.StatusServiceUnavailable)
		return
	}
	if r.reject() {
		http.Error(w, "no account", http.StatusGone)
		return
	}
	head, err := httputil.DumpRequest(req, false)
	if err != nil {
		http.Error(w, "unreadable", http.StatusBadRequest)
		return
	}
	r.accept(capture{head, req.Header, body})
	io.WriteString(w, "verified")
}

// open counts a try at an event, and reports whether the receiver is open for it.
func (r *receiver) open(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tries[id]++
	return r.tries[id] > r.closed
}

// reject reports whether the receiver refuses an event, and counts it.
func (r *receiver) reject() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rejects == 0 {
		return false
	}
	r.rejects--
	return true
}

// mend makes the receiver take every event from now on.
func (r *receiver) mend() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rejects = 0
}

// accept takes an event. A real receiver acts on the first one with its id only.
func (r *receiver) accept(c capture) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.accepted[c.header.Get(signer.HeaderID)]++
	r.last = c
}

// verified returns how many events it took, and how many it took again.
func (r *receiver) verified() (events, duplicates int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.accepted {
		duplicates += n - 1
	}
	return len(r.accepted), duplicates
}

// capture returns the last request that it took; ok is false if there was none.
func (r *receiver) capture() (c capture, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last, r.last.body != nil
}
