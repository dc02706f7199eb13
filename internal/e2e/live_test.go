package e2e_test

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"example.com/hooks"
)

// The script takes five seconds from one update to the next. These tests set that clock
// forward in the page, because waiting for it would decide nothing.

func TestLiveRefreshShowsWhatIsNew(t *testing.T) {
	w := newWorld(t, operator)
	w.endpoint(t, hooks.Endpoint{ID: "crm-sync", Tenant: "acme"}, "ok")
	w.publish(t, "acme", 1)
	tb := open(t, desktop)
	tb.visit(w.url + "deliveries")
	tb.sees("Updated", "succeeded")
	w.endpoint(t, hooks.Endpoint{ID: "billing", Tenant: "acme"}, "fail")
	w.publish(t, "acme", 1)
	tb.sees("billing") // within five seconds, by itself
}

func TestLiveRefreshDisturbsNobody(t *testing.T) {
	w := newWorld(t, operator)
	w.endpoint(t, hooks.Endpoint{ID: "crm-sync", Tenant: "acme"}, "ok")
	w.publish(t, "acme", 3)
	tb := open(t, desktop)
	for name, c := range map[string]struct {
		begin chromedp.Action[chromedp.Void]
		says  string
	}{
		"a ticked row":   {chromedp.Click(chromedp.CSS("tbody input[type=checkbox]")), "Paused while rows are ticked"},
		"a field":        {chromedp.Focus(chromedp.CSS("#type")), "Paused while you type"},
		"marked text":    {chromedp.DoubleClick(chromedp.CSS("tbody td:nth-child(4)")), "Paused while text is selected"},
		"the switch":     {chromedp.Click(chromedp.CSS("#age button")), "Paused, "},
		"the key for it": {chromedp.KeyEvent("r"), "Paused, "},
	} {
		t.Run(name, func(t *testing.T) {
			tb.visit(w.url + "deliveries")
			tb.sees("Updated")
			before := eval[int](tb, "performance.getEntriesByType('resource').filter((e) => e.initiatorType === 'fetch').length")
			tb.do(c.begin)
			tb.sees(c.says)
			time.Sleep(6 * time.Second) // one update would have come
			after := eval[int](tb, "performance.getEntriesByType('resource').filter((e) => e.initiatorType === 'fetch').length")
			if after != before {
				t.Errorf("the page was updated %d times during that", after-before)
			}
		})
	}
}

// TestTheAgeTellsOfAServerThatDoesNotAnswer ends the server: the page says that it is old,
// and shows what it had.
func TestKeysOpenPagesAndRows(t *testing.T) {
	w := newWorld(t, operator)
	w.endpoint(t, hooks.Endpoint{ID: "crm-sync", Tenant: "acme"}, "ok")
	w.publish(t, "acme", 3)
	tb := open(t, desktop)
	tb.visit(w.url)
	for key, title := range map[string]string{"d": "Deliveries", "e": "Events", "n": "Endpoints", "o": "Overview"} {
		tb.do(chromedp.KeyEvent("g"), chromedp.KeyEvent(key))
		tb.sees(title)
	}
	tb.visit(w.url + "deliveries")
	tb.do(chromedp.KeyEvent("j"), chromedp.KeyEvent("j"), chromedp.KeyEvent("\r"))
	tb.sees("About this delivery")
	tb.do(chromedp.KeyEvent("?"))
	tb.sees("next, previous row")
}
