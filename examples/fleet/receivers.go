package main

import (
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"time"

	"example.com/hooks/signer"
)

// A receiver is a program of somebody else that gets the webhooks. It is told
// here how well it works.
type receiver struct {
	name    string
	delay   time.Duration // from saving an event to the answer
	refuses int           // one request out of so many is answered with 503; 0: none
	ordered bool          // it wants the events of an account one after the other
	secret  signer.Secret

	mu       sync.Mutex // guards what follows
	requests int
	arrivals []arrival
}

// An arrival is an event that a receiver has taken.
type arrival struct {
	event string // by webhook-id: the same when it comes again
	at    time.Time
	Order
}

// ServeHTTP takes an event if its signature is right. A real receiver ignores
// those that it has taken before, by their webhook-id; this one counts them.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, 1<<20))
	if err != nil {
		http.Error(w, "unreadable", http.StatusBadRequest)
		return
	}
	verifier := signer.Verifier{Secrets: []signer.Secret{r.secret}}
	if err := verifier.Verify(req.Header, body, time.Now()); err != nil {
		http.Error(w, "refused", http.StatusUnauthorized)
		return
	}
	var webhook struct{ Data Order }
	if err := json.Unmarshal(body, &webhook); err != nil {
		http.Error(w, "not an order", http.StatusBadRequest)
		return
	}
	if !r.take(arrival{req.Header.Get(signer.HeaderID), time.Now(), webhook.Data}) {
		http.Error(w, "try again later", http.StatusServiceUnavailable)
		return
	}
	time.Sleep(r.delay)
}

// take saves an event, unless it is the turn of a request to be refused.
func (r *receiver) take(a arrival) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests++
	if r.refuses > 0 && r.requests%r.refuses == 0 {
		return false
	}
	r.arrivals = append(r.arrivals, a)
	return true
}

// taken returns what it has taken so far, in order, and how many requests it
// has refused.
func (r *receiver) taken() (arrivals []arrival, refused int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.arrivals)
	return r.arrivals[:n:n], r.requests - n
}
