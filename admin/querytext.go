package admin

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"example.com/hooks"
)

// queryValues returns the parameters of an address that says a query, as [parseQuery] reads
// them; without those that say which page of a list.
func queryValues(q hooks.Query) url.Values {
	v := make(url.Values)
	for name, value := range map[string]string{"event": q.Event, "subscriber": q.Subscriber, "tenant": q.Tenant, "key": q.Key} {
		if value != "" {
			v.Set(name, value)
		}
	}
	for name, list := range map[string][]string{"type": q.Types, "error": classNames(q.Errors), "code": texts(q.Codes), "status": texts(q.Statuses), "reason": texts(q.Reasons)} {
		if len(list) > 0 {
			v[name] = list
		}
	}
	for name, t := range map[string]time.Time{"from": q.From, "to": q.To} {
		if !t.IsZero() {
			v.Set(name, t.UTC().Format(time.RFC3339Nano))
		}
	}
	return v
}

// classNames returns classes of failure as an address says them.
func classNames(classes []string) (names []string) {
	for _, class := range classes {
		names = append(names, cmp.Or(class, noClass))
	}
	return names
}

// codeNames returns HTTP statuses for people.
func codeNames(codes []int) (names []string) {
	for _, code := range codes {
		name := "no response"
		if code != 0 {
			name = codeText(code)
		}
		names = append(names, name)
	}
	return names
}

func texts[T any](list []T) (all []string) {
	for _, v := range list {
		all = append(all, fmt.Sprint(v))
	}
	return all
}

// queryFacts says what a query selects, one condition each, as whoever has the access reads
// it: a customer knows whose rows they are.
func queryFacts(q hooks.Query, a Access, now time.Time) (facts []setting) {
	if !a.AllTenants {
		q.Tenant = ""
	}
	for _, f := range []setting{
		{"Status", strings.Join(texts(q.Statuses), ", ")},
		{a.receiverHead(), q.Subscriber},
		{"Tenant", q.Tenant},
		{"Type", strings.Join(q.Types, ", ")},
		{"Class", strings.Join(classNames(q.Errors), ", ")},
		{"Code", strings.Join(codeNames(q.Codes), ", ")},
		{"Reason", strings.Join(texts(q.Reasons), ", ")},
		{"Event", q.Event},
		{"Key", q.Key},
		{"Published", timesText(q, now)},
	} {
		if f.Value != "" {
			facts = append(facts, f)
		}
	}
	return facts
}

// timesText says when what a query selects was stored.
func timesText(q hooks.Query, now time.Time) string {
	var parts []string
	if !q.From.IsZero() {
		parts = append(parts, "since "+stamp(q.From, now))
	}
	if !q.To.IsZero() {
		parts = append(parts, "before "+stamp(q.To, now))
	}
	return strings.Join(parts, ", ")
}

// queryText says what a query selects in a line, to whoever has the access, such as "failed, crm-sync, since 1 Nov 09:00".
func queryText(q hooks.Query, a Access, now time.Time) string {
	var words []string
	for _, f := range queryFacts(q, a, now) {
		words = append(words, f.Value)
	}
	return cmp.Or(strings.Join(words, ", "), "everything")
}

// rateText writes a rate, such as "50 a second".
func rateText(r hooks.Rate) string {
	i := slices.IndexFunc(ratePers, func(p ratePer) bool { return p.size == r.Per })
	if i < 0 {
		return number(r.N) + " in " + span(r.Per)
	}
	return number(r.N) + " " + ratePers[i].Name
}

// A ratePer is the time of a rate, as the form offers it.
type ratePer struct {
	Value, Name string
	size        time.Duration
}

var ratePers = []ratePer{{"s", "a second", time.Second}, {"min", "a minute", time.Minute}, {"h", "an hour", time.Hour}}

// rateTime says how long n rows take at a rate; empty if the rate is none.
func rateTime(n int, r hooks.Rate) string {
	if r.N <= 0 {
		return ""
	}
	return span(max((time.Duration(n) * (r.Per / time.Duration(r.N))).Round(time.Second), time.Second))
}
