package hooks_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/egress"
	"example.com/hooks/internal/kit"
	"example.com/hooks/keeper"
	"example.com/hooks/retry"
	"example.com/hooks/store/memory"
)

func TestNewReportsAllMistakesAtOnce(t *testing.T) {
	_, err := hooks.New(hooks.Config{
		Retry:                 retry.Exponential{First: -1},
		Timeout:               -1,
		Concurrency:           -1,
		SubscriberConcurrency: -1,
		DrainTimeout:          -1,
		MaxPayload:            -1,
		IdempotencyWindow:     -1,
		Retention:             -1,
		FailedRetention:       -1,
		UserAgent:             "\n",
		Egress:                egress.Policy{AllowPorts: []uint16{0}},
	})
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("New = %v; want joined errors", err)
	}
	got := make(map[string]bool)
	for _, err := range joined.Unwrap() {
		inv, ok := errors.AsType[*hooks.InvalidError](err)
		if !ok {
			t.Fatalf("New reports %v; want an InvalidError", err)
		}
		got[inv.Field] = true
	}
	want := []string{
		"Store", "Retry", "Timeout", "Concurrency", "SubscriberConcurrency", "DrainTimeout",
		"MaxPayload", "IdempotencyWindow", "Retention", "FailedRetention", "UserAgent", "Egress",
	}
	for _, field := range want {
		if !got["Config."+field] {
			t.Errorf("New does not report Config.%s: %v", field, err)
		}
	}
	if len(got) != len(want) {
		t.Errorf("New reports %d fields; want %d: %v", len(got), len(want), err)
	}
}

func TestNewNamesTheMistake(t *testing.T) {
	store := memory.New()
	for _, c := range []struct {
		config hooks.Config
		field  string
		advice string
	}{
		{hooks.Config{}, "Config.Store", "memory.New()"},
		{hooks.Config{Store: store, Timeout: -time.Second}, "Config.Timeout", "zero for the default"},
		{hooks.Config{Store: store, MaxPayload: -5}, "Config.MaxPayload", "-5 is negative; leave it zero"},
		{hooks.Config{Store: store, Retry: retry.Schedule{-1}}, "Config.Retry", "positive wait"},
		{hooks.Config{Store: (*memory.Store)(nil)}, "Config.Store", "nil *memory.Store"},
		{hooks.Config{Store: store, Transport: (*http.Transport)(nil)}, "Config.Transport", "nil *http.Transport"},
		{hooks.Config{Store: store, Transport: kit.Exchange(nil)}, "Config.Transport", "leave the field alone"},
		{hooks.Config{Store: store, Keeper: (*keeper.Keys)(nil)}, "Config.Keeper", "nil *keeper.Keys"},
		{hooks.Config{Store: store, Retry: (*retry.Exponential)(nil)}, "Config.Retry", "nil *retry.Exponential"},
	} {
		_, err := hooks.New(c.config)
		kit.WantInvalid(t, err, c.field, nil, c.advice)
	}
}

func TestRegisterRefuses(t *testing.T) {
	for _, name := range []string{
		"", ".", "a.", ".a", "a..b", "a b", "a-b", "a.*", "**", "ü.b", "a\n", "a/b",
		"hooks.delivery.failed", "hooks.x", strings.Repeat("a", 129),
	} {
		h := kit.New(t, hooks.Config{})
		err := h.Register(hooks.EventType[int]{Name: "fine"}, hooks.EventType[int]{Name: name})
		kit.WantInvalid(t, err, "EventType.Name", nil, "")
		_, err = h.Publish(t.Context(), hooks.EventType[int]{Name: "fine"}.New(1))
		kit.WantInvalid(t, err, "Event.Type", hooks.ErrUnknownType, "Register") // all or none
	}
}

