package hooks

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/hooks/retry"
)

// These are the tests of pure functions that nothing exports; all others are
// in package hooks_test.

func TestPatternMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"**", "a", true},
		{"**", "a.b.c", true},
		{"*", "a", true},
		{"*", "a.b", false},
		{"a", "a", true},
		{"a", "A", false},
		{"a", "ab", false},
		{"a", "a.b", false},
		{"a.b", "a", false},
		{"a.*", "a", false},
		{"a.*", "a.b", true},
		{"a.*", "a.b.c", false},
		{"a.*", "ab.c", false},
		{"*.b", "a.b", true},
		{"*.b", "b", false},
		{"a.*.c", "a.b.c", true},
		{"a.*.c", "a.c", false},
		{"a.**", "a", false},
		{"a.**", "a.b", true},
		{"a.**", "a.b.c.d", true},
		{"a.**", "b.a.c", false},
		{"*.*.**", "a.b", false},
		{"*.*.**", "a.b.c", true},
	} {
		if got := pattern(c.pattern).match(c.name); got != c.want {
			t.Errorf("%q.match(%q) = %v; want %v", c.pattern, c.name, got, c.want)
		}
	}
}

// A pattern says the same as the regular expression it could be written as.
func FuzzPattern(f *testing.F) {
	for _, s := range []string{"**", "*", "a.b", "a.*", "*.b", "a.**", "a.*.c", "**.a", "a**", "a.", "", "a\n", "*.*.**"} {
		f.Add(s, "a.b")
		f.Add(s, "a.b.c")
		f.Add(s, "a")
	}
	f.Fuzz(func(t *testing.T, p, name string) {
		if pattern(p).check("Events") != nil || checkType(name) != nil {
			return
		}
		form := regexp.QuoteMeta(p)
		form = strings.ReplaceAll(form, `\*\*`, `[^.]+(\.[^.]+)*`)
		form = strings.ReplaceAll(form, `\*`, `[^.]+`)
		want := regexp.MustCompile(`^(` + form + `)$`).MatchString(name)
		if got := pattern(p).match(name); got != want {
			t.Errorf("%q.match(%q) = %v; want %v", p, name, got, want)
		}
		if !pattern(name).match(name) || !pattern("**").match(name) {
			t.Errorf("%q is not matched by itself, or by **", name)
		}
	})
}

