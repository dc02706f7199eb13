package signer_test

import (
	"bytes"
	"encoding/base64"
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

// plainKey is easy to find in whatever form it leaks.
const plainKey = "supersecretsupersecret!!"

func plainSecret(t testing.TB) signer.Secret {
	t.Helper()
	return mustParse(t, "whsec_"+base64.StdEncoding.EncodeToString([]byte(plainKey)))
}

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

type exported struct{ Secret signer.Secret }

type unexported struct {
	secret  signer.Secret
	pointer *signer.Secret
	slice   []signer.Secret
	deep    map[string]struct{ s signer.Secret }
}

func TestFormattingRedacts(t *testing.T) {
	s := plainSecret(t)
	private := unexported{s, &s, list(s), map[string]struct{ s signer.Secret }{"k": {s}}}
	formats := []string{"", "%!", "%[2]v", "%*d"} // too few verbs, and mistakes
	for _, verb := range "vTtbcdoOqxXUeEfFgGsp" {
		for _, flags := range []string{"", "+", "#", " ", "-", "0", "60", ".3", "# 9.9"} {
			formats = append(formats, "%"+flags+string(verb))
		}
	}
	containers := map[string]any{
		"value": s, "pointer": &s, "slice": list(s), "array": [1]signer.Secret{s},
		"map": map[string]signer.Secret{"k": s}, "any": []any{s, &s},
		"exported field": exported{s}, "pointer to exported field": &exported{s},
		"unexported fields": private, "pointer to unexported fields": &private,
		"reflect.Value": reflect.ValueOf(private), "embedded": struct{ signer.Secret }{s},
		"signer": signer.Signer{Secrets: list(s)}, "verifier": signer.Verifier{Secrets: list(s)},
	}
	for name, container := range containers {
		for _, format := range formats {
			what := fmt.Sprintf("Sprintf(%q, %s)", format, name)
			checkNoLeak(t, what, fmt.Sprintf(format, container))
		}
		checkNoLeak(t, "Sprint("+name+")", fmt.Sprint(container))
	}
}

func TestPrintsAsRedacted(t *testing.T) {
	s := plainSecret(t)
	marshal := func(encode func(any) ([]byte, error), v any) string {
		data, err := encode(v)
		if err != nil {
			t.Errorf("Marshal(%v) = %v", v, err)
		}
		return string(data)
	}
	logged := func(handler func(*bytes.Buffer) slog.Handler, v any) string {
		var out bytes.Buffer
		slog.New(handler(&out)).Info("m", "k", v)
		return out.String()
	}
	text := func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) }
	structured := func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) }
	var page strings.Builder
	parsed := template.Must(template.New("").Parse("{{.Secret}}"))
	if err := parsed.Execute(&page, exported{s}); err != nil {
		t.Fatal(err)
	}
	marshaled, _ := s.MarshalText()
	cases := []struct{ name, got, want string }{
		{"String", s.String(), "whsec_***"},
		{"GoString", s.GoString(), "whsec_***"},
		{"MarshalText", string(marshaled), "whsec_***"},
		{"LogValue", s.LogValue().String(), "whsec_***"},
		{"%v", fmt.Sprintf("%v", s), "whsec_***"},
		{"%#v", fmt.Sprintf("%#v", s), "whsec_***"},
		{"%x", fmt.Sprintf("%x", s), "whsec_***"},
		{"%d of a pointer", fmt.Sprintf("%d", &s), "whsec_***"},
		{"%+v of a field", fmt.Sprintf("%+v", exported{s}), "{Secret:whsec_***}"},
		{"%v of a slice", fmt.Sprintf("%v", list(s, s)), "[whsec_*** whsec_***]"},
		{"an error", fmt.Errorf("with %v", s).Error(), "with whsec_***"},
		{"a template", page.String(), "whsec_***"},
		{"JSON", marshal(json.Marshal, s), `"whsec_***"`},
		{"JSON of a field", marshal(json.Marshal, exported{s}), `{"Secret":"whsec_***"}`},
		{"JSON of a pointer", marshal(json.Marshal, []*signer.Secret{&s}), `["whsec_***"]`},
		{
			"XML of a field", marshal(xml.Marshal, exported{s}),
			"<exported><Secret>whsec_***</Secret></exported>",
		},
		{"zero String", signer.Secret{}.String(), ""},
		{"zero %v", fmt.Sprintf("%v", exported{}), "{}"},
		{"zero JSON", marshal(json.Marshal, exported{}), `{"Secret":""}`},
	}
	for _, c := range cases {
		if c.got != c.want {
			t.Errorf("%s = %q; want %q", c.name, c.got, c.want)
		}
	}
	for _, v := range []any{s, &s, exported{s}, list(s)} {
		for _, got := range []string{logged(text, v), logged(structured, v)} {
			if !strings.Contains(got, "whsec_***") {
				t.Errorf("slog of %T = %q; want whsec_*** in it", v, got)
			}
			checkNoLeak(t, "slog", got)
		}
	}
}