func TestRegisterAccepts(t *testing.T) {
	for _, name := range []string{"a", "a.b", "invoice.line_item.paid", "_", "7.a", "A.B", "hooks", "hooksy.a", strings.Repeat("a", 128)} {
		h := kit.New(t, hooks.Config{})
		typ := hooks.EventType[int]{Name: name}
		if err := errors.Join(h.Register(typ), h.Register(typ, typ)); err != nil {
			t.Errorf("Register(%q) = %v; want nil", name, err)
		}
		if _, err := h.Publish(t.Context(), typ.New(1)); err != nil {
			t.Errorf("Publish(%q) = %v; want nil", name, err)
		}
	}
}

func TestSubscribeRefuses(t *testing.T) {
	good := hooks.Handler{Name: "audit", Events: []string{"**"}, Func: kit.Ignore}
	for _, c := range []struct {
		name     string
		spoil    func(*hooks.Handler)
		field    string
		sentinel error
		advice   string
	}{
		{"no name", func(s *hooks.Handler) { s.Name = "" }, "Handler.Name", nil, "letters, digits, _ and -"},
		{"dotted name", func(s *hooks.Handler) { s.Name = "a.b" }, "Handler.Name", nil, "letters"},
		{"name with a newline", func(s *hooks.Handler) { s.Name = "a\n" }, "Handler.Name", nil, "letters"},
		{"long name", func(s *hooks.Handler) { s.Name = strings.Repeat("a", 129) }, "Handler.Name", nil, "128"},
		{"no function", func(s *hooks.Handler) { s.Func = nil }, "Handler.Func", nil, "needs a function"},
		{"concurrency", func(s *hooks.Handler) { s.Concurrency = -1 }, "Handler.Concurrency", nil, "zero"},
		{"timeout", func(s *hooks.Handler) { s.Timeout = -1 }, "Handler.Timeout", nil, "zero"},
		{"timeout without end", func(s *hooks.Handler) { s.Timeout = 1<<63 - 1 }, "Handler.Timeout", nil, "24 h"},
		{"retry", func(s *hooks.Handler) { s.Retry = retry.Schedule{-1} }, "Handler.Retry", nil, "positive wait"},
		{"retry that is nil", func(s *hooks.Handler) { s.Retry = (*retry.Exponential)(nil) }, "Handler.Retry", nil, "leave the field alone"},
		{"no events", func(s *hooks.Handler) { s.Events = nil }, "Handler.Events", nil, "** for all"},
		{"too many patterns", func(s *hooks.Handler) { s.Events = slices.Repeat([]string{"invoice.paid"}, 65) }, "Handler.Events", nil, "at most 64"},
		{"no pattern", func(s *hooks.Handler) { s.Events = []string{"**", "a**"} }, "Handler.Events", nil, "invoice.*"},
		{"typo", func(s *hooks.Handler) { s.Events = []string{"**", "invoce.paid"} }, "Handler.Events", hooks.ErrNoMatch, "invoice.paid"},
		{"taken", func(s *hooks.Handler) { s.Name = "taken" }, "Handler.Name", hooks.ErrTaken, "choose"},
		{"taken by an endpoint", func(s *hooks.Handler) { s.Name = "crm" }, "Handler.Name", hooks.ErrTaken, "choose"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := kit.New(t, hooks.Config{})
			taken := good
			taken.Name = "taken"
			if err := h.Subscribe(taken); err != nil {
				t.Fatal(err)
			}
			kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: "https://example.com/", Events: []string{"**"}})
			s := good
			c.spoil(&s)
			kit.WantInvalid(t, h.Subscribe(s), c.field, c.sentinel, c.advice)
			if r := kit.Send(t, h); r.Deliveries != 2 {
				t.Errorf("deliveries = %d; want 2: the refused handler must receive nothing", r.Deliveries)
			}
			if err := h.Subscribe(good); err != nil {
				t.Errorf("Subscribe of a good one = %v; want nil", err)
			}
		})
	}
}

