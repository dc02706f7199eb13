package flow_test

import (
	"testing"
	"time"

	"example.com/hooks/internal/flow"
)

var epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func TestTenthIsATenthWithinItsBounds(t *testing.T) {
	for _, c := range []struct {
		name string
		past time.Duration
		want time.Duration
	}{
		{"nothing has passed", 0, time.Second},
		{"the shortest", 10 * time.Second, time.Second},
		{"a tenth", 100 * time.Second, 10 * time.Second},
		{"the longest", 24 * time.Hour, 5 * time.Minute},
		{"since lies in the future", -time.Hour, time.Second},
	} {
		got := flow.Tenth(epoch, epoch.Add(c.past), time.Second, 5*time.Minute)
		if got != c.want {
			t.Errorf("%s: Tenth(%v ago, 1s, 5m) = %v; want %v", c.name, c.past, got, c.want)
		}
	}
	if got := flow.Tenth(time.Time{}, epoch, time.Second, time.Minute); got != time.Second {
		t.Errorf("Tenth(never, 1s, 1m) = %v; want 1s", got)
	}
}

func TestProbesFollowEachOtherByATenthOfTheOutage(t *testing.T) {
	for _, c := range []struct{ open, timeout, want time.Duration }{
		{0, 15 * time.Second, 30 * time.Second},
		{5 * time.Minute, 15 * time.Second, 30 * time.Second},
		{20 * time.Minute, 15 * time.Second, 2 * time.Minute},
		{72 * time.Hour, 15 * time.Second, 5 * time.Minute},
		{0, time.Minute, 65 * time.Second}, // the outcome of the one before is known
		{72 * time.Hour, 24 * time.Hour, 24*time.Hour + 5*time.Second},
	} {
		now := epoch.Add(c.open)
		if got := flow.ProbeAt(epoch, now, c.timeout).Sub(now); got != c.want {
			t.Errorf("ProbeAt(open for %v, timeout %v) = %v later; want %v", c.open, c.timeout, got, c.want)
		}
	}
}

func TestPausesLastAsNamedAndGrowWhileNothingSucceeds(t *testing.T) {
	for _, c := range []struct {
		name             string
		named, ago, want time.Duration
	}{
		{"as named", 20 * time.Second, 0, 20 * time.Second},
		{"an hour at most", 24 * time.Hour, 0, time.Hour},
		{"no time", 0, 0, time.Second},
		{"no time for long", 0, 10 * time.Minute, time.Minute},
		{"no time for ever", 0, 48 * time.Hour, 5 * time.Minute},
		{"a shorter time than it has not worked for", time.Second, 10 * time.Minute, time.Minute},
		{"nonsense", -time.Hour, 0, time.Second},
	} {
		if got := flow.Pause(c.named, epoch, epoch.Add(c.ago)); got != c.want {
			t.Errorf("%s: Pause(%v, worked %v ago) = %v; want %v", c.name, c.named, c.ago, got, c.want)
		}
	}
}

func TestOwnFaultsWaitAMinuteDoublingToTen(t *testing.T) {
	wait := time.Duration(0)
	for _, want := range []time.Duration{1, 2, 4, 8, 10, 10} {
		if wait = flow.OwnWait(wait); wait != want*time.Minute {
			t.Errorf("OwnWait = %v; want %v", wait, want*time.Minute)
		}
	}
	if got := flow.OwnWait(1<<63 - 1); got != 10*time.Minute {
		t.Errorf("OwnWait(the longest) = %v; want 10m", got)
	}
}

func TestBlameDecidesWhatAFailureCountsFor(t *testing.T) {
	for _, c := range []struct {
		blame                     flow.Blame
		charged, works, disabling bool
		points                    int
	}{
		{flow.Receiver, true, false, true, 10},
		{flow.Refusal, true, false, true, 1},
		{flow.Limit, true, true, false, 0},
		{flow.Gone, true, false, false, 0},
		{flow.Nobody, true, false, false, 0},
		{flow.Ours, false, false, false, 0},
	} {
		b := c.blame
		if b.Charged() != c.charged || b.Works() != c.works || b.Disabling() != c.disabling {
			t.Errorf("blame %d: Charged, Works, Disabling = %v, %v, %v; want %v, %v, %v", b,
				b.Charged(), b.Works(), b.Disabling(), c.charged, c.works, c.disabling)
		}
		if got := (flow.Run{}).Fail(b, true, epoch).Points; got != c.points {
			t.Errorf("blame %d: a first attempt adds %d points; want %d", b, got, c.points)
		}
		if got := (flow.Run{}).Fail(b, false, epoch).Points; got != 0 {
			t.Errorf("blame %d: a retry adds %d points; want 0", b, got)
		}
	}
}