func TestRetryAfterParsing(t *testing.T) {
	at := time.Date(2026, 5, 6, 7, 8, 9, 500e6, time.UTC)
	for _, c := range []struct {
		value string
		want  time.Duration
	}{
		{"", 0},
		{"0", 0},
		{"7", 7 * time.Second},
		{"007", 7 * time.Second},
		{"\t7 ", 7 * time.Second},
		{"86400", 24 * time.Hour},
		{"86401", 24 * time.Hour},
		{"9223372036854775807", 24 * time.Hour},
		{"9223372036854775808", 24 * time.Hour},
		{"-1", 0},
		{"+1", 0},
		{"1s", 0},
		{"1,2", 0},
		{"0x10", 0},
		{"Wed, 06 May 2026 07:08:10 GMT", 500 * time.Millisecond},
		{"Wednesday, 06-May-26 08:08:09 GMT", time.Hour - 500*time.Millisecond},
		{"Wed May  6 07:09:09 2026", time.Minute - 500*time.Millisecond},
		{"Wed, 06 May 2026 07:08:09 GMT", 0},
		{"Wed, 06 May 2026 07:08:10 CET", 0},
		{"Fri, 31 Dec 9999 23:59:59 GMT", 24 * time.Hour},
	} {
		if got := retryAfter(c.value, at); got != c.want {
			t.Errorf("retryAfter(%q) = %v; want %v", c.value, got, c.want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"", "120", "-1", "Wed, 06 May 2026 07:08:10 GMT", "99999999999999999999", "1e3"} {
		f.Add(s, int64(1778051289))
	}
	f.Fuzz(func(t *testing.T, value string, unix int64) {
		at := time.Unix(unix%(1<<40), 0)
		got := retryAfter(value, at)
		if got < 0 || got > longestAfter {
			t.Errorf("retryAfter(%q, %v) = %v; want 0 to 24 h", value, at, got)
		}
		if n, err := strconv.ParseUint(value, 10, 16); err == nil && got != min(time.Duration(n)*time.Second, longestAfter) {
			t.Errorf("retryAfter(%q) = %v; want that many seconds", value, got)
		}
	})
}

// A header that is accepted arrives as it is, alone, and moves nothing else.
func FuzzHeader(f *testing.F) {
	for _, s := range []string{"X-A", "x a", "Webhook-Id", "Content-Length", "X:", "Host", "X\r\nY", "*", "ß", "Expect"} {
		f.Add(s, "value")
	}
	for _, s := range []string{"", " v ", "a\r\nX-B: c", "\x00", "ü", "\xff", "\t", "\x7f", "a\u2028b"} {
		f.Add("X-A", s)
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		if (Header{name: value}).check() != nil {
			return
		}
		req, err := http.NewRequest(http.MethodPost, "http://example.com/", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("User-Agent", "hooks/"+Version)
		req.Header.Set(name, value)
		var wire bytes.Buffer
		if err := req.Write(&wire); err != nil {
			t.Fatalf("Write with %q: %q = %v; want nil", name, value, err)
		}
		got, err := http.ReadRequest(bufio.NewReader(&wire))
		if err != nil {
			t.Fatalf("ReadRequest with %q: %q = %v; want nil", name, value, err)
		}
		body, err := io.ReadAll(got.Body)
		if err != nil || string(body) != "body" || got.Host != "example.com" || got.Close {
			t.Errorf("with %q: %q the request is %+v with body %q, %v; want it unmoved", name, value, got, body, err)
		}
		values := got.Header.Values(name)
		if len(got.Header) != 3 || len(values) != 1 || values[0] != strings.Trim(value, " \t") {
			t.Errorf("%q: %q arrives as %q among %v; want it alone, with agent and length", name, value, values, got.Header)
		}
	})
}

func TestClassifyMindsTheContextFirst(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	err := fmt.Errorf("wrapped: %w", syscall.ECONNRESET)
	if got := classify(ctx, err); got != "connection reset" {
		t.Errorf("classify = %q; want connection reset", got)
	}
	cancel()
	if got := classify(ctx, err); got != "timeout" {
		t.Errorf("classify when the attempt's time is over = %q; want timeout", got)
	}
	if got := classify(t.Context(), fmt.Errorf("x: %w", context.DeadlineExceeded)); got != "timeout" {
		t.Errorf("classify of a deadline within = %q; want timeout", got)
	}
	if got := classify(t.Context(), errors.New("timeout")); got != "protocol" {
		t.Errorf("classify by its text = %q; want protocol", got)
	}
}

func TestConclude(t *testing.T) {
	at := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	policy := retry.Schedule{10 * time.Second, 100 * time.Second}
	fail := Attempt{Code: 503, Error: "status"}
	for _, c := range []struct {
		name     string
		attempts int // before
		attempt  Attempt
		verdict  verdict
		expires  time.Duration // from at; 0: never
		random   float64
		status   Status
		reason   Reason
		wait     time.Duration
	}{
		{"success", 0, Attempt{Code: 200}, verdict{ok: true}, 0, 0.5, Succeeded, "", 0},
		{"success of the last attempt", 2, Attempt{Code: 200}, verdict{ok: true}, 0, 0, Succeeded, "", 0},
		{"success after it expired", 0, Attempt{Code: 200}, verdict{ok: true}, -1, 0, Succeeded, "", 0},
		{"first failure", 0, fail, verdict{}, 0, 0, Retrying, "", 10 * time.Second},
		{"with jitter", 0, fail, verdict{}, 0, 0.5, Retrying, "", 11 * time.Second},
		{"second failure", 1, fail, verdict{}, 0, 0, Retrying, "", 100 * time.Second},
		{"last failure", 2, fail, verdict{}, 0, 0, Failed, ReasonExhausted, 0},
		{"beyond the last", 7, fail, verdict{}, 0, 0, Failed, ReasonExhausted, 0},
		{"asked to wait", 0, fail, verdict{after: time.Hour}, 0, 0.5, Retrying, "", time.Hour},
		{"asked for less", 0, fail, verdict{after: time.Second}, 0, 0.5, Retrying, "", 11 * time.Second},
		{"asked for too much", 0, fail, verdict{after: 999 * time.Hour}, 0, 0, Retrying, "", 24 * time.Hour},
		{"asked to wait, at the end", 2, fail, verdict{after: time.Hour}, 0, 0, Failed, ReasonExhausted, 0},
		{"rejected", 0, fail, verdict{permanent: true}, 0, 0, Failed, ReasonRejected, 0},
		{"rejected at the end", 2, fail, verdict{permanent: true}, 0, 0, Failed, ReasonRejected, 0},
		{"expires before the next", 0, fail, verdict{}, 10 * time.Second, 0, Failed, ReasonExpired, 0},
		{"expires after the next", 0, fail, verdict{}, 10*time.Second + 1, 0, Retrying, "", 10 * time.Second},
		{"jitter takes it beyond", 0, fail, verdict{}, 10*time.Second + 1, 0.1, Failed, ReasonExpired, 0},
	} {
		j := job{Delivery: Delivery{Status: Sending, Attempts: c.attempts, Run: 2, Token: 9, Due: at.Add(time.Minute)}}
		if c.expires != 0 {
			j.event.ExpiresAt = at.Add(c.expires)
		}
		got := j.conclude(c.attempt, c.verdict, policy, at, c.random)
		want := Delivery{
			Status: c.status, Reason: c.reason, Attempts: c.attempts + 1, Run: 2, Token: 9,
			Due: at.Add(c.wait), Updated: at, Code: c.attempt.Code, Error: c.attempt.Error,
		}
		if got != want {
			t.Errorf("%s: conclude = %+v; want %+v", c.name, got, want)
		}
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		in, want string
		more     bool
	}{{"", "", false}, {"abc", "abc", false}, {"abcd", "abc", true}} {
		if got, more := cut([]byte(c.in), 3); string(got) != c.want || more != c.more {
			t.Errorf("cut(%q, 3) = %q, %v; want %q, %v", c.in, got, more, c.want, c.more)
		}
	}
}

// A roster lists the same as a map of all that was set, in order, of all tenants and of
// each, whether ids come and go one by one or many at once.
func TestRosterListsInOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	r, want := newRoster(), make(map[string]string) // the tenant of each id
	for round := range 200 {
		changes := random.IntN(5)
		if round%50 == 49 {
			changes = 2000
		}
		for range changes {
			id := strconv.Itoa(random.IntN(3000))
			if random.IntN(2) == 0 {
				delete(want, id)
				r.set(id, nil)
				continue
			}
			want[id] = string('a' + rune(random.IntN(3)))
			r.set(id, &endpoint{Endpoint: Endpoint{ID: id, Tenant: want[id]}, sealed: make([]byte, random.IntN(2))})
		}
		r.sort()
		for _, tenant := range []string{"", "a", "b", "c"} {
			wantListed(t, &r, want, tenant, strconv.Itoa(random.IntN(3000)), random.IntN(100))
		}
	}
}

func wantListed(t *testing.T, r *roster, known map[string]string, tenant, after string, limit int) {
	t.Helper()
	var want []string
	n := 0
	for id, of := range known {
		if tenant == "" || of == tenant {
			n++
			if id > after {
				want = append(want, id)
			}
		}
	}
	if g := r.tenants[tenant]; g != nil && g.n != n || g == nil && tenant != "" && n > 0 {
		t.Errorf("tenant %s has %+v; want %d endpoints", tenant, g, n)
	}
	slices.Sort(want)
	page, more := r.page(tenant, after, limit)
	var got []string
	for _, e := range page {
		got = append(got, e.ID)
	}
	if more != (len(want) > limit) || !slices.Equal(got, want[:min(limit, len(want))]) {
		t.Errorf("page(%q, %s, %d) = %q, %v; want the first of %q", tenant, after, limit, got, more, want)
	}
	sealed := 0
	for _, e := range r.byID {
		sealed += len(e.sealed)
	}
	if r.sealed != sealed {
		t.Errorf("%d endpoints are encrypted; want %d", r.sealed, sealed)
	}
}

// What a call asks of all endpoints, nobody looks at all of them for: those of this
// directory that a page does not show are nil, so that looking at one panics.
func TestQuestionsAboutAllEndpointsLookAtNone(t *testing.T) {
	dir := newDirectory(slog.New(slog.DiscardHandler), nil, func(*endpoint) {})
	for i := range 1000 {
		id := strconv.Itoa(i)
		dir.endpoints.set(id, &endpoint{Endpoint: Endpoint{ID: id, Events: []string{"order.placed"}}})
	}
	dir.endpoints.sort()
	for id := range dir.endpoints.byID {
		dir.endpoints.byID[id] = nil
	}
	if !dir.anyPlain() || dir.anySealed() || dir.anyUndecryptable() {
		t.Error("want endpoints that are in plain text, and no others")
	}
	dir.endpoints.set("crm", &endpoint{Endpoint: Endpoint{ID: "crm", Events: []string{"invoice.*"}}})
	if ms := dir.matches("", "invoice.paid", false); len(ms) != 1 {
		t.Errorf("matches = %v; want crm alone", ms)
	}
	if page, more := dir.page("", "5", 3); len(page) != 3 || !more {
		t.Errorf("page = %d endpoints, more %v; want 3 and more", len(page), more)
	}
}

// An event has the subscribers that trying every pattern of every endpoint finds.
func TestMatchesAreThoseOfEveryPattern(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	segments := []string{"a", "b", "*"}
	somePattern := func() string {
		parts := make([]string, 1+random.IntN(3))
		for i := range parts {
			parts[i] = segments[random.IntN(3)]
		}
		p := strings.Join(parts, ".")
		return []string{p, p + ".**", "**"}[random.IntN(3)]
	}
	dir, known := newDirectory(slog.New(slog.DiscardHandler), nil, func(*endpoint) {}), make(map[string]Endpoint)
	for range 2000 {
		e := Endpoint{ID: strconv.Itoa(random.IntN(50)), Tenant: []string{"", "acme"}[random.IntN(2)], Ordered: random.IntN(2) == 0}
		for range 1 + random.IntN(4) {
			e.Events = append(e.Events, somePattern())
		}
		known[e.ID] = e
		dir.setEndpoint(e.ID, &endpoint{Endpoint: e})
		if random.IntN(2) == 0 {
			delete(known, e.ID)
			dir.setEndpoint(e.ID, nil)
		}
		for _, typ := range []string{"a", "b", "c", "a.b", "b.a.a"} {
			var want []match
			for _, id := range slices.Sorted(maps.Keys(known)) {
				e := known[id]
				matches := func(p string) bool { return pattern(p).match(typ) }
				if e.Tenant == "acme" && slices.ContainsFunc(e.Events, matches) {
					want = append(want, match{id, e.Ordered})
				}
			}
			if got := dir.matches("acme", typ, false); !slices.Equal(got, want) {
				t.Fatalf("matches(acme, %s) = %v; want %v", typ, got, want)
			}
		}
	}
}

func TestIsID(t *testing.T) {
	form := regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)
	texts := []string{"", "evt_1", "a-b", "a.b", "a b", "é", "a\n", "\x00", strings.Repeat("a", 128), strings.Repeat("a", 129)}
	for c := range 256 {
		texts = append(texts, "x"+string([]byte{byte(c)}))
	}
	for _, s := range texts {
		if got, want := isID(s), form.MatchString(s); got != want {
			t.Errorf("isID(%q) = %v; want %v", s, got, want)
		}
	}
}

