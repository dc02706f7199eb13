package systemtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
)

// A gazette has the notices that a handler was given, in words and in the order of their
// events.
type gazette struct {
	began time.Time
	err   error // of the handler

	mu    sync.Mutex // guards what follows
	lines []string
	seqs  []int64
	ended []hooks.Delivery // that DeliveryFailed told of
}

// subscribe makes the handler "pager" note all notices. It receives nothing else.
func (g *gazette) subscribe(t *testing.T, h *hooks.Hooks) {
	t.Helper()
	if err := h.Subscribe(hooks.Handler{Name: "pager", Events: []string{"hooks.**"}, Func: g.note}); err != nil {
		t.Fatal(err)
	}
}

func (g *gazette) note(_ context.Context, ev hooks.Event) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	line := fmt.Sprintf("%v %s %s", ev.Time.Sub(g.began), strings.TrimPrefix(ev.Type, "hooks."), ev.OrderingKey)
	switch ev.Type {
	case hooks.DeliveryFailed.Name:
		n, err := hooks.DeliveryFailed.Decode(ev)
		if err != nil {
			return err
		}
		line += string(n.Delivery.Reason)
		g.ended = append(g.ended, n.Delivery)
	default:
		var n hooks.EndpointNotice
		if err := json.Unmarshal(ev.Data, &n); err != nil {
			return err
		}
		is := n.Health
		line += fmt.Sprintf(" %s %s %q %v", is.Endpoint, is.State, is.Reason, is.Waiting)
		if !is.Until.IsZero() {
			line += fmt.Sprintf(" until %v", is.Until.Sub(g.began))
		}
	}
	at, _ := slices.BinarySearch(g.seqs, ev.Seq)
	g.seqs, g.lines = slices.Insert(g.seqs, at, ev.Seq), slices.Insert(g.lines, at, line)
	return g.err
}

// want checks what the handler was told.
func (g *gazette) want(t *testing.T, lines ...string) {
	t.Helper()
	synctest.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	if !slices.Equal(g.lines, lines) {
		t.Errorf("told:\n%s\nwant:\n%s", strings.Join(g.lines, "\n"), strings.Join(lines, "\n"))
	}
}

// notices returns the stored notices with a type, oldest first, and who receives each.
func notices(t *testing.T, h *hooks.Hooks, typ string) (evs []hooks.Event, receivers [][]string) {
	t.Helper()
	for ev, err := range hooks.All(t.Context(), h.Events, hooks.Query{Types: []string{typ}, OldestFirst: true}) {
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for d, err := range hooks.All(t.Context(), h.Deliveries, hooks.Query{Event: ev.ID}) {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, d.Subscriber)
		}
		slices.Sort(ids)
		evs, receivers = append(evs, ev), append(receivers, ids)
	}
	return evs, receivers
}

// Each step of an endpoint is told of once, with how it stands from then on: to handlers, and
// to endpoints of its tenant.
func TestNoticesTellOfEachStep(t *testing.T) {
	inWards(t, hooks.Endpoint{Tenant: "acme"}, func(w *ward) {
		told := &gazette{began: w.began}
		told.subscribe(w.t, w.h)
		for id, tenant := range map[string]string{"watch": "acme", "spy": "rival", "nobodys": ""} {
			kit.Put(w.t, w.h, hooks.Endpoint{ID: id, Tenant: tenant, URL: kit.AnyURL, Events: []string{"hooks.endpoint.*"}})
		}
		kit.StartInBubble(w.t, w.h)
		send := func() {
			ev := kit.InvoicePaid.New(kit.Invoice{Number: 7})
			ev.Tenant = "acme"
			kit.Publish(w.t, w.h, ev)
		}
		for i, step := range []func(){
			func() { w.disable(time.Time{}) },
			func() { send(); send(); w.disable(time.Now().Add(time.Hour)) },
			w.enable,
			w.enable,
			func() { w.disable(time.Now().Add(30 * time.Second)) },
			func() { w.disable(time.Now().Add(30 * time.Second)) },
			w.enable, // its time has come already
		} {
			time.Sleep(time.Until(w.began.Add(time.Duration(i+1) * time.Minute)))
			step()
		}
		told.want(w.t,
			`1m0s endpoint.disabled crm crm disabled "it is full" 0`,
			`3m0s endpoint.enabled crm crm working "" 2`,
			`5m0s endpoint.disabled crm crm disabled "it is full" 0 until 5m30s`,
			`5m30s endpoint.enabled crm crm working "" 0`,
			`6m0s endpoint.disabled crm crm disabled "it is full" 0 until 6m30s`,
			`6m30s endpoint.enabled crm crm working "" 0`,
		)
		evs, receivers := notices(w.t, w.h, "hooks.endpoint.*")
		for i, ev := range evs {
			if ev.Tenant != "acme" || !slices.Equal(receivers[i], []string{"pager", "watch"}) {
				w.t.Errorf("%s of tenant %q went to %v; want acme's, to pager and watch", ev.Type, ev.Tenant, receivers[i])
			}
		}
		if page, _, err := w.h.Tenant("acme").Events(w.t.Context(), hooks.Query{Types: []string{"hooks.**"}}); err != nil || len(page) != 6 {
			w.t.Errorf("its tenant sees %d notices, %v; want 6", len(page), err)
		}
	})
}

