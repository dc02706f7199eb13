package admin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/admin"
	"example.com/hooks/retry"
	"example.com/hooks/store/memory"
)

func TestDeliverySaysWhyItFailedAndWhenNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, hooks.Config{}, admin.Config{})
		d.put("crm", "/503", func(e *hooks.Endpoint) { e.Retry = []time.Duration{time.Second, time.Second, time.Hour} })
		d.put("billing", "/200")
		d.header.Set("Server", "envoy")
		d.body = "upstream connect error"
		d.publish("evt_1", func(ev *hooks.Event) { ev.IdempotencyKey = "parcel-7" })
		for range 2 {
			time.Sleep(2 * time.Second)
			d.flush()
		}
		s := d.get("/deliveries/evt_1.crm").is(200)
		s.says("parcel.sent to crm retrying",
			"Why it failed 503 Service Unavailable , 3 times in a row Last at 00:00:04 after 0 ms. crm answered: “upstream connect error”.",
			"It has been failing since 00:00:00.",
			"When next Attempt 4 of 4 at 01:", "in 1 h", "Nothing else holds it.",
			"Attempts run 1, newest first", "Attempt 4 due in 1 h", "Attempt 3 503", "Attempt 2 503", "Attempt 1 503",
			"Request of attempt 4 rebuilt, signed as of 00:00:04 POST /503 HTTP/1.1 Host: crm.example", "Webhook-Signature: v1,", `"number": 9007199254740993`,
			"Response to attempt 3 503 Service Unavailable 503 Service Unavailable Server: envoy upstream connect error As received.",
			"Idempotency key parcel-7", "Also sent to billing succeeded", "Replay now", "Cancel delivery",
			"curl -i --globoff -X POST 'https://crm.example/503'", "-H 'Webhook-Signature: v1,")
		s.has(`data-copy="curl"`, `data-copy="body"`, `data-copy="id"`, `id="curl"`, `id="body"`, `href="../endpoints/crm">failing`)
		d.get("/deliveries/evt_1.crm?attempt=1.2").says("Response to attempt 2 503")
		d.get("/deliveries/evt_1.crm?attempt=1.9").is(404)
	})
}

func TestDeliveryInEachState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, hooks.Config{}, admin.Config{})
		d.put("works", "/200")
		d.put("gave-up", "/422", once)
		d.put("gone", "/410")
		d.put("off", "/200")
		d.put("network", "/refused")
		d.put("left", "/503")
		d.subscribe("audit", errors.New("duplicate key <b>7</b>"))
		if err := d.h.DisableEndpoint(t.Context(), "off", "they move", time.Time{}); err != nil {
			t.Fatal(err)
		}
		d.publish("evt_1")
		d.publish("evt_2", func(ev *hooks.Event) { ev.DeliverAt = time.Now().Add(3 * time.Hour) })
		if _, err := d.h.Cancel(t.Context(), hooks.DeliveryID{Event: "evt_2", Subscriber: "gone"}); err != nil {
			t.Fatal(err)
		}
		if err := d.h.DeleteEndpoint(t.Context(), "left"); err != nil {
			t.Fatal(err)
		}
		for id, words := range map[string][]string{
			"evt_1.works":   {"succeeded", "What happened 200 OK , at attempt 1", "When next Not again It succeeded at 00:00:00", "Replay…"},
			"evt_1.gave-up": {"failed", "Why it failed 422", "Not again, unless it is replayed", "was the last one by the retry policy", "Request rebuilt"},
			"evt_1.gone":    {"failed", "410 Gone", "the subscriber said never to try again"},
			"evt_1.off":     {"pending", "Not tried yet", "Held, because its endpoint is disabled", "they move", "If it is held until 4 Jan 00:00, it fails", "Nothing was received yet."},
			"evt_1.network": {"retrying", "Why it failed protocol", "Its answer was no HTTP.", "There was no response."},
			"evt_1.audit":   {"retrying", "Why it failed error", "audit returned: “duplicate key <b>7</b>”", "Event data as the handler is given it", "Error of attempt 1", "handler"},
			"evt_1.left":    {"Never, because its subscriber was deleted", "so that there is no request", "left deleted"},
			"evt_2.works":   {"pending", "Attempt 1 at 03:00:00, in 3 h", "It is scheduled for then", "due in 3 h, as scheduled"},
			"evt_2.gone":    {"canceled", "Never tried", "Not again, unless it is replayed"},
		} {
			d.get("/deliveries/" + id).is(200).says(words...).hides("<b>7</b>\"")
		}
		d.get("/deliveries/evt_2.gone").hides("Cancel delivery")
		d.get("/deliveries/evt_9.works").is(404)
		d.get("/deliveries/nonsense").is(400)
	})
}

