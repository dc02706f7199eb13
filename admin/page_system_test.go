package admin_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/admin"
	"example.com/hooks/store/memory"
)

func nothing(context.Context, hooks.Event) error { return nil }

func TestTypesShowsWhoListens(t *testing.T) {
	c := newConsole(t)
	for _, s := range []hooks.Handler{
		{Name: "mailer", Events: []string{"*.paid"}, Func: nothing},
		{Name: "fraud-desk", Events: []string{"**"}, Func: nothing},
	} {
		if err := c.h.Subscribe(s); err != nil {
			t.Fatal(err)
		}
	}
	c.put(hooks.Endpoint{ID: "crm", Events: []string{"invoice.*"}})
	c.put(hooks.Endpoint{ID: "erp", Tenant: "globex", Events: []string{"**"}})
	c.get("/types").
		is(200, "fraud.flagged private fraud-desk handler Events", "invoice.paid An invoice was paid. Example { \"number\": \"R-1\", \"amount\": 9007199254740993 }",
			"fraud-desk handler , mailer handler , crm acme , erp globex Events", "order.shipped fraud-desk handler , erp globex Events").
		has(`href="./endpoints/crm"`, `href="./events?type=invoice.paid"`)
	if text := c.get("/types").text; strings.Index(text, "hooks.") < strings.Index(text, "order.shipped fraud-desk") {
		t.Errorf("the library's own types do not stand last: %s", text)
	}

	c.access = admin.Access{Level: admin.View, Tenant: "acme"}
	c.get("/types").is(200, "invoice.paid An invoice was paid.", "crm Events", "order.shipped nobody Events").
		lacks("fraud", "erp", "globex", "mailer", "acme , ")
	empty, err := hooks.New(hooks.Config{Store: memory.New()})
	if err != nil {
		t.Fatal(err)
	}
	c.ui, err = admin.New(empty, admin.Config{Authorize: func(*http.Request) (admin.Access, error) { return c.access, nil }})
	if err != nil {
		t.Fatal(err)
	}
	c.get("/types").is(200, "There are no events yet that you could receive.")
	c.access = admin.Access{Level: admin.View, AllTenants: true}
	c.get("/types").is(200, "No event type is registered.", "Hooks.Register")
}

