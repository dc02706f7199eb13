package systemtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/signer"
)

// A prover is an endpoint "crm" of acme, which acme has made, and its receiver.
type prover struct {
	*hooks.Hooks
	t     *testing.T
	acme  *hooks.Tenant
	store hooks.Store
	e     hooks.Endpoint
	// keeper encrypts what another process must know, too.
	keeper hooks.Keeper

	mu     sync.Mutex // guards what follows
	answer func(challenge string, body []byte) (code int, answer string)
	sent   []string // types of what came
	keys   signer.Secret

	gate chan struct{} // requests wait until it is closed; nil: they do not
}

// inProvers runs a test on each store, in a bubble, with VerifyEndpoints.
func inProvers(t *testing.T, test func(t *testing.T, p *prover)) {
	for name, open := range stores(t) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &prover{t: t, store: open(t), answer: func(challenge string, _ []byte) (int, string) { return 200, challenge + "\n" }}
				if name == "sqlite" {
					p.keeper = kit.NewKeeper(t, "1")
				}
				p.Hooks = p.process()
				p.acme = p.Tenant("acme")
				var err error
				if p.e, err = p.acme.PutEndpoint(t.Context(), hooks.Endpoint{ID: "crm", URL: kit.AnyURL, Events: []string{"**"}}); err != nil {
					t.Fatal(err)
				}
				p.keys = p.e.Secret
				test(t, p)
			})
		})
	}
}

// process returns a new Hooks on the store.
func (p *prover) process() *hooks.Hooks {
	return kit.New(p.t, hooks.Config{Store: p.store, Keeper: p.keeper, VerifyEndpoints: true, Transport: kit.Exchange(p.receive), Logger: kit.Silent})
}

func (p *prover) receive(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var got struct {
		Type string
		Data struct{ Challenge string }
	}
	if err := json.Unmarshal(body, &got); err != nil {
		return nil, err
	}
	if err := (signer.Verifier{Secrets: []signer.Secret{p.keys}}).Verify(r.Header, body, time.Now()); err != nil {
		p.t.Errorf("%s is not signed: %v", got.Type, err)
	}
	if p.gate != nil {
		<-p.gate
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent = append(p.sent, got.Type)
	code, text := 200, ""
	if got.Data.Challenge != "" {
		code, text = p.answer(got.Data.Challenge, body)
	}
	return kit.Answer(code, nil, text), nil
}

// took returns the types of what came since the last call.
func (p *prover) took() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer func() { p.sent = nil }()
	return strings.Join(p.sent, " ")
}

func (p *prover) publish() hooks.DeliveryID {
	p.t.Helper()
	ev := kit.InvoicePaid.New(kit.Invoice{Number: 1})
	ev.Tenant = "acme"
	return hooks.DeliveryID{Event: kit.Publish(p.t, p.Hooks, ev).EventID, Subscriber: "crm"}
}

// wants checks how the endpoint stands, and what came to it.
func (p *prover) wants(when string, state hooks.EndpointState, took string) {
	p.t.Helper()
	synctest.Wait()
	is, err := p.acme.EndpointHealth(p.t.Context(), "crm")
	if err != nil || is.State != state {
		p.t.Errorf("%s it is %+v, %v; want %s", when, is, err, state)
	}
	if got := p.took(); got != took {
		p.t.Errorf("%s it got %q; want %q", when, got, took)
	}
}

// verify sends a challenge and checks the class of failure of the attempt.
func (p *prover) verify(class string) {
	p.t.Helper()
	time.Sleep(5 * time.Second) // the next one may be sent then
	if a, err := p.acme.VerifyEndpoint(p.t.Context(), "crm"); err != nil || a.Error != class {
		p.t.Errorf("VerifyEndpoint = %q, %v; want the class %q", a.Error, err, class)
	}
}

