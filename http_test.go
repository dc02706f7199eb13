package hooks_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/signer"
	"example.com/hooks/store/memory"
)

func TestRequest(t *testing.T) {
	url, got := kit.Receiver(t, nil)
	h := kit.New(t, hooks.Config{Egress: kit.Loopback})
	e := kit.Put(t, h, hooks.Endpoint{
		ID: "crm", URL: url + "/a%2Fb/hooks?token=t%20k&b", Header: map[string]string{"authorization": "Bearer x"},
	})
	kit.Start(t, h)
	ev := kit.InvoicePaid.New(kit.Invoice{Number: 7})
	ev.ID = "evt_1"
	ev.Time = time.Date(2026, 2, 3, 4, 5, 6, 123456789, time.FixedZone("", 3600))
	ev.Metadata = map[string]string{"secret": "metadata is not sent"}
	ev.Tenant, ev.IdempotencyKey, ev.OrderingKey = "", "ik", "ok"
	began := time.Now().Truncate(time.Second)
	kit.Publish(t, h, ev)
	r := kit.Soon(t, got)

	if r.Method != "POST" || r.Target != "/a%2Fb/hooks?token=t%20k&b" || "http://"+r.Host != url {
		t.Errorf("request = %s %s to %s; want POST /a%%2Fb/hooks?token=t%%20k&b to %s", r.Method, r.Target, r.Host, url)
	}
	const body = `{"type":"invoice.paid","timestamp":"2026-02-03T03:05:06.123Z","data":{"number":7}}`
	if r.Body != body {
		t.Errorf("body = %s; want %s", r.Body, body)
	}
	for name, want := range map[string]string{
		"Webhook-Id": "evt_1", "Content-Type": "application/json", "User-Agent": "hooks/" + hooks.Version,
		"Authorization": "Bearer x", "Content-Length": strconv.Itoa(len(body)),
	} {
		if got := r.Header[name]; !slices.Equal(got, []string{want}) {
			t.Errorf("%s = %q; want %q once", name, got, want)
		}
	}
	names := slices.Sorted(maps.Keys(r.Header))
	if want := strings.Fields("Authorization Content-Length Content-Type User-Agent Webhook-Id Webhook-Signature Webhook-Timestamp"); !slices.Equal(names, want) {
		t.Errorf("headers = %v; want %v", names, want)
	}
	seconds, err := strconv.ParseInt(r.Header.Get(signer.HeaderTimestamp), 10, 64)
	if at := time.Unix(seconds, 0); err != nil || at.Before(began) || at.After(time.Now()) {
		t.Errorf("timestamp = %v, %v; want now", at, err)
	}
	if err := (signer.Verifier{Secrets: []signer.Secret{e.Secret}}).Verify(r.Header, []byte(r.Body), time.Now()); err != nil {
		t.Errorf("Verify = %v; want nil", err)
	}
}

func TestBodyIsVerbatim(t *testing.T) {
	url, got := kit.Receiver(t, nil)
	raw := hooks.EventType[json.RawMessage]{Name: "invoice.paid"}
	for _, isRaw := range []bool{false, true} {
		h := kit.New(t, hooks.Config{Egress: kit.Loopback})
		e := kit.Put(t, h, hooks.Endpoint{URL: url, Raw: isRaw})
		kit.Start(t, h)
		for _, data := range verbatim {
			ev := raw.New(json.RawMessage(data))
			ev.Time = time.Unix(0, 0)
			kit.Publish(t, h, ev)
			want := data
			if !isRaw {
				want = `{"type":"invoice.paid","timestamp":"1970-01-01T00:00:00.000Z","data":` + data + `}`
			}
			r := kit.Soon(t, got)
			if r.Body != want {
				t.Errorf("body with Raw %v = %q; want %q", isRaw, r.Body, want)
			}
			if err := (signer.Verifier{Secrets: []signer.Secret{e.Secret}}).Verify(r.Header, []byte(r.Body), time.Now()); err != nil {
				t.Errorf("Verify of %q = %v; want nil", r.Body, err)
			}
		}
	}
}