func TestURLTokens(t *testing.T) {
	for raw, want := range map[string][]string{
		"https://example.com/in?v=2":                      nil,
		"https://example.com/in?v":                        nil,
		"https://example.com/in?key=secret":               {"key=secret"},
		"https://example.com/1234567890123456/in":         {"1234567890123456"},
		"https://example.com/in?key=1234567890123456&v=2": {"key=1234567890123456&v=2", "1234567890123456"},
	} {
		if got := urlTokens(raw); !slices.Equal(got, want) {
			t.Errorf("urlTokens(%s) = %q; want %q", raw, got, want)
		}
	}
}

func TestMaskURL(t *testing.T) {
	for raw, want := range map[string]string{
		"https://example.com":               "https://example.com",
		"https://example.com/":              "https://example.com/",
		"https://example.com:8443/hooks/in": "https://example.com:8443/hooks/in",
		"https://hooks.slack.com/services/T00000000/B00000000/XXXXYYYYZZZZ0123456789ab": "https://hooks.slack.com/services/T00000000/B00000000/XXXX***",
		"https://example.com/123456789012345":                                           "https://example.com/123456789012345",
		"https://example.com/1234567890123456":                                          "https://example.com/1234***",
		"https://example.com/1234567890123456/":                                         "https://example.com/1234***/",
		"https://example.com/ab%2F%2F%2F%2F%2F%2F":                                      "https://example.com/ab%2F%2F***",
		"https://example.com/%E2%82%AC%E2%82%AC%E2%82%AC":                               "https://example.com/%E2%82%AC***",
		"https://example.com/%F0%9F%8D%B5%F0%9F%8D%B5":                                  "https://example.com/%F0%9F%8D%B5***",
		"https://example.com/€€€€€€":                                                    "https://example.com/%E2%82%AC***",
		"https://example.com/%FF%FE%FD%FC%FB%FA":                                        "https://example.com/%FF%FE%FD%FC***",
		"https://example.com/%80%80%80%80%80%80":                                        "https://example.com/***",
		"https://user:password@example.com/in?token=1#part":                             "https://example.com/in",
		"https://[2001:db8::1]/in":                                                      "https://[2001:db8::1]/in",
		"/hooks/1234567890123456?token":                                                 "/hooks/1234***",
		"//example.com/hooks":                                                           "//example.com/hooks",
		"mailto:secret@example.com":                                                     "",
		"https://example.com/%zz":                                                       "",
		"\x7f":                                                                          "",
		"":                                                                              "",
	} {
		if got := maskURL(raw); got != want {
			t.Errorf("maskURL(%q) = %q; want %q", raw, got, want)
		}
	}
}

