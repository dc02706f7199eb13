package admin

import (
	"maps"
	"net/url"
	"slices"
	"strings"
)

// A filter is what the address of a list says, as its form shows it.
type filter struct {
	Path   string     // of the list
	values url.Values // what selects rows; nothing is empty
	fields []string   // parameters that the form has a field for
}

// perPage are parameters that say which rows of the selected ones to show, or nothing about
// rows at all.
var perPage = []string{"cursor", "limit", "did"}

// readFilter returns the filter that an address says. fields are the parameters that the
// form of the list has a field for.
func readFilter(path string, values url.Values, fields ...string) filter {
	f := filter{Path: path, values: make(url.Values), fields: fields}
	for name, list := range values {
		list = slices.DeleteFunc(slices.Clone(list), func(v string) bool { return v == "" })
		if len(list) > 0 && !slices.Contains(perPage, name) {
			f.values[name] = list
		}
	}
	return f
}

// Get returns the first value of a parameter.
func (f filter) Get(name string) string { return f.values.Get(name) }

// Has reports whether the form has a field for a parameter.
func (f filter) Has(name string) bool { return slices.Contains(f.fields, name) }

// IsSet reports whether the filter leaves out anything, the status aside.
func (f filter) IsSet() bool {
	for name := range f.values {
		if name != "status" && name != "order" {
			return true
		}
	}
	return false
}

// Query returns the filter as the query of an address.
func (f filter) Query() string { return f.values.Encode() }

// Action returns the address of the page that asks before an action is started with all
// rows.
func (f filter) Action(kind string) string {
	values := maps.Clone(f.values)
	values.Del("order")
	values.Set("kind", kind)
	return address("actions/new", values)
}

// With returns the address of the same list with another status; empty: any.
func (f filter) With(status string) string {
	values := maps.Clone(f.values)
	values.Del("status")
	if status != "" {
		values.Set("status", status)
	}
	return address(f.Path, values)
}

// Address returns the address of the list from its first row on.
func (f filter) Address() string { return address(f.Path, f.values) }

// A parameter is one name and value of an address.
type parameter struct{ Name, Value string }

// Kept returns what the filter says and its form has no field for. The form sends it along.
func (f filter) Kept() (list []parameter) {
	for _, name := range slices.Sorted(maps.Keys(f.values)) {
		if f.Has(name) {
			continue
		}
		for _, v := range f.values[name] {
			list = append(list, parameter{name, v})
		}
	}
	return list
}

// Words say what the filter selects, the status aside, such as "crm-sync, 7 days".
func (f filter) Words() string {
	var words []string
	for _, name := range []string{"type", "event", "key", "subscriber", "tenant", "error", "code", "reason"} {
		words = append(words, f.values[name]...)
	}
	for _, s := range sinces {
		if s.Value == f.Get("since") {
			words = append(words, s.Name)
		}
	}
	for _, name := range []string{"from", "to"} {
		if v := f.Get(name); v != "" {
			words = append(words, name+" "+v)
		}
	}
	return strings.Join(words, ", ")
}

// Sinces returns the times to choose from.
func (filter) Sinces() []since { return sinces }

// Classes returns the classes of failure to choose from.
func (filter) Classes() []string { return classes }

// classes are the classes of failure, as [hooks.Attempt] names them, and "lost".
var classes = []string{
	"status", "timeout", "dns", "connection refused", "connection reset", "connection closed", "unreachable", "tls", "certificate",
	"protocol", "destination not allowed", "proxy", "too many connections", "error", "panic", "goexit", "lost",
}

// withCursor returns the address of the page that follows, or nothing if there is none.
func withCursor(path string, values url.Values, next string) string {
	if next == "" {
		return ""
	}
	more := make(url.Values)
	maps.Copy(more, values)
	more.Del("did")
	more.Set("cursor", next)
	return address(path, more)
}

func address(path string, values url.Values) string {
	if len(values) == 0 {
		return path
	}
	return path + "?" + values.Encode()
}
