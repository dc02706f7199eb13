package systemtest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

// A blind store cannot be read while it fails.
type blind struct {
	*memory.Store
	fails atomic.Bool
}

func (s *blind) Backlog(ctx context.Context) ([]hooks.BacklogLane, error) {
	if s.fails.Load() {
		return nil, errors.New("fails")
	}
	return s.Store.Backlog(ctx)
}

// A badKeeper is a KeyRing whose methods can be replaced. What they encrypt is the
// same backwards.
type badKeeper struct {
	encrypt, decrypt func() ([]byte, error) // nil: work
	current          func() bool
	broken           atomic.Bool // decrypt counts
}

func reversed(b []byte) []byte {
	r := bytes.Clone(b)
	for i, c := range b {
		r[len(b)-1-i] = c
	}
	return r
}

func (k *badKeeper) Encrypt(plain, _ []byte) ([]byte, error) {
	if k.encrypt != nil {
		return k.encrypt()
	}
	return reversed(plain), nil
}

func (k *badKeeper) Decrypt(sealed, _ []byte) ([]byte, error) {
	if k.broken.Load() {
		return k.decrypt()
	}
	return reversed(sealed), nil
}

func (k *badKeeper) Current([]byte) bool { return k.current == nil || k.current() }

var badKeys = map[string]func() ([]byte, error){
	"panics":          func() ([]byte, error) { panic("keeper") },
	"exits":           func() ([]byte, error) { runtime.Goexit(); return nil, nil },
	"returns nothing": func() ([]byte, error) { return nil, nil },
}

// A Keeper that cannot encrypt fails the call that needs it, and nothing is stored.
func TestKeepersThatCannotEncrypt(t *testing.T) {
	for name, ill := range badKeys {
		t.Run(name, func(t *testing.T) {
			store := memory.New()
			h := kit.New(t, hooks.Config{Store: store, Logger: kit.Silent, Keeper: &badKeeper{encrypt: ill}})
			_, err := h.PutEndpoint(t.Context(), hooks.Endpoint{ID: "crm", URL: kit.AnyURL, Events: []string{"**"}})
			kit.WantInvalid(t, err, "Config.Keeper", nil, "Encrypt")
			if _, err := h.Endpoint(t.Context(), "crm"); !errors.Is(err, hooks.ErrNotFound) {
				t.Errorf("Endpoint = %v; want ErrNotFound", err)
			}
		})
	}
}

// A Keeper that cannot decrypt leaves the endpoint waiting, and is tried again.
func TestKeepersThatCannotDecrypt(t *testing.T) {
	for name, ill := range badKeys {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := memory.New()
				kit.Put(t, kit.New(t, hooks.Config{Store: store, Keeper: &badKeeper{}}), hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
				k := &badKeeper{decrypt: ill, current: func() bool { panic("current") }}
				k.broken.Store(true)
				cfg := hooks.Config{
					Store: store, Logger: kit.Silent, Keeper: k,
					Transport: kit.Exchange(func(*http.Request) (*http.Response, error) { return kit.Answer(200, nil, ""), nil }),
				}
				finished := kit.Traced(&cfg)
				h := kit.New(t, cfg)
				if _, err := h.RotateSecret(t.Context(), "crm", hooks.Rotation{}); !errors.Is(err, hooks.ErrUndecryptable) {
					t.Errorf("RotateSecret = %v; want ErrSealed", err)
				}
				kit.StartInBubble(t, h)
				kit.Send(t, h)
				time.Sleep(time.Minute)
				k.broken.Store(false)
				if o := <-finished; o.Status != hooks.Succeeded || o.Attempts != 1 {
					t.Errorf("it is %v after %d attempts; want succeeded after 1", o.Status, o.Attempts)
				}
				if list, err := h.Health(t.Context()); err != nil || len(list) != 1 || list[0].Code != hooks.WarnNotResealed {
					t.Errorf("Health = %v, %v; want what the Keeper cannot judge to be resealed", list, err)
				}
			})
		})
	}
}

// A badHandler of logs does something when it is called.
type badHandler struct{ ill func() }

func (h badHandler) Enabled(context.Context, slog.Level) bool { h.ill(); return true }

func (h badHandler) Handle(context.Context, slog.Record) error { h.ill(); return nil }

func (h badHandler) WithAttrs([]slog.Attr) slog.Handler { h.ill(); return nil }

func (h badHandler) WithGroup(string) slog.Handler { h.ill(); return nil }

// A log handler that fails harms nothing, wherever something is logged.
func TestBadLogHandlersHarmNothing(t *testing.T) {
	for name, ill := range map[string]func(){"panics": func() { panic("log") }, "exits": runtime.Goexit} {
		for which, handler := range map[string]slog.Handler{
			"Enabled": badHandler{ill},
			"Handle":  handles{slog.DiscardHandler, ill},
		} {
			t.Run(which+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store := &blind{Store: memory.New()}
					bad := hooks.Handler{Name: "bad", Func: func(context.Context, hooks.Event) error { panic("handler") }}
					good, calls := kit.Counting("good")
					h := kit.Subscribed(t, hooks.Config{Store: store, Logger: slog.New(handler), Concurrency: 2}, bad, good)
					stop := kit.StartInBubble(t, h)
					store.fails.Store(true)
					time.Sleep(time.Minute)
					store.fails.Store(false)
					time.Sleep(time.Minute)
					r := kit.PlaceOrder(t, h, 1)
					time.Sleep(time.Second)
					if d := kit.Delivery(t, h, r.EventID, "bad"); d.Status != hooks.Retrying || d.Error != "panic" {
						t.Errorf("it is %v (%s); want retrying (panic)", d.Status, d.Error)
					}
					if calls.Of(r.EventID) != 1 {
						t.Errorf("the other was called %d times; want once", calls.Of(r.EventID))
					}
					stop()
				})
			})
		}
	}
}

// handles is a log handler of which only Handle does something.
type handles struct {
	slog.Handler
	ill func()
}

func (h handles) Enabled(context.Context, slog.Level) bool { return true }

func (h handles) Handle(context.Context, slog.Record) error { h.ill(); return nil }

// A Keeper that panics with what it was given does not tell it to anybody.
func TestKeepersThatPanicWithASecret(t *testing.T) {
	h := kit.New(t, hooks.Config{Keeper: tellingKeeper{}, Logger: kit.Silent})
	_, err := h.PutEndpoint(t.Context(), hooks.Endpoint{
		ID: "a", URL: kit.AnyURL, Events: []string{"**"}, Header: hooks.Header{"X-Key": "topsecret"},
	})
	for e := err; e != nil; e = errors.Unwrap(e) {
		if text := fmt.Sprintf("%v %+v", e, e); strings.Contains(text, "topsecret") || strings.Contains(text, "whsec_") {
			t.Errorf("PutEndpoint = %s; want no secret", text)
		}
	}
	if err == nil {
		t.Error("PutEndpoint = nil; want an error")
	}
}

type tellingKeeper struct{}

func (tellingKeeper) Encrypt(plain, _ []byte) ([]byte, error) {
	panic(fmt.Sprintf("cannot encrypt %q", plain))
}

func (tellingKeeper) Decrypt([]byte, []byte) ([]byte, error) { panic("no") }
