package admin_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"example.com/hooks/admin"
)

// An operation is what the document says of one method of one path.
type operation struct {
	ID       string `json:"operationId"`
	Summary  string `json:"summary"`
	Level    string `json:"x-level"`
	Operator bool   `json:"x-operator"`
}

// The document has the routes of the API, all of them and no others, with their levels.
func TestOpenAPIHasTheRoutes(t *testing.T) {
	s := newSite(t, nil)
	var doc struct {
		OpenAPI string `json:"openapi"`
		Paths   map[string]map[string]json.RawMessage
	}
	s.api(t, http.MethodGet, "openapi.json", "", 200, &doc)
	if doc.OpenAPI != "3.1.0" {
		t.Errorf("the document is OpenAPI %q; want 3.1.0", doc.OpenAPI)
	}
	described := make(map[string]operation)
	for path, methods := range doc.Paths {
		for method, text := range methods {
			var o operation
			if method == "parameters" {
				continue
			}
			if err := json.Unmarshal(text, &o); err != nil {
				t.Fatalf("%s %s: %v", method, path, err)
			}
			described[strings.ToUpper(method)+" api/v1"+path] = o
		}
	}
	seen := make(map[string]bool)
	for _, rt := range admin.Routes() {
		if !isAPI(rt) {
			continue
		}
		o, ok := described[name(rt)]
		if !ok {
			t.Errorf("openapi.json lacks %s", name(rt))
		}
		if o.Level != rt.Level.String() || o.Operator != rt.Operator {
			t.Errorf("openapi.json says of %s: level %s, operator %t; want %v, %t", name(rt), o.Level, o.Operator, rt.Level, rt.Operator)
		}
		if o.ID == "" || o.Summary == "" || seen[o.ID] {
			t.Errorf("openapi.json says of %s: %+v; want an id of its own and a summary", name(rt), o)
		}
		seen[o.ID] = true
		delete(described, name(rt))
	}
	for what := range described {
		t.Errorf("openapi.json has %s, which is no route", what)
	}
}
