package systemtest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/retry"
	"example.com/hooks/store/memory"
)

// A logged keeps what is logged at Info and above, without the time of each line.
type logged struct {
	mu  sync.Mutex // guards what follows
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// take returns the lines since it was last called.
func (l *logged) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.TrimSuffix(l.buf.String(), "\n")
	l.buf.Reset()
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// want checks the lines since it was last called, in the order that they have.
func (l *logged) want(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	if got := l.take(); !slices.Equal(got, want) {
		t.Errorf("logged:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

const (
	fails = `level=WARN msg="hooks: a subscriber fails" subscriber=`
	works = `level=INFO msg="hooks: a subscriber works again" subscriber=`
	ended = `level=WARN msg="hooks: deliveries failed for good" subscriber=`
)

// A switched handler fails as long as err is set.
type switched struct{ err atomic.Pointer[error] }

func (s *switched) fail(err error) { s.err.Store(&err) }

func (s *switched) handler(name string) hooks.Handler {
	return hooks.Handler{Name: name, Func: func(context.Context, hooks.Event) error { return *s.err.Load() }}
}

var errNo = errors.New("no: tok-7f3a9c")

// evenly retries every second.
var evenly = retry.Schedule(slices.Repeat([]time.Duration{time.Second}, 50))

// publishAs publishes an event with an id.
func publishAs(t *testing.T, h *hooks.Hooks, id string) hooks.DeliveryID {
	t.Helper()
	ev := kit.OrderPlaced.New(kit.Order{ID: 1})
	ev.ID = id
	kit.Publish(t, h, ev)
	return hooks.DeliveryID{Event: id, Subscriber: "a"}
}

// sleepWithout runs for a time in which nothing is logged.
func (l *logged) sleepWithout(t *testing.T, d time.Duration) {
	t.Helper()
	time.Sleep(d)
	l.want(t)
}

func TestAFailingEndpointIsToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var code atomic.Int64
		code.Store(503)
		log := new(logged)
		h := kit.New(t, hooks.Config{
			Logger: log.logger(), Retry: retry.Schedule{time.Minute, time.Minute, time.Hour, time.Hour},
			Transport: kit.Exchange(func(*http.Request) (*http.Response, error) { return kit.Answer(int(code.Load()), nil, "down"), nil }),
		})
		e := hooks.Endpoint{ID: "crm", URL: kit.AnyURL + "?token=tok-7f3a9c"}
		kit.Put(t, h, e)
		kit.Start(t, h)
		kit.Send(t, h)
		log.sleepWithout(t, time.Minute/2)
		wantWarning(t, h)
		time.Sleep(3 * time.Minute)
		log.want(t, fails+"crm failures=3 since=2000-01-01T00:00:00.000Z class=status code=503")
		wantWarning(t, h, hooks.Warning{Code: hooks.WarnFailing, Subscriber: "crm"})
		wantText(t, h, "last 3 attempts", "2000-01-01T00:00:00Z", "status 503", "tried again at 2000-01-01T01:")
		code.Store(200)
		time.Sleep(2 * time.Hour)
		log.want(t, works+"crm failures=3 since=2000-01-01T00:00:00.000Z class=status code=503")
		wantWarning(t, h)
	})
}

// wantText checks that the one warning has all these parts, and no secret.
func wantText(t *testing.T, h *hooks.Hooks, parts ...string) {
	t.Helper()
	list, err := h.Health(t.Context())
	if err != nil || len(list) != 1 {
		t.Fatalf("Health = %v, %v; want one warning", list, err)
	}
	for _, p := range parts {
		if !strings.Contains(list[0].Text, p) {
			t.Errorf("warning = %q; want it to say %q", list[0].Text, p)
		}
	}
	if strings.Contains(list[0].Text, "tok-7f3a9c") {
		t.Errorf("warning = %q; want no secret in it", list[0].Text)
	}
}

func TestAFailingHandlerIsToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, s := new(logged), new(switched)
		s.fail(errNo)
		h := kit.Dispatching(t, hooks.Config{Logger: log.logger(), Retry: evenly}, s.handler("a"))
		publishAs(t, h, "e1")
		time.Sleep(10 * time.Second)
		log.want(t, fails+"a failures=3 since=2000-01-01T00:00:00.000Z class=error")
		wantText(t, h, `"error"`, "What waits for it is tried again at 2000-01-01T00:00:1")
	})
}

