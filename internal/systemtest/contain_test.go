package systemtest_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/retry"
	"example.com/hooks/signer"
	"example.com/hooks/store/memory"
)

// A badError is an error that does something in its methods. All of its fields may be
// nil; so may the pointer, and then every method panics.
type badError struct {
	text   func() string
	is     func(error) bool
	as     func(any) bool
	unwrap func() error
}

func (e *badError) Error() string {
	if e.text != nil {
		return e.text()
	}
	return "bad"
}

func (e *badError) Is(target error) bool { return e.is != nil && e.is(target) }

func (e *badError) As(target any) bool { return e.as != nil && e.as(target) }

func (e *badError) Unwrap() error {
	if e.unwrap != nil {
		return e.unwrap()
	}
	return nil
}

// typedNil returns the typed nil that a careless function returns as its error.
func typedNil() *badError { return nil }

func exits[T any]() (v T) {
	runtime.Goexit()
	return v
}

// What a handler returns harms its own delivery only, which is charged like any other
// failure, and says what happened.
func TestErrorsOfHandlersHarmTheirOwnDeliveryOnly(t *testing.T) {
	circle := &badError{}
	circle.unwrap = func() error { return errors.Join(errors.New("a"), circle) }
	blocked := make(chan struct{})
	for name, c := range map[string]struct {
		err   error
		class string
		says  string
	}{
		"typed nil":               {typedNil(), "panic", "nil pointer"},
		"Permanent(typed nil)":    {hooks.Permanent(typedNil()), "panic", "nil pointer"},
		"RetryAfter(typed nil)":   {hooks.RetryAfter(typedNil(), time.Hour), "panic", "nil pointer"},
		"Join of a typed nil":     {errors.Join(typedNil()), "panic", "nil pointer"},
		"Error panics":            {&badError{text: func() string { panic("at the disco") }}, "panic", "panic: at the disco\n"},
		"Error panics with worse": {&badError{text: func() string { panic(&badError{text: func() string { panic(typedNil()) }}) }}, "panic", "badError"},
		"its panic exits":         {&badError{text: func() string { panic(&badError{text: exits[string]}) }}, "panic", "badError"},
		"Is panics":               {&badError{is: func(error) bool { panic("is") }}, "panic", "panic: is\n"},
		"As panics":               {&badError{as: func(any) bool { panic("as") }}, "panic", "panic: as\n"},
		"Unwrap panics":           {&badError{unwrap: func() error { panic("unwrap") }}, "panic", "panic: unwrap\n"},
		"Error exits":             {&badError{text: exits[string]}, "goexit", "runtime.Goexit"},
		"Is exits":                {&badError{is: func(error) bool { return exits[bool]() }}, "goexit", "runtime.Goexit"},
		"As exits":                {&badError{as: func(any) bool { return exits[bool]() }}, "goexit", "runtime.Goexit"},
		"Unwrap exits":            {&badError{unwrap: exits[error]}, "goexit", "runtime.Goexit"},
		"Error blocks":            {&badError{text: func() string { <-blocked; return "" }}, "timeout", ""},
		"Unwrap blocks":           {&badError{unwrap: func() error { <-blocked; return nil }}, "timeout", ""},
		"Unwrap goes in a circle": {circle, "error", "bad"},
		"a huge text":             {errors.New(strings.Repeat("x", 32<<20)), "error", "xxx"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				blocked = make(chan struct{})
				innocent, calls := kit.Counting("innocent")
				cfg := hooks.Config{Logger: kit.Silent, Retry: retry.Schedule{time.Minute}, Timeout: time.Second, Concurrency: 2}
				h := kit.Subscribed(t, cfg, innocent, hooks.Handler{Name: "bad", Concurrency: 1, Func: func(context.Context, hooks.Event) error {
					return c.err
				}})
				stop := kit.StartInBubble(t, h)
				first, second := kit.PlaceOrder(t, h, 1), kit.PlaceOrder(t, h, 2) // in the same slot
				time.Sleep(5 * time.Second)
				for _, r := range []hooks.Receipt{first, second} {
					wantFault(t, h, r.EventID, c.class, c.says)
					if calls.Of(r.EventID) != 1 {
						t.Errorf("the innocent handler was called %d times; want once", calls.Of(r.EventID))
					}
				}
				stop()
				close(blocked)
			})
		})
	}
}

