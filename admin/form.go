package admin

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"example.com/hooks"
)

// A form is what the fields of a page's form show. After a form was refused, these are the
// values that somebody typed, with what is wrong beside them.
type form struct {
	Values url.Values
	Wrong  map[string]string // by the name of the field; "" is the form as a whole
	Stored map[string]string // after a conflict, by name: what is stored now where it differs
}

// Value returns what a field shows.
func (f form) Value(name string) string { return f.Values.Get(name) }

// Is reports whether a field has a value.
func (f form) Is(name, value string) bool { return f.Values.Get(name) == value }

// StoredNow returns what is stored of a field, if that differs from what it shows.
func (f form) StoredNow(name string) string {
	stored, differs := f.Stored[name]
	if differs && stored == "" {
		return "nothing"
	}
	return stored
}

// refuse notes what is wrong with a field.
func (f *form) refuse(name, text string) {
	if f.Wrong == nil {
		f.Wrong = make(map[string]string)
	}
	f.Wrong[name] = text
}

// refuseError notes an error of hooks beside the field that it is about, if the form has
// one, and returns the status to answer with. prefix is what the fields are called in
// errors, such as "Endpoint.".
func (c *call) refuseError(f *form, err error, prefix string, names ...string) (status int) {
	p := asProblem(err, c.access.AllTenants)
	if field, ok := strings.CutPrefix(p.Field, prefix); ok {
		for _, name := range names {
			if strings.EqualFold(name, field) {
				f.refuse(name, p.Detail)
				return p.Status
			}
		}
	}
	f.refuse("", p.Detail)
	return p.Status
}

// form returns the fields of a form that was sent.
func (c *call) form() (url.Values, error) {
	if err := c.r.ParseForm(); err != nil {
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			return nil, err
		}
		return nil, badRequest("", "The form cannot be read. Go back and send it again.")
	}
	return c.r.PostForm, nil
}

// answer shows a page with a form that was refused because of why, and returns why, so that
// the audit is told of it.
func (c *call) answer(status int, p page, why error) error {
	if err := c.pageStatus(status, p); err != nil {
		return err
	}
	return why
}

// notices are what came of a form, by the parameter "did" of the address to which the
// browser was sent. The texts are fixed, because anybody can make such an address.
var notices = map[string]notice{
	"changed":  {"succeeded", "", "Saved.", "What waits is sent by the new settings."},
	"imported": {"succeeded", "", "The secret was imported.", "The one before signs beside it for as long as you chose."},
	"verified": {"succeeded", "", "Verified.", "The endpoint has answered the challenge. What was held is sent now."},
	"disabled": {"disabled", "", "Disabled.", "What is due is held from now on."},
	"enabled":  {"succeeded", "", "Enabled.", "What is due is sent now."},
	"deleted":  {"succeeded", "", "The endpoint was deleted.", "What waited for it is canceled."},
	"handler":  {"succeeded", "", "The handler was deleted.", "What waited for it is canceled."},
}

// notice returns the notice that the address says, or nil.
func (c *call) notice() *notice {
	n, ok := notices[c.values.Get("did")]
	if !ok {
		return nil
	}
	return &n
}

// receives reports whether one of a subscriber's patterns matches a type, by the rules of
// [hooks.Endpoint].Events.
func receives(patterns []string, typ string) bool {
	for _, p := range patterns {
		if matches(p, typ) {
			return true
		}
	}
	return false
}

// isOwn reports whether a type, or a pattern, is one of the library's own.
func isOwn(name string) bool { return strings.HasPrefix(name, "hooks.") }

// ownLast puts the library's own types after those of the application.
func ownLast(types []hooks.TypeInfo) []hooks.TypeInfo {
	own := slices.DeleteFunc(slices.Clone(types), func(t hooks.TypeInfo) bool { return !isOwn(t.Name) })
	others := slices.DeleteFunc(slices.Clone(types), func(t hooks.TypeInfo) bool { return isOwn(t.Name) })
	return append(others, own...)
}

func matches(pattern, typ string) bool {
	if isOwn(typ) && !isOwn(pattern) {
		return false
	}
	want, have := strings.Split(pattern, "."), strings.Split(typ, ".")
	for i, segment := range want {
		switch {
		case i >= len(have):
			return false
		case segment == "**":
			return true
		case segment != "*" && segment != have[i]:
			return false
		}
	}
	return len(want) == len(have)
}
