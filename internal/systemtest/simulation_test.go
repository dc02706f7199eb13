package systemtest_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/retry"
	"example.com/hooks/signer"
	"example.com/hooks/store/memory"
)

// seed chooses a simulation, as in
//
//	go test ./internal/systemtest -run Simulation -hooks.seed 17
var seed = flag.Uint64("hooks.seed", 0, "run the simulation of this seed only, and log what it does")

// Random operations, with a store that fails and subscribers that fail, are
// held against a simple model of what is promised. What a seed does depends on
// nothing else, but for the order in which goroutines run.
func TestSimulation(t *testing.T) {
	if *seed != 0 {
		simulate(t, *seed)
		return
	}
	n := uint64(2000)
	switch {
	case *kit.Long:
		n = 200_000
	case testing.Short():
		n = 200
	case kit.RaceDetector:
		n = 400
	}
	for i := uint64(1); i <= n; i++ {
		t.Run(fmt.Sprint(i), func(t *testing.T) { simulate(t, i) })
	}
}

func simulate(t *testing.T, seed uint64) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulation(t, seed)
		s.begin()
		for range 10 + s.rng.IntN(50) {
			s.step()
			time.Sleep(time.Duration(s.rng.ExpFloat64() * float64(300*time.Millisecond)))
		}
		s.store.follow(nil)
		s.end()
		s.begin()
		time.Sleep(10 * time.Minute) // more than all leases and retries
		s.end()
		s.checkAll()
		if t.Failed() {
			t.Logf("repeat it with: go test ./internal/systemtest -run TestSimulation -hooks.seed %d", seed)
		}
	})
}

const (
	simTimeout = time.Second
	simDrain   = 500 * time.Millisecond
	simWindow  = 10 * time.Second // of idempotency keys
	simTries   = 4                // attempts a run
)

// A simulation is a Hooks with two handlers and an endpoint that comes and
// goes, and the model: what was acknowledged, and what the subscribers saw.
type simulation struct {
	t      *testing.T
	rng    *rand.Rand // of the operations
	faults bool
	memory *memory.Store // the truth
	store  *flaky        // what h sees
	h      *hooks.Hooks
	cancel context.CancelFunc
	ended  chan error

	sent     map[string]*sent // acknowledged, by event id
	order    []string         // their ids
	keys     map[string]keyUse
	hooked   bool // the endpoint is there
	unhooked bool // it was away at least once

	mu     sync.Mutex // guards what follows
	moods  *rand.Rand // of the subscribers
	starts map[lease]int
	calls  map[runOf]int // attempts that began, by run
	taken  map[runOf]int // those that succeeded
}

// A sent is an event that Publish acknowledged.
type sent struct {
	event      hooks.Event
	to         map[string]bool // subscribers that match
	canceled   map[string]int  // the run in which Cancel was acknowledged, by subscriber
	mayCancel  map[string]bool // Cancel was tried
	replays    map[string]int  // acknowledged
	mayReplays map[string]int  // or unknown
}

type keyUse struct {
	event string
	until time.Time
}

type lease struct {
	hooks.DeliveryID
	token int64
}

type runOf struct {
	hooks.DeliveryID
	run int
}

func newSimulation(t *testing.T, seed uint64) *simulation {
	s := &simulation{
		t:      t,
		rng:    rand.New(rand.NewPCG(seed, 1)),
		moods:  rand.New(rand.NewPCG(seed, 2)),
		memory: memory.New(),
		sent:   make(map[string]*sent),
		keys:   make(map[string]keyUse),
		starts: make(map[lease]int),
		calls:  make(map[runOf]int),
		taken:  make(map[runOf]int),
	}
	p := []float64{0, 0, 0.03, 0.2}[s.rng.IntN(4)]
	s.faults = p > 0
	s.store = newFlaky(s.memory, failing(p, seed))
	var err error
	s.h, err = hooks.New(hooks.Config{
		Store: s.store, Logger: kit.Silent, Transport: kit.Exchange(s.receive),
		Timeout: simTimeout, DrainTimeout: simDrain, IdempotencyWindow: simWindow,
		Concurrency: 1 + s.rng.IntN(8), SubscriberConcurrency: 1 + s.rng.IntN(3),
		Retry: retry.Schedule{0, 300 * time.Millisecond, 2 * time.Second},
	})
	s.must(err)
	s.must(s.h.Register(kit.OrderPlaced, kit.InvoicePaid))
	s.must(s.h.Subscribe(hooks.Handler{Name: "plain", Events: []string{"order.*"}, Func: s.handler("plain")}))
	s.must(s.h.Subscribe(hooks.Handler{Name: "ordered", Events: []string{"**"}, Ordered: true, Func: s.handler("ordered")}))
	s.put()
	return s
}

