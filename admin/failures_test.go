package admin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"example.com/hooks"
	"example.com/hooks/admin"
	"example.com/hooks/store/memory"
)

func TestNormalise(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "",
		`{"seen":{"requests":3}}`:    "",
		"  upstream\tis   down \nat": "upstream is down",
		"timeout after 1500 ms":      "timeout after ‹n› ms",
		"timeout after 1,500.25ms":   "timeout after ‹n›ms",
		"no customer 4711":           "no customer ‹n›",
		"no such event evt_01a217ee-7b21-717e-a77c-27aa32c32444":  "no such event ‹id›",
		"request 01A217EE-7b21-717e-a77c-27aa32c32444 failed":     "request ‹id› failed",
		"sha 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15": "sha ‹id›",
		"dial 10.0.0.9:8080: refused":                             "dial ‹address›: refused",
		"dial [2001:db8::1]:443: refused":                         "dial ‹address›: refused",
		"mail to kim@example.com bounced":                         "mail to ‹address› bounced",
		"see https://x.example/a?token=sesame for more":           "see ‹url› for more",
		`no field "vat_id" here`:                                  "no field ‹text› here",
		"expired at 2026-11-26T12:57:13.5Z":                       "expired at ‹time›",
		"try again at 12:57:13":                                   "try again at ‹time›",
		"bad \xff byte":                                           "bad byte",
		"right\u202eleft":                                         `right\u‹n›eleft`,
		strings.Repeat("word ", 100):                              strings.Repeat("word ", 31) + "w …",
	} {
		got := admin.Normalise(text)
		if text == "right\u202eleft" { // what matters is that it cannot be seen as another text
			if strings.ContainsRune(got, '\u202e') {
				t.Errorf("Normalise(%q) = %q; want no hidden character", text, got)
			}
			continue
		}
		if got != want {
			t.Errorf("Normalise(%q) = %q; want %q", text, got, want)
		}
	}
}

// Of JSON the message is what a person would read first.
func TestMessagesInJSON(t *testing.T) {
	for body, want := range map[string]string{
		`{"error":"no customer 7"}`:                               "no customer ‹n›",
		`{"error":{"code":3,"message":"must not be empty"}}`:      "must not be empty",
		`{"errors":[{"detail":"too long"},{"detail":"other"}]}`:   "too long",
		`{"type":"about:blank","title":"Gone","detail":"closed"}`: "closed",
		`"just text"`:   "just text",
		`{"seen":1}`:    "",
		`no {json`:      "no {json",
		`{"message":7}`: "",
		"":              "",
	} {
		if got := admin.Normalise(admin.MessageIn([]byte(body))); got != want {
			t.Errorf("the message in %s is %q; want %q", body, got, want)
		}
	}
}

func FuzzNormalise(f *testing.F) {
	for _, text := range []string{"", "a 1", "\"x\" 'y", "https://h/p?t=s", "‹n›1", "a\n\xff", strings.Repeat("9a", 300), "1‹2›3", "a@b@c", "::1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := admin.Normalise(text)
		if again := admin.Normalise(got); again != got {
			t.Errorf("Normalise(%q) = %q, and of that %q; want it to stay", text, got, again)
		}
		if len(got) > 170 || !utf8.ValidString(got) || strings.Contains(got, "\n") {
			t.Errorf("Normalise(%q) = %q; want one valid line of bounded length", text, got)
		}
		if secret := admin.Normalise("see https://h.example/p?token=sesame " + text); strings.Contains(secret, "sesame") && !strings.Contains(text, "sesame") {
			t.Errorf("Normalise keeps a token of a URL: %q", secret)
		}
	})
}

