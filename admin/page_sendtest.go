package admin

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"example.com/hooks"
)

// A testForm sends a test event to an endpoint.
type testForm struct {
	form
	Receives, Others []hooks.TypeInfo // types: those of the endpoint's patterns, and the rest
	Example          bool             // the data is the type's example
	Result           *testResult      // nil: none was sent
}

// A testResult is what came of a test.
type testResult struct {
	hooks.Attempt
	Shown shownBody
}

// Types reports whether there is any type to send.
func (f testForm) Types() bool { return len(f.Receives)+len(f.Others) > 0 }

// newTestForm returns the form filled with the example of a type that the endpoint receives.
func newTestForm(types []hooks.TypeInfo, patterns []string) (f testForm) {
	for _, t := range ownLast(types) {
		switch {
		case t.Private:
		case receives(patterns, t.Name):
			f.Receives = append(f.Receives, t)
		default:
			f.Others = append(f.Others, t)
		}
	}
	all := slices.Concat(f.Receives, f.Others)
	if len(all) == 0 {
		return f
	}
	first := slices.IndexFunc(all, func(t hooks.TypeInfo) bool { return t.Example != nil })
	f.fill(all[max(first, 0)].Name)
	return f
}

// fill puts the example of a type into the form.
func (f *testForm) fill(typ string) {
	example := f.example(typ)
	f.Example = example != ""
	f.Values = url.Values{"type": {typ}, "filled": {typ}, "data": {example}}
	if example == "" {
		f.Values.Set("data", "{}")
	}
}

// example returns the example of a type as the form shows it; empty if there is none.
func (f *testForm) example(typ string) string {
	for _, t := range slices.Concat(f.Receives, f.Others) {
		if t.Name == typ && t.Example != nil {
			return indent(t.Example)
		}
	}
	return ""
}

// indent returns JSON as people read it. Numbers stay as they are written.
func indent(data json.RawMessage) string {
	var b bytes.Buffer
	if err := json.Indent(&b, data, "", "  "); err != nil {
		return string(data)
	}
	return b.String()
}

// take puts what was sent into the form. If somebody chose another type and left the
// example of the one before as it was, they want the example of the one they chose.
func (f *testForm) take(values url.Values) {
	typ, filled := values.Get("type"), values.Get("filled")
	data := strings.ReplaceAll(values.Get("data"), "\r\n", "\n")
	if typ != filled && (data == f.example(filled) || data == "{}") {
		f.fill(typ)
		return
	}
	f.Example = data == f.example(typ)
	f.Values = url.Values{"type": {typ}, "filled": {filled}, "data": {data}}
}

// sendTest sends a test event and shows the endpoint again, with what came of it.
func (c *call) sendTest() error {
	values, err := c.form()
	if err != nil {
		return err
	}
	for _, name := range []string{"id", "time"} {
		if values.Has(name) { // a receiver would take it for the real event of that id
			return badRequest(name, "A test cannot choose it; leave it out.")
		}
	}
	d, err := c.endpointData()
	if err != nil {
		return err
	}
	d.Test.take(values)
	typ := d.Test.Value("type")
	ev := hooks.Event{Type: typ, Data: json.RawMessage(d.Test.Value("data"))}
	a, err := c.view.SendTest(c.r.Context(), d.ID, ev)
	if err != nil {
		status := c.refuseError(&d.Test.form, err, "Event.", "type", "data")
		return c.refused(d, status, err)
	}
	d.Test.Result = &testResult{a, c.show(typ, a.Body)}
	return c.pageStatus(http.StatusOK, d.page(false, nil))
}

// fillExample shows the endpoint again, with the example of the chosen type in the form.
// Nothing is sent or changed. Without script a form can do that only by a button.
func (c *call) fillExample() error {
	values, err := c.form()
	if err != nil {
		return err
	}
	d, err := c.endpointData()
	if err != nil {
		return err
	}
	d.Test.fill(values.Get("type"))
	return c.page(d.page(false, nil))
}

// OK reports whether the receiver took it.
func (r testResult) OK() bool { return r.Error == "" }

// Timings says how long the parts of the attempt took; empty if it had no response.
func (r testResult) Timings() string {
	if r.Wait == 0 {
		return ""
	}
	if r.Connect == 0 {
		return "connection kept · wait " + took(r.Wait)
	}
	return "dns " + took(r.DNS) + " · connect " + took(r.Connect) + " · tls " + took(r.TLS) + " · wait " + took(r.Wait)
}