func TestTypesFollowsThePatterns(t *testing.T) {
	c := newConsole(t)
	deep := []hooks.AnyEventType{hooks.EventType[bill]{Name: "a.b.c"}, hooks.EventType[bill]{Name: "a.x.c"}, hooks.EventType[bill]{Name: "a"}, hooks.EventType[bill]{Name: "a.b"}}
	if err := c.h.Register(deep...); err != nil {
		t.Fatal(err)
	}
	for id, pattern := range map[string]string{"one": "a.*.c", "two": "a.**", "three": "*", "four": "*.b.**", "five": "**", "six": "a.b", "own": "hooks.**"} {
		c.put(hooks.Endpoint{ID: id, Events: []string{pattern}})
	}
	page := c.get("/types").is(200)
	for name, want := range map[string]string{"a": "five three", "a.b": "five six two", "a.b.c": "five four one two", "a.x.c": "five one two", hooks.EndpointDisabled.Name: "own"} {
		row := regexpRow(page.html, name)
		var got []string
		for _, id := range []string{"five", "four", "one", "own", "six", "three", "two"} {
			if strings.Contains(row, "endpoints/"+id+`"`) {
				got = append(got, id)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("the listeners of %s are %v; want %s", name, got, want)
		}
		routes, err := c.h.ExplainEvent(t.Context(), hooks.Event{Type: name, Tenant: "acme", Data: []byte("{}")})
		if err != nil {
			t.Fatal(err)
		}
		var receive []string
		for _, r := range routes {
			if r.Receives {
				receive = append(receive, r.Subscriber)
			}
		}
		if strings.Join(receive, " ") != want {
			t.Errorf("ExplainEvent(%s) = %v; want %s", name, receive, want)
		}
	}
}

// regexpRow returns the row of a table whose first cell is name.
func regexpRow(html, name string) string {
	_, row, _ := strings.Cut(html, "<td><b>"+name+"</b>")
	row, _, _ = strings.Cut(row, "</tr>")
	return row
}

func TestSystemShowsWhatToMendAndWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		old := openConsole(t, hooks.Config{Store: store}, admin.Config{})
		if err := old.h.Subscribe(hooks.Handler{Name: "former", Events: []string{"invoice.*"}, Func: nothing}); err != nil {
			t.Fatal(err)
		}
		old.publish(0) // records the handler

		c := openConsole(t, hooks.Config{Store: store}, admin.Config{})
		c.get("/system").is(200, "Nothing needs you", "Nothing waits: every delivery is final.", "None was counted.", "Version hooks "+hooks.Version)
		desk := hooks.Handler{Name: "desk", Events: []string{"order.*"}, Ordered: true, Func: func(context.Context, hooks.Event) error { return errors.New("closed") }}
		if err := c.h.Subscribe(desk); err != nil {
			t.Fatal(err)
		}
		c.put(hooks.Endpoint{ID: "crm"})
		c.answer = func(*http.Request) (int, string) { return 503, "" }
		if _, err := c.h.Publish(t.Context(), hooks.Event{Type: "invoice.paid", Tenant: "acme", Data: []byte("{}"), DeliverAt: time.Now().Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		c.publish(3)
		page := c.get("/system").is(200, "What you should mend", "failing crm Its last 3 attempts failed",
			"What waits the oldest first", "crm 1 3 0 in", "former 4 0 0",
			"desk ordered order.* this process", "former invoice.* another program, or none any more Delete…").
			has(`href="./endpoints/crm"`, `href="./deliveries?subscriber=former"`, `href="./handlers/former/delete"`).
			lacks("handlers/desk/delete")
		if strings.Index(page.text, "former 4 0 0") > strings.Index(page.text, "crm 1 3 0") {
			t.Errorf("what is due the longest does not stand first: %s", page.text)
		}
	})
}

func TestHandlersAreDeletedIfNoProgramHasThem(t *testing.T) {
	store := memory.New()
	old := openConsole(t, hooks.Config{Store: store}, admin.Config{})
	if err := old.h.Subscribe(hooks.Handler{Name: "former", Events: []string{"invoice.*"}, Func: nothing}); err != nil {
		t.Fatal(err)
	}
	old.publish(0)
	c := openConsole(t, hooks.Config{Store: store}, admin.Config{})
	if err := c.h.Subscribe(hooks.Handler{Name: "mine", Events: []string{"order.*"}, Func: nothing}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.h.Publish(t.Context(), hooks.Event{Type: "invoice.paid", Data: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	c.access.Level = admin.Replay
	c.get("/system").is(200).lacks("Delete…")
	c.get("/handlers/former/delete").is(403)
	c.post("/handlers/former/delete").is(403)
	c.access.Level = admin.Manage
	c.get("/handlers/mine/delete").is(409, "This process has the handler")
	c.post("/handlers/mine/delete").is(400)
	c.get("/handlers/frog/delete").is(404)
	c.get("/handlers/former/delete").is(200, "Delete the handler former?", "is canceled: 1 pending, 0 retrying, 0 being sent.")
	c.post("/handlers/former/delete").goesTo("/system?did=handler")
	if got := c.lastAudit(); got.Action != "handler.delete" || got.Target != "former" || got.Refused != "" {
		t.Errorf("audit = %+v; want handler.delete of former", got)
	}
	c.publish(0) // cancels what waited
	c.get("/system?did=handler").is(200, "The handler was deleted.").lacks("former")
	c.access = admin.Access{Level: admin.Secrets, Tenant: "acme"}
	for _, path := range []string{"/system", "/handlers/mine/delete"} {
		c.get(path).is(404).lacks("mine")
	}
	c.get("/types").lacks("system")
}
