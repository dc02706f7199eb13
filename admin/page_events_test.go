package admin_test

import (
	"strings"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/admin"
)

func TestEventShowsItsFanOut(t *testing.T) {
	d := newDesk(t, hooks.Config{}, admin.Config{})
	d.put("crm", "/503")
	d.put("billing", "/200")
	d.put("orders", "/200", func(e *hooks.Endpoint) { e.Events = []string{"parcel.lost"} })
	d.put("erp", "/200", func(e *hooks.Endpoint) { e.Tenant = "globex" })
	d.subscribe("audit", nil)
	d.publish("evt_1", func(ev *hooks.Event) {
		ev.IdempotencyKey, ev.OrderingKey = "parcel-7", "line-7"
		ev.Metadata = map[string]string{"<i>trace": "00-\u202eab"}
		ev.ExpiresAt = time.Date(2999, 1, 2, 3, 4, 5, 0, time.UTC)
	})
	d.put("later", "/200")
	s := d.get("/events/evt_1").is(200)
	s.says("parcel.sent evt_1", "retrying crm 1 503 Service Unavailable", "succeeded billing 1 200 OK", "succeeded audit handler 1 ok",
		"later would receive it now; it was added or changed later", "orders none of its patterns matches the type", "1 endpoint of another tenant",
		"as the subscribers are now", `"number": 9007199254740993`, "parcel-7", "line-7", "<i>trace", `00-\u202eab`, "Wed 2 Jan 2999, 03:04:05")
	s.has(`href="../deliveries/evt_1.crm"`, `href="../events/evt_1/data"`, `data-copy="data"`).hides("erp")
	d.get("/events/evt_9").is(404)
}

func TestEventThatNobodyReceived(t *testing.T) {
	d := newDesk(t, hooks.Config{}, admin.Config{})
	d.publish("evt_1")
	d.get("/events/evt_1").says("Nobody received it.", "Everybody that is subscribed got it.")
	d.as(admin.View, "acme")
	d.get("/events/evt_1").says("None of your endpoints received it.")
}

// Private types reach handlers only, and the page says so.
func TestEventOfAPrivateType(t *testing.T) {
	d := newDesk(t, hooks.Config{}, admin.Config{})
	d.put("crm", "/200", func(e *hooks.Endpoint) { e.Events = []string{"**"} })
	ev := secretStock.New(parcel{1})
	ev.ID, ev.Tenant = "evt_1", "acme"
	if _, err := d.h.Publish(t.Context(), ev); err != nil {
		t.Fatal(err)
	}
	d.get("/events/evt_1").says("crm the type is private, which only handlers receive")
	d.as(admin.Secrets, "acme")
	d.get("/events/evt_1").is(404)
	d.get("/events").hides("evt_1")
}

func TestEventsAreListedAndFiltered(t *testing.T) {
	d := newDesk(t, hooks.Config{}, admin.Config{})
	d.publish("evt_1", func(ev *hooks.Event) { ev.IdempotencyKey = "parcel-7" })
	d.publish("evt_2", func(ev *hooks.Event) { ev.Tenant, ev.Type = "globex", "parcel.lost" })
	d.get("/events").says("parcel.lost evt_2 globex", "parcel.sent evt_1 acme parcel-7")
	d.get("/events?type=parcel.sent").says("evt_1").hides("evt_2")
	d.get("/events?tenant=globex").says("evt_2").hides("evt_1")
	d.get("/events?tenant=acme&key=parcel-7").says("evt_1", "Filter: parcel-7, acme")
	d.get("/events?key=parcel-7").says("No event matches this filter", "only events without a tenant were looked at")
	d.get("/events?status=failed").is(400)
}

func TestSearchLeadsToWhatWasMeant(t *testing.T) {
	d := newDesk(t, hooks.Config{}, admin.Config{})
	d.put("crm", "/503")
	d.publish("evt_one", func(ev *hooks.Event) { ev.IdempotencyKey = "key one" })
	d.put("billing", "/503")
	d.publish("evt_two", func(ev *hooks.Event) { ev.IdempotencyKey = "key-two" })
	d.publish("evt_none", func(ev *hooks.Event) { ev.Tenant, ev.IdempotencyKey = "", "key-none" })
	for q, path := range map[string]string{
		"evt_one":             "/deliveries/evt_one.crm", // the only one
		"+evt_two+":           "/events/evt_two",
		"evt_two.billing":     "/deliveries/evt_two.billing",
		"key+one&tenant=acme": "/deliveries/evt_one.crm",
		"key-two&tenant=acme": "/events/evt_two",
		"key-none":            "/events/evt_none",
	} {
		if got := d.follow(d.get("/search?q=" + q)).is(200).from.Path; got != path {
			t.Errorf("the search for %q leads to %s; want %s", q, got, path)
		}
	}
	d.get("/search?q=key-two").is(200).says("Nothing was found for key-two", "an event with this id", "an event with this idempotency key and no tenant", "name it")
	d.get("/search?q=key-two&tenant=globex").says("an event with this idempotency key of the tenant globex")
	d.get("/search?q=evt_9.crm").says("a delivery with this id")
	d.get("/search?q=%3Cscript%3E").says("Nothing was found for <script>")
	d.get("/search").says("Write the id of an event").hides("Nothing was found")
	d.as(admin.View, "acme")
	d.get("/search?q=nothing").says("an event with this idempotency key", "Only what is yours").hides("no tenant")
	if got := d.follow(d.get("/search?q=key-two")).from.Path; got != "/events/evt_two" {
		t.Errorf("a tenant's search for its own key leads to %s; want /events/evt_two", got)
	}
}

// Text of strangers is shown as text wherever it stands.
func TestHostileTextStaysText(t *testing.T) {
	const evil = `<script>alert(1)</script>"'><img src=x onerror=alert(1)>`
	d := newDesk(t, hooks.Config{}, admin.Config{})
	d.header.Set("X-Evil", evil)
	d.body = evil + "</pre></textarea>"
	d.put("crm", "/503", func(e *hooks.Endpoint) { e.Tenant, e.Description = evil, evil })
	d.publish("evt_1", func(ev *hooks.Event) {
		ev.Tenant, ev.IdempotencyKey, ev.OrderingKey = evil, evil, evil
		ev.Metadata = map[string]string{evil: evil}
		ev.Data = []byte(`{"x":"` + strings.ReplaceAll(evil, `"`, `\"`) + `"}`)
	})
	if err := d.h.DisableEndpoint(t.Context(), "crm", evil, time.Time{}); err != nil {
		t.Fatal(err)
	}
	evilQuery := "q=%3Cscript%3Ealert(1)%3C/script%3E"
	for _, path := range []string{
		"/", "/deliveries", "/deliveries?tenant=%3Cscript%3Ealert(1)%3C/script%3E", "/deliveries/evt_1.crm", "/deliveries/evt_1.crm/replay",
		"/events", "/events/evt_1", "/events?key=%3Cscript%3Ealert(1)%3C/script%3E&tenant=x", "/search?" + evilQuery, "/search?" + evilQuery + "&tenant=%3Cscript%3E",
	} {
		s := d.get(path).is(200)
		if strings.Contains(s.html, "<script>") || strings.Contains(s.html, "<img") || strings.Contains(s.html, "</pre></textarea>") {
			t.Errorf("%s has markup of a stranger: %s", path, s.html)
		}
	}
}
