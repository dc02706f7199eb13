package admin_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/admin"
	"example.com/hooks/internal/kit"
)

func TestDiffJSON(t *testing.T) {
	type diffs = []admin.Difference
	for _, c := range []struct {
		a, b string
		want diffs
	}{
		{`{}`, `{}`, nil},
		{`{"a":1,"b":[1,2]}`, ` { "b" : [1, 2], "a" : 1 } `, nil},
		{`{"a":1}`, `{"a":2}`, diffs{{"a", "1", "2"}}},
		{`{"a":9007199254740993}`, `{"a":9007199254740992}`, diffs{{"a", "9007199254740993", "9007199254740992"}}},
		{`{"a":1}`, `{"b":1}`, diffs{{"a", "1", ""}, {"b", "", "1"}}},
		{`{"a":{"b":{"c":true}}}`, `{"a":{"b":{"c":null}}}`, diffs{{"a.b.c", "true", "null"}}},
		{`{"a":[1,2,3]}`, `{"a":[1,9,3]}`, diffs{{"a[1]", "2", "9"}}},
		{`{"a":[2,3]}`, `{"a":[1,2,3]}`, diffs{{"a[0]", "", "1"}}},
		{`{"a":[{"id":1},{"id":2}]}`, `{"a":[{"id":1},{"id":3}]}`, diffs{{"a[1].id", "2", "3"}}},
		{`{"a":[1,2]}`, `{"a":[1]}`, diffs{{"a[1]", "2", ""}}},
		{`{"a":{}}`, `{"a":[]}`, diffs{{"a", "{}", "[]"}}},
		{`1`, `"1"`, diffs{{"the whole body", "1", `"1"`}}},
		{`{"a b":1,"":1}`, `{"a b":2,"":2}`, diffs{{`[""]`, "1", "2"}, {`["a b"]`, "1", "2"}}},
		{`{"a":"<b>"}`, `{"a":"&"}`, diffs{{"a", `"<b>"`, `"&"`}}},
	} {
		if got, ok := admin.DiffJSON(c.a, c.b); !ok || !slices.Equal(got, c.want) {
			t.Errorf("DiffJSON(%s, %s) = %v, %t; want %v", c.a, c.b, got, ok, c.want)
		}
	}
	for _, text := range []string{"", "no json", "{}{}", `{"a":`, strings.Repeat("[", 100) + strings.Repeat("]", 100)} {
		if _, ok := admin.DiffJSON(text, "{}"); ok {
			t.Errorf("DiffJSON(%q, {}) took it for JSON", text)
		}
	}
}

// Two values have no difference exactly if they are equal, and from the second to the first
// each difference is the other way round.
func FuzzDiffJSON(f *testing.F) {
	for _, text := range []string{`{}`, `{"a":[1,2,{"b":null}]}`, `[1,2,3]`, `"x"`, `9007199254740993`, `{"a.b":1,"a":{"b":1}}`} {
		f.Add(text, `{"a":[1,{"b":2}]}`)
		f.Add(text, text)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		there, ok := admin.DiffJSON(a, b)
		if !ok {
			t.Skip()
		}
		if equal := reflect.DeepEqual(decode(a), decode(b)); equal != (len(there) == 0) {
			t.Errorf("DiffJSON(%q, %q) = %v; want none: %t", a, b, there, equal)
		}
		back, _ := admin.DiffJSON(b, a)
		if len(back) != len(there) {
			t.Fatalf("DiffJSON of %q and %q has %d differences, and the other way round %d", a, b, len(there), len(back))
		}
		for i, d := range there {
			if want := (admin.Difference{Place: d.Place, Old: d.New, New: d.Old}); back[i] != want {
				t.Errorf("the other way round difference %d is %v; want %v", i, back[i], want)
			}
		}
	})
}

// decode reads JSON with numbers as they are written.
func decode(text string) (value any) {
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	_ = d.Decode(&value) // it was decoded before
	return value
}

func TestDiffLines(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want []string
	}{
		{"", "", nil},
		{"a", "a", []string{" a"}},
		{"a\nb\nc", "a\nc", []string{" a", "-b", " c"}},
		{"a\nc", "a\nb\nc", []string{" a", "+b", " c"}},
		{"a\nb", "a\nx", []string{" a", "-b", "+x"}},
		{"x\na\ny\nb", "a\nz\nb\nw", []string{"-x", " a", "-y", "+z", " b", "+w"}},
		{"", "a", []string{"+a"}},
	} {
		if got := admin.DiffLines(c.a, c.b); !slices.Equal(got, c.want) {
			t.Errorf("DiffLines(%q, %q) = %q; want %q", c.a, c.b, got, c.want)
		}
	}
}

// The lines with the signs " " and "-" are the first text, and those with " " and "+" the
// second, also where the texts are too long to be compared line by line.
func FuzzDiffLines(f *testing.F) {
	f.Add("a\nb", "b\nc")
	f.Add("", "\n")
	f.Add(strings.Repeat("a\n", 600)+"x", "y\n"+strings.Repeat("b\n", 600))
	f.Fuzz(func(t *testing.T, a, b string) {
		if len(a) > 4096 || len(b) > 4096 {
			t.Skip()
		}
		lines := admin.DiffLines(a, b)
		if got := side(lines, "-"); got != a {
			t.Errorf("DiffLines(%q, %q) has the first text %q", a, b, got)
		}
		if got := side(lines, "+"); got != b {
			t.Errorf("DiffLines(%q, %q) has the second text %q", a, b, got)
		}
		if a == b && slices.ContainsFunc(lines, func(l string) bool { return l[0] != ' ' }) {
			t.Errorf("DiffLines(%q, itself) = %q; want no difference", a, lines)
		}
	})
}

