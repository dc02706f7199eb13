package hooks_test

import (
	"context"
	"log/slog"
	"strconv"
	"testing"

	"example.com/hooks"
	"example.com/hooks/store/memory"
)

// A publish costs the same beside many handlers of other types, under any pattern.
func BenchmarkPublishBesideOthers(b *testing.B) {
	for _, others := range []int{0, 1000, 50_000} {
		b.Run(strconv.Itoa(others), func(b *testing.B) {
			text := hooks.EventType[string]{Name: "bench.text"}
			h := besideOthers(b, others, text)
			for b.Loop() {
				r, err := h.Publish(b.Context(), text.New("data"))
				if err != nil || r.Deliveries != 1 {
					b.Fatalf("Publish = %+v, %v; want one delivery", r, err)
				}
			}
		})
	}
}

// besideOthers returns a Hooks with one handler of text and n of other types.
func besideOthers(b *testing.B, n int, text hooks.AnyEventType) *hooks.Hooks {
	b.Helper()
	h, err := hooks.New(hooks.Config{Store: memory.New(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	if err := h.Register(text, hooks.EventType[string]{Name: "bench.text.long"}, hooks.EventType[string]{Name: "other.text"}); err != nil {
		b.Fatal(err)
	}
	ignore := func(context.Context, hooks.Event) error { return nil }
	if err := h.Subscribe(hooks.Handler{Name: "one", Events: []string{"*.text"}, Func: ignore}); err != nil {
		b.Fatal(err)
	}
	patterns := []string{"other.text", "other.**", "bench.text.*", "*.*.long", "bench.text.**"}
	for i := range n {
		s := hooks.Handler{Name: "other-" + strconv.Itoa(i), Events: []string{patterns[i%len(patterns)]}, Func: ignore}
		if err := h.Subscribe(s); err != nil {
			b.Fatal(err)
		}
	}
	return h
}