// fail returns the run after n failed first attempts, each some time after the one before.
func fail(n int, b flow.Blame, apart time.Duration) (r flow.Run, at time.Time) {
	at = epoch
	for i := range n {
		at = epoch.Add(time.Duration(i) * apart)
		r = r.Fail(b, true, at)
	}
	return r, at
}

func TestCircuitOpensAfterTenBrokenOrAHundredRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		n     int
		blame flow.Blame
		apart time.Duration
		want  bool
	}{
		{"nine", 9, flow.Receiver, time.Second, false},
		{"ten", 10, flow.Receiver, time.Second, true},
		{"ten within two seconds", 10, flow.Receiver, 200 * time.Millisecond, false},
		{"a blip of one second", 100, flow.Receiver, 10 * time.Millisecond, false},
		{"99 refused", 99, flow.Refusal, time.Second, false},
		{"100 refused", 100, flow.Refusal, time.Second, true},
		{"events that are to blame", 1000, flow.Nobody, time.Second, false},
		{"our own faults", 1000, flow.Ours, time.Second, false},
	} {
		r, at := fail(c.n, c.blame, c.apart)
		if got := r.Opens(at); got != c.want {
			t.Errorf("%s: Opens = %v with %+v; want %v", c.name, got, r, c.want)
		}
	}
}

func TestALimitEndsTheRun(t *testing.T) {
	r, at := fail(9, flow.Receiver, time.Second)
	if r = r.Fail(flow.Limit, false, at); r != (flow.Run{}) {
		t.Errorf("the run after a 429 = %+v; want none", r)
	}
}

func TestRetriesNeverOpenTheCircuit(t *testing.T) {
	var r flow.Run
	for i := range 1000 {
		r = r.Fail(flow.Receiver, false, epoch.Add(time.Duration(i)*time.Second))
	}
	if at := epoch.Add(time.Hour); r.Opens(at) {
		t.Errorf("Opens = true after retries alone: %+v", r)
	}
}

// Whatever times come in whatever order, nothing overflows and no bound is broken.
func FuzzDecisions(f *testing.F) {
	f.Add(int64(0), int64(1), int64(15e9), uint8(0), true)
	f.Add(int64(-1<<63), int64(1<<63-1), int64(1<<63-1), uint8(3), false)
	f.Fuzz(func(t *testing.T, from, to, wait int64, blame uint8, first bool) {
		since, now := time.Unix(from/1e3, 0), time.Unix(to/1e3, 0)
		timeout := time.Duration(wait) % (24 * time.Hour)
		if timeout < 0 {
			timeout = -timeout
		}
		got := flow.ProbeAt(since, now, timeout).Sub(now)
		if got < timeout+5*time.Second || got < 30*time.Second || got > max(5*time.Minute, timeout+5*time.Second) {
			t.Errorf("ProbeAt(%v, %v, %v) = %v later", since, now, timeout, got)
		}
		if got := flow.Pause(time.Duration(wait), since, now); got < time.Second || got > time.Hour {
			t.Errorf("Pause(%v, %v, %v) = %v", wait, since, now, got)
		}
		if got := flow.OwnWait(time.Duration(wait)); got < time.Minute || got > 10*time.Minute {
			t.Errorf("OwnWait(%v) = %v", wait, got)
		}
		b := flow.Blame(blame % uint8(flow.Ours+1))
		r := flow.Run{Points: 95, Began: since}.Fail(b, first, now)
		if r.Points < 0 || r.Points > 100 {
			t.Errorf("a run has %d points", r.Points)
		}
		if r.Opens(now) && now.Sub(r.Began) < 2*time.Second {
			t.Errorf("the circuit opens %v after the run began", now.Sub(r.Began))
		}
	})
}

// A wait never gets shorter while time passes.
func FuzzWaitsGrow(f *testing.F) {
	f.Add(int64(1), int64(2))
	f.Fuzz(func(t *testing.T, a, b int64) {
		a, b = min(a, b)/2, max(a, b)/2
		early := flow.Tenth(epoch, epoch.Add(time.Duration(a)), time.Second, time.Minute)
		late := flow.Tenth(epoch, epoch.Add(time.Duration(b)), time.Second, time.Minute)
		if early > late || early < time.Second || late > time.Minute {
			t.Errorf("Tenth after %d = %v, and after %d = %v", a, early, b, late)
		}
	})
}
