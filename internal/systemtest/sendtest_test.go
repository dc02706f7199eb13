package systemtest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/signer"
	"example.com/hooks/store/memory"
)

var (
	demo    = hooks.EventType[kit.Invoice]{Name: "demo.sent", Example: kit.Invoice{Number: 42}}
	secrets = hooks.EventType[kit.Invoice]{Name: "audit.entry", Private: true, Example: kit.Invoice{Number: 1}}
)

// newTester returns a Hooks that knows demo and secrets, and has the endpoint "crm".
func newTester(t *testing.T, cfg hooks.Config) (*hooks.Hooks, hooks.Endpoint) {
	t.Helper()
	h := kit.New(t, cfg)
	if err := h.Register(demo, secrets); err != nil {
		t.Fatal(err)
	}
	return h, kit.Put(t, h, hooks.Endpoint{ID: "crm", Tenant: "acme", URL: kit.AnyURL + "?token=t", Timeout: time.Minute})
}

// answering returns a transport that answers with a status, and the requests that came.
func answering(t *testing.T, code int) (http.RoundTripper, <-chan wire) {
	sent := make(chan wire, 64)
	return kit.Exchange(func(r *http.Request) (*http.Response, error) {
		sent <- wireOf(t, r)
		return kit.Answer(code, http.Header{"X-Answer": {"yes"}}, "thanks"), nil
	}), sent
}

// A test is sent like every other request, and leaves nothing behind.
func TestSendTestSendsOnceAndStoresNothing(t *testing.T) {
	store := memory.New()
	transport, sent := answering(t, 202)
	told := func(what string) { t.Errorf("Trace.%s was told of a test", what) }
	h, e := newTester(t, hooks.Config{
		Store: store, Transport: transport, Instance: "here",
		Trace: hooks.Trace{
			Publishing: func(context.Context, *hooks.Event) { told("Publishing") },
			Published:  func(context.Context, hooks.Event, hooks.Receipt) { told("Published") },
			Started:    func(context.Context, hooks.Delivery) context.Context { told("Started"); return nil },
			Finished:   func(context.Context, hooks.Delivery, hooks.Attempt) { told("Finished") },
			Ended:      func(context.Context, hooks.Delivery) { told("Ended") },
		},
	})
	began := time.Now().Truncate(time.Microsecond)
	a, err := h.SendTest(t.Context(), "crm", hooks.Event{Type: "demo.sent", Time: time.Unix(0, 0)})
	if err != nil || a.Error != "" || a.Code != 202 || string(a.Body) != "thanks" || a.Header.Get("X-Answer") != "yes" ||
		a.URL != kit.AnyURL || a.Instance != "here" || a.Start.Before(began) || a.Run != 1 || a.Number != 1 {
		t.Errorf("SendTest = %+v, %v; want a success with status 202", a, err)
	}
	r := kit.Soon(t, sent)
	const body = `{"type":"demo.sent","timestamp":"1970-01-01T00:00:00.000Z","data":{"number":42}}`
	if !strings.HasSuffix(r.bytes, "\r\n\r\n"+body) || r.url != e.URL || !strings.HasPrefix(r.header.Get(signer.HeaderID), "test_") {
		t.Errorf("the request was for %s:\n%s\nwant %s, and an id that begins with test_", r.url, r.bytes, body)
	}
	if err := (signer.Verifier{Secrets: []signer.Secret{e.Secret}}).Verify(r.header, []byte(body), time.Now()); err != nil {
		t.Errorf("Verify = %v; want nil", err)
	}
	if n := len(kit.Events(t, h)) + len(kit.Deliveries(t, h)); n > 0 || len(sent) > 0 {
		t.Errorf("%d events and deliveries are stored, and %d more requests were sent; want none", n, len(sent))
	}
}

