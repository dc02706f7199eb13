package hooks

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"
)

// Each case is a story: moments and what happens then, "a fail" being a failed attempt
// of subscriber a. Lines are written with the moment and without "hooks: ".
func TestWatchlist(t *testing.T) {
	const fails = "WARN a subscriber fails subscriber=a failures=3 since="
	const works = "INFO a subscriber works again subscriber=a failures="
	const ended = "WARN deliveries failed for good subscriber=a deliveries="
	for _, c := range []struct {
		name  string
		story string
		want  []string
		left  int // subscribers on the list afterwards
	}{
		{"nothing fails", "0s a ok; 1s b ok; 1h a end", nil, 0},
		{"twice is no streak", "0s a fail; 1s a fail; 2s a ok; 3s a fail; 4s a fail; 5h a ok", nil, 0},
		{"three times is one", "0s a fail; 1s a fail; 2s a fail; 3s a fail; 9h b ok", []string{
			"2s " + fails + "0s class=status code=503",
		}, 1},
		{
			"the last failure and the first moment are told", "0s a fail; 1s a fail; 5s a timeout; 7s a fail; 8s a ok; 1h b ok",
			[]string{"5s " + fails + "0s class=timeout", "8s " + works + "4 since=0s class=status code=503"},
			0,
		},
		{
			"recovery is told however late", "0s a fail; 0s a fail; 0s a fail; 30h a ok; 31h b ok",
			[]string{"0s " + fails + "0s class=status code=503", "30h0m0s " + works + "3 since=0s class=status code=503"},
			0,
		},
		{
			"others do not count", "0s a fail; 0s b fail; 0s a fail; 0s b fail; 1s b ok; 2s a fail",
			[]string{"2s " + fails + "0s class=status code=503"},
			1,
		},
		{
			"what recovered is left out, and counted when the quiet time ends",
			"0s a fails; 1s a ok; 1m a fails; 2m a ok; 3m a fails; 4m a ok; 11m b ok; 12m a fails; 13m a ok; 1h b ok",
			[]string{
				"0s " + fails + "0s class=status code=503", "1s " + works + "3 since=0s class=status code=503",
				"10m0s INFO a subscriber failed again and works again subscriber=a left_out=2",
				"20m0s INFO a subscriber failed again and works again subscriber=a left_out=1",
			},
			0,
		},
		{
			"what goes on failing is told when the quiet time ends",
			"0s a fails; 1s a ok; 1m a fails; 2m a ok; 3m a fails; 4m a fail; 12m a ok; 1h b ok",
			[]string{
				"0s " + fails + "0s class=status code=503", "1s " + works + "3 since=0s class=status code=503",
				"10m0s " + strings.Replace(fails, "=3", "=4", 1) + "3m0s class=status code=503 left_out=1",
				"12m0s " + works + "4 since=3m0s class=status code=503",
			},
			0,
		},
		{
			"what failed for good is told at once, and counted later",
			"0s a exhausted; 1s a rejected; 2s a ok; 9m a expired; 10m b ok; 21m a lost; 50m b ok",
			[]string{
				"0s " + ended + "1 since=0s event=e0 reason=exhausted class=status code=503",
				"10m0s " + ended + "2 since=1s event=e3 reason=expired class=",
				"21m0s " + ended + "1 since=21m0s event=e5 reason=lost class=",
			},
			0,
		},
		{
			"what failed without an attempt is no failure of the subscriber",
			"0s a expired; 0s a expired; 0s a lost; 0s a canceled; 9m a end",
			[]string{
				"0s " + ended + "1 since=0s event=e0 reason=expired class=",
				"9m0s " + ended + "2 since=0s event=e2 reason=lost class=",
			},
			1,
		},
		{
			"nothing held back is lost with the process, and the quiet time goes on",
			"0s a fails; 1s a ok; 2s a fails; 3s a end; 4s a ok; 5s a fails; 6s a ok; 7s a end; 8s a end; 1h b ok",
			[]string{
				"0s " + fails + "0s class=status code=503", "1s " + works + "3 since=0s class=status code=503",
				"3s " + fails + "2s class=status code=503", "4s " + works + "3 since=2s class=status code=503",
				"7s INFO a subscriber failed again and works again subscriber=a left_out=1",
			},
			0,
		},
		{
			"a subscriber that is gone is forgotten", "0s a fails; 1s gone fail; 1h1m b ok",
			[]string{"0s " + fails + "0s class=status code=503"},
			1,
		},
		{"a subscriber that is gone is forgotten though nothing was written", "0s gone fail; 1h b ok", nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, left := tellStory(t, c.story)
			if !slices.Equal(got, c.want) {
				t.Errorf("lines of %q =\n%s\nwant\n%s", c.story, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
			if left != c.left {
				t.Errorf("after %q %d subscribers are on the list; want %d", c.story, left, c.left)
			}
		})
	}
}

// tellStory returns the lines that a watchlist writes, and how many subscribers it
// knows in the end. It is swept when it says so, as by the reporter.
func tellStory(t *testing.T, story string) (got []string, left int) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	w := watchlist{subscribers: make(map[string]*watched)}
	gone := func(id string) bool { return id == "gone" }
	take := func(at time.Time) {
		for _, l := range w.lines {
			text := []string{at.Sub(begin).String(), l.level.String(), strings.TrimPrefix(l.text, "hooks: ")}
			for _, a := range l.attrs {
				if a.Key == "since" {
					a.Value = slog.DurationValue(a.Value.Time().Sub(begin))
				}
				text = append(text, a.String())
			}
			got = append(got, strings.Join(text, " "))
		}
		w.lines = nil
	}
	for i, step := range strings.Split(story, "; ") {
		var moment, subscriber, what string
		if _, err := fmt.Sscan(step, &moment, &subscriber, &what); err != nil {
			t.Fatal(err)
		}
		after, err := time.ParseDuration(moment)
		if err != nil {
			t.Fatal(err)
		}
		at := begin.Add(after)
		for !w.next.IsZero() && !w.next.After(at) {
			due := w.next
			w.sweep(due, false, gone)
			take(due)
		}
		if what == "end" {
			w.sweep(at, true, gone)
		}
		for _, c := range changes(subscriber, fmt.Sprint("e", i), what, at) {
			w.note(at, c)
		}
		take(at)
	}
	return got, len(w.subscribers)
}

