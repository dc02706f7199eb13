package hooks_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

// Deliveries of a handler that was renamed wait for ever. The operator is told, once they
// are due for longer than a backlog of another process would explain.
func TestHealthNamesAHandlerThatNobodyHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		former := kit.New(t, hooks.Config{Store: store})
		if err := former.Subscribe(hooks.Handler{Name: "mailer", Events: []string{"**"}, Func: kit.Ignore}); err != nil {
			t.Fatal(err)
		}
		kit.Send(t, former)
		present := kit.New(t, hooks.Config{Store: store})
		for _, c := range []struct {
			after time.Duration
			h     *hooks.Hooks
			want  int
		}{{5 * time.Minute, present, 0}, {time.Second, former, 0}, {0, present, 1}} {
			time.Sleep(c.after)
			got, err := c.h.Health(t.Context())
			if err != nil || len(got) != c.want {
				t.Fatalf("Health after %v = %+v, %v; want %d warnings", c.after, got, err, c.want)
			}
			for _, w := range got {
				if w.Code != hooks.WarnNoHandler || w.Subscriber != "mailer" || !strings.Contains(w.Text, "2000-01-01T00:00:00Z") {
					t.Errorf("Health warns %+v; want no-handler of mailer, with the time since when", w)
				}
			}
		}
	})
}