// What the caller gives is what is sent.
func TestSendTestSendsTheEventAsGiven(t *testing.T) {
	transport, sent := answering(t, 200)
	h, _ := newTester(t, hooks.Config{Transport: transport})
	ev := kit.InvoicePaid.New(kit.Invoice{Number: 7})
	ev.ID, ev.Tenant, ev.OrderingKey, ev.IdempotencyKey = "evt_mine", "acme", "k", "k"
	ev.DeliverAt, ev.ExpiresAt = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	for range 2 { // neither key counts
		if a, err := h.SendTest(t.Context(), "crm", ev); err != nil || a.Error != "" {
			t.Fatalf("SendTest = %+v, %v; want a success", a, err)
		}
		if r := kit.Soon(t, sent); r.header.Get(signer.HeaderID) != "evt_mine" || !strings.Contains(r.bytes, `"data":{"number":7}}`) {
			t.Errorf("the request was\n%s\nwant evt_mine and its data", r.bytes)
		}
	}
}

// Whatever the transport does is in the attempt, and the next test is made all the same.
// Nothing is counted, so that no subscriber fails.
func TestSendTestReturnsWhatCameOfTheAttempt(t *testing.T) {
	var blocked chan struct{}
	answer := func(code int, h http.Header) func(*http.Request) (*http.Response, error) {
		return func(*http.Request) (*http.Response, error) { return kit.Answer(code, h, "sorry"), nil }
	}
	for name, c := range map[string]struct {
		trip func(*http.Request) (*http.Response, error)
		want hooks.Attempt
	}{
		"500":       {answer(500, nil), hooks.Attempt{Error: "status", Code: 500}},
		"redirect":  {answer(302, http.Header{"Location": {"/"}}), hooks.Attempt{Error: "status", Code: 302}},
		"410":       {answer(410, nil), hooks.Attempt{Error: "status", Code: 410}},
		"503":       {answer(503, http.Header{"Retry-After": {"7"}}), hooks.Attempt{Error: "status", Code: 503, RetryAfter: 7 * time.Second}},
		"refuses":   {func(*http.Request) (*http.Response, error) { return nil, syscall.ECONNREFUSED }, hooks.Attempt{Error: "connection refused"}},
		"no answer": {func(*http.Request) (*http.Response, error) { return nil, nil }, hooks.Attempt{Error: "protocol"}},
		"panics":    {func(*http.Request) (*http.Response, error) { panic("token-1234") }, hooks.Attempt{Error: "panic"}},
		"exits":     {func(*http.Request) (*http.Response, error) { runtime.Goexit(); return nil, nil }, hooks.Attempt{Error: "goexit"}},
		"hangs": {func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}, hooks.Attempt{Error: "timeout", Took: time.Minute}},
		"hangs for ever": {func(*http.Request) (*http.Response, error) {
			<-blocked
			return nil, nil
		}, hooks.Attempt{Error: "timeout", Took: time.Minute + 50*time.Millisecond}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				blocked = make(chan struct{})
				defer close(blocked)
				var log strings.Builder
				h, _ := newTester(t, hooks.Config{Transport: kit.Exchange(c.trip), Logger: slog.New(slog.NewTextHandler(&log, nil))})
				for range 4 {
					a, err := h.SendTest(t.Context(), "crm", hooks.Event{Type: "demo.sent"})
					if err != nil || a.Error != c.want.Error || a.Code != c.want.Code || a.RetryAfter != c.want.RetryAfter || a.Took != c.want.Took {
						t.Errorf("SendTest = %+v, %v; want %+v", a, err, c.want)
					}
					if strings.Contains(fmt.Sprintf("%+v%s", a, &log), "token-1234") {
						t.Errorf("SendTest = %+v, and the log is %s; want no value of a panic", a, &log)
					}
				}
				if ws, err := h.Health(t.Context()); err != nil || len(ws) > 0 {
					t.Errorf("Health = %v, %v; want no warning", ws, err)
				}
			})
		})
	}
}