// Printers and differs that work by reflection follow pointers.
func TestReflectionFindsNoKey(t *testing.T) {
	s := plainSecret(t)
	for _, field := range reflect.ValueOf(s).Fields() {
		if kind := field.Kind(); kind != reflect.Func {
			t.Errorf("a field of Secret is a %v; want functions only, which hide what they hold", kind)
		}
	}
}

func TestGobRefuses(t *testing.T) {
	err := gob.NewEncoder(&bytes.Buffer{}).Encode(exported{plainSecret(t)})
	if err == nil || !strings.Contains(err.Error(), "Reveal") {
		t.Errorf("gob Encode = %v; want an error that names Reveal", err)
	}
}

func TestParseSecret(t *testing.T) {
	valid := map[string]string{} // input to what it reveals
	for n := 24; n <= 64; n++ {
		key := bytes.Repeat([]byte{0xfb}, n)
		padded := "whsec_" + base64.StdEncoding.EncodeToString(key)
		valid[padded] = padded
		valid[strings.TrimRight(padded, "=")] = padded
	}
	for text, want := range valid {
		s, err := signer.ParseSecret(text)
		if got := s.Reveal(); got != want || s.IsZero() || err != nil {
			t.Errorf("ParseSecret(%q).Reveal() = %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestParseSecretRefuses(t *testing.T) {
	const good = "c3VwZXJzZWNyZXRzdXBlcnNlY3JldCEh" // plainKey
	long := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("super", 13)))
	cases := []struct{ name, text, want string }{
		{"empty", "", "empty"},
		{"only the prefix", "whsec_", "0 bytes, want 24 to 64"},
		{"no prefix", good, "begin with whsec_"},
		{"a private key", "whsk_" + good, "begin with whsec_"},
		{"the prefix in capitals", "WHSEC_" + good, "begin with whsec_"},
		{"redacted", "whsec_***", "redacted form"},
		{"23 bytes", "whsec_" + good[:len(good)-1] + "=", "holds 23 bytes"},
		{"65 bytes", "whsec_" + long, "holds 65 bytes"},
		{"space before", " whsec_" + good, "begin with whsec_"},
		{"space after", "whsec_" + good + " ", "byte 38"},
		{"a line break after", "whsec_" + good + "\n", "line break at byte 38"},
		{"a line break within", "whsec_" + good[:4] + "\r\n" + good[4:], "line break at byte 10"},
		{"base64url", "whsec_" + good[:4] + "-_-_" + good[4:], "not standard base64 at byte 10"},
		{"hex digits and dashes", "whsec_6ba7b810-9dad-11d1-80b4-00c04fd430c8", "byte 14"},
		{"too much padding", "whsec_" + good + "==", "not standard base64"},
		{"half the padding", "whsec_" + good + "ZA=", "not standard base64"},
		{"a single last character", "whsec_" + good + "Z", "not standard base64"},
		{"bits after the end", "whsec_" + good + "ZB==", "not standard base64"},
		{"bits after the end, unpadded", "whsec_" + good + "ZB", "not standard base64"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, err := signer.ParseSecret(c.text)
			if !errors.Is(err, signer.ErrInvalidSecret) || !s.IsZero() {
				t.Fatalf("ParseSecret(%q) = %v, %v; want zero, %v", c.text, s, err, signer.ErrInvalidSecret)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("ParseSecret(%q) = %v; want %q in it", c.text, err, c.want)
			}
			checkNoLeak(t, "the error", err.Error())
		})
	}
}