func TestLongestListsAreAccepted(t *testing.T) {
	h := kit.New(t, hooks.Config{})
	patterns := slices.Repeat([]string{"invoice.paid"}, 64)
	if err := h.Subscribe(hooks.Handler{Name: "audit", Events: patterns, Func: kit.Ignore}); err != nil {
		t.Errorf("Subscribe with 64 patterns = %v; want nil", err)
	}
	kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL, Events: patterns, Retry: make([]time.Duration, 50)})
}

func TestPutEndpointRefuses(t *testing.T) {
	for _, c := range []struct {
		name     string
		spoil    func(*hooks.Endpoint)
		field    string
		sentinel error
		advice   string
	}{
		{"dotted id", func(e *hooks.Endpoint) { e.ID = "a.b" }, "Endpoint.ID", nil, "letters, digits, _ and -"},
		{"id with a slash", func(e *hooks.Endpoint) { e.ID = "a/b" }, "Endpoint.ID", nil, "letters"},
		{"long id", func(e *hooks.Endpoint) { e.ID = strings.Repeat("a", 129) }, "Endpoint.ID", nil, "128"},
		{"id of a handler", func(e *hooks.Endpoint) { e.ID = "audit" }, "Endpoint.ID", hooks.ErrTaken, "choose another"},
		{"concurrency", func(e *hooks.Endpoint) { e.Concurrency = -1 }, "Endpoint.Concurrency", nil, "zero"},
		{"timeout", func(e *hooks.Endpoint) { e.Timeout = -1 }, "Endpoint.Timeout", nil, "zero"},
		{"timeout without end", func(e *hooks.Endpoint) { e.Timeout = 25 * time.Hour }, "Endpoint.Timeout", nil, "24 h"},
		{"retry", func(e *hooks.Endpoint) { e.Retry = []time.Duration{1, -1} }, "Endpoint.Retry", nil, "positive wait"},
		{"too many waits", func(e *hooks.Endpoint) { e.Retry = make([]time.Duration, 51) }, "Endpoint.Retry", nil, "at most 50"},
		{"no events", func(e *hooks.Endpoint) { e.Events = nil }, "Endpoint.Events", nil, "** for all"},
		{"empty pattern", func(e *hooks.Endpoint) { e.Events = []string{""} }, "Endpoint.Events", nil, "invoice.*"},
		{"too many patterns", func(e *hooks.Endpoint) { e.Events = slices.Repeat([]string{"invoice.paid"}, 65) }, "Endpoint.Events", nil, "at most 64"},
		{"** in the middle", func(e *hooks.Endpoint) { e.Events = []string{"**.paid"} }, "Endpoint.Events", nil, "invoice.*"},
		{"typo", func(e *hooks.Endpoint) { e.Events = []string{"invoice.payd"} }, "Endpoint.Events", hooks.ErrNoMatch, "have the type registered first"},
		{"too many segments", func(e *hooks.Endpoint) { e.Events = []string{"*.*.*"} }, "Endpoint.Events", hooks.ErrNoMatch, "mend the pattern"},
		{"tenant with a newline", func(e *hooks.Endpoint) { e.Tenant = "a\nb" }, "Endpoint.Tenant", nil, "control character"},
		{"long tenant", func(e *hooks.Endpoint) { e.Tenant = strings.Repeat("a", 129) }, "Endpoint.Tenant", nil, "at most 128"},
		{"tenant not UTF-8", func(e *hooks.Endpoint) { e.Tenant = "\xff" }, "Endpoint.Tenant", nil, "UTF-8"},
		{"long description", func(e *hooks.Endpoint) { e.Description = strings.Repeat("a", 1025) }, "Endpoint.Description", nil, "at most 1024"},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := memory.New()
			h := kit.New(t, hooks.Config{Store: store})
			if err := h.Subscribe(hooks.Handler{Name: "audit", Events: []string{"**"}, Func: kit.Ignore}); err != nil {
				t.Fatal(err)
			}
			e := hooks.Endpoint{ID: "crm", URL: "https://example.com/", Events: []string{"invoice.*"}}
			c.spoil(&e)
			_, err := h.PutEndpoint(t.Context(), e)
			kit.WantInvalid(t, err, c.field, c.sentinel, c.advice)
			kit.WantEmpty(t, h, store)
		})
	}
}

