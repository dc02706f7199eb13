package systemtest_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
	"example.com/hooks/store/sqlite"
)

// Disabling, holding and enabling 20,000 deliveries writes two records and no row.
func TestHoldingWritesNoRow(t *testing.T) {
	rows := 20_000
	if kit.RaceDetector {
		rows = 2_000 // it makes SQLite ten times as slow
	}
	inWards(t, hooks.Endpoint{}, func(w *ward) {
		evs := make([]hooks.Event, 1000)
		for i := range evs {
			evs[i] = kit.InvoicePaid.New(kit.Invoice{Number: i})
		}
		for range rows / len(evs) {
			if _, err := w.h.PublishBatch(w.t.Context(), evs); err != nil {
				w.t.Fatal(err)
			}
		}
		written := func(puts int64) {
			w.t.Helper()
			if p, u, c := w.store.puts.Load(), w.store.updates.Load(), w.store.leased.Load(); p != puts || u != 0 || c != 0 {
				w.t.Errorf("%d records and %d rows were written, %d leased; want %d, 0, 0", p, u, c, puts)
			}
		}
		w.store.puts.Store(0)
		w.disable(time.Time{})
		stop := kit.StartInBubble(w.t, w.h)
		time.Sleep(71 * time.Hour)
		written(1)
		stop()
		w.enable()
		written(2)
	})
}

// All of a large backlog ends when its hold is over, in steps: the next step is claimed when
// the one before is written. Nothing of it is claimed before the hold is over.
func TestALargeHoldEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rows, step = 3_000, 200
		slow := &kit.SlowWriter{Store: memory.New()}
		w := &ward{t: t, store: &writeCounter{Store: slow}, began: time.Now(), status: 200}
		w.h = w.process()
		kit.Put(t, w.h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
		w.disable(time.Time{})
		kit.StartInBubble(t, w.h)
		for range rows {
			w.send(0)
		}
		time.Sleep(72*time.Hour - time.Nanosecond)
		synctest.Wait()
		if n := w.store.leased.Load() + w.store.updates.Load(); n != 0 {
			t.Errorf("before the hold is over %d rows were leased or written; want none", n)
		}
		slow.Slow.Store(true) // each write takes a second
		time.Sleep(500 * time.Millisecond)
		w.h.Wake(t.Context())
		synctest.Wait()
		if n := w.store.leased.Load(); n != step {
			t.Errorf("while the first step is being written %d rows are leased; want %d", n, step)
		}
		time.Sleep(2 * rows / step * time.Second)
		synctest.Wait()
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.ended) != rows || w.ended[0].Reason != hooks.ReasonExpired {
			t.Errorf("Trace.Ended was told of %d deliveries; want %d", len(w.ended), rows)
		}
	})
}

