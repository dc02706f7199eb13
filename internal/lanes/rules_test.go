package lanes

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func opened(concurrency int) *Set[*job] {
	s := New[*job](concurrency)
	s.Open()
	return s
}

// put queues n jobs in a lane of so many slots, as far as it has room.
func put(s *Set[*job], id string, slots, n int) (queued int) {
	for range n {
		lease, ok := s.Reserve(Lane{id, slots, timeout})
		if !ok {
			break
		}
		j := &job{id, epoch.Add(lease)}
		s.Push(id, j, j.until)
		queued++
	}
	return queued
}

// begin starts all that may start, and says in which lanes.
func begin(s *Set[*job], now time.Time) (starts []*Start[*job], ids []string) {
	for a, _ := s.Next(now); a != nil; a, _ = s.Next(now) {
		starts = append(starts, a)
		ids = append(ids, a.Job.lane)
	}
	return starts, ids
}

// end ends an attempt and saves its outcome.
func end(s *Set[*job], a *Start[*job], r Result, now time.Time) {
	s.Finish(a, r, now)
	s.Saved(a.Job.lane, false)
}

// prove makes proven lanes, with an allowance of all their slots, that work at once.
func prove(t testing.TB, s *Set[*job], slots int, ids ...string) {
	t.Helper()
	for range slots {
		for _, id := range ids {
			put(s, id, slots, 1)
			a, _ := s.Next(epoch)
			if a == nil || a.Job.lane != id {
				t.Fatalf("lane %s does not start", id)
			}
			end(s, a, Worked, epoch)
		}
	}
}

// hand gives a Set a reading in which lanes have something due.
func hand(s *Set[*job], now time.Time, due ...Lane) []Claim {
	return s.Plan(s.Read(now), due, time.Time{}, now)
}

func TestALaneThatHasProvenNothingHoldsFive(t *testing.T) {
	s := opened(64)
	if n := put(s, "a", 4, 30); n != 5 {
		t.Errorf("Reserve accepts %d jobs; want 5", n)
	}
	if starts, _ := begin(s, epoch); len(starts) != 1 {
		t.Errorf("%d start; want 1", len(starts))
	}
}

func TestAllowance(t *testing.T) {
	for _, c := range []struct {
		results []Result
		want    int
	}{
		{nil, 1},
		{[]Result{NotTried}, 1},
		{[]Result{Failed, Failed}, 1},
		{[]Result{Overloaded}, 1},
		{[]Result{Worked}, 2},
		{[]Result{Worked, Worked, Failed}, 3},
		{[]Result{Worked, Worked, Worked, Worked, Worked, Worked}, 4},
		{[]Result{Worked, Worked, Worked, Worked, Worked, Worked, Overloaded}, 2},
		{[]Result{Worked, Worked, Overloaded}, 1},
	} {
		s := opened(64)
		for _, r := range c.results {
			put(s, "a", 4, 1)
			a, _ := s.Next(epoch)
			end(s, a, r, epoch)
		}
		put(s, "a", 4, 20)
		if starts, _ := begin(s, epoch); len(starts) != c.want {
			t.Errorf("after %v: %d start; want %d", c.results, len(starts), c.want)
		}
	}
}

func TestStanding(t *testing.T) {
	const ms = time.Millisecond
	type attempt struct {
		result Result
		took   time.Duration
	}
	for _, c := range []struct {
		attempts []attempt
		want     standing
		late     time.Duration // when the next attempt is late
	}{
		{nil, untried, 250 * ms},
		{[]attempt{{NotTried, time.Second}}, untried, 250 * ms},
		{[]attempt{{Failed, 10 * ms}}, proven, 250 * ms},
		{[]attempt{{Overloaded, 10 * ms}}, proven, 250 * ms},
		{[]attempt{{Failed, 251 * ms}}, slow, 250 * ms},
		{[]attempt{{Overloaded, timeout}}, slow, 250 * ms},
		{[]attempt{{Worked, 20 * ms}}, proven, 250 * ms},
		{[]attempt{{Worked, 500 * ms}}, proven, time.Second},
		{[]attempt{{Worked, 500 * ms}, {Failed, 999 * ms}}, proven, time.Second},
		{[]attempt{{Worked, 500 * ms}, {Failed, 1001 * ms}}, slow, time.Second},
		{[]attempt{{Worked, 500 * ms}, {Failed, 1001 * ms}, {NotTried, 0}}, slow, time.Second},
		{[]attempt{{Worked, 500 * ms}, {Overloaded, timeout}, {Worked, 500 * ms}}, proven, time.Second},
		{[]attempt{{Worked, 500 * ms}, {Worked, 1300 * ms}}, proven, 1200 * ms},
	} {
		s, now := opened(64), epoch
		for _, a := range c.attempts {
			put(s, "a", 1, 1)
			start, _ := s.Next(now)
			now = now.Add(a.took)
			end(s, start, a.result, now)
		}
		put(s, "a", 1, 1)
		l := s.lanes["a"]
		if got := l.standing(); got != c.want {
			t.Errorf("after %v: standing %d; want %d", c.attempts, got, c.want)
		}
		begin(s, now)
		s.Next(now.Add(c.late - 1))
		before := l.lateAttempts
		s.Next(now.Add(c.late))
		if before != 0 || l.lateAttempts != 1 {
			t.Errorf("after %v: %d, then %d attempts are late; want 0, then 1 after %v", c.attempts, before, l.lateAttempts, c.late)
		}
	}
}

