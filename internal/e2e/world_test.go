package e2e_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/admin"
	"example.com/hooks/egress"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

// An invoice is the data of the world's events.
type invoice struct {
	Number string `json:"number"`
	Amount int    `json:"amount"`
}

var (
	invoicePaid = hooks.EventType[invoice]{Name: "invoice.paid", Description: "An invoice was paid in full.", Example: invoice{"R-1", 4200}}
	orderSent   = hooks.EventType[invoice]{Name: "order.shipped", Description: "An order has left the warehouse."}
	fraudSeen   = hooks.EventType[invoice]{Name: "fraud.flagged", Private: true}
)

// A world is a Hooks with an admin handler that a browser can open.
type world struct {
	*hooks.Hooks
	url   string // of the handler's root
	store *memory.Store

	mu      sync.Mutex // guards what follows
	reports []string   // of the content policy
}

// newWorld serves an empty world. Receivers are a function: the first segment of an
// endpoint's path says how it answers. change changes the Config of the admin handler.
func newWorld(t testing.TB, access func(*http.Request) (admin.Access, error), change ...func(*admin.Config)) *world {
	t.Helper()
	store := memory.New()
	h, err := hooks.New(hooks.Config{
		Store: store, Logger: kit.Silent, Transport: roundTripper(answer),
		Egress: egress.Policy{AllowHTTP: true, AllowLoopback: true},
	})
	check(t, err)
	check(t, h.Register(invoicePaid, orderSent, fraudSeen))
	check(t, h.Subscribe(invoicePaid.Handler("audit-log", func(context.Context, hooks.Event, invoice) error { return nil })))
	c := admin.Config{Prefix: "/admin/hooks", Authorize: access, Logger: kit.Silent}
	for _, f := range change {
		f(&c)
	}
	ui, err := admin.New(h, c)
	check(t, err)
	w := &world{Hooks: h, store: store}
	mux := http.NewServeMux()
	mux.Handle("/admin/hooks/", reporting(ui))
	mux.HandleFunc("POST /csp", func(_ http.ResponseWriter, r *http.Request) {
		report, _ := io.ReadAll(r.Body)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.reports = append(w.reports, string(report))
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	w.url = strings.Replace(server.URL, "127.0.0.1", "localhost", 1) + "/admin/hooks/"
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- h.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		check(t, <-ran)
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.reports) > 0 {
			t.Errorf("the content policy was broken: %s", strings.Join(w.reports, "\n"))
		}
	})
	return w
}

// reporting makes browsers tell of what the content policy forbids.
func reporting(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(&reportWriter{ResponseWriter: w}, r)
	})
}

type reportWriter struct {
	http.ResponseWriter
	wrote bool
}

func (w *reportWriter) WriteHeader(status int) {
	if !w.wrote {
		w.wrote = true
		h := w.Header()
		h.Set("Content-Security-Policy", h.Get("Content-Security-Policy")+"; report-uri /csp")
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *reportWriter) Write(b []byte) (int, error) {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// counted is how often each path below /counting was called.
var counted = struct {
	sync.Mutex
	requests map[string]int
}{requests: make(map[string]int)}

// answer is every receiver of the world.
func answer(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		r.Body.Close()
	}
	status, body := 200, ""
	switch first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/"); first {
	case "fail":
		status, body = 503, "upstream connect error or disconnect/reset before headers. reset reason: connection timeout"
	case "counting":
		counted.Lock()
		counted.requests[r.URL.Path]++
		status, body = 500, fmt.Sprintf(`{"seen":{"requests":%d,"at":9007199254740993}}`, counted.requests[r.URL.Path])
		counted.Unlock()
	case "gone":
		status = 410
	case "long":
		status, body = 500, strings.Repeat("<p>the same again and again</p>\n", 200)
	case "hostile":
		status, body = 500, hostile
	}
	rec := httptest.NewRecorder()
	rec.Header().Set("Content-Type", "text/plain")
	if strings.HasPrefix(r.URL.Path, "/hostile") {
		rec.Header().Set("X-Hostile", "<script>document.title='broken'</script>")
	}
	rec.WriteHeader(status)
	_, _ = io.WriteString(rec, body)
	response := rec.Result()
	response.Request = r
	return response, nil
}

// endpoint makes an endpoint that answers as the first segment of its path says.
func (w *world) endpoint(t testing.TB, e hooks.Endpoint, path string) {
	t.Helper()
	e.URL = "http://127.0.0.1/" + path
	if e.Events == nil {
		e.Events = []string{"**"}
	}
	_, err := w.PutEndpoint(t.Context(), e)
	check(t, err)
}

// publish publishes n events of a tenant, and waits until each delivery was tried once.
func (w *world) publish(t testing.TB, tenant string, n int) (ids []string) {
	t.Helper()
	for n > 0 {
		evs := make([]hooks.Event, min(n, 200))
		for i := range evs {
			evs[i] = invoicePaid.New(invoice{fmt.Sprintf("R-%d", n-i), 124900})
			evs[i].Tenant = tenant
		}
		receipts, err := w.PublishBatch(t.Context(), evs)
		check(t, err)
		for _, r := range receipts {
			ids = append(ids, r.EventID)
		}
		n -= len(evs)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	check(t, w.Flush(ctx))
	return ids
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// operator may do everything.
func operator(*http.Request) (admin.Access, error) {
	return admin.Access{Level: admin.Secrets, AllTenants: true, User: "kim"}, nil
}

const hostile = "</textarea></pre><script>document.title='broken'</script><img src=x onerror=\"document.title='broken'\">" +
	"javascript:document.title='broken' \u2028\u2029 \x1b[31mred\x1b[0m \xff\xfe \x00 '\"`${1}{{.}}"
