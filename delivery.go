package hooks

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A DeliveryID names a delivery: by its event and its subscriber, because there is one
// delivery of an event to a subscriber.
type DeliveryID struct {
	Event      string `json:"event"`
	Subscriber string `json:"subscriber"`
}

// String returns the event's id, a full stop and the subscriber's, for logs, URLs and
// commands; [ParseDeliveryID] reads it. Neither id has a full stop in it.
func (id DeliveryID) String() string { return id.Event + "." + id.Subscriber }

// ParseDeliveryID reads what [DeliveryID.String] returned. Any other text is an
// [*InvalidError].
func ParseDeliveryID(text string) (DeliveryID, error) {
	event, subscriber, _ := strings.Cut(text, ".")
	if !isID(event) || !isID(subscriber) {
		return DeliveryID{}, invalid("DeliveryID", "%q: write the event's id, a full stop and the subscriber's, as in evt_1.crm", text)
	}
	return DeliveryID{event, subscriber}, nil
}

// A Delivery is the sending of one event to one subscriber, over all the
// attempts that it takes.
type Delivery struct {
	DeliveryID
	Type        string    `json:"type"`                   // the event's
	Tenant      string    `json:"tenant,omitempty"`       // the event's
	OrderingKey string    `json:"ordering_key,omitempty"` // the event's, when the subscriber is ordered; else empty
	Seq         int64     `json:"seq"`                    // lists go by it; a replay gets a new one
	Status      Status    `json:"status"`
	Reason      Reason    `json:"reason,omitempty"` // why it failed, or was canceled
	Due         time.Time `json:"due,omitzero"`     // when the next attempt may start; while Sending, when the lease ends
	Run         int       `json:"run"`              // 1, and one more with each replay
	Attempts    int       `json:"attempts"`         // in this run, as the retry policy counts them
	Lost        int       `json:"lost,omitempty"`   // leases that ended without an outcome, in this run
	Token       int64     `json:"-"`                // one more with every change, see [Store]
	Created     time.Time `json:"created"`
	Updated     time.Time `json:"updated"`         // of the last outcome or decision; when final, since when
	Code        int       `json:"code,omitempty"`  // the last attempt's HTTP status; 0 without one
	Error       string    `json:"error,omitempty"` // the last attempt's; "lost" if the process ended in it
}

// A Status is where a delivery stands.
type Status uint8

// The numbers are stored: never renumber them.
const (
	Pending   Status = 1 // waiting for the first attempt of its run
	Retrying  Status = 2 // waiting for another, after a failed one
	Sending   Status = 3 // leased by a dispatcher until Due
	Succeeded Status = 4 // final: the subscriber took it
	Failed    Status = 5 // final: given up, see [Reason]; a replay starts it again
	Canceled  Status = 6 // final: by [Hooks.Cancel], or because the subscriber was deleted
)

// states is the one table of what a status is called and what may follow it.
var states = [...]struct {
	name string
	next []Status
}{
	Pending:   {"pending", []Status{Sending, Pending, Failed, Canceled}},
	Retrying:  {"retrying", []Status{Sending, Retrying, Failed, Canceled}},
	Sending:   {"sending", []Status{Succeeded, Retrying, Pending, Failed, Canceled}},
	Succeeded: {"succeeded", []Status{Pending}},
	Failed:    {"failed", []Status{Pending}},
	Canceled:  {"canceled", []Status{Pending}},
}

// String returns the status in lower case, such as "pending".
func (s Status) String() string {
	if s == 0 || int(s) >= len(states) {
		return fmt.Sprintf("status(%d)", uint8(s))
	}
	return states[s].name
}

// MarshalText returns what String returns.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText accepts what String returns for the statuses that exist.
func (s *Status) UnmarshalText(text []byte) error {
	for i, st := range states {
		if st.name != "" && st.name == string(text) {
			*s = Status(i)
			return nil
		}
	}
	return invalid("Status", "%q is none of pending, retrying, sending, succeeded, failed, canceled", text)
}