func TestRoom(t *testing.T) {
	for _, c := range []struct {
		slots, expected, queued, active, saving int
		room                                    int
		roomy                                   bool
	}{
		{slots: 4, room: 20, roomy: true},
		{slots: 4, expected: 5, queued: 6, active: 4, room: 5, roomy: true},
		{slots: 4, expected: 5, queued: 7, active: 4, room: 4},
		{slots: 4, saving: 20, room: 20, roomy: true},
		{slots: 4, saving: 36, room: 4},
		{slots: 4, queued: 20, saving: 20},
		{slots: 1, queued: 3, room: 2, roomy: true},
		{slots: 1, queued: 4, room: 1},
		{slots: 0},
	} {
		l := newLane[*job]()
		l.allowance = 100
		l.set(Lane{"a", c.slots, timeout})
		l.allowance = 100
		l.expected, l.active, l.saving = c.expected, c.active, c.saving
		l.queue = make([]queued[*job], c.queued)
		if l.room() != c.room || l.roomy() != c.roomy {
			t.Errorf("%+v: room %d, roomy %v", c, l.room(), l.roomy())
		}
	}
}

func TestProvenLanesAndOthersTakeTurns(t *testing.T) {
	s := opened(8)
	prove(t, s, 4, "p", "q")
	for _, id := range []string{"p", "q"} {
		put(s, id, 4, 3)
	}
	for _, id := range []string{"u1", "u2", "u3", "u4", "u5"} {
		put(s, id, 4, 2)
	}
	s.othersTurn, s.oldestsTurn = false, false
	_, got := begin(s, epoch)
	want := []string{"p", "u5", "q", "u1", "p", "u4", "q", "u2"}
	if !slices.Equal(got, want) {
		t.Errorf("they start in the order %v; want %v", got, want)
	}
}

// Lanes that are not proven leave half of the slots to those that are, and slow
// ones a quarter to those that are untried.
func TestShares(t *testing.T) {
	s := opened(16)
	for i := range 12 {
		id := fmt.Sprint("slow", i)
		put(s, id, 1, 1)
		a, _ := s.Next(epoch)
		end(s, a, Failed, epoch.Add(time.Second))
	}
	for i := range 12 {
		put(s, fmt.Sprint("slow", i), 1, 1)
	}
	begin(s, epoch.Add(time.Second))
	if n := s.totals.active[slow]; n != 8 {
		t.Errorf("%d attempts of slow lanes; want 8 of 16 slots", n)
	}
	for i := range 12 {
		put(s, fmt.Sprint("u", i), 1, 1)
	}
	begin(s, epoch.Add(time.Second))
	if n := s.totals.active; n[untried] != 4 || n[slow] != 8 {
		t.Errorf("%d attempts of untried lanes beside %d of slow ones; want 4 beside 8", n[untried], n[slow])
	}
}

// While an untried lane waits, slow ones get a quarter only.
func TestSlowLanesMakeWayForUntriedOnes(t *testing.T) {
	s := opened(16)
	for i := range 8 {
		id := fmt.Sprint("slow", i)
		put(s, id, 1, 1)
		a, _ := s.Next(epoch)
		end(s, a, Failed, epoch.Add(time.Second))
	}
	// The first attempts that may be under way are, so that untried lanes wait.
	s.totals.active[hanging] = s.firstAttempts()
	for i := range 8 {
		put(s, fmt.Sprint("slow", i), 1, 1)
		put(s, fmt.Sprint("u", i), 1, 1)
	}
	begin(s, epoch.Add(time.Second))
	if n := s.totals.active; n[untried] != 0 || n[slow] != 4 {
		t.Errorf("%d untried and %d slow ones start; want 0 and 4", n[untried], n[slow])
	}
	s.totals.active[hanging] = 0
	begin(s, epoch.Add(time.Second))
	if n := s.totals.active; n[untried] != 4 || n[slow] != 4 {
		t.Errorf("%d untried and %d slow ones start; want 4 and 4", n[untried], n[slow])
	}
}