// While an attempt is under way, a delivery cannot be replayed. The page says so, whether it
// was there before or not.
func TestReplayOfWhatIsBeingSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, hooks.Config{}, admin.Config{})
		d.put("crm", "/503")
		hang := make(chan struct{})
		h := parcelLost.Handler("slow", func(_ context.Context, _ hooks.Event, _ parcel) error { <-hang; return nil })
		if err := d.h.Subscribe(h); err != nil {
			t.Fatal(err)
		}
		if _, err := d.h.Publish(t.Context(), hooks.Event{ID: "evt_1", Type: "parcel.lost", Tenant: "acme", Data: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
		sent := make(chan error)
		go func() { sent <- d.h.Flush(t.Context()) }()
		synctest.Wait()
		d.get("/deliveries/evt_1.slow").says("sending", "Attempt 1 is under way", "Cancel delivery").hides("Replay now")
		d.follow(d.post("/deliveries/evt_1.slow/replay")).is(200).says("Not replayed It is being sent now. Wait for its outcome, or cancel it.")
		if e := d.told[0]; e.Action != "delivery.replay" || e.Target != "evt_1.slow" || e.Refused == "" {
			t.Errorf("the audit was told %+v; want that the replay was refused", e)
		}
		close(hang)
		if err := <-sent; err != nil {
			t.Error(err)
		}
	})
}

func TestReplayAndCancelADelivery(t *testing.T) {
	d := newDesk(t, hooks.Config{}, admin.Config{})
	d.put("crm", "/422", once)
	d.publish("evt_1")
	d.follow(d.post("/deliveries/evt_1.crm/replay")).says("Replayed It is due now.", "Attempts 2 runs, newest first", "Attempt 1 of run 2", "Attempt 1 of run 1")
	d.follow(d.post("/deliveries/evt_1.crm/cancel")).says("Canceled It is not sent any more", "canceled")
	d.follow(d.post("/deliveries/evt_1.crm/cancel")).says("Not canceled It has ended already.")
	d.post("/deliveries/evt_9.crm/replay").is(404)
	d.post("/deliveries/evt_9.crm/cancel").is(404)
	if n := len(d.told); n != 5 {
		t.Errorf("the audit was told %d times; want 5", n)
	}
	if err := d.h.DeleteEndpoint(t.Context(), "crm"); err != nil {
		t.Fatal(err)
	}
	d.follow(d.post("/deliveries/evt_1.crm/replay")).says("Not replayed Its subscriber was deleted, so that it cannot be sent again.")
}