// Final reports whether nothing more happens to a delivery by itself.
func (s Status) Final() bool { return s == Succeeded || s == Failed || s == Canceled }

// A Reason is why a delivery failed for good, or was canceled. It is empty for a delivery
// that [Hooks.Cancel] ended, and for those that have neither failed nor been canceled.
type Reason string

// The texts are stored: they stay as they are.
const (
	ReasonExhausted Reason = "exhausted" // the retry policy gave up
	ReasonRejected  Reason = "rejected"  // the endpoint answered 410 Gone, or the handler [Permanent]
	ReasonExpired   Reason = "expired"   // its event's ExpiresAt has passed, or it was held too long, see [Hooks.DisableEndpoint]
	ReasonLost      Reason = "lost"      // the process ended during each attempt
	ReasonDeleted   Reason = "deleted"   // canceled, because the subscriber was deleted
	ReasonErased    Reason = "erased"    // canceled, because the event was erased, see [ActionErase]
)

// A StatusError says that a delivery cannot go from one status to another: one that has
// succeeded cannot be canceled, for example. It may be shown to a customer.
type StatusError struct {
	ID       DeliveryID
	From, To Status
}

func (e *StatusError) Error() string {
	switch {
	case e.From == Sending:
		return fmt.Sprintf("hooks: delivery %v is being sent now; wait for its outcome, or cancel it", e.ID)
	case e.From.Final() && e.To == Canceled:
		return fmt.Sprintf("hooks: delivery %v is %v already; only one that is not final can be canceled", e.ID, e.From)
	}
	return fmt.Sprintf("hooks: delivery %v is %v and cannot become %v", e.ID, e.From, e.To)
}

// move returns d with another status, if the table allows it.
func (d Delivery) move(to Status, now time.Time) (Delivery, error) {
	if !slices.Contains(states[d.Status].next, to) {
		return d, &StatusError{d.DeliveryID, d.Status, to}
	}
	d.Status, d.Updated = to, now
	return d, nil
}

// waiting is the status of d while it waits for its next attempt.
func (d Delivery) waiting() Status {
	if d.Attempts > 0 {
		return Retrying
	}
	return Pending
}

// An Attempt is one try at a delivery, kept for people to read. An attempt of a handler has
// neither URL nor Code.
//
// Error is empty if the attempt succeeded. Otherwise it is the class of the failure:
//
//   - a response that is no success: "status",
//   - no response, or not all of it: "timeout", "dns", "connection refused",
//     "connection reset", "connection closed", "unreachable", "tls", "certificate",
//     "protocol",
//   - no request, because [Config].Egress, its proxy or the number of connections to the
//     host forbade it: "destination not allowed", "proxy", "too many connections",
//   - a handler: "error" or "timeout",
//   - a handler or a [Config].Transport that panicked or ended its goroutine: "panic",
//     "goexit".
type Attempt struct {
	Run, Number int       // the delivery's run, and the attempt's number in it, both from 1
	Token       int64     // the delivery's at that time
	Start       time.Time // when it began
	// DNS, Connect and TLS are how long making the connection took: zero if an idle one
	// was used. Wait is the time from the end of the request to the first byte of the
	// response. If the request was sent again within the attempt, they are those of the
	// last sending. Took is the whole attempt.
	DNS, Connect, TLS, Wait, Took time.Duration
	URL                           string        // as called, without its query, and long segments of its path masked; empty for handlers
	Code                          int           // HTTP status; 0 when there was no response
	Error                         string        // class of failure, such as "timeout"; empty on success
	RetryAfter                    time.Duration // how long the subscriber asked to wait
	Header                        http.Header   // of the response
	Body                          []byte        // of the response, or the handler's error text; at most 4 KiB
	BodyCut                       bool          // the response was longer than Body
	Instance                      string        // the process that made it
}
