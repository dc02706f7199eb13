package systemtest_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

// filled is a Query with every field set. A new field must be set here, too.
var filled = hooks.Query{
	Event: "evt_1", Subscriber: "crm", Tenant: "acme", Types: []string{"invoice.paid"},
	Statuses: []hooks.Status{hooks.Failed}, Reasons: []hooks.Reason{hooks.ReasonLost}, Errors: []string{"timeout"},
	OrderingKey: "o", Codes: []int{503}, States: []hooks.EndpointState{hooks.StateFailing}, Key: "k", From: time.Unix(1, 0), To: time.Unix(2, 0), OldestFirst: true, Limit: 1, Cursor: "1",
}

// A field that a list would ignore is refused, and so cannot select too much.
func TestListsRefuseFieldsThatTheyDoNotLookAt(t *testing.T) {
	h := kit.New(t, hooks.Config{})
	always := []string{"Tenant", "Limit", "Cursor"}
	for list, c := range map[string]struct {
		call    func(hooks.Query) error
		looksAt []string
	}{
		"Events": {
			func(q hooks.Query) error { return third(h.Events(t.Context(), q)) },
			[]string{"Event", "Key", "Types", "From", "To", "OldestFirst"},
		},
		"Deliveries": {
			func(q hooks.Query) error { return third(h.Deliveries(t.Context(), q)) },
			[]string{"Event", "Subscriber", "OrderingKey", "Types", "Statuses", "Reasons", "Errors", "Codes", "From", "To", "OldestFirst"},
		},
		"Endpoints":       {func(q hooks.Query) error { return third(h.Endpoints(t.Context(), q)) }, []string{"States"}},
		"EndpointHealths": {func(q hooks.Query) error { return third(h.EndpointHealths(t.Context(), q)) }, []string{"States"}},
		"Backlog":         {func(q hooks.Query) error { return third(h.Backlog(t.Context(), q)) }, []string{"Subscriber"}},
		"Activity":        {func(q hooks.Query) error { return second(h.Activity(t.Context(), q)) }, []string{"Subscriber", "From", "To"}},
	} {
		for field, value := range reflect.ValueOf(filled).Fields() {
			if value.IsZero() {
				t.Fatalf("filled has no %s", field.Name)
			}
			var q hooks.Query
			reflect.ValueOf(&q).Elem().FieldByName(field.Name).Set(value)
			looksAt := c.looksAt
			if list != "Activity" { // which has no pages, and no tenants for the operator
				looksAt = append(looksAt, always...)
			}
			if err := c.call(q); !slices.Contains(looksAt, field.Name) {
				kit.WantInvalid(t, err, "Query."+field.Name, nil, "does not look at it")
			} else if err != nil {
				t.Errorf("%s with %s = %v; want nil", list, field.Name, err)
			}
		}
		if err := c.call(hooks.Query{Types: []string{}, Statuses: []hooks.Status{}}); err != nil {
			t.Errorf("%s with empty lists = %v; want nil, because they select any", list, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func third[T any](_ []T, _ string, err error) error { return err }

// Types of a Query are patterns for Hooks, and exact names for its store.
func TestListsTakePatternsOfTypes(t *testing.T) {
	store := &asked{Store: memory.New()}
	h := kit.Subscribed(t, hooks.Config{Store: store})
	flagged := hooks.EventType[int]{Name: "invoice.flagged", Private: true}
	if err := h.Register(flagged); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		types []string
		want  []string // nil: no type matches
	}{
		{[]string{"invoice.*"}, []string{"invoice.flagged", "invoice.paid"}},
		{[]string{"**", "invoice.paid"}, []string{"invoice.flagged", "invoice.paid", "order.placed"}},
		{[]string{"long.ago"}, []string{"long.ago"}},
		{[]string{"long.*"}, nil},
	} {
		_, _, err := h.Deliveries(t.Context(), hooks.Query{Types: c.types})
		if c.want == nil {
			kit.WantInvalid(t, err, "Query.Types", hooks.ErrNoMatch, "matches no event type")
		} else if err != nil || !slices.Equal(store.types, c.want) {
			t.Errorf("Deliveries of %q asks for %q, %v; want %q", c.types, store.types, err, c.want)
		}
	}
	_, _, err := h.Events(t.Context(), hooks.Query{Types: []string{"invoice paid"}})
	kit.WantInvalid(t, err, "Query.Types", nil, "write a type name")
	_, _, err = h.Events(t.Context(), hooks.Query{Types: make([]string, 65)})
	kit.WantInvalid(t, err, "Query.Types", nil, "65 patterns; at most 64")

	acme := h.Tenant("acme")
	for _, typ := range []string{"invoice.flagged", "long.ago"} { // private, unknown
		_, _, err = acme.Deliveries(t.Context(), hooks.Query{Types: []string{typ}})
		kit.WantInvalid(t, err, "Query.Types", hooks.ErrNoMatch, "matches no event type")
	}
	if _, _, err := acme.Deliveries(t.Context(), hooks.Query{Types: []string{"invoice.*"}}); err != nil || !slices.Equal(store.types, []string{"invoice.paid"}) {
		t.Errorf("a tenant's Deliveries asks for %q, %v; want invoice.paid", store.types, err)
	}
}

// An asked store remembers the types that it was asked for last.
type asked struct {
	hooks.Store
	types []string
}

func (s *asked) Deliveries(ctx context.Context, q hooks.Query) ([]hooks.Delivery, string, error) {
	s.types = q.Types
	return s.Store.Deliveries(ctx, q)
}

// Ids that are empty select nothing, and not whatever comes first.
func TestEmptyIDsAreNotFound(t *testing.T) {
	h := kit.New(t, hooks.Config{})
	kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
	event := kit.Send(t, h).EventID
	for _, id := range []hooks.DeliveryID{{}, {Event: event}, {Subscriber: "crm"}} {
		_, delivery := h.Delivery(t.Context(), id)
		_, cancel := h.Cancel(t.Context(), id)
		_, replay := h.Replay(t.Context(), id)
		for method, err := range map[string]error{"Delivery": delivery, "Cancel": cancel, "Replay": replay} {
			if !errors.Is(err, hooks.ErrNotFound) {
				t.Errorf("%s(%+v) = %v; want ErrNotFound", method, id, err)
			}
		}
	}
	if _, err := h.Event(t.Context(), ""); !errors.Is(err, hooks.ErrNotFound) {
		t.Errorf("Event of an empty id = %v; want ErrNotFound", err)
	}
	if ev, err := h.Event(t.Context(), event); err != nil || ev.ID != event || ev.Seq == 0 {
		t.Errorf("Event = %+v, %v; want it as it was stored", ev, err)
	}
}

func TestAllReadsEveryPage(t *testing.T) {
	h := kit.New(t, hooks.Config{})
	var want []string
	for range 7 {
		want = append(want, kit.Send(t, h).EventID)
	}
	var got []string
	for ev, err := range hooks.All(t.Context(), h.Events, hooks.Query{Limit: 3}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, ev.ID)
	}
	slices.Reverse(got) // the newest came first
	if !slices.Equal(got, want) {
		t.Errorf("All = %q; want %q", got, want)
	}
	for range hooks.All(t.Context(), h.Events, hooks.Query{}) {
		break // must not panic
	}
}

// All ends with the first error, and with the end of its context.
func TestAllEndsWithAnError(t *testing.T) {
	broken := errors.New("disk on fire")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	pages := 0
	list := func(_ context.Context, q hooks.Query) ([]int, string, error) {
		if pages++; pages > 2 {
			return nil, "more", broken
		}
		return []int{1, 2}, "more", nil
	}
	seen := func(ctx context.Context, each func(row int)) (rows int, errs []error) {
		for row, err := range hooks.All(ctx, list, hooks.Query{}) {
			if err != nil {
				errs = append(errs, err)
				continue
			}
			each(row)
			rows++
		}
		return rows, errs
	}
	if rows, errs := seen(ctx, func(int) {}); rows != 4 || len(errs) != 1 || !errors.Is(errs[0], broken) {
		t.Errorf("All = %d rows, %v; want 4 and the error once", rows, errs)
	}
	pages = 0
	if rows, errs := seen(ctx, func(int) { stop() }); rows != 1 || len(errs) != 1 || !errors.Is(errs[0], context.Canceled) {
		t.Errorf("All with a context that ends = %d rows, %v; want 1 and its error", rows, errs)
	}
	if pages > 1 {
		t.Errorf("%d pages were read; want none after the context ended", pages)
	}
	var none context.Context
	rows, errs := seen(none, func(int) {})
	if rows != 0 || len(errs) != 1 {
		t.Fatalf("All with a nil context = %d rows, %v; want one error", rows, errs)
	}
	kit.WantInvalid(t, errs[0], "Context", nil, "nil")
}

func TestBacklogCountsByStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		h := kit.Subscribed(t, hooks.Config{Store: store}, hooks.Handler{Name: "audit", Func: kit.Ignore})
		for _, id := range []string{"a", "b"} {
			kit.Put(t, h, hooks.Endpoint{ID: id, Tenant: id, URL: kit.AnyURL})
			for range 3 {
				ev := kit.InvoicePaid.New(kit.Invoice{})
				ev.Tenant = id
				kit.Publish(t, h, ev)
			}
		}
		since := time.Now()
		kit.Leased(t, store, "a", since)
		kit.PlaceOrder(t, h, 1) // for audit alone
		backlog := func(h interface {
			Backlog(context.Context, hooks.Query) ([]hooks.Backlog, string, error)
		}, q hooks.Query,
		) string {
			var text strings.Builder
			for b, err := range hooks.All(t.Context(), h.Backlog, q) {
				text.WriteString(fmt.Sprintf("%s %v %v %v, ", b.Subscriber, b.Pending, b.Retrying, b.Sending))
				if err != nil || b.Subscriber != "a" && !b.Oldest.Equal(since) {
					t.Errorf("%+v, %v; want it due since %v", b, err, since)
				}
			}
			return text.String()
		}
		for _, c := range []struct {
			q    hooks.Query
			want string
		}{
			{hooks.Query{}, "a 0 0 3, audit 7 0 0, b 3 0 0, "},
			{hooks.Query{Limit: 1}, "a 0 0 3, audit 7 0 0, b 3 0 0, "},
			{hooks.Query{Subscriber: "b"}, "b 3 0 0, "},
			{hooks.Query{Tenant: "a"}, "a 0 0 3, audit 3 0 0, "},
			{hooks.Query{Tenant: "nobody"}, ""},
		} {
			if got := backlog(h, c.q); got != c.want {
				t.Errorf("Backlog(%+v) = %s; want %s", c.q, got, c.want)
			}
		}
		if got := backlog(h.Tenant("a"), hooks.Query{}); got != "a 0 0 3, " {
			t.Errorf("Backlog of tenant a = %s; want its endpoint's", got)
		}
	})
}

