package admin_test

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/admin"
	"example.com/hooks/store/memory"
)

// A customer proves an endpoint on its page: the page says what is missing, what was wrong
// with an answer, and that it was right.
func TestACustomerVerifiesAnEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openConsole(t, hooks.Config{Store: memory.New(), VerifyEndpoints: true}, admin.Config{})
		c.access = admin.Access{Level: admin.Manage, Tenant: "acme", User: "lee"}
		made, err := c.h.Tenant("acme").PutEndpoint(t.Context(), hooks.Endpoint{ID: "crm", URL: "https://crm.example/hooks", Events: []string{"**"}})
		if err != nil || !made.Unverified {
			t.Fatalf("PutEndpoint = %+v, %v; want it unverified", made, err)
		}
		c.publish(1)
		c.get("/").is(200, "unverified", "has to answer a challenge")
		c.get("/deliveries").is(200, "held its endpoint is not verified")
		c.get("/endpoints?state=unverified").is(200, "unverified crm")
		c.get("/endpoints/crm").is(200, "Not verified", "Send the challenge", "A test can be sent when the endpoint is verified.")
		for says, answer := range map[string]func(*http.Request) (int, string){
			"answered 404 Not Found; the challenge needs a status from 200 to 299": func(*http.Request) (int, string) { return 404, "" },
			"answered 200 OK with an empty body":                                   func(*http.Request) (int, string) { return 200, " " },
			"answered 200 OK with the body “<b>ok</b>”":                            func(*http.Request) (int, string) { return 200, "<b>ok</b>" },
		} {
			time.Sleep(5 * time.Second)
			c.answer = answer
			c.post("/endpoints/crm/verify").is(200, "The challenge failed.", says, "data.challenge", "Not verified")
		}
		c.post("/endpoints/crm/verify").is(409, "a moment ago")
		c.access.Level = admin.Replay
		c.get("/endpoints/crm").is(200, "Not verified").lacks("Send the challenge")
		c.post("/endpoints/crm/verify").is(403)
		c.access.Level = admin.Manage
		c.answer = func(r *http.Request) (int, string) {
			var ev struct{ Data struct{ Challenge string } }
			body, _ := io.ReadAll(r.Body)
			_ = json.Unmarshal(body, &ev)
			return 200, ev.Data.Challenge
		}
		time.Sleep(5 * time.Second)
		c.post("/endpoints/crm/verify").is(303)
		c.get("/endpoints/crm?did=verified").is(200, "Verified.", "Working").lacks("Send the challenge")
		if last := c.lastAudit(); last.Action != "endpoint.verify" || last.Target != "crm" || last.Refused != "" {
			t.Errorf("the audit was told %+v; want that crm was verified", last)
		}
	})
}
