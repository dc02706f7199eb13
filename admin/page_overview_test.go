package admin_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/admin"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

func TestOverviewSaysHowToBegin(t *testing.T) {
	d := newDesk(t, hooks.Config{}, admin.Config{})
	d.get("/").is(200).says("No endpoints and handlers yet", "Register event types", "Add an endpoint or a handler", "Publish an event").hides("are working", "succeeded, last hour")
	d.as(admin.View, "acme")
	d.get("/").says("Add an endpoint There is none yet.").hides("handler")
}

func TestOverviewWhenAllIsWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, hooks.Config{}, admin.Config{})
		d.put("crm", "/200")
		d.subscribe("audit", nil)
		kit.StartInBubble(t, d.h)
		for range 3 {
			d.publish("")
		}
		time.Sleep(time.Minute)
		d.get("/").says("All 2 endpoints and handlers are working", "succeeded, last hour 6", "failed attempts, last hour 0", "waiting to retry 0",
			"oldest due, not held none", "success, 24 h 100 %", "Endpoints and handlers 2, those that need attention first",
			"crm acme working 100 % ≤ 1 ms 0", "audit handler working 100 % ≤ 1 ms 0").hides("attention</span>", "No attempt was counted")
		d.as(admin.View, "acme")
		d.get("/").says("The one endpoint is working", "succeeded, last hour 3").hides("audit")
	})
}

func TestOverviewSaysWhoNeedsAttention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, hooks.Config{}, admin.Config{})
		d.put("billing", "/200")
		d.put("crm", "/503")
		d.put("off", "/200")
		d.subscribe("audit", errors.New("no"))
		if err := d.h.DisableEndpoint(t.Context(), "off", "they move", time.Time{}); err != nil {
			t.Fatal(err)
		}
		kit.StartInBubble(t, d.h)
		for range 3 {
			d.publish("")
		}
		time.Sleep(4 * time.Minute)
		s := d.get("/")
		s.says("crm is failing: 503 Service Unavailable since 00:00:00, for 4 min Its last 6 attempts failed.", "audit is failing", "2 more need attention", "off is disabled since 00:00:00",
			"crm acme failing 503 Service Unavailable since 00:00:00 0 %", "audit handler failing 0 %", "off acme disabled since 00:00:00 – – 3",
			"billing acme working 100 % ≤ 1 ms 0", "succeeded, last hour 3", "waiting to retry 6")
		s.hides("All 4 endpoints and handlers are working")
		d.as(admin.View, "acme")
		d.get("/").says("crm is failing: 503 Service Unavailable since 00:00:00, for 4 min Its last 6 attempts failed. 3 deliveries wait; the next is due in",
			"1 more needs attention", "waiting to retry 3").hides("audit")
	})
}

// The one that has failed for longest comes first, whatever its id.
func TestOverviewPutsTheLongestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, hooks.Config{}, admin.Config{})
		d.put("zebra", "/503")
		for range 3 {
			d.publish("")
		}
		time.Sleep(time.Second)
		d.put("ant", "/503")
		for range 3 {
			d.publish("")
		}
		for _, tenant := range []string{"", "acme"} {
			d.as(admin.View, tenant)
			d.get("/").says("zebra is failing: 503 Service Unavailable since 00:00:00", "1 more needs attention ant is failing since 00:00:01")
		}
	})
}

// Percentages are rounded down and percentiles up: no number looks better than it is.
func TestOverviewRoundsToTheWorse(t *testing.T) {
	store := memory.New()
	d := newDesk(t, hooks.Config{Store: store}, admin.Config{})
	for _, id := range []string{"even", "slow", "most"} {
		d.put(id, "/200")
	}
	at := time.Now().UTC().Truncate(5 * time.Minute)
	even, slow, most := [13]int{6: 95, 12: 5}, [13]int{6: 94, 12: 6}, [13]int{7: 2000}
	err := store.AddMinutes(t.Context(), []hooks.Minute{
		{Start: at, Subscriber: "even", Succeeded: 100, Took: even},
		{Start: at, Subscriber: "slow", Succeeded: 1, Failed: 99, Took: slow},
		{Start: at, Subscriber: "most", Succeeded: 1999, Failed: 1, Took: most},
		{Start: at.Add(-25 * time.Hour), Subscriber: "most", Failed: 1000},
	})
	if err != nil {
		t.Fatal(err)
	}
	d.get("/").says("even acme working 100 % ≤ 100 ms 0", "slow acme working 1.0 % slow, > 5 s 0", "most acme working 99.9 % ≤ 200 ms 0")
}

// One that somebody has disabled is no alarm, but it is said, with what it means.
func TestOverviewOfADisabledEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, hooks.Config{}, admin.Config{})
		d.put("off", "/200")
		if err := d.h.DisableEndpoint(t.Context(), "off", "they move", time.Now().Add(2*time.Hour)); err != nil {
			t.Fatal(err)
		}
		d.publish("evt_1")
		time.Sleep(time.Minute)
		d.get("/").says("off is disabled since 00:00:00, for 1 min", "The reason is “they move”. It stays so until 02:00:00. 1 delivery waits; the oldest has been due for 1 min.",
			"oldest due, not held none").has(`class="notice amber"`).hides("more need")
	})
}

// A handler that nobody has any more, and an endpoint whose key is missing, need somebody.
func TestOverviewOfWhatNobodySends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		before := newDesk(t, hooks.Config{Store: store, Keeper: kit.NewKeeper(t, "a")}, admin.Config{})
		before.subscribe("mailer", nil)
		before.put("crm", "/200")
		stop := kit.StartInBubble(t, before.h)
		stop()
		before.h.Publish(t.Context(), hooks.Event{ID: "evt_1", Type: "parcel.sent", Tenant: "acme", Data: []byte("{}")})
		time.Sleep(10 * time.Minute)
		d := newDesk(t, hooks.Config{Store: store, Keeper: kit.NewKeeper(t, "b")}, admin.Config{})
		d.get("/").says("crm cannot be signed for", "Its secrets cannot be decrypted.", "1 more needs attention", "mailer has no process",
			"crm acme no key", "mailer handler no process")
		d.get("/deliveries").says("held no key", "waiting for a process with the handler")
		d.get("/deliveries/evt_1.crm").is(200).says("Held, because no request can be signed", "so that no request can be signed. This is the event's data.")
		d.get("/deliveries/evt_1.mailer").is(200).says("When a process with the handler is free")
	})
}

// A store without counters is said to have none: zeros would be lies.
func TestOverviewWithoutCounters(t *testing.T) {
	d := newDesk(t, hooks.Config{Store: struct{ hooks.Store }{memory.New()}}, admin.Config{})
	d.put("crm", "/503")
	d.publish("evt_1")
	d.get("/").is(200).says("succeeded, last hour –", "failed attempts, last hour –", "waiting to retry 1", "success, 24 h –", "this store keeps no counters", "crm acme working – – 1")
}

func TestOverviewPointsToWarningsOfTheStore(t *testing.T) {
	d := newDesk(t, hooks.Config{Store: struct{ hooks.Store }{memory.New()}}, admin.Config{})
	d.put("crm", "/200")
	d.get("/").says("1 warning about the store and its secrets").has(`href="./system"`)
	d.as(admin.Secrets, "acme")
	d.get("/").hides("warning", "system")
}