// An end that nobody has written yet is told of before the next disabling, or when a process
// runs again.
func TestNoticesOfWhatEndedWhileNobodyRan(t *testing.T) {
	for name, next := range map[string]struct {
		step func(w *ward)
		want string
	}{
		"Run begins": {func(*ward) {}, ``},
		"enabled":    {(*ward).enable, ``},
		"disabled":   {func(w *ward) { w.disable(time.Time{}) }, `1h0m0s endpoint.disabled crm crm disabled "it is full" 0`},
	} {
		t.Run(name, func(t *testing.T) {
			inWards(t, hooks.Endpoint{}, func(w *ward) {
				told := &gazette{began: w.began}
				told.subscribe(w.t, w.h)
				w.disable(w.began.Add(time.Minute))
				time.Sleep(time.Hour)
				next.step(w)
				kit.StartInBubble(w.t, w.h)
				want := []string{
					`0s endpoint.disabled crm crm disabled "it is full" 0 until 1m0s`,
					`1m0s endpoint.enabled crm crm working "" 0`,
				}
				if next.want != "" {
					want = append(want, next.want)
				}
				told.want(w.t, want...)
			})
		})
	}
}

// Each delivery that fails for good is told of once a run, as it is stored.
func TestNoticesTellOfFailedDeliveries(t *testing.T) {
	for name, c := range map[string]struct {
		fail func(w *ward) (event string)
		want []string
	}{
		"rejected, twice": {func(w *ward) string {
			w.status = 410
			event := w.send(0)
			time.Sleep(time.Minute)
			if _, err := w.h.Replay(w.t.Context(), hooks.DeliveryID{Event: event, Subscriber: "crm"}); err != nil {
				w.t.Fatal(err)
			}
			return event
		}, []string{"1s delivery.failed rejected", "1m1s delivery.failed rejected"}},
		"exhausted": {func(w *ward) string {
			w.status = 500
			return w.send(0)
		}, []string{"exhausted"}},
		"expired": {func(w *ward) string {
			ev := kit.InvoicePaid.New(kit.Invoice{})
			w.status, ev.ExpiresAt = 500, time.Now().Add(time.Minute)
			return kit.Publish(w.t, w.h, ev).EventID
		}, []string{"1s delivery.failed expired"}},
		"held for too long": {func(w *ward) string {
			w.disable(time.Time{})
			return w.send(0)
		}, []string{`0s endpoint.disabled crm crm disabled "it is full" 0`, "72h0m0s delivery.failed expired"}},
		"lost": {func(w *ward) string {
			event := w.send(time.Hour) // so that Run is not there yet
			d := w.want(event, hooks.Pending, "", 0)
			d.Status, d.Attempts, d.Lost, d.Error, d.Due = hooks.Retrying, 4, 2, "lost", time.Now()
			if stale, err := w.store.Update(w.t.Context(), time.Now(), []hooks.Change{{Delivery: d}}); err != nil || len(stale) > 0 {
				w.t.Fatal(stale, err)
			}
			w.h.Wake(w.t.Context())
			return event
		}, []string{"0s delivery.failed lost"}},
	} {
		t.Run(name, func(t *testing.T) {
			inWards(t, hooks.Endpoint{}, func(w *ward) {
				told := &gazette{began: w.began}
				told.subscribe(w.t, w.h)
				kit.StartInBubble(w.t, w.h)
				event := c.fail(w)
				time.Sleep(100 * time.Hour)
				synctest.Wait()
				if name == "exhausted" { // after waits that have a random part
					if len(told.lines) != 1 || !strings.HasSuffix(told.lines[0], c.want[0]) {
						w.t.Errorf("told %q; want once, that it is exhausted", told.lines)
					}
				} else {
					told.want(w.t, c.want...)
				}
				if len(told.ended) == 0 {
					w.t.Fatal("told of no delivery")
				}
				stored, got := kit.Delivery(w.t, w.h, event, "crm"), told.ended[len(told.ended)-1]
				stored.Token, stored.Seq = 0, 0
				if got != stored {
					w.t.Errorf("the notice has %#v; stored is %#v", got, stored)
				}
			})
		})
	}
}