// Counts end where they would cost too much: a store that counts by itself goes further.
func TestBacklogCountsAreBounded(t *testing.T) {
	for _, c := range []struct {
		store hooks.Store
		want  hooks.Count
		text  string
	}{
		{&paging{Store: memory.New()}, hooks.Count{N: 1000, More: true}, "1,000+"},
		{&counting{Store: memory.New(), n: 10_000}, hooks.Count{N: 10_000}, "10,000"},
		{&counting{Store: memory.New(), n: 10_001}, hooks.Count{N: 10_000, More: true}, "10,000+"},
	} {
		h := kit.New(t, hooks.Config{Store: c.store})
		kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
		evs := make([]hooks.Event, 1001)
		for i := range evs {
			evs[i] = kit.InvoicePaid.New(kit.Invoice{})
		}
		if _, err := h.PublishBatch(t.Context(), evs); err != nil {
			t.Fatal(err)
		}
		page, _, err := h.Backlog(t.Context(), hooks.Query{})
		if err != nil || len(page) != 1 || page[0].Pending != c.want || page[0].Pending.String() != c.text {
			t.Errorf("Backlog = %+v, %v; want %v pending", page, err, c.text)
		}
	}
}

// The stores of this repository count to 10,000, and know whether there are more.
func TestBacklogCountsToTenThousand(t *testing.T) {
	if kit.RaceDetector {
		t.Skip("it takes too long with the race detector")
	}
	for name, open := range stores(t) {
		t.Run(name, func(t *testing.T) {
			h := kit.New(t, hooks.Config{Store: open(t), Logger: kit.Silent})
			kit.Put(t, h, hooks.Endpoint{ID: "crm", Tenant: "acme", URL: kit.AnyURL})
			evs := make([]hooks.Event, 10_000)
			for i := range evs {
				evs[i] = kit.InvoicePaid.New(kit.Invoice{})
				evs[i].Tenant = "acme"
			}
			for _, c := range []struct {
				more int // events to publish before
				want hooks.Count
			}{
				{9_999, hooks.Count{N: 9_999}}, {1, hooks.Count{N: 10_000}}, {1, hooks.Count{N: 10_000, More: true}},
			} {
				if _, err := h.PublishBatch(t.Context(), evs[:c.more]); err != nil {
					t.Fatal(err)
				}
				for _, list := range []func(context.Context, hooks.Query) ([]hooks.Backlog, string, error){h.Backlog, h.Tenant("acme").Backlog} {
					page, _, err := list(t.Context(), hooks.Query{})
					if err != nil || len(page) != 1 || page[0].Pending != c.want {
						t.Errorf("Backlog = %+v, %v; want %v pending", page, err, c.want)
					}
				}
			}
		})
	}
}

