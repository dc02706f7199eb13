package admin

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"example.com/hooks"
)

// A deed is what somebody has just done to deliveries. The address of the page that follows
// the form has it, as "did", so that the page can tell. It has nothing that somebody else
// could have written: a word and numbers.
type deed struct {
	verb    string // of verbs
	done    int
	refused []int // how many were not done, by the index in refusals
}

// verbs are what can be done to deliveries, with the words of the notice.
var verbs = map[string]struct{ done, not, one, many string }{
	"replay": {"Replayed", "Not replayed", "It is due now.", "They are due now."},
	"cancel": {"Canceled", "Not canceled", "It is not sent any more, unless you replay it.", "They are not sent any more, unless you replay them."},
}

// refusals are why something could not be done to a delivery. The last one is for whatever
// is none of those before.
var refusals = [...]struct {
	code    string
	one     string // a sentence
	several string // of some, after their number
	is      func(error) bool
}{
	{
		"sending", "It is being sent now. Wait for its outcome, or cancel it.", "being sent now",
		func(err error) bool {
			s, ok := errors.AsType[*hooks.StatusError](err)
			return ok && s.From == hooks.Sending
		},
	},
	{
		"final", "It has ended already.", "ended already",
		func(err error) bool { _, ok := errors.AsType[*hooks.StatusError](err); return ok },
	},
	{
		"succeeded", "It has succeeded meanwhile. Replay it again, if it shall be sent once more.", "succeeded (replay these from their pages)",
		func(err error) bool { return errors.Is(err, errSucceeded) },
	},
	{
		"deleted", "Its subscriber was deleted, so that it cannot be sent again.", "of deleted subscribers",
		func(err error) bool { return isInvalid(err) && errors.Is(err, hooks.ErrNotFound) },
	},
	{
		"erased", "The data of its event was erased, so that it cannot be sent again.", "whose data was erased",
		isInvalid,
	},
	{
		"missing", "It does not exist any more.", "not there any more",
		func(err error) bool { return errors.Is(err, hooks.ErrNotFound) },
	},
	{
		"error", "Something failed. Try again.", "that failed here (try again)",
		func(error) bool { return true },
	},
}

func isInvalid(err error) bool {
	_, ok := errors.AsType[*hooks.InvalidError](err)
	return ok
}

// errSucceeded refuses to replay what has succeeded without asking first.
var errSucceeded = &problem{Status: 409, Detail: "The delivery has succeeded. Replay it from its page, if it shall be sent again."}

// add counts what came of one delivery.
func (d *deed) add(err error) {
	if err == nil {
		d.done++
		return
	}
	if d.refused == nil {
		d.refused = make([]int, len(refusals))
	}
	for i, r := range refusals {
		if r.code == whyRefused(err) {
			d.refused[i]++
		}
	}
}

// whyRefused returns the code of the first refusal that an error is; empty for none.
func whyRefused(err error) string {
	for _, r := range refusals {
		if err != nil && r.is(err) {
			return r.code
		}
	}
	return ""
}

// String returns what parseDeed reads, such as "replay.3.sending.1".
func (d deed) String() string {
	parts := []string{d.verb, strconv.Itoa(d.done)}
	for i, n := range d.refused {
		if n > 0 {
			parts = append(parts, refusals[i].code, strconv.Itoa(n))
		}
	}
	return strings.Join(parts, ".")
}

// parseDeed reads a deed. Whatever it does not know it passes over, because anybody may
// have written the address.
func parseDeed(text string) (d deed, ok bool) {
	parts := strings.Split(text, ".")
	if _, known := verbs[parts[0]]; !known || len(parts)%2 != 0 {
		return d, false
	}
	d = deed{verb: parts[0], refused: make([]int, len(refusals))}
	for i := 1; i < len(parts); i += 2 {
		n, err := strconv.Atoi(parts[i])
		if err != nil || n < 0 || n > mostRows {
			return d, false
		}
		if i == 1 {
			d.done = n
			continue
		}
		for j, r := range refusals {
			if r.code == parts[i-1] {
				d.refused[j] = n
			}
		}
	}
	return d, true
}

// deedNotice tells what came of the deed that the address names; nil if it names none.
func (c *call) deedNotice() *notice {
	d, ok := parseDeed(c.values.Get("did"))
	if !ok {
		return nil
	}
	v, first, not := verbs[d.verb], 0, 0
	var why []string
	for i, n := range d.refused {
		if n > 0 {
			first, not = i, not+n
			why = append(why, number(n)+" "+c.access.words(refusals[i].several))
		}
	}
	switch {
	case d.done+not == 0:
		return &notice{Tone: "amber", Sign: "warn", Title: v.not, Text: "No delivery was ticked."}
	case d.done == 0 && not == 1:
		return &notice{Tone: "red", Sign: "failed", Title: v.not, Text: c.access.words(refusals[first].one)}
	case d.done == 0:
		return &notice{Tone: "red", Sign: "failed", Title: v.not, Text: strings.Join(why, ", ") + "."}
	case not > 0:
		return &notice{
			Tone: "amber", Sign: "warn", Title: fmt.Sprintf("%s %d of %d.", v.done, d.done, d.done+not),
			Text: "Not these: " + strings.Join(why, ", ") + ".",
		}
	case d.done == 1:
		return &notice{Sign: "succeeded", Title: v.done, Text: v.one}
	}
	return &notice{Sign: "succeeded", Title: fmt.Sprintf("%s %d.", v.done, d.done), Text: v.many}
}