func FuzzMaskURL(f *testing.F) {
	f.Add("1234567890123456")
	f.Add("%E2%82%AC%E2%82%AC%E2%82%AC")
	f.Add("a/b?c#d")
	f.Fuzz(func(t *testing.T, segment string) {
		masked := maskURL("https://example.com/" + segment)
		if again := maskURL(masked); masked != "" && again == "" {
			t.Errorf("maskURL(%q) = %q, which is no URL", segment, masked)
		}
		u, err := url.Parse(masked)
		if err != nil {
			t.Fatalf("maskURL(%q) = %q: %v; want a URL", segment, masked, err)
		}
		for s := range strings.SplitSeq(u.EscapedPath(), "/") {
			if len(s) >= longSegment && !strings.HasSuffix(s, hidden) {
				t.Errorf("maskURL(%q) = %q; want no long segment", segment, masked)
			}
		}
	})
}

// Of lines that are alike one passes in ten minutes, and the next one says how many were
// left out. What has not come for long is forgotten.
func TestThrottle(t *testing.T) {
	var q throttle
	at, line := time.Unix(0, 0), throttled{"crm", "no"}
	for i, want := range []struct {
		after   time.Duration
		line    throttled
		leftOut int
		ok      bool
	}{
		{0, line, 0, true},
		{0, line, 0, false},
		{quietFor - 1, line, 0, false},
		{quietFor - 1, throttled{"crm", "another"}, 0, true},
		{quietFor - 1, throttled{"audit", "no"}, 0, true},
		{quietFor, line, 2, true},
		{2 * quietFor, line, 0, true},
	} {
		if leftOut, ok := q.pass(want.line, at.Add(want.after)); leftOut != want.leftOut || ok != want.ok {
			t.Errorf("call %d: pass = %d, %v; want %d, %v", i, leftOut, ok, want.leftOut, want.ok)
		}
	}
	for i := range 10_000 {
		q.pass(throttled{strconv.Itoa(i), "no"}, at.Add(time.Duration(i)*time.Minute))
	}
	if n := len(q.lines); n > 1100 {
		t.Errorf("%d lines are remembered; want about a thousand at most", n)
	}
}
