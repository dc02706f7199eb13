package storetest

import (
	"slices"
	"testing"

	"example.com/hooks"
)

// conflict fails the test unless writing a record is a conflict that changes
// nothing.
func conflict(t testing.TB, s hooks.Store, key string, version int64) {
	t.Helper()
	before := describe(records(t, s, 0))
	for _, data := range []string{"conflicting", ""} {
		_, err := s.Put(t.Context(), at(1), hooks.Record{Key: key, Version: version, Data: []byte(data)}, nil)
		refused(t, "Put("+key+")", err, hooks.ErrConflict)
	}
	same(t, "Records() after a conflict", describe(records(t, s, 0)), before)
}

// A line of Records, comparable.
type recordLine struct {
	key     string
	version int64
	data    string
}

func describe(rs []hooks.Record) (lines []recordLine) {
	for _, r := range rs {
		lines = append(lines, recordLine{r.Key, r.Version, string(r.Data)})
	}
	return lines
}

var recordRules = []rule{
	{"a new store has no records", func(t *testing.T, s hooks.Store) {
		equal(t, "len(Records(0))", len(records(t, s, 0)), 0)
	}},
	{"a record is kept byte for byte", func(t *testing.T, s hooks.Store) {
		data := "\x00\xff{ not json"
		v := put(t, s, "endpoint/crm", 0, data)
		same(t, "Records(0)", describe(records(t, s, 0)), []recordLine{{"endpoint/crm", v, data}})
	}},
	{"a record is written over with its version", func(t *testing.T, s hooks.Store) {
		v1 := put(t, s, "k", 0, "1")
		v2 := put(t, s, "k", v1, "2")
		if v1 <= 0 || v2 <= v1 {
			t.Fatalf("versions = %d, %d; want them positive and rising", v1, v2)
		}
		same(t, "Records(0)", describe(records(t, s, 0)), []recordLine{{"k", v2, "2"}})
	}},
	{"creating a record that exists is a conflict", func(t *testing.T, s hooks.Store) {
		put(t, s, "k", 0, "1")
		conflict(t, s, "k", 0)
	}},
	{"an old version is a conflict", func(t *testing.T, s hooks.Store) {
		v := put(t, s, "k", 0, "1")
		put(t, s, "k", v, "2")
		conflict(t, s, "k", v)
	}},
	{"a version that never was is a conflict", func(t *testing.T, s hooks.Store) {
		v := put(t, s, "k", 0, "1")
		conflict(t, s, "k", v+1)
		conflict(t, s, "unknown", 1)
		conflict(t, s, "unknown", v)
	}},
	{"a deleted record leaves a tombstone", func(t *testing.T, s hooks.Store) {
		v := put(t, s, "k", 0, "1")
		gone := put(t, s, "k", v, "")
		if gone <= v {
			t.Fatalf("version of the tombstone = %d; want above %d", gone, v)
		}
		rs := records(t, s, 0)
		same(t, "Records(0)", describe(rs), []recordLine{{"k", gone, ""}})
		if rs[0].Data != nil {
			t.Errorf("Data of a tombstone = %q; want nil", rs[0].Data)
		}
		conflict(t, s, "k", v)
	}},
	{"a deleted record can be created again", func(t *testing.T, s hooks.Store) {
		gone := put(t, s, "k", put(t, s, "k", 0, "1"), "")
		v := put(t, s, "k", 0, "2")
		if v <= gone {
			t.Fatalf("Put(k) = %d; want above %d", v, gone)
		}
		same(t, "Records(0)", describe(records(t, s, 0)), []recordLine{{"k", v, "2"}})
		conflict(t, s, "k", 0)
		conflict(t, s, "k", gone)
	}},
	{"versions rise over all keys", func(t *testing.T, s hooks.Store) {
		versions := map[string]int64{}
		last := int64(0)
		for i := range 30 {
			key := string(rune('a' + i%5))
			v := put(t, s, key, versions[key], "x")
			if v <= last {
				t.Fatalf("Put(%s) = %d; want above %d", key, v, last)
			}
			versions[key], last = v, v
		}
	}},
	{"Records tells what changed since a version, in that order", func(t *testing.T, s hooks.Store) {
		a1 := put(t, s, "a", 0, "1")
		b1 := put(t, s, "b", 0, "1")
		c1 := put(t, s, "c", 0, "1")
		a2 := put(t, s, "a", a1, "2")
		b2 := put(t, s, "b", b1, "")
		all := []recordLine{{"c", c1, "1"}, {"a", a2, "2"}, {"b", b2, ""}}
		same(t, "Records(0)", describe(records(t, s, 0)), all)
		same(t, "Records(b1)", describe(records(t, s, b1)), all)
		same(t, "Records(c1)", describe(records(t, s, c1)), all[1:])
		same(t, "Records(a2)", describe(records(t, s, a2)), all[2:])
		same(t, "Records(b2)", describe(records(t, s, b2)), nil)
	}},
	{"keys of records differ in case and spaces", func(t *testing.T, s hooks.Store) {
		keys := []string{"k", "K", "k ", "k/", "ｋ"}
		for _, key := range keys {
			put(t, s, key, 0, key)
		}
		var got []string
		for _, r := range records(t, s, 0) {
			got = append(got, r.Key)
		}
		same(t, "keys of Records(0)", got, keys)
	}},
	{"records that were returned belong to the caller", func(t *testing.T, s hooks.Store) {
		data := []byte("data")
		v, err := s.Put(t.Context(), at(0), hooks.Record{Key: "k", Data: data}, nil)
		if err != nil {
			t.Fatalf("Put(k): %v", err)
		}
		data[0] = '!'
		clear(records(t, s, 0)[0].Data)
		want := []recordLine{{"k", v, "data"}}
		if got := describe(records(t, s, 0)); !slices.Equal(got, want) {
			t.Fatalf("Records(0) = %v; want %v", got, want)
		}
	}},
}