// The state is in a record of its own, which goes with the endpoint.
func TestDisablingLeavesTheEndpointAsItIs(t *testing.T) {
	inWards(t, hooks.Endpoint{}, func(w *ward) {
		t, h := w.t, w.h
		read, err := h.Endpoint(t.Context(), "crm")
		if err != nil {
			t.Fatal(err)
		}
		w.disable(time.Time{})
		read.Description = "changed while it was disabled"
		if read, err = h.PutEndpoint(t.Context(), read); err != nil {
			t.Errorf("PutEndpoint of the version before the disabling = %v; want nil", err)
		}
		leftOver := w.record()
		if len(leftOver.Data) == 0 {
			t.Fatal("there is no record health/crm")
		}
		if is, err := h.EndpointHealth(t.Context(), "crm"); err != nil || is.State != hooks.StateDisabled {
			t.Errorf("EndpointHealth = %+v, %v; want still disabled", is, err)
		}
		if err := h.DeleteEndpoint(t.Context(), "crm"); err != nil {
			t.Fatal(err)
		}
		if r := w.record(); len(r.Data) != 0 {
			t.Errorf("a record health/crm stays: %s", r.Data)
		}
		for _, err := range []error{
			h.DisableEndpoint(t.Context(), "crm", "", time.Time{}), h.EnableEndpoint(t.Context(), "crm"),
			second(h.EndpointHealth(t.Context(), "crm")),
		} {
			if !errors.Is(err, hooks.ErrNotFound) {
				t.Errorf("of a deleted endpoint: %v; want ErrNotFound", err)
			}
		}
		// As if the process had ended between the two.
		if _, err := w.store.Put(t.Context(), time.Now(), hooks.Record{Key: "health/crm", Data: leftOver.Data}, nil); err != nil {
			t.Fatal(err)
		}
		kit.Put(t, w.process(), hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
		w.h = w.process()
		kit.StartInBubble(t, w.h)
		w.wantSent("to the new endpoint, which is enabled", w.send(0))
		w.disable(time.Time{}) // over the record that was left
		synctest.Wait()
		if is, err := w.h.EndpointHealth(t.Context(), "crm"); err != nil || is.State != hooks.StateDisabled {
			t.Errorf("EndpointHealth = %+v, %v; want disabled", is, err)
		}
	})
}

// record returns the health record of the endpoint, which is empty if there is none.
func (w *ward) record() (found hooks.Record) {
	w.t.Helper()
	records, err := w.store.Records(w.t.Context(), 0)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range records {
		if r.Key == "health/crm" {
			found = r
		}
	}
	return found
}

// A health record of a later version of the library is left alone.
func TestAHealthRecordOfALaterForm(t *testing.T) {
	inWards(t, hooks.Endpoint{}, func(w *ward) {
		const data = `{"form":9,"since":"2027-01-01T00:00:00Z"}`
		if _, err := w.store.Put(w.t.Context(), time.Now(), hooks.Record{Key: "health/crm", Data: []byte(data)}, nil); err != nil {
			w.t.Fatal(err)
		}
		for _, err := range []error{
			w.h.DisableEndpoint(w.t.Context(), "crm", "", time.Time{}), w.h.EnableEndpoint(w.t.Context(), "crm"),
		} {
			if err == nil || !strings.Contains(err.Error(), "newer version") {
				w.t.Errorf("error = %v; want that a newer version wrote the record", err)
			}
		}
		if r := w.record(); string(r.Data) != data {
			w.t.Errorf("the record is %s; want it as it was", r.Data)
		}
	})
}

func TestDisableEndpointRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := kit.New(t, hooks.Config{})
		kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
		kit.WantInvalid(t, h.DisableEndpoint(t.Context(), "crm", "two\nlines", time.Time{}), "EndpointHealth.Reason", nil, "control character")
		for _, until := range []time.Time{time.Now(), time.Now().Add(-time.Hour), time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)} {
			kit.WantInvalid(t, h.DisableEndpoint(t.Context(), "crm", "", until), "EndpointHealth.Until", nil, "in the future")
		}
		for _, hold := range []time.Duration{-1, 30*24*time.Hour + 1} {
			_, err := h.PutEndpoint(t.Context(), hooks.Endpoint{ID: "x", URL: kit.AnyURL, Events: []string{"**"}, Hold: hold})
			kit.WantInvalid(t, err, "Endpoint.Hold", nil, "at most 30 days")
			_, err = hooks.New(hooks.Config{Store: memory.New(), Hold: hold})
			kit.WantInvalid(t, err, "Config.Hold", nil, "for the default")
		}
	})
}

// Processes of a fleet learn within about a second that an endpoint was disabled, and that
// it was enabled.
func TestAFleetMindsDisabling(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) (here, there hooks.Store){
		"shared memory, polled": func(t *testing.T) (here, there hooks.Store) {
			s := kit.NewClockedStore(t, 0)
			return s, s
		},
		"two on one SQLite file": func(t *testing.T) (here, there hooks.Store) {
			file := filepath.Join(t.TempDir(), "hooks.db")
			var list []hooks.Store
			for range 2 {
				s, err := sqlite.OpenShared(file)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { s.Close() })
				list = append(list, s)
			}
			return list[0], list[1]
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				here, there := open(t)
				w := &ward{t: t, store: &writeCounter{Store: there}, began: time.Now(), status: 200}
				w.h = w.process()
				w.store = &writeCounter{Store: here}
				kit.Put(t, w.h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
				running := w.process()
				kit.StartInBubble(t, running)
				w.disable(time.Time{})
				time.Sleep(2 * time.Second)
				event := kit.Send(t, running).EventID
				time.Sleep(time.Minute)
				w.wantSent("while it is disabled elsewhere")
				w.enable()
				time.Sleep(2 * time.Second)
				w.wantSent("2 s after it was enabled elsewhere", event)
				w.disable(time.Now().Add(time.Minute))
				time.Sleep(2 * time.Second)
				late := kit.Send(t, running).EventID
				time.Sleep(50 * time.Second)
				w.wantSent("until that ends", event)
				time.Sleep(10 * time.Second)
				w.wantSent("2 s after that has ended", event, late)
			})
		})
	}
}

