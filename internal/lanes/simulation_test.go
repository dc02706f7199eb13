package lanes

import (
	"fmt"
	"testing"
	"time"
)

// A simulation runs a Set with receivers and a store that answers at once, in
// simulated time.
type simulation struct {
	t       *testing.T
	s       *Set[*job]
	now     time.Time
	events  calendar[func()]
	takes   map[string]time.Duration // until a receiver answers; longer than timeout: it hangs
	due     map[string]int           // jobs in the store
	leases  map[*job]time.Time
	started map[string][]time.Time
	overdue int
	wake    time.Time // when the loop goes on
}

const timeout = 15 * time.Second

func newSimulation(t *testing.T, concurrency int) *simulation {
	m := &simulation{
		t: t, s: New[*job](concurrency), now: epoch,
		takes: make(map[string]time.Duration), due: make(map[string]int),
		leases: make(map[*job]time.Time), started: make(map[string][]time.Time),
	}
	m.s.Open()
	return m
}

// at has something done later.
func (m *simulation) at(at time.Time, do func()) { m.events.set(&moment[func()]{of: do}, at) }

// run goes on until a time.
func (m *simulation) run(d time.Duration) {
	end := m.now.Add(d)
	for m.settle(); ; m.settle() {
		next := m.events.next()
		if next.IsZero() || next.After(end) {
			break
		}
		m.now = next
		for do, ok := m.events.due(m.now); ok; do, ok = m.events.due(m.now) {
			m.events.drop(m.events.heap[0])
			do()
		}
	}
	m.now = end
	m.settle()
}

func (m *simulation) lane(id string) Lane { return Lane{id, 4, timeout} }

func (m *simulation) publish(id string) {
	lease, ok := m.s.Reserve(m.lane(id))
	if !ok {
		m.due[id]++
		m.s.Left(id)
		return
	}
	m.push(id, lease)
}

func (m *simulation) push(id string, lease time.Duration) {
	j := &job{id, m.now.Add(lease)}
	m.leases[j] = j.until
	m.s.Push(id, j, j.until)
}

// settle does all that can be done now.
func (m *simulation) settle() {
	for {
		for _, j := range m.s.Overdue(m.now) {
			if left := m.leases[j].Sub(m.now); left < SaveWithin {
				m.t.Fatalf("a job is given back with %v left of its lease", left)
			}
			delete(m.leases, j)
			m.overdue++
			m.due[j.lane]++
			m.s.Saved(j.lane, true)
		}
		a, again := m.s.Next(m.now)
		switch {
		case a != nil:
			m.start(a)
		case m.claim():
		default:
			if !again.IsZero() {
				m.at(again, func() {})
			}
			return
		}
		if !again.IsZero() {
			m.at(again, func() {})
		}
	}
}

func (m *simulation) start(a *Start[*job]) {
	id := a.Job.lane
	if left := m.leases[a.Job].Sub(m.now); left < a.Timeout {
		m.t.Fatalf("an attempt of %v begins with %v left of its lease", a.Timeout, left)
	}
	m.started[id] = append(m.started[id], m.now)
	takes, result := m.takes[id], Worked
	if takes > timeout {
		takes, result = timeout, Overloaded
	}
	m.at(m.now.Add(takes), func() {
		m.s.Finish(a, result, m.now)
		m.s.Saved(id, false)
		delete(m.leases, a.Job)
	})
}

// claim reads and claims what it can, and reports whether it did anything.
func (m *simulation) claim() bool {
	claims, read := m.s.Refill(m.now)
	if len(claims) == 0 && (read.IsZero() || read.After(m.now)) {
		if !read.IsZero() && !read.Equal(m.wake) {
			m.wake = read
			m.at(read, func() {})
		}
		return false
	}
	if len(claims) == 0 {
		// It has taken a microsecond a lane. What began earlier shows the same.
		r := m.s.Read(m.now.Add(-time.Duration(len(m.due)) * time.Microsecond))
		var due []Lane
		for id, n := range m.due {
			if n > 0 {
				due = append(due, m.lane(id))
			}
		}
		claims = m.s.Plan(r, due, time.Time{}, m.now)
	}
	for _, c := range claims {
		n := min(m.due[c.ID], c.Max)
		if m.due[c.ID] -= n; m.due[c.ID] == 0 {
			delete(m.due, c.ID)
		}
		for range n {
			m.push(c.ID, c.Lease)
		}
		m.s.Claimed(c, n)
	}
	return true
}

// never is longer than any timeout.
const never = time.Hour

