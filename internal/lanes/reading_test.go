package lanes

import (
	"reflect"
	"testing"
	"time"
)

func signalled(s *Set[*job]) bool {
	select {
	case <-s.Ready():
		return true
	default:
		return false
	}
}

func TestRefill(t *testing.T) {
	lane := Lane{"a", 1, timeout}
	claim := func(n int) []Claim { return []Claim{{"a", n, 5*timeout + saving}} }
	const second = time.Second
	for _, c := range []struct {
		name   string
		do     func(s *Set[*job]) // after a reading that showed nothing
		ready  bool
		claims []Claim
		read   time.Time
	}{
		{"nothing happened", func(s *Set[*job]) {}, false, nil, time.Time{}},
		{"recheck", func(s *Set[*job]) { s.Recheck() }, true, nil, epoch},
		{"somebody waits for idle", func(s *Set[*job]) { s.Idle() }, true, nil, epoch},
		{"a later one is expected", func(s *Set[*job]) { s.Expect(epoch.Add(second)) }, true, nil, epoch.Add(second)},
		{"the earlier of two", func(s *Set[*job]) { s.Expect(epoch.Add(second)); s.Expect(epoch.Add(2 * second)) }, true, nil, epoch.Add(second)},
		{"one is left", func(s *Set[*job]) { s.Left("a") }, true, claim(3), time.Time{}},
		{"one is left without room", func(s *Set[*job]) { put(s, "a", 1, 4); s.Left("a") }, false, nil, time.Time{}},
		{"room for one that was left", func(s *Set[*job]) {
			put(s, "a", 1, 4)
			s.Left("a")
			s.Drop("a", s.Queued("a")[0])
		}, true, claim(2), time.Time{}},
		{"one is left for an unknown lane", func(s *Set[*job]) { s.Left("b") }, true, nil, epoch},
		{"one is left for a removed lane", func(s *Set[*job]) { s.Reserve(lane); s.Remove("a"); s.Left("a") }, true, nil, epoch},
		{"a claim is short", func(s *Set[*job]) { s.Claimed(hand(s, epoch, lane)[0], 0) }, false, nil, epoch},
		{"a claim failed", func(s *Set[*job]) { s.Unclaimed(hand(s, epoch, lane)[0]) }, false, nil, epoch},
		{"a reading showed a later one", func(s *Set[*job]) { s.Plan(s.Read(epoch), nil, epoch.Add(second), epoch) }, false, nil, epoch.Add(second)},
		{"one that was expected is due", func(s *Set[*job]) { s.Left("a"); s.Expect(epoch.Add(-second)) }, true, nil, epoch},
		{"closed", func(s *Set[*job]) { s.Left("a"); s.Close() }, true, nil, time.Time{}},
	} {
		s := opened(8)
		s.Reserve(lane)
		s.Release("a")
		hand(s, epoch)
		signalled(s)
		c.do(s)
		if got := signalled(s); got != c.ready {
			t.Errorf("%s: ready %v; want %v", c.name, got, c.ready)
		}
		claims, read := s.Refill(epoch)
		if !reflect.DeepEqual(claims, c.claims) || !read.Equal(c.read) {
			t.Errorf("%s: Refill = %v, %v; want %v, %v", c.name, claims, read, c.claims, c.read)
		}
	}
}

// When a lane proves itself, the slow ones can have the places that it had.
func TestALaneThatBecomesProvenLeavesItsPlaces(t *testing.T) {
	s, now := opened(1), epoch
	for _, id := range []string{"a", "b", "c"} {
		put(s, id, 1, 1)
		a, _ := s.Next(now)
		now = now.Add(time.Second)
		end(s, a, Failed, now)
	}
	put(s, "a", 1, 4)
	a, _ := s.Next(now)
	put(s, "a", 1, 1)
	hand(s, now, Lane{"c", 1, timeout})
	s.Left("b")
	if claims, _ := s.Refill(now); claims != nil {
		t.Fatalf("Refill = %v while all places are taken; want none", claims)
	}
	s.Finish(a, Worked, now)
	if !signalled(s) {
		t.Error("nobody is told that there are places")
	}
	if claims, _ := s.Refill(now); len(claims) != 1 || claims[0].ID != "b" {
		t.Errorf("Refill = %v; want a claim for b", claims)
	}
}

// While lanes are claimed for without end, the backlog is read now and then.
func TestABacklogIsReadWhileItIsClaimed(t *testing.T) {
	s, now := opened(8), epoch
	claims := hand(s, now, Lane{"a", 1, timeout})
	for range 100 {
		now = now.Add(time.Millisecond)
		c := claims[0]
		for range c.Max {
			s.Push("a", &job{"a", now.Add(c.Lease)}, now.Add(c.Lease))
		}
		s.Claimed(c, c.Max)
		for a, _ := s.Next(now); a != nil; a, _ = s.Next(now) {
			end(s, a, Failed, now)
		}
		var read time.Time
		if claims, read = s.Refill(now); len(claims) == 0 {
			if took := now.Sub(epoch); took != readEvery || !read.Equal(now) {
				t.Errorf("Refill demands a reading at %v after %v; want %v", read.Sub(epoch), took, readEvery)
			}
			return
		}
	}
	t.Error("the backlog is not read for 100 ms")
}