// changes returns what is saved when something happens.
func changes(subscriber, event, what string, at time.Time) []Change {
	d := Delivery{DeliveryID: DeliveryID{event, subscriber}, Updated: at, Status: Retrying, Code: 503, Error: "status"}
	attempt := new(Attempt)
	switch what {
	case "end":
		return nil
	case "ok":
		d.Status, d.Code, d.Error = Succeeded, 200, ""
	case "timeout":
		d.Code, d.Error = 0, classTimeout
	case "exhausted", "rejected":
		d.Status, d.Reason = Failed, Reason(what)
	case "expired", "lost":
		d.Status, d.Reason, d.Code, d.Error, attempt = Failed, Reason(what), 0, "", nil
	case "canceled":
		d.Status, attempt = Canceled, nil
	case "fails":
		return slices.Repeat([]Change{{Delivery: d, Attempt: attempt}}, failingAfter)
	}
	return []Change{{Delivery: d, Attempt: attempt}}
}

// However many subscribers fail, the list is gone through once a second at most.
func TestALongWatchlistIsSweptSeldom(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	w := watchlist{subscribers: make(map[string]*watched)}
	at := begin
	for i := range 1000 {
		at = at.Add(time.Millisecond)
		for _, c := range changes(fmt.Sprint(i), "e", "fails", at) {
			w.note(at, c)
		}
	}
	sweeps := 0
	for ; w.next.Before(begin.Add(15 * time.Minute)); sweeps++ {
		w.sweep(w.next, false, func(string) bool { return false })
	}
	if sweeps > 3 {
		t.Errorf("1000 subscribers that failed within a second were swept %d times in a quarter of an hour; want 3 at most", sweeps)
	}
}
