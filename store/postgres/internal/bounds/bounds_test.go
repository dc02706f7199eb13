package bounds

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
)

// What the store writes while a look is under way may have escaped that look: it does
// not move a bound above it.
func TestALookMovesNoBoundOverWhatWasWrittenMeanwhile(t *testing.T) {
	for _, whole := range []bool{true, false} {
		b, now := &Bounds{}, time.Now()
		b.Told(now, now)
		if !whole {
			b.finish(b.Begin(), nil, 2*manyDead)
			b.until = time.Now().Add(time.Hour)
		}
		l := b.Begin()
		if l.Whole != whole {
			t.Fatalf("Begin() = whole %v; want %v", l.Whole, whole)
		}
		due := now.Add(-time.Hour)
		b.Freed([]hooks.BacklogLane{{Subscriber: "crm", Due: due}})
		b.finish(l, nil, 2*manyDead)
		dues, _ := b.Of(now, []string{"crm", "other"})
		if !dues[0].Equal(due) {
			t.Errorf("whole %v: crm's bound = %v; want %v, when it was written", whole, dues[0], due)
		}
		if want := now.Add(-lateness); dues[1].Before(want.Add(-time.Minute)) || dues[1].After(want) {
			t.Errorf("whole %v: the others' bound = %v; want about %v", whole, dues[1], want)
		}
	}
}

// finish ends a look that has found something.
func (b *Bounds) finish(l *Look, found map[string]Place, dead int) {
	b.End(l, found, dead)
	b.Abandon(l)
}

// Whole looks take a twentieth of the time at most, but are never more than half a
// minute apart; bounds that are older than that are not used.
func TestWholeLooksAreRepeated(t *testing.T) {
	for _, c := range []struct{ took, apart time.Duration }{
		{time.Millisecond, time.Second},
		{100 * time.Millisecond, 2 * time.Second},
		{time.Second, 20 * time.Second},
		{20 * time.Second, 29 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			b, began := &Bounds{}, time.Now()
			b.Told(began, began)
			l := b.Begin()
			time.Sleep(c.took)
			b.finish(l, nil, 2*manyDead)
			time.Sleep(time.Until(began.Add(c.apart)))
			b.Told(time.Now(), time.Now())
			if b.Begin().Whole {
				t.Errorf("the look after %v is whole; want one that uses the bounds", c.apart)
			}
			time.Sleep(time.Millisecond)
			if !b.Begin().Whole {
				t.Errorf("the look after more than %v uses the bounds; want a whole one", c.apart)
			}
			if dues, _ := b.Of(time.Now(), []string{"crm"}); dues[0].IsZero() {
				t.Errorf("claims use no bound after %v; want one until the whole look is made", c.apart)
			}
			time.Sleep(grace)
			if dues, _ := b.Of(time.Now(), []string{"crm"}); !dues[0].IsZero() {
				t.Errorf("claims use the bound %v after %v; want none", dues[0], c.apart+grace)
			}
		})
	}
}

// A bound stays where it is until a time is known.
func TestBoundsNeedToKnowTheTime(t *testing.T) {
	b := &Bounds{}
	b.finish(b.Begin(), nil, 2*manyDead)
	if l := b.Begin(); !l.Whole {
		t.Error("a look is not whole although nobody has said what time it is")
	}
}

// A look is whole if no call has told the time for ten seconds.
func TestBoundsForgetTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &Bounds{}
		b.Told(time.Now(), time.Now())
		b.finish(b.Begin(), nil, 2*manyDead)
		b.until = time.Now().Add(time.Hour)
		look := func() *Look {
			l := b.Begin()
			b.Abandon(l)
			return l
		}
		time.Sleep(oldTime)
		if look().Whole || b.WantsTime() {
			t.Errorf("after %v a look is whole; want one that uses the bounds", oldTime)
		}
		time.Sleep(time.Millisecond)
		if !look().Whole || !b.WantsTime() {
			t.Errorf("after more than %v a look uses the bounds; want a whole one", oldTime)
		}
		b.Told(time.Now(), time.Now())
		if look().Whole || b.WantsTime() {
			t.Error("a look is whole although a call has just told the time; want one that uses the bounds")
		}
	})
}

// Names are kept over whole looks, also of those that have nothing to do; but only so many.
func TestNamesOfSubscribersAreKept(t *testing.T) {
	b := &Bounds{}
	b.Told(time.Now(), time.Now())
	b.Of(time.Now(), []string{"claimed"})
	b.Wrote([]hooks.Entry{{Deliveries: []hooks.Delivery{{DeliveryID: hooks.DeliveryID{Subscriber: "written"}}}}}, nil)
	b.finish(b.Begin(), map[string]Place{"found": {}}, 0)
	for i := range 3 {
		b.until = time.Time{}
		b.finish(b.Begin(), nil, 2*manyDead)
		l := b.Begin()
		b.Abandon(l)
		got := slices.Sorted(slices.Values(l.Subscribers))
		if want := []string{"claimed", "found", "written"}; !slices.Equal(got, want) {
			t.Errorf("after whole look %d the next one knows %q; want %q", i+1, got, want)
		}
	}
	for i := range 3 * maxNames {
		if b.Of(time.Now(), []string{fmt.Sprint("s", i)}); len(b.names) > maxNames {
			t.Fatalf("%d names are kept; want at most %d", len(b.names), maxNames)
		}
	}
}
