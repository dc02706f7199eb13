package hooks_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

// A process that only publishes reaches the handlers of another.
func TestPublishOnlyProcessReachesRecordedHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		web, worker := kit.New(t, hooks.Config{Store: store}), kit.New(t, hooks.Config{Store: store})
		var got []string
		if err := worker.Subscribe(hooks.Handler{Name: "audit", Events: []string{"invoice.*"}, Func: func(_ context.Context, ev hooks.Event) error {
			got = append(got, ev.ID)
			return nil
		}}); err != nil {
			t.Fatal(err)
		}
		if r := kit.Send(t, web); r.Deliveries != 0 {
			t.Errorf("before the worker ran: deliveries = %d; want none", r.Deliveries)
		}
		stop := kit.Start(t, worker)
		synctest.Wait()
		time.Sleep(time.Second) // what web knows is at most that old
		r := kit.Send(t, web)
		worker.Wake(t.Context()) // the memory store cannot
		synctest.Wait()
		if r.Deliveries != 1 || !slices.Equal(got, []string{r.EventID}) {
			t.Errorf("receipt = %+v, handler got %v; want it to get that event", r, got)
		}
		stop()
		if r := kit.Send(t, web); r.Deliveries != 1 {
			t.Errorf("while no worker runs: deliveries = %d; want 1, which waits", r.Deliveries)
		}
		// No program has the handler any more: web may forget its record.
		if err := web.DeleteHandler(t.Context(), "audit"); err != nil {
			t.Fatal(err)
		}
		if r := kit.Send(t, web); r.Deliveries != 0 {
			t.Errorf("after DeleteEndpoint: deliveries = %d; want none", r.Deliveries)
		}
	})
}

// An edit by one process is known to another a second later.
func TestEditsReachOtherProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		one, two := kit.New(t, hooks.Config{Store: store}), kit.New(t, hooks.Config{Store: store})
		kit.Send(t, two) // has read that there is nobody
		kit.Put(t, one, hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
		time.Sleep(time.Second)
		if r := kit.Send(t, two); r.Deliveries != 1 {
			t.Errorf("a second later: deliveries = %d; want 1", r.Deliveries)
		}
		if err := one.DeleteEndpoint(t.Context(), "crm"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if r := kit.Send(t, two); r.Deliveries != 0 {
			t.Errorf("a second after DeleteEndpoint: deliveries = %d; want 0", r.Deliveries)
		}
	})
}

// Somebody who read the subscribers before one was deleted, and is told
// afterwards, does not bring it back.
func TestOldNewsDoNotBringBackTheDeleted(t *testing.T) {
	for _, where := range []string{"here", "elsewhere"} {
		t.Run("deleted "+where, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { oldNewsComeLate(t, where == "here") })
		})
	}
}

func oldNewsComeLate(t *testing.T, deletedHere bool) {
	store := &kit.SlowReaderStore{Store: memory.New()}
	here, elsewhere := kit.New(t, hooks.Config{Store: store}), kit.New(t, hooks.Config{Store: store.Store})
	kit.Put(t, elsewhere, hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
	release := store.HoldNext()
	go here.Endpoint(t.Context(), "crm")
	synctest.Wait()
	deleter := elsewhere
	if deletedHere {
		deleter = here
	}
	if err := deleter.DeleteEndpoint(t.Context(), "crm"); err != nil {
		t.Fatal(err)
	}
	if r := kit.Send(t, here); r.Deliveries != 0 {
		t.Errorf("deliveries after DeleteEndpoint = %d; want 0", r.Deliveries)
	}
	release()
	synctest.Wait()
	if _, err := here.Endpoint(t.Context(), "crm"); !errors.Is(err, hooks.ErrNotFound) {
		t.Errorf("Endpoint when the old news have come = %v; want ErrNotFound", err)
	}
	time.Sleep(time.Hour)
	if _, err := here.Endpoint(t.Context(), "crm"); !errors.Is(err, hooks.ErrNotFound) {
		t.Errorf("Endpoint an hour later = %v; want ErrNotFound", err)
	}
}

// What others wrote while this process wrote something is not overlooked.
func TestWritesOfOthersBeforeOnesOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &kit.SlowReaderStore{Store: memory.New()}
		here, elsewhere := kit.New(t, hooks.Config{Store: store}), kit.New(t, hooks.Config{Store: store.Store})
		store.BeforePut = func() { kit.Put(t, elsewhere, hooks.Endpoint{ID: "erp", URL: kit.AnyURL}) }
		kit.Put(t, here, hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
		time.Sleep(time.Second)
		if r := kit.Send(t, here); r.Deliveries != 2 {
			t.Errorf("deliveries = %d; want 2", r.Deliveries)
		}
	})
}

// Who loses the race to write an endpoint writes it again, on top.
func TestPutEndpointAgainstAnother(t *testing.T) {
	store := &kit.SlowReaderStore{Store: memory.New()}
	here, elsewhere := kit.New(t, hooks.Config{Store: store}), kit.New(t, hooks.Config{Store: store.Store})
	var first, second hooks.Endpoint
	store.BeforePut = func() {
		first = kit.Put(t, elsewhere, hooks.Endpoint{ID: "crm", URL: kit.AnyURL, Description: "theirs"})
	}
	second = kit.Put(t, here, hooks.Endpoint{ID: "crm", URL: kit.AnyURL, Description: "ours"})
	if first.Secret.IsZero() || !second.Secret.IsZero() {
		t.Error("want a secret for the first, which made it, and none for the second")
	}
	if e, err := kit.New(t, hooks.Config{Store: store}).Endpoint(t.Context(), "crm"); err != nil || e.Description != "ours" {
		t.Errorf("Endpoint = %+v, %v; want what was written last", e, err)
	}
}

