package systemtest_test

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/signer"
	"example.com/hooks/store/sqlite"
)

// The test runs itself as a child process, which finds here what to do: the
// database, the receiver's URL and the number of its life.
const childEnv = "HOOKS_TEST_CRASH_CHILD"

// What the child delivers to, with the default concurrency of 4 requests and
// 16 deliveries waiting each. The second is ordered.
var crashEndpoints = []string{"a", "b"}

// inFlight may come again: each endpoint's lane holds ten times its four slots.
const inFlight = 2 * 10 * 4

// A process that publishes and delivers is killed at any moment, again and
// again. Nothing that it acknowledged is lost; what it sent twice was in
// flight; what is ordered came in order; and when a dispatcher is dead, but not
// before, another takes over.
func TestCrash(t *testing.T) {
	kills := 100
	switch {
	case *kit.Long:
		kills = 1000
	case testing.Short():
		kills = 15
	}
	r := newCrashReceiver(t)
	path := filepath.Join(t.TempDir(), "hooks.db")
	var acknowledged []string
	for life := range kills {
		acknowledged = append(acknowledged, r.life(t, path, life)...)
	}
	t.Logf("%d kills, %d events acknowledged", kills, len(acknowledged))
	takeOver(t, r, path, kills, acknowledged)
	r.checkDuplicates(t)
	r.checkOrder(t)
	r.logResumption(t)
}

// life starts a child and kills it after a while; it returns what the child
// acknowledged.
func (r *crashReceiver) life(t *testing.T, path string, life int) (acknowledged []string) {
	t.Helper()
	child, lines := startChild(t, path, r.url, life)
	// Some are killed while they start, most while they work.
	ready := make(chan struct{})
	if life%8 == 7 {
		close(ready)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines.Scan() {
			switch word, rest, _ := strings.Cut(lines.Text(), " "); word {
			case "opening":
				r.opened(life)
			case "ready":
				if life%8 != 7 {
					close(ready)
				}
			case "published":
				acknowledged = append(acknowledged, rest)
			default:
				t.Errorf("child: %s", lines.Text())
			}
		}
	}()
	select {
	case <-ready:
		<-time.After(5*time.Millisecond + rand.N(195*time.Millisecond))
	case <-read:
		t.Errorf("child %d ended before it was ready", life)
	}
	if err := child.Process.Kill(); err != nil {
		t.Error(err)
	}
	<-read
	child.Wait() // it was killed
	return acknowledged
}

func startChild(t *testing.T, path, url string, life int) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCrashChild$")
	child.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %d", childEnv, path, url, life))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	return child, bufio.NewScanner(out)
}

// TestCrashChild is the process that TestCrash kills.
func TestCrashChild(t *testing.T) {
	var path, url string
	var life int
	if n, _ := fmt.Sscan(os.Getenv(childEnv), &path, &url, &life); n != 3 {
		t.Skip("it is a part of TestCrash")
	}
	fmt.Println("opening")
	h := openCrashed(t, path)
	pointAt(t, h, url, life)
	go func() {
		t.Errorf("Run = %v; want it never to return", h.Run(t.Context()))
		os.Exit(1)
	}()
	fmt.Println("ready")
	for n := 0; ; n++ {
		ev := kit.InvoicePaid.New(kit.Invoice{Number: n})
		ev.ID = fmt.Sprintf("evt_%d_%d", life, n)
		ev.OrderingKey = fmt.Sprint("key", n%3)
		if _, err := h.Publish(t.Context(), ev); err != nil {
			t.Fatal(err)
		}
		fmt.Println("published", ev.ID)
		<-time.After(time.Millisecond)
	}
}

// openCrashed opens the database that all lives share.
func openCrashed(t *testing.T, path string) *hooks.Hooks {
	t.Helper()
	store, err := sqlite.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return kit.New(t, hooks.Config{Store: store, Logger: kit.Silent, Egress: kit.Loopback})
}

// pointAt has the endpoints call the receiver by a path that says which life
// it is.
func pointAt(t *testing.T, h *hooks.Hooks, url string, life int) {
	t.Helper()
	for _, id := range crashEndpoints {
		kit.Put(t, h, hooks.Endpoint{ID: id, URL: fmt.Sprintf("%s/%d/%s", url, life, id), Ordered: id == "b"})
	}
}

// takeOver runs a dispatcher in this process when the last child is dead, and
// waits until all is delivered. While the child lives, it is refused.
func takeOver(t *testing.T, r *crashReceiver, path string, life int, acknowledged []string) {
	t.Helper()
	child, _ := startChild(t, path, r.url, life)
	r.opened(life)
	r.await(t, "the last child to deliver", func() bool { return r.first[life] })
	h := openCrashed(t, path)
	if err := h.Run(t.Context()); !errors.Is(err, hooks.ErrLocked) {
		t.Errorf("Run beside the child's = %v; want ErrLocked", err)
	}
	child.Process.Kill()
	child.Wait() // it was killed
	r.opened(life + 1)
	pointAt(t, h, r.url, life+1) // not before, for the child would call it too
	stop := kit.Start(t, h)
	r.await(t, "every acknowledged event to come", func() bool { return r.missing(acknowledged) == 0 })
	stop()
	for _, d := range kit.Deliveries(t, h) {
		if d.Status.Final() && d.Status != hooks.Succeeded {
			t.Errorf("%v is %v %s with %d lost; want it to have succeeded", d.DeliveryID, d.Status, d.Reason, d.Lost)
		}
	}
}