// A subscriber that was deleted does not fail.
func TestADeletedEndpointIsNoWarning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := kit.New(t, hooks.Config{
			Logger: kit.Silent, Retry: evenly, Transport: kit.Exchange(func(*http.Request) (*http.Response, error) { return nil, errNo }),
		})
		kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
		kit.Start(t, h)
		kit.Send(t, h)
		time.Sleep(10 * time.Second)
		wantWarning(t, h, hooks.Warning{Code: hooks.WarnFailing, Subscriber: "crm"})
		if err := h.DeleteEndpoint(t.Context(), "crm"); err != nil {
			t.Fatal(err)
		}
		wantWarning(t, h)
	})
}

// What has waited since before Run ended is told by Health.
func TestHealthSaysWhatIsOverdue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(switched)
		s.fail(errNo)
		h := kit.Subscribed(t, hooks.Config{Logger: kit.Silent, Retry: evenly}, s.handler("a"))
		stop := kit.StartInBubble(t, h)
		publishAs(t, h, "e1")
		time.Sleep(10 * time.Second)
		stop()
		time.Sleep(time.Hour)
		wantText(t, h, "What waits for it has been due since 2000-01-01T00:00:1")
	})
}

// While a logger hangs, deliveries go on, and it may call back.
func TestALoggerHoldsUpNoDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h *hooks.Hooks
		release, called := make(chan struct{}), make(chan struct{}, 1)
		log := slog.New(calling{func() {
			select {
			case called <- struct{}{}:
			default:
			}
			<-release
			_, unhealthy := h.Health(context.Background())
			_, unpublished := h.Publish(context.Background(), kit.OrderPlaced.New(kit.Order{ID: 2}))
			if err := errors.Join(unhealthy, unpublished); err != nil {
				t.Errorf("in the logger: %v", err)
			}
		}})
		s := new(switched)
		s.fail(errNo)
		h = kit.Dispatching(t, hooks.Config{Logger: log, Retry: retry.Schedule{}}, s.handler("a"))
		publishAs(t, h, "e1")
		<-called
		s.fail(nil)
		for i := range 100 {
			id := publishAs(t, h, fmt.Sprint("f", i))
			synctest.Wait()
			if d := kit.Delivery(t, h, id.Event, "a"); d.Status != hooks.Succeeded {
				t.Fatalf("while the logger hangs, %s is %v; want it succeeded", id.Event, d.Status)
			}
		}
		close(release)
	})
}

// A calling handler of slog calls a function for each line.
type calling struct{ f func() }

func (c calling) Enabled(context.Context, slog.Level) bool {
	return true
}

func (c calling) Handle(context.Context, slog.Record) error { c.f(); return nil }

func (c calling) WithAttrs([]slog.Attr) slog.Handler { return c }

func (c calling) WithGroup(string) slog.Handler { return c }

// Whatever the way in which a delivery fails for good, a line says so.
func TestDeliveriesThatFailForGoodAreToldOf(t *testing.T) {
	for name, c := range map[string]struct {
		err     error
		retry   retry.Schedule
		expires time.Duration
		wait    time.Duration // before Run
		lost    bool
		want    string
	}{
		"exhausted": {err: errNo, retry: retry.Schedule{}, want: "reason=exhausted class=error"},
		"rejected":  {err: hooks.Permanent(errNo), retry: evenly, want: "reason=rejected class=error"},
		"expired":   {err: nil, retry: evenly, expires: time.Second, wait: time.Minute, want: `reason=expired class=""`},
		"expires":   {err: errNo, retry: evenly, expires: time.Second / 2, want: "reason=expired class=error"},
		"lost":      {err: errNo, retry: retry.Schedule{}, lost: true, want: "reason=lost class=lost"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log, s, store := new(logged), new(switched), memory.New()
				s.fail(c.err)
				h := kit.Subscribed(t, hooks.Config{Logger: log.logger(), Store: store, Retry: c.retry}, s.handler("a"))
				ev := kit.OrderPlaced.New(kit.Order{ID: 1})
				ev.ID = "e1"
				if c.expires > 0 {
					ev.ExpiresAt = time.Now().Add(c.expires)
				}
				kit.Publish(t, h, ev)
				if c.lost {
					lose(t, store)
				}
				time.Sleep(c.wait)
				kit.StartInBubble(t, h)
				at := time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
				log.want(t, ended+"a deliveries=1 since="+at+" event=e1 "+c.want+"")
				wantWarning(t, h) // one is no streak
				log.sleepWithout(t, time.Hour)
			})
		})
	}
}