// A reading that takes long is not followed by another at once.
func TestReadingsRest(t *testing.T) {
	for took, rest := range map[time.Duration]time.Duration{
		cheapReading:          0,
		60 * time.Millisecond: 450 * time.Millisecond,
		time.Minute:           time.Second,
	} {
		s := opened(8)
		r := s.Read(epoch)
		now := epoch.Add(took)
		s.Plan(r, nil, time.Time{}, now)
		s.Recheck()
		if _, read := s.Refill(now); !read.Equal(now.Add(rest)) {
			t.Errorf("after a reading of %v the next one is %v later; want %v", took, read.Sub(now), rest)
		}
	}
}

func TestIdle(t *testing.T) {
	for _, c := range []struct {
		name  string
		do    func(s *Set[*job]) Reading
		want  bool
		again bool // another reading is demanded
	}{
		{"a later reading", func(s *Set[*job]) Reading { return s.Read(epoch) }, true, false},
		{"a job is held", func(s *Set[*job]) Reading { put(s, "b", 1, 1); return s.Read(epoch) }, false, false},
		{"a job left its lane meanwhile", func(s *Set[*job]) Reading {
			put(s, "b", 1, 1)
			r := s.Read(epoch)
			a, _ := s.Next(epoch)
			end(s, a, Worked, epoch)
			return r
		}, false, true},
		{"one stayed in the store meanwhile", func(s *Set[*job]) Reading { r := s.Read(epoch); s.Left("b"); return r }, false, true},
		{"the last job leaves later", func(s *Set[*job]) Reading {
			put(s, "b", 1, 1)
			r := s.Read(epoch)
			s.Quiet(r)
			s.Drop("b", s.Queued("b")[0])
			return r
		}, false, true},
	} {
		s := opened(8)
		old := s.Read(epoch)
		idle := s.Idle()
		s.Quiet(old) // it began before
		s.Refill(epoch)
		r := c.do(s)
		s.Plan(r, nil, time.Time{}, epoch)
		s.Quiet(r)
		var got bool
		select {
		case <-idle:
			got = true
		default:
		}
		_, read := s.Refill(epoch)
		if got != c.want || read.Equal(epoch) != c.again {
			t.Errorf("%s: idle %v, another reading %v; want %v, %v", c.name, got, read.Equal(epoch), c.want, c.again)
		}
	}
}

func TestIdleIsNotEndedByAnEarlierReading(t *testing.T) {
	s := opened(8)
	r := s.Read(epoch)
	idle := s.Idle()
	s.Quiet(r)
	select {
	case <-idle:
		t.Error("a reading that began before Idle ended it")
	default:
	}
}

func TestClose(t *testing.T) {
	s := opened(8)
	put(s, "a", 1, 3)
	a, _ := s.Next(epoch)
	s.Reserve(Lane{"b", 1, timeout})
	if n := len(s.Close()); n != 2 {
		t.Errorf("Close returns %d jobs; want 2", n)
	}
	if _, ok := s.Reserve(Lane{"b", 1, timeout}); ok {
		t.Error("Reserve = true after Close")
	}
	if s.Push("b", &job{lane: "b"}, epoch.Add(time.Minute)) {
		t.Error("Push = true after Close")
	}
	s.Finish(a, Worked, epoch)
	if b, _ := s.Next(epoch); b != nil {
		t.Error("an attempt begins after Close")
	}
	for _, id := range []string{"a", "a", "a", "b"} {
		s.Saved(id, false)
	}
	if s.totals.holds != 0 {
		t.Errorf("%d jobs are held in the end; want 0", s.totals.holds)
	}
	recount(t, s)
}

func TestARemovedLaneIsForgottenWhenItIsEmpty(t *testing.T) {
	s := opened(8)
	put(s, "a", 1, 1)
	s.Remove("a")
	if s.lanes["a"] == nil {
		t.Fatal("a lane is forgotten while it holds a job")
	}
	a, _ := s.Next(epoch)
	end(s, a, NotTried, epoch)
	if s.lanes["a"] != nil {
		t.Error("a removed lane is kept")
	}
	put(s, "a", 1, 1)
	if s.lanes["a"] == nil {
		t.Error("a lane that comes again is not known")
	}
	s.Saving("b")
	if s.totals.holds != 2 {
		t.Errorf("%d jobs are held; want 2, also of a lane that was not there", s.totals.holds)
	}
	recount(t, s)
	s.Saved("b", true)
	if s.lanes["b"] != nil {
		t.Error("a lane is kept for one outcome")
	}
	if _, read := s.Refill(epoch); !read.Equal(epoch) {
		t.Errorf("Refill = %v; want a reading, because it left a due job", read)
	}
	recount(t, s)
}

// Publish leaves the last quarter of the places of a standing to claims.
func TestPublishLeavesPlacesToClaims(t *testing.T) {
	s := opened(4)
	n := 0
	for i := range 1000 {
		n += put(s, string(rune('a'+i)), 1, 1)
	}
	if want := 4 * 4 * queueFor * 3 / 4; n != want {
		t.Errorf("Reserve accepts %d jobs of untried lanes; want %d", n, want)
	}
	due := make([]Lane, 10)
	for i := range due {
		due[i] = Lane{string(rune('A' + i)), 1, timeout}
	}
	claims := hand(s, epoch, due...)
	if n := len(claims); n != 6 || claims[5].Max != 1 {
		t.Errorf("claims = %v; want six for 16 places", claims)
	}
	for i, d := range due {
		if behind := s.lanes[d.ID].behind; behind != (i >= 6) {
			t.Errorf("lane %s is behind: %v; want it of those that got no place", d.ID, behind)
		}
	}
}