// side puts one of the two texts together.
func side(lines []string, sign string) string {
	var list []string
	for _, l := range lines {
		if strings.HasPrefix(l, " ") || strings.HasPrefix(l, sign) {
			list = append(list, l[1:])
		}
	}
	return strings.Join(list, "\n")
}

// retried returns a desk with two attempts at evt_1.crm, whose responses the caller chooses.
func retried(t *testing.T, ac admin.Config, answers ...func(*desk)) *desk {
	t.Helper()
	d := newDesk(t, hooks.Config{}, ac)
	d.put("crm", "/503", func(e *hooks.Endpoint) { e.Retry = slices.Repeat([]time.Duration{time.Minute}, len(answers)) })
	kit.StartInBubble(t, d.h)
	for i, answer := range answers {
		d.mu.Lock()
		answer(d)
		d.mu.Unlock()
		if i == 0 {
			d.publish("evt_1")
			continue
		}
		time.Sleep(2 * time.Minute)
	}
	return d
}

func TestCompareTwoAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := retried(t, admin.Config{}, func(d *desk) {
			d.header.Set("X-Node", "a")
			d.header.Set("Set-Cookie", "session=1")
			d.body = `{"error":{"code":7,"id":9007199254740993},"at":[1,2]}`
		}, func(d *desk) {
			d.header.Set("X-Node", "b")
			d.header.Set("Set-Cookie", "session=2")
			d.body = `{"at":[1,2], "error":{"id":9007199254740992,"code":7}}`
		})
		d.get("/deliveries/evt_1.crm").says("Compare 2 with 1").has(`href="../deliveries/evt_1.crm/compare?attempt=1.2&amp;with=1.1"`, `data-key="d"`)
		s := d.get("/deliveries/evt_1.crm/compare?attempt=1.2&with=1.1").is(200)
		s.says("Attempt 2 with 1", "They had the same result", "Set-Cookie session=1 session=2 changed", "X-Node a b changed",
			"error.id 9007199254740993 9007199254740992 changed").hides("error.code", "at[")
		if newest := d.get("/deliveries/evt_1.crm/compare"); newest.text != s.text {
			t.Errorf("without attempts the page says %q; want the newest two: %q", newest.text, s.text)
		}
		d.get("/deliveries/evt_1.crm/compare?attempt=1.7").is(404)
		d.get("/deliveries/evt_1.crm/compare?attempt=1.2&with=x").is(404)
		d.as(admin.View, "acme")
		d.get("/deliveries/evt_1.crm/compare").says("X-Node a b").hides("session", "Process")
	})
}

func TestCompareBodiesThatAreNoJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := retried(t, admin.Config{}, func(d *desk) { d.body = "one\n<b>two</b>\nthree" }, func(d *desk) { d.body = "one\n2\nthree" })
		d.get("/deliveries/evt_1.crm/compare").has(`<span class="gone">- &lt;b&gt;two&lt;/b&gt;</span>`, `<span class="new">&#43; 2</span>`).
			hides("three")
	})
}

func TestCompareSaysWhatIsOnlyWrittenDifferently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := retried(t, admin.Config{}, func(d *desk) { d.body = `{"a":1,"b":2}` }, func(d *desk) { d.body = `{"b":2,"a":1}` })
		d.get("/deliveries/evt_1.crm/compare").says("They say the same. Only white space, the order of keys")
	})
}

// What Redact hides is hidden before bodies are compared: not even a difference tells of it.
func TestCompareRedactsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := retried(t, admin.Config{Redact: func(string, []byte) []byte { return []byte(`{"masked":true}`) }},
			func(d *desk) { d.body = `{"card":"4111"}` }, func(d *desk) { d.body = `{"card":"4222"}` })
		d.get("/deliveries/evt_1.crm/compare").says("Bodies of the responses They are the same.").hides("4111", "4222", "card")
	})
}

func TestCompareNeedsTwoAttempts(t *testing.T) {
	d := newDesk(t, hooks.Config{}, admin.Config{})
	d.put("crm", "/200")
	d.publish("evt_1")
	d.get("/deliveries/evt_1.crm").hides("Compare")
	d.get("/deliveries/evt_1.crm/compare").is(409).says("There are not two attempts to compare yet.")
}

// Attempts of several runs are named with their run.
func TestCompareOverRuns(t *testing.T) {
	d := newDesk(t, hooks.Config{}, admin.Config{})
	d.put("crm", "/503", once)
	d.publish("evt_1")
	id := hooks.DeliveryID{Event: "evt_1", Subscriber: "crm"}
	for range 2 {
		if _, err := d.h.Replay(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		d.flush()
	}
	d.get("/deliveries/evt_1.crm").says("Compare 1 of run 3 with 1 of run 2")
	d.get("/deliveries/evt_1.crm?attempt=2.1").says("Compare 1 of run 2 with 1 of run 1")
	d.get("/deliveries/evt_1.crm/compare?attempt=2.1&with=1.1").says("Attempt 1 of run 2 with 1 of run 1", "The two after").hides("The two before")
	d.get(fmt.Sprintf("/deliveries/%s/compare", id)).says("Attempt 1 of run 3 with 1 of run 2", "The two before").hides("The two after")
}
