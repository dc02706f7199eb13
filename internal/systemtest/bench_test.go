package systemtest_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/hooks"
	"example.com/hooks/egress"
	"example.com/hooks/signer"
	"example.com/hooks/store/memory"
	"example.com/hooks/store/sqlite"
)

// BenchmarkDeliver compares, in one run and by turns, what it takes to bring
// 1 KiB to a receiver on loopback, signed: a bare loop of a net/http transport,
// which stores nothing, and hooks from Publish to the outcome being stored. 16
// goroutines publish, and 16 requests are under way at once.
func BenchmarkDeliver(b *testing.B) {
	for round := range 3 {
		name := func(what string) string { return what + "/" + strconv.Itoa(round+1) }
		b.Run(name("bare"), benchmarkBare)
		b.Run(name("memory"), func(b *testing.B) { benchmarkDeliver(b, memory.New()) })
		b.Run(name("sqlite"), func(b *testing.B) {
			store, err := sqlite.Open(filepath.Join(b.TempDir(), "bench.db"))
			if err != nil {
				b.Fatal(err)
			}
			defer store.Close()
			benchmarkDeliver(b, store)
		})
	}
}

const benchAtOnce = 16

// benchData is a JSON string of 1 KiB.
var benchData = string(bytes.Repeat([]byte("x"), 1022))

func benchReceiver(b *testing.B) (url string) {
	b.Helper()
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
	}))
	b.Cleanup(receiver.Close)
	return receiver.URL
}

func benchTransport() *http.Transport {
	return egress.NewTransport(egress.Config{
		Policy:      egress.Policy{AllowHTTP: true, AllowLoopback: true},
		IdlePerHost: benchAtOnce,
	})
}

func benchmarkBare(b *testing.B) {
	url, transport := benchReceiver(b), benchTransport()
	defer transport.CloseIdleConnections()
	sign := signer.Signer{Secrets: []signer.Secret{signer.NewSecret()}}
	body := []byte(`{"type":"x","timestamp":"2026-01-01T00:00:00Z","data":"` + benchData + `"}`)
	eachOf(b, func(i int) {
		id, at := "evt_"+strconv.Itoa(i), time.Now()
		signature, err := sign.Sign(id, at, body)
		if err != nil {
			b.Error(err)
			return
		}
		req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			b.Error(err)
			return
		}
		req.Header.Set(signer.HeaderID, id)
		req.Header.Set(signer.HeaderTimestamp, strconv.FormatInt(at.Unix(), 10))
		req.Header.Set(signer.HeaderSignature, signature)
		resp, err := transport.RoundTrip(req)
		if err != nil {
			b.Error(err)
			return
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	})
}

func benchmarkDeliver(b *testing.B, store hooks.Store) {
	var delivered atomic.Int64
	all := make(chan struct{})
	transport := benchTransport()
	defer transport.CloseIdleConnections()
	h, err := hooks.New(hooks.Config{
		Store:                 store,
		Egress:                egress.Policy{AllowHTTP: true, AllowLoopback: true},
		Transport:             transport,
		SubscriberConcurrency: benchAtOnce,
		Logger:                slog.New(slog.DiscardHandler),
		Trace: hooks.Trace{Finished: func(_ context.Context, d hooks.Delivery, a hooks.Attempt) {
			if d.Status != hooks.Succeeded {
				b.Errorf("%v: %v %s %d", d.DeliveryID, d.Status, a.Error, a.Code)
			}
			if delivered.Add(1) == int64(b.N) {
				close(all)
			}
		}},
	})
	if err != nil {
		b.Fatal(err)
	}
	text := hooks.EventType[string]{Name: "bench.text"}
	if err := h.Register(text); err != nil {
		b.Fatal(err)
	}
	if _, err := h.PutEndpoint(b.Context(), hooks.Endpoint{ID: "receiver", URL: benchReceiver(b), Events: []string{"**"}}); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := h.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	defer running.Wait()
	defer cancel()
	eachOf(b, func(int) {
		if _, err := h.Publish(ctx, text.New(benchData)); err != nil {
			b.Error(err)
		}
	})
	<-all
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
}

// eachOf calls f b.N times from benchAtOnce goroutines, and starts the clock.
func eachOf(b *testing.B, f func(i int)) {
	b.ReportAllocs()
	b.ResetTimer()
	var next atomic.Int64
	var group sync.WaitGroup
	for range benchAtOnce {
		group.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				f(int(i))
			}
		})
	}
	group.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
}

// BenchmarkPutEndpoint changes one endpoint of many, and makes new ones beside them.
func BenchmarkPutEndpoint(b *testing.B) {
	for _, n := range []int{10, 1000, 100_000} {
		h := withEndpoints(b, n)
		e := hooks.Endpoint{URL: "https://example.com/", Events: []string{"**"}}
		random := rand.New(rand.NewPCG(1, 1))
		for _, what := range []string{"changed", "new"} {
			b.Run(what+"/"+strconv.Itoa(n), func(b *testing.B) {
				for i := range b.N {
					e.ID, e.Description = "ep_0", strconv.Itoa(i)
					if what == "new" {
						e.ID = fmt.Sprintf("ep_%x", random.Uint64())
					}
					if _, err := h.PutEndpoint(b.Context(), e); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkEndpoints lists a page in the middle of many.
func BenchmarkEndpoints(b *testing.B) {
	for _, n := range []int{10, 1000, 100_000} {
		h := withEndpoints(b, n)
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			for b.Loop() {
				if page, _, err := h.Endpoints(b.Context(), hooks.Query{Cursor: "ep_5", Limit: 5}); err != nil || len(page) < 4 {
					b.Fatalf("Endpoints = %d, %v; want a page", len(page), err)
				}
			}
		})
	}
}

// withEndpoints returns a Hooks on a store with n endpoints, ep_0 and so on, that it
// has read.
func withEndpoints(b *testing.B, n int) *hooks.Hooks {
	b.Helper()
	store := memory.New()
	h, err := hooks.New(hooks.Config{Store: store})
	if err != nil {
		b.Fatal(err)
	}
	if err := h.Register(hooks.EventType[string]{Name: "bench.text"}); err != nil {
		b.Fatal(err)
	}
	if _, err := h.PutEndpoint(b.Context(), hooks.Endpoint{ID: "ep_0", URL: "https://example.com/", Events: []string{"**"}}); err != nil {
		b.Fatal(err)
	}
	records, err := store.Records(b.Context(), 0)
	if err != nil {
		b.Fatal(err)
	}
	for i := 1; i < n; i++ {
		id := "ep_" + strconv.Itoa(i)
		r := hooks.Record{Key: "endpoint/" + id, Data: bytes.Replace(records[0].Data, []byte(`"ep_0"`), []byte(`"`+id+`"`), 1)}
		if _, err := store.Put(b.Context(), time.Now(), r, nil); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := h.Health(b.Context()); err != nil { // reads them
		b.Fatal(err)
	}
	return h
}
