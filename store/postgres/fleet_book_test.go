package postgres_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/signer"
)

// A visit is a request as the receiver had it.
type visit struct {
	life  int
	start time.Time
	code  int // 0 while it is being answered
}

// A book is a fleet's receiver, and what it knows: what came, and what is still to
// come because somebody was told that it is stored.
type book struct {
	url string
	// failing has the receiver refuse one in seven ordered events the first time.
	failing bool
	more    chan struct{} // something has changed; holds one

	mu         sync.Mutex // guards what follows
	visits     map[hooks.DeliveryID][]visit
	missing    map[hooks.DeliveryID]bool // promised and not come yet
	promised   int                       // deliveries
	lines      map[string]*progress      // by ordering key
	inversions []string
	last       time.Time // of the first visits that succeeded, the latest
}

// The progress of a line: its events are numbered from 0.
type progress struct {
	done    int // how many have been answered with 2xx, one after the other
	started int // one more than the highest that has come
}

func newBook(t *testing.T) *book {
	b := &book{
		more:    make(chan struct{}, 1),
		visits:  make(map[hooks.DeliveryID][]visit),
		missing: make(map[hooks.DeliveryID]bool),
		lines:   make(map[string]*progress),
	}
	s := httptest.NewServer(b)
	t.Cleanup(s.Close)
	b.url = s.URL
	return b
}

// ServeHTTP is [http.Handler]'s. An answer takes some milliseconds, so that there
// is something to interrupt.
func (b *book) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return // the sender has gone
	}
	id := hooks.DeliveryID{Event: r.Header.Get(signer.HeaderID), Subscriber: strings.TrimPrefix(r.URL.Path, "/")}
	life, _ := strconv.Atoi(r.Header.Get(lifeHeader)) // it is ours
	place, code := b.enter(id, life)
	<-time.After(25 * time.Millisecond)
	b.leave(id, place, code)
	w.WriteHeader(code)
}

// enter notes a visit, and returns which of its delivery's it is and how to
// answer it.
func (b *book) enter(id hooks.DeliveryID, life int) (place, code int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	place, code = len(b.visits[id]), http.StatusNoContent
	b.visits[id] = append(b.visits[id], visit{life: life, start: time.Now()})
	if key, n, ok := inLine(id.Event); ok {
		if b.failing && n%7 == 3 && place == 0 {
			code = http.StatusInternalServerError
		}
		b.checkTurn(id.Event, b.line(key), n)
	}
	return place, code
}

// checkTurn notes an inversion if number n of a line has come before the one
// before it was done, or again after the next one has come. b.mu is held.
func (b *book) checkTurn(event string, l *progress, n int) {
	if n > l.done || n < l.done-1 || n == l.done-1 && l.started > l.done {
		b.inversions = append(b.inversions,
			fmt.Sprintf("%s came when %d of its line had been answered and %d had come", event, l.done, l.started))
	}
	l.started = max(l.started, n+1)
}

// leave notes how a visit is about to be answered.
func (b *book) leave(id hooks.DeliveryID, place, code int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.visits[id][place].code = code
	if code != http.StatusNoContent {
		return
	}
	if key, n, ok := inLine(id.Event); ok {
		if l := b.line(key); n == l.done {
			l.done++
		}
	}
	if b.missing[id] {
		b.last = time.Now()
	}
	delete(b.missing, id)
	b.changed()
}

// line returns a line's progress. b.mu is held.
func (b *book) line(key string) *progress {
	if b.lines[key] == nil {
		b.lines[key] = &progress{}
	}
	return b.lines[key]
}

func (b *book) changed() {
	select {
	case b.more <- struct{}{}:
	default: // it will look anyway
	}
}

// promise notes that events are stored, for some endpoints.
func (b *book) promise(events, endpoints []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, event := range events {
		for _, endpoint := range endpoints {
			id := hooks.DeliveryID{Event: event, Subscriber: endpoint}
			b.promised++
			if !b.has(id) {
				b.missing[id] = true
			}
		}
	}
	b.changed()
}

// has reports whether a delivery was made. b.mu is held.
func (b *book) has(id hooks.DeliveryID) bool {
	for _, v := range b.visits[id] {
		if v.code == http.StatusNoContent {
			return true
		}
	}
	return false
}

// count returns how many deliveries are promised, and how many of them missing.
func (b *book) count() (promised, missing int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.promised, len(b.missing)
}

// await returns when no more than most promised deliveries are missing.
func (b *book) await(t *testing.T, most int, patience time.Duration) {
	t.Helper()
	deadline := time.After(patience)
	for {
		_, missing := b.count()
		if missing <= most {
			return
		}
		select {
		case <-b.more:
		case <-deadline:
			t.Fatalf("after %v %d deliveries are missing; want at most %d", patience, missing, most)
		}
	}
}

// lineEvent is the id of number n of a line.
func lineEvent(key, n int) string { return fmt.Sprintf("line_%d_%d", key, n) }

// inLine takes such an id apart; ok is false for others.
func inLine(event string) (key string, n int, ok bool) {
	rest, ok := strings.CutPrefix(event, "line_")
	key, number, _ := strings.Cut(rest, "_")
	n, _ = strconv.Atoi(number) // it is ours
	return key, n, ok
}