func (s *simulation) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *simulation) log(format string, args ...any) {
	if *seed != 0 {
		s.t.Logf("%v "+format, append([]any{time.Now().Format("04:05.000000")}, args...)...)
	}
}

func (s *simulation) begin() {
	ctx, cancel := context.WithCancel(s.t.Context())
	s.cancel, s.ended = cancel, make(chan error, 1)
	go func() { s.ended <- s.h.Run(ctx) }()
}

func (s *simulation) end() {
	began := time.Now()
	s.cancel()
	if err := <-s.ended; err != nil {
		s.t.Errorf("Run = %v; want nil", err)
	}
	if took := time.Since(began); took > simDrain+100*time.Millisecond {
		s.t.Errorf("Run returned after %v; want %v at most", took, simDrain+100*time.Millisecond)
	}
	s.log("stopped")
}

// step does one random operation.
func (s *simulation) step() {
	switch n := s.rng.IntN(100); {
	case n < 45:
		s.publish(1)
	case n < 52:
		s.publish(2 + s.rng.IntN(10))
	case n < 58:
		s.repeat()
	case n < 68:
		s.decide("Cancel")
	case n < 87:
		s.decide("Replay")
	case n < 90:
		s.deleteEndpoint()
	case n < 94:
		s.put()
	default:
		s.end()
		time.Sleep(s.upTo(2 * time.Second))
		s.begin()
	}
}

func (s *simulation) upTo(d time.Duration) time.Duration {
	return time.Duration(s.rng.Int64N(int64(d)))
}

// event returns a new event, sometimes of a tenant, with a key of either kind,
// or for later.
func (s *simulation) event(id string) hooks.Event {
	ev := kit.OrderPlaced.New(kit.Order{ID: 1})
	if s.rng.IntN(4) == 0 {
		ev = kit.InvoicePaid.New(kit.Invoice{Number: 1})
	}
	ev.ID = id
	if s.rng.IntN(2) == 0 {
		ev.Tenant = "acme"
	}
	if s.rng.IntN(2) == 0 {
		ev.OrderingKey = fmt.Sprint("key", s.rng.IntN(3))
	}
	switch s.rng.IntN(10) {
	case 0:
		ev.DeliverAt = time.Now().Add(s.upTo(20 * time.Second))
	case 1:
		ev.ExpiresAt = time.Now().Add(s.upTo(5 * time.Second))
	case 2:
		ev.IdempotencyKey = fmt.Sprint("once", s.rng.IntN(3))
	}
	return ev
}

func (s *simulation) publish(n int) {
	var evs []hooks.Event
	for i := range n {
		evs = append(evs, s.event(fmt.Sprintf("evt_%d_%d", len(s.order), i)))
	}
	for {
		rs, err := s.h.PublishBatch(s.t.Context(), evs)
		if err == nil {
			for i, r := range rs {
				s.acknowledge(evs[i], r)
			}
			return
		}
		if !s.faulty("PublishBatch", err) {
			return
		}
	}
}

// faulty reports whether err is the store's, after a moment in which the call
// may be repeated.
func (s *simulation) faulty(call string, err error) bool {
	if !errors.Is(err, kit.ErrFault) {
		s.t.Errorf("%s = %v; want it to work, or the store's error", call, err)
		return false
	}
	time.Sleep(time.Millisecond)
	return true
}