func TestUnmarshal(t *testing.T) {
	s := plainSecret(t)
	quoted := `"` + s.Reveal() + `"`
	cases := []struct {
		name, json string
		before     signer.Secret
		want       signer.Secret
		err        error
	}{
		{"a secret", quoted, signer.Secret{}, s, nil},
		{"a secret over another", quoted, signer.NewSecret(), s, nil},
		{"empty", `""`, s, signer.Secret{}, nil},
		{"null", `null`, s, s, nil},
		{"redacted", `"whsec_***"`, s, s, signer.ErrInvalidSecret},
		{"broken", `"whsec_supersecret"`, s, s, signer.ErrInvalidSecret},
		{"a number", `1`, s, s, signer.ErrInvalidSecret},
		{"an object", `{"super":1}`, s, s, signer.ErrInvalidSecret},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := exported{c.before}
			err := json.Unmarshal([]byte(`{"Secret":`+c.json+`}`), &got)
			if !errors.Is(err, c.err) || !got.Secret.Equal(c.want) {
				t.Errorf("Unmarshal(%s) = %v, same secret: %t; want %v, true",
					c.json, err, got.Secret.Equal(c.want), c.err)
			}
			if err != nil {
				checkNoLeak(t, "the error", err.Error())
			}
		})
	}
	var fromXML exported
	err := xml.Unmarshal([]byte("<exported><Secret>"+s.Reveal()+"</Secret></exported>"), &fromXML)
	if err != nil || !fromXML.Secret.Equal(s) {
		t.Errorf("xml.Unmarshal = %v, same secret: %t; want nil, true", err, fromXML.Secret.Equal(s))
	}
}

func TestNewSecret(t *testing.T) {
	a, b := signer.NewSecret(), signer.NewSecret()
	if a.Equal(b) {
		t.Error("two new secrets are equal")
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(a.Reveal(), "whsec_"))
	if len(key) != 32 || err != nil {
		t.Errorf("NewSecret() has %d bytes, %v; want 32", len(key), err)
	}
}

func TestEqual(t *testing.T) {
	s := plainSecret(t)
	shorter := mustParse(t, s.Reveal()+"AA==")
	for _, c := range []struct {
		name string
		a, b signer.Secret
		want bool
	}{
		{"the same", s, s, true},
		{"the same, parsed again", s, plainSecret(t), true},
		{"another", s, signer.NewSecret(), false},
		{"a prefix", s, shorter, false},
		{"zero and a secret", signer.Secret{}, s, false},
		{"a secret and zero", s, signer.Secret{}, false},
		{"two zeros", signer.Secret{}, signer.Secret{}, true},
	} {
		if got := c.a.Equal(c.b); got != c.want {
			t.Errorf("Equal(%s) = %t; want %t", c.name, got, c.want)
		}
	}
	if got := (signer.Secret{}).Reveal(); got != "" {
		t.Errorf("Secret{}.Reveal() = %q; want none", got)
	}
}

func FuzzParseSecret(f *testing.F) {
	f.Add("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	f.Add("whsec_c3VwZXJzZWNyZXRzdXBlcnNlY3JldCEhZA")
	f.Add("whsec_c3VwZXJzZWNyZXRzdXBlcnNlY3JldCEhZA==")
	f.Add("whsec_***")
	f.Add("whsec_\n=")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := signer.ParseSecret(text)
		if err != nil {
			if !errors.Is(err, signer.ErrInvalidSecret) || !s.IsZero() {
				t.Fatalf("ParseSecret(%q) = %v, %v; want zero, %v", text, s, err, signer.ErrInvalidSecret)
			}
			return
		}
		if got := s.Reveal(); strings.TrimRight(got, "=") != strings.TrimRight(text, "=") {
			t.Fatalf("ParseSecret(%q).Reveal() = %q; want the same but for padding", text, got)
		}
		if again := mustParse(t, s.Reveal()); !again.Equal(s) {
			t.Fatalf("ParseSecret(%q) reveals another secret", text)
		}
	})
}