// A customer's endpoint gets nothing before it has answered a challenge, and everything
// afterwards.
func TestAnEndpointIsProvenFirst(t *testing.T) {
	inProvers(t, func(t *testing.T, p *prover) {
		kit.StartInBubble(t, p.Hooks)
		id := p.publish()
		time.Sleep(time.Minute)
		p.wants("at first", hooks.StateUnverified, "")
		e, err := p.acme.ExplainDelivery(t.Context(), id)
		if err != nil || e.Code != "unverified" || !e.Until.Equal(kit.Delivery(t, p.Hooks, id.Event, "crm").Due.Add(72*time.Hour)) {
			t.Errorf("ExplainDelivery = %+v, %v; want it unverified for 72 h", e, err)
		}
		if list, err := p.acme.ExplainEvent(t.Context(), hooks.Event{Type: "invoice.paid", Data: []byte("{}")}); err != nil || list[0].Because != "unverified" {
			t.Errorf("ExplainEvent = %+v, %v; want it unverified", list, err)
		}
		if _, err := p.acme.SendTest(t.Context(), "crm", kit.InvoicePaid.New(kit.Invoice{})); !isInvalid(err) {
			t.Errorf("SendTest = %v; want an InvalidError", err)
		}
		for what, answer := range map[string]func(string, []byte) (int, string){
			"an echo":         func(_ string, body []byte) (int, string) { return 200, string(body) },
			"nothing":         func(string, []byte) (int, string) { return 204, "" },
			"more than that":  func(c string, _ []byte) (int, string) { return 200, "<p>" + c + "</p>" },
			"another one":     func(c string, _ []byte) (int, string) { return 200, strings.ToLower(c) },
			"it, with a 500":  func(c string, _ []byte) (int, string) { return 500, c },
			"it, elsewhere":   func(c string, _ []byte) (int, string) { return 302, c },
			"it, but refused": func(c string, _ []byte) (int, string) { return 404, c },
		} {
			p.answer = answer
			class := "challenge"
			if code, _ := answer("c", nil); code >= 300 {
				class = "status"
			}
			p.verify(class)
			p.wants("after "+what, hooks.StateUnverified, "hooks.endpoint.challenge")
		}
		p.answer = func(c string, _ []byte) (int, string) { return 201, " " + c + "\r\n" }
		p.verify("")
		p.wants("after the answer", hooks.StateWorking, "hooks.endpoint.challenge invoice.paid")
		p.verify("")
		p.wants("verified", hooks.StateWorking, "")
		if got := kit.Events(t, p.Hooks); len(got) != 1 {
			t.Errorf("%d events are stored; want the one that was published", len(got))
		}
	})
}

// What is proven is the URL: a customer who changes it proves it again, and the operator is
// believed.
func TestANewURLIsProvenAgain(t *testing.T) {
	inProvers(t, func(t *testing.T, p *prover) {
		put := func(v interface {
			PutEndpoint(ctx context.Context, e hooks.Endpoint) (hooks.Endpoint, error)
		}, change func(*hooks.Endpoint), want bool,
		) {
			t.Helper()
			e, err := p.Endpoint(t.Context(), "crm")
			if err != nil {
				t.Fatal(err)
			}
			change(&e)
			if e, err = v.PutEndpoint(t.Context(), e); err != nil || e.Unverified != want {
				t.Errorf("PutEndpoint = %+v, %v; want unverified: %t", e, err, want)
			}
			// Another process on the store, perhaps after a restart, knows it, too.
			if e, err = p.process().Endpoint(t.Context(), "crm"); err != nil || e.Unverified != want {
				t.Errorf("another process has %+v, %v; want unverified: %t", e, err, want)
			}
		}
		put(p.acme, func(e *hooks.Endpoint) { e.Description, e.Unverified = "changed", false }, true)
		put(p.Hooks, func(e *hooks.Endpoint) { e.Description, e.Unverified = "by the operator", false }, true)
		p.verify("")
		put(p.acme, func(e *hooks.Endpoint) { e.Description, e.Unverified = "again", true }, false)
		put(p.acme, func(e *hooks.Endpoint) { e.URL += "/other" }, true)
		put(p.acme, func(e *hooks.Endpoint) { e.URL = kit.AnyURL }, true)
		put(p.Hooks, func(e *hooks.Endpoint) { e.URL += "/third" }, false)
		e, err := p.PutEndpoint(t.Context(), hooks.Endpoint{ID: "erp", Tenant: "acme", URL: kit.AnyURL, Events: []string{"**"}})
		if err != nil || e.Unverified {
			t.Errorf("the operator's new endpoint is %+v, %v; want it verified", e, err)
		}
	})
}