func (s *simulation) acknowledge(ev hooks.Event, r hooks.Receipt) {
	s.log("published %s key %q once %q tenant %q: %+v", ev.ID, ev.OrderingKey, ev.IdempotencyKey, ev.Tenant, r)
	now, key := time.Now(), ev.Tenant+"/"+ev.IdempotencyKey
	if ev.IdempotencyKey != "" {
		use := s.keys[key]
		if r.Duplicate && r.EventID != ev.ID {
			if r.EventID != use.event || now.Add(-time.Second).After(use.until) {
				s.t.Errorf("%s is a duplicate of %s; the key is %s's until %v", ev.ID, r.EventID, use.event, use.until)
			}
			return
		}
		if now.Before(use.until.Add(-time.Second)) {
			s.t.Errorf("%s is stored; its key is %s's for another %v", ev.ID, use.event, use.until.Sub(now))
		}
		s.keys[key] = keyUse{ev.ID, now.Add(simWindow)}
	}
	if r.Duplicate && !s.faults || r.EventID != ev.ID {
		s.t.Errorf("Publish(%s) = %+v; want it to be stored", ev.ID, r)
	}
	to := map[string]bool{"ordered": true}
	if ev.Type == kit.OrderPlaced.Name {
		to["plain"] = true
		if s.hooked && ev.Tenant == "acme" {
			to["hook"] = true
		}
	}
	if !r.Duplicate && r.Deliveries != len(to) {
		s.t.Errorf("Publish(%s) made %d deliveries; want %d", ev.ID, r.Deliveries, len(to))
	}
	s.order = append(s.order, ev.ID)
	s.sent[ev.ID] = &sent{
		event: ev, to: to,
		canceled: make(map[string]int), mayCancel: make(map[string]bool),
		replays: make(map[string]int), mayReplays: make(map[string]int),
	}
}

// pick returns an event that was acknowledged, and one of its subscribers.
func (s *simulation) pick() (e *sent, id hooks.DeliveryID) {
	if len(s.order) == 0 {
		return nil, id
	}
	event := s.order[len(s.order)-1-s.rng.IntN(min(len(s.order), 10))]
	e = s.sent[event]
	names := []string{"ordered"}
	for _, name := range []string{"plain", "hook"} {
		if e.to[name] {
			names = append(names, name)
		}
	}
	return e, hooks.DeliveryID{Event: event, Subscriber: names[s.rng.IntN(len(names))]}
}

// repeat publishes an event again.
func (s *simulation) repeat() {
	e, _ := s.pick()
	if e == nil {
		return
	}
	for {
		r, err := s.h.Publish(s.t.Context(), e.event)
		if err == nil {
			if !r.Duplicate || r.EventID != e.event.ID || r.Deliveries != 0 {
				s.t.Errorf("Publish(%s) again = %+v; want a duplicate", e.event.ID, r)
			}
			return
		}
		if expired, ok := errors.AsType[*hooks.InvalidError](err); ok && !e.event.ExpiresAt.IsZero() {
			s.log("%v", expired)
			return
		}
		if !s.faulty("Publish", err) {
			return
		}
	}
}

// decide is what an operator does, with the model's opinion of the answer.
func (s *simulation) decide(how string) {
	e, id := s.pick()
	if e == nil {
		return
	}
	do := map[string]func(context.Context, hooks.DeliveryID) (hooks.Delivery, error){
		"Cancel": s.h.Cancel, "Replay": s.h.Replay,
	}[how]
	before := s.row(id)
	d, err := do(s.t.Context(), id)
	s.log("%s %v: %v run %d, %v", how, id, d.Status, d.Run, err)
	if how == "Cancel" {
		e.mayCancel[id.Subscriber] = true
	}
	_, refused := errors.AsType[*hooks.StatusError](err)
	unknown := errors.Is(err, kit.ErrFault)
	switch {
	case how == "Replay" && s.unhooked && errors.Is(err, hooks.ErrNotFound): // its endpoint was deleted
	case err != nil && !refused && !unknown:
		s.t.Errorf("%s(%v) = %v; want it to work or a StatusError", how, id, err)
	case unknown && how == "Replay":
		e.mayReplays[id.Subscriber]++
	case refused && how == "Cancel" && !s.row(id).Status.Final():
		s.t.Errorf("Cancel(%v) = %v; but it is %v", id, err, s.row(id).Status)
	case err != nil:
	case how == "Cancel":
		e.canceled[id.Subscriber] = d.Run
	case how == "Replay" && d.Run > before.Run:
		e.replays[id.Subscriber]++
	}
}