// Even if a record in the store says otherwise, ours are ours.
func TestHeadersInTheStoreCannotReplaceOurs(t *testing.T) {
	url, got := kit.Receiver(t, nil)
	store := memory.New()
	secret := signer.NewSecret()
	kit.Put(t, kit.New(t, hooks.Config{Store: store, Egress: kit.Loopback}), hooks.Endpoint{
		ID: "crm", URL: url, Secret: secret,
		Header: map[string]string{"X-1": "forged", "X-2": "forged", "X-3": "forged", "X-4": "forged", "X-5": "forged"},
	})
	records, err := store.Records(t.Context(), 0)
	if err != nil || len(records) != 1 {
		t.Fatalf("Records = %v, %v; want one", records, err)
	}
	r := records[0]
	for from, to := range map[string]string{
		"X-1": "webhook-id", "X-2": "Webhook-Timestamp", "X-3": "WEBHOOK-SIGNATURE", "X-4": "content-type", "X-5": "User-Agent",
	} {
		r.Data = bytes.ReplaceAll(r.Data, []byte(from), []byte(to))
	}
	if _, err := store.Put(t.Context(), time.Now(), r, nil); err != nil {
		t.Fatal(err)
	}
	h := kit.New(t, hooks.Config{Store: store, Egress: kit.Loopback})
	kit.Start(t, h)
	kit.Send(t, h)
	req := kit.Soon(t, got)
	for name, values := range req.Header {
		if slices.Contains(values, "forged") {
			t.Errorf("%s = %q; want ours", name, values)
		}
	}
	if err := (signer.Verifier{Secrets: []signer.Secret{secret}}).Verify(req.Header, []byte(req.Body), time.Now()); err != nil {
		t.Errorf("Verify = %v; want nil", err)
	}
}

// The id is the same for every attempt and replay; the time, and so the
// signature, is of the attempt.
func TestEveryAttemptIsSignedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type seen struct {
			kit.Received
			at time.Time
		}
		var requests []seen
		kept := make(chan kit.Received, 1)
		h := kit.New(t, hooks.Config{
			Egress: kit.Loopback,
			Transport: kit.Pipes(t, kit.Keeping(kept, func(w http.ResponseWriter, _ *http.Request) {
				requests = append(requests, seen{<-kept, time.Now()})
				if len(requests)%2 == 1 {
					w.WriteHeader(http.StatusInternalServerError)
				}
			})),
		})
		e := kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: "http://127.0.0.1/hooks"})
		kit.Start(t, h)
		r := kit.Send(t, h)
		time.Sleep(time.Hour)
		if _, err := h.Replay(t.Context(), hooks.DeliveryID{Event: r.EventID, Subscriber: "crm"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(requests) != 4 {
			t.Fatalf("requests = %d; want 2, and 2 of the replay", len(requests))
		}
		for i, req := range requests {
			if id := req.Header.Get(signer.HeaderID); id != r.EventID || req.Body != requests[0].Body {
				t.Errorf("request %d has id %s and body %s; want %s and the same body", i, id, req.Body, r.EventID)
			}
			if got, want := req.Header.Get(signer.HeaderTimestamp), fmt.Sprint(req.at.Unix()); got != want {
				t.Errorf("request %d has timestamp %s; want %s", i, got, want)
			}
			v := signer.Verifier{Secrets: []signer.Secret{e.Secret}, Tolerance: time.Second}
			if err := v.Verify(req.Header, []byte(req.Body), req.at); err != nil {
				t.Errorf("Verify of request %d = %v; want nil", i, err)
			}
		}
	})
}

