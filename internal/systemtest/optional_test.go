package systemtest_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
	"example.com/hooks/store/sqlite"
)

// A wrapper is a store around another one, such as one that counts calls.
type wrapper struct{ hooks.Store }

func (w wrapper) Unwrap() hooks.Store { return w.Store }

// wrapped returns s in two wrappers.
func wrapped(s hooks.Store) hooks.Store { return wrapper{wrapper{s}} }

func TestAWrappedFileHasOneDispatcher(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hooks.db")
	open := func() (*hooks.Hooks, <-chan string) {
		s, err := sqlite.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		received := make(chan string, 9)
		return kit.Subscribed(t, hooks.Config{Store: wrapped(s)}, hooks.Handler{
			Name: "a",
			Func: func(_ context.Context, ev hooks.Event) error {
				received <- ev.ID
				return nil
			},
		}), received
	}
	first, received := open()
	kit.Start(t, first)
	kit.PlaceOrder(t, first, 1)
	kit.Soon(t, received)
	second, _ := open()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if err := second.Run(ctx); !errors.Is(err, hooks.ErrLocked) {
		t.Errorf("Run of a second dispatcher = %v; want ErrLocked", err)
	}
}

// A ClockedStore fails the test if it is given another time than its own.
func TestAWrappedClockIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := kit.NewClockedStore(t, 3*time.Hour)
		h := kit.Dispatching(t, hooks.Config{Store: wrapped(s)})
		kit.PlaceOrder(t, h, 1)
		time.Sleep(time.Second)
		if s.Asks() == 0 {
			t.Error("the clock of a wrapped store was not read; want it read")
		}
	})
}

// A remarkable store has what a memory store has not.
type remarkable struct {
	hooks.Store
	waits, wakes chan struct{}
}

func (remarkable) Ephemeral() {}

func (remarkable) Weaknesses(context.Context) ([]string, error) { return []string{"It forgets."}, nil }

func (r remarkable) Wait(ctx context.Context) error {
	select {
	case r.waits <- struct{}{}:
	default:
	}
	<-ctx.Done()
	return ctx.Err()
}

func (r remarkable) Wake(context.Context) error {
	r.wakes <- struct{}{}
	return nil
}

func TestAWrappedStoreWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := remarkable{memory.New(), make(chan struct{}, 1), make(chan struct{}, 1)}
		h := kit.Subscribed(t, hooks.Config{Store: wrapped(s)})
		h.Wake(t.Context())
		if len(s.wakes) != 1 {
			t.Error("Wake did not call the Wake of a wrapped store; want it called")
		}
		kit.StartInBubble(t, h)
		if len(s.waits) != 1 {
			t.Error("Run did not call the Wait of a wrapped store; want it called")
		}
	})
}

func TestAWrappedStoreSaysWhatItIs(t *testing.T) {
	h := kit.New(t, hooks.Config{Store: wrapped(remarkable{Store: memory.New()})})
	kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL, Events: []string{"**"}})
	list, err := h.Health(t.Context())
	if err != nil || len(list) != 1 || list[0].Code != hooks.WarnStoreWeakness || list[0].Text != "It forgets." {
		t.Errorf("Health = %v, %v; want the weakness alone", list, err)
	}
}

// An endless store returns itself as what it wraps.
type endless struct{ hooks.Store }

func (e endless) Unwrap() hooks.Store { return e }

func TestAStoreThatWrapsItselfHoldsNothingUp(t *testing.T) {
	h := kit.New(t, hooks.Config{Store: endless{memory.New()}})
	h.Wake(t.Context())
	kit.Publish(t, h, kit.InvoicePaid.New(kit.Invoice{Number: 1}))
}