// lose makes of what waits for "a" a delivery that has no attempt left, and whose
// leases were lost.
func lose(t *testing.T, store *memory.Store) {
	t.Helper()
	d := kit.Leased(t, store, "a", time.Now())[0]
	d.Status, d.Due, d.Attempts, d.Lost, d.Error = hooks.Retrying, time.Now(), 1, 3, "lost"
	if stale, err := store.Update(t.Context(), time.Now(), []hooks.Change{{Delivery: d}}); err != nil || len(stale) > 0 {
		t.Fatalf("Update = %v, %v; want it done", stale, err)
	}
}

// Sixty deliveries that fail for good within minutes, of each of two subscribers: two
// lines each, and all are counted.
func TestLinesAreCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, a, b := new(logged), new(switched), new(switched)
		a.fail(errNo)
		b.fail(hooks.Permanent(errNo))
		h := kit.Dispatching(t, hooks.Config{Logger: log.logger(), Retry: retry.Schedule{}}, a.handler("a"), b.handler("b"))
		for i := range 60 {
			publishAs(t, h, fmt.Sprint("e", i))
			time.Sleep(5 * time.Second)
		}
		got := log.take()
		slices.Sort(got)
		want := []string{
			ended + "a deliveries=1 since=2000-01-01T00:00:00.000Z event=e0 reason=exhausted class=error",
			fails + "a failures=3 since=2000-01-01T00:00:00.000Z class=error",
			ended + "b deliveries=1 since=2000-01-01T00:00:00.000Z event=e0 reason=rejected class=error",
			fails + "b failures=3 since=2000-01-01T00:00:00.000Z class=error",
		}
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("logged at once:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		log.sleepWithout(t, 5*time.Minute-time.Second)
		time.Sleep(2 * time.Second)
		log.want(t,
			ended+"a deliveries=59 since=2000-01-01T00:00:05.000Z event=e59 reason=exhausted class=error",
			ended+"b deliveries=59 since=2000-01-01T00:00:05.000Z event=e59 reason=rejected class=error")
		wantWarning(t, h, hooks.Warning{Code: hooks.WarnFailing, Subscriber: "a"}, hooks.Warning{Code: hooks.WarnFailing, Subscriber: "b"})
		a.fail(nil)
		publishAs(t, h, "good")
		log.want(t, works+"a failures=60 since=2000-01-01T00:00:00.000Z class=error")
		wantWarning(t, h, hooks.Warning{Code: hooks.WarnFailing, Subscriber: "b"})
	})
}

// A subscriber that fails and recovers every minute is told of once in ten minutes.
func TestAFlappingSubscriberIsToldOfSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, s := new(logged), new(switched)
		h := kit.Dispatching(t, hooks.Config{Logger: log.logger(), Retry: evenly}, s.handler("a"))
		began := time.Now()
		for i := range 60 {
			s.fail(errNo)
			publishAs(t, h, fmt.Sprint("e", i))
			time.Sleep(10 * time.Second)
			s.fail(nil)
			time.Sleep(time.Until(began.Add(time.Duration(i+1) * time.Minute)))
		}
		time.Sleep(10 * time.Minute)
		warned, told, leftOut := 0, 0, 0
		for _, line := range log.take() {
			leftOut += number(line, "left_out=")
			if strings.HasPrefix(line, fails) {
				warned++
			}
			told++
		}
		if warned == 0 || told > 2*7 || warned+leftOut != 60 {
			t.Errorf("60 streaks in an hour: %d lines, %d warnings, %d left out; want 14 lines at most, and 60 together", told, warned, leftOut)
		}
	})
}