func TestNextSaysOnceWhenToAskAgain(t *testing.T) {
	s := opened(1)
	put(s, "a", 1, 1)
	put(s, "b", 1, 1)
	a, _ := s.Next(epoch)
	if _, again := s.Next(epoch); !again.Equal(epoch.Add(lateAfter)) {
		t.Errorf("again = %v; want when the first attempt is late", again)
	}
	if _, again := s.Next(epoch); !again.IsZero() {
		t.Errorf("again = %v the second time; want zero", again)
	}
	b, _ := s.Next(epoch.Add(lateAfter))
	if b == nil || b.Job.lane == a.Job.lane {
		t.Errorf("the late attempt keeps the slot from others")
	}
	if _, again := s.Next(epoch.Add(lateAfter)); !again.IsZero() {
		t.Errorf("again = %v with nothing waiting; want zero", again)
	}
}

func TestAHeldLane(t *testing.T) {
	s := opened(8)
	put(s, "a", 1, 3)
	starts, _ := begin(s, epoch)
	if _, ok := s.Reserve(Lane{"a", 0, timeout}); ok {
		t.Error("Reserve = true for a held lane")
	}
	if n := len(s.Overdue(epoch)); n != 2 {
		t.Errorf("%d queued jobs are given back; want 2", n)
	}
	end(s, starts[0], NotTried, epoch)
	s.Saved("a", true)
	s.Saved("a", true)
	idle := s.Idle()
	r := s.Read(epoch)
	if claims := s.Plan(r, []Lane{{"a", 0, timeout}}, time.Time{}, epoch); claims != nil {
		t.Errorf("a held lane is claimed for: %v", claims)
	}
	s.Quiet(r)
	select {
	case <-idle:
	default:
		t.Error("Idle waits for what a held lane has in the store")
	}
	if claims, read := s.Refill(epoch); claims != nil || !read.IsZero() {
		t.Errorf("Refill = %v, %v; want nothing to do", claims, read)
	}
	// The next lane that is held is told of as well.
	for _, id := range []string{"b", "c"} {
		put(s, id, 1, 1)
		s.Reserve(Lane{id, 0, timeout})
		if _, again := s.Next(epoch); again.IsZero() || again.After(epoch) {
			t.Errorf("again = %v; want a time that has come, because %s is held", again, id)
		}
		s.Overdue(epoch)
	}
	if n := put(s, "a", 1, 1); n != 1 {
		t.Error("Reserve = false when the hold has ended")
	}
}

func TestBehind(t *testing.T) {
	lane := Lane{"a", 1, timeout}
	reserves := func(s *Set[*job]) bool {
		_, ok := s.Reserve(lane)
		if ok {
			s.Release("a")
		}
		return ok
	}
	take := func(s *Set[*job], c Claim, n int) {
		for range n {
			s.Push("a", &job{"a", epoch.Add(c.Lease)}, epoch.Add(c.Lease))
		}
		s.Claimed(c, n)
	}
	for _, c := range []struct {
		name string
		do   func(s *Set[*job])
		want bool // that Reserve hands over
	}{
		{"a full claim begins it", func(s *Set[*job]) { take(s, hand(s, epoch, lane)[0], 3) }, false},
		{"a short claim does not", func(s *Set[*job]) { take(s, hand(s, epoch, lane)[0], 2) }, true},
		{"a due one with room does not", func(s *Set[*job]) { s.Reserve(lane); s.Left("a") }, true},
		{"a due one without room does", func(s *Set[*job]) { put(s, "a", 1, 4); s.Left("a") }, false},
		{"a due one that loses its room does", func(s *Set[*job]) { put(s, "a", 1, 3); s.Left("a"); put(s, "a", 1, 1) }, false},
		{"a later reading that shows none ends it", func(s *Set[*job]) { put(s, "a", 1, 4); s.Left("a"); hand(s, epoch) }, true},
		{"a reading that began before does not", func(s *Set[*job]) {
			put(s, "a", 1, 4)
			r := s.Read(epoch)
			s.Left("a")
			s.Plan(r, nil, time.Time{}, epoch)
		}, false},
		{"a reading that shows one does not", func(s *Set[*job]) { put(s, "a", 1, 4); s.Left("a"); hand(s, epoch, lane) }, false},
		{"a claim that was not made leaves it to a reading", func(s *Set[*job]) { s.Unclaimed(hand(s, epoch, lane)[0]) }, true},
	} {
		s := opened(8)
		c.do(s)
		if got := reserves(s); got != c.want {
			t.Errorf("%s: Reserve = %v; want %v", c.name, got, c.want)
		}
	}
}