// Deliveries that failed in the same way are one group, whatever numbers their messages have.
func TestFailuresAreGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, hooks.Config{}, admin.Config{})
		d.put("crm", "/422", once)
		d.put("erp", "/503", once)
		for i := range 3 {
			d.body = fmt.Sprintf("invoice %d is not known\nstack", i)
			d.publish(fmt.Sprintf("evt_%d", i))
			time.Sleep(time.Minute)
		}
		d.put("crm", "/410", once)
		d.body = ""
		d.publish("evt_9")
		d.get("/failures").is(200).says("422 invoice ‹n› is not known gave up crm acme 3 00:00:00 1 min ago Replay 3…",
			"503 invoice ‹n› is not known gave up erp acme 4", "410 Gone rejected crm acme 1", "Groups are made from all 8 failures that match.").
			has(`href="./deliveries?code=422&amp;error=status&amp;reason=exhausted&amp;status=failed&amp;subscriber=crm"`,
				`href="./actions/new?code=422&amp;error=status&amp;kind=replay&amp;reason=exhausted&amp;status=failed&amp;subscriber=crm"`).
			hides("stack", "invoice 2")
		d.get("/deliveries?code=422&error=status&reason=exhausted&status=failed&subscriber=crm").says("evt_0", "evt_1", "evt_2").hides("evt_9")
		d.as(admin.View, "acme")
		d.get("/failures").says("422 invoice").hides("Replay")
		d.as(admin.Secrets, "globex")
		d.get("/failures").says("No delivery has failed for good").hides("not known", "crm", "erp")
	})
}

// The page that asks, and the action, are about exactly the deliveries of the group.
func TestReplayOfAGroup(t *testing.T) {
	d := newDesk(t, hooks.Config{}, admin.Config{})
	d.put("crm", "/503", once)
	d.publish("evt_503")
	d.put("crm", "/422", once)
	d.publish("evt_422")
	group := "code=422&error=status&kind=replay&reason=exhausted&status=failed&subscriber=crm"
	d.get("/actions/new?"+group).is(200).says("Replay 1 delivery?", "Class status", "Code 422 Unprocessable Entity", "deliveries with other messages are among them").
		has(`name="code" value="422"`)
	d.get("/actions/new?kind=replay&status=failed").says("Replay 2 deliveries?").hides("other messages")
	d.follow(d.post("/actions", "id", "act_g", "code", "422", "error", "status", "kind", "replay", "reason", "exhausted",
		"status", "failed", "subscriber", "crm", "rate", "1000", "per", "s"))
	a, err := d.h.Action(t.Context(), "act_g")
	if err != nil || a.Total.N != 1 || len(a.Query.Codes) != 1 || a.Query.Codes[0] != 422 {
		t.Errorf("the action is %+v, %v; want it to be about the one delivery with 422", a, err)
	}
}

// There is nobody to send to any more, so the group has no link that would be refused.
func TestAGroupOfADeletedEndpointIsNotReplayed(t *testing.T) {
	c := openConsole(t, hooks.Config{Store: memory.New()}, admin.Config{})
	c.answer = func(*http.Request) (int, string) { return 410, "no" }
	c.put(hooks.Endpoint{ID: "crm"})
	c.put(hooks.Endpoint{ID: "gone"})
	c.publish(2)
	if err := c.h.DeleteEndpoint(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	for _, access := range []admin.Access{operator, customer} {
		c.access = access
		c.get("/failures").is(200, "Replay 2…", "deleted").has("subscriber=crm").lacks("Replay 2 of gone")
		c.get("/actions/new?kind=replay&subscriber=gone").is(200, "Replay 2 deliveries?")
	}
	c.get("/actions/new?kind=replay&subscriber=misspelt").is(404, "There is no endpoint misspelt, or it was deleted")
	c.access = operator
	c.get("/actions/new?kind=replay&subscriber=misspelt").is(404, "There is no subscriber misspelt, or it was deleted")
}

// Deliveries that were never tried have no class. They are a group of their own.
func TestAGroupWithoutAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, hooks.Config{}, admin.Config{})
		d.put("crm", "/422", once)
		if _, err := d.h.Publish(t.Context(), hooks.Event{
			ID: "evt_late", Type: "parcel.sent", Tenant: "acme", Data: []byte("{}"), ExpiresAt: time.Now().Add(time.Second),
		}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		d.flush()
		d.publish("evt_1")
		d.get("/failures").says("expired No attempt was made, or it left no message. expired crm acme 1").
			has(`href="./deliveries?code=0&amp;error=none&amp;reason=expired&amp;status=failed&amp;subscriber=crm"`)
		d.get("/deliveries?code=0&error=none&reason=expired&status=failed&subscriber=crm").says("evt_late").hides("evt_1")
	})
}

