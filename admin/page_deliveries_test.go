package admin_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/admin"
)

// once is the schedule of an endpoint that is tried once.
func once(e *hooks.Endpoint) { e.Retry = []time.Duration{} }

func TestDeliveriesSayHowToBegin(t *testing.T) {
	d := newDesk(t, hooks.Config{}, admin.Config{})
	d.get("/deliveries").says("No deliveries yet", "parcel.lost , parcel.sent", "Add an endpoint", "Publish an event")
	d.get("/events").says("No events yet")
	d.put("crm", "/200")
	d.get("/deliveries").says("crm listens to parcel.*")
	d.get("/failures").says("No delivery has failed for good")
	d.get("/deliveries?status=failed").says("No delivery matches this filter", "Show all")
}

func TestRowsSayWhereADeliveryStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, hooks.Config{}, admin.Config{})
		d.put("works", "/200")
		d.put("fails", "/503")
		d.put("gave-up", "/422", once)
		d.put("gone", "/410")
		d.put("off", "/200")
		d.subscribe("audit", nil)
		if err := d.h.DisableEndpoint(t.Context(), "off", "moving", time.Time{}); err != nil {
			t.Fatal(err)
		}
		d.publish("evt_1")
		d.publish("evt_2", func(ev *hooks.Event) { ev.DeliverAt = time.Now().Add(3*time.Hour + 5*time.Minute) })
		if _, err := d.h.Cancel(t.Context(), hooks.DeliveryID{Event: "evt_2", Subscriber: "works"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		for subscriber, words := range map[string]string{
			"works&event=evt_1": "succeeded parcel.sent evt_1 works acme 1 200 OK",
			"fails&event=evt_1": "retrying parcel.sent evt_1 fails acme 1 503 Service Unavailable 00:00:0",
			"gave-up":           "failed parcel.sent evt_1 gave-up acme 1 422 Unprocessable Entity gave up 2 s ago",
			"gone":              "failed parcel.sent evt_1 gone acme 1 410 Gone rejected 2 s ago",
			"off&event=evt_1":   "pending parcel.sent evt_1 off acme 0 none yet held disabled; ends by 4 Jan 00:00",
			"fails&event=evt_2": "pending parcel.sent evt_2 fails acme 0 none yet 03:05:00 in 3 h 4 min",
			"works&event=evt_2": "canceled parcel.sent evt_2 works acme 0 none yet canceled 2 s ago",
			"audit&event=evt_1": "succeeded parcel.sent evt_1 audit handler 1 ok",
		} {
			d.get("/deliveries?subscriber=" + subscriber).is(200).says(words)
		}
		d.get("/failures").says("gave-up", "gone").hides("fails", "works")
	})
}

// A long page of what is held says of each row that it is, and asks the store of some only.
func TestManyHeldRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, hooks.Config{}, admin.Config{})
		d.put("off", "/200")
		if err := d.h.DisableEndpoint(t.Context(), "off", "", time.Time{}); err != nil {
			t.Fatal(err)
		}
		for range 60 {
			d.publish("")
		}
		time.Sleep(time.Minute)
		text := d.get("/deliveries?limit=100").text
		if held, ends := strings.Count(text, "held disabled"), strings.Count(text, "held disabled; ends by 4 Jan 00:00"); held != 60 || ends != 50 {
			t.Errorf("%d rows are held, %d of them with an end; want 60 and 50", held, ends)
		}
	})
}

// The first one of a key is not in line behind itself.
func TestTheFirstOfALineIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, hooks.Config{}, admin.Config{})
		d.put("in-order", "/503", func(e *hooks.Endpoint) { e.Ordered = true })
		for _, id := range []string{"evt_1", "evt_2"} {
			ev := hooks.Event{ID: id, Type: "parcel.sent", Tenant: "acme", Data: []byte("{}"), OrderingKey: "parcel-7"}
			if _, err := d.h.Publish(t.Context(), ev); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(3 * time.Second)
		d.get("/deliveries").says("evt_2 in-order acme 0 none yet in line behind key parcel-7", "evt_1 in-order acme 0 none yet now due for 3 s")
	})
}

// Deliveries of one ordering key wait for each other, and their rows say so.
func TestRowsSayWhatIsInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, hooks.Config{}, admin.Config{})
		d.put("in-order", "/503", func(e *hooks.Endpoint) { e.Ordered = true })
		key := func(ev *hooks.Event) { ev.OrderingKey = "parcel-7" }
		d.publish("evt_1", key)
		d.publish("evt_2", key)
		d.publish("evt_3", key)
		d.get("/deliveries?event=evt_2").says("in line behind key parcel-7")
		d.get("/deliveries?event=evt_3").says("in line behind key parcel-7")
		d.get("/deliveries").says("retrying parcel.sent evt_1")
		d.get("/deliveries/evt_3.in-order").says("In line behind another delivery", "delivery evt_1.in-order").
			has(`href="../deliveries/evt_1.in-order">See that delivery`)
	})
}