// Newcomers start within a second, however many lanes hang from the start.
func TestHangingLanesDelayNoNewcomer(t *testing.T) {
	for _, hang := range []int{8, 12, 20, 30, 60, 200} {
		for _, after := range []time.Duration{0, 100 * time.Millisecond, time.Second, 10 * time.Second} {
			t.Run(fmt.Sprintf("%d hang, newcomers after %v", hang, after), func(t *testing.T) {
				m := newSimulation(t, 64)
				for i := range hang {
					id := fmt.Sprint("hang", i)
					m.takes[id] = never
					for range 10 {
						m.publish(id)
					}
				}
				m.run(after)
				worst := m.newcomers(20)
				if worst > time.Second {
					t.Errorf("the last newcomer starts after %v; want 1 s at most", worst)
				}
			})
		}
	}
}

// newcomers publishes to new lanes that answer, and returns how long the last had to wait.
func (m *simulation) newcomers(n int) (worst time.Duration) {
	began := m.now
	for i := range n {
		id := fmt.Sprint("new", i)
		m.takes[id] = 20 * time.Millisecond
		m.publish(id)
	}
	m.run(timeout)
	for i := range n {
		starts := m.started[fmt.Sprint("new", i)]
		if len(starts) == 0 {
			return never
		}
		worst = max(worst, starts[0].Sub(began))
	}
	return worst
}

// So do they when lanes that worked begin to hang, and are known to.
func TestLanesThatBeginToHangDelayNoNewcomer(t *testing.T) {
	m := newSimulation(t, 64)
	for i := range 12 {
		id := fmt.Sprint("a", i)
		for range 20 {
			m.publish(id)
		}
	}
	m.run(time.Second)
	for i := range 12 {
		id := fmt.Sprint("a", i)
		m.takes[id] = never
		for range 4 {
			m.publish(id)
		}
	}
	m.run(time.Second)
	if n := m.s.totals.active[slow]; n < m.s.half() {
		t.Fatalf("%d attempts of slow lanes; want half of the slots, or the test shows nothing", n)
	}
	if worst := m.newcomers(20); worst > time.Second {
		t.Errorf("the last newcomer starts after %v; want 1 s at most", worst)
	}
}

// At most 4 × concurrency first attempts hang; then new lanes wait for a timeout.
func TestFirstAttemptsAreBounded(t *testing.T) {
	const concurrency = 8
	m := newSimulation(t, concurrency)
	for i := range 1000 {
		id := fmt.Sprint("hang", i)
		m.takes[id] = never
		m.publish(id)
	}
	m.run(timeout - time.Millisecond)
	if n := m.s.totals.active[hanging]; n != 4*concurrency {
		t.Errorf("%d first attempts hang; want %d", n, 4*concurrency)
	}
}

// Receivers that all answer in half a second get all slots, from their first event on.
func TestSlowButWorkingReceiversUseAllSlots(t *testing.T) {
	m := newSimulation(t, 64)
	for i := range 40 {
		id := fmt.Sprint("a", i)
		m.takes[id] = 500 * time.Millisecond
		m.due[id] = 1000
	}
	m.run(5 * time.Second)
	before := m.total()
	for range 100 {
		m.run(50 * time.Millisecond)
		if n := m.s.totals.active[proven]; n != 64 {
			t.Fatalf("%d attempts under way; want 64", n)
		}
	}
	if n := m.total() - before; n < 640-64 {
		t.Errorf("%d started in 5 s; want 640", n)
	}
}

func (m *simulation) total() (n int) {
	for _, starts := range m.started {
		n += len(starts)
	}
	return n
}

// Leases never end in the queue, however many slow lanes share how few slots.
// (The simulation checks it at each start, and when a job is given back.)
func TestLeasesNeverEndInTheQueue(t *testing.T) {
	for _, c := range []struct {
		name  string
		takes time.Duration
	}{{"all hang", never}, {"all take long", 14 * time.Second}} {
		t.Run(c.name, func(t *testing.T) {
			m := newSimulation(t, 8)
			for i := range 200 {
				id := fmt.Sprint("a", i)
				m.takes[id] = c.takes
				m.due[id] = 20
			}
			m.run(10 * time.Minute) // until all lanes have been tried once
			tried, overdue := m.total(), m.overdue
			m.run(time.Hour)
			for j, until := range m.leases {
				if until.Before(m.now) {
					t.Fatalf("a lease of %s has ended", j.lane)
				}
			}
			// What is given back costs two writes, for nothing. It must be rare.
			tried, overdue = m.total()-tried, m.overdue-overdue
			if overdue > tried/20 {
				t.Errorf("%d leases were given back, with %d attempts", overdue, tried)
			}
			for i := range 200 {
				if id := fmt.Sprint("a", i); len(m.started[id]) < 2 {
					t.Errorf("lane %s had %d attempts in all that time", id, len(m.started[id]))
				}
			}
		})
	}
}
