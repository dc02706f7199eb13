package admin_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"example.com/hooks"
	"example.com/hooks/admin"
	"example.com/hooks/store/memory"
)

const exampleText = "{\n  \"number\": \"R-1\",\n  \"amount\": 9007199254740993\n}"

func TestSendTestShowsTheResultInPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConsole(t)
		c.put(hooks.Endpoint{ID: "crm", Events: []string{"invoice.*"}})
		page := c.get("/endpoints/crm").is(200, "Send a test", "Data, from the example of the type").has(`label="It receives"`).lacks("fraud.flagged")
		if got := page.value("data"); got != exampleText {
			t.Errorf("the form has the data %q; want the example %q", got, exampleText)
		}
		c.answer = func(*http.Request) (int, string) { return 503, `upstream <b>failed</b>` }
		c.post("/endpoints/crm/test", "type", "invoice.paid", "filled", "invoice.paid", "data", strings.ReplaceAll(exampleText, "\n", "\r\n")).
			is(200, "Result 503 Service Unavailable 00:00:00, took", "upstream <b>failed</b>", "crm working", exampleWords()).
			lacks("<b>failed", `data-base="../../" data-live`) // a page that is not at its own address cannot be read anew
		body, err := io.ReadAll(c.sent[0].Body)
		if err != nil || !bytes.Contains(body, []byte(exampleText)) {
			t.Errorf("sent %q, %v; want the data as it was typed", body, err)
		}
		c.answer = func(*http.Request) (int, string) { return 200, "" }
		c.post("/endpoints/crm/test", "type", "invoice.paid", "data", `{"mine":1}`).is(200, "Result 200 OK", "The response has no body.", `{"mine":1}`)
		if got := c.lastAudit(); got.Action != "endpoint.test" || got.Target != "crm" || got.Refused != "" {
			t.Errorf("audit = %+v; want endpoint.test of crm", got)
		}
		c.get("/endpoints/crm/test").goesTo("/endpoints/crm")
	})
}

func exampleWords() string { return strings.Join(strings.Fields(exampleText), " ") }

func TestSendTestTakesTheExampleOfTheChosenType(t *testing.T) {
	c := newConsole(t)
	c.put(hooks.Endpoint{ID: "crm", Events: []string{"order.*"}})
	page := c.get("/endpoints/crm").is(200).has(`label="It receives"><option>order.shipped`, `label="Others"><option selected>invoice.paid`)
	if got := page.value("filled"); got != "invoice.paid" {
		t.Errorf("the form is filled for %q; want the first type with an example", got)
	}
	filled := c.post("/endpoints/crm/example", "type", "order.shipped", "data", "old").is(200).has(`<option selected>order.shipped`)
	if got := filled.value("data"); got != "{}" || len(c.sent) != 0 || len(c.audit) != 0 {
		t.Errorf("the form has %q, %d were sent, audit %v; want {} and nothing else", got, len(c.sent), c.audit)
	}
	c.post("/endpoints/crm/test", "type", "invoice.paid", "filled", "order.shipped", "data", "{}").is(200, "Result", exampleWords())
	left := strings.ReplaceAll(exampleText, "\n", "\r\n")
	none := c.post("/endpoints/crm/test", "type", "order.shipped", "filled", "invoice.paid", "data", left).is(200, "Result")
	if got := none.value("data"); got != "{}" {
		t.Errorf("after another type was chosen, the form has %q; want that type's data {}", got)
	}
	c.post("/endpoints/crm/test", "type", "order.shipped", "filled", "invoice.paid", "data", `{"mine":2}`).is(200, "Result")
	if body, err := io.ReadAll(c.sent[2].Body); err != nil || !bytes.Contains(body, []byte(`{"mine":2}`)) {
		t.Errorf("sent %q, %v; want what was typed", body, err)
	}
}

func TestSendTestSaysWhatIsWrong(t *testing.T) {
	c := newConsole(t)
	c.put(hooks.Endpoint{ID: "crm"})
	bad := c.post("/endpoints/crm/test", "type", "invoice.paid", "data", "{").is(400).has(`id="data-wrong"`)
	if got := bad.value("data"); got != "{" {
		t.Errorf("the form has %q; want what was typed", got)
	}
	c.post("/endpoints/crm/test", "type", "frog", "data", "{}").is(400).has(`id="type-wrong"`)
	c.post("/endpoints/crm/test", "type", "fraud.flagged", "data", "{}").is(400).has(`id="type-wrong"`)
	c.post("/endpoints/crm/test", "type", "invoice.paid", "data", strings.Repeat("x", 2<<20)).is(413)
	c.post("/endpoints/frog/test", "type", "invoice.paid", "data", "{}").is(404)
	if len(c.sent) != 0 {
		t.Errorf("%d requests were sent", len(c.sent))
	}
}

func TestSendTestRedactsTheResponse(t *testing.T) {
	c := openConsole(t, hooks.Config{Store: memory.New()}, admin.Config{
		Redact: func(typ string, body []byte) []byte {
			return bytes.ReplaceAll(body, []byte("sesame"), []byte(typ+" hidden"))
		},
	})
	c.put(hooks.Endpoint{ID: "crm"})
	c.answer = func(*http.Request) (int, string) { return 200, "open sesame" }
	c.post("/endpoints/crm/test", "type", "invoice.paid", "data", "{}").is(200, "open invoice.paid hidden").lacks("sesame")
}