// Flush returns while only held deliveries are due, and delivers the others.
func TestFlushLeavesWhatIsHeld(t *testing.T) {
	inWards(t, hooks.Endpoint{}, func(w *ward) {
		kit.Put(w.t, w.h, hooks.Endpoint{ID: "other", URL: kit.AnyURL})
		w.disable(time.Time{})
		event := w.send(0)
		flush(w.t, w.h)
		w.wantSent("to the other endpoint", event)
		w.want(event, hooks.Pending, "", 0)
		time.Sleep(72 * time.Hour)
		flush(w.t, w.h)
		w.want(event, hooks.Failed, hooks.ReasonExpired, 0)
	})
}

// An event that expires while it is held ends when the endpoint is enabled.
func TestAHeldEventExpires(t *testing.T) {
	inWards(t, hooks.Endpoint{}, func(w *ward) {
		kit.StartInBubble(w.t, w.h)
		w.disable(time.Time{})
		ev := kit.InvoicePaid.New(kit.Invoice{Number: 7})
		ev.ExpiresAt = time.Now().Add(time.Hour)
		event := kit.Publish(w.t, w.h, ev).EventID
		time.Sleep(2 * time.Hour)
		w.want(event, hooks.Pending, "", 0)
		w.enable()
		synctest.Wait()
		w.want(event, hooks.Failed, hooks.ReasonExpired, 0)
		w.wantSent("though it has expired")
	})
}

// What an Enqueue has stored although it returned an error is held and sent too.
func TestAHeldDeliveryOfAnUncertainPublish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &kit.SlowWriter{Store: memory.New()}
		var sent []time.Duration
		began := time.Now()
		h := kit.New(t, hooks.Config{Store: store, Logger: kit.Silent, Transport: kit.Exchange(func(*http.Request) (*http.Response, error) {
			sent = append(sent, time.Since(began))
			return kit.Answer(200, nil, ""), nil
		})})
		kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
		kit.StartInBubble(t, h)
		if err := h.DisableEndpoint(t.Context(), "crm", "", began.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		store.Fail.Store(true)
		if _, err := h.Publish(t.Context(), kit.InvoicePaid.New(kit.Invoice{})); err == nil {
			t.Fatal("Publish = nil; want the store's error")
		}
		store.Fail.Store(false)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if len(sent) != 1 || sent[0] != time.Hour {
			t.Errorf("sent after %v; want once, after an hour", sent)
		}
	})
}

// Health warns of a disabled endpoint, and the log of what has failed because of it.
func TestHealthAndLogTellOfDisabledEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		h := kit.New(t, hooks.Config{Logger: slog.New(slog.NewTextHandler(&log, nil)), Hold: time.Hour})
		kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
		stop := kit.StartInBubble(t, h)
		if err := h.DisableEndpoint(t.Context(), "crm", "they asked for it", time.Now().Add(24*time.Hour)); err != nil {
			t.Fatal(err)
		}
		kit.Send(t, h)
		warnings, err := h.Health(t.Context())
		const want = `It has been disabled since 2000-01-01T00:00:00Z, with the reason "they asked for it", ` +
			`and stays so until 2000-01-02T00:00:00Z. A delivery that is held for 1h0m0s fails, the first one at 2000-01-01T01:00:00Z.`
		if err != nil || len(warnings) != 1 || warnings[0] != (hooks.Warning{Code: hooks.WarnDisabled, Subscriber: "crm", Text: want}) {
			t.Errorf("Health = %+v, %v; want %s", warnings, err, want)
		}
		waiting := kit.Deliveries(t, h)[0]
		why, err := h.ExplainDelivery(t.Context(), waiting.DeliveryID)
		if err != nil || why.Code != "disabled" || why.Since != waiting.Created || why.Until != waiting.Created.Add(time.Hour) ||
			!strings.HasSuffix(why.Text, "If it is held until 2000-01-01T01:00:00Z, it fails.") {
			t.Errorf("ExplainDelivery = %+v, %v; want disabled, until the hold of an hour is over", why, err)
		}
		time.Sleep(25 * time.Hour)
		if warnings, err := h.Health(t.Context()); err != nil || len(warnings) != 0 {
			t.Errorf("a day later Health = %+v, %v; want nothing", warnings, err)
		}
		stop()
		if text := log.String(); !strings.Contains(text, "deliveries failed for good") || !strings.Contains(text, "reason=expired") {
			t.Errorf("the log is\n%s; want a line about the delivery that has expired", text)
		}
	})
}