// row returns a delivery as it is in truth.
func (s *simulation) row(id hooks.DeliveryID) hooks.Delivery {
	page, _, err := s.memory.Deliveries(context.Background(), hooks.Query{Event: id.Event, Subscriber: id.Subscriber})
	if err != nil || len(page) != 1 {
		s.t.Errorf("there are %d deliveries %v (error %v); want 1", len(page), id, err)
		return hooks.Delivery{}
	}
	return page[0]
}

func (s *simulation) put() {
	e := hooks.Endpoint{
		ID: "hook", Tenant: "acme", URL: "https://hook.example.com/" + fmt.Sprint(s.rng.IntN(3)),
		Events: []string{"order.placed"}, Ordered: true,
	}
	for {
		_, err := s.h.PutEndpoint(s.t.Context(), e)
		if err == nil || !s.faulty("PutEndpoint", err) {
			break
		}
	}
	s.hooked = true
	s.log("put the endpoint")
}

func (s *simulation) deleteEndpoint() {
	for {
		err := s.h.DeleteEndpoint(s.t.Context(), "hook")
		if err == nil || errors.Is(err, hooks.ErrNotFound) || !s.faulty("DeleteEndpoint", err) {
			break
		}
	}
	s.hooked, s.unhooked = false, true
	s.log("deleted the endpoint")
}

// handler returns the function of a handler.
func (s *simulation) handler(name string) func(context.Context, hooks.Event) error {
	return func(ctx context.Context, _ hooks.Event) error {
		d, _ := hooks.DeliveryFrom(ctx)
		s.mu.Lock()
		l := lease{d.DeliveryID, d.Token}
		if s.starts[l]++; s.starts[l] > 1 {
			s.t.Errorf("%v was tried %d times under token %d; want once", l.DeliveryID, s.starts[l], l.token)
		}
		s.mu.Unlock()
		if row := s.started(d.DeliveryID, d.Token); row.Token == d.Token && row.Run != d.Run {
			s.t.Errorf("%s got run %d of %v; want %d", name, d.Run, d.DeliveryID, row.Run)
		}
		return s.serve(ctx, runOf{d.DeliveryID, d.Run})
	}
}

// receive is the endpoint's receiver.
func (s *simulation) receive(r *http.Request) (*http.Response, error) {
	id := hooks.DeliveryID{Event: r.Header.Get(signer.HeaderID), Subscriber: "hook"}
	row := s.started(id, 0)
	code := http.StatusOK
	if err := s.serve(r.Context(), runOf{id, row.Run}); r.Context().Err() != nil {
		return nil, r.Context().Err()
	} else if err != nil {
		code = http.StatusInternalServerError
	}
	return &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
}

// started checks that an attempt may begin: nothing earlier of its ordering
// key is unfinished, and nothing of it is under way. It does not look at what
// was decided otherwise meanwhile.
func (s *simulation) started(id hooks.DeliveryID, token int64) (row hooks.Delivery) {
	all, _, err := s.memory.Deliveries(context.Background(), hooks.Query{Subscriber: id.Subscriber, Limit: 10_000})
	if err != nil {
		s.t.Error(err)
	}
	for _, d := range all {
		if d.DeliveryID == id {
			row = d
		}
	}
	s.log("attempt at %v, %v run %d", id, row.Status, row.Run)
	if row.Status != hooks.Sending || row.OrderingKey == "" || token != 0 && token != row.Token {
		return row
	}
	for _, d := range all {
		if d.OrderingKey != row.OrderingKey || d.Tenant != row.Tenant || d.DeliveryID == id {
			continue
		}
		if d.Seq < row.Seq && !d.Status.Final() || d.Status == hooks.Sending {
			s.t.Errorf("%v begins while %v of the same key is %v", id, d.DeliveryID, d.Status)
		}
	}
	return row
}

