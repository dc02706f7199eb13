package postgres_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	process "os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/hooks"
)

// Four processes publish and deliver on one database, and one after the other is
// killed and replaced. Nothing that was acknowledged is lost; what is sent again
// was in flight; the work of the dead is taken over when their leases end; and
// what is ordered comes in order, whichever process sends it.
func TestKilledDispatchers(t *testing.T) {
	deliveries, lines, kills := 10_000, 50, 6
	switch {
	case *long:
		deliveries, lines = 200_000, 500
	case testing.Short():
		t.Skip("it takes as long as a lease, and that is more than half a minute")
	}
	f := newFleet(t, 4, lines)
	f.book.failing = true
	began := time.Now()
	stop := f.publishing(50 * time.Millisecond)
	for promised := 0; promised < deliveries || len(f.kills) < kills; promised, _ = f.book.count() {
		<-time.After(killEvery - 200*time.Millisecond + rand.N(400*time.Millisecond))
		f.kill(rand.IntN(len(f.crew)))
	}
	stop()
	published := time.Since(began)
	f.book.await(t, 0, fleetLease+2*time.Minute)
	f.awaitFinal()
	for slot := range f.crew {
		f.retire(slot)
	}
	r := f.read()
	r.report(began, published)
	r.checkFinal()
	r.checkRepeats()
	r.checkTakeovers()
	r.checkOrder()
}

const killEvery = 2 * time.Second

// Three processes deliver what is published steadily, and are replaced one after
// the other, twice, as by a deployment: no attempt fails, none is repeated, and
// nothing waits until a lease has ended.
func TestRollingRestart(t *testing.T) {
	f := newFleet(t, 3, 20)
	stop := f.publishing(100 * time.Millisecond)
	for range 2 {
		for slot := range f.crew {
			<-time.After(500 * time.Millisecond)
			f.retire(slot)
			f.launch(slot)
		}
	}
	stop()
	f.book.await(t, 0, time.Minute)
	f.awaitFinal()
	for slot := range f.crew {
		f.retire(slot)
	}
	r := f.read()
	r.checkFinal()
	r.checkOrder()
	r.checkFaultless()
}

// A fleet is a number of child processes on one database, that deliver to one
// receiver. Its methods are for the test's goroutine, but publish may be another's.
type fleet struct {
	t      *testing.T
	config *pgx.ConnConfig
	pool   *pgxpool.Pool
	h      *hooks.Hooks // publishes only
	book   *book
	lines  int // how many ordering keys there are
	lined  int // how many ordered events were published, in groups of lineGroup

	crew  []atomic.Pointer[member] // those alive, each in its slot
	lives int                      // how many there ever were
	kills []kill
}

// A kill is what was known when a member was killed.
type kill struct {
	life int
	at   time.Time
	// leased are the tokens of all leases in the database right afterwards.
	leased map[hooks.DeliveryID]int64
}

func newFleet(t *testing.T, crew, lines int) *fleet {
	t.Helper()
	config := database(t)
	f := &fleet{t: t, config: config, pool: poolOn(t, config), book: newBook(t), lines: lines}
	f.h = fleetHooks(t, storeOn(t, f.pool), 0)
	var waits []time.Duration
	for range 50 {
		waits = append(waits, 200*time.Millisecond)
	}
	for _, id := range append([]string{lineEndpoint}, plainEndpoints...) {
		e := hooks.Endpoint{ID: id, URL: f.book.url + "/" + id, Events: []string{invoicePaid.Name}, Retry: waits}
		if id == lineEndpoint {
			e.Events, e.Ordered = []string{accountMoved.Name}, true
		}
		if _, err := f.h.PutEndpoint(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	f.crew = make([]atomic.Pointer[member], crew)
	for slot := range f.crew {
		f.launch(slot)
	}
	return f
}

// A member is a child process.
type member struct {
	life  int
	cmd   *process.Cmd
	in    io.WriteCloser
	said  bytes.Buffer  // what it said beside its duty
	ready chan struct{} // closed when it is
	read  chan struct{} // closed when it says nothing more
}

// launch puts a new member into a slot.
func (f *fleet) launch(slot int) {
	f.t.Helper()
	f.lives++
	o, err := json.Marshal(orders{f.config.ConnString(), f.config.Database, f.lives})
	if err != nil {
		f.t.Fatal(err)
	}
	m := &member{
		life:  f.lives,
		cmd:   process.CommandContext(f.t.Context(), os.Args[0], "-test.run=^TestFleetChild$"),
		ready: make(chan struct{}),
		read:  make(chan struct{}),
	}
	m.cmd.Env = append(os.Environ(), fleetEnv+"="+string(o))
	m.cmd.Stderr = os.Stderr
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	if m.in, err = m.cmd.StdinPipe(); err != nil {
		f.t.Fatal(err)
	}
	if err := m.cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	go f.listen(m, out)
	select {
	case <-m.ready:
	case <-m.read:
		f.t.Fatalf("child %d ended before it was ready: %s", m.life, m.said.String())
	}
	f.crew[slot].Store(m)
}

// listen hears what a member has stored.
func (f *fleet) listen(m *member, out io.Reader) {
	defer close(m.read)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var batch int
		switch n, _ := fmt.Sscanf(lines.Text(), "published %d", &batch); {
		case n == 1:
			f.book.promise(plainEvents(batch), plainEndpoints)
		case lines.Text() == "ready":
			close(m.ready)
		default:
			fmt.Fprintln(&m.said, lines.Text())
		}
	}
}

// publishing publishes batches at a pace, until stop is called.
func (f *fleet) publishing(pace time.Duration) (stop func()) {
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for batch := 0; ; batch++ {
			f.publish(batch)
			select {
			case <-done:
				return
			case <-time.After(pace):
			}
		}
	}()
	return func() {
		close(done)
		<-stopped
	}
}

