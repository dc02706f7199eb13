package admin_test

import (
	"context"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/admin"
	"example.com/hooks/store/memory"
)

var chartNow = time.Date(2026, 11, 30, 13, 3, 20, 0, time.UTC)

func minute(ago time.Duration, ok, failed int) hooks.Minute {
	return hooks.Minute{Start: chartNow.Add(-ago).Truncate(time.Minute), Succeeded: ok, Failed: failed}
}

// Each span has a column, and what lies outside of the chart is in none. A time whose
// counters may still come is no zero.
func TestAChartHasAColumnForEachSpan(t *testing.T) {
	columns := admin.ColumnsOf([]hooks.Minute{
		minute(0, 1, 2), minute(time.Minute, 3, 0), minute(59*time.Minute, 4, 0),
		minute(60*time.Minute, 100, 0), minute(-time.Hour, 100, 0), // before it, and after a clock was set back
	}, chartNow, time.Minute, 60)
	sum := 0
	for i, c := range columns {
		sum += c.Attempts
		if c.Pending {
			t.Errorf("column %d of %v is pending; its counters are written", i, c.Start)
		}
	}
	if len(columns) != 60 || sum != 10 || columns[0].Attempts != 4 || columns[58].Attempts != 3 || columns[59].Attempts != 3 {
		t.Errorf("columns = %+v; want 60 of them, with 4, 3 and 3 attempts", columns)
	}
	for name, c := range map[string]struct {
		now     time.Time
		pending int
	}{
		"at the beginning of a minute": {chartNow.Truncate(time.Minute), 2},
		"later in it":                  {chartNow, 1},
	} {
		pending := 0
		for _, col := range admin.ColumnsOf(nil, c.now, time.Minute, 60) {
			if col.Pending {
				pending++
			}
		}
		if pending != c.pending {
			t.Errorf("%s, %d columns are pending; want %d", name, pending, c.pending)
		}
	}
}

var barPath = regexp.MustCompile(`M(-?[\d.]+) (-?[\d.]+)v(-?[\d.]+)h(-?[\d.]+)v(-?[\d.]+)z`)

// FuzzChart holds that each bar lies within the drawing, that there is one for each column
// with attempts of its kind, and that a failure is at least three pixels high.
func FuzzChart(f *testing.F) {
	f.Add(uint64(0), uint64(0), uint64(0), 84)
	f.Add(uint64(1), uint64(1_000_000_000), uint64(1), 84)
	f.Add(uint64(math.MaxInt64), uint64(0), uint64(1), 18)
	f.Fuzz(func(t *testing.T, a, b, c uint64, height int) {
		height = 10 + int(uint(height)%200)
		limit := func(n uint64) int { return int(n % (1 << 40)) }
		ms := []hooks.Minute{minute(0, limit(a), limit(b)), minute(time.Minute, limit(c), 0), minute(5*time.Minute, 0, limit(a))}
		chart := admin.NewChart(ms, chartNow, height)
		up, down := 0, 0
		for _, m := range ms {
			up, down = up+min(m.Succeeded, 1), down+min(m.Failed, 1)
		}
		for path, want := range map[string]int{chart.OK: up, chart.Bad: down} {
			bars := barPath.FindAllStringSubmatch(path, -1)
			if len(bars) != want && up != down || strings.Contains(path, "N") || strings.Contains(path, "e") {
				t.Errorf("%q has %d bars; want %d", path, len(bars), want)
			}
			for _, bar := range bars {
				from, _ := strconv.ParseFloat(bar[2], 64)
				tall, _ := strconv.ParseFloat(bar[3], 64)
				const rounding = 0.11
				if end := from + tall; min(from, end) < -rounding || max(from, end) > float64(height)+rounding {
					t.Errorf("bar %v of a drawing of height %d lies outside", bar[1:], height)
				}
				if path == chart.Bad && tall < 3-rounding {
					t.Errorf("a failure is %v high; want 3 at least", tall)
				}
			}
		}
	})
}

// The overview and an endpoint show the counters as a drawing, as a sentence and as a table.
func TestChartsHaveWordsAndATable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConsole(t)
		c.put(hooks.Endpoint{ID: "crm"})
		c.get("/").is(200, "No attempt was counted")
		ctx, stop := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- c.h.Run(ctx) }()
		c.publish(3)
		c.answer = func(*http.Request) (int, string) { return 503, "" }
		c.publish(1)
		time.Sleep(2 * time.Minute)
		stop()
		if err := <-ran; err != nil {
			t.Fatal(err)
		}
		for at, says := range map[string]string{
			"/":              "Attempts per minute, last 60 min",
			"/endpoints/crm": "Attempts per 15 min, last 24 h",
		} {
			c.get(at).is(200, says, "3 succeeded (up)", "2 failed (down)", "Most at 00:00: 5 attempts.", "As a table", "00:00 3 2 60.0 %").
				has(`<svg class="chart"`, `role="img" aria-label="`+says)
		}
		c.access = admin.Access{Level: admin.View, Tenant: "acme"}
		c.get("/").is(200, "Attempts per 5 min, last 60 min", "3 succeeded (up)")
		c.access = admin.Access{Level: admin.View, Tenant: "globex"}
		c.get("/").is(200).lacks("succeeded (up)")
	})
}

// silentStore is a store that counts nothing.
type silentStore struct{ hooks.Store }

func TestAStoreWithoutCountersSaysSo(t *testing.T) {
	c := openConsole(t, hooks.Config{Store: silentStore{memory.New()}}, admin.Config{})
	c.put(hooks.Endpoint{ID: "crm"})
	c.publish(2)
	for _, at := range []string{"/", "/endpoints/crm"} {
		c.get(at).is(200, "No attempt was counted in the last 24 h: either none was made, or this store keeps no counters.")
	}
}
