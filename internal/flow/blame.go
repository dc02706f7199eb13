package flow

// A Blame is what a failed attempt counts for.
type Blame int

const (
	// Receiver: the endpoint is broken or cannot be reached.
	Receiver Blame = iota
	// Refusal: the endpoint works and refuses. Its secret may be wrong, or this one event,
	// so it takes many such deliveries in a row to open the circuit.
	Refusal
	// Limit: the endpoint works, and asks for a pause.
	Limit
	// Gone: the endpoint wants nothing any more.
	Gone
	// Nobody: the application has said that the event is to blame.
	Nobody
	// Ours: the attempt says nothing about the endpoint, because this process could not
	// make it.
	Ours

	blames // how many there are
)

// rules has what each blame means.
var rules = [blames]struct {
	points    int  // for the circuit
	charged   bool // the delivery's retry policy counts the attempt
	works     bool // the endpoint has shown that it works
	disabling bool // it counts for disabling
}{
	Receiver: {points: 10, charged: true, disabling: true},
	Refusal:  {points: 1, charged: true, disabling: true},
	Limit:    {charged: true, works: true},
	Gone:     {charged: true},
	Nobody:   {charged: true},
	Ours:     {},
}

// Charged reports whether the attempt counts for the delivery's retry policy.
func (b Blame) Charged() bool { return rules[b].charged }

// Works reports whether the attempt has shown that the endpoint works, as a success does: the
// run of failures ends and an open circuit closes.
func (b Blame) Works() bool { return rules[b].works }

// Disabling reports whether an endpoint that goes on like that is disabled in the end.
func (b Blame) Disabling() bool { return rules[b].disabling }
