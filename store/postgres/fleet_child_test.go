package postgres_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/hooks"
	"example.com/hooks/egress"
	"example.com/hooks/store/postgres"
)

// The tests of fleets run themselves as child processes, which find here, in
// JSON, what to do.
const fleetEnv = "HOOKS_TEST_FLEET_CHILD"

// Orders are a child's.
type orders struct {
	URL, Database string // how to connect
	Life          int    // which of all children it is
}

const (
	fleetTimeout = time.Second // of an attempt
	// fleetLease is how long a child leases at most, by that timeout: for five
	// attempts one after the other, 35 s to save what became of them, and up to a
	// second at random.
	fleetLease = 5*fleetTimeout + 36*time.Second
	// fleetSlots are the attempts to one endpoint at once, and fleetHeld the
	// deliveries that a child may have leased for it: queued, under way, or being
	// saved.
	fleetSlots = 4
	fleetHeld  = 2 * 5 * fleetSlots
	// fleetBatch is how many events are published at once.
	fleetBatch = 20

	lifeHeader = "X-Life" // says in a request which child sends it
)

// An accountMoved event goes to the ordered endpoint; an [invoicePaid] one to the
// others.
var accountMoved = hooks.EventType[invoice]{Name: "account.moved"}

// plainEndpoints get all of invoicePaid, lineEndpoint those of accountMoved in the
// order of their keys.
var plainEndpoints = []string{"a", "b", "c"}

const lineEndpoint = "line"

// TestFleetChild is one process of a fleet. It delivers until SIGTERM, and
// publishes a batch for each line that it reads.
func TestFleetChild(t *testing.T) {
	var o orders
	if err := json.Unmarshal([]byte(os.Getenv(fleetEnv)), &o); err != nil {
		t.Skip("it is a part of the tests of fleets")
	}
	config, err := pgx.ParseConfig(o.URL)
	if err != nil {
		t.Fatal(err)
	}
	config.Database = o.Database
	h := fleetHooks(t, storeOn(t, poolOn(t, config)), o.Life)
	ctx, stop := signal.NotifyContext(t.Context(), syscall.SIGTERM)
	defer stop()
	var obeying sync.WaitGroup
	obeying.Go(func() { obey(t, h) })
	fmt.Println("ready")
	if err := h.Run(ctx); err != nil {
		t.Errorf("Run = %v; want nil", err)
	}
	obeying.Wait()
}

// obey publishes the batches whose numbers come in, and says when each is stored.
func obey(t *testing.T, h *hooks.Hooks) {
	wanted := bufio.NewScanner(os.Stdin)
	for wanted.Scan() {
		batch, err := strconv.Atoi(wanted.Text())
		if err != nil {
			t.Error(err)
			return
		}
		var evs []hooks.Event
		for _, id := range plainEvents(batch) {
			ev := invoicePaid.New(invoice{batch})
			ev.ID = id
			evs = append(evs, ev)
		}
		if _, err := h.PublishBatch(context.Background(), evs); err != nil {
			t.Errorf("PublishBatch = %v; want nil", err)
			return
		}
		fmt.Println("published", batch)
	}
}

// plainEvents are the ids of a batch.
func plainEvents(batch int) (ids []string) {
	for i := range fleetBatch {
		ids = append(ids, fmt.Sprintf("plain_%d_%d", batch, i))
	}
	return ids
}

// fleetHooks is that of one process, which says in each request who it is.
func fleetHooks(t *testing.T, s *postgres.Store, life int) *hooks.Hooks {
	t.Helper()
	policy := egress.Policy{AllowHTTP: true, AllowLoopback: true}
	h, err := hooks.New(hooks.Config{
		Store:                 s,
		Logger:                silent,
		Egress:                policy,
		Timeout:               fleetTimeout,
		SubscriberConcurrency: fleetSlots,
		Instance:              strconv.Itoa(life),
		Transport: marked{
			egress.NewTransport(egress.Config{Policy: policy, IdlePerHost: 64}),
			strconv.Itoa(life),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Register(invoicePaid, accountMoved); err != nil {
		t.Fatal(err)
	}
	return h
}

// A marked transport adds the life that sends a request.
type marked struct {
	*http.Transport
	life string
}

// RoundTrip is [http.RoundTripper]'s.
func (m marked) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set(lifeHeader, m.life)
	return m.Transport.RoundTrip(r)
}