// What has succeeded is sent again only after a page has asked.
func TestReplayOfWhatHasSucceededAsksFirst(t *testing.T) {
	d := newDesk(t, hooks.Config{}, admin.Config{})
	d.put("crm", "/200")
	d.publish("evt_1")
	d.get("/deliveries/evt_1.crm").says("Replay…").hides("Replay now")
	d.follow(d.post("/deliveries/evt_1.crm/replay")).says("Not replayed It has succeeded meanwhile.")
	d.get("/deliveries/evt_1.crm/replay").is(200).says("Replay this delivery?", "It has succeeded", "crm has taken it with 200 OK", "What will happen", "Back").
		has(`name="sure" value="yes"`)
	if run := d.delivery("evt_1.crm").Run; run != 1 {
		t.Fatalf("the delivery is in run %d before anybody was sure; want 1", run)
	}
	d.follow(d.post("/deliveries/evt_1.crm/replay", "sure", "yes")).says("Replayed")
	if run := d.delivery("evt_1.crm").Run; run != 2 {
		t.Errorf("the delivery is in run %d; want 2", run)
	}
}

// A signature is for the level Secrets. Others see the body, and why not more.
func TestRequestNeedsTheLevelSecrets(t *testing.T) {
	d := newDesk(t, hooks.Config{}, admin.Config{})
	d.put("crm", "/503", func(e *hooks.Endpoint) {
		e.Header, e.URL = hooks.Header{"Authorization": "Bearer hush"}, e.URL+"?token=hush"
	})
	d.publish("evt_1")
	d.get("/deliveries/evt_1.crm").says("Webhook-Signature", "Bearer hush", "token=hush")
	for _, level := range []admin.Level{admin.View, admin.Replay, admin.Manage} {
		for tenant, why := range map[string]string{"": "they need the level Secrets, and yours is " + level.String(), "acme": "a signature, which you may not see."} {
			d.as(level, tenant)
			d.get("/deliveries/evt_1.crm").says(`"number": 9007199254740993`, why).hides("Webhook-Signature", "hush", "v1,", "curl -i")
		}
	}
}

// A page shows the last hundred attempts, and says that there were more.
func TestAttemptsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, hooks.Config{}, admin.Config{})
		h := parcelSent.Handler("audit", func(context.Context, hooks.Event, parcel) error { return errors.New("no") })
		h.Retry = make(retry.Schedule, 110)
		if err := d.h.Subscribe(h); err != nil {
			t.Fatal(err)
		}
		d.publish("evt_1")
		for range 102 {
			d.flush()
		}
		made := d.delivery("evt_1.audit").Attempts
		d.get("/deliveries/evt_1.audit").says(fmt.Sprintf("Attempt %d error", made), fmt.Sprintf("Attempt %d error", made-99),
			fmt.Sprintf("%d earlier attempts are not shown.", made-100)).hides(fmt.Sprintf("Attempt %d error", made-100))
		d.get("/deliveries/evt_1.audit?attempt=1.1").says("Error of attempt 1 ")
	})
}

func TestErasedDataIsNotShown(t *testing.T) {
	store := memory.New()
	d := newDesk(t, hooks.Config{Store: store}, admin.Config{})
	d.put("crm", "/503")
	d.publish("evt_1")
	if _, err := store.Prune(t.Context(), hooks.Cutoffs{Erase: []string{"evt_1"}, Now: time.Now().UTC(), Limit: 1}); err != nil {
		t.Fatal(err)
	}
	d.get("/deliveries/evt_1.crm").is(200).says("The data was erased at", "or was erased").hides("try later", "Copy body", "Webhook-Signature", "Replay now")
	d.get("/deliveries/evt_1.crm").says("When next Never, because its data was erased", "never, its data was erased")
	d.follow(d.post("/deliveries/evt_1.crm/replay")).says("Not replayed The data of its event was erased, so that it cannot be sent again.")
	d.get("/events/evt_1").is(200).says("The data was erased at").hides("Copy data", "Download the data")
}