func TestFilterIsTheAddress(t *testing.T) {
	d := newDesk(t, hooks.Config{}, admin.Config{})
	d.put("crm", "/422", once)
	d.publish("evt_1")
	s := d.get("/deliveries?subscriber=crm&since=7d&reason=exhausted&status=failed&type=").is(200)
	s.says("Filter: crm, exhausted, 7 days", "evt_1", "Clear")
	s.has(`name="subscriber" value="crm"`, `<option value="7d" selected>`, // the form shows it,
		`<input type="hidden" name="reason" value="exhausted">`,                                                   // keeps what it has no field for,
		`href="./deliveries?reason=exhausted&amp;since=7d&amp;subscriber=crm"`,                                    // the tabs do,
		`href="./actions/new?kind=replay&amp;reason=exhausted&amp;since=7d&amp;status=failed&amp;subscriber=crm"`) // and an action begins with it
	d.get("/failures?subscriber=crm").has(`href="./actions/new?kind=replay&amp;status=failed&amp;subscriber=crm"`, `href="./deliveries?status=failed&amp;subscriber=crm"`)
	d.get("/deliveries?colour=red").is(400).says("There is no parameter")
	d.get("/failures?status=succeeded").is(400)
	d.get("/deliveries?type=typo.*").is(400)
}

func TestListsHavePages(t *testing.T) {
	d := newDesk(t, hooks.Config{}, admin.Config{})
	d.put("crm", "/422", once)
	for i := range 5 {
		d.publish(fmt.Sprintf("evt_%d", i))
	}
	for path, older := range map[string]string{"/deliveries?subscriber=crm&": "Older deliveries", "/events?": "Older events"} {
		s := d.get(path+"limit=2").says("evt_4", "evt_3", older).hides("evt_2")
		_, rest, _ := strings.Cut(s.html, `rel="next" href="`)
		next, _, _ := strings.Cut(rest, `"`)
		d.get("/"+strings.ReplaceAll(next, "&amp;", "&")).says("evt_2", "evt_1", older).hides("evt_3", "evt_0")
	}
	d.get("/deliveries?limit=201").is(400)
	d.get("/deliveries?limit=2&did=replay.1").says("Replayed").has(`rel="next" href="deliveries?cursor=`).hides("did=")
	_, next, err := d.h.Deliveries(t.Context(), hooks.Query{Limit: 2})
	if err != nil {
		t.Fatal(err)
	}
	d.get("/deliveries?limit=2&cursor="+next).says("evt_2", "Newest").has(`href="./deliveries?status=failed"`, `href="./deliveries">Newest`)
}

func TestTabsCountWhatIsCheapToCount(t *testing.T) {
	d := newDesk(t, hooks.Config{}, admin.Config{})
	d.put("crm", "/503")
	d.publish("evt_1")
	d.publish("evt_2")
	d.get("/deliveries?subscriber=crm").says("all pending 0 retrying 2 sending 0 succeeded failed canceled")
	d.get("/deliveries?subscriber=other&status=failed").says("all pending 0 retrying 0 sending 0 succeeded")
	d.get("/deliveries").says("all pending retrying sending succeeded")
	d.get("/deliveries?subscriber=crm&since=1h").says("all pending retrying sending succeeded")
}

func TestButtonsAreForWhoMayUseThem(t *testing.T) {
	d := newDesk(t, hooks.Config{}, admin.Config{})
	d.put("crm", "/503")
	d.publish("evt_1")
	for level, has := range map[admin.Level][2]bool{admin.View: {false, false}, admin.Replay: {true, false}, admin.Manage: {true, true}} {
		for _, tenant := range []string{"", "acme"} {
			d.as(level, tenant)
			s := d.get("/deliveries").says("evt_1")
			if got := [2]bool{strings.Contains(s.text, "Cancel selected"), strings.Contains(s.text, "Replay all matching")}; got != has {
				t.Errorf("level %v has buttons for selected, for all = %v; want %v", level, got, has)
			}
			if got := strings.Contains(s.html, "checkbox"); got != has[0] {
				t.Errorf("level %v has boxes to tick = %t; want %t", level, got, has[0])
			}
			if got := strings.Contains(d.get("/deliveries/evt_1.crm").text, "Replay now"); got != has[0] {
				t.Errorf("level %v has a button to replay = %t; want %t", level, got, has[0])
			}
		}
	}
}

