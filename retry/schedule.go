package retry

import (
	"errors"
	"fmt"
	"time"
)

// A Schedule is a list of waits: element i is the wait after attempt i+1
// failed. A delivery has one attempt more than the schedule has elements, so a
// nil or empty Schedule makes one attempt and never retries. A wait of 0
// retries at once. The waits need not grow.
type Schedule []time.Duration

// Standard returns the example schedule of Standard Webhooks: 5 s, 5 m, 30 m,
// 2 h, 5 h, 10 h, 14 h, 20 h and 24 h, which are ten attempts over 75 h 35 m 5 s.
// Each call returns a new slice, which the caller may change.
//
// Source: the section "Deliverability and reliability" of
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md.
func Standard() Schedule {
	return Schedule{
		5 * time.Second,
		5 * time.Minute,
		30 * time.Minute,
		2 * time.Hour,
		5 * time.Hour,
		10 * time.Hour,
		14 * time.Hour,
		20 * time.Hour,
		24 * time.Hour,
	}
}

// Next implements [Policy]: it returns element n-1, and false when n is larger
// than the schedule is long. An n below 1 is treated as 1. A negative wait,
// which [Schedule.Validate] reports, is returned as 0.
func (s Schedule) Next(n int) (wait time.Duration, ok bool) {
	n = max(n, 1)
	if n > len(s) {
		return 0, false
	}
	return max(s[n-1], 0), true
}

// Validate reports every negative wait, joined as by [errors.Join], or nil if
// there is none.
func (s Schedule) Validate() error {
	var errs []error
	for i, wait := range s {
		if wait < 0 {
			errs = append(errs, fmt.Errorf(
				"retry: Schedule[%d] is %v: use 0 to retry at once, or a positive wait", i, wait))
		}
	}
	return errors.Join(errs...)
}
