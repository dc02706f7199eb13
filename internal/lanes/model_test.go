package lanes

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

type job struct {
	lane  string
	until time.Time // when its lease ends
}

// A world is a Set with all that surrounds it: a store, publishers, a loop
// that claims, and attempts. Bytes decide what happens next.
type world struct {
	t     *testing.T
	s     *Set[*job]
	now   time.Time
	bytes []byte

	ids    []string
	slots  map[string]int
	due    map[string]int // jobs in the store that are due
	stage  map[string]stages
	starts []*Start[*job]
	order  waitsInLine

	reading *Reading // under way, with what it shows
	shows   []Lane
	foreign bool // somebody else has written since it began
	claims  []Claim
	alarms  []time.Time
	flushes []<-chan struct{}
}

// stages counts the jobs of a lane, as the world knows them.
type stages struct{ expected, queued, active, saving int }

func newWorld(t *testing.T, bytes []byte) *world {
	w := &world{
		t: t, now: epoch, bytes: bytes,
		slots: make(map[string]int), due: make(map[string]int), stage: make(map[string]stages),
		order: make(waitsInLine),
	}
	for i := range 2 + w.choose(8) {
		id := string(rune('a' + i))
		w.ids = append(w.ids, id)
		w.slots[id] = 1 + w.choose(4)
	}
	w.s = New[*job](1 + w.choose(8))
	w.s.Open()
	return w
}

var epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// choose takes a number in [0, n) from the bytes; zero when they are used up.
func (w *world) choose(n int) int {
	if len(w.bytes) == 0 {
		return 0
	}
	b := w.bytes[0]
	w.bytes = w.bytes[1:]
	return int(b) % n
}

func (w *world) lane(id string) Lane { return Lane{id, w.slots[id], 15 * time.Second} }

func (w *world) count(id string, expected, queued, active, saving int) {
	g := w.stage[id]
	w.stage[id] = stages{g.expected + expected, g.queued + queued, g.active + active, g.saving + saving}
}

// step does one thing, and then what a dispatcher does after everything.
func (w *world) step() {
	id := w.ids[w.choose(len(w.ids))]
	switch w.choose(15) {
	case 0, 1, 2:
		w.publish(id)
	case 3, 4:
		w.stored(id)
	case 5, 6, 7:
		w.finish(w.choose(8), Result(w.choose(4)))
	case 8, 9:
		w.saved(id, w.choose(8) == 0)
	case 10, 11:
		w.loop(w.choose(8))
	case 12:
		w.now = w.now.Add([]time.Duration{time.Millisecond, 100 * time.Millisecond, time.Second, time.Minute}[w.choose(4)])
	case 13:
		w.decide(id, w.choose(5))
	case 14:
		w.flushes = append(w.flushes, w.s.Idle())
	}
	w.start()
	w.check()
}

func (w *world) publish(id string) {
	was, behind := w.s.totals.load, w.s.lanes[id] != nil && w.s.lanes[id].behind
	lease, ok := w.s.Reserve(w.lane(id))
	if !ok {
		w.due[id]++
		w.s.Left(id)
		return
	}
	l := w.s.lanes[id]
	if lease < 5*l.Timeout+saving || l.room() < 0 || behind || was[l.standing()] >= w.s.places(l.standing()) {
		w.t.Fatalf("Reserve = %v, true for %+v", lease, l)
	}
	w.count(id, +1, 0, 0, 0)
}

// stored ends the Enqueue of a reserved job. Places of a claim are not its.
func (w *world) stored(id string) {
	n := w.stage[id].expected
	for _, c := range w.claims {
		if c.ID == id {
			n -= c.Max
		}
	}
	if n == 0 {
		return
	}
	switch w.choose(8) {
	case 0:
		w.s.Release(id)
		w.count(id, -1, 0, 0, 0)
	case 1:
		w.s.Return(id)
		w.count(id, -1, 0, 0, +1)
	default:
		w.push(id)
	}
}

func (w *world) push(id string) {
	until := w.now.Add(5*15*time.Second + saving)
	if !w.s.Push(id, &job{id, until}, until) {
		w.t.Fatal("Push = false while open")
	}
	w.count(id, -1, +1, 0, 0)
}