func TestPutEndpointRefusesURLs(t *testing.T) {
	for _, c := range []struct{ url, rule, advice string }{
		{"", "length", "1 to 2,048 bytes"},
		{"https://example.com/" + strings.Repeat("a", 2048), "length", "1 to 2,048 bytes"},
		{"http://example.com/", "scheme", "https://"},
		{"ftp://example.com/", "scheme", "https://"},
		{"https://me:topsecret@example.com/", "userinfo", "Remove the user name"},
		{"https://example.com/#topsecret", "fragment", "Remove the #"},
		{"https://localhost/topsecret", "localhost", "other machines can reach"},
		{"https://127.0.0.1/?topsecret", "loopback", ""},
		{"https://169.254.169.254/latest/meta-data/topsecret", "link-local", ""},
		{"https://10.0.0.1/", "private", ""},
		{"https://2130706433/", "numeric-host", "four decimal numbers"},
		{"https://[::ffff:127.0.0.1]/", "loopback", ""},
		{"https://example.com:25/", "port", ""},
		{`https://example.com\@evil.example/`, "backslash", "%5C"},
	} {
		t.Run(c.url[:min(len(c.url), 40)], func(t *testing.T) {
			store := memory.New()
			h := kit.New(t, hooks.Config{Store: store})
			_, err := h.PutEndpoint(t.Context(), hooks.Endpoint{ID: "crm", URL: c.url, Events: []string{"**"}})
			kit.WantInvalid(t, err, "Endpoint.URL", egress.ErrDenied, c.advice)
			if e, ok := errors.AsType[*egress.Error](err); !ok || e.Rule != c.rule {
				t.Errorf("rule = %+v; want %s", e, c.rule)
			}
			if strings.Contains(err.Error(), "topsecret") {
				t.Errorf("error = %q; want nothing of the URL in it", err)
			}
			kit.WantEmpty(t, h, store)
		})
	}
}

func TestPutEndpointRefusesHeaders(t *testing.T) {
	many := make(map[string]string)
	for i := range 21 {
		many[fmt.Sprintf("X-%d", i)] = "v"
	}
	for _, c := range []struct {
		name   string
		header map[string]string
		advice string
	}{
		{"too many", many, "at most 20"},
		{"too large", map[string]string{"X-A": strings.Repeat("v", 4096)}, "at most 4096"},
		{"no name", map[string]string{"": "v"}, "no header name"},
		{"space in the name", map[string]string{"X A": "v"}, "no header name"},
		{"newline in the name", map[string]string{"X-A\r\nX-B": "v"}, "no header name"},
		{"what hides a value", map[string]string{"X-A": "***"}, "hidden form"},
		{"newline in the value", map[string]string{"X-A": "topsecret\r\nX-B: w"}, "control character"},
		{"NUL in the value", map[string]string{"X-A": "topsecret\x00"}, "control character"},
		{"value not UTF-8", map[string]string{"X-A": "topsecret\xff"}, "UTF-8"},
		{"twice", map[string]string{"X-Key": "1", "x-key": "2"}, "twice"},
		{"the id", map[string]string{"Webhook-Id": "v"}, "not yours to set"},
		{"the signature", map[string]string{"webhook-signature": "v"}, "not yours to set"},
		{"a webhook header to come", map[string]string{"WEBHOOK-NEW": "v"}, "not yours to set"},
		{"the type", map[string]string{"content-type": "text/plain"}, "not yours to set"},
		{"the length", map[string]string{"Content-Length": "0"}, "not yours to set"},
		{"the host", map[string]string{"Host": "v"}, "not yours to set"},
		{"the user agent", map[string]string{"User-Agent": "v"}, "not yours to set"},
		{"hop by hop", map[string]string{"Transfer-Encoding": "chunked"}, "not yours to set"},
		{"connection", map[string]string{"Connection": "close"}, "not yours to set"},
		{"proxy", map[string]string{"Proxy-Authorization": "v"}, "not yours to set"},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := memory.New()
			h := kit.New(t, hooks.Config{Store: store})
			_, err := h.PutEndpoint(t.Context(), hooks.Endpoint{
				ID: "crm", URL: "https://example.com/", Events: []string{"**"}, Header: c.header,
			})
			kit.WantInvalid(t, err, "Endpoint.Header", nil, c.advice)
			if strings.Contains(err.Error(), "topsecret") {
				t.Errorf("error = %q; want no value in it", err)
			}
			kit.WantEmpty(t, h, store)
		})
	}
}