// A handler that another process took for dead is recorded again by Run.
func TestHandlerIsRecordedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		web, worker := kit.New(t, hooks.Config{Store: store}), kit.New(t, hooks.Config{Store: store})
		if err := worker.Subscribe(hooks.Handler{Name: "audit", Events: []string{"**"}, Func: kit.Ignore}); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			stop := kit.Start(t, worker)
			synctest.Wait()
			stop()
			time.Sleep(time.Second)
			if r := kit.Send(t, web); r.Deliveries != 1 {
				t.Errorf("deliveries = %d; want 1", r.Deliveries)
			}
			if err := web.DeleteHandler(t.Context(), "audit"); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A record that cannot be read, of a later version say, stops nothing else.
func TestUnreadableRecordStopsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		for _, key := range []string{"endpoint/broken", "handler/broken", "novelty/x"} {
			if _, err := store.Put(t.Context(), time.Now(), hooks.Record{Key: key, Data: []byte("{")}, nil); err != nil {
				t.Fatal(err)
			}
		}
		h := kit.Subscribed(t, hooks.Config{Store: store, Logger: kit.Silent}, hooks.Handler{
			Name: "a", Func: func(context.Context, hooks.Event) error { return nil },
		})
		r := kit.PlaceOrder(t, h, 1)
		if r.Deliveries != 1 {
			t.Errorf("Publish made %d deliveries; want 1", r.Deliveries)
		}
		if err := h.Flush(t.Context()); err != nil {
			t.Errorf("Flush = %v; want nil", err)
		}
	})
}

// Two programs record the same handler at once: each has its own patterns
// recorded in the end, whoever comes first.
func TestHandlerIsRecordedInSpiteOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &contended{Store: memory.New(), before: func(s hooks.Store) {
			other := hooks.Record{Key: "handler/a", Data: []byte(`{"Events":["other"]}`)}
			if _, err := s.Put(t.Context(), time.Now(), other, nil); err != nil {
				t.Error(err)
			}
		}}
		h := kit.Subscribed(t, hooks.Config{Store: store, Logger: kit.Silent}, hooks.Handler{
			Name: "a", Func: func(context.Context, hooks.Event) error { return nil },
		})
		kit.StartInBubble(t, h)
		records, err := store.Records(t.Context(), 0)
		if err != nil || len(records) != 1 || !strings.Contains(string(records[0].Data), `"**"`) {
			t.Errorf("Records = %v, %v; want one with the pattern **", records, err)
		}
	})
}

// A contended store has somebody else write just before its first Put.
type contended struct {
	hooks.Store
	before func(hooks.Store)
}

func (s *contended) Put(ctx context.Context, now time.Time, r hooks.Record, emit []hooks.Entry) (int64, error) {
	if f := s.before; f != nil {
		s.before = nil
		f(s.Store)
	}
	return s.Store.Put(ctx, now, r, emit)
}

// A page costs the same whether it is one of few endpoints or of many: it makes as many
// allocations, none of them for endpoints that it does not show.
func TestAPageCostsTheSameAmongMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // whose clock stands still: nothing is read anew
		allocations := func(n int) float64 {
			h := kit.New(t, hooks.Config{})
			for i := range n {
				kit.Put(t, h, hooks.Endpoint{ID: "ep_" + strconv.Itoa(i), URL: kit.AnyURL})
			}
			return testing.AllocsPerRun(100, func() {
				if page, _, err := h.Endpoints(t.Context(), hooks.Query{Cursor: "ep_3", Limit: 4}); err != nil || len(page) != 4 {
					t.Fatalf("Endpoints = %d, %v; want 4", len(page), err)
				}
			})
		}
		if few, many := allocations(10), allocations(1000); many != few {
			t.Errorf("a page of 10 endpoints makes %v allocations, one of 1,000 %v; want as many", few, many)
		}
	})
}

// A failingKeeper decrypts nothing while it is broken.
type failingKeeper struct {
	hooks.Keeper
	broken bool
}

func (k *failingKeeper) Decrypt(ciphertext, about []byte) ([]byte, error) {
	if k.broken {
		return nil, errors.New("the key is missing")
	}
	return k.Keeper.Decrypt(ciphertext, about)
}

// A tenant's only endpoint stays on the list when its secrets can be decrypted again.
func TestAnEndpointIsListedWhenItsKeyHasCome(t *testing.T) {
	store := memory.New()
	k := &failingKeeper{Keeper: kit.NewKeeper(t, "k1")}
	kit.Put(t, kit.New(t, hooks.Config{Store: store, Logger: kit.Silent, Keeper: k}), hooks.Endpoint{ID: "crm", Tenant: "acme", URL: kit.AnyURL})
	k.broken = true
	h := kit.New(t, hooks.Config{Store: store, Logger: kit.Silent, Keeper: k})
	for _, k.broken = range []bool{true, false} {
		if _, err := h.Health(t.Context()); err != nil {
			t.Fatal(err)
		}
		if page, _, err := h.Tenant("acme").Endpoints(t.Context(), hooks.Query{}); len(page) != 1 || err != nil {
			t.Errorf("with a Keeper that is broken (%t), the list is %v, %v; want crm", k.broken, page, err)
		}
	}
}
