package systemtest_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

type spanKey struct{}

// span returns the value that a trace of these tests has put into a context.
func span(ctx context.Context) string {
	s, _ := ctx.Value(spanKey{}).(string)
	return s
}

// What is published carries the metadata of its publisher's trace, however it is
// published, and nothing else that the trace writes into the event.
func TestTracePublishing(t *testing.T) {
	store := memory.New()
	var told []string
	h := kit.New(t, hooks.Config{Store: store, Trace: hooks.Trace{
		Publishing: func(ctx context.Context, ev *hooks.Event) {
			if ev.Metadata == nil {
				ev.Metadata = make(map[string]string)
			}
			ev.Metadata["traceparent"] = span(ctx)
			ev.Tenant, ev.Type, ev.ID = "another", "another", "another"
		},
		Published: func(ctx context.Context, ev hooks.Event, _ hooks.Receipt) {
			told = append(told, span(ctx)+" "+ev.Metadata["traceparent"])
		},
	}})
	ctx := context.WithValue(t.Context(), spanKey{}, "00-1")
	mine := map[string]string{"request": "7"}
	ev := kit.InvoicePaid.New(kit.Invoice{Number: 1})
	ev.Metadata = mine
	_, err1 := h.Publish(ctx, ev)
	_, err2 := h.PublishBatch(ctx, []hooks.Event{ev, kit.InvoicePaid.New(kit.Invoice{Number: 2})})
	_, err3 := h.PublishTx(ctx, store, ev)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(mine, map[string]string{"request": "7"}) {
		t.Errorf("the caller's Metadata is %v; want it unchanged", mine)
	}
	for _, got := range kit.Events(t, h) {
		if got.Metadata["traceparent"] != "00-1" || got.Tenant != "" || got.Type != "invoice.paid" {
			t.Errorf("stored %+v; want the trace's metadata, and nothing else of the trace", got)
		}
	}
	if len(told) != 4 || told[0] != "00-1 00-1" {
		t.Errorf("Published was told %q; want four times the caller's context and the metadata", told)
	}
}

// Metadata of a trace that cannot be stored costs the event nothing but that.
func TestTracePublishingTooMuch(t *testing.T) {
	h := kit.New(t, hooks.Config{Logger: kit.Silent, Trace: hooks.Trace{
		Publishing: func(_ context.Context, ev *hooks.Event) {
			ev.Metadata = map[string]string{"baggage": strings.Repeat("x", 17<<10)}
		},
	}})
	ev := kit.InvoicePaid.New(kit.Invoice{Number: 1})
	ev.Metadata = map[string]string{"request": "7"}
	kit.Publish(t, h, ev)
	if got := kit.Events(t, h)[0].Metadata; !maps.Equal(got, ev.Metadata) {
		t.Errorf("stored metadata is %v; want the caller's", got)
	}
}

// A nilContext is what a trace returns that returns a nil pointer as a context.
type nilContext struct{ context.Context }

func (c *nilContext) Value(key any) any { return c.Context.Value(key) }

// A context that cannot be used is not blamed on the receiver.
func TestTraceStartedReturnsANilPointer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := kit.New(t, hooks.Config{Logger: kit.Silent, Trace: hooks.Trace{
			Started: func(context.Context, hooks.Delivery) context.Context { return (*nilContext)(nil) },
		}})
		reads := func(ctx context.Context, _ hooks.Event) error { span(ctx); return nil }
		if err := h.Subscribe(hooks.Handler{Name: "a", Events: []string{"**"}, Func: reads}); err != nil {
			t.Fatal(err)
		}
		stop := kit.StartInBubble(t, h)
		r := kit.Send(t, h)
		time.Sleep(time.Second)
		stop()
		if d := kit.Delivery(t, h, r.EventID, "a"); d.Status != hooks.Succeeded {
			t.Errorf("the delivery is %v (%s); want succeeded", d.Status, d.Error)
		}
	})
}