func TestPublishRefuses(t *testing.T) {
	const limit = 100
	at := time.Now()
	raw := hooks.EventType[json.RawMessage]{Name: "invoice.paid"}
	withData := func(data string) hooks.Event { return raw.New(json.RawMessage(data)) }
	with := func(change func(*hooks.Event)) hooks.Event {
		ev := kit.InvoicePaid.New(kit.Invoice{Number: 1})
		change(&ev)
		return ev
	}
	for _, c := range []struct {
		name     string
		event    hooks.Event
		field    string
		sentinel error
		advice   string
	}{
		{"unknown type", hooks.EventType[int]{Name: "invoice.payd"}.New(1), "Event.Type", hooks.ErrUnknownType, "Register"},
		{"no type", hooks.Event{Data: json.RawMessage("1")}, "Event.Type", hooks.ErrUnknownType, "Register"},
		{"dotted id", with(func(ev *hooks.Event) { ev.ID = "a.b" }), "Event.ID", nil, "letters, digits, _ and -"},
		{"long id", with(func(ev *hooks.Event) { ev.ID = strings.Repeat("a", 129) }), "Event.ID", nil, "128"},
		{"id with a newline", with(func(ev *hooks.Event) { ev.ID = "a\n" }), "Event.ID", nil, "letters"},
		{"no data", withData(""), "Event.Data", nil, "EventType.New"},
		{"spaces only", withData(" \n"), "Event.Data", nil, "not JSON"},
		{"not JSON", withData("{invoice: 1}"), "Event.Data", nil, "not JSON"},
		{"two values", withData("1 2"), "Event.Data", nil, "not JSON"},
		{"not UTF-8", withData("\"\xff\""), "Event.Data", nil, "UTF-8"},
		{"byte order mark", withData("\ufeff1"), "Event.Data", nil, "not JSON"},
		{"too large", withData(`"` + strings.Repeat("a", limit-1) + `"`), "Event.Data", hooks.ErrTooLarge, "send a reference instead"},
		{"year 10000", with(func(ev *hooks.Event) { ev.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }), "Event.Time", nil, "RFC 3339"},
		{"due in year 9999", with(func(ev *hooks.Event) { ev.DeliverAt = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) }), "Event.Time", nil, "RFC 3339"},
		{"before year 1", with(func(ev *hooks.Event) { ev.Time = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC) }), "Event.Time", nil, "RFC 3339"},
		{"tenant", with(func(ev *hooks.Event) { ev.Tenant = "a\x00" }), "Event.Tenant", nil, "control"},
		{"long tenant", with(func(ev *hooks.Event) { ev.Tenant = strings.Repeat("a", 129) }), "Event.Tenant", nil, "at most 128"},
		{"ordering key", with(func(ev *hooks.Event) { ev.OrderingKey = strings.Repeat("a", 257) }), "Event.OrderingKey", nil, "at most 256"},
		{"ordering key not UTF-8", with(func(ev *hooks.Event) { ev.OrderingKey = "\xc3" }), "Event.OrderingKey", nil, "UTF-8"},
		{"idempotency key", with(func(ev *hooks.Event) { ev.IdempotencyKey = strings.Repeat("a", 257) }), "Event.IdempotencyKey", nil, "at most 256"},
		{"idempotency key with a tab", with(func(ev *hooks.Event) { ev.IdempotencyKey = "a\tb" }), "Event.IdempotencyKey", nil, "control"},
		{"metadata not UTF-8", with(func(ev *hooks.Event) { ev.Metadata = map[string]string{"k": "\xff"} }), "Event.Metadata", nil, "UTF-8"},
		{"large metadata", with(func(ev *hooks.Event) { ev.Metadata = map[string]string{"k": strings.Repeat("a", 16<<10)} }), "Event.Metadata", nil, "at most 16384"},
		{"expires before it is due", with(func(ev *hooks.Event) { ev.DeliverAt, ev.ExpiresAt = at.Add(2*time.Hour), at.Add(time.Hour) }), "Event.ExpiresAt", nil, "DeliverAt"},
		{"expires when it is due", with(func(ev *hooks.Event) { ev.DeliverAt, ev.ExpiresAt = at.Add(time.Hour), at.Add(time.Hour) }), "Event.ExpiresAt", nil, "DeliverAt"},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := memory.New()
			h := kit.New(t, hooks.Config{Store: store, MaxPayload: limit})
			if err := h.Subscribe(hooks.Handler{Name: "audit", Events: []string{"**"}, Func: kit.Ignore}); err != nil {
				t.Fatal(err)
			}
			good := kit.InvoicePaid.New(kit.Invoice{Number: 1})
			_, one := h.Publish(t.Context(), c.event)
			_, batch := h.PublishBatch(t.Context(), []hooks.Event{good, c.event, good})
			_, tx := h.PublishTx(t.Context(), store, good, c.event)
			for _, err := range []error{one, batch, tx} {
				kit.WantInvalid(t, err, c.field, c.sentinel, c.advice)
			}
			kit.WantEmpty(t, h, store)
		})
	}
}