// serve is an attempt as the subscriber sees it: it may take longer than it
// may, fail, or panic if it is a handler.
func (s *simulation) serve(ctx context.Context, r runOf) error {
	s.mu.Lock()
	s.calls[r]++
	mood, takes := s.moods.IntN(20), time.Duration(s.moods.Int64N(int64(100*time.Millisecond)))
	s.mu.Unlock()
	if mood == 0 {
		takes *= 30
	}
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return ctx.Err()
	}
	switch {
	case mood < 5:
		return errors.New("no")
	case mood == 5:
		return hooks.Permanent(errors.New("never"))
	case mood == 6 && r.Subscriber != "hook":
		panic("at the disco")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[r]++; s.taken[r] > 1 && !s.faults {
		s.t.Errorf("%v was delivered %d times in run %d; want once", r.DeliveryID, s.taken[r], r.run)
	}
	return nil
}

// checkAll holds all that is stored against the model, when all is over.
func (s *simulation) checkAll() {
	all, _, err := s.memory.Deliveries(context.Background(), hooks.Query{Limit: 10_000})
	s.must(err)
	count := 0
	for _, d := range all {
		e := s.sent[d.Event]
		if e == nil || !e.to[d.Subscriber] {
			s.t.Errorf("%v is stored; want it not to be", d.DeliveryID)
			continue
		}
		count++
		s.checkEnd(e, d)
		s.checkHistory(d)
	}
	want := 0
	for _, e := range s.sent {
		want += len(e.to)
	}
	if count != want {
		s.t.Errorf("%d deliveries are stored; want %d", count, want)
	}
}

// checkEnd checks how a delivery has ended.
func (s *simulation) checkEnd(e *sent, d hooks.Delivery) {
	sub, ok := d.Subscriber, false
	switch {
	case d.Status == hooks.Succeeded:
		ok = s.taken[runOf{d.DeliveryID, d.Run}] > 0
	case d.Status == hooks.Canceled:
		ok = e.mayCancel[sub] || sub == "hook" && s.unhooked
	case d.Reason == hooks.ReasonExhausted:
		ok = d.Attempts == simTries
	case d.Reason == hooks.ReasonRejected:
		ok = sub != "hook"
	case d.Reason == hooks.ReasonExpired:
		ok = !e.event.ExpiresAt.IsZero()
	}
	if !ok {
		s.t.Errorf("%v ended as %v %q after %d attempts, %d lost; want another end",
			d.DeliveryID, d.Status, d.Reason, d.Attempts, d.Lost)
	}
	if run, ok := e.canceled[sub]; ok && run == d.Run && d.Status != hooks.Canceled {
		s.t.Errorf("%v was canceled in run %d and is %v; want canceled", d.DeliveryID, run, d.Status)
	}
	if least := 1 + e.replays[sub]; d.Run < least || d.Run > least+e.mayReplays[sub] {
		s.t.Errorf("%v is in run %d; want %d after as many replays", d.DeliveryID, d.Run, least)
	}
	if !s.faults && d.Lost > 0 {
		s.t.Errorf("%v lost %d leases; want none", d.DeliveryID, d.Lost)
	}
}

// checkHistory checks that the attempts of a delivery are numbered, within its
// budget, and no more than were made.
func (s *simulation) checkHistory(d hooks.Delivery) {
	history, err := s.memory.Attempts(context.Background(), d.DeliveryID)
	s.must(err)
	n := make(map[int]int)
	for _, a := range history {
		n[a.Run]++
		if a.Number != n[a.Run] || a.Number > simTries || a.Run > d.Run {
			s.t.Errorf("%v: attempt %d of run %d stands as number %d; %d are allowed", d.DeliveryID, n[a.Run], a.Run, a.Number, simTries)
		}
	}
	for run, got := range n {
		if made := s.calls[runOf{d.DeliveryID, run}]; got > made && d.Subscriber != "hook" {
			s.t.Errorf("%v has %d attempts in run %d; %d were made", d.DeliveryID, got, run, made)
		}
	}
	if n[d.Run] != d.Attempts {
		s.t.Errorf("%v was charged %d attempts in run %d; its history has %d", d.DeliveryID, d.Attempts, d.Run, n[d.Run])
	}
}
