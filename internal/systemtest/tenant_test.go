package systemtest_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

var (
	fraudFlagged = hooks.EventType[kit.Invoice]{Name: "fraud.flagged", Private: true}
	legacyDone   = hooks.EventType[kit.Invoice]{Name: "legacy.done"}
)

// An estate is a store with what belongs to tenant acme, and what does not: tenant rival's
// endpoint "theirs", the handlers "audit" and "formerly" (deleted), a private type, and a
// type that this program does not register.
type estate struct {
	h      *hooks.Hooks
	acme   *hooks.Tenant
	own    string // ids of events
	rivals string
	secret string // acme's, of the private type
	legacy string // acme's, of the other program's type
}

func newEstate(t *testing.T) *estate {
	t.Helper()
	store := memory.New()
	former := kit.New(t, hooks.Config{Store: store, Logger: kit.Silent})
	if err := former.Register(legacyDone, fraudFlagged); err != nil {
		t.Fatal(err)
	}
	formerly := hooks.Handler{Name: "formerly", Events: []string{"**"}, Func: kit.Ignore}
	if err := former.Subscribe(formerly); err != nil {
		t.Fatal(err)
	}
	ok := kit.Exchange(func(*http.Request) (*http.Response, error) { return kit.Answer(200, nil, ""), nil })
	kit.Put(t, former, hooks.Endpoint{ID: "mine", Tenant: "acme", URL: kit.AnyURL, Events: []string{"**", "hooks.**"}})
	kit.Put(t, former, hooks.Endpoint{ID: "gone", Tenant: "acme", URL: kit.AnyURL, Events: []string{"**"}})
	kit.Put(t, former, hooks.Endpoint{ID: "theirs", Tenant: "rival", URL: kit.AnyURL, Events: []string{"**"}})
	publish := func(et hooks.EventType[kit.Invoice], tenant string) string {
		ev := et.New(kit.Invoice{Number: 1})
		ev.Tenant, ev.IdempotencyKey = tenant, "key-of-"+tenant+et.Name
		return kit.Publish(t, former, ev).EventID
	}
	e := &estate{own: publish(kit.InvoicePaid, "acme"), legacy: publish(legacyDone, "acme")}
	e.rivals, e.secret = publish(kit.InvoicePaid, "rival"), publish(fraudFlagged, "acme")

	e.h = kit.New(t, hooks.Config{Store: store, Logger: kit.Silent, Transport: ok})
	if err := e.h.Register(fraudFlagged); err != nil {
		t.Fatal(err)
	}
	if err := e.h.Subscribe(formerly); err != nil {
		t.Fatal(err)
	}
	flush(t, e.h) // so that there are attempts, and a record of the handler

	e.h = kit.New(t, hooks.Config{Store: store, Logger: kit.Silent, Transport: ok})
	if err := e.h.Register(fraudFlagged); err != nil {
		t.Fatal(err)
	}
	if err := e.h.Subscribe(hooks.Handler{Name: "audit", Events: []string{"**"}, Func: kit.Ignore}); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		e.h.DeleteEndpoint(t.Context(), "gone"), e.h.DeleteHandler(t.Context(), "formerly"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	later := fraudFlagged.New(kit.Invoice{Number: 2})
	later.Tenant, later.DeliverAt = "acme", time.Now().Add(time.Hour)
	kit.Publish(t, e.h, later) // waits for audit
	e.acme = e.h.Tenant("acme")
	e.startActions(t)
	return e
}

// Names are what somebody may write: ids of one kind of thing that is not acme's, or ids
// that do not exist.
type names struct{ endpoint, event, subscriber, typ, tenant, action string }

func (n names) delivery() hooks.DeliveryID {
	return hooks.DeliveryID{Event: n.event, Subscriber: n.subscriber}
}

// masked returns a text without the names that its reader has written.
func (n names) masked(text string) string {
	for _, name := range []string{n.action, n.event, n.endpoint, n.subscriber, n.typ, n.tenant} {
		text = strings.ReplaceAll(text, name, "_")
	}
	return text
}

var nobody = names{"nobody", "evt_none", "nobody", "no.such", "nowhere", "act_none"}

// foreign returns what acme must not see.
func (e *estate) foreign() map[string]names {
	return map[string]names{
		"another tenant's":    {endpoint: "theirs", event: e.rivals, subscriber: "theirs", tenant: "rival", action: "act_rival"},
		"a handler's":         {endpoint: "audit", event: e.own, subscriber: "audit", action: "act_operator"},
		"a deleted handler's": {endpoint: "formerly", event: e.own, subscriber: "formerly"},
		"of a private type":   {event: e.secret, subscriber: "formerly", typ: "fraud.flagged"},
		"of an unknown type":  {event: e.legacy, subscriber: "mine", typ: "legacy.done"},
	}
}

// A probe calls one method of a tenant with names, and returns its results as text.
type probe func(t *hooks.Tenant, n names) string

// probes has every method of Tenant. A method without a probe fails the test.
var probes = map[string][]probe{
	"Publish": {
		func(t *hooks.Tenant, n names) string {
			return said(t.Publish(bg, hooks.Event{Type: n.typ, Data: []byte("1")}))
		},
		func(t *hooks.Tenant, n names) string {
			return said(t.Publish(bg, hooks.Event{Type: "invoice.paid", Tenant: n.tenant, Data: []byte("1")}))
		},
	},
	"PublishBatch": {
		func(t *hooks.Tenant, n names) string {
			return said(t.PublishBatch(bg, []hooks.Event{{Type: n.typ, Data: []byte("1")}}))
		},
		func(t *hooks.Tenant, n names) string {
			return said(t.PublishBatch(bg, []hooks.Event{{Type: "invoice.paid", Tenant: n.tenant, Data: []byte("1")}}))
		},
	},
	"PublishTx": {
		func(t *hooks.Tenant, n names) string {
			return said(t.PublishTx(bg, memory.New(), hooks.Event{Type: n.typ, Data: []byte("1")}))
		},
		func(t *hooks.Tenant, n names) string {
			return said(t.PublishTx(bg, memory.New(), hooks.Event{Type: "invoice.paid", Tenant: n.tenant, Data: []byte("1")}))
		},
	},
	"Types":    {func(t *hooks.Tenant, _ names) string { return said(t.Types(), nil) }},
	"CheckURL": {func(t *hooks.Tenant, n names) string { return said(nil, t.CheckURL("ftp://"+n.endpoint)) }},
	"PutEndpoint": {
		func(t *hooks.Tenant, n names) string {
			return said(t.PutEndpoint(bg, hooks.Endpoint{ID: "x", URL: kit.AnyURL, Events: []string{n.typ}}))
		},
		func(t *hooks.Tenant, n names) string {
			return said(t.PutEndpoint(bg, hooks.Endpoint{ID: "x", Tenant: n.tenant, URL: kit.AnyURL, Events: []string{"**"}}))
		},
	},
	"Endpoint":       {func(t *hooks.Tenant, n names) string { return found(t.Endpoint(bg, n.endpoint)) }},
	"DeleteEndpoint": {func(t *hooks.Tenant, n names) string { return found(nil, t.DeleteEndpoint(bg, n.endpoint)) }},
	"DisableEndpoint": {func(t *hooks.Tenant, n names) string {
		return found(nil, t.DisableEndpoint(bg, n.endpoint, "why", time.Time{}))
	}},
	"EnableEndpoint": {func(t *hooks.Tenant, n names) string { return found(nil, t.EnableEndpoint(bg, n.endpoint)) }},
	"EndpointHealth": {func(t *hooks.Tenant, n names) string { return found(t.EndpointHealth(bg, n.endpoint)) }},
	"VerifyEndpoint": {func(t *hooks.Tenant, n names) string { return found(t.VerifyEndpoint(bg, n.endpoint)) }},
	"EndpointHealths": {func(t *hooks.Tenant, n names) string {
		return listed(t.EndpointHealths, hooks.Query{Tenant: n.tenant})
	}},
	"RotateSecret": {func(t *hooks.Tenant, n names) string {
		return found(t.RotateSecret(bg, n.endpoint, hooks.Rotation{}))
	}},
	"Endpoints": {func(t *hooks.Tenant, n names) string { return listed(t.Endpoints, hooks.Query{Tenant: n.tenant}) }},
	"Event":     {func(t *hooks.Tenant, n names) string { return eventFound(t, n) }},
	"Events": {
		func(t *hooks.Tenant, n names) string { return listed(t.Events, hooks.Query{Types: []string{n.typ}}) },
		func(t *hooks.Tenant, n names) string { return listed(t.Events, hooks.Query{Tenant: n.tenant}) },
		func(t *hooks.Tenant, n names) string {
			pattern := strings.Split(n.typ, ".")[0] + ".*"
			return strings.ReplaceAll(listed(t.Events, hooks.Query{Types: []string{pattern}}), pattern, "_")
		},
	},
	"Delivery": {func(t *hooks.Tenant, n names) string { return found(t.Delivery(bg, n.delivery())) }},
	"Deliveries": {
		func(t *hooks.Tenant, n names) string {
			return listed(t.Deliveries, hooks.Query{Event: n.event, Subscriber: n.subscriber})
		},
		func(t *hooks.Tenant, n names) string {
			return listed(t.Deliveries, hooks.Query{Tenant: n.tenant, OrderingKey: "key"})
		},
		func(t *hooks.Tenant, n names) string {
			return listed(t.Deliveries, hooks.Query{Types: []string{n.typ}})
		},
		func(t *hooks.Tenant, n names) string { return listed(t.Deliveries, hooks.Query{Tenant: n.tenant}) },
	},
	"Attempts": {func(t *hooks.Tenant, n names) string { return found(t.Attempts(bg, n.delivery())) }},
	"Replay":   {func(t *hooks.Tenant, n names) string { return found(t.Replay(bg, n.delivery())) }},
	"Cancel":   {func(t *hooks.Tenant, n names) string { return found(t.Cancel(bg, n.delivery())) }},
	"Request":  {func(t *hooks.Tenant, n names) string { return found(t.Request(bg, n.delivery())) }},
	"ExplainDelivery": {func(t *hooks.Tenant, n names) string {
		return found(t.ExplainDelivery(bg, n.delivery()))
	}},
	"ExplainEvent": {
		func(t *hooks.Tenant, n names) string {
			return said(t.ExplainEvent(bg, hooks.Event{Type: n.typ, Data: []byte("1")}))
		},
		func(t *hooks.Tenant, n names) string {
			return said(t.ExplainEvent(bg, hooks.Event{Type: "invoice.paid", Tenant: n.tenant, Data: []byte("1")}))
		},
		func(t *hooks.Tenant, n names) string { // a notice that somebody has made up
			said := said(t.ExplainEvent(bg, hooks.DeliveryFailed.New(hooks.DeliveryNotice{Delivery: hooks.Delivery{
				DeliveryID: hooks.DeliveryID{Event: n.event, Subscriber: n.endpoint}, Type: "invoice.paid", Tenant: "acme", Status: hooks.Failed,
			}})))
			return strings.ReplaceAll(said, "mine", "_") // some names have that, and are masked
		},
	},
	"SendTest": {
		func(t *hooks.Tenant, n names) string {
			return found(t.SendTest(bg, n.endpoint, hooks.Event{Type: "invoice.paid", Data: []byte("1")}))
		},
		func(t *hooks.Tenant, n names) string { return said(t.SendTest(bg, "mine", hooks.Event{Type: n.typ})) },
		func(t *hooks.Tenant, n names) string {
			return said(t.SendTest(bg, "mine", hooks.Event{Type: "invoice.paid", Tenant: n.tenant, Data: []byte("1")}))
		},
	},
	"Activity": {
		func(t *hooks.Tenant, n names) string {
			return said(t.Activity(bg, hooks.Query{Subscriber: n.endpoint}))
		},
		func(t *hooks.Tenant, n names) string { return said(t.Activity(bg, hooks.Query{Tenant: n.tenant})) },
	},
	"Backlog": {
		func(t *hooks.Tenant, n names) string { return listed(t.Backlog, hooks.Query{Subscriber: n.endpoint}) },
		func(t *hooks.Tenant, n names) string { return listed(t.Backlog, hooks.Query{Tenant: n.tenant}) },
	},
	"StartAction": startActionProbes,
	"StopAction":  {func(t *hooks.Tenant, n names) string { return found(t.StopAction(bg, n.action)) }},
	"Action":      {func(t *hooks.Tenant, n names) string { return found(t.Action(bg, n.action)) }},
	"Actions":     {func(t *hooks.Tenant, _ names) string { return listed(t.Actions, hooks.Query{}) }},
}

var bg = context.Background()

// said returns what a method returned, as text that can be compared.
func said(result any, err error) string {
	data, _ := json.Marshal(result)
	return fmt.Sprintf("%s, %v", data, err)
}

// found is said for methods that must return ErrNotFound.
func found(result any, err error) string {
	if !errors.Is(err, hooks.ErrNotFound) {
		return "FOUND " + said(result, err)
	}
	return said(result, err)
}

// eventFound is found for an event, unless that is acme's and only the subscriber is not.
func eventFound(t *hooks.Tenant, n names) string {
	if n.subscriber == "audit" || n.subscriber == "formerly" && n.typ == nobody.typ {
		n.event = nobody.event
	}
	text := found(t.Event(bg, n.event))
	return strings.ReplaceAll(text, n.event, "_")
}

// listed is said for lists. All pages together count, because some may be short.
func listed[T any](list func(context.Context, hooks.Query) ([]T, string, error), q hooks.Query) string {
	var all []T
	for row, err := range hooks.All(bg, list, q) {
		if err != nil {
			return said(nil, err)
		}
		all = append(all, row)
	}
	return said(all, nil)
}

// What is not the tenant's is like what does not exist, in every method: in results,
// errors, texts and counts.
func TestTenantsSeeNothingOfOthers(t *testing.T) {
	e := newEstate(t)
	before := said(kit.Deliveries(t, e.h), nil) + said(e.h.Endpoint(bg, "theirs"))
	for method := range reflect.TypeFor[*hooks.Tenant]().Methods() {
		if len(probes[method.Name]) == 0 {
			t.Errorf("no probe calls %s; add what an id of another tenant, of a handler and of a private type gives", method.Name)
		}
		for what, foreign := range e.foreign() {
			orDefault(&foreign, nobody)
			for i, probe := range probes[method.Name] {
				got, want := foreign.masked(probe(e.acme, foreign)), nobody.masked(probe(e.acme, nobody))
				if got != want || strings.Contains(got, "FOUND") {
					t.Errorf("%s %d with a name that is %s: %s; want %s, as for one that does not exist", method.Name, i, what, got, want)
				}
			}
		}
	}
	if after := said(kit.Deliveries(t, e.h), nil) + said(e.h.Endpoint(bg, "theirs")); after != before {
		t.Errorf("the store had\n%s, and has\n%s; want it unchanged", before, after)
	}
}

// orDefault sets the fields of n that are empty to names that do not exist.
func orDefault(n *names, none names) {
	n.endpoint = cmp.Or(n.endpoint, none.endpoint)
	n.subscriber = cmp.Or(n.subscriber, none.subscriber)
	n.typ, n.tenant = cmp.Or(n.typ, none.typ), cmp.Or(n.tenant, none.tenant)
	n.action = cmp.Or(n.action, none.action)
}

// Lists that are asked for everything hold what is the tenant's, and no word of others.
func TestTenantsListTheirOwn(t *testing.T) {
	e := newEstate(t)
	waiting := kit.InvoicePaid.New(kit.Invoice{Number: 3})
	waiting.DeliverAt = time.Now().Add(time.Hour)
	r, err := e.acme.Publish(bg, waiting)
	if err != nil || r.Deliveries != 1 {
		t.Errorf("Publish = %+v, %v; want 1 delivery, the handler's not counted", r, err)
	}
	tx, err := e.acme.PublishTx(bg, memory.New(), waiting)
	if err != nil || tx[0].Deliveries != 1 {
		t.Errorf("PublishTx = %+v, %v; want 1 delivery, the handler's not counted", tx, err)
	}
	deliveries := ids(t, e.acme.Deliveries, func(d hooks.Delivery) string { return d.DeliveryID.String() })
	if want := []string{r.EventID + ".mine", e.own + ".gone", e.own + ".mine"}; !slices.Equal(sorted(deliveries), sorted(want)) {
		t.Errorf("Deliveries = %q; want %q", deliveries, want)
	}
	events := ids(t, e.acme.Events, func(ev hooks.Event) string { return ev.ID })
	if want := []string{r.EventID, e.own}; !slices.Equal(sorted(events), sorted(want)) {
		t.Errorf("Events = %q; want %q", events, want)
	}
	if got := ids(t, e.acme.Endpoints, func(e hooks.Endpoint) string { return e.ID }); !slices.Equal(got, []string{"mine"}) {
		t.Errorf("Endpoints = %q; want mine", got)
	}
	backlog, _, err := e.acme.Backlog(bg, hooks.Query{})
	if err != nil || len(backlog) != 1 || backlog[0].Subscriber != "mine" || backlog[0].Pending != (hooks.Count{N: 1}) {
		t.Errorf("Backlog = %+v, %v; want one pending of mine", backlog, err)
	}
	var types []string
	for _, info := range e.acme.Types() {
		types = append(types, info.Name)
	}
	if want := []string{"hooks.delivery.failed", "hooks.endpoint.disabled", "hooks.endpoint.enabled", "invoice.paid"}; !slices.Equal(types, want) {
		t.Errorf("Types = %q; want %q", types, want)
	}
	if a, err := e.acme.Attempts(bg, hooks.DeliveryID{Event: e.own, Subscriber: "gone"}); err != nil || len(a) != 1 {
		t.Errorf("Attempts of a deleted endpoint's delivery = %v, %v; want one", a, err)
	}
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

func ids[T any](t *testing.T, list func(context.Context, hooks.Query) ([]T, string, error), id func(T) string) (all []string) {
	t.Helper()
	for row, err := range hooks.All(t.Context(), list, hooks.Query{Limit: 2}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, id(row))
	}
	return all
}

// Of what is its own a tenant is told all.
func TestTenantsUnderstandTheirOwn(t *testing.T) {
	e := newEstate(t)
	ev := kit.InvoicePaid.New(kit.Invoice{Number: 1})
	routes, err := e.acme.ExplainEvent(bg, ev)
	if got := described(routes); err != nil || got != "mine+pattern" {
		t.Errorf("ExplainEvent = %s, %v; want mine+pattern", got, err)
	}
	if _, err := e.acme.PutEndpoint(bg, hooks.Endpoint{ID: "other", URL: kit.AnyURL, Events: []string{"invoice.*"}}); err != nil {
		t.Fatal(err)
	}
	routes, err = e.acme.ExplainEvent(bg, ev)
	if got := described(routes); err != nil || got != "mine+pattern other+pattern" {
		t.Errorf("ExplainEvent = %s, %v; want mine+pattern other+pattern", got, err)
	}
	id := hooks.DeliveryID{Event: e.own, Subscriber: "mine"}
	if x, err := e.acme.ExplainDelivery(bg, id); err != nil || x.Code != "final" {
		t.Errorf("ExplainDelivery = %+v, %v; want final", x, err)
	}
	if r, err := e.acme.Request(bg, id); err != nil || r.Header.Get("Webhook-Id") != e.own {
		t.Errorf("Request = %+v, %v; want the event's", r, err)
	}
	if a, err := e.acme.SendTest(bg, "mine", ev); err != nil || a.Code != 200 {
		t.Errorf("SendTest = %+v, %v; want status 200", a, err)
	}
}

// An id that somebody else has is taken, and the text does not say by whom.
func TestTenantsAreToldThatAnIDIsTaken(t *testing.T) {
	e := newEstate(t)
	for id, detail := range map[string]string{"theirs": `tenant "rival"`, "audit": "handler", "formerly": "was a handler"} {
		_, err := e.acme.PutEndpoint(bg, hooks.Endpoint{ID: id, URL: kit.AnyURL, Events: []string{"**"}})
		kit.WantInvalid(t, err, "Endpoint.ID", hooks.ErrTaken, "taken; choose another")
		if want := fmt.Sprintf("hooks: Endpoint.ID: %q is taken; choose another", id); err.Error() != want {
			t.Errorf("PutEndpoint(%s) = %q; want %q", id, err, want)
		}
		if inv, _ := errors.AsType[*hooks.InvalidError](err); !strings.Contains(inv.Detail, detail) {
			t.Errorf("Detail of %q = %q; want it to say %q", err, inv.Detail, detail)
		} else if text := said(inv, nil); strings.Contains(text, detail) || strings.Contains(text, "rival") || !strings.Contains(text, `"field":"Endpoint.ID"`) {
			t.Errorf("in JSON it is %s; want its field, and not its Detail", text)
		}
	}
}

// The view of an empty id is nobody's, not the operator's.
func TestTheEmptyTenantIsNobody(t *testing.T) {
	e := newEstate(t)
	for _, nobody := range []*hooks.Tenant{e.h.Tenant(""), {}} {
		for method := range reflect.TypeFor[*hooks.Tenant]().Methods() {
			in := []reflect.Value{reflect.ValueOf(nobody)}
			for p := range method.Type.Ins() {
				switch {
				case len(in) == 1 && p == in[0].Type():
				case p == reflect.TypeFor[context.Context]():
					in = append(in, reflect.ValueOf(bg))
				default:
					in = append(in, reflect.Zero(p))
				}
			}
			call := method.Func.Call
			if method.Type.IsVariadic() {
				call = method.Func.CallSlice
			}
			out := call(in[:method.Type.NumIn()])
			last := out[len(out)-1].Interface()
			if method.Name == "Types" {
				if len(last.([]hooks.TypeInfo)) > 0 {
					t.Errorf("Types = %v; want none", last)
				}
				continue
			}
			err, _ := last.(error)
			kit.WantInvalid(t, err, "Tenant", nil, "is empty")
		}
	}
	_, err := e.h.Tenant("a\x00").Event(bg, "evt_1")
	kit.WantInvalid(t, err, "Tenant", nil, "control character")
}

// What a tenant makes is its own, and it may change and delete that.
func TestTenantsManageTheirOwn(t *testing.T) {
	h := kit.New(t, hooks.Config{TenantEndpoints: 2, Logger: kit.Silent})
	acme, rival := h.Tenant("acme"), h.Tenant("rival")
	put := func(tn *hooks.Tenant, id string) (hooks.Endpoint, error) {
		return tn.PutEndpoint(bg, hooks.Endpoint{ID: id, URL: kit.AnyURL, Events: []string{"**"}})
	}
	e, err := put(acme, "")
	if err != nil || e.Tenant != "acme" || e.Secret.IsZero() {
		t.Fatalf("PutEndpoint = %+v, %v; want acme's, with a secret", e, err)
	}
	if _, err := put(acme, "second"); err != nil {
		t.Fatal(err)
	}
	_, err = put(acme, "third")
	kit.WantInvalid(t, err, "Endpoint", nil, "there are 2 endpoints, and there may be no more")
	for _, step := range []struct {
		what string
		err  error
	}{
		{"changing one", second(put(acme, "second"))},
		{"another tenant's", second(put(rival, "rivals"))},
		{"the operator's", second(h.PutEndpoint(bg, hooks.Endpoint{ID: "third", Tenant: "acme", URL: kit.AnyURL, Events: []string{"**"}}))},
		{"rotating", second(acme.RotateSecret(bg, "second", hooks.Rotation{}))},
		{"disabling", acme.DisableEndpoint(bg, "second", "it is full", time.Time{})},
		{"looking at it", second(acme.EndpointHealth(bg, "second"))},
		{"enabling", acme.EnableEndpoint(bg, "second")},
		{"deleting", acme.DeleteEndpoint(bg, "third")},
		{"deleting another", acme.DeleteEndpoint(bg, "second")},
		{"one in its place", second(put(acme, "fourth"))},
	} {
		if step.err != nil {
			t.Errorf("%s: %v; want nil", step.what, step.err)
		}
	}
	ev := kit.InvoicePaid.New(kit.Invoice{Number: 1})
	r, err := acme.PublishBatch(bg, []hooks.Event{ev, ev})
	if err != nil || ev.Tenant != "" {
		t.Fatalf("PublishBatch = %v, %v", r, err)
	}
	if got, err := h.Event(bg, r[1].EventID); err != nil || got.Tenant != "acme" {
		t.Errorf("the event is %q's, %v; want acme's", got.Tenant, err)
	}
}

// Oldest does not say when deliveries of another tenant are due that had the endpoint's id.
func TestBacklogSaysNothingOfWhoHadTheID(t *testing.T) {
	h := kit.New(t, hooks.Config{Logger: kit.Silent})
	put := func(tenant string) {
		kit.Put(t, h, hooks.Endpoint{ID: "crm", Tenant: tenant, URL: kit.AnyURL})
		ev := kit.InvoicePaid.New(kit.Invoice{})
		ev.Tenant, ev.DeliverAt = tenant, time.Now().Add(time.Hour)
		kit.Publish(t, h, ev)
	}
	put("rival")
	if err := h.DeleteEndpoint(bg, "crm"); err != nil {
		t.Fatal(err)
	}
	put("acme")
	page, _, err := h.Tenant("acme").Backlog(bg, hooks.Query{})
	if err != nil || len(page) != 1 || page[0].Pending.N != 1 || !page[0].Oldest.IsZero() {
		t.Errorf("Backlog = %+v, %v; want one pending of acme's, and no Oldest, which is rival's", page, err)
	}
}