// start begins what may start, and hears the alarms.
func (w *world) start() {
	for len(w.alarms) > 0 && !w.alarms[0].After(w.now) {
		w.alarms = w.alarms[1:]
	}
	for _, j := range w.s.Overdue(w.now) {
		w.count(j.lane, 0, -1, 0, +1)
	}
	for {
		w.order.note(w.t, w.s)
		a, again := w.s.Next(w.now)
		if a == nil {
			if !again.IsZero() {
				w.alarms = append(w.alarms, again)
			}
			break
		}
		w.order.started(w.t, w.s, a.lane)
		if a.lane.active > min(a.lane.Slots, a.lane.allowance) {
			w.t.Fatalf("%d attempts of lane %s; want %d", a.lane.active, a.Job.lane, min(a.lane.Slots, a.lane.allowance))
		}
		if w.now.Add(a.Timeout + SaveWithin).After(a.Job.until) {
			w.t.Fatal("an attempt may outlast its lease")
		}
		w.starts = append(w.starts, a)
		w.count(a.Job.lane, 0, -1, +1, 0)
	}
	blocked(w.t, w.s)
	w.alarmIsSet()
}

// alarmIsSet checks that somebody was told of the next time at which something may start.
func (w *world) alarmIsSet() {
	waiting := false
	for of := range standings {
		waiting = waiting || w.s.lines[of].n > 0
	}
	next := w.s.leases.next()
	if waiting {
		next = earliest(next, w.s.late.next())
	}
	if next.IsZero() {
		return
	}
	for _, at := range w.alarms {
		if !at.After(next) {
			return
		}
	}
	w.t.Fatalf("nobody was told to call Next at %v", next)
}

func (w *world) finish(i int, r Result) {
	if len(w.starts) == 0 {
		return
	}
	i %= len(w.starts)
	a := w.starts[i]
	w.starts = append(w.starts[:i], w.starts[i+1:]...)
	w.s.Finish(a, r, w.now)
	w.count(a.Job.lane, 0, 0, -1, +1)
}

func (w *world) saved(id string, left bool) {
	if w.stage[id].saving == 0 {
		return
	}
	if left {
		w.due[id]++
	}
	w.s.Saved(id, left)
	w.count(id, 0, 0, 0, -1)
}

// loop is a step of the goroutine that reads and claims.
func (w *world) loop(luck int) {
	switch {
	case len(w.claims) > 0:
		w.claim(luck)
	case w.reading != nil:
		w.plan(luck)
	default:
		claims, read := w.s.Refill(w.now)
		w.take(claims)
		if len(claims) == 0 && !read.IsZero() && !read.After(w.now) {
			w.read()
		}
	}
}

func (w *world) read() {
	r := w.s.Read(w.now)
	w.reading, w.shows, w.foreign = &r, nil, false
	for _, id := range w.ids {
		if w.due[id] > 0 {
			w.shows = append(w.shows, w.lane(id))
		}
	}
}

func (w *world) plan(luck int) {
	r := *w.reading
	w.reading = nil
	if luck == 0 {
		w.s.Recheck() // it failed
		return
	}
	for i := range w.shows {
		w.shows[i].Slots = w.slots[w.shows[i].ID]
	}
	claims := w.s.Plan(r, w.shows, time.Time{}, w.now)
	w.take(claims)
	if len(claims) == 0 {
		w.quiet(r)
	}
}

func (w *world) take(claims []Claim) {
	w.claims = claims
	for _, c := range claims {
		w.count(c.ID, c.Max, 0, 0, 0)
		if l := w.s.lanes[c.ID]; c.Max < 1 || l.Slots == 0 || l.room() < 0 {
			w.t.Fatalf("claim %+v for %+v", c, l)
		}
	}
}

func (w *world) quiet(r Reading) {
	before := len(w.s.idle.waits)
	w.s.Quiet(r)
	if len(w.s.idle.waits) == before {
		return
	}
	for id, n := range w.due {
		if n > 0 && w.slots[id] > 0 && !w.foreign {
			w.t.Fatalf("a Flush ended while %d are due for %s", n, id)
		}
	}
	for id, g := range w.stage {
		if g != (stages{}) {
			w.t.Fatalf("a Flush ended while %s holds %+v", id, g)
		}
	}
}

// claim ends the first claim. Others may have taken some of what is due.
func (w *world) claim(luck int) {
	c := w.claims[0]
	w.claims = w.claims[1:]
	if luck == 0 {
		w.s.Unclaimed(c)
		w.s.Recheck()
		w.count(c.ID, -c.Max, 0, 0, 0)
		return
	}
	n := min(w.due[c.ID], c.Max)
	w.due[c.ID] -= n
	for i := range n {
		if luck == 1 && i == 0 {
			w.s.Return(c.ID)
			w.count(c.ID, -1, 0, 0, +1)
			continue
		}
		w.push(c.ID)
	}
	w.s.Claimed(c, n)
	w.count(c.ID, n-c.Max, 0, 0, 0)
}

