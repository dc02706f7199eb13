package postgres

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A heraldTest is a herald whose own announcements are counted.
type heraldTest struct {
	*herald
	sent *int
}

func newHeraldTest() heraldTest {
	sent := new(int)
	return heraldTest{&herald{send: func() { *sent++ }}, sent}
}

// group is one that takes a time, with news or without.
func (h heraldTest) group(news bool, took time.Duration, err error) (told bool) {
	told = h.begin(news)
	time.Sleep(took)
	h.end(news, told, err)
	return told
}

// settled returns what was sent when nothing is under way any more.
func (h heraldTest) settled() int {
	h.idle()
	time.Sleep(10 * heraldPause)
	synctest.Wait()
	return *h.sent
}

func TestGroupsTellOfWhatWasWrittenBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeraldTest()
		if !h.group(true, 0, nil) || h.group(true, 0, nil) {
			t.Error("of two groups within a pause, the first one shall announce itself, and only that")
		}
		time.Sleep(heraldPause)
		synctest.Wait()
		if *h.sent > 0 {
			t.Error("an announcement was sent by itself while groups were being written")
		}
		if !h.group(false, 0, nil) {
			t.Error("a group without news does not announce the one before it, which could not")
		}
		time.Sleep(heraldPause)
		synctest.Wait()
		h.group(true, 0, nil)
		if n := h.settled(); n > 0 {
			t.Errorf("%d announcements were sent by themselves, after all was told", n)
		}
	})
}

func TestWhatNoGroupTellsIsSent(t *testing.T) {
	ways := map[string]func(heraldTest){
		"a second group within the pause":   func(h heraldTest) { h.group(true, 0, nil); h.group(true, 0, nil) },
		"a slow second group":               func(h heraldTest) { h.group(true, 0, nil); h.group(true, 2*heraldPause, nil) },
		"a group that failed, or maybe not": func(h heraldTest) { h.group(true, 0, errors.New("connection lost")) },
		"a failed one that told for others": func(h heraldTest) {
			h.group(true, 0, nil)
			h.group(true, 2*heraldPause, nil)
			h.group(false, 0, errors.New("connection lost"))
		},
		"something by itself": func(h heraldTest) { h.later() },
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHeraldTest()
				way(h)
				if n := h.settled(); n != 1 {
					t.Errorf("%d announcements were sent; want 1", n)
				}
			})
		})
	}
}

func TestAnnouncementsKeepTheirPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeraldTest()
		for range 5 {
			h.later()
		}
		synctest.Wait()
		if *h.sent != 1 {
			t.Errorf("%d announcements were sent at once; want 1", *h.sent)
		}
		if n := h.settled(); n != 2 {
			t.Errorf("%d announcements were sent; want 2, the second one for the other four", n)
		}
	})
}

func TestMuteHeraldsSayNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeraldTest()
		h.mute = true
		told := h.group(true, 0, nil)
		h.later()
		if n := h.settled(); n > 0 || told {
			t.Errorf("%d announcements were sent, and the group's is %t; want none", n, told)
		}
	})
}
