package main

import (
	"context"
	"maps"
	"sync"
	"time"

	"example.com/hooks"
)

// A record is what the processes have told so far.
type record struct {
	changed chan struct{} // something was added; holds one

	mu        sync.Mutex // guards what follows
	published []string   // events that are stored for certain
	made      map[hooks.DeliveryID]deed
	workers   map[string]*worker // the dispatchers, by name
}

// A deed is a delivery made, by a dispatcher that could still say so.
type deed struct {
	by string
	at time.Time
}

// A worker is a dispatcher, as far as it has told.
type worker struct {
	ready    bool
	made     int
	underWay map[hooks.DeliveryID]string // with their ordering keys
}

func newRecord() *record {
	return &record{
		changed: make(chan struct{}, 1),
		made:    make(map[hooks.DeliveryID]deed),
		workers: make(map[string]*worker),
	}
}

// listen returns the function that hears what a process tells.
func (r *record) listen(name string) func(words []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := &worker{underWay: make(map[hooks.DeliveryID]string)}
	r.workers[name] = w
	return func(words []string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		switch {
		case words[0] == ready:
			w.ready = true
		case words[0] == published && len(words) == 2:
			r.published = append(r.published, words[1])
		case words[0] == started && len(words) == 4:
			w.underWay[hooks.DeliveryID{Event: words[1], Subscriber: words[2]}] = words[3]
		case len(words) == 3:
			r.finish(name, words[0], hooks.DeliveryID{Event: words[1], Subscriber: words[2]})
		}
		select {
		case r.changed <- struct{}{}:
		default: // whoever waits will look anyway
		}
	}
}

// finish ends an attempt. r.mu is held.
func (r *record) finish(name, status string, id hooks.DeliveryID) {
	w := r.workers[name]
	delete(w.underWay, id)
	if status == hooks.Succeeded.String() {
		w.made++
		r.made[id] = deed{name, time.Now()}
	}
}

// await returns when the dispatcher is as it should be, or ctx ends.
func (r *record) await(ctx context.Context, name string, is func(worker) bool) error {
	for {
		if w, ok := r.worker(name); ok && is(w) {
			return nil
		}
		select {
		case <-r.changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// worker returns how a dispatcher stands; ok is false if it was never started.
func (r *record) worker(name string) (w worker, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.workers[name] == nil {
		return worker{}, false
	}
	w = *r.workers[name]
	w.underWay = maps.Clone(w.underWay)
	return w, true
}

// events returns those that are stored for certain, in order.
func (r *record) events() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.published[:len(r.published):len(r.published)]
}

// deed returns who made a delivery; ok is false if nobody has told.
func (r *record) deed(id hooks.DeliveryID) (d deed, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d, ok = r.made[id]
	return d, ok
}
