package batch

import (
	"reflect"
	"testing"
	"time"
)

// A pair is a row.
type pair struct {
	name string
	at   time.Time
}

var pairs = Input[pair]{
	Text("name", func(p *pair) string { return p.name }),
	TimeOrNull("at", func(p *pair) time.Time { return p.at }),
}

func TestInputAsSQL(t *testing.T) {
	for what, c := range map[string]struct{ got, want string }{
		"Names":  {pairs.Names(), "name, at"},
		"Stored": {pairs.Stored(), "name, nullif(at, '0001-01-01 00:00:00+00')"},
		"Table": {
			pairs.Table(3), "(SELECT pg_catalog.unnest($3::pg_catalog.text[]) AS name," +
				" pg_catalog.unnest($4::pg_catalog.timestamptz[]) AS at," +
				" pg_catalog.generate_subscripts($3::pg_catalog.text[], 1) AS ord)",
		},
	} {
		if c.got != c.want {
			t.Errorf("%s = %s; want %s", what, c.got, c.want)
		}
	}
}

// Drivers get slices, or texts in PostgreSQL's own notation.
func TestArgumentsForDrivers(t *testing.T) {
	at := time.Date(2026, 3, 1, 13, 0, 0, 5000, time.FixedZone("elsewhere", 3600))
	args := append(pairs.Args([]pair{{`a"b\c`, at}, {"", time.Time{}}}), "plain", 7)
	want := []any{[]string{`a"b\c`, ""}, []time.Time{at, {}}, "plain", 7}
	if got := asSlices(args); !reflect.DeepEqual(got, want) {
		t.Errorf("asSlices = %v; want %v", got, want)
	}
	want = []any{
		`{"a\"b\\c",""}`, `{"2026-03-01 12:00:00.000005Z","0001-01-01 00:00:00Z"}`, "plain", 7,
	}
	if got := asLiterals(args); !reflect.DeepEqual(got, want) {
		t.Errorf("asLiterals = %v; want %v", got, want)
	}
	for want, arg := range map[string]any{
		"{true,false}":        []bool{true, false},
		"{-1,2}":              []int16{-1, 2},
		"{3}":                 []int32{3},
		"{}":                  []int64{},
		`{"\\x00ff","\\x"}`:   [][]byte{{0, 255}, {}},
		`{"ü","{","a,b","'"}`: []string{"ü", "{", "a,b", "'"},
	} {
		if got := literal(arg); got != want {
			t.Errorf("literal(%v) = %v; want %s", arg, got, want)
		}
	}
}
