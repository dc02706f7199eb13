package storetest

import (
	"fmt"
	"strconv"
	"time"

	"example.com/hooks"
)

// query asks for events and deliveries by filters of chance.
func (c *comparison) query() {
	q := hooks.Query{Limit: c.IntN(60), OldestFirst: c.IntN(2) == 0}
	if c.IntN(4) == 0 {
		q.Event = fmt.Sprint("e", c.IntN(c.named+1))
	}
	if c.IntN(3) == 0 {
		q.Tenant = "acme"
	}
	if c.IntN(3) == 0 {
		q.Types = c.some("thing.happened", "thing.gone", "thing")
	}
	if c.IntN(3) == 0 {
		q.From = c.moment().Add(-c.clock / 2)
	}
	if c.IntN(3) == 0 {
		q.To = c.moment()
	}
	if c.IntN(3) == 0 {
		q.Key = c.one("x", "y", "z")
	}
	agreeRows(c, fmt.Sprintf("Events(%+v)", q), stored(c, c.real, q), stored(c, c.model, q))
	q.Key = ""
	if c.IntN(2) == 0 {
		q.Subscriber = c.one("plain", "lined")
	}
	if c.IntN(3) == 0 {
		q.OrderingKey = c.one("i", "j", "k")
	}
	switch c.IntN(4) {
	case 0:
		q.Statuses = []hooks.Status{hooks.Pending, hooks.Status(1 + c.IntN(6))}
	case 1:
		q.Statuses = []hooks.Status{hooks.Pending, hooks.Retrying, hooks.Sending}
	}
	if c.IntN(4) == 0 {
		q.Reasons = []hooks.Reason{hooks.ReasonExhausted, hooks.ReasonLost}
	}
	if c.IntN(4) == 0 {
		q.Errors = c.some("timeout", "status")
	}
	if c.IntN(4) == 0 {
		q.Codes = []int{0, 503}
	}
	if most := c.IntN(40); c.reports() {
		agree(c, fmt.Sprintf("Count(%+v, %d)", q, most), count(c, c.real, q, most), count(c, c.model, q, most))
	}
	real, model := deliveries(c, c.real, q), deliveries(c, c.model, q)
	agreeRows(c, fmt.Sprintf("Deliveries(%+v)", q), real, model)
	for _, d := range model[:min(5, len(model))] {
		agreeRows(c, "Attempts("+d.String()+")",
			attempts(c, c.real, d.Event, d.Subscriber), attempts(c, c.model, d.Event, d.Subscriber))
	}
}

// erase erases some events, which may be unknown or erased already.
func (c *comparison) erase() {
	p := hooks.Cutoffs{Now: c.now}
	for range 1 + c.IntN(3) {
		p.Erase = append(p.Erase, "e"+strconv.Itoa(c.IntN(c.named+1)))
	}
	agree(c, fmt.Sprintf("Prune(%+v)", p), prune(c, c.real, p), prune(c, c.model, p))
}

// reports says whether the store is a [hooks.Reporter].
func (c *comparison) reports() bool {
	_, ok := c.real.(hooks.Reporter)
	return ok
}

// minutes adds to counters, and lists them.
func (c *comparison) minutes() {
	if !c.reports() {
		return
	}
	for range 1 + c.IntN(3) {
		m := minute(c.now.Truncate(time.Minute), c.one("", "plain", "other"), c.IntN(9))
		addMinutes(c, c.real, m)
		addMinutes(c, c.model, m)
	}
	q := hooks.Query{Subscriber: c.one("", "plain", "other"), From: c.moment(), To: c.moment().Add(time.Minute)}
	agreeRows(c, fmt.Sprintf("Minutes(%+v)", q), minutes(c, c.real, q), minutes(c, c.model, q))
}