func TestMessagesOfGroupsAreRedacted(t *testing.T) {
	d := newDesk(t, hooks.Config{}, admin.Config{Redact: func(string, []byte) []byte { return []byte("masked") }})
	d.put("crm", "/422", once)
	d.body = "a private matter"
	d.publish("evt_1")
	d.get("/failures").says("422 masked gave up crm").hides("private")
}

// Groups are bounded: they are made of the newest 10,000 failures, and the page says so.
func TestGroupsOfManyFailures(t *testing.T) {
	store := memory.New()
	d := newDesk(t, hooks.Config{Store: store}, admin.Config{})
	d.put("crm", "/422", once)
	const n = 10_050
	evs := make([]hooks.Event, n)
	for i := range evs {
		evs[i] = parcelSent.New(parcel{1})
		evs[i].Tenant = "acme"
	}
	for len(evs) > 0 {
		batch := evs[:min(len(evs), 500)]
		if _, err := d.h.PublishBatch(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		evs = evs[len(batch):]
	}
	d.flush()
	d.get("/failures").says("422 try later gave up crm acme 10,000", "Groups are made from the newest 10,000 failures; there are older ones")
}

// A store of short pages is one whose pages have fewer rows than asked for.
type shortPages struct{ hooks.Store }

func (s shortPages) Unwrap() hooks.Store { return s.Store }

func (s shortPages) Deliveries(ctx context.Context, q hooks.Query) ([]hooks.Delivery, string, error) {
	q.Limit = min(q.Limit, 300)
	return s.Store.Deliveries(ctx, q)
}

// The last page that is read may have more failures than groups are made of, and no page
// after it.
func TestGroupsTellOfRowsThatAreLeftOutOfAPage(t *testing.T) {
	d := newDesk(t, hooks.Config{Store: shortPages{memory.New()}}, admin.Config{})
	d.put("crm", "/422", once)
	evs := make([]hooks.Event, 10_050)
	for i := range evs {
		evs[i] = parcelSent.New(parcel{1})
		evs[i].Tenant = "acme"
	}
	for batch := range slices.Chunk(evs, 500) {
		if _, err := d.h.PublishBatch(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	d.flush()
	d.get("/failures").says("crm acme 10,000", "Groups are made from the newest 10,000 failures; there are older ones")
}

// A handler is given events of all tenants, so that its group has none.
func TestGroupOfAHandlerNamesNoTenant(t *testing.T) {
	d := newDesk(t, hooks.Config{}, admin.Config{})
	d.subscribe("audit", hooks.Permanent(errors.New("no")))
	d.publish("evt_1")
	d.publish("evt_2", func(ev *hooks.Event) { ev.Tenant = "globex" })
	d.get("/api/v1/failures").is(200).has(`"subscriber":"audit"`, `"deliveries":2`).hides(`"tenant"`)
}

func TestAPIListsGroups(t *testing.T) {
	s := newSite(t, nil)
	var list struct {
		Groups []struct {
			Subscriber, Reason, Error string
			Code, Deliveries          int
			Messages                  []string
			Query                     hooks.Query
		}
		Looked int
		More   bool
	}
	s.api(t, "GET", "failures", "", 200, &list)
	if len(list.Groups) != 1 || list.Looked != 1 || list.More {
		t.Fatalf("failures = %+v; want one group of one", list)
	}
	g := list.Groups[0]
	if g.Subscriber != "crm" || g.Reason != "rejected" || g.Code != 410 || g.Deliveries != 1 || len(g.Messages) != 1 || g.Messages[0] != "no such customer" {
		t.Errorf("the group is %+v; want crm, rejected, 410 with its message", g)
	}
	if page, _, err := s.h.Deliveries(t.Context(), g.Query); err != nil || len(page) != 1 || page[0].DeliveryID.Event != "evt_failed" {
		t.Errorf("Deliveries(%+v) = %v, %v; want the delivery of the group", g.Query, page, err)
	}
	s.refused(t, "GET", "failures?limit=3", "", 400)
	s.refused(t, "GET", "failures?code=x", "", 400)
	s.refused(t, "GET", "failures?code=1000", "", 400)
}