func TestPublishAcceptsWhatIsJustWithinTheLimits(t *testing.T) {
	h := kit.New(t, hooks.Config{MaxPayload: 8})
	raw := hooks.EventType[json.RawMessage]{Name: "invoice.paid"}
	ev := raw.New(json.RawMessage(`"123456"`))
	ev.ID = strings.Repeat("a", 128)
	ev.Tenant = strings.Repeat("t", 128)
	ev.OrderingKey = strings.Repeat("ü", 128)
	ev.IdempotencyKey = strings.Repeat(".", 256)
	ev.Metadata = map[string]string{"k\n": strings.Repeat("m", 16<<10-2)}
	kit.Publish(t, h, ev)
	big := kit.New(t, hooks.Config{})
	kit.Publish(t, big, raw.New(bytes.Repeat([]byte("1"), 256<<10)))
	_, err := big.Publish(t.Context(), raw.New(bytes.Repeat([]byte("1"), 256<<10+1)))
	kit.WantInvalid(t, err, "Event.Data", hooks.ErrTooLarge, "262145 bytes; at most 262144")
}

// New cannot return an error, so Publish does.
func TestPublishReturnsTheErrorOfEncoding(t *testing.T) {
	store := memory.New()
	h := kit.New(t, hooks.Config{Store: store})
	typ := hooks.EventType[float64]{Name: "reading.taken"}
	if err := h.Register(typ); err != nil {
		t.Fatal(err)
	}
	_, err := h.Publish(t.Context(), typ.New(math.NaN()))
	kit.WantInvalid(t, err, "Event.Data", nil, "encode reading.taken: json: unsupported value: NaN")
	if _, ok := errors.AsType[*json.UnsupportedValueError](err); !ok {
		t.Errorf("error %q does not wrap what encoding/json returned", err)
	}
	kit.WantEmpty(t, h, store)
}

