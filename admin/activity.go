package admin

import (
	"fmt"
	"math"
	"time"

	"example.com/hooks"
)

// A tally adds up the counters of a time.
type tally struct {
	Succeeded, Failed int
	took              [13]int // as in [hooks.Minute]
}

// add counts a minute.
func (t *tally) add(m hooks.Minute) {
	t.Succeeded += m.Succeeded
	t.Failed += m.Failed
	for i, n := range m.Took {
		t.took[i] += n
	}
}

// join adds another tally.
func (t *tally) join(u tally) {
	t.Succeeded += u.Succeeded
	t.Failed += u.Failed
	for i, n := range u.took {
		t.took[i] += n
	}
}

// tallySince adds up the minutes that start at or after a time.
func tallySince(minutes []hooks.Minute, from time.Time) (t tally) {
	for _, m := range minutes {
		if !m.Start.Before(from) {
			t.add(m)
		}
	}
	return t
}

// Attempts returns how many there were.
func (t tally) Attempts() int { return t.Succeeded + t.Failed }

// Success writes the share that succeeded, such as "99.2 %". It is rounded down, so that
// 100 % means all. A dash stands for no attempts.
func (t tally) Success() string {
	if t.Attempts() == 0 {
		return "–"
	}
	share := math.Floor(1000*float64(t.Succeeded)/float64(t.Attempts())) / 10
	if share == 100 || t.Succeeded == 0 {
		return fmt.Sprintf("%.0f %%", share)
	}
	return fmt.Sprintf("%.1f %%", share)
}

// bounds are the upper bounds of the first twelve of the counters of [hooks.Minute].Took.
var bounds = [12]time.Duration{
	1 * time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, 1 * time.Second, 2 * time.Second, 5 * time.Second,
}

// Percentile writes how long p of a hundred attempts took at most, such as "≤ 200 ms". It
// is no more precise than the counters are.
func (t tally) Percentile(p int) string {
	total := 0
	for _, n := range t.took {
		total += n
	}
	if total == 0 {
		return "–"
	}
	within := 0
	for i, bound := range bounds {
		if within += t.took[i]; within*100 >= total*p {
			return "≤ " + took(bound)
		}
	}
	return "> " + took(bounds[len(bounds)-1])
}

// Slow reports whether more than five of a hundred attempts took longer than any bound.
func (t tally) Slow() bool { return t.Percentile(95) == "> 5 s" }
