package systemtest_test

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/retry"
	"example.com/hooks/store/memory"
	"example.com/hooks/store/sqlite"
)

// An explainee is a store with a Hooks on it. The Hooks has the handlers "a", and "lined",
// which is Ordered. They and all endpoints fail, and ask to be tried again after an hour.
// Nothing runs but while the test calls Flush.
type explainee struct {
	*hooks.Hooks
	store hooks.Store
	began time.Time
}

func newExplainee(t *testing.T, store hooks.Store) explainee {
	t.Helper()
	fail := func(context.Context, hooks.Event) error { return hooks.RetryAfter(errors.New("no"), time.Hour) }
	answer := kit.Exchange(func(*http.Request) (*http.Response, error) {
		return kit.Answer(503, http.Header{"Retry-After": {"3600"}}, ""), nil
	})
	h := kit.Subscribed(t, hooks.Config{
		Store: store, Logger: kit.Silent, Transport: answer, Retry: retry.Schedule{time.Second, time.Second},
	}, hooks.Handler{Name: "a", Func: fail}, hooks.Handler{Name: "lined", Func: fail, Ordered: true})
	return explainee{h, store, time.Now().UTC()}
}

// publish publishes an OrderPlaced with an id, and returns its delivery to a subscriber.
func (x explainee) publish(t *testing.T, id, subscriber string, change func(*hooks.Event)) hooks.DeliveryID {
	t.Helper()
	ev := kit.OrderPlaced.New(kit.Order{ID: 1})
	ev.ID = id
	if change != nil {
		change(&ev)
	}
	kit.Publish(t, x.Hooks, ev)
	return hooks.DeliveryID{Event: id, Subscriber: subscriber}
}

