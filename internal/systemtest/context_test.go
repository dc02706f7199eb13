package systemtest_test

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

// A nil context is refused by every method that takes one and returns an error, and leaves
// nothing behind that others wait for.
func TestNilContexts(t *testing.T) {
	for name, running := range map[string]bool{"while Run runs": true, "without Run": false} {
		t.Run(name, func(t *testing.T) {
			endIfStuck(t)
			synctest.Test(t, func(t *testing.T) { giveNoContext(t, running) })
		})
	}
}

func giveNoContext(t *testing.T, running bool) {
	store := memory.New()
	a, calls := kit.Counting("a")
	h := kit.Subscribed(t, hooks.Config{Store: store, DrainTimeout: time.Second}, a)
	stop := func() {}
	if running {
		stop = kit.StartInBubble(t, h)
	}
	id := scheduled(t, h, "a")
	refused := 0
	for m := range reflect.TypeFor[*hooks.Hooks]().Methods() {
		if m.Type.NumOut() > 0 && m.Type.NumIn() > 1 && m.Type.In(1) == reflect.TypeFor[context.Context]() {
			refused++
			wantRefused(t, h, m, argumentsFor(id, store))
		}
	}
	var none context.Context
	h.Wake(none)      // it has no error to return
	if refused < 19 { // as many as there were when this was written
		t.Errorf("%d methods take a context; want Publish, Run and all others", refused)
	}
	began := time.Now()
	r := kit.Send(t, h)
	if err := h.Flush(t.Context()); err != nil || calls.Of(r.EventID) != 1 {
		t.Errorf("Flush afterwards = %v after %d calls; want nil after 1", err, calls.Of(r.EventID))
	}
	stop()
	kit.StartInBubble(t, h)()
	if took := time.Since(began); took > 0 {
		t.Errorf("what came afterwards took %v of the clock; want none", took)
	}
}

// wantRefused checks that a method of h refuses a nil context, with its last result.
func wantRefused(t *testing.T, h *hooks.Hooks, m reflect.Method, args arguments) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("%s(nil) panics: %v; want an InvalidError", m.Name, p)
		}
	}()
	results := args.call(t, h, m, nil)
	err, _ := results[len(results)-1].Interface().(error)
	if inv, ok := errors.AsType[*hooks.InvalidError](err); !ok || inv.Field != "Context" {
		t.Errorf("%s(nil) = %v; want an InvalidError for Context", m.Name, err)
	}
	for _, r := range results[:len(results)-1] {
		if !r.IsZero() {
			t.Errorf("%s(nil) = %v with an error; want a zero value", m.Name, r)
		}
	}
}

func TestDeliveryFromNoContext(t *testing.T) {
	var none context.Context
	if d, ok := hooks.DeliveryFrom(none); ok {
		t.Errorf("DeliveryFrom(nil) = %v, true; want false", d)
	}
}