// Without a subscriber, a step and a failure store no event: "**" does not match notices.
func TestNoticesWithoutSubscribersAreNotStored(t *testing.T) {
	inWards(t, hooks.Endpoint{}, func(w *ward) {
		if err := w.h.Subscribe(hooks.Handler{Name: "all", Events: []string{"**"}, Func: kit.Ignore}); err != nil {
			w.t.Fatal(err)
		}
		kit.Put(w.t, w.h, hooks.Endpoint{ID: "rivals", Tenant: "rival", URL: kit.AnyURL, Events: []string{"hooks.**"}})
		kit.StartInBubble(w.t, w.h)
		w.status = 410
		w.disable(time.Now().Add(time.Minute))
		event := w.send(0)
		time.Sleep(time.Hour)
		w.want(event, hooks.Failed, hooks.ReasonRejected, 1)
		if n := w.store.emitted.Load(); n != 0 || len(kit.Events(w.t, w.h)) != 1 {
			w.t.Errorf("%d entries were given to the store, and %d events are stored; want 0 and 1", n, len(kit.Events(w.t, w.h)))
		}
	})
}

// A notice whose own delivery fails causes no other notice.
func TestFailuresOfNoticesCauseNone(t *testing.T) {
	inWards(t, hooks.Endpoint{}, func(w *ward) {
		told := &gazette{began: w.began, err: hooks.Permanent(errors.New("no paper"))}
		told.subscribe(w.t, w.h)
		kit.Put(w.t, w.h, hooks.Endpoint{ID: "watch", URL: kit.AnyURL, Events: []string{"hooks.**"}})
		kit.StartInBubble(w.t, w.h)
		w.status = 410
		w.send(0)
		time.Sleep(time.Hour)
		told.want(w.t, "1s delivery.failed rejected")
		for _, d := range kit.Deliveries(w.t, w.h) {
			if d.Status != hooks.Failed {
				w.t.Errorf("the delivery %v is %v; want all failed", d.DeliveryID, d.Status)
			}
		}
		if n := len(kit.Events(w.t, w.h)); n != 2 {
			w.t.Errorf("%d events are stored; want one and its notice", n)
		}
	})
}

// Somebody else has decided about the delivery: the outcome does not count, nor its notice.
func TestAStaleOutcomeIsNotToldOf(t *testing.T) {
	inWards(t, hooks.Endpoint{}, func(w *ward) {
		told := &gazette{began: w.began}
		told.subscribe(w.t, w.h)
		kit.StartInBubble(w.t, w.h)
		w.status = 410
		event := w.send(0)
		synctest.Wait()
		if _, err := w.h.Cancel(w.t.Context(), hooks.DeliveryID{Event: event, Subscriber: "crm"}); err != nil {
			w.t.Fatal(err)
		}
		time.Sleep(time.Hour)
		w.want(event, hooks.Canceled, "", 0)
		told.want(w.t)
		if n := w.store.emitted.Load(); n != 1 {
			w.t.Errorf("%d notices were given to the store; want one, with the outcome that was stale", n)
		}
	})
}

// The application cannot publish notices, and can send a test of one.
func TestNoticesAreTheLibrarysOwn(t *testing.T) {
	inWards(t, hooks.Endpoint{}, func(w *ward) {
		for _, et := range []hooks.EventType[hooks.EndpointNotice]{hooks.EndpointDisabled, hooks.EndpointEnabled} {
			_, err := w.h.Publish(w.t.Context(), et.New(et.Example))
			kit.WantInvalid(w.t, err, "Event.Type", nil, "only the library itself")
			if a, err := w.h.SendTest(w.t.Context(), "crm", hooks.Event{Type: et.Name}); err != nil || a.Code != 200 {
				w.t.Errorf("SendTest(%s) = %+v, %v; want status 200", et.Name, a, err)
			}
		}
		_, err := w.h.Tenant("acme").Publish(w.t.Context(), hooks.DeliveryFailed.New(hooks.DeliveryFailed.Example))
		kit.WantInvalid(w.t, err, "Event.Type", nil, "only the library itself")
		kit.WantInvalid(w.t, w.h.Register(hooks.EndpointDisabled), "EventType.Name", nil, "the library's own")
		if n := len(kit.Events(w.t, w.h)); n > 0 {
			w.t.Errorf("%d events are stored; want none", n)
		}
	})
}