// decide is what operators and other processes do.
func (w *world) decide(id string, what int) {
	switch what {
	case 0:
		w.slots[id] = w.choose(5)
		w.publish(id) // the Set learns of it
		w.s.Recheck()
	case 1:
		w.s.Remove(id)
		w.s.Recheck()
	case 2:
		if jobs := w.s.Queued(id); len(jobs) > 0 && w.s.Drop(id, jobs[w.choose(len(jobs))]) {
			w.count(id, 0, -1, 0, 0)
		}
	case 3:
		w.due[id]++
		w.foreign = true
		w.s.Recheck()
	case 4:
		w.s.Saving(id)
		w.count(id, 0, 0, 0, +1)
	}
}

// check compares the Set with the world.
func (w *world) check() {
	recount(w.t, w.s)
	if idle := len(w.claims) == 0 && w.reading == nil; idle && w.s.asksAny() && len(w.s.ready) == 0 {
		w.t.Fatal("there is something to claim, and nobody is told")
	}
	for id, want := range w.stage {
		var got stages
		if l := w.s.lanes[id]; l != nil {
			got = stages{l.expected, len(l.queue), l.active, l.saving}
		}
		if got != want {
			w.t.Fatalf("lane %s holds %+v; want %+v", id, got, want)
		}
	}
}

// end lets everything go well until nothing is left, and fails if that takes for ever.
func (w *world) end() {
	for _, id := range w.ids {
		if w.slots[id] == 0 {
			w.slots[id] = 1
			w.publish(id)
		}
	}
	w.s.Recheck()
	w.flushes = append(w.flushes, w.s.Idle())
	w.bytes = nil
	for range 20_000 {
		if w.quietNow() {
			break
		}
		w.now = w.now.Add(10 * time.Millisecond)
		for _, id := range w.ids {
			for w.stage[id].expected > 0 && len(w.claims) == 0 {
				w.push(id)
			}
			for w.stage[id].saving > 0 {
				w.saved(id, false)
			}
		}
		w.loop(2)
		w.start()
		for len(w.starts) > 0 {
			w.finish(0, Worked)
		}
		w.check()
	}
	for _, idle := range w.flushes {
		select {
		case <-idle:
		default:
			w.t.Fatalf("a Flush never ended; due %v, held %v", w.due, w.stage)
		}
	}
}

func (w *world) quietNow() bool {
	for _, id := range w.ids {
		if w.due[id] > 0 || w.stage[id] != (stages{}) {
			return false
		}
	}
	return len(w.s.idle.waits) == 0
}

// waitsInLine knows since when each lane stands in its line: how many others of
// any standing had started then.
type waitsInLine map[*lane[*job]]*waitInLine

type waitInLine struct {
	in     *list[*lane[*job]]
	before [standings]int // starts of others since
}

func (o waitsInLine) note(t *testing.T, s *Set[*job]) {
	for _, l := range s.lanes {
		if w := o[l]; w == nil || w.in != l.line.in {
			o[l] = &waitInLine{in: l.line.in}
		}
	}
}

// started checks that a lane has not been overtaken too often, and counts its start.
func (o waitsInLine) started(t *testing.T, s *Set[*job], l *lane[*job]) {
	t.Helper()
	of := standing(0)
	for i := range standings {
		if o[l].in == &s.lines[i] {
			of = i
		}
	}
	others := len(s.lanes)
	if of == untried {
		others = 2 * others // the newest and the oldest take turns
	}
	if o[l].before[of] > others {
		t.Fatalf("%d of its standing overtook lane %s; want %d at most", o[l].before[of], l.ID, others)
	}
	if before := o[l].before; of == proven && before[untried]+before[slow] > before[proven]+2 {
		t.Fatalf("%d others overtook lane %s, which is proven, and %d of its like", before[untried]+before[slow], l.ID, before[proven])
	}
	for _, w := range o {
		w.before[of]++
	}
	o[l] = &waitInLine{in: l.line.in}
}

func FuzzSet(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 4 {
		f.Add(randomBytes(r, 400))
	}
	f.Fuzz(func(t *testing.T, bytes []byte) {
		w := newWorld(t, bytes)
		for len(w.bytes) > 0 {
			w.step()
		}
		w.end()
	})
}

// Whatever happens, in whatever order, the rules of the package doc hold.
func TestRulesHoldWhateverHappens(t *testing.T) {
	for seed := range uint64(50) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t, randomBytes(rand.New(rand.NewPCG(seed, 0)), 2000))
			for len(w.bytes) > 0 {
				w.step()
			}
			w.end()
		})
	}
}

func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}
