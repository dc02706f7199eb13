package hooks_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
)

type secretExample struct{}

func (secretExample) MarshalJSON() ([]byte, error) { panic("no example") }

type chanExample struct{ C chan int }

func TestRegisterRefusesDeclarations(t *testing.T) {
	for name, c := range map[string]struct {
		types []hooks.AnyEventType
		field string
	}{
		"no type":                        {[]hooks.AnyEventType{nil}, "EventType"},
		"a nil pointer to one":           {[]hooks.AnyEventType{(*hooks.EventType[kit.Invoice])(nil)}, "EventType"},
		"an empty name":                  {[]hooks.AnyEventType{hooks.EventType[kit.Invoice]{}}, "EventType.Name"},
		"a name of the library's own":    {[]hooks.AnyEventType{hooks.EventType[kit.Invoice]{Name: "hooks.delivery.failed"}}, "EventType.Name"},
		"a description of two lines":     {[]hooks.AnyEventType{hooks.EventType[kit.Invoice]{Name: "a", Description: "a\nb"}}, "EventType.Description"},
		"an example that is no JSON":     {[]hooks.AnyEventType{hooks.EventType[json.RawMessage]{Name: "a", Example: json.RawMessage("{")}}, "EventType.Example"},
		"an example that cannot be":      {[]hooks.AnyEventType{hooks.EventType[chanExample]{Name: "a", Example: chanExample{make(chan int)}}}, "EventType.Example"},
		"another Go type":                {[]hooks.AnyEventType{hooks.EventType[string]{Name: "invoice.paid"}}, "EventType.Name"},
		"another description":            {[]hooks.AnyEventType{hooks.EventType[kit.Invoice]{Name: "invoice.paid", Description: "x"}}, "EventType.Name"},
		"one name twice in one call":     {[]hooks.AnyEventType{hooks.EventType[string]{Name: "a"}, hooks.EventType[int]{Name: "a"}}, "EventType.Name"},
		"one that is refused at the end": {[]hooks.AnyEventType{hooks.EventType[string]{Name: "a"}, hooks.EventType[int]{Name: "!"}}, "EventType.Name"},
	} {
		t.Run(name, func(t *testing.T) {
			h := kit.New(t, hooks.Config{})
			kit.WantInvalid(t, h.Register(c.types...), c.field, nil, "")
			if got := applicationTypes(h.Types()); len(got) != 1 {
				t.Errorf("types %+v are registered; want invoice.paid alone", got)
			}
		})
	}
}

// applicationTypes leaves out the library's own types.
func applicationTypes(types []hooks.TypeInfo) []hooks.TypeInfo {
	return slices.DeleteFunc(types, func(t hooks.TypeInfo) bool { return strings.HasPrefix(t.Name, "hooks.") })
}

func TestAnExampleThatPanics(t *testing.T) {
	h := kit.New(t, hooks.Config{})
	type wrapped struct {
		S *secretExample
	}
	err := h.Register(hooks.EventType[wrapped]{Name: "a", Example: wrapped{&secretExample{}}})
	kit.WantInvalid(t, err, "EventType.Example", nil, "did not return")
}

func TestTypes(t *testing.T) {
	h := kit.New(t, hooks.Config{})
	err := h.Register(hooks.EventType[kit.Invoice]{Name: "a.b", Private: true, Description: "for us", Example: kit.Invoice{Number: 7}},
		hooks.EventType[kit.Invoice]{Name: "a.b", Private: true, Description: "for us", Example: kit.Invoice{Number: 7}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(applicationTypes(h.Types()))
	want := `[{"name":"a.b","private":true,"description":"for us","example":{"number":7}},{"name":"invoice.paid"}]`
	if err != nil || string(got) != want {
		t.Errorf("Types = %s, %v; want %s", got, err, want)
	}
}

// A private type reaches handlers, whatever the patterns of endpoints say, and no text
// for who typed a pattern names it.
func TestPrivateTypesReachHandlersOnly(t *testing.T) {
	ctx := context.Background()
	h := kit.New(t, hooks.Config{})
	audited := hooks.EventType[kit.Invoice]{Name: "audit.entry", Private: true}
	if err := h.Register(audited); err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"audit.entry", "audit.*", "audit.**"} {
		_, err := h.PutEndpoint(ctx, hooks.Endpoint{ID: "crm", URL: "https://example.com", Events: []string{pattern}})
		kit.WantInvalid(t, err, "Endpoint.Events", hooks.ErrNoMatch, "mend the pattern")
	}
	_, err := h.PutEndpoint(ctx, hooks.Endpoint{ID: "crm", URL: "https://example.com", Events: []string{"order.*"}})
	if e, ok := errors.AsType[*hooks.InvalidError](err); !ok || strings.Contains(err.Error(), "audit") || !strings.Contains(e.Detail, "audit.entry") {
		t.Errorf("PutEndpoint with another pattern = %q, Detail %q; want the private type in Detail alone", err, e.Detail)
	}
	if _, err := h.PutEndpoint(ctx, hooks.Endpoint{ID: "all", URL: "https://example.com", Events: []string{"**"}}); err != nil {
		t.Fatal(err)
	}
	if err := h.Subscribe(audited.Handler("auditor", func(context.Context, hooks.Event, kit.Invoice) error { return nil })); err != nil {
		t.Fatal(err)
	}
	if r, err := h.Publish(ctx, audited.New(kit.Invoice{Number: 1})); err != nil || r.Deliveries != 1 {
		t.Errorf("Publish = %+v, %v; want one delivery, the handler's", r, err)
	}
}
