package kit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/hooks"
)

// Describe returns, line by line, the endpoints, events, deliveries and attempts that h
// reads from its store. Databases that former versions have written are stored beside the
// text that those versions read from them: a later version must read the same, so this
// form never changes.
func Describe(t *testing.T, h *hooks.Hooks) string {
	t.Helper()
	var b strings.Builder
	endpoints, _, err := h.Endpoints(t.Context(), hooks.Query{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range endpoints {
		fmt.Fprintf(&b, "endpoint %s tenant=%q url=%s events=%v description=%q scheme=%s public=%s header=%v"+
			" raw=%t ordered=%t concurrency=%d timeout=%v retry=%v\n",
			e.ID, e.Tenant, e.URL, e.Events, e.Description, e.Scheme, e.PublicKey, headerLines(e.Header),
			e.Raw, e.Ordered, e.Concurrency, e.Timeout, e.Retry)
	}
	for _, e := range Events(t, h) {
		fmt.Fprintf(&b, "event %d %s type=%s tenant=%q time=%s key=%q idempotency=%q at=%s expires=%s metadata=%s data=%s\n",
			e.Seq, e.ID, e.Type, e.Tenant, stamp(e.Time), e.OrderingKey, e.IdempotencyKey,
			stamp(e.DeliverAt), stamp(e.ExpiresAt), asJSON(t, e.Metadata), e.Data)
	}
	for _, d := range Deliveries(t, h) {
		fmt.Fprintf(&b, "delivery %d %s type=%s tenant=%q key=%q status=%v reason=%s due=%s run=%d attempts=%d"+
			" lost=%d token=%d created=%s updated=%s code=%d error=%q\n",
			d.Seq, d.DeliveryID, d.Type, d.Tenant, d.OrderingKey, d.Status, d.Reason, stamp(d.Due), d.Run, d.Attempts,
			d.Lost, d.Token, stamp(d.Created), stamp(d.Updated), d.Code, d.Error)
		attempts, err := h.Attempts(t.Context(), d.DeliveryID)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range attempts {
			fmt.Fprintf(&b, "  attempt %d.%d token=%d start=%s took=%v,%v,%v,%v,%v url=%s code=%d error=%q"+
				" retry_after=%v header=%s cut=%t instance=%s body=%q\n",
				a.Run, a.Number, a.Token, stamp(a.Start), a.DNS, a.Connect, a.TLS, a.Wait, a.Took, a.URL, a.Code, a.Error,
				a.RetryAfter, asJSON(t, a.Header), a.BodyCut, a.Instance,
				fmt.Sprintf("%s %d", a.Body[:min(len(a.Body), 60)], len(a.Body)))
		}
	}
	return b.String()
}

// headerLines returns the names and values of custom headers, in order.
func headerLines(h hooks.Header) []string {
	var lines []string
	for name, value := range h {
		lines = append(lines, name+"="+value)
	}
	slices.Sort(lines)
	return lines
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func asJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
