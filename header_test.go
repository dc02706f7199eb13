package hooks_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"example.com/hooks"
)

func TestHeaderValuesDoNotPrint(t *testing.T) {
	h := hooks.Header{"X-A": "topsecret", "X-B": "topsecret"}
	e := hooks.Endpoint{ID: "crm", Header: h}
	outputs := map[string]string{"String": h.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		outputs[verb] = fmt.Sprintf(verb, h)
		outputs[verb+" of its endpoint"] = fmt.Sprintf(verb, e)
		outputs[verb+" of a pointer"] = fmt.Sprintf(verb, &e)
	}
	for name, v := range map[string]any{"header": h, "endpoint": e, "pointer": &e} {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		outputs["JSON of the "+name] = string(data)
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", v)
		outputs["slog of the "+name] = log.String()
	}
	for name, got := range outputs {
		if strings.Contains(got, "topsecret") || strings.Contains(got, fmt.Sprintf("%x", "topsecret")) || !strings.Contains(got, "X-A") {
			t.Errorf("%s = %s; want the names without the values", name, got)
		}
	}
	if got := fmt.Sprint(hooks.Header(nil)); got != "map[]" {
		t.Errorf("nil prints as %q; want map[]", got)
	}
	if data, err := json.Marshal(hooks.Header(nil)); err != nil || string(data) != "null" {
		t.Errorf("nil as JSON = %s, %v; want null", data, err)
	}
}
