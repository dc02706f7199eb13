package admin

import (
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"

	"example.com/hooks"
)

// pageFuncs are how templates write values. Times are UTC; the foot of each page says so.
var pageFuncs = template.FuncMap{
	"ago":      ago,
	"in":       until,
	"due":      due,
	"clock":    func(t time.Time) string { return t.UTC().Format("15:04:05") },
	"stamp":    stamp,
	"full":     func(t time.Time) string { return t.UTC().Format("Mon 2 Jan 2006, 15:04:05") },
	"iso":      func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"duration": span,
	"took":     took,
	"shortID":  shortID,
	"number":   number,
	"bytes":    bytesText,
	"visible":  visible,
	"code":     codeText,
	"join":     strings.Join,
	"dict":     dict,
	"add":      func(a, b int) int { return a + b },
}

// dict makes the argument of a template that takes several values, from names and values
// in turn.
func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("dict needs a value for each name")
	}
	m := make(map[string]any)
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("dict: %v is no name", pairs[i])
		}
		m[name] = pairs[i+1]
	}
	return m, nil
}

// number writes a number with a comma before each group of three digits.
func number(n int) string { return hooks.Count{N: n}.String() }

// stamp writes a time that may be long ago: with the day unless it is today, and with the
// year unless it is this one.
func stamp(t, now time.Time) string {
	t, now = t.UTC(), now.UTC()
	switch {
	case t.IsZero():
		return ""
	case t.Year() != now.Year():
		return t.Format("2 Jan 2006 15:04")
	case t.YearDay() != now.YearDay():
		return t.Format("2 Jan 15:04")
	default:
		return t.Format("15:04:05")
	}
}

// ago writes how long ago a time is, such as "3 min ago".
func ago(t, now time.Time) string {
	if d := now.Sub(t); d >= time.Second {
		return span(d) + " ago"
	}
	return "now"
}

// until writes how far in the future a time is, such as "in 4 min 10 s".
func until(t, now time.Time) string {
	if d := t.Sub(now); d >= time.Second {
		return "in " + span(d)
	}
	return "now"
}

// due writes how far a time is from now, in the past or in the future.
func due(t, now time.Time) string {
	if t.After(now) {
		return until(t, now)
	}
	return ago(t, now)
}

// span writes a duration in its two largest units, such as "4 min 10 s".
func span(d time.Duration) string {
	units := []struct {
		name string
		size time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"min", time.Minute}, {"s", time.Second}}
	for i, u := range units {
		if d < u.size {
			continue
		}
		text := fmt.Sprintf("%d %s", d/u.size, u.name)
		if i+1 < len(units) {
			if rest := d % u.size / units[i+1].size; rest > 0 {
				text += fmt.Sprintf(" %d %s", rest, units[i+1].name)
			}
		}
		return text
	}
	return took(d)
}

// took writes how long something took, with three digits, such as "1.21 s".
func took(d time.Duration) string {
	switch {
	case d >= time.Minute:
		return span(d)
	case d >= time.Second:
		return strconv.FormatFloat(d.Seconds(), 'g', 3, 64) + " s"
	case d > 0 && d < time.Millisecond:
		return "< 1 ms"
	default:
		return strconv.FormatInt((d+time.Millisecond/2).Milliseconds(), 10) + " ms"
	}
}

// shortID cuts a long id in the middle.
func shortID(id string) string {
	const most, head, tail = 20, 12, 6
	if len(id) <= most {
		return id
	}
	return id[:head] + "…" + id[len(id)-tail:]
}

// codeText writes an HTTP status with its text, such as "503 Service Unavailable".
func codeText(code int) string {
	return strings.TrimSpace(strconv.Itoa(code) + " " + http.StatusText(code))
}
