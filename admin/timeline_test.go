package admin_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/admin"
	"example.com/hooks/internal/kit"
)

func TestTimelineOfAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, hooks.Config{}, admin.Config{})
		d.put("billing", "/200")
		d.put("crm", "/503", func(e *hooks.Endpoint) { e.Retry = []time.Duration{time.Minute, time.Hour} })
		d.subscribe("audit", nil)
		d.put("other", "/200", func(e *hooks.Endpoint) { e.Events = []string{"parcel.lost"} })
		kit.StartInBubble(t, d.h)
		d.publish("evt_1")
		time.Sleep(2 * time.Minute)
		s := d.get("/events/evt_1").is(200)
		s.says("Timeline from when it was published 00:00:00 +0 ms published to 3 subscribers",
			"billing : attempt 1: 200 OK", "audit : attempt 1: ok", "crm : attempt 1: 503 Service Unavailable", "crm : attempt 2: 503 Service Unavailable",
			"crm : the next attempt is due", "other none of its patterns matches the type")
		order := []string{"published to", "crm : attempt 1", "crm : attempt 2", "crm : the next attempt is due"}
		for i, at := 1, strings.Index(s.text, order[0]); i < len(order); i++ {
			next := strings.Index(s.text, order[i])
			if next < at {
				t.Errorf("the timeline has %q before %q; it says: %s", order[i], order[i-1], s.text)
			}
			at = next
		}
		s.has(`class="ahead"`, `href="../deliveries/evt_1.crm"`)
		d.as(admin.View, "acme")
		d.get("/events/evt_1").says("published to 2 endpoints", "billing : attempt 1").hides("audit", "3 endpoints")
	})
}

func TestTimelineOfTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, hooks.Config{}, admin.Config{})
		d.put("crm", "/503", once)
		d.put("erp", "/200")
		kit.StartInBubble(t, d.h)
		d.publish("evt_1", func(ev *hooks.Event) { ev.DeliverAt = time.Now().Add(time.Hour) })
		if _, err := d.h.Cancel(t.Context(), hooks.DeliveryID{Event: "evt_1", Subscriber: "erp"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		d.get("/events/evt_1").says("erp : canceled", "01:00:00 +1 h to be delivered from now on", "01:00:00 +1 h crm : attempt 1: 503 Service Unavailable", "crm : gave up, for good").
			hides(`class="ahead"`)
	})
}

// An event with many subscribers has a timeline that ends, and says what it leaves out.
func TestTimelineIsBounded(t *testing.T) {
	d := newDesk(t, hooks.Config{}, admin.Config{})
	for i := range 210 {
		d.put(fmt.Sprintf("shop-%03d", i), "/200")
	}
	d.publish("evt_1")
	s := d.get("/events/evt_1").is(200)
	s.says("published to more than 200 subscribers", "51 earlier moments are not shown.",
		"Of 150 deliveries only how they stand is shown here", "Only the newest 200 deliveries are in it.")
	if n := strings.Count(s.html, `class="offset"`); n != 200 {
		t.Errorf("the timeline has %d moments; want 200", n)
	}
}