// publish publishes a batch: every fifth here, in order, the others by the
// members in turn. One that is asked may be dead; then nothing is promised.
func (f *fleet) publish(batch int) {
	if batch%5 == 4 {
		f.publishLines()
		return
	}
	fmt.Fprintln(f.crew[batch%len(f.crew)].Load().in, batch) // it may be closed
}

// lineGroup is how many events of a line are published at once.
const lineGroup = 5

// publishLines publishes a batch of events, some for each of some lines.
func (f *fleet) publishLines() {
	var evs []hooks.Event
	var ids []string
	for range fleetBatch {
		group := f.lined / lineGroup
		key, n := group%f.lines, group/f.lines*lineGroup+f.lined%lineGroup
		f.lined++
		ev := accountMoved.New(invoice{n})
		ev.ID, ev.OrderingKey = lineEvent(key, n), fmt.Sprint(key)
		evs, ids = append(evs, ev), append(ids, ev.ID)
	}
	if _, err := f.h.PublishBatch(f.t.Context(), evs); err != nil {
		f.t.Errorf("PublishBatch = %v; want nil", err)
		return
	}
	f.book.promise(ids, []string{lineEndpoint})
}

// kill kills the member of a slot, notes what is leased, and launches another.
func (f *fleet) kill(slot int) {
	f.t.Helper()
	m := f.crew[slot].Load()
	if err := m.cmd.Process.Kill(); err != nil {
		f.t.Fatal(err)
	}
	k := kill{life: m.life, at: time.Now(), leased: f.leases()}
	f.kills = append(f.kills, k)
	<-m.read
	m.cmd.Wait() // it was killed
	if strings.Contains(m.said.String(), "FAIL") {
		f.t.Errorf("child %d: %s", m.life, m.said.String())
	}
	f.launch(slot)
}

// leases are all in the database, by their tokens.
func (f *fleet) leases() map[hooks.DeliveryID]int64 {
	f.t.Helper()
	rows, err := f.pool.Query(f.t.Context(), `SELECT event_id, subscriber, token FROM hooks.deliveries WHERE status = 3`)
	if err != nil {
		f.t.Fatal(err)
	}
	leased := make(map[hooks.DeliveryID]int64)
	var id hooks.DeliveryID
	var token int64
	_, err = pgx.ForEachRow(rows, []any{&id.Event, &id.Subscriber, &token}, func() error {
		leased[id] = token
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return leased
}

// retire tells the member of a slot to stop, and waits until it has.
func (f *fleet) retire(slot int) {
	f.t.Helper()
	m := f.crew[slot].Load()
	if err := m.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		f.t.Fatal(err)
	}
	m.in.Close()
	<-m.read
	if err := m.cmd.Wait(); err != nil {
		f.t.Errorf("child %d, told to stop: %v: %s; want it to end well", m.life, err, m.said.String())
	}
}

// awaitFinal returns when every delivery is final.
func (f *fleet) awaitFinal() {
	f.t.Helper()
	countUntil(f.t, f.pool, func(c census) bool { return c.unfinished == 0 })
}