// number returns what follows key in a line, or 0.
func number(line, key string) (n int) {
	if _, value, ok := strings.Cut(line, " "+key); ok {
		fmt.Sscan(value, &n)
	}
	return n
}

// Whatever happens at once, and however often Run ends, each delivery that failed for
// good is counted once.
func TestEachFailedDeliveryIsCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(logged)
		var handlers []hooks.Handler
		for i := range 6 {
			handlers = append(handlers, hooks.Handler{Name: string(rune('a' + i)), Func: func(context.Context, hooks.Event) error {
				time.Sleep(rand.N(2 * time.Second))
				if rand.IntN(6) > i {
					return nil
				}
				return errNo
			}})
		}
		h := kit.Subscribed(t, hooks.Config{Logger: log.logger(), Retry: retry.Schedule{time.Second}}, handlers...)
		for range 3 {
			stop := kit.StartInBubble(t, h)
			var publishers sync.WaitGroup
			for range 4 {
				publishers.Go(func() {
					for range 50 {
						kit.PlaceOrder(t, h, 1)
						time.Sleep(rand.N(time.Minute))
						if _, err := h.Health(t.Context()); err != nil {
							t.Errorf("Health = %v", err)
						}
					}
				})
			}
			publishers.Wait()
			stop()
		}
		failed, told := 0, 0
		for _, d := range kit.Deliveries(t, h) {
			if d.Status == hooks.Failed {
				failed++
			}
		}
		for _, line := range log.take() {
			told += number(line, "deliveries=")
		}
		if failed < 100 || told != failed {
			t.Errorf("%d deliveries failed, and the log tells of %d; want the same number", failed, told)
		}
	})
}

// What Run has not told yet it tells when it ends; the next Run goes on from there.
func TestFailuresAreCountedFromRunToRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, s := new(logged), new(switched)
		s.fail(errNo)
		h := kit.Subscribed(t, hooks.Config{Logger: log.logger(), Retry: retry.Schedule{time.Hour}}, s.handler("a"))
		stop := kit.StartInBubble(t, h)
		for i := range 2 {
			publishAs(t, h, fmt.Sprint("e", i))
		}
		log.want(t)
		stop()
		log.want(t)
		stop = kit.StartInBubble(t, h)
		publishAs(t, h, "e2")
		log.want(t, fails+"a failures=3 since=2000-01-01T00:00:00.000Z class=error")
		time.Sleep(2 * time.Hour) // three deliveries fail for good
		log.take()
		for i := range 3 {
			s.fail(hooks.Permanent(errNo))
			publishAs(t, h, fmt.Sprint("f", i))
		}
		synctest.Wait()
		log.take()
		stop()
		got := log.take()
		if len(got) != 1 || !strings.HasPrefix(got[0], ended+"a deliveries=2") {
			t.Errorf("when Run ended it logged %q; want the two that no line told of", got)
		}
		wantWarning(t, h, hooks.Warning{Code: hooks.WarnFailing, Subscriber: "a"})
		s.fail(nil)
		publishAs(t, h, "g")
		if err := h.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := log.take(); len(got) != 1 || !strings.HasPrefix(got[0], works+"a failures=9 ") {
			t.Errorf("Flush logged %q; want that the subscriber works again", got)
		}
		wantWarning(t, h)
	})
}

// An outcome that came too late to count is no failure.
func TestStaleOutcomesAreNotToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, release := new(logged), make(chan error)
		h := kit.Dispatching(t, hooks.Config{Logger: log.logger(), Retry: retry.Schedule{}}, hooks.Handler{
			Name: "a", Func: func(context.Context, hooks.Event) error { return <-release },
		})
		for i := range 4 {
			id := publishAs(t, h, fmt.Sprint("e", i))
			synctest.Wait()
			if _, err := h.Cancel(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			release <- errNo
		}
		log.sleepWithout(t, time.Hour)
		wantWarning(t, h)
	})
}
