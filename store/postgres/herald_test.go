package postgres

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"example.com/hooks"
)

// countingHerald returns a herald whose announcements are counted, with their times.
func countingHerald() (h *herald, sent *[]time.Time) {
	sent = new([]time.Time)
	var mu sync.Mutex // guards sent
	return &herald{send: func() {
		mu.Lock()
		defer mu.Unlock()
		*sent = append(*sent, time.Now())
	}}, sent
}

// settled lets all pass that may still be announced.
func settled() {
	time.Sleep(10 * heraldPause)
	synctest.Wait()
}

func TestAnnouncementsKeepTheirPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, sent := countingHerald()
		began := time.Now()
		for range 250 { // one each millisecond
			h.owe()
			time.Sleep(time.Millisecond)
		}
		settled()
		if len(*sent) != 4 {
			t.Fatalf("%d announcements were sent in 250 ms; want 4", len(*sent))
		}
		for i, at := range *sent {
			if after, want := at.Sub(began), time.Duration(i)*heraldPause; after != want {
				t.Errorf("announcement %d was sent after %v; want %v", i+1, after, want)
			}
		}
	})
}

// What was committed just after an announcement, or may have been, is announced when
// the pause is over.
func TestWhatMayBeCommittedIsAnnounced(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want int
	}{
		"committed":       {nil, 2},
		"connection lost": {errors.New("connection lost"), 2},
		"gave up waiting": {context.DeadlineExceeded, 2},
		"refused":         {&pgconn.PgError{Code: "23505"}, 1},
		"unknown event":   {hooks.ErrNotFound, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, sent := countingHerald()
				h.owe()
				h.written(c.err)
				settled()
				if n := len(*sent); n != c.want {
					t.Errorf("%d announcements were sent; want %d", n, c.want)
				}
			})
		})
	}
}

func TestWakeTakesWhatIsOwed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, sent := countingHerald()
		h.owe()
		h.owe()
		if !h.take() || h.take() {
			t.Error("take() = false, or true twice; want true once, after something was committed in the pause")
		}
		settled()
		if n := len(*sent); n != 1 {
			t.Errorf("%d announcements were sent; want 1, for the second one was taken", n)
		}
	})
}

func TestMuteHeraldsSayNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, sent := countingHerald()
		h.mute = true
		h.owe()
		settled()
		if n := len(*sent); n > 0 {
			t.Errorf("%d announcements were sent; want none", n)
		}
	})
}
