package admin

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"example.com/hooks"
)

// A timeline says what happened to an event, in the order of time.
type timeline struct {
	Moments []moment
	Left    int // earlier moments that are not shown
	Unread  int // deliveries whose attempts were not read; their rows tell how they stand

	to string // to how many receivers the event goes, in words
}

// A moment is one thing that happened, or that is going to.
type moment struct {
	At     time.Time
	Offset string // from when the event was published, such as "+1.2 s"
	Sign   string // of parts.html
	Words  string
	Note   string
	// Delivery is the one that it is about. It is zero if it is about the event.
	Delivery hooks.DeliveryID
	Ahead    bool // it has not happened yet
	order    int  // among moments of the same time
}

const (
	mostMoments  = 200 // on the page of an event
	mostTimed    = 50  // deliveries whose attempts are read for it
	mostTimedTry = 20  // attempts of one of them, the newest
)

// timeline reads what happened to an event, from its deliveries and the attempts at the
// first of them.
func (c *call) timeline(ev hooks.Event, list []hooks.Delivery, more bool, now time.Time) (tl timeline, err error) {
	tl.to = c.access.words(fanOut(len(list), more))
	for i, d := range list {
		if i >= mostTimed {
			tl.Unread++
			tl.add(c.lastMoment(d))
			continue
		}
		attempts, err := c.view.Attempts(c.r.Context(), d.DeliveryID)
		if err != nil {
			return tl, err
		}
		for _, a := range attempts[max(0, len(attempts)-mostTimedTry):] {
			tl.add(attemptMoment(d, a))
		}
		tl.add(c.lastMoment(d))
	}
	tl.finish(ev, list, now)
	return tl, nil
}

// add adds a moment, unless it has no time.
func (tl *timeline) add(m moment) {
	if !m.At.IsZero() {
		tl.Moments = append(tl.Moments, m)
	}
}

// attemptMoment is the end of an attempt.
func attemptMoment(d hooks.Delivery, a hooks.Attempt) moment {
	m := moment{At: a.Start.Add(a.Took), Sign: "succeeded", Delivery: d.DeliveryID, order: 2, Note: "took " + took(a.Took)}
	if a.Error != "" {
		m.Sign = "failed"
	}
	m.Words = fmt.Sprintf("attempt %s: %s", attemptWords(a, d), resultOf(a))
	return m
}

// lastMoment is how a delivery ended, or when it is sent next.
func (c *call) lastMoment(d hooks.Delivery) moment {
	m := moment{Sign: d.Status.String(), Delivery: d.DeliveryID, order: 3}
	switch {
	case d.Status == hooks.Succeeded:
		m.At, m.Words = d.Updated, "done"
	case d.Status.Final():
		m.At, m.Words = d.Updated, cmp.Or(c.access.words(endings[d.Reason]), visible(string(d.Reason)))
		if d.Status == hooks.Failed {
			m.Words += ", for good"
		}
	case d.Status == hooks.Sending:
		m.At, m.Words = d.Updated, "an attempt is under way"
	default:
		m.At, m.Words = d.Due, "the next attempt is due"
	}
	return m
}

// finish adds what happened to the event itself, and puts all in order.
func (tl *timeline) finish(ev hooks.Event, list []hooks.Delivery, now time.Time) {
	published := ev.Time
	if len(list) > 0 {
		published = list[0].Created
	}
	for _, d := range list {
		if d.Created.Before(published) {
			published = d.Created
		}
	}
	tl.add(moment{At: published, Sign: "pending", Words: "published", Note: tl.to, order: 0})
	for _, d := range list {
		if d.Created.Sub(published) >= time.Second {
			tl.add(moment{At: d.Created, Sign: "pending", Words: "given to it later", Delivery: d.DeliveryID, order: 1})
		}
	}
	tl.add(moment{At: ev.DeliverAt, Sign: "pending", Words: "to be delivered from now on", order: 1})
	tl.add(moment{At: ev.ExpiresAt, Sign: "canceled", Words: "expires", Note: "no attempt begins after this", order: 1})
	tl.add(moment{At: ev.Erased, Sign: "canceled", Words: "its data was erased", order: 1})
	slices.SortStableFunc(tl.Moments, func(a, b moment) int {
		if byTime := a.At.Compare(b.At); byTime != 0 {
			return byTime
		}
		return a.order - b.order
	})
	if tl.Left = max(0, len(tl.Moments)-mostMoments); tl.Left > 0 {
		first := tl.Moments[0]
		tl.Moments = append([]moment{first}, tl.Moments[tl.Left+1:]...)
	}
	for i := range tl.Moments {
		m := &tl.Moments[i]
		m.Offset, m.Ahead = offset(m.At.Sub(published)), m.At.After(now)
	}
}

// fanOut says how many deliveries an event has.
func fanOut(n int, more bool) string {
	switch {
	case more:
		return "to more than " + strconv.Itoa(n) + " subscribers"
	case n == 0:
		return "to nobody"
	case n == 1:
		return "to 1 subscriber"
	}
	return "to " + number(n) + " subscribers"
}

// offset writes how long after the event was published something happened.
func offset(d time.Duration) string {
	if d = d.Round(time.Millisecond); d < 0 {
		return "−" + took(-d)
	}
	return "+" + took(d)
}