func TestPublishTxRefusesNil(t *testing.T) {
	h := kit.New(t, hooks.Config{})
	for _, tx := range []hooks.Tx{nil, (*memory.Store)(nil)} {
		_, err := h.PublishTx(t.Context(), tx, kit.InvoicePaid.New(kit.Invoice{Number: 1}))
		kit.WantInvalid(t, err, "Tx", nil, "the store's Tx method")
	}
}

func TestClosedStore(t *testing.T) {
	for _, known := range []bool{false, true} { // whether the subscribers have been read
		store := memory.New()
		h := kit.New(t, hooks.Config{Store: store})
		if known {
			kit.Send(t, h)
		}
		store.Close()
		ev := kit.InvoicePaid.New(kit.Invoice{Number: 1})
		e := hooks.Endpoint{ID: "crm", URL: "https://example.com/", Events: []string{"**"}}
		_, one := h.Publish(t.Context(), ev)
		_, batch := h.PublishBatch(t.Context(), []hooks.Event{ev, ev})
		_, tx := h.PublishTx(t.Context(), store, ev)
		_, endpoint := h.PutEndpoint(t.Context(), e)
		_, delivery := h.Delivery(t.Context(), hooks.DeliveryID{Event: "a", Subscriber: "b"})
		for name, err := range map[string]error{
			"Publish": one, "PublishBatch": batch, "PublishTx": tx, "PutEndpoint": endpoint, "Delivery": delivery,
			"DeleteEndpoint": h.DeleteEndpoint(t.Context(), "crm"), "Prune": h.Prune(t.Context()), "Run": h.Run(t.Context()),
		} {
			if !errors.Is(err, hooks.ErrClosed) {
				t.Errorf("%s with known subscribers %v = %v; want ErrClosed", name, known, err)
			}
		}
	}
}

func TestUnknownThingsAreNotFound(t *testing.T) {
	h := kit.New(t, hooks.Config{})
	id := hooks.DeliveryID{Event: "a", Subscriber: "b"}
	_, endpoint := h.Endpoint(t.Context(), "crm")
	_, delivery := h.Delivery(t.Context(), id)
	_, replay := h.Replay(t.Context(), id)
	_, event := h.Event(t.Context(), "a")
	_, attempts := h.Attempts(t.Context(), id)
	_, cancel := h.Cancel(t.Context(), id)
	for name, err := range map[string]error{
		"Endpoint": endpoint, "Delivery": delivery, "Replay": replay, "Cancel": cancel, "Event": event, "Attempts": attempts,
		"DeleteHandler":  h.DeleteHandler(t.Context(), "crm"),
		"DeleteEndpoint": h.DeleteEndpoint(t.Context(), "crm"),
	} {
		if !errors.Is(err, hooks.ErrNotFound) || !strings.HasPrefix(err.Error(), "hooks: ") {
			t.Errorf("%s = %v; want hooks: … ErrNotFound", name, err)
		}
	}
}

// Two processes may give one name to different things before they know of
// each other; the later one is told.
func TestNamesAreSharedByAllProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		one, two := kit.New(t, hooks.Config{Store: store}), kit.New(t, hooks.Config{Store: store})
		if err := two.Subscribe(hooks.Handler{Name: "crm", Events: []string{"**"}, Func: kit.Ignore}); err != nil {
			t.Fatal(err)
		}
		e := kit.Put(t, one, hooks.Endpoint{ID: "crm", URL: "https://example.com/"})
		kit.WantInvalid(t, two.Run(t.Context()), "Handler.Name", hooks.ErrTaken, "choose another")

		if err := one.DeleteEndpoint(t.Context(), "crm"); err != nil {
			t.Fatal(err)
		}
		kit.Start(t, two)
		synctest.Wait()
		_, err := one.PutEndpoint(t.Context(), e)
		kit.WantInvalid(t, err, "Endpoint.ID", hooks.ErrTaken, "choose another")
	})
}