func TestTestsThatAreRefused(t *testing.T) {
	store := memory.New()
	transport, sent := answering(t, 200)
	h, _ := newTester(t, hooks.Config{Store: store, Transport: transport, Keeper: kit.NewKeeper(t, "k1")})
	if err := h.Subscribe(hooks.Handler{Name: "audit", Func: kit.Ignore, Events: []string{"**"}}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		ev       hooks.Event
		field    string
		sentinel error
		advice   string
	}{
		{hooks.Event{Type: "order.placed"}, "Event.Type", hooks.ErrUnknownType, "Register"},
		{hooks.Event{Type: "order.placed", Data: []byte("1")}, "Event.Type", hooks.ErrUnknownType, "Register"},
		{hooks.Event{Type: "audit.entry"}, "Event.Type", nil, "private"},
		{hooks.Event{Type: "invoice.paid"}, "Event.Data", nil, "no Example"},
		{hooks.Event{Type: "invoice.paid", Data: []byte("{")}, "Event.Data", nil, "JSON"},
		{hooks.EventType[func()]{Name: "invoice.paid"}.New(nil), "Event.Data", nil, "encode"},
		{hooks.Event{Type: "demo.sent", ID: "a.b"}, "Event.ID", nil, "letters"},
		{hooks.Event{Type: "demo.sent", Tenant: "zeta"}, "Event.Tenant", nil, "leave it empty"},
	} {
		a, err := h.SendTest(t.Context(), "crm", c.ev)
		kit.WantInvalid(t, err, c.field, c.sentinel, c.advice)
		wantNoAttempt(t, a)
	}
	for _, id := range []string{"", "nobody", "audit"} {
		a, err := h.SendTest(t.Context(), id, hooks.Event{Type: "demo.sent"})
		if !errors.Is(err, hooks.ErrNotFound) {
			t.Errorf("SendTest to %q = %v; want ErrNotFound", id, err)
		}
		wantNoAttempt(t, a)
	}
	without := kit.New(t, hooks.Config{Store: store, Logger: kit.Silent, Transport: transport})
	a, err := without.SendTest(t.Context(), "crm", kit.InvoicePaid.New(kit.Invoice{}))
	if !errors.Is(err, hooks.ErrUndecryptable) {
		t.Errorf("SendTest without the key = %v; want ErrUndecryptable", err)
	}
	wantNoAttempt(t, a)
	if len(sent) > 0 {
		t.Errorf("%d requests were sent; want none", len(sent))
	}
}

func wantNoAttempt(t *testing.T, a hooks.Attempt) {
	t.Helper()
	if s := fmt.Sprintf("%+v", a); s != fmt.Sprintf("%+v", hooks.Attempt{}) {
		t.Errorf("SendTest = %s with an error; want none", s)
	}
}

// One endpoint has one test at a time, and others need not wait for it.
func TestOneTestAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		h, _ := newTester(t, hooks.Config{Transport: kit.Exchange(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == "/hooks" {
				<-release
			}
			return kit.Answer(200, nil, ""), nil
		})})
		kit.Put(t, h, hooks.Endpoint{ID: "other", URL: "https://example.com/other"})
		var running sync.WaitGroup
		running.Go(func() {
			if a, err := h.SendTest(t.Context(), "crm", hooks.Event{Type: "demo.sent"}); err != nil || a.Code != 200 {
				t.Errorf("SendTest = %+v, %v; want a success", a, err)
			}
		})
		synctest.Wait()
		_, err := h.SendTest(t.Context(), "crm", hooks.Event{Type: "demo.sent"})
		kit.WantInvalid(t, err, "Endpoint", hooks.ErrConflict, "under way")
		if a, err := h.SendTest(t.Context(), "other", hooks.Event{Type: "demo.sent"}); err != nil || a.Code != 200 {
			t.Errorf("SendTest to another endpoint = %+v, %v; want a success", a, err)
		}
		close(release)
		running.Wait()
		if a, err := h.SendTest(t.Context(), "crm", hooks.Event{Type: "demo.sent"}); err != nil || a.Code != 200 {
			t.Errorf("SendTest afterwards = %+v, %v; want a success", a, err)
		}
	})
}

func TestTestsEndWithTheirContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent atomic.Int32
		h, _ := newTester(t, hooks.Config{Transport: kit.Exchange(func(r *http.Request) (*http.Response, error) {
			sent.Add(1)
			<-r.Context().Done()
			return nil, r.Context().Err()
		})})
		over, cancel := context.WithCancel(t.Context())
		cancel()
		a, err := h.SendTest(over, "crm", hooks.Event{Type: "demo.sent"})
		if !errors.Is(err, context.Canceled) || sent.Load() > 0 {
			t.Errorf("SendTest with a context that is over = %v after %d requests; want Canceled and none", err, sent.Load())
		}
		wantNoAttempt(t, a)
		brief, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		a, err = h.SendTest(brief, "crm", hooks.Event{Type: "demo.sent"})
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != time.Second || sent.Load() != 1 {
			t.Errorf("SendTest = %v after %v; want DeadlineExceeded after a second", err, took)
		}
		wantNoAttempt(t, a)
	})
}

// Tests need not wait for deliveries, nor deliveries for tests.
func TestTestsAndDeliveriesDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		h, _ := newTester(t, hooks.Config{Concurrency: 1, Transport: kit.Exchange(func(r *http.Request) (*http.Response, error) {
			if !strings.HasPrefix(r.Header.Get(signer.HeaderID), "test_") {
				<-release
			}
			return kit.Answer(200, nil, ""), nil
		})})
		kit.StartInBubble(t, h)
		ev := kit.InvoicePaid.New(kit.Invoice{})
		ev.Tenant = "acme"
		for range 3 {
			kit.Publish(t, h, ev)
		}
		synctest.Wait()
		if a, err := h.SendTest(t.Context(), "crm", hooks.Event{Type: "demo.sent"}); err != nil || a.Code != 200 || a.Took > 0 {
			t.Errorf("SendTest beside a backlog = %+v, %v; want a success at once", a, err)
		}
		close(release)
		time.Sleep(time.Second)
		for _, d := range kit.Deliveries(t, h) {
			if d.Status != hooks.Succeeded || d.Attempts != 1 {
				t.Errorf("%v is %v after %d attempts; want succeeded after 1", d.DeliveryID, d.Status, d.Attempts)
			}
		}
	})
}

// Sixteen callers at once: each test is sent, or refused because another one is under way.
func TestManyTestsAtOnce(t *testing.T) {
	url, got := kit.Receiver(t, nil)
	h := kit.New(t, hooks.Config{Egress: kit.Loopback})
	for i := range 4 {
		kit.Put(t, h, hooks.Endpoint{ID: fmt.Sprint("crm", i), URL: url})
	}
	kit.Start(t, h)
	var sent atomic.Int32
	var callers sync.WaitGroup
	for i := range 16 {
		callers.Go(func() {
			for range 4 {
				a, err := h.SendTest(t.Context(), fmt.Sprint("crm", i%4), kit.InvoicePaid.New(kit.Invoice{}))
				switch {
				case err == nil && a.Code == 200:
					sent.Add(1)
				case !errors.Is(err, hooks.ErrConflict):
					t.Errorf("SendTest = %+v, %v; want a success or ErrConflict", a, err)
				}
			}
		})
	}
	callers.Wait()
	if n := int(sent.Load()); n < 4 || len(got) != n {
		t.Errorf("%d tests succeeded and %d requests came; want as many, and at least one for each endpoint", n, len(got))
	}
}

// Without Run nobody would close the connection, and its goroutines would stay.
func TestATestWithoutRunLeavesNoConnection(t *testing.T) {
	states := make(chan http.ConnState, 16)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) { states <- s }
	server.Start()
	defer server.Close()
	h := kit.New(t, hooks.Config{Egress: kit.Loopback})
	kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: server.URL})
	if a, err := h.SendTest(t.Context(), "crm", kit.InvoicePaid.New(kit.Invoice{})); err != nil || a.Code != 200 {
		t.Fatalf("SendTest = %+v, %v; want a success", a, err)
	}
	for s := kit.Soon(t, states); s != http.StateClosed; {
		s = kit.Soon(t, states)
	}
}
