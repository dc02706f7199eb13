package admin

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"

	"example.com/hooks"
)

// A compareData is what the page shows that compares two attempts at a delivery.
type compareData struct {
	hooks.Delivery
	Old, New     attemptRow
	From, To     string       // what the two are called
	Facts        []difference // of the attempts themselves
	Header       []difference
	Body         []difference // of bodies that are JSON
	Lines        []diffLine   // of other bodies
	JSON         bool         // both bodies are JSON
	Rewritten    bool         // the bodies have other bytes and say the same
	Cut          bool         // of a body only the beginning was kept or compared
	Newer, Older string       // addresses of the same page for the neighbours; empty: there are none
}

// comparePage shows in what two attempts at a delivery differ. The address names them by run
// and number; without them they are the newest two.
func (c *call) comparePage() error {
	d, _, err := c.deliveryAndEvent()
	if err != nil {
		return err
	}
	attempts, err := c.view.Attempts(c.r.Context(), d.DeliveryID)
	if err != nil {
		return err
	}
	if len(attempts) < 2 {
		return &problem{Status: http.StatusConflict, Detail: "There are not two attempts to compare yet."}
	}
	at := len(attempts) - 1
	if name := c.values.Get("attempt"); name != "" {
		if at, err = attemptAt(attempts, name); err != nil {
			return err
		}
	}
	with := max(at-1, 0)
	if name := c.values.Get("with"); name != "" {
		if with, err = attemptAt(attempts, name); err != nil {
			return err
		}
	}
	data := c.compare(d, attempts[with], attempts[at])
	if at > 1 {
		data.Older = compareAddress(d, attempts[at-1], attempts[at-2])
	}
	if at+1 < len(attempts) {
		data.Newer = compareAddress(d, attempts[at+1], attempts[at])
	}
	data.From, data.To = attemptWords(attempts[with], d), attemptWords(attempts[at], d)
	title := "Attempt " + data.To + " with " + data.From
	return c.page(page{Name: "compare", Nav: "Deliveries", Title: title, Data: data})
}

// attemptWords names an attempt, with its run if there are several.
func attemptWords(a hooks.Attempt, d hooks.Delivery) string {
	if d.Run > 1 {
		return fmt.Sprintf("%d of run %d", a.Number, a.Run)
	}
	return fmt.Sprint(a.Number)
}

// attemptAt returns where the attempt is that an address names.
func attemptAt(attempts []hooks.Attempt, name string) (int, error) {
	a, err := chooseAttempt(attempts, name)
	if err != nil {
		return 0, err
	}
	for i := range attempts {
		if &attempts[i] == a {
			return i, nil
		}
	}
	panic("chooseAttempt returns one of the attempts")
}

// compareAddress returns the address of the page that compares an attempt with an older one.
func compareAddress(d hooks.Delivery, a, with hooks.Attempt) string {
	return "deliveries/" + d.DeliveryID.String() + "/compare?attempt=" + attemptName(a) + "&with=" + attemptName(with)
}

// compare finds in what two attempts differ, as far as the user may see it.
func (c *call) compare(d hooks.Delivery, old, now hooks.Attempt) compareData {
	data := compareData{Delivery: d, Old: c.attemptRow(old), New: c.attemptRow(now), Cut: old.BodyCut || now.BodyCut}
	data.Facts = c.compareFacts(old, now)
	data.Header = compareHeaders(c.shownHeader(old.Header), c.shownHeader(now.Header))
	a, b := c.redact(d.Type, old.Body), c.redact(d.Type, now.Body)
	first, ok := readJSON(a)
	second, ok2 := readJSON(b)
	if data.JSON = ok && ok2; data.JSON {
		data.Body = diffJSON(first, second)
		for i := range data.Body {
			diff := &data.Body[i]
			diff.Place, diff.Old, diff.New = visible(diff.Place), visible(diff.Old), visible(diff.New)
		}
		data.Rewritten = len(data.Body) == 0 && !bytes.Equal(a, b)
		return data
	}
	data.Cut = data.Cut || max(len(a), len(b)) > mostShown
	data.Lines = onlyDifferent(diffLines(shownText(a), shownText(b)))
	return data
}

func (c *call) attemptRow(a hooks.Attempt) attemptRow {
	return attemptRow{Attempt: a, Name: attemptName(a), Result: resultOf(a), Timings: timings(a)}
}

// shownText returns a body as a page shows it, and no more than that.
func shownText(body []byte) string { return visible(string(body[:min(len(body), mostShown)])) }

// compareFacts compares what is known of two attempts.
func (c *call) compareFacts(old, now hooks.Attempt) (list []difference) {
	add := func(name, a, b string) {
		if a != b {
			list = append(list, difference{name, a, b, a != "", b != ""})
		}
	}
	add("Result", resultOf(old), resultOf(now))
	add("URL", visible(old.URL), visible(now.URL))
	add("Took", took(old.Took), took(now.Took))
	if old.URL != "" && now.URL != "" {
		for _, p := range phases[:len(phases)-1] {
			add(p.name, took(p.of(old)), took(p.of(now)))
		}
	}
	if old.RetryAfter != now.RetryAfter {
		add("Asked to wait", span(old.RetryAfter), span(now.RetryAfter))
	}
	if c.access.AllTenants {
		add("Process", visible(old.Instance), visible(now.Instance))
	}
	return list
}

// compareHeaders compares two headers, field by field.
func compareHeaders(old, now http.Header) []difference {
	return diffFields(fieldTexts(old), fieldTexts(now))
}

// fieldTexts returns the values of each field in one text.
func fieldTexts(h http.Header) map[string]string {
	texts := make(map[string]string)
	for name, values := range h {
		texts[visible(name)] = visible(strings.Join(values, ", "))
	}
	return texts
}