// What waits when the URL is changed is neither lost nor sent to the new one.
func TestAChangedURLHoldsWhatWaits(t *testing.T) {
	inProvers(t, func(t *testing.T, p *prover) {
		p.verify("")
		p.took()
		var ids []hooks.DeliveryID
		for range 30 {
			ids = append(ids, p.publish())
		}
		p.e.URL, p.e.Version = kit.AnyURL+"/new", 0
		if _, err := p.acme.PutEndpoint(t.Context(), p.e); err != nil {
			t.Fatal(err)
		}
		kit.StartInBubble(t, p.Hooks)
		time.Sleep(71 * time.Hour)
		p.wants("for 71 h", hooks.StateUnverified, "")
		time.Sleep(2 * time.Hour)
		for _, id := range ids {
			if d := kit.Delivery(t, p.Hooks, id.Event, "crm"); d.Status != hooks.Failed || d.Reason != hooks.ReasonExpired || d.Attempts != 0 {
				t.Errorf("after 73 h a delivery is %v %s; want it failed, expired", d.Status, d.Reason)
			}
		}
		if is, err := p.Health(t.Context()); err != nil || len(is) > 1 {
			t.Errorf("Health = %v, %v; want nothing of an endpoint that is the customer's to prove", is, err)
		}
	})
}

// What a dispatcher has leased already when the URL is changed is given back, and not failed.
func TestAChangedURLHoldsWhatIsQueued(t *testing.T) {
	inProvers(t, func(t *testing.T, p *prover) {
		p.verify("")
		kit.StartInBubble(t, p.Hooks)
		p.gate = make(chan struct{}) // the receiver answers later
		var ids []hooks.DeliveryID
		for range 10 {
			ids = append(ids, p.publish())
		}
		synctest.Wait()
		changed := time.Now()
		p.e.URL, p.e.Version = kit.AnyURL+"/new", 0
		if _, err := p.acme.PutEndpoint(t.Context(), p.e); err != nil {
			t.Fatal(err)
		}
		close(p.gate)
		time.Sleep(time.Hour)
		pending := 0
		for _, id := range ids {
			switch d := kit.Delivery(t, p.Hooks, id.Event, "crm"); d.Status {
			case hooks.Pending:
				pending++
			case hooks.Succeeded:
			default:
				t.Errorf("a delivery is %v %s; want it held", d.Status, d.Reason)
			}
		}
		if pending < 5 {
			t.Errorf("%d of 10 are held; want those that were not under way", pending)
		}
		if is, err := p.process().EndpointHealth(t.Context(), "crm"); err != nil || !is.Since.Equal(changed) {
			t.Errorf("another process has %+v, %v; want it unverified since %v", is, err, changed)
		}
	})
}

// Challenges come seldom, or they would be a tool to send requests at strangers.
func TestChallengesAreFarApart(t *testing.T) {
	inProvers(t, func(t *testing.T, p *prover) {
		p.answer = func(string, []byte) (int, string) { return 200, "no" }
		if _, err := p.acme.PutEndpoint(t.Context(), hooks.Endpoint{ID: "erp", URL: kit.AnyURL, Secret: p.keys, Events: []string{"**"}}); err != nil {
			t.Fatal(err)
		}
		sent := 0
		for range 20 {
			for _, id := range []string{"crm", "erp"} {
				switch _, err := p.acme.VerifyEndpoint(t.Context(), id); {
				case err == nil:
					sent++
				case !isInvalid(err) || !errors.Is(err, hooks.ErrConflict):
					t.Errorf("VerifyEndpoint = %v; want an InvalidError that is ErrConflict", err)
				}
			}
			time.Sleep(time.Second)
		}
		if sent != 4 {
			t.Errorf("%d challenges were sent in 20 s; want 4", sent)
		}
		globex := p.Tenant("globex")
		if _, err := globex.VerifyEndpoint(t.Context(), "crm"); !errors.Is(err, hooks.ErrNotFound) {
			t.Errorf("VerifyEndpoint of another tenant = %v; want ErrNotFound", err)
		}
	})
}

// An answer proves the URL that was asked, and not one that came meanwhile.
func TestAnAnswerProvesTheURLThatWasAsked(t *testing.T) {
	inProvers(t, func(t *testing.T, p *prover) {
		p.answer = func(c string, _ []byte) (int, string) {
			p.e.URL, p.e.Version = kit.AnyURL+"/stranger", 0
			if _, err := p.acme.PutEndpoint(t.Context(), p.e); err != nil {
				t.Error(err)
			}
			return 200, c
		}
		if _, err := p.acme.VerifyEndpoint(t.Context(), "crm"); !errors.Is(err, hooks.ErrConflict) {
			t.Errorf("VerifyEndpoint = %v; want ErrConflict", err)
		}
		if e, err := p.acme.Endpoint(t.Context(), "crm"); err != nil || !e.Unverified {
			t.Errorf("the endpoint is %+v, %v; want it unverified", e, err)
		}
	})
}

func isInvalid(err error) bool {
	_, ok := errors.AsType[*hooks.InvalidError](err)
	return ok
}