func (x explainee) flush(t *testing.T) {
	t.Helper()
	if err := x.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// end writes an outcome of the delivery.
func (x explainee) end(t *testing.T, id hooks.DeliveryID, status hooks.Status, reason hooks.Reason, code int, class string) {
	t.Helper()
	d := kit.Delivery(t, x.Hooks, id.Event, id.Subscriber)
	d.Status, d.Reason, d.Code, d.Error, d.Attempts = status, reason, code, class, 3
	d.Updated = d.Updated.Add(time.Minute)
	if stale, err := x.store.Update(t.Context(), d.Updated, []hooks.Change{{Delivery: d}}); err != nil || len(stale) > 0 {
		t.Fatalf("Update = %v, %v; want it written", stale, err)
	}
}

func keyed(key string) func(*hooks.Event) {
	return func(ev *hooks.Event) { ev.OrderingKey = key }
}

// An explanation is what the tests want of one. Times are counted from the beginning, and -1
// stands for none.
type explanation struct {
	code         string
	since, until time.Duration
	behind       string // the event's id
	says         string
}

const never = time.Duration(-1)

// A situation makes a delivery that stands somehow.
type situation struct {
	arrange func(*testing.T, explainee) hooks.DeliveryID
	want    explanation
}

var situations = map[string]situation{
	"due": {func(t *testing.T, x explainee) hooks.DeliveryID {
		id := x.publish(t, "e1", "a", nil)
		time.Sleep(time.Minute)
		return id
	}, explanation{code: "due", since: 0, until: never, says: "due since 2000-01-01T00:00:00Z"}},
	"scheduled": {func(t *testing.T, x explainee) hooks.DeliveryID {
		return x.publish(t, "e1", "a", func(ev *hooks.Event) { ev.DeliverAt = x.began.Add(time.Hour) })
	}, explanation{code: "scheduled", since: 0, until: time.Hour, says: "at 2000-01-01T01:00:00Z or later"}},
	"was scheduled": {func(t *testing.T, x explainee) hooks.DeliveryID {
		id := x.publish(t, "e1", "a", func(ev *hooks.Event) { ev.DeliverAt = x.began.Add(time.Hour) })
		time.Sleep(time.Hour)
		return id
	}, explanation{code: "due", since: time.Hour, until: never, says: "due since 2000-01-01T01:00:00Z"}},
	"retrying, handler": {func(t *testing.T, x explainee) hooks.DeliveryID {
		id := x.publish(t, "e1", "a", nil)
		x.flush(t)
		return id
	}, explanation{code: "retrying", since: 0, until: time.Hour, says: `Attempt 1 of run 1 failed with "error" at 2000-01-01T00:00:00Z.`}},
	"retrying, endpoint": {func(t *testing.T, x explainee) hooks.DeliveryID {
		kit.Put(t, x.Hooks, hooks.Endpoint{ID: "crm", URL: kit.AnyURL, Events: []string{"**"}})
		id := x.publish(t, "e1", "crm", nil)
		x.flush(t)
		return id
	}, explanation{code: "retrying", since: 0, until: time.Hour, says: "failed with status 503 at"}},
	"was retrying": {func(t *testing.T, x explainee) hooks.DeliveryID {
		id := x.publish(t, "e1", "a", nil)
		x.flush(t)
		time.Sleep(2 * time.Hour)
		return id
	}, explanation{code: "due", since: time.Hour, until: never, says: "It has been due since"}},
	"behind one that waits": {func(t *testing.T, x explainee) hooks.DeliveryID {
		x.publish(t, "e0", "lined", keyed("other"))
		x.publish(t, "e1", "lined", keyed("k"))
		x.publish(t, "e2", "lined", func(ev *hooks.Event) { ev.OrderingKey, ev.Tenant = "k", "acme" })
		x.publish(t, "e3", "lined", keyed("k"))
		return x.publish(t, "e4", "lined", keyed("k"))
	}, explanation{code: "behind", since: 0, until: never, behind: "e1", says: "delivery e1.lined, which is pending"}},
	"behind one that is tried again": {func(t *testing.T, x explainee) hooks.DeliveryID {
		x.publish(t, "e1", "lined", keyed("k"))
		x.flush(t)
		return x.publish(t, "e2", "lined", keyed("k"))
	}, explanation{code: "behind", since: 0, until: never, behind: "e1", says: "delivery e1.lined, which is retrying"}},
	"behind one that is sent": {func(t *testing.T, x explainee) hooks.DeliveryID {
		x.publish(t, "e1", "lined", keyed("k"))
		id := x.publish(t, "e2", "lined", keyed("k"))
		kit.Leased(t, x.store, "lined", x.began)
		return id
	}, explanation{code: "behind", since: 0, until: never, behind: "e1", says: "delivery e1.lined, which is sending"}},
	"behind nobody of its tenant": {func(t *testing.T, x explainee) hooks.DeliveryID {
		x.publish(t, "e1", "lined", func(ev *hooks.Event) { ev.OrderingKey, ev.Tenant = "k", "acme" })
		return x.publish(t, "e2", "lined", keyed("k"))
	}, explanation{code: "due", since: 0, until: never}},
	"behind a final one": {func(t *testing.T, x explainee) hooks.DeliveryID {
		x.end(t, x.publish(t, "e1", "lined", keyed("k")), hooks.Succeeded, "", 0, "")
		return x.publish(t, "e2", "lined", keyed("k"))
	}, explanation{code: "due", since: 0, until: never}},
	"first of its key": {func(t *testing.T, x explainee) hooks.DeliveryID {
		id := x.publish(t, "e1", "lined", keyed("k"))
		x.publish(t, "e2", "lined", keyed("k"))
		return id
	}, explanation{code: "due", since: 0, until: never}},
	"sending": {func(t *testing.T, x explainee) hooks.DeliveryID {
		id := x.publish(t, "e1", "a", nil)
		kit.Leased(t, x.store, "a", x.began)
		time.Sleep(time.Second)
		return id
	}, explanation{code: "sending", since: never, until: time.Minute, says: "not stored by 2000-01-01T00:01:00Z"}},
	"was sending": {func(t *testing.T, x explainee) hooks.DeliveryID {
		id := x.publish(t, "e1", "a", nil)
		kit.Leased(t, x.store, "a", x.began)
		time.Sleep(time.Hour)
		return id
	}, explanation{code: "due", since: time.Minute, until: never, says: "lease ended at 2000-01-01T00:01:00Z"}},
	"no handler": {func(t *testing.T, x explainee) hooks.DeliveryID {
		other := kit.Subscribed(t, hooks.Config{Store: x.store}, hooks.Handler{Name: "gone", Func: kit.Ignore})
		if err := other.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		return x.publish(t, "e1", "gone", nil)
	}, explanation{code: "no_handler", since: 2 * time.Second, until: never, says: `the handler "gone", which this process does not have`}},
	"no key": {func(t *testing.T, x explainee) hooks.DeliveryID {
		other := kit.Subscribed(t, hooks.Config{Store: x.store, Keeper: kit.NewKeeper(t, "k1")})
		kit.Put(t, other, hooks.Endpoint{ID: "crm", URL: kit.AnyURL, Events: []string{"**"}})
		return x.publish(t, "e1", "crm", nil)
	}, explanation{code: "no_key", since: never, until: never, says: "due since 2000-01-01T00:00:00Z"}},
	"no key, scheduled": {func(t *testing.T, x explainee) hooks.DeliveryID {
		other := kit.Subscribed(t, hooks.Config{Store: x.store, Keeper: kit.NewKeeper(t, "k1")})
		kit.Put(t, other, hooks.Endpoint{ID: "crm", URL: kit.AnyURL, Events: []string{"**"}})
		return x.publish(t, "e1", "crm", func(ev *hooks.Event) { ev.DeliverAt = x.began.Add(time.Hour) })
	}, explanation{code: "no_key", since: never, until: never, says: "due at 2000-01-01T01:00:00Z"}},
	"deleted": {func(t *testing.T, x explainee) hooks.DeliveryID {
		kit.Put(t, x.Hooks, hooks.Endpoint{ID: "crm", URL: kit.AnyURL, Events: []string{"**"}})
		id := x.publish(t, "e1", "crm", nil)
		if err := x.DeleteEndpoint(t.Context(), "crm"); err != nil {
			t.Fatal(err)
		}
		return id
	}, explanation{code: "deleted", since: never, until: never, says: "was deleted"}},

	"succeeded, endpoint": final(hooks.Succeeded, "", 204, "", "attempt 3 of run 1 got status 204"),
	"succeeded, handler":  final(hooks.Succeeded, "", 0, "", "succeeded at 2000-01-01T00:01:00Z with attempt 3 of run 1"),
	"exhausted":           final(hooks.Failed, hooks.ReasonExhausted, 503, "status", "failed with status 503, and was the last one"),
	"rejected":            final(hooks.Failed, hooks.ReasonRejected, 410, "status", "failed with status 410, and the subscriber said never"),
	"expired":             final(hooks.Failed, hooks.ReasonExpired, 0, "timeout", `failed with "timeout", and then the event has expired, or it was held for too long`),
	"lost":                final(hooks.Failed, hooks.ReasonLost, 0, "lost", "The process ended during its attempts"),
	"another reason":      final(hooks.Failed, "moonshine", 0, "dns", `(moonshine). Attempt 3 of run 1 failed with "dns".`),
	"canceled":            final(hooks.Canceled, "", 0, "", "canceled at 2000-01-01T00:01:00Z."),
	"canceled, deleted":   final(hooks.Canceled, hooks.ReasonDeleted, 0, "", "because its subscriber was deleted"),
}

// final is the situation of a delivery that has ended a minute after it was published.
func final(status hooks.Status, reason hooks.Reason, code int, class, says string) situation {
	return situation{func(t *testing.T, x explainee) hooks.DeliveryID {
		id := x.publish(t, "e1", "a", nil)
		x.end(t, id, status, reason, code, class)
		return id
	}, explanation{code: "final", since: time.Minute, until: never, says: says}}
}

func TestDeliveriesAreExplained(t *testing.T) {
	for name, s := range situations {
		t.Run(name, func(t *testing.T) {
			t.Run("memory", func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					x := newExplainee(t, memory.New())
					wantExplained(t, x, s.arrange(t, x), s.want)
				})
			})
			t.Run("sqlite", func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					x := newExplainee(t, openSQLite(t))
					wantExplained(t, x, s.arrange(t, x), s.want)
				})
			})
		})
	}
}

