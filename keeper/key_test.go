package keeper_test

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

	"example.com/hooks/keeper"
)

const (
	// plainKey is easy to find in whatever form it leaks.
	plainKey = "supersecretsupersecretsupersecre"
	plain64  = "c3VwZXJzZWNyZXRzdXBlcnNlY3JldHN1cGVyc2VjcmU=" // plainKey
	plainID  = "2026-11"
	plain    = plainID + ":" + plain64
)

// leaks are the first bytes of plainKey as base64, text, hex, Go syntax,
// decimal, octal, binary and Unicode would show them, and its first word in
// either byte order, as a key schedule holds it.
var leaks = []string{
	"c3VwZX", "super", "7375706572", "73 75 70", "0x73, 0x75", "115 117 112", "115, 117",
	"163 165 160", "1110011 1110101", "U+0073", "1937076325", "73757065", "1701868915", "65707573",
}

func checkNoLeak(t *testing.T, what, got string) {
	t.Helper()
	for _, leak := range leaks {
		if strings.Contains(strings.ToLower(got), strings.ToLower(leak)) {
			t.Errorf("%s = %q; want nothing of the key in it", what, got)
		}
	}
}

func mustKey(t testing.TB, text string) keeper.Key {
	t.Helper()
	k, err := keeper.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

type exported[T any] struct{ Subject T }

type unexported[T any] struct {
	subject T
	pointer *T
	slice   []T
	any     any
	deep    map[string]struct{ s T }
}

// containers holds v in every way that a printer treats differently.
func containers[T any](v T) map[string]any {
	private := unexported[T]{v, &v, []T{v}, v, map[string]struct{ s T }{"k": {v}}}
	return map[string]any{
		"value": v, "pointer": &v, "slice": []T{v}, "array": [1]T{v},
		"map": map[string]T{"k": v}, "any": []any{v, &v},
		"exported field": exported[T]{v}, "pointer to exported field": &exported[T]{v},
		"unexported fields": private, "pointer to unexported fields": &private,
		"reflect.Value": reflect.ValueOf(private),
	}
}

func TestFormattingRedacts(t *testing.T) {
	formats := []string{"", "%!", "%[2]v", "%*d"} // too few verbs, and mistakes
	for _, verb := range "vTtbcdoOqxXUeEfFgGsp" {
		for _, flags := range []string{"", "+", "#", " ", "-", "0", "60", ".3", "# 9.9"} {
			formats = append(formats, "%"+flags+string(verb))
		}
	}
	key, keys := mustKey(t, plain), mustParse(t, plain)
	for kind, subjects := range map[string]map[string]any{
		"Key": containers(key), "*Keys": containers(keys), "Keys": containers(*keys),
		"embedded": {"Key": struct{ keeper.Key }{key}, "*Keys": struct{ *keeper.Keys }{keys}},
	} {
		for name, subject := range subjects {
			for _, format := range formats {
				what := fmt.Sprintf("Sprintf(%q, %s in %s)", format, kind, name)
				checkNoLeak(t, what, fmt.Sprintf(format, subject))
			}
			checkNoLeak(t, "Sprint("+kind+" in "+name+")", fmt.Sprint(subject))
		}
	}
}

func marshal(t *testing.T, encode func(any) ([]byte, error), v any) string {
	t.Helper()
	data, err := encode(v)
	if err != nil {
		t.Errorf("Marshal(%v) = %v", v, err)
	}
	return string(data)
}

func TestPrintsAsRedacted(t *testing.T) {
	key, keys := mustKey(t, plain), mustParse(t, plain+",2025-12:"+plain64)
	const ring = "keeper(2026-11, 2025-12)"
	var page strings.Builder
	parsed := template.Must(template.New("").Parse("{{.Subject}}"))
	if err := parsed.Execute(&page, exported[keeper.Key]{key}); err != nil {
		t.Fatal(err)
	}
	cases := []struct{ name, got, want string }{
		{"String", key.String(), "2026-11:***"},
		{"LogValue", key.LogValue().String(), "2026-11:***"},
		{"%v", fmt.Sprintf("%v", key), "2026-11:***"},
		{"%#v", fmt.Sprintf("%#v", key), "2026-11:***"},
		{"%x", fmt.Sprintf("%x", key), "2026-11:***"},
		{"%d of a pointer", fmt.Sprintf("%d", &key), "2026-11:***"},
		{"%+v of a field", fmt.Sprintf("%+v", exported[keeper.Key]{key}), "{Subject:2026-11:***}"},
		{"a template", page.String(), "2026-11:***"},
		{"JSON", marshal(t, json.Marshal, key), `"2026-11:***"`},
		{"JSON of a field", marshal(t, json.Marshal, exported[*keeper.Key]{&key}), `{"Subject":"2026-11:***"}`},
		{"XML", marshal(t, xml.Marshal, key), "<Key>2026-11:***</Key>"},
		{"zero String", keeper.Key{}.String(), ""},
		{"zero JSON", marshal(t, json.Marshal, keeper.Key{}), `""`},
		{"Keys.String", keys.String(), ring},
		{"Keys.LogValue", keys.LogValue().String(), ring},
		{"%v of Keys", fmt.Sprintf("%v", *keys), ring},
		{"%d of Keys", fmt.Sprintf("%d", *keys), ring},
		{"%#v of *Keys", fmt.Sprintf("%#v", keys), ring},
		{"%d of *Keys", fmt.Sprintf("%d", keys), ring},
		{"%+v of a field", fmt.Sprintf("%+v", exported[any]{keys}), "{Subject:" + ring + "}"},
		{"JSON of a field", marshal(t, json.Marshal, exported[any]{keys}), `{"Subject":"` + ring + `"}`},
		{"XML of Keys", marshal(t, xml.Marshal, keys), "<Keys>" + ring + "</Keys>"},
		{"zero Keys", keeper.Keys{}.String(), "keeper()"},
	}
	for _, c := range cases {
		if c.got != c.want {
			t.Errorf("%s = %q; want %q", c.name, c.got, c.want)
		}
	}
}

func TestLogsRedacted(t *testing.T) {
	key, keys := mustKey(t, plain), mustParse(t, plain)
	for _, v := range []any{
		key, &key,
		exported[keeper.Key]{key},
		[]keeper.Key{key},
		keys, *keys,
		exported[any]{keys},
		[]*keeper.Keys{keys},
	} {
		var out bytes.Buffer
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", "k", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "k", v)
		got := out.String()
		if strings.Count(got, "2026-11:***")+strings.Count(got, "keeper(2026-11)") != 2 {
			t.Errorf("slog of %T = %q; want it redacted, twice", v, got)
		}
		checkNoLeak(t, "slog", got)
	}
}

// Printers and differs that work by reflection follow pointers.
func TestReflectionFindsNoKey(t *testing.T) {
	key := mustKey(t, plain)
	for _, v := range []any{key, *mustParse(t, plain)} {
		for field, value := range reflect.ValueOf(v).Fields() {
			isID := value.Kind() == reflect.String && value.String() == key.ID()
			if value.Kind() != reflect.Func && !isID {
				t.Errorf("%T.%s is a %v; want the id, and functions, which hide what they hold",
					v, field.Name, value.Kind())
			}
		}
	}
}

func TestGobRefuses(t *testing.T) {
	err := gob.NewEncoder(&bytes.Buffer{}).Encode(exported[keeper.Key]{mustKey(t, plain)})
	if err == nil || !strings.Contains(err.Error(), "Reveal") {
		t.Errorf("gob Encode of a Key = %v; want an error that names Reveal", err)
	}
	err = gob.NewEncoder(&bytes.Buffer{}).Encode(exported[*keeper.Keys]{mustParse(t, plain)})
	if err == nil {
		t.Error("gob Encode of Keys = nil; want an error")
	}
}

func TestParseKey(t *testing.T) {
	long := strings.Repeat("k", 64)
	for text, want := range map[string]string{
		plain:                                 plain,
		strings.TrimRight(plain, "="):         plain,
		long + ":" + plain64:                  long + ":" + plain64,
		"aZ09.-_:" + plain64:                  "aZ09.-_:" + plain64,
		"k:" + strings.Repeat("/+", 21) + "8": "k:" + strings.Repeat("/+", 21) + "8=",
	} {
		k, err := keeper.ParseKey(text)
		if got := k.Reveal(); got != want || k.IsZero() || err != nil {
			t.Errorf("ParseKey(%q).Reveal() = %q, %v; want %q", text, got, err, want)
		}
		if got, _, _ := strings.Cut(text, ":"); k.ID() != got {
			t.Errorf("ParseKey(%q).ID() = %q; want %q", text, k.ID(), got)
		}
	}
}

func TestParseKeyRefuses(t *testing.T) {
	cases := []struct{ name, text, want string }{
		{"empty", "", "empty"},
		{"no id", ":" + plain64, "its id"},
		{"no colon", plain64, "no colon"},
		{"id and key exchanged", strings.TrimRight(plain64, "=") + ":2026-11", "base64"},
		{"id of 65", strings.Repeat("k", 65) + ":" + plain64, "its id"},
		{"id with a space", "20 26:" + plain64, "its id"},
		{"id beyond ASCII", "é:" + plain64, "its id"},
		{"id with a slash", "super/secret:" + plain64, "its id"},
		{"redacted", "2026-11:***", "redacted form"},
		{"no key", "2026-11:", "holds 0 bytes"},
		{"31 bytes", encoded(plainKey[1:]), "holds 31 bytes"},
		{"33 bytes", encoded(plainKey + "!"), "holds 33 bytes"},
		{"space before", " " + plain, "its id"},
		{"space after", plain + " ", "base64"},
		{"a line break after", plain + "\n", "line break"},
		{"a line break within", plain[:20] + "\r\n" + plain[20:], "line break"},
		{"base64url", "k:" + strings.Repeat("_-", 21) + "8", "base64"},
		{"too much padding", plain + "=", "base64"},
		{"bits after the end", strings.TrimSuffix(plain, "U=") + "V=", "base64"},
		{"bits after the end, unpadded", strings.TrimSuffix(plain, "U=") + "V", "base64"},
		{"a second colon", "k:" + plain, "base64"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			k, err := keeper.ParseKey(c.text)
			if !errors.Is(err, keeper.ErrInvalidKey) || !k.IsZero() {
				t.Fatalf("ParseKey(%q) = %v, %v; want zero, %v", c.text, k, err, keeper.ErrInvalidKey)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("ParseKey(%q) = %v; want %q in it", c.text, err, c.want)
			}
			checkNoLeak(t, "the error", err.Error())
		})
	}
}

