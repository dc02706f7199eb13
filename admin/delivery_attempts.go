package admin

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.com/hooks"
)

// An attemptRow is one attempt in the list of a delivery's.
type attemptRow struct {
	hooks.Attempt
	Name    string // as the address of the page names it
	Result  string
	Bar     []barPart
	Timings string
}

// A barPart is a part of the bar of an attempt's time, in thousandths of the longest one.
type barPart struct {
	X, Width string
	Dark     bool
}

// showAttempts sets the rows of the attempts, the newest first.
func (data *deliveryData) showAttempts(attempts []hooks.Attempt) {
	data.Runs = data.Run
	if len(attempts) > mostAttempts {
		data.Older = len(attempts) - mostAttempts
		attempts = attempts[data.Older:]
	}
	if n := len(attempts); n > 1 {
		at := n - 1
		for i := 1; i < n; i++ {
			if attemptName(attempts[i]) == data.Chosen {
				at = i
			}
		}
		a, with := attempts[at], attempts[at-1]
		data.Compare = compareAddress(data.Delivery, a, with)
		data.CompareWords = attemptWords(a, data.Delivery) + " with " + attemptWords(with, data.Delivery)
	}
	longest := time.Millisecond
	for _, a := range attempts {
		longest = max(longest, a.Took)
	}
	for _, a := range slices.Backward(attempts) {
		data.Attempts = append(data.Attempts, attemptRow{
			Attempt: a, Name: attemptName(a), Result: resultOf(a), Bar: bar(a, longest), Timings: timings(a),
		})
	}
}

// phases are the parts of an attempt, in the order of time.
var phases = []struct {
	name string
	of   func(hooks.Attempt) time.Duration
	dark bool
}{
	{"dns", func(a hooks.Attempt) time.Duration { return a.DNS }, false},
	{"connect", func(a hooks.Attempt) time.Duration { return a.Connect }, true},
	{"tls", func(a hooks.Attempt) time.Duration { return a.TLS }, true},
	{"wait", func(a hooks.Attempt) time.Duration { return a.Wait }, false},
	{"rest", restOf, false},
}

// restOf is the time of an attempt that none of its other phases has.
func restOf(a hooks.Attempt) time.Duration {
	return max(0, a.Took-a.DNS-a.Connect-a.TLS-a.Wait)
}

// bar returns how long the phases of an attempt took beside the longest attempt.
func bar(a hooks.Attempt, longest time.Duration) (parts []barPart) {
	const whole = 1000
	x := 0.0
	for _, p := range phases {
		width := min(whole*float64(p.of(a))/float64(longest), whole-x)
		if width <= 0 {
			continue
		}
		parts = append(parts, barPart{thousandths(x), thousandths(width), p.dark})
		x += width
	}
	return parts
}

func thousandths(x float64) string { return strconv.FormatFloat(x, 'f', 1, 64) }

// timings writes the phases of an attempt, such as "dns 2 ms · wait 1.18 s". A handler has
// none.
func timings(a hooks.Attempt) string {
	if a.URL == "" {
		return ""
	}
	var list []string
	for _, p := range phases {
		if d := p.of(a); d >= time.Millisecond {
			list = append(list, p.name+" "+took(d))
		}
	}
	return strings.Join(list, " · ")
}

// A field is one field of an HTTP header.
type field struct{ Name, Value string }

// fields returns a header in the order of names. Its values are other people's text.
func fields(h http.Header) (list []field) {
	for name, values := range h {
		for _, v := range values {
			list = append(list, field{visible(name), visible(v)})
		}
	}
	slices.SortStableFunc(list, func(a, b field) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// A responseView is what an attempt received.
type responseView struct {
	Attempt hooks.Attempt
	Name    string
	Result  string
	Fields  []field
	Body    shownBody
	Whole   bool // the response had no more than what was kept
	Handler bool // it is what a handler returned
}

// responseOf returns what an attempt at a delivery received; nil if there is none.
func (c *call) responseOf(d hooks.Delivery, a *hooks.Attempt) *responseView {
	if a == nil {
		return nil
	}
	return &responseView{
		Attempt: *a, Name: attemptName(*a), Result: resultOf(*a), Fields: fields(c.shownHeader(a.Header)),
		Body: c.show(d.Type, a.Body), Whole: !a.BodyCut, Handler: a.URL == "",
	}
}