// A crashReceiver notes in which lives each delivery came.
type crashReceiver struct {
	url  string
	more chan struct{} // something has come; holds one

	mu     sync.Mutex // guards what follows
	lives  map[hooks.DeliveryID][]int
	lines  map[string]map[int][]int // of key and life: the ordered events as they came
	opens  map[int]time.Time
	first  map[int]bool          // lives that have delivered something
	resent map[int]time.Duration // from the opening to the first of an earlier life
}

func newCrashReceiver(t *testing.T) *crashReceiver {
	r := &crashReceiver{
		more:   make(chan struct{}, 1),
		lives:  make(map[hooks.DeliveryID][]int),
		lines:  make(map[string]map[int][]int),
		opens:  make(map[int]time.Time),
		first:  make(map[int]bool),
		resent: make(map[int]time.Duration),
	}
	s := httptest.NewServer(r)
	t.Cleanup(s.Close)
	r.url = s.URL
	return r
}

func (r *crashReceiver) ServeHTTP(_ http.ResponseWriter, req *http.Request) {
	var life, born, n int
	var endpoint string
	id := req.Header.Get(signer.HeaderID)
	fmt.Sscanf(req.URL.Path, "/%d/%s", &life, &endpoint)
	fmt.Sscanf(id, "evt_%d_%d", &born, &n)
	r.mu.Lock()
	defer r.mu.Unlock()
	d := hooks.DeliveryID{Event: id, Subscriber: endpoint}
	r.lives[d] = append(r.lives[d], life)
	if endpoint == "b" {
		key := fmt.Sprint("key", n%3)
		if r.lines[key] == nil {
			r.lines[key] = make(map[int][]int)
		}
		r.lines[key][life] = append(r.lines[key][life], born*1_000_000+n)
	}
	r.first[life] = true
	if _, ok := r.resent[life]; !ok && born < life {
		r.resent[life] = time.Since(r.opens[life])
	}
	select {
	case r.more <- struct{}{}:
	default: // it will look anyway
	}
}

func (r *crashReceiver) opened(life int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opens[life] = time.Now()
}

// await waits until so is true, which is asked under the lock.
func (r *crashReceiver) await(t *testing.T, what string, so func() bool) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	for {
		r.mu.Lock()
		ok := so()
		r.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-r.more:
		case <-deadline:
			t.Fatalf("waited two minutes for %s", what)
		}
	}
}

// missing counts the deliveries of events that have not come. r.mu is held.
func (r *crashReceiver) missing(events []string) (n int) {
	for _, event := range events {
		for _, endpoint := range crashEndpoints {
			if len(r.lives[hooks.DeliveryID{Event: event, Subscriber: endpoint}]) == 0 {
				n++
			}
		}
	}
	return n
}

// checkOrder checks that no event of a key came before an earlier one was done
// with, within a life and from one to the next.
func (r *crashReceiver) checkOrder(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, lives := range r.lines {
		last := 0
		for _, life := range slices.Sorted(maps.Keys(lives)) {
			for _, n := range lives[life] {
				if n < last {
					t.Errorf("%s: event %d of life %d came after %d of life %d; want it before",
						key, n%1_000_000, n/1_000_000, last%1_000_000, last/1_000_000)
				}
				last = n
			}
		}
	}
}

// checkDuplicates checks that nothing came twice in one life, and that what
// came again in a later one can have been in flight.
func (r *crashReceiver) checkDuplicates(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	again := make(map[int]int) // by the life that was killed
	for id, lives := range r.lives {
		slices.Sort(lives)
		for i, life := range lives[1:] {
			if life == lives[i] {
				t.Errorf("%v came twice in life %d; want once", id, life)
			}
			again[lives[i]]++
		}
	}
	total, most := 0, 0
	for life, n := range again {
		total, most = total+n, max(most, n)
		if n > inFlight {
			t.Errorf("%d deliveries came again after life %d; want %d at most", n, life, inFlight)
		}
	}
	t.Logf("%d of %d deliveries came again, %d at most after one kill", total, len(r.lives), most)
}

// logResumption tells how long it took from the opening of the database to
// the first delivery that an earlier life had left. Whether it is fast depends
// on the machine; that it comes at all does not.
func (r *crashReceiver) logResumption(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var took []time.Duration
	for _, d := range r.resent {
		took = append(took, d)
	}
	if len(took) == 0 {
		t.Fatal("no life continued what another had left; want most to")
	}
	slices.Sort(took)
	t.Logf("%d lives continued the work of others: median %v, at most %v after opening",
		len(took), took[len(took)/2], took[len(took)-1])
	if took[len(took)/2] > 10*time.Second {
		t.Errorf("work is resumed %v after opening; want it at once", took[len(took)/2])
	}
}