// EndpointHealth tells what attempts of this process showed, and what waits.
func TestEndpointHealthTellsOfAttempts(t *testing.T) {
	inWards(t, hooks.Endpoint{}, func(w *ward) {
		t := w.t
		kit.StartInBubble(t, w.h)
		want := func(want hooks.EndpointHealth) {
			t.Helper()
			synctest.Wait()
			want.Endpoint = "crm"
			if got, err := w.h.EndpointHealth(t.Context(), "crm"); err != nil || got != want {
				t.Errorf("EndpointHealth =\n%+v, %v; want\n%+v", got, err, want)
			}
		}
		now := func() time.Time { return time.Now().UTC() }
		want(hooks.EndpointHealth{State: hooks.StateWorking})
		w.send(0)
		time.Sleep(time.Second)
		success := now()
		want(hooks.EndpointHealth{State: hooks.StateWorking, LastSuccess: success})
		w.status = 503
		w.send(0)
		time.Sleep(time.Second)
		since := now()
		synctest.Wait()
		kit.Put(t, w.h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL, Description: "changed"})
		got, err := w.h.EndpointHealth(t.Context(), "crm")
		if err != nil || got.State != hooks.StateWorking || got.Failures != 1 || got.Waiting.N != 1 || got.Oldest.Before(since.Add(time.Hour)) {
			t.Errorf("after a failure EndpointHealth = %+v, %v; want working, 1 failure, 1 waiting, due in an hour", got, err)
		}
		w.send(0)
		w.send(0)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		got, err = w.h.EndpointHealth(t.Context(), "crm")
		oldest := got.Oldest
		got.Oldest = time.Time{}
		if err != nil || oldest.IsZero() || got != (hooks.EndpointHealth{
			Endpoint: "crm", State: hooks.StateFailing, Since: since, Failures: 3, LastSuccess: success,
			LastError: "status", LastCode: 503, Waiting: hooks.Count{N: 3},
		}) {
			t.Errorf("after three failures EndpointHealth = %+v, %v", got, err)
		}
		w.disable(now().Add(time.Hour))
		if got, err = w.h.EndpointHealth(t.Context(), "crm"); err != nil || got.State != hooks.StateDisabled ||
			!got.Since.Equal(now()) || !got.Until.Equal(now().Add(time.Hour)) || got.Reason != "it is full" || got.Failures != 3 {
			t.Errorf("disabled, EndpointHealth = %+v, %v", got, err)
		}
	})
}

// An endpoint whose key is missing says so.
func TestEndpointHealthOfAnEndpointWithoutKey(t *testing.T) {
	store := memory.New()
	kit.Put(t, kit.New(t, hooks.Config{Store: store, Keeper: kit.NewKeeper(t, "a")}), hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
	h := kit.New(t, hooks.Config{Store: store, Keeper: kit.NewKeeper(t, "a"), Logger: kit.Silent})
	if is, err := h.EndpointHealth(t.Context(), "crm"); err != nil || is.State != hooks.StateNoKey {
		t.Errorf("EndpointHealth = %+v, %v; want no_key", is, err)
	}
}

// Disabling again changes the reason and the end, and not the beginning.
func TestDisablingAgain(t *testing.T) {
	inWards(t, hooks.Endpoint{}, func(w *ward) {
		w.disable(w.began.Add(2 * time.Hour))
		time.Sleep(time.Hour)
		w.disable(time.Time{})
		puts := w.store.puts.Load()
		w.disable(time.Time{})
		is, err := w.h.EndpointHealth(w.t.Context(), "crm")
		if err != nil || !is.Since.Equal(w.began) || !is.Until.IsZero() || w.store.puts.Load() != puts {
			w.t.Errorf("EndpointHealth = %+v, %v, after %d needless writes; want since %v without an end, 0", is, err, w.store.puts.Load()-puts, w.began)
		}
		w.disable(time.Now().Add(time.Minute))
		time.Sleep(time.Hour)
		w.disable(time.Time{}) // the first one has ended
		if is, err = w.h.EndpointHealth(w.t.Context(), "crm"); err != nil || !is.Since.Equal(time.Now()) {
			w.t.Errorf("EndpointHealth = %+v, %v; want since now", is, err)
		}
	})
}
