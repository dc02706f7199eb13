package retry

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// The defaults of [Exponential].
const (
	defaultFirst    = 5 * time.Second
	defaultMax      = 24 * time.Hour
	defaultFactor   = 2
	defaultAttempts = 10
)

// growthLimit bounds the work of one call of [Exponential.Next], whatever n
// is. At a Factor of 1.05 it allows more growth than a time.Duration can hold.
const growthLimit = 1000

// Exponential is a [Policy] whose waits grow by a constant factor up to a
// limit: First, First × Factor, First × Factor² and so on, never above Max.
// The zero value is ready to use and waits 5 s, 10 s, 20 s, 40 s, 80 s, 160 s,
// 320 s, 640 s and 1280 s: ten attempts over 42 m 35 s.
//
// Waits are whole nanoseconds, rounded down at each step. They stop growing at
// Max or, with a Factor so close to 1 that this takes longer, after 1000 attempts.
type Exponential struct {
	// First is the wait after the first attempt. Zero means 5 seconds.
	First time.Duration

	// Max is the longest wait; it must not be shorter than First. Zero means
	// 24 hours.
	Max time.Duration

	// Factor is what each wait is multiplied by to get the next, at least 1;
	// 1 keeps all waits equal to First. Zero means 2.
	Factor float64

	// Attempts is the number of attempts in all, the first one included, so 1
	// means no retry. Zero means 10.
	Attempts int
}

// Next implements [Policy]: it returns min(First × Factorⁿ⁻¹, Max), and false
// when n is Attempts or more. An n below 1 is treated as 1.
//
// Next does not require a valid e. A field that [Exponential.Validate] would
// report counts as zero and so has its default; a First above Max counts as Max.
func (e Exponential) Next(n int) (wait time.Duration, ok bool) {
	e = e.withDefaults()
	n = max(n, 1)
	if n >= e.Attempts {
		return 0, false
	}
	b := e.backoff()
	for range min(n, growthLimit) {
		// Near the longest time.Duration a step may round down or overflow;
		// a wait is never shorter than the one before it all the same.
		wait = max(wait, min(b.NextBackOff(), e.Max))
		if wait == e.Max {
			break
		}
	}
	return wait, true
}

// Validate reports every field that is negative, a Factor below 1 or not
// finite, and a First longer than Max, joined as by [errors.Join], or nil if
// all is well. Defaults are applied before First and Max are compared.
func (e Exponential) Validate() error {
	var errs []error
	report := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("retry: Exponential."+format, args...))
	}
	if e.First < 0 {
		report("First is %v: use a positive wait, or 0 for %v", e.First, defaultFirst)
	}
	if e.Max < 0 {
		report("Max is %v: use a positive wait, or 0 for %v", e.Max, defaultMax)
	}
	if e.Factor != 0 && !isFactor(e.Factor) {
		report("Factor is %v: use a finite number of at least 1, or 0 for %d", e.Factor, defaultFactor)
	}
	if e.Attempts < 0 {
		report("Attempts is %d: use 1 for no retry, or 0 for %d", e.Attempts, defaultAttempts)
	}
	if d := e.withDefaults(); e.First >= 0 && e.Max >= 0 && d.First > d.Max {
		report("First is %v, longer than Max, %v: lower First or raise Max", d.First, d.Max)
	}
	return errors.Join(errs...)
}

// withDefaults replaces each field that is zero or invalid by itself.
func (e Exponential) withDefaults() Exponential {
	if e.First <= 0 {
		e.First = defaultFirst
	}
	if e.Max <= 0 {
		e.Max = defaultMax
	}
	if !isFactor(e.Factor) {
		e.Factor = defaultFactor
	}
	if e.Attempts <= 0 {
		e.Attempts = defaultAttempts
	}
	return e
}

// isFactor is false for NaN too, which compares false with everything.
func isFactor(f float64) bool {
	return f >= 1 && !math.IsInf(f, 1)
}

// backoff returns a new source of waits. Each call of Next needs its own,
// because an ExponentialBackOff counts its calls and is not safe for
// concurrent use. RandomizationFactor and MaxElapsedTime are zero on purpose:
// the first would make Next random, and with the default of the second the
// waits would end silently after 15 minutes.
func (e Exponential) backoff() *backoff.ExponentialBackOff {
	b := &backoff.ExponentialBackOff{
		InitialInterval: e.First,
		Multiplier:      e.Factor,
		MaxInterval:     e.Max,
		Clock:           stillClock{},
	}
	b.Reset()
	return b
}

// stillClock keeps time out of a policy. An ExponentialBackOff asks for it
// but, without a MaxElapsedTime, makes no use of it.
type stillClock struct{}

func (stillClock) Now() time.Time { return time.Time{} }
