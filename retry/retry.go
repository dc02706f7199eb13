// Package retry decides when a failed delivery is tried again.
//
// A [Policy] maps the number of finished attempts to the next wait, and to
// nothing else: it holds no state, reads no clock and draws no random number.
// [Standard] is the schedule of Standard Webhooks, [Schedule] is a list of
// waits of your own, and [Exponential] computes them. [Jitter] then spreads
// the waits, so that deliveries that failed together do not return together.
//
//	policy := retry.Exponential{First: time.Second, Max: time.Hour, Attempts: 8}
//	if err := policy.Validate(); err != nil {
//		return err
//	}
//	for n := 1; ; n++ {
//		if err := deliver(ctx); err == nil {
//			return nil
//		}
//		wait, ok := policy.Next(n)
//		if !ok {
//			return fmt.Errorf("gave up after %d attempts", n)
//		}
//		select {
//		case <-time.After(retry.Jitter(wait, rand.Float64())):
//		case <-ctx.Done():
//			return ctx.Err()
//		}
//	}
//
// Everything in this package may be used by several goroutines at once, as
// long as none of them writes to the elements of a shared [Schedule].
package retry

import (
	"math"
	"time"
)

// A Policy is a pure function of the number of finished attempts, so that a
// delivery's place in its schedule survives a restart with nothing but that
// number stored.
//
// An implementation must return the same answer for the same n, must never
// return a negative wait, and must be safe for concurrent use. It should leave
// randomness to [Jitter].
type Policy interface {
	// Next returns how long to wait after attempt number n failed, or false
	// to give up; the wait then means nothing. The first attempt is number 1.
	// The policies of this package treat a smaller n as 1.
	Next(n int) (wait time.Duration, ok bool)
}

// Jitter returns wait with 0 to 20 % added on top, so it never makes an
// attempt early. The addition grows with random, which is meant to come from
// [math/rand/v2.Float64]: 0 adds nothing, and values near 1 add almost 20 %.
//
// A random below 0 or not a number counts as 0, one above 1 as 1. A wait of
// zero or less gives 0. A result beyond the longest [time.Duration] is cut to it.
func Jitter(wait time.Duration, random float64) time.Duration {
	if wait <= 0 {
		return 0
	}
	if !(random > 0) { // also true of NaN
		return wait
	}
	fifth := wait / 5
	// The float64 nearest to a large fifth may lie above it.
	extra := min(time.Duration(float64(fifth)*min(random, 1)), fifth)
	if wait > math.MaxInt64-extra {
		return math.MaxInt64
	}
	return wait + extra
}
