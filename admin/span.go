package admin

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// spanUnits are the units in which forms write and read durations, the largest first.
var spanUnits = []struct {
	name string
	size time.Duration
}{
	{"d", 24 * time.Hour}, {"h", time.Hour}, {"min", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond},
}

// writeSpan writes a duration for a form: all of it, so that [parseSpan] reads the same.
func writeSpan(d time.Duration) string {
	if d%time.Millisecond != 0 || d < 0 {
		return d.String()
	}
	var parts []string
	for _, u := range spanUnits {
		if n := d / u.size; n > 0 {
			parts = append(parts, strconv.FormatInt(int64(n), 10)+" "+u.name)
			d -= n * u.size
		}
	}
	if len(parts) == 0 {
		return "0 s"
	}
	return strings.Join(parts, " ")
}

var spanPart = regexp.MustCompile(`^\s*(\d{1,12})\s*(ms|min|[smhd])\s*`)

// parseSpan reads a duration such as "15 s", "4 min 10 s", "3 d", or as
// [time.ParseDuration] does.
func parseSpan(text string) (sum time.Duration, ok bool) {
	if d, err := time.ParseDuration(text); err == nil {
		return d, true
	}
	for text != "" {
		part := spanPart.FindStringSubmatch(text)
		if part == nil {
			return 0, false
		}
		n, err := strconv.ParseInt(part[1], 10, 64)
		size := spanSize(part[2])
		if err != nil || time.Duration(n) > (math.MaxInt64-sum)/size {
			return 0, false
		}
		sum += time.Duration(n) * size
		text, ok = text[len(part[0]):], true
	}
	return sum, ok
}

func spanSize(unit string) time.Duration {
	if unit == "m" {
		return time.Minute
	}
	for _, u := range spanUnits {
		if u.name == unit {
			return u.size
		}
	}
	panic("no unit is called " + unit)
}
