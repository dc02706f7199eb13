package storetest

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"example.com/hooks"
)

func (c *comparison) enqueue() {
	var entries []hooks.Entry
	for range 1 + c.IntN(4) {
		entries = append(entries, c.entry())
	}
	r, err := c.real.Enqueue(c.Context(), c.now, entries)
	m, merr := c.model.Enqueue(c.Context(), c.now, entries)
	agreeError(c, "Enqueue", err, merr)
	agreeRows(c, fmt.Sprintf("Enqueue(%+v)", entries), r, m)
}

// entry makes an entry of chance: mostly a new event, at times one that is
// known, or an Add. An event's number alone decides what it is, for an Add
// must agree with what is stored.
func (c *comparison) entry() hooks.Entry {
	add := c.IntN(12) == 0
	number := c.named
	if !add && c.IntN(6) > 0 || c.named == 0 {
		c.named++
	} else {
		number = c.IntN(c.named)
	}
	e := event("e"+strconv.Itoa(number), c.some("plain", "other", "lined", "queued")...)
	e = each(e, func(d *hooks.Delivery) {
		d.Created, d.Updated, d.Due = c.now, c.now, c.moment()
		if c.IntN(6) == 0 { // handed over
			d.Status, d.Token, d.Due = hooks.Sending, 1, c.now.Add(lease)
		}
	})
	e = ofTenant(e, []string{"", "", "acme"}[number%3])
	e = ofType(e, []string{"thing.happened", "thing.gone"}[number%2])
	if key := []string{"", "i", "j", "k"}[number/2%4]; key != "" {
		e.Event.OrderingKey = key
		e = each(e, func(d *hooks.Delivery) { c.lineUp(d, key) })
	}
	if c.IntN(4) == 0 {
		e = keyed(e, c.one("x", "y", "z"), c.now.Add(time.Duration(c.IntN(60))*time.Second))
	}
	e.Add = add
	return e
}

// lineUp gives the deliveries of two of the subscribers an ordering key. What
// is in a line is never handed over.
func (c *comparison) lineUp(d *hooks.Delivery, key string) {
	if d.Subscriber != "lined" && d.Subscriber != "queued" {
		return
	}
	d.OrderingKey = key
	if d.Status == hooks.Sending {
		d.Status, d.Token, d.Due = hooks.Pending, 0, c.now
	}
}

// moment is a time around now, often now.
func (c *comparison) moment() time.Time {
	if c.IntN(2) == 0 {
		return c.now
	}
	return c.now.Add(time.Duration(c.IntN(120)-40) * time.Second)
}

func (c *comparison) one(of ...string) string { return of[c.IntN(len(of))] }

func (c *comparison) some(of ...string) (list []string) {
	for _, s := range of {
		if c.IntN(2) == 0 {
			list = append(list, s)
		}
	}
	return list
}

// claim leases for some lanes at once.
func (c *comparison) claim() {
	var lanes []hooks.ClaimLane
	for _, sub := range c.some("plain", "other", "lined", "queued", "unknown") {
		l := lane(sub, c.IntN(6), c.now)
		switch c.IntN(8) {
		case 0:
			l.Before = c.now.Add(-20 * time.Second)
		case 1:
			l.Before = c.now.AddDate(100, 0, 0)
		}
		l.LeaseUntil = c.now.Add(time.Duration(1+c.IntN(40)) * time.Second)
		lanes = append(lanes, l)
	}
	real, model := c.claimed(c.real, lanes), c.claimed(c.model, lanes)
	agreeRows(c, fmt.Sprintf("Claim(%+v)", lanes), real, model)
	c.compareBacklog()
}

// claimed claims until the lanes are full or Backlog says that nothing is
// left for them, for a store may return fewer than there are. What several
// lanes got has no order among them.
func (c *comparison) claimed(s hooks.Store, lanes []hooks.ClaimLane) (got []hooks.Delivery) {
	lanes = slices.Clone(lanes)
	for range patience {
		entries, err := s.Claim(c.Context(), c.now, lanes)
		if err != nil {
			c.Fatalf("step %d: Claim(%+v): %v", c.step, lanes, err)
		}
		n := map[string]int{}
		for _, e := range entries {
			got = append(got, e.Deliveries...)
			for _, d := range e.Deliveries {
				n[d.Subscriber]++
			}
		}
		if lanes = c.unfilled(s, lanes, n); len(lanes) == 0 {
			slices.SortFunc(got, func(a, b hooks.Delivery) int {
				return cmp.Or(cmp.Compare(a.Event, b.Event), cmp.Compare(a.Subscriber, b.Subscriber))
			})
			return got
		}
	}
	c.Fatalf("step %d: Claim(%+v) and Backlog: still something due after %d calls", c.step, lanes, patience)
	return nil
}