func encoded(key string) string {
	return plainID + ":" + base64.StdEncoding.EncodeToString([]byte(key))
}

func TestNewKey(t *testing.T) {
	a, errA := keeper.NewKey("a")
	b, errB := keeper.NewKey("a")
	if errA != nil || errB != nil || a.Reveal() == b.Reveal() || a.ID() != "a" {
		t.Errorf("NewKey(a) = %v, %v and %v, %v; want two keys named a", a, errA, b, errB)
	}
	if again := mustKey(t, a.Reveal()); again.Reveal() != a.Reveal() {
		t.Error("ParseKey(NewKey(a).Reveal()) is another key")
	}
	for _, id := range []string{"", "a:b", "super secret", strings.Repeat("k", 65)} {
		k, err := keeper.NewKey(id)
		if !errors.Is(err, keeper.ErrInvalidKey) || !k.IsZero() {
			t.Errorf("NewKey(%q) = %v, %v; want zero, %v", id, k, err, keeper.ErrInvalidKey)
		}
		checkNoLeak(t, "the error", err.Error())
	}
	if got := (keeper.Key{}).Reveal(); got != "" {
		t.Errorf("Key{}.Reveal() = %q; want none", got)
	}
}

func TestUnmarshalKey(t *testing.T) {
	other, err := keeper.NewKey("other")
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name, json, want string
		err              error
	}{
		{"a key", `"` + plain + `"`, plain, nil},
		{"empty", `""`, "", nil},
		{"null", `null`, other.Reveal(), nil},
		{"redacted", `"2026-11:***"`, other.Reveal(), keeper.ErrInvalidKey},
		{"broken", `"2026-11:supersecret"`, other.Reveal(), keeper.ErrInvalidKey},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := exported[keeper.Key]{other}
			err := json.Unmarshal([]byte(`{"Subject":`+c.json+`}`), &got)
			if !errors.Is(err, c.err) || got.Subject.Reveal() != c.want {
				t.Errorf("Unmarshal(%s) = %v, the right key: %t; want %v, true",
					c.json, err, got.Subject.Reveal() == c.want, c.err)
			}
			if err != nil {
				checkNoLeak(t, "the error", err.Error())
			}
		})
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add(plain)
	f.Add(strings.TrimRight(plain, "="))
	f.Add("2026-11:***")
	f.Add("a:b:c")
	f.Add(":\n=")
	f.Fuzz(func(t *testing.T, text string) {
		k, err := keeper.ParseKey(text)
		if err != nil {
			if !errors.Is(err, keeper.ErrInvalidKey) || !k.IsZero() {
				t.Fatalf("ParseKey(%q) = %v, %v; want zero, %v", text, k, err, keeper.ErrInvalidKey)
			}
			return
		}
		if got := k.Reveal(); strings.TrimRight(got, "=") != strings.TrimRight(text, "=") {
			t.Fatalf("ParseKey(%q).Reveal() = %q; want the same but for padding", text, got)
		}
		if again := mustKey(t, k.Reveal()); again.Reveal() != k.Reveal() || again.ID() != k.ID() {
			t.Fatalf("ParseKey(%q) reveals another key", text)
		}
		if _, err := keeper.Parse(" " + text + ",\n"); err != nil {
			t.Fatalf("Parse(%q) = %v; ParseKey takes it", text, err)
		}
	})
}