// wantFault checks that the delivery to "bad" was charged once, with a class of failure
// and an explanation, and that the one beside it succeeded.
func wantFault(t *testing.T, h *hooks.Hooks, event, class, says string) {
	t.Helper()
	d := kit.Delivery(t, h, event, "bad")
	if d.Status != hooks.Retrying || d.Attempts != 1 || d.Error != class {
		t.Fatalf("it is %v (%s) after %d attempts; want retrying (%s) after 1", d.Status, d.Error, d.Attempts, class)
	}
	list, err := h.Attempts(t.Context(), d.DeliveryID)
	if err != nil || len(list) != 1 || list[0].Error != class || len(list[0].Body) > 4<<10 || !strings.Contains(string(list[0].Body), says) {
		t.Errorf("attempts = %+v, %v; want one, %s, that says %q", list, err, class, says)
	}
	if d := kit.Delivery(t, h, event, "innocent"); d.Status != hooks.Succeeded || d.Attempts != 1 {
		t.Errorf("beside it, %v is %v after %d attempts; want succeeded after 1", d.DeliveryID, d.Status, d.Attempts)
	}
}

// A badBody is the body of a response.
type badBody struct{ read, end func() }

func (b badBody) Read([]byte) (int, error) { b.read(); return 0, io.EOF }

func (b badBody) Close() error { b.end(); return nil }

// The application's transport is contained like a handler.
func TestTransportsHarmTheirOwnDeliveryOnly(t *testing.T) {
	type outcome struct {
		status hooks.Status
		class  string
	}
	fine := func() {}
	with := func(b io.ReadCloser) func() (*http.Response, error) {
		return func() (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: b}, nil
		}
	}
	circle := &badError{}
	circle.unwrap = func() error { return circle }
	var blocked chan struct{}
	for name, c := range map[string]struct {
		trip func() (*http.Response, error)
		want outcome
	}{
		"panics":                  {func() (*http.Response, error) { panic("token-1234") }, outcome{status: hooks.Failed, class: "panic"}},
		"exits":                   {func() (*http.Response, error) { runtime.Goexit(); return nil, nil }, outcome{status: hooks.Failed, class: "goexit"}},
		"blocks":                  {func() (*http.Response, error) { <-blocked; return nil, nil }, outcome{status: hooks.Failed, class: "timeout"}},
		"returns nothing":         {func() (*http.Response, error) { return nil, nil }, outcome{status: hooks.Failed, class: "protocol"}},
		"returns a typed nil":     {func() (*http.Response, error) { return nil, typedNil() }, outcome{status: hooks.Failed, class: "panic"}},
		"Unwrap goes in a circle": {func() (*http.Response, error) { return nil, circle }, outcome{status: hooks.Failed, class: "protocol"}},
		"no body":                 {with(nil), outcome{status: hooks.Succeeded, class: ""}},
		"Read panics":             {with(badBody{func() { panic("read") }, fine}), outcome{status: hooks.Failed, class: "panic"}},
		"Read exits":              {with(badBody{runtime.Goexit, fine}), outcome{status: hooks.Failed, class: "goexit"}},
		"Read blocks":             {with(badBody{func() { <-blocked }, fine}), outcome{status: hooks.Failed, class: "timeout"}},
		"Close panics":            {with(badBody{fine, func() { panic("close") }}), outcome{status: hooks.Failed, class: "panic"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				blocked = make(chan struct{})
				var log strings.Builder
				cfg := hooks.Config{
					Timeout: time.Second, Concurrency: 1, Logger: slog.New(slog.NewTextHandler(&log, nil)),
					Transport: kit.Exchange(func(*http.Request) (*http.Response, error) { return c.trip() }),
				}
				o := kit.AttemptOnce(t, cfg, hooks.Endpoint{URL: "https://example.com/", Secret: signer.NewSecret()})
				close(blocked)
				if got := (outcome{status: o.Status, class: o.Error}); got != c.want || o.Attempts != 1 {
					t.Errorf("delivery is %v after %d attempts; want %v after 1", got, o.Attempts, c.want)
				}
				if strings.Contains(kit.Kept(o)+log.String(), "token-1234") || c.want.class == "panic" && !strings.Contains(log.String(), "panic") {
					t.Errorf("kept %s and logged %s; want the panic logged, without its value", kit.Kept(o), log.String())
				}
			})
		})
	}
}

// A badPolicy does something when it is asked.
type badPolicy struct {
	next     func(int) (time.Duration, bool)
	validate func() error
}

func (p *badPolicy) Next(n int) (time.Duration, bool) { return p.next(n) }

func (p *badPolicy) Validate() error { return p.validate() }

