package hooks

import (
	"encoding/json"
	"time"
)

// A Rate is a number of things in a time: Rate{N: 50, Per: time.Second} is 50 a second. What
// the zero Rate stands for, the field says that has it. In JSON, Per is in milliseconds:
//
//	{"n":50,"per_ms":1000}
type Rate struct {
	N   int
	Per time.Duration
}

type rateForm struct {
	N   int    `json:"n"`
	Per millis `json:"per_ms"`
}

// MarshalJSON writes Per in milliseconds.
func (r Rate) MarshalJSON() ([]byte, error) { return json.Marshal(rateForm{r.N, millis(r.Per)}) }

// UnmarshalJSON reads what MarshalJSON writes.
func (r *Rate) UnmarshalJSON(b []byte) error {
	var f rateForm
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	*r = Rate{f.N, time.Duration(f.Per)}
	return nil
}

// slowest is the longest time from one to the next that a Rate may ask for.
const slowest = time.Hour

// check refuses a rate that is neither zero nor of so many in a time.
func (r Rate) check(field string) error {
	switch {
	case r == Rate{}:
		return nil
	case r.N <= 0 || r.Per <= 0:
		return invalid(field, "%d in %v: give two positive numbers, or leave it zero for the default", r.N, r.Per)
	case r.gap() > slowest:
		return invalid(field, "%d in %v: at least one an hour", r.N, r.Per)
	}
	return nil
}

// gap returns the time from one to the next. r is not zero.
func (r Rate) gap() time.Duration { return r.Per / time.Duration(r.N) }

// inSecond returns how many come in a second: at least 1, and at most most. r is not zero.
func (r Rate) inSecond(most int) int {
	if r.gap() <= time.Second/time.Duration(most) {
		return most
	}
	return max(int(time.Second/r.gap()), 1)
}
