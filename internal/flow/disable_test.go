package flow_test

import (
	"testing"
	"time"

	"example.com/hooks/internal/flow"
)

const day = 24 * time.Hour

// A failing is an endpoint's spell with what one process knows of it.
type failing struct {
	flow.Spell
	local  flow.Local
	open   bool
	writes int
}

func (f *failing) fail(after time.Duration) {
	f.local = f.local.Fail(epoch.Add(after))
	var write bool
	if f.Spell, write = f.Record(f.local, f.open); write {
		f.writes++
	}
}

func (f *failing) succeed() {
	f.local = flow.Local{}
	if f.Spell != (flow.Spell{}) {
		f.Spell = flow.Spell{}
		f.writes++
	}
}

func TestAnEndpointThatFailsHalfOfTheTimeCostsNoWrite(t *testing.T) {
	var f failing
	for i := range 1000 {
		f.fail(time.Duration(2*i) * time.Second)
		f.succeed()
	}
	if f.writes != 0 {
		t.Errorf("%d writes; want 0", f.writes)
	}
}

func TestASpellIsRecordedAfterAMinuteAndOnceAMinute(t *testing.T) {
	var f failing
	for at := time.Duration(0); at <= time.Hour; at += time.Second {
		f.fail(at)
		if at < time.Minute && f.writes > 0 {
			t.Fatalf("recorded after %v; want a minute", at)
		}
	}
	if !f.Since.Equal(epoch) {
		t.Errorf("Since = %v; want the first failure, %v", f.Since, epoch)
	}
	if f.writes != 60 {
		t.Errorf("%d writes in an hour; want 60", f.writes)
	}
}

func TestASuccessEndsTheSpell(t *testing.T) {
	var f failing
	for at := time.Duration(0); at <= 4*day; at += time.Hour {
		f.fail(at)
	}
	f.succeed()
	f.fail(6 * day)
	f.fail(6*day + time.Hour)
	if at := epoch.Add(6*day + time.Hour); f.Disables(at) || f.Warns(at) {
		t.Errorf("Disables, Warns = %v, %v an hour after a success", f.Disables(at), f.Warns(at))
	}
}

func TestDisablingIsAnnouncedADayBefore(t *testing.T) {
	var f failing
	for at := time.Duration(0); at <= 6*day; at += time.Hour {
		f.fail(at)
		now := epoch.Add(at)
		if got, want := f.Warns(now), at >= 4*day; got != want {
			t.Fatalf("Warns after %v = %v; want %v", at, got, want)
		}
		if got, want := f.Disables(now), at >= 5*day; got != want {
			t.Fatalf("Disables after %v = %v; want %v", at, got, want)
		}
	}
}

func TestIdleTimeDoesNotCount(t *testing.T) {
	var f failing
	f.fail(0)
	f.fail(time.Hour)
	f.fail(7 * day)
	f.fail(7*day + time.Hour)
	if want := epoch.Add(7 * day); !f.Since.Equal(want) {
		t.Errorf("Since = %v after a week without a failure; want %v", f.Since, want)
	}
}

func TestIdleTimeOfAnotherProcessDoesNotCount(t *testing.T) {
	f := failing{Spell: flow.Spell{Since: epoch.Add(-30 * day), Last: epoch.Add(-20 * day)}}
	f.fail(0)
	if at := epoch.Add(time.Minute); f.writes != 0 || !f.Since.Before(at) {
		t.Errorf("the first failure was recorded: %+v", f.Spell)
	}
	f.fail(time.Minute)
	if !f.Since.Equal(epoch) {
		t.Errorf("Since = %v; want %v, because the last failure was 20 days ago", f.Since, epoch)
	}
}

func TestTimeWithAnOpenCircuitCounts(t *testing.T) {
	var f failing
	f.fail(0)
	f.fail(time.Minute)
	f.open = true // deliveries expire by their hold after three days
	f.fail(3 * day)
	f.fail(3*day + time.Minute)
	if !f.Since.Equal(epoch) {
		t.Errorf("Since = %v; want %v", f.Since, epoch)
	}
}

func FuzzSpells(f *testing.F) {
	f.Add([]byte{0, 1, 60, 2, 255, 3, 60, 0})
	f.Fuzz(func(t *testing.T, steps []byte) {
		var is failing
		at := time.Duration(0)
		for _, b := range steps {
			at += time.Duration(b>>2) * time.Duration(b>>2) * time.Minute
			switch b & 3 {
			case 0:
				is.succeed()
			case 1:
				is.open = !is.open
			default:
				is.fail(at)
			}
			now := epoch.Add(at)
			if is.Since.After(now) || is.Last.After(now) || is.Last.Before(is.Since) {
				t.Fatalf("at %v the spell is %+v", now, is.Spell)
			}
			if is.Disables(now) && !is.Warns(now) {
				t.Fatal("it disables without a warning")
			}
		}
	})
}
