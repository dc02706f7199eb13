package flow_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"example.com/hooks/internal/flow"
)

// silence lets n endpoints give no answer at a time, and reports whether the process stopped.
func silence(n *flow.Network, ids int, at time.Time) (stopped bool) {
	for i := range ids {
		stopped, _ = n.Silence(fmt.Sprint("e", i), at)
	}
	return stopped
}

func TestTheProcessStopsWhenNobodyAnswers(t *testing.T) {
	for _, c := range []struct {
		name  string
		ids   int
		after time.Duration
		want  bool
	}{
		{"ten are silent for two seconds", 10, 2 * time.Second, true},
		{"nine are", 9, time.Hour, false},
		{"somebody has just answered", 10, 1999 * time.Millisecond, false},
	} {
		n := flow.NewNetwork(epoch)
		n.Answer("other", epoch.Add(time.Minute))
		at := epoch.Add(time.Minute + c.after)
		if got := silence(n, c.ids, at); got != c.want {
			t.Errorf("%s: stopped = %v; want %v", c.name, got, c.want)
		}
	}
}

func TestOneEndpointIsNotTheNetwork(t *testing.T) {
	n := flow.NewNetwork(epoch)
	for i := range 1000 {
		if stopped, _ := n.Silence("e", epoch.Add(time.Duration(i)*time.Second)); stopped {
			t.Fatal("the process stopped because of one endpoint")
		}
	}
}

func TestAnAnswerEndsTheStop(t *testing.T) {
	n := flow.NewNetwork(epoch)
	at := epoch.Add(time.Minute)
	silence(n, 10, at)
	since, ended := n.Answer("e3", at.Add(time.Hour))
	if !ended || !since.Equal(at) || !n.Stopped().IsZero() {
		t.Errorf("Answer = %v, %v; want %v, true", since, ended, at)
	}
	if silence(n, 10, at.Add(time.Hour+time.Second)) {
		t.Error("it stopped again within two seconds of an answer")
	}
}

// Silence before an answer does not count with silence after it.
func TestAnAnswerForgetsWhoWasSilent(t *testing.T) {
	n := flow.NewNetwork(epoch)
	silence(n, 9, epoch.Add(time.Minute))
	n.Answer("other", epoch.Add(time.Minute))
	if stopped, _ := n.Silence("e9", epoch.Add(2*time.Minute)); stopped {
		t.Error("Silence of one endpoint = stopped; want nine more since the last answer")
	}
}

func TestOnlyOneSilenceStops(t *testing.T) {
	n := flow.NewNetwork(epoch)
	times := 0
	for i := range 20 {
		if _, now := n.Silence(fmt.Sprint("e", i), epoch.Add(time.Minute)); now {
			times++
		}
	}
	if times != 1 {
		t.Errorf("%d calls of Silence report that the process stops; want 1", times)
	}
}

func TestWhileStoppedTheLastToAnswerIsTriedFirstAndEachOnceARound(t *testing.T) {
	n := flow.NewNetwork(epoch)
	for i := range 3 {
		n.Answer(fmt.Sprint("e", i), epoch.Add(time.Duration(i)*time.Second))
	}
	at := epoch.Add(time.Minute)
	silence(n, 10, at)
	var tried []string
	due := []string{"e0", "e1", "e2", "e9", "e7"}
	for range 6 {
		id, again := n.Try(due, at)
		tried = append(tried, id)
		if early, _ := n.Try(due, again.Add(-1)); early != "" {
			t.Fatalf("Try = %q before its time", early)
		}
		at = again
	}
	if want := []string{"e2", "e1", "e0", "e7", "e9", "e2"}; !slices.Equal(tried, want) {
		t.Errorf("tried %v; want %v", tried, want)
	}
}

func TestTriesFollowByATenthOfTheStop(t *testing.T) {
	n := flow.NewNetwork(epoch)
	at := epoch.Add(time.Minute)
	silence(n, 10, at)
	tries := 0
	for end := at.Add(10 * time.Minute); at.Before(end); tries++ {
		_, again := n.Try([]string{"e1"}, at)
		if wait := again.Sub(at); wait < time.Second || wait > 30*time.Second {
			t.Fatalf("the next try is %v later; want 1s to 30s", wait)
		}
		at = again
	}
	// Ten in ten seconds, then each a tenth later: log(30)/log(1.1), and ten in the rest.
	if tries < 45 || tries > 65 {
		t.Errorf("%d tries in ten minutes; want 45 to 65", tries)
	}
}

func TestWithoutDueWorkNothingIsTried(t *testing.T) {
	n := flow.NewNetwork(epoch)
	silence(n, 10, epoch.Add(time.Minute))
	if id, again := n.Try(nil, epoch.Add(time.Hour)); id != "" || !again.IsZero() {
		t.Errorf("Try(nothing) = %q, %v; want none", id, again)
	}
}

func FuzzNetwork(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 0))
		n, at, answer := flow.NewNetwork(epoch), epoch, epoch
		for range 200 {
			at = at.Add(time.Duration(r.IntN(int(time.Second))))
			id := fmt.Sprint("e", r.IntN(12))
			switch r.IntN(20) {
			case 0:
				n.Answer(id, at)
				answer = at
				if !n.Stopped().IsZero() {
					t.Fatal("an answer did not end the stop")
				}
			case 1:
				n.Forget(id)
			case 2:
				if tried, again := n.Try([]string{"e1", id}, at); tried != "" && n.Stopped().IsZero() || again.After(at.Add(time.Minute)) {
					t.Fatalf("Try = %q, %v at %v", tried, again, at)
				}
			default:
				stopped, _ := n.Silence(id, at)
				if stopped != !n.Stopped().IsZero() || stopped && at.Sub(answer) < 2*time.Second {
					t.Fatalf("stopped = %v, %v after the last answer", stopped, at.Sub(answer))
				}
			}
		}
	})
}