// A paging store cannot count, and a counting one says that there are n.
type (
	paging   struct{ hooks.Store }
	counting struct {
		hooks.Store
		hooks.Reporter
		n int
	}
)

func (s *counting) Count(_ context.Context, _ hooks.Query, most int) (hooks.Count, error) {
	return hooks.Count{N: min(s.n, most), More: s.n > most}, nil
}

func TestHandlersAreListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		elsewhere := kit.Subscribed(t, hooks.Config{Store: store}, hooks.Handler{Name: "b", Ordered: true, Func: kit.Ignore})
		flush(t, elsewhere) // records it
		h := kit.Subscribed(t, hooks.Config{Store: store},
			hooks.Handler{Name: "a", Func: kit.Ignore}, hooks.Handler{Name: "c", Func: kit.Ignore})
		got, err := h.Handlers(t.Context())
		all := []string{"**"}
		want := []hooks.HandlerInfo{
			{Name: "a", Events: all, Local: true}, {Name: "b", Events: all, Ordered: true}, {Name: "c", Events: all, Local: true},
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("Handlers = %+v, %v; want %+v", got, err, want)
		}
		kit.WantInvalid(t, h.DeleteHandler(t.Context(), "a"), "Handler.Name", hooks.ErrTaken, "remove it from the code")
		if err := h.DeleteHandler(t.Context(), "b"); err != nil {
			t.Error(err)
		}
		kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
		for _, name := range []string{"b", "crm"} {
			if err := h.DeleteHandler(t.Context(), name); !errors.Is(err, hooks.ErrNotFound) {
				t.Errorf("DeleteHandler(%s) = %v; want ErrNotFound", name, err)
			}
		}
		for _, name := range []string{"a", "b"} {
			if err := h.DeleteEndpoint(t.Context(), name); !errors.Is(err, hooks.ErrNotFound) {
				t.Errorf("DeleteEndpoint(%s) = %v; want ErrNotFound", name, err)
			}
		}
	})
}

// A reading of the clock with nanoseconds finds what was stored after it in the same
// microsecond, in every store.
func TestListsTakeTimesWithNanoseconds(t *testing.T) {
	h := kit.New(t, hooks.Config{Logger: kit.Silent})
	kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
	stored := kit.Delivery(t, h, kit.Send(t, h).EventID, "crm").Created
	q := hooks.Query{From: stored.Add(500 * time.Nanosecond)}
	if page, _, err := h.Deliveries(t.Context(), q); len(page) != 1 || err != nil {
		t.Errorf("Deliveries(%+v) = %v, %v; want the one stored at %v", q, page, err, stored)
	}
	if page, _, err := h.Events(t.Context(), q); len(page) != 1 || err != nil {
		t.Errorf("Events(%+v) = %v, %v; want the one stored at %v", q, page, err, stored)
	}
}
