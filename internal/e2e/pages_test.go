package e2e_test

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"example.com/hooks"
)

// furnish gives a world rows in every state that a page can show, and returns the addresses
// of all pages, below the handler's root.
func furnish(t testing.TB, w *world) (paths []string) {
	t.Helper()
	long := "ep_0199f2a4-1c5b-7d3e-9f00-aa27de32c444"
	w.endpoint(t, hooks.Endpoint{ID: "crm-sync", Tenant: "acme", Header: hooks.Header{"Authorization": "Bearer x"}}, "fail/hooks")
	w.endpoint(t, hooks.Endpoint{ID: "billing", Tenant: "acme"}, "ok")
	w.endpoint(t, hooks.Endpoint{ID: long, Tenant: "a-tenant-with-a-name-of-forty-characters"}, "long/"+strings.Repeat("segment/", 12))
	w.endpoint(t, hooks.Endpoint{ID: "gone", Tenant: "acme"}, "gone")
	w.endpoint(t, hooks.Endpoint{ID: "legacy-erp", Tenant: "initech"}, "ok")
	check(t, w.DisableEndpoint(t.Context(), "legacy-erp", "they move to another system", time.Time{}))
	ids := w.publish(t, "acme", 3)
	again := hooks.DeliveryID{Event: ids[0], Subscriber: "gone"}
	_, err := w.Replay(t.Context(), again)
	check(t, err)
	w.endpoint(t, hooks.Endpoint{ID: "counting", Tenant: "umbrella", Retry: []time.Duration{}}, "counting/"+t.Name())
	counted := hooks.DeliveryID{Event: w.publish(t, "umbrella", 1)[0], Subscriber: "counting"}
	_, err = w.Replay(t.Context(), counted)
	check(t, err)
	check(t, w.Flush(t.Context()))
	w.publish(t, "initech", 2)
	far := w.publish(t, "a-tenant-with-a-name-of-forty-characters", 1)
	later := invoicePaid.New(invoice{"R-9", 1})
	later.Tenant, later.DeliverAt = "acme", time.Now().Add(3*time.Hour)
	later.Metadata = map[string]string{"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
	_, err = w.Publish(t.Context(), later)
	check(t, err)
	countActivity(t, w)
	paths = []string{
		"", "deliveries", "deliveries?status=failed", "deliveries?status=retrying&tenant=acme", "deliveries?subscriber=nobody",
		"deliveries/" + ids[0] + ".crm-sync", "deliveries/" + ids[0] + ".billing", "deliveries/" + ids[0] + ".audit-log",
		"deliveries/" + ids[0] + ".gone", "deliveries/" + ids[0] + ".gone/compare", "deliveries/" + far[0] + "." + long,
		"deliveries/" + counted.String() + "/compare",
		"failures", "events", "events/" + ids[0], "endpoints", "endpoints/crm-sync", "endpoints/" + long, "endpoints/legacy-erp",
		"new-endpoint", "endpoints/crm-sync/edit", "endpoints/crm-sync/disable", "endpoints/crm-sync/delete",
		"types", "actions", "actions/new?kind=replay&status=failed&subscriber=gone", "system", "search?q=nothing", "no/such/page",
	}
	return paths
}

// countActivity gives the charts a day of attempts, with a time of failures in it.
func countActivity(t testing.TB, w *world) {
	t.Helper()
	var minutes []hooks.Minute
	now := time.Now().UTC()
	for i := range 24 * 60 {
		m := hooks.Minute{Start: now.Add(-time.Duration(i) * time.Minute).Truncate(time.Minute), Succeeded: 40 + i*7%29}
		if i < 6 || i%97 == 3 {
			m.Failed = 2 + i%3
		}
		m.Took[7], m.Took[9] = m.Succeeded, m.Failed
		minutes = append(minutes, m)
		m.Start, m.Subscriber = m.Start.Truncate(5*time.Minute), "crm-sync"
		minutes = append(minutes, m)
	}
	check(t, w.store.AddMinutes(t.Context(), minutes))
}

// looks are the ways in which every page is looked at.
var looks = map[string]look{
	"wide, light":   {width: 1280, height: 1000},
	"wide, dark":    {width: 1280, height: 1000, dark: true},
	"narrow, light": {width: 390, height: 844},
	"narrow, dark":  {width: 390, height: 844, dark: true},
}

// An axeResult is what axe-core has found.
type axeResult struct {
	Violations []struct {
		ID, Help string
		Nodes    []struct {
			HTML           string
			FailureSummary string
		}
	}
}

func TestPagesAreAccessible(t *testing.T) {
	source := axe(t)
	w := newWorld(t, operator)
	paths := furnish(t, w)
	empty := newWorld(t, operator)
	for name, l := range looks {
		t.Run(name, func(t *testing.T) {
			tb := open(t, l)
			for _, path := range paths {
				tb.isAccessible(source, w.url+path, path)
			}
			for _, path := range []string{"", "deliveries", "failures", "events", "endpoints", "types", "actions", "system"} {
				tb.isAccessible(source, empty.url+path, "empty "+path)
			}
		})
	}
}

// isAccessible fails the test if axe-core finds something in a page, or if the page is wider
// than the window.
func (tb *tab) isAccessible(source, address, path string) {
	tb.t.Helper()
	tb.visit(address)
	if strings.HasPrefix(path, "no/") {
		tb.expectConsole() // the browser tells of a status 404, a moment later
	}
	if wide := eval[int](tb, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); wide > 0 {
		tb.t.Errorf("%q is %d px wider than the window", path, wide)
	}
	tb.keepPicture(path)
	raw := eval[string](tb, source+`; axe.run(document, { resultTypes: ["violations"] }).then((r) => JSON.stringify(r))`)
	var found axeResult
	check(tb.t, json.Unmarshal([]byte(raw), &found))
	for _, v := range found.Violations {
		for _, n := range v.Nodes {
			tb.t.Errorf("%q: %s (%s): %s\n%s", path, v.ID, v.Help, n.HTML, n.FailureSummary)
		}
	}
}

// TestHostileTextIsShownAsText puts text that would like to be a script into everything that
// pages show, and looks at it in the browser.
func TestHostileTextIsShownAsText(t *testing.T) {
	w := newWorld(t, operator)
	text := strings.Map(func(r rune) rune { // as far as fields of one line accept it
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return -1
		}
		return r
	}, hostile)
	text = strings.ToValidUTF8(text, "")[:120]
	w.endpoint(t, hooks.Endpoint{ID: "hostile", Tenant: "<b>acme", Description: text, Retry: []time.Duration{}, Header: hooks.Header{"X-A": "<script>"}}, "hostile")
	ev := hooks.Event{Type: invoicePaid.Name, Data: plainJSON(t, invoice{hostile, 1})}
	ev.Tenant, ev.OrderingKey, ev.IdempotencyKey = "<b>acme", text, text
	ev.Metadata = map[string]string{"<script>k": hostileUTF8}
	big := hooks.Event{Type: invoicePaid.Name, Data: plainJSON(t, invoice{strings.Repeat("<script>x</script>", 14_000), 1})} // one line of 252 KB
	big.Tenant = "<b>acme"
	receipts, err := w.PublishBatch(t.Context(), []hooks.Event{ev, big})
	check(t, err)
	check(t, w.Flush(t.Context()))
	for _, r := range receipts {
		_, err := w.Replay(t.Context(), hooks.DeliveryID{Event: r.EventID, Subscriber: "hostile"})
		check(t, err)
	}
	check(t, w.Flush(t.Context()))
	check(t, w.DisableEndpoint(t.Context(), "hostile", text, time.Time{}))
	paths := []string{"", "deliveries", "failures", "events", "endpoints", "endpoints/hostile", "endpoints/hostile/edit", "types", "system", "actions"}
	for _, r := range receipts {
		paths = append(paths, "events/"+r.EventID, "deliveries/"+r.EventID+".hostile", "deliveries/"+r.EventID+".hostile/compare")
	}
	paths = append(paths, "search?q="+url.QueryEscape("</title><script>document.title='broken'</script>"))
	tb := open(t, desktop)
	for _, path := range paths {
		tb.visit(w.url + path)
		if title := eval[string](tb, "document.title"); strings.Contains(title, "broken") || title == "" {
			t.Errorf("%s: the title is %q", path, title)
		}
		if n := eval[int](tb, "document.querySelectorAll('script:not([src]), main img, main script').length"); n > 0 {
			t.Errorf("%s: %d elements were made of text", path, n)
		}
	}
}

// plainJSON encodes a value without escaping what means something in HTML.
func plainJSON(t testing.TB, value any) json.RawMessage {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	check(t, e.Encode(value))
	return b.Bytes()
}

// hostileUTF8 is the part of hostile that is UTF-8.
var hostileUTF8 = strings.ToValidUTF8(hostile, "\uFFFD")

func TestPagesAreLight(t *testing.T) {
	w := newWorld(t, operator)
	paths := furnish(t, w)
	for _, path := range paths {
		checkWeight(t, w, path)
	}
}
