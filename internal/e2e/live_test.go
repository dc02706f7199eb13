package e2e_test

import (
	"context"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"example.com/hooks"
)

// hasten makes a page update itself every 50 ms instead of every five seconds.
func (tb *tab) hasten() {
	tb.t.Helper()
	tb.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
			Source: `const slow = window.setTimeout; window.setTimeout = (f, ms) => slow(f, ms === 5000 ? 50 : ms);`,
		})
		return err
	}))
}

// updates returns how often the page has updated itself.
func (tb *tab) updates() int {
	tb.t.Helper()
	return eval[int](tb, "performance.getEntriesByType('resource').filter((e) => e.initiatorType === 'fetch').length")
}

func TestLiveRefreshShowsWhatIsNew(t *testing.T) {
	w := newWorld(t, operator)
	w.endpoint(t, hooks.Endpoint{ID: "crm-sync", Tenant: "acme"}, "ok")
	w.publish(t, "acme", 1)
	tb := open(t, desktop)
	tb.hasten()
	tb.visit(w.url + "deliveries")
	tb.sees("Updated", "succeeded")
	w.endpoint(t, hooks.Endpoint{ID: "billing", Tenant: "acme"}, "fail")
	w.publish(t, "acme", 1)
	tb.sees("billing") // by itself
}

func TestLiveRefreshDisturbsNobody(t *testing.T) {
	w := newWorld(t, operator)
	w.endpoint(t, hooks.Endpoint{ID: "crm-sync", Tenant: "acme"}, "ok")
	w.publish(t, "acme", 3)
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
			tb := open(t, desktop)
			tb.hasten()
			tb.visit(w.url + "deliveries")
			tb.sees("Updated")
			tb.do(c.begin)
			tb.sees(c.says)
			time.Sleep(200 * time.Millisecond) // what was under way ends
			before := tb.updates()
			time.Sleep(500 * time.Millisecond) // ten updates would have come
			if n := tb.updates() - before; n > 0 {
				t.Errorf("the page was updated %d times during that", n)
			}
		})
	}
}

// TestAnOldPageSaysSo takes the network from the browser: the page shows what it had, and
// says that it is old.
func TestAnOldPageSaysSo(t *testing.T) {
	w := newWorld(t, operator)
	w.endpoint(t, hooks.Endpoint{ID: "crm-sync", Tenant: "acme"}, "ok")
	w.publish(t, "acme", 3)
	tb := open(t, desktop)
	tb.hasten()
	tb.visit(w.url + "deliveries")
	tb.sees("Updated")
	tb.offline(true)
	tb.sees("Not updated for", "succeeded", "Update")
	tb.offline(false)
	tb.sees("Updated")
	tb.console() // the browser tells of each request that failed
}

// offline takes the network from the page, or gives it back.
func (tb *tab) offline(is bool) {
	tb.t.Helper()
	tb.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
			return err
		}
		_, err := chromedp.Call(ctx, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
			MatchedNetworkConditions: []*network.Conditions{{Offline: is, DownloadThroughput: -1, UploadThroughput: -1}},
		})
		return err
	}))
}

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
	tb.sees("About this delivery", "Updated") // the script has begun
	tb.do(chromedp.KeyEvent("?"))
	tb.sees("next, previous row")
}