// A policy that fails is replaced by the standard schedule, and absurd waits end.
func TestBadPoliciesLoseNothing(t *testing.T) {
	standard, _ := retry.Standard().Next(1)
	for name, c := range map[string]struct {
		next func(int) (time.Duration, bool)
		wait time.Duration // at least
	}{
		"panics":        {func(int) (time.Duration, bool) { panic("next") }, standard},
		"exits":         {func(int) (time.Duration, bool) { runtime.Goexit(); return 0, false }, standard},
		"waits forever": {func(int) (time.Duration, bool) { return 1<<63 - 1, true }, 200 * 365 * 24 * time.Hour},
		"waits below 0": {func(n int) (time.Duration, bool) { return -1 << 63, n < 3 }, 0},
	} {
		p := &badPolicy{c.next, func() error { return nil }}
		for where, retry := range map[string]struct{ config, handler retry.Policy }{"Config": {p, nil}, "Handler": {nil, p}} {
			t.Run(name+" in "+where, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					bad := hooks.Handler{Name: "bad", Retry: retry.handler, Func: func(context.Context, hooks.Event) error { return errors.New("no") }}
					h := kit.Dispatching(t, hooks.Config{Logger: kit.Silent, Retry: retry.config}, bad)
					r := kit.PlaceOrder(t, h, 1)
					synctest.Wait()
					d := kit.Delivery(t, h, r.EventID, "bad")
					if c.wait > 0 && (d.Status != hooks.Retrying || d.Attempts != 1 || time.Until(d.Due) < c.wait) {
						t.Errorf("it is %v after %d attempts, due %v; want retrying after 1, in %v", d.Status, d.Attempts, d.Due, c.wait)
					}
					if c.wait == 0 && (d.Status != hooks.Failed || d.Attempts != 3) {
						t.Errorf("it is %v after %d attempts; want failed after 3, at once", d.Status, d.Attempts)
					}
				})
			})
		}
	}
}

func TestPoliciesThatCannotBeChecked(t *testing.T) {
	for name, validate := range map[string]func() error{"panics": func() error { panic("validate") }, "exits": exits[error]} {
		p := &badPolicy{nil, validate}
		_, err := hooks.New(hooks.Config{Store: memory.New(), Retry: p})
		kit.WantInvalid(t, err, "Config.Retry", nil, "did not return")
		s := hooks.Handler{Name: name, Events: []string{"**"}, Retry: p, Func: func(context.Context, hooks.Event) error { return nil }}
		kit.WantInvalid(t, kit.New(t, hooks.Config{}).Subscribe(s), "Handler.Retry", nil, "did not return")
	}
}

// A trace that fails harms nothing, whichever function it is.
func TestBadTracesHarmNothing(t *testing.T) {
	for name, ill := range map[string]func(){"panics": func() { panic("trace") }, "exits": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log strings.Builder
				store := &blind{Store: memory.New()}
				good, calls := kit.Counting("good")
				h := kit.Subscribed(t, hooks.Config{
					Store: store, Logger: slog.New(slog.NewTextHandler(&log, nil)),
					Trace: hooks.Trace{
						Publishing: func(_ context.Context, ev *hooks.Event) { ev.Metadata = map[string]string{"half": "done"}; ill() },
						Published:  func(context.Context, hooks.Event, hooks.Receipt) { ill() },
						Started:    func(ctx context.Context, _ hooks.Delivery) context.Context { ill(); return ctx },
						Finished:   func(context.Context, hooks.Delivery, hooks.Attempt) { ill() },
						Ended:      func(context.Context, hooks.Delivery) { ill() },
						StoreError: func(context.Context, error, time.Duration) { ill() },
					},
				}, good)
				stop := kit.StartInBubble(t, h)
				ev := kit.OrderPlaced.New(kit.Order{ID: 1})
				ev.DeliverAt, ev.ExpiresAt = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
				ended, err := h.Publish(t.Context(), ev)
				if err != nil {
					t.Fatal(err)
				}
				store.fails.Store(true)
				time.Sleep(3 * time.Hour)
				store.fails.Store(false)
				time.Sleep(time.Minute)
				r := kit.PlaceOrder(t, h, 2)
				time.Sleep(time.Minute)
				if d := kit.Delivery(t, h, r.EventID, "good"); d.Status != hooks.Succeeded || calls.Of(r.EventID) != 1 {
					t.Errorf("it is %v after %d calls; want succeeded after 1", d.Status, calls.Of(r.EventID))
				}
				if d := kit.Delivery(t, h, ended.EventID, "good"); d.Reason != hooks.ReasonExpired {
					t.Errorf("the other is %v (%s); want it expired", d.Status, d.Reason)
				}
				stop()
				for _, f := range []string{"Publishing", "Published", "Started", "Finished", "Ended", "StoreError"} {
					if !strings.Contains(log.String(), "Trace."+f) {
						t.Errorf("nothing is logged of Trace.%s; want it to be", f)
					}
				}
			})
		})
	}
}