// unfilled returns the lanes that may get more, after they got n.
func (c *comparison) unfilled(s hooks.Store, lanes []hooks.ClaimLane, n map[string]int) (open []hooks.ClaimLane) {
	waiting := backlog(c, s)
	for _, l := range lanes {
		l.Max -= n[l.Subscriber]
		first, ok := waiting[l.Subscriber]
		if ok && l.Max > 0 && !first.After(c.now) && !first.After(l.Before) {
			open = append(open, l)
		}
	}
	return open
}

func (c *comparison) prune() {
	before := c.now.Add(-time.Duration(c.IntN(200)) * time.Second)
	p := hooks.Cutoffs{Done: before, Failed: before, Keys: before, Limit: 1 + c.IntN(20)}
	if c.IntN(2) == 0 {
		p.Failed = time.Time{}
	}
	if c.reports() {
		p.Minutes = before
	}
	agree(c, fmt.Sprintf("Prune(%+v), all", p), pruneAll(c, c.real, p), pruneAll(c, c.model, p))
}

// put writes a record, mostly with the version that it has.
func (c *comparison) put() {
	r := hooks.Record{Key: c.one("a", "b", "c"), Data: []byte(c.one("", "1", "2", "3"))}
	for _, old := range c.model.records {
		if old.Key == r.Key && old.Data != nil {
			r.Version = old.Version
		}
	}
	if c.IntN(4) == 0 {
		r.Version = 0
	}
	theirs := r
	theirs.Version = c.versions[r.Version]
	var emit []hooks.Entry
	for range c.IntN(3) {
		emit = append(emit, c.entry())
	}
	v, err := c.real.Put(c.Context(), c.now, theirs, emit)
	mv, merr := c.model.Put(c.Context(), c.now, r, emit)
	agreeError(c, fmt.Sprintf("Put(%+v)", r), err, merr)
	if err == nil {
		c.versions[mv] = v
	}
	since := c.Int64N(c.model.seq + 1)
	for c.versions[since] == 0 && since > 0 {
		since--
	}
	got, want := records(c, c.real, c.versions[since]), records(c, c.model, since)
	for i, r := range want {
		want[i].Version = c.versions[r.Version]
	}
	agreeRows(c, "Records", got, want)
}

// update changes some deliveries, each in a way that hooks might; some of
// the changes are stale.
func (c *comparison) update() {
	var changes []hooks.Change
	if len(c.model.deliveries) == 0 {
		return
	}
	replays := c.IntN(2) == 0 // their Seq and that of what is emitted have no order
	for range 1 + c.IntN(5) {
		if change, ok := c.change(replays); ok {
			changes = append(changes, change)
		}
	}
	stale, err := c.real.Update(c.Context(), c.now, changes)
	want, wantErr := c.model.Update(c.Context(), c.now, changes)
	agreeError(c, "Update", err, wantErr)
	agreeRows(c, fmt.Sprintf("Update(%+v)", changes), stale, want)
}

// change makes a change of chance, ok if it may be one with or without
// replays.
func (c *comparison) change(replays bool) (change hooks.Change, ok bool) {
	n := len(c.model.deliveries)
	d := c.model.deliveries[max(c.IntN(n), c.IntN(n))] // rather a young one
	switch {
	case d.Status.Final() && !replays:
		return change, false
	case d.Status.Final():
		change = replayed(d, c.now)
	case d.Status == hooks.Sending:
		change = c.attempted(d)
	default:
		change = c.waiting(d)
	}
	if c.IntN(8) == 0 {
		change.Delivery.Token += int64(c.IntN(3) - 1)
	}
	if c.IntN(30) == 0 {
		change.Delivery.Event = "unknown"
	}
	if c.IntN(8) == 0 && !replays {
		change.Emit = append(change.Emit, c.entry())
	}
	return change, true
}

// attempted is what becomes of a delivery that is leased.
func (c *comparison) attempted(d hooks.Delivery) hooks.Change {
	switch c.IntN(6) {
	case 0:
		return decided(d, hooks.Canceled, c.now)
	case 1: // the lease given back
		return decided(d, hooks.Pending, c.now)
	case 2:
		change := outcome(d, hooks.Failed, c.now)
		change.Delivery.Reason, change.Delivery.Code, change.Delivery.Error = hooks.ReasonExhausted, 500, "status"
		change.Attempt.Header, change.Attempt.Body = http.Header{"X-Name": {"1"}}, []byte("body")
		return change
	case 3:
		change := outcome(d, hooks.Retrying, c.now)
		change.Delivery.Due = c.now.Add(time.Duration(c.IntN(60)) * time.Second)
		change.Delivery.Error = "timeout"
		return change
	default:
		return outcome(d, hooks.Succeeded, c.now)
	}
}

// waiting is what becomes of a delivery that is not leased.
func (c *comparison) waiting(d hooks.Delivery) hooks.Change {
	if c.IntN(3) == 0 {
		return decided(d, hooks.Canceled, c.now)
	}
	change := decided(d, d.Status, c.now)
	change.Delivery.Due = c.moment()
	return change
}
