package systemtest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

// A weak store says what it is weak in as told.
type weak struct {
	*memory.Store
	weaknesses func(context.Context) ([]string, error)
}

func (w weak) Weaknesses(ctx context.Context) ([]string, error) { return w.weaknesses(ctx) }

func TestWeaknessesAreToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(logged)
		h := kit.Subscribed(t, hooks.Config{Logger: log.logger(), Store: weak{memory.New(), func(context.Context) ([]string, error) {
			return []string{"It forgets.", "It is slow."}, nil
		}}}, hooks.Handler{Name: "a", Func: func(context.Context, hooks.Event) error {
			time.Sleep(time.Second)
			return nil
		}})
		log.want(t)
		wantWarning(t, h, hooks.Warning{Code: hooks.WarnStoreWeakness}, hooks.Warning{Code: hooks.WarnStoreWeakness})
		if list, err := h.Health(t.Context()); err != nil || list[0].Text != "It forgets." || list[1].Text != "It is slow." {
			t.Errorf("Health = %v, %v; want both weaknesses", list, err)
		}
		kit.PlaceOrder(t, h, 1)
		if err := h.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		log.want(t) // that is for Run to say
		kit.Start(t, h)
		log.want(t,
			`level=WARN msg="hooks: the store has a weakness" weakness="It forgets."`,
			`level=WARN msg="hooks: the store has a weakness" weakness="It is slow."`)
		log.sleepWithout(t, 24*time.Hour)
	})
}

func TestAStoreThatCannotSayWhatItIsWeakIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(logged)
		h := kit.Subscribed(t, hooks.Config{Logger: log.logger(), Store: weak{memory.New(), func(context.Context) ([]string, error) {
			return nil, errDown
		}}})
		if list, err := h.Health(t.Context()); !errors.Is(err, errDown) {
			t.Errorf("Health = %v, %v; want the store's error", list, err)
		}
		kit.StartInBubble(t, h)
		log.want(t, `level=WARN msg="hooks: the store cannot say what it is weak in" error="it is down"`)
	})
}

// A store that never answers, whether or not it minds its context, holds up neither Run
// nor its end nor, for longer than the caller waits, Health.
func TestWeaknessesThatHang(t *testing.T) {
	for name, hang := range map[string]func(ctx context.Context, end <-chan struct{}){
		"minds its context":   func(ctx context.Context, _ <-chan struct{}) { <-ctx.Done() },
		"ignores its context": func(_ context.Context, end <-chan struct{}) { <-end },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				end := make(chan struct{})
				defer close(end)
				log := new(logged)
				a, calls := kit.Counting("a")
				h := kit.Subscribed(t, hooks.Config{Logger: log.logger(), Store: weak{memory.New(), func(ctx context.Context) ([]string, error) {
					hang(ctx, end)
					return nil, ctx.Err()
				}}}, a)
				stop := kit.StartInBubble(t, h)
				id := publishAs(t, h, "e1")
				synctest.Wait()
				if calls.Of(id.Event) != 1 {
					t.Errorf("while the store hangs, the handler was called %d times; want once", calls.Of(id.Event))
				}
				began := time.Now()
				stop()
				if took := time.Since(began); took > time.Second/10 {
					t.Errorf("Run ended after %v; want at once", took)
				}
				log.want(t)
				kit.StartInBubble(t, h)
				log.sleepWithout(t, 29*time.Second)
				time.Sleep(2 * time.Second)
				log.want(t, `level=WARN msg="hooks: the store cannot say what it is weak in" error="context deadline exceeded"`)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if _, err := h.Health(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Health = %v; want that it took too long", err)
				}
			})
		})
	}
}
