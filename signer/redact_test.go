package signer_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"text/template"

	"example.com/hooks/signer"
)

// plainKey is easy to find in whatever form it leaks, and so is a seed that
// begins with it.
const plainKey = "supersecretsupersecret!!"

// leaks are the first bytes of plainKey as base64, text, hex, Go syntax,
// decimal, octal, binary and Unicode would show them.
var leaks = []string{
	"c3VwZX", "super", "7375706572", "73 75 70", "0x73, 0x75", "115 117 112", "115, 117",
	"163 165 160", "1110011 1110101", "U+0073",
}

func checkNoLeak(t *testing.T, what, got string) {
	t.Helper()
	for _, leak := range leaks {
		if strings.Contains(strings.ToLower(got), strings.ToLower(leak)) {
			t.Errorf("%s = %q; want nothing of the key in it", what, got)
		}
	}
}

// A redacting is a Secret or a KeyPair.
type redacting[K any] interface {
	fmt.Stringer
	slog.LogValuer
	MarshalText() ([]byte, error)
	Reveal() string
	Equal(K) bool
}

type exported[K any] struct{ Key K }

type unexported[K any] struct {
	key     K
	pointer *K
	slice   []K
	deep    map[string]struct{ k K }
}

func TestFormattingRedacts(t *testing.T) {
	s, pair := plainSecret(t), plainPair(t)
	testFormatting(t, s)
	testFormatting(t, pair)
	testFormatting(t, struct{ signer.Secret }{s})
	testFormatting(t, struct{ signer.KeyPair }{pair})
	testFormatting(t, signer.Signer{Secrets: list(s), KeyPairs: pairs(pair)})
	testFormatting(t, signer.Verifier{Secrets: list(s)})
}

func testFormatting[K any](t *testing.T, k K) {
	private := unexported[K]{k, &k, []K{k}, map[string]struct{ k K }{"k": {k}}}
	formats := []string{"", "%!", "%[2]v", "%*d"} // too few verbs, and mistakes
	for _, verb := range "vTtbcdoOqxXUeEfFgGsp" {
		for _, flags := range []string{"", "+", "#", " ", "-", "0", "60", ".3", "# 9.9"} {
			formats = append(formats, "%"+flags+string(verb))
		}
	}
	containers := map[string]any{
		"value": k, "pointer": &k, "slice": []K{k}, "array": [1]K{k},
		"map": map[string]K{"k": k}, "any": []any{k, &k},
		"exported field": exported[K]{k}, "pointer to exported field": &exported[K]{k},
		"unexported fields": private, "pointer to unexported fields": &private,
		"reflect.Value": reflect.ValueOf(private),
	}
	for name, container := range containers {
		for _, format := range formats {
			what := fmt.Sprintf("Sprintf(%q, %s of %T)", format, name, k)
			checkNoLeak(t, what, fmt.Sprintf(format, container))
		}
		checkNoLeak(t, fmt.Sprintf("Sprint(%s of %T)", name, k), fmt.Sprint(container))
	}
}

func TestPrintsAsRedacted(t *testing.T) {
	t.Run("Secret", func(t *testing.T) { testPrinting(t, plainSecret(t), "whsec_***") })
	t.Run("KeyPair", func(t *testing.T) { testPrinting(t, plainPair(t), "whsk_***") })
	t.Run("zero Secret", func(t *testing.T) { testPrinting(t, signer.Secret{}, "") })
	t.Run("zero KeyPair", func(t *testing.T) { testPrinting(t, signer.KeyPair{}, "") })
}