func TestStatusCodes(t *testing.T) {
	for _, c := range []struct {
		code   int
		status hooks.Status
		reason hooks.Reason
		class  string
	}{
		{200, hooks.Succeeded, "", ""},
		{201, hooks.Succeeded, "", ""},
		{202, hooks.Succeeded, "", ""},
		{204, hooks.Succeeded, "", ""},
		{299, hooks.Succeeded, "", ""},
		{300, hooks.Retrying, "", "status"},
		{304, hooks.Retrying, "", "status"},
		{400, hooks.Retrying, "", "status"},
		{401, hooks.Retrying, "", "status"},
		{404, hooks.Retrying, "", "status"},
		{409, hooks.Retrying, "", "status"},
		{410, hooks.Failed, hooks.ReasonRejected, "status"},
		{418, hooks.Retrying, "", "status"},
		{429, hooks.Retrying, "", "status"},
		{500, hooks.Retrying, "", "status"},
		{503, hooks.Retrying, "", "status"},
		{599, hooks.Retrying, "", "status"},
		{999, hooks.Retrying, "", "status"},
	} {
		t.Run(strconv.Itoa(c.code), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := hooks.Config{Egress: kit.Loopback, Transport: kit.Pipes(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("X-Answer", "yes")
					w.WriteHeader(c.code)
				}))}
				finished := kit.Traced(&cfg)
				h := kit.New(t, cfg)
				kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: "http://127.0.0.1/hooks?token"})
				kit.Start(t, h)
				kit.Send(t, h)
				o := kit.Soon(t, finished)
				if o.Status != c.status || o.Reason != c.reason || o.Code != c.code || o.Error != c.class || o.Attempts != 1 {
					t.Errorf("delivery = %+v; want %v %s with %d", o.Delivery, c.status, c.reason, c.code)
				}
				a := o.Attempt
				if a.Code != c.code || a.Error != c.class || a.Header.Get("X-Answer") != "yes" || a.URL != "http://127.0.0.1/hooks" || a.Run != 1 || a.Number != 1 {
					t.Errorf("attempt = %+v; want code %d, class %q and the URL without its query", a, c.code, c.class)
				}
			})
		})
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	target, followed := kit.Receiver(t, nil)
	for _, code := range []int{301, 302, 303, 305, 307, 308} {
		url, got := kit.Receiver(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, target+"/elsewhere", code)
		})
		o := kit.AttemptOnce(t, hooks.Config{}, hooks.Endpoint{URL: url})
		if o.Status != hooks.Failed || o.Code != code || o.Error != "status" || o.Attempt.Header.Get("Location") == "" {
			t.Errorf("delivery after a %d = %v (%d %s); want failed, with its Location kept", code, o.Status, o.Code, o.Error)
		}
		if len(got) != 1 || len(followed) != 0 {
			t.Errorf("%d: %d requests, %d to where it redirects; want 1 and none", code, len(got), len(followed))
		}
	}
}

// Slack's, Discord's and many others' tokens are in the path of the URL, and a
// redirect repeats it.
func TestTokensOfURLsAreNotKept(t *testing.T) {
	const token = "T0PSECRETT0PSECRET"
	url, got := kit.Receiver(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.RequestURI, http.StatusFound)
	})
	o := kit.AttemptOnce(t, hooks.Config{}, hooks.Endpoint{URL: url + "/hooks/" + token + "?key=" + token})
	if target := kit.Soon(t, got).Target; target != "/hooks/"+token+"?key="+token {
		t.Errorf("request for %s; want the whole URL to be called", target)
	}
	if want := url + "/hooks/T0PS***"; o.Attempt.URL != want {
		t.Errorf("URL of the attempt = %s; want %s", o.Attempt.URL, want)
	}
	if got, want := o.Attempt.Header.Get("Location"), "/hooks/T0PS***"; got != want {
		t.Errorf("Location that is kept = %s; want %s", got, want)
	}
}

func TestUserAgent(t *testing.T) {
	for agent, want := range map[string]string{"": "hooks/0.2.0", "shop/1.0 (+https://shop.example)": "shop/1.0 (+https://shop.example)"} {
		url, got := kit.Receiver(t, nil)
		kit.AttemptOnce(t, hooks.Config{UserAgent: agent}, hooks.Endpoint{URL: url})
		if r := kit.Soon(t, got); !slices.Equal(r.Header["User-Agent"], []string{want}) {
			t.Errorf("User-Agent with Config.UserAgent %q = %q; want %q once", agent, r.Header["User-Agent"], want)
		}
	}
	for _, agent := range []string{"a\r\nX-B: c", "a\n", "\x00", "caf\u00e9", "a\x7f", " a", "a ", "\t", " "} {
		_, err := hooks.New(hooks.Config{Store: memory.New(), UserAgent: agent})
		kit.WantInvalid(t, err, "Config.UserAgent", nil, "printable ASCII")
	}
}

func TestRetryAfterHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		date := time.Now().Add(time.Hour).UTC()
		for _, c := range []struct {
			code  int
			value string
			asked time.Duration // as kept with the attempt
		}{
			{429, "120", 2 * time.Minute},
			{503, "120", 2 * time.Minute},
			{503, " 120 ", 2 * time.Minute},
			{429, date.Format(http.TimeFormat), time.Hour},
			{429, date.Format(time.RFC850), time.Hour},
			{429, date.Format(time.ANSIC), time.Hour},
			{503, "999999", 24 * time.Hour},
			{503, strings.Repeat("9", 400), 24 * time.Hour},
			{503, "Wed, 31 Dec 9999 23:59:59 GMT", 24 * time.Hour},
			{503, "0", 0},
			{503, "1", time.Second}, // sooner than the schedule
			{503, "-120", 0},
			{503, "1.5", 0},
			{503, "soon", 0},
			{503, "Mon, 01 Jan 1990 00:00:00 GMT", 0},
			{503, "", 0},
			{500, "120", 0},
			{502, "120", 0},
			{404, "120", 0},
			{200, "120", 0},
			{302, "120", 0},
		} {
			cfg := hooks.Config{Transport: kit.Exchange(func(*http.Request) (*http.Response, error) {
				return kit.Answer(c.code, http.Header{"Retry-After": {c.value}}, ""), nil
			})}
			finished := kit.Traced(&cfg)
			h := kit.New(t, cfg)
			kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
			stop := kit.Start(t, h)
			at := time.Now()
			kit.Send(t, h)
			o := kit.Soon(t, finished)
			if o.Attempt.RetryAfter != c.asked {
				t.Errorf("%d, Retry-After %q: kept %v; want %v", c.code, c.value, o.Attempt.RetryAfter, c.asked)
			}
			wait, least := o.Due.Sub(at), max(c.asked, 5*time.Second)
			if c.code != 200 && (wait < least || wait > max(c.asked, 6*time.Second)) {
				t.Errorf("%d, Retry-After %q: due in %v; want %v, or what the schedule says", c.code, c.value, wait, least)
			}
			stop()
		}
	})
}

// A delivery that fails for ever is tried as often as the policy says, never
// once more, and is there to be replayed.
func TestPoisonEnds(t *testing.T) {
	for name, fail := range map[string]kit.Exchange{
		"400":     func(*http.Request) (*http.Response, error) { return kit.Answer(400, nil, ""), nil },
		"500":     func(*http.Request) (*http.Response, error) { return kit.Answer(500, nil, ""), nil },
		"refused": func(*http.Request) (*http.Response, error) { return nil, syscall.ECONNREFUSED },
		"hangs": func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				attempts := 0
				h := kit.New(t, hooks.Config{Transport: kit.Exchange(func(r *http.Request) (*http.Response, error) {
					attempts++
					return fail(r)
				})})
				kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL, Retry: []time.Duration{time.Second, time.Hour, 0}})
				kit.Start(t, h)
				r := kit.Send(t, h)
				time.Sleep(1000 * time.Hour)
				synctest.Wait()
				id := hooks.DeliveryID{Event: r.EventID, Subscriber: "crm"}
				d, err := h.Delivery(t.Context(), id)
				if err != nil || attempts != 4 || d.Attempts != 4 || d.Status != hooks.Failed || d.Reason != hooks.ReasonExhausted {
					t.Fatalf("after %d requests: %+v, %v; want 4, failed, exhausted", attempts, d, err)
				}
				if _, err := h.Replay(t.Context(), id); err != nil {
					t.Fatal(err)
				}
				time.Sleep(1000 * time.Hour)
				synctest.Wait()
				kept, err := h.Attempts(t.Context(), id)
				if err != nil || attempts != 8 || len(kept) != 8 || kept[7].Run != 2 || kept[7].Number != 4 {
					t.Errorf("after the replay: %d requests, %d attempts kept, %v; want 8", attempts, len(kept), err)
				}
			})
		})
	}
}