func TestBodiesAreMadeReadable(t *testing.T) {
	d := newDesk(t, hooks.Config{}, admin.Config{})
	d.put("crm", "/503")
	for body, want := range map[string]string{
		`{"id":9007199254740993,"list":[1,{}]}`:               "{\n  &#34;id&#34;: 9007199254740993,\n  &#34;list&#34;: [\n    1,\n    {}\n  ]\n}",
		"<script>alert(1)</script></pre>":                     "&lt;script&gt;alert(1)&lt;/script&gt;&lt;/pre&gt;",
		"\x1b[31mred\x07 \u202etxt.exe\u2028 \xff\xfe \x00 é": `\x1b[31mred\x07 \u202etxt.exe\u2028 \xff\xfe \x00 é`,
		"a\r\n\tb":                `a\x0d` + "\n\tb",
		"\U000e0041":              `\U000e0041`,
		strings.Repeat("[", 2000): strings.Repeat("[", 2000),
		`{"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`: `{&#34;a&#34;:[[[[`,
	} {
		d.body = body
		d.publish("")
		list, _, err := d.h.Deliveries(t.Context(), hooks.Query{Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		d.get("/deliveries/" + list[0].DeliveryID.String()).is(200).has("503 Service Unavailable\n\n" + want)
	}
}

// A page shows the beginning of a long body, and leads to the whole.
func TestLongBodiesAreCut(t *testing.T) {
	d := newDesk(t, hooks.Config{}, admin.Config{})
	d.put("crm", "/503")
	long := `{"text":"` + strings.Repeat("é", 60_000) + `end"}`
	d.publish("evt_1", func(ev *hooks.Event) { ev.Data = []byte(long) })
	for path, whole := range map[string]string{"/deliveries/evt_1.crm": "/deliveries/evt_1.crm/body", "/events/evt_1": "/events/evt_1/data"} {
		s := d.get(path).is(200).says("Only the beginning", "KiB").hides("end&#34;", `\x`)
		if len(s.html) > 100_000 {
			t.Errorf("%s has %d bytes; want the beginning of the body only", path, len(s.html))
		}
		if got := d.get(whole); !strings.Contains(got.html, long) {
			t.Errorf("%s has %d bytes; want the whole body", whole, len(got.html))
		}
	}
}

func TestDownloadsArePlainText(t *testing.T) {
	d := newDesk(t, hooks.Config{}, admin.Config{})
	d.put("crm", "/503")
	d.subscribe("audit", nil)
	d.body = "<script>alert(1)</script>\x00\xff"
	d.publish("evt_1")
	d.as(admin.View, "")
	for path, want := range map[string]string{
		"/events/evt_1/data":                         `{"number":9007199254740993}`,
		"/deliveries/evt_1.crm/response":             d.body,
		"/deliveries/evt_1.crm/response?attempt=1.1": d.body,
		"/deliveries/evt_1.audit/body":               `{"number":9007199254740993}`,
		"/deliveries/evt_1.crm/body":                 `"data":{"number":9007199254740993}}`,
	} {
		s := d.get(path).is(200)
		if !strings.HasSuffix(s.html, want) {
			t.Errorf("%s = %q; want %q", path, s.html, want)
		}
		if ct, cd := s.header.Get("Content-Type"), s.header.Get("Content-Disposition"); ct != "text/plain; charset=utf-8" ||
			!strings.HasPrefix(cd, `attachment; filename="evt_1`) || !strings.HasSuffix(cd, `.txt"`) {
			t.Errorf("%s has the type %q and the disposition %q; want an attachment of plain text", path, ct, cd)
		}
	}
	d.get("/deliveries/evt_1.crm/response?attempt=2.1").is(404)
	d.get("/events/evt_9/data").is(404)
}

// Redact is asked before anything of a body leaves, in pages and in downloads.
func TestRedactMasksBodies(t *testing.T) {
	mask := func(eventType string, body []byte) []byte {
		if eventType != "parcel.sent" {
			t.Errorf("Redact is asked about %q; want parcel.sent", eventType)
		}
		return []byte(strings.NewReplacer("9007199254740993", "***", "hush", "***").Replace(string(body)))
	}
	d := newDesk(t, hooks.Config{}, admin.Config{Redact: mask})
	d.put("crm", "/503")
	d.subscribe("audit", errors.New("hush"))
	d.body = "hush"
	d.publish("evt_1")
	for _, path := range []string{
		"/deliveries/evt_1.crm", "/deliveries/evt_1.audit", "/events/evt_1", "/events/evt_1/data",
		"/deliveries/evt_1.crm/body", "/deliveries/evt_1.crm/response", "/deliveries/evt_1.audit/response",
	} {
		d.get(path).is(200).has("***").hides("9007199254740993", "hush")
	}
	d.get("/deliveries/evt_1.crm").says("The body is masked here, so that the signature does not fit it.")
}

func TestATenantSeesItsOwnDeliveries(t *testing.T) {
	d := newDesk(t, hooks.Config{Retry: retry.Schedule{time.Hour}, Instance: "rack-7"}, admin.Config{})
	d.put("crm", "/503")
	d.put("erp", "/503", func(e *hooks.Endpoint) { e.Tenant = "globex" })
	d.subscribe("audit", nil)
	d.publish("evt_1")
	d.publish("evt_2", func(ev *hooks.Event) { ev.Tenant = "globex" })
	d.get("/deliveries/evt_1.crm").says("by rack-7")
	d.as(admin.Secrets, "acme")
	d.get("/deliveries").says("evt_1", "crm").hides("evt_2", "erp", "globex", "audit", "Tenant")
	d.get("/deliveries/evt_1.crm").is(200).says("Also sent to nobody else").hides("audit", "rack-7")
	d.get("/events").says("evt_1").hides("evt_2")
	d.get("/events/evt_1").is(200).says("crm").hides("audit", "erp", "other tenant")
	for _, path := range []string{
		"/deliveries/evt_2.erp", "/deliveries/evt_1.audit", "/deliveries/evt_2.erp/body", "/deliveries/evt_2.erp/response",
		"/deliveries/evt_2.erp/replay", "/events/evt_2", "/events/evt_2/data",
	} {
		d.get(path).is(http.StatusNotFound).hides("globex")
	}
	d.post("/deliveries/evt_2.erp/replay").is(http.StatusNotFound)
	d.post("/deliveries/evt_2.erp/cancel").is(http.StatusNotFound)
	d.follow(d.post("/selected/cancel", "id", "evt_2.erp")).says("It does not exist any more.")
	d.get("/search?q=evt_2").says("Nothing was found")
	if got := d.delivery("evt_2.erp").Status; got != hooks.Retrying {
		t.Errorf("another tenant's delivery is %v; want retrying", got)
	}
}

// curl would take brackets in a URL for many URLs, and a body that begins with "@" for the
// name of a file.
func TestCurlCommandSendsOnceAndReadsNoFile(t *testing.T) {
	d := newDesk(t, hooks.Config{}, admin.Config{Redact: func(string, []byte) []byte { return []byte("@/etc/passwd") }})
	d.put("crm", "/h?n=[1-100000]&f={a,b}")
	d.publish("evt_1")
	d.get("/deliveries/evt_1.crm").
		says("curl -i --globoff -X POST 'https://crm.example/h?n=[1-100000]&f={a,b}'", "--data-raw '@/etc/passwd'").
		hides("--data-binary")
}

func TestSecretFieldsOfResponsesNeedTheLevelSecrets(t *testing.T) {
	d := newDesk(t, hooks.Config{}, admin.Config{})
	d.header = http.Header{"Set-Cookie": {"session=hush", "b=hush"}, "Authorization": {"Bearer hush"}, "X-Trace": {"seen"}}
	d.put("crm", "/503")
	d.publish("evt_1")
	for _, path := range []string{"/deliveries/evt_1.crm", "/api/v1/deliveries/evt_1.crm/attempts"} {
		d.as(admin.Manage, "")
		d.get(path).is(200).has("Set-Cookie", "Authorization", "***", "seen").hides("hush")
		d.as(admin.Secrets, "")
		d.get(path).is(200).has("session=hush", "Bearer hush")
	}
}