func testPrinting[K redacting[K]](t *testing.T, k K, redacted string) {
	marshal := func(encode func(any) ([]byte, error), v any) string {
		data, err := encode(v)
		if err != nil {
			t.Errorf("Marshal(%v) = %v", v, err)
		}
		return string(data)
	}
	var page strings.Builder
	parsed := template.Must(template.New("").Parse("{{.Key}}"))
	if err := parsed.Execute(&page, exported[K]{k}); err != nil {
		t.Fatal(err)
	}
	marshaled, _ := k.MarshalText()
	cases := []struct{ name, got, want string }{
		{"String", k.String(), "*"},
		{"MarshalText", string(marshaled), "*"},
		{"LogValue", k.LogValue().String(), "*"},
		{"%v", fmt.Sprintf("%v", k), "*"},
		{"%#v", fmt.Sprintf("%#v", k), "*"},
		{"%x", fmt.Sprintf("%x", k), "*"},
		{"%d of a pointer", fmt.Sprintf("%d", &k), "*"},
		{"%+v of a field", fmt.Sprintf("%+v", exported[K]{k}), "{Key:*}"},
		{"%v of a slice", fmt.Sprintf("%v", []K{k, k}), "[* *]"},
		{"an error", fmt.Errorf("with %v", k).Error(), "with *"},
		{"a template", page.String(), "*"},
		{"JSON", marshal(json.Marshal, k), `"*"`},
		{"JSON of a field", marshal(json.Marshal, exported[K]{k}), `{"Key":"*"}`},
		{"JSON of a pointer", marshal(json.Marshal, []*K{&k}), `["*"]`},
		{"XML of a field", marshal(xml.Marshal, exported[K]{k}), "<exported><Key>*</Key></exported>"},
	}
	for _, c := range cases {
		if want := strings.ReplaceAll(c.want, "*", redacted); c.got != want {
			t.Errorf("%s = %q; want %q", c.name, c.got, want)
		}
	}
	testLogging(t, k, redacted)
}

func testLogging[K any](t *testing.T, k K, redacted string) {
	for _, v := range []any{k, &k, exported[K]{k}, []K{k}} {
		var text, structured bytes.Buffer
		slog.New(slog.NewTextHandler(&text, nil)).Info("m", "k", v)
		slog.New(slog.NewJSONHandler(&structured, nil)).Info("m", "k", v)
		for _, got := range []string{text.String(), structured.String()} {
			if !strings.Contains(got, redacted) {
				t.Errorf("slog of %T = %q; want %s in it", v, got, redacted)
			}
			checkNoLeak(t, "slog", got)
		}
	}
}

// Printers and differs that work by reflection follow pointers.
func TestReflectionFindsNoKey(t *testing.T) {
	for _, k := range []any{plainSecret(t), plainPair(t)} {
		for _, field := range reflect.ValueOf(k).Fields() {
			if kind := field.Kind(); kind != reflect.Func {
				t.Errorf("a field of %T is a %v; want functions only, which hide what they hold", k, kind)
			}
		}
	}
}

func TestGobRefuses(t *testing.T) {
	for _, v := range []any{exported[signer.Secret]{plainSecret(t)}, exported[signer.KeyPair]{plainPair(t)}} {
		err := gob.NewEncoder(&bytes.Buffer{}).Encode(v)
		if err == nil || !strings.Contains(err.Error(), "Reveal") {
			t.Errorf("gob Encode(%T) = %v; want an error that names Reveal", v, err)
		}
	}
}

func TestUnmarshal(t *testing.T) {
	t.Run("Secret", func(t *testing.T) {
		testUnmarshal(t, plainSecret(t), signer.NewSecret(), signer.ErrInvalidSecret)
	})
	t.Run("KeyPair", func(t *testing.T) {
		testUnmarshal(t, plainPair(t), signer.NewKeyPair(), signer.ErrInvalidKey)
	})
}

func testUnmarshal[K redacting[K]](t *testing.T, k, another K, invalid error) {
	var zero K
	quoted := `"` + k.Reveal() + `"`
	cases := []struct {
		name, json   string
		before, want K
		err          error
	}{
		{"a key", quoted, zero, k, nil},
		{"a key over another", quoted, another, k, nil},
		{"empty", `""`, k, zero, nil},
		{"null", `null`, k, k, nil},
		{"redacted", `"` + k.String() + `"`, k, k, invalid},
		{"broken", quoted[:7] + `supersecret"`, k, k, invalid},
		{"a number", `1`, k, k, invalid},
		{"an object", `{"super":1}`, k, k, invalid},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := exported[K]{c.before}
			err := json.Unmarshal([]byte(`{"Key":`+c.json+`}`), &got)
			if !errors.Is(err, c.err) || !got.Key.Equal(c.want) {
				t.Errorf("Unmarshal(%s) = %v, same key: %t; want %v, true",
					c.json, err, got.Key.Equal(c.want), c.err)
			}
			if err != nil {
				checkNoLeak(t, "the error", err.Error())
			}
		})
	}
	var fromXML exported[K]
	err := xml.Unmarshal([]byte("<exported><Key>"+k.Reveal()+"</Key></exported>"), &fromXML)
	if err != nil || !fromXML.Key.Equal(k) {
		t.Errorf("xml.Unmarshal = %v, same key: %t; want nil, true", err, fromXML.Key.Equal(k))
	}
}