func openSQLite(t *testing.T) *sqlite.Store {
	t.Helper()
	store, err := sqlite.Open(filepath.Join(t.TempDir(), "hooks.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func wantExplained(t *testing.T, x explainee, id hooks.DeliveryID, want explanation) {
	t.Helper()
	before := kit.Delivery(t, x.Hooks, id.Event, id.Subscriber)
	e, err := x.ExplainDelivery(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	from := func(at time.Time) time.Duration {
		if at.IsZero() {
			return never
		}
		return at.Sub(x.began)
	}
	got := explanation{e.Code, from(e.Since), from(e.Until), e.Behind.Event, want.says}
	if got != want || !strings.Contains(e.Text, want.says) {
		t.Errorf("ExplainDelivery = %+v; want %+v", e, want)
	}
	if e.Code == "behind" && e.Behind.Subscriber != id.Subscriber {
		t.Errorf("it is behind %v; want a delivery to %s", e.Behind, id.Subscriber)
	}
	if after := kit.Delivery(t, x.Hooks, id.Event, id.Subscriber); after != before {
		t.Errorf("the delivery is %+v afterwards; want it unchanged: %+v", after, before)
	}
	if !strings.HasSuffix(e.Text, ".") || strings.Contains(e.Text, "%!") {
		t.Errorf("Text = %q; want sentences", e.Text)
	}
}

// The first of an ordering key is found, however many others wait for the subscriber.
func TestTheFirstOfAKeyIsFoundAmongMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newExplainee(t, memory.New())
		first := x.publish(t, "first", "lined", keyed("k"))
		for n := range 21 {
			crowd := make([]hooks.Event, 1000)
			for i := range crowd {
				crowd[i] = kit.OrderPlaced.New(kit.Order{ID: n})
			}
			if _, err := x.PublishBatch(t.Context(), crowd); err != nil {
				t.Fatal(err)
			}
		}
		second := x.publish(t, "second", "lined", keyed("k"))
		third := x.publish(t, "third", "lined", keyed("k"))
		wantExplained(t, x, first, explanation{code: "due", since: 0, until: never})
		for _, id := range []hooks.DeliveryID{second, third} {
			wantExplained(t, x, id, explanation{code: "behind", since: 0, until: never, behind: "first"})
		}
		if _, err := x.Cancel(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		wantExplained(t, x, second, explanation{code: "due", since: 0, until: never})
		wantExplained(t, x, third, explanation{code: "behind", since: 0, until: never, behind: "second"})
	})
}

func TestExplainingWhatDoesNotExist(t *testing.T) {
	h := kit.New(t, hooks.Config{})
	e, err := h.ExplainDelivery(t.Context(), hooks.DeliveryID{Event: "e1", Subscriber: "crm"})
	if !errors.Is(err, hooks.ErrNotFound) || e != (hooks.Explanation{}) {
		t.Errorf("ExplainDelivery = %+v, %v; want ErrNotFound", e, err)
	}
}