// What is final cannot be canceled, so that lists of it do not offer it.
func TestCancelIsOfferedWhereItIsPossible(t *testing.T) {
	d := newDesk(t, hooks.Config{}, admin.Config{})
	d.put("crm", "/422", once)
	d.publish("evt_1")
	d.get("/deliveries").says("Replay selected", "Cancel selected")
	d.get("/deliveries?status=failed").says("Replay selected").hides("Cancel selected")
}

func TestReplaySelected(t *testing.T) {
	d := newDesk(t, hooks.Config{}, admin.Config{})
	d.put("crm", "/422", once)
	d.put("ok", "/200")
	d.put("left", "/422", once)
	d.publish("evt_1")
	d.publish("evt_2")
	if err := d.h.DeleteEndpoint(t.Context(), "left"); err != nil {
		t.Fatal(err)
	}
	s := d.post("/selected/replay", "filter", "type=parcel.sent&subscriber=crm",
		"id", "evt_1.crm", "id", "evt_2.crm", "id", "evt_1.ok", "id", "evt_1.left", "id", "evt_9.crm")
	s = d.follow(s).is(200).says("Replayed 2 of 5.", "1 succeeded (replay these from their pages), 1 of deleted subscribers, 1 not there any more.")
	if got := s.from.Path + "?" + s.from.Query().Get("subscriber"); got != "/deliveries?crm" {
		t.Errorf("the form leads to %v; want the list it was on", s.from)
	}
	if got := d.delivery("evt_2.crm"); got.Run != 2 || got.Status != hooks.Pending {
		t.Errorf("evt_2.crm is %v in run %d; want pending in run 2", got.Status, got.Run)
	}
	if got := d.delivery("evt_1.ok"); got.Run != 1 {
		t.Errorf("evt_1.ok, which had succeeded, is in run %d; want 1", got.Run)
	}
	refused := 0
	for _, e := range d.told {
		if e.Action != "delivery.replay" || e.User != "kim" || e.Target == "" {
			t.Errorf("the audit was told %+v; want kim's delivery.replay of a delivery", e)
		}
		if e.Refused != "" {
			refused++
		}
	}
	if len(d.told) != 5 || refused != 3 {
		t.Errorf("the audit was told of %d deliveries, %d of them refused; want 5 and 3", len(d.told), refused)
	}
}

func TestCancelSelected(t *testing.T) {
	d := newDesk(t, hooks.Config{}, admin.Config{})
	d.put("crm", "/503")
	d.publish("evt_1")
	d.publish("evt_2")
	d.follow(d.post("/selected/cancel", "id", "evt_1.crm", "id", "evt_2.crm")).says("Canceled 2.")
	d.follow(d.post("/selected/cancel", "id", "evt_1.crm", "id", "evt_2.crm")).says("Not canceled 2 ended already.")
	d.follow(d.post("/selected/cancel", "id", "evt_1.crm")).says("Not canceled It has ended already.")
	d.follow(d.post("/selected/cancel")).says("Not canceled No delivery was ticked.")
	if got := d.delivery("evt_1.crm").Status; got != hooks.Canceled {
		t.Errorf("the delivery is %v; want canceled", got)
	}
}

func TestSelectedIsBounded(t *testing.T) {
	d := newDesk(t, hooks.Config{}, admin.Config{})
	var many []string
	for i := range 201 {
		many = append(many, "id", fmt.Sprintf("evt_%d.crm", i))
	}
	d.post("/selected/cancel", many...).is(400).says("at most 200 at once")
	d.post("/selected/cancel", "id", "no id").is(400)
	d.post("/selected/cancel", "filter", "colour=red").is(400)
	d.post("/selected/cancel", "filter", "%zz").is(400)
}

// The notice is made of the address, which anybody may have written.
func TestNoticesTakeNothingButNumbers(t *testing.T) {
	d := newDesk(t, hooks.Config{}, admin.Config{})
	d.get("/deliveries?did=replay.3.sending.1").says("Replayed 3 of 4. Not these: 1 being sent now.")
	for _, did := range []string{"replay", "replay.x", "replay.-1", "replay.9999", "replay.1.sending", "shout.1", "<b>", ""} {
		d.get("/deliveries?did="+did).is(200).hides("notice", "Replayed")
	}
	d.get("/deliveries?did=replay.1.unknown.2").says("Replayed It is due now.")
}

func (d *desk) delivery(text string) hooks.Delivery {
	d.t.Helper()
	id, err := hooks.ParseDeliveryID(text)
	if err != nil {
		d.t.Fatal(err)
	}
	got, err := d.h.Delivery(d.t.Context(), id)
	if err != nil {
		d.t.Fatal(err)
	}
	return got
}