// An attempt has the values of the context that Started returns, in the handler, in the
// request and in Finished. It ends when its time is over, whatever that context is.
func TestTraceStarted(t *testing.T) {
	canceled, cancel := context.WithCancel(context.WithValue(context.Background(), spanKey{}, "attempt"))
	cancel()
	for name, make := range map[string]func(context.Context) context.Context{
		"derived": func(ctx context.Context) context.Context { return context.WithValue(ctx, spanKey{}, "attempt") },
		"detached": func(context.Context) context.Context {
			return context.WithValue(context.Background(), spanKey{}, "attempt")
		},
		"canceled": func(context.Context) context.Context { return canceled },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				seen := map[string]string{}
				see := func(where, what string) {
					mu.Lock()
					defer mu.Unlock()
					seen[where] = what
				}
				h := kit.New(t, hooks.Config{
					Timeout: time.Second,
					Trace: hooks.Trace{
						Started: func(ctx context.Context, _ hooks.Delivery) context.Context { return make(ctx) },
						Finished: func(ctx context.Context, d hooks.Delivery, a hooks.Attempt) {
							see(d.Subscriber+" finished", span(ctx)+" "+a.Error)
							if ctx.Err() != nil {
								t.Errorf("the context of Finished has ended: %v", ctx.Err())
							}
						},
					},
					Transport: kit.Exchange(func(r *http.Request) (*http.Response, error) {
						see("crm", span(r.Context()))
						return kit.Answer(200, nil, ""), nil
					}),
				})
				kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
				err := h.Subscribe(kit.InvoicePaid.Handler("slow", func(ctx context.Context, _ hooks.Event, _ kit.Invoice) error {
					see("slow", span(ctx))
					<-ctx.Done()
					return ctx.Err()
				}))
				if err != nil {
					t.Fatal(err)
				}
				stop := kit.StartInBubble(t, h)
				kit.Send(t, h)
				time.Sleep(2 * time.Second)
				stop()
				want := map[string]string{"crm": "attempt", "slow": "attempt", "crm finished": "attempt ", "slow finished": "attempt timeout"}
				if !maps.Equal(seen, want) {
					t.Errorf("contexts: %q; want %q", seen, want)
				}
			})
		})
	}
}

// An attempt that is cut short by the end of Run is given back, also if it has a context
// that was not made from the one that it got.
func TestDrainingUnderATrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := kit.New(t, hooks.Config{
			DrainTimeout: time.Second, Timeout: time.Hour,
			Trace: hooks.Trace{Started: func(context.Context, hooks.Delivery) context.Context { return context.Background() }},
		})
		err := h.Subscribe(kit.InvoicePaid.Handler("slow", func(ctx context.Context, _ hooks.Event, _ kit.Invoice) error {
			<-ctx.Done()
			return ctx.Err()
		}))
		if err != nil {
			t.Fatal(err)
		}
		stop := kit.StartInBubble(t, h)
		r := kit.Send(t, h)
		synctest.Wait()
		stop()
		if d := kit.Delivery(t, h, r.EventID, "slow"); d.Status != hooks.Pending || d.Attempts != 0 {
			t.Errorf("the delivery is %v after %d attempts; want it given back", d.Status, d.Attempts)
		}
	})
}

// Ended and StoreError have the values of Run's context.
func TestTraceEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan string, 1)
		h := kit.New(t, hooks.Config{Trace: hooks.Trace{Ended: func(ctx context.Context, d hooks.Delivery) {
			ended <- span(ctx) + " " + string(d.Reason)
		}}})
		kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
		ev := kit.InvoicePaid.New(kit.Invoice{Number: 1})
		ev.ExpiresAt = time.Now().Add(time.Second)
		kit.Publish(t, h, ev)
		time.Sleep(time.Minute)
		if err := h.Flush(context.WithValue(t.Context(), spanKey{}, "run")); err != nil {
			t.Fatal(err)
		}
		if got := <-ended; got != "run expired" {
			t.Errorf("Ended was told %q; want run expired", got)
		}
	})
}

// A trace is told whose event it is, if a tenant publishes it.
func TestTracePublishingOfATenant(t *testing.T) {
	var told []string
	h := kit.New(t, hooks.Config{Trace: hooks.Trace{
		Publishing: func(_ context.Context, ev *hooks.Event) { told = append(told, ev.Tenant) },
	}})
	if _, err := h.Tenant("acme").Publish(t.Context(), kit.InvoicePaid.New(kit.Invoice{})); err != nil {
		t.Fatal(err)
	}
	if len(told) != 1 || told[0] != "acme" {
		t.Errorf("Publishing was told of tenants %q; want acme", told)
	}
}
