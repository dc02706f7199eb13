package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strconv"
)

// A difference is one place in which two things differ. Old or New is empty if the place is
// not there in the first or in the second.
type difference struct {
	Place    string
	Old, New string
	// Had and Has report that the place is there in the first and in the second.
	Had, Has bool
}

// Sign says what happened from the first to the second.
func (d difference) Sign() string {
	switch {
	case !d.Had:
		return "added"
	case !d.Has:
		return "removed"
	}
	return "changed"
}

// readJSON reads a text that is one JSON value, with numbers as they are written.
func readJSON(text []byte) (value any, ok bool) {
	if !isShallow(text) {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if d.Decode(&value) != nil {
		return nil, false
	}
	_, err := d.Token()
	return value, errors.Is(err, io.EOF)
}

// diffJSON returns where two JSON values differ, in the order of their places. The order of
// keys and white space are no difference.
func diffJSON(old, now any) (list []difference) {
	compareValues("", old, now, func(d difference) { list = append(list, d) })
	return list
}

func compareValues(place string, old, now any, tell func(difference)) {
	switch a := old.(type) {
	case map[string]any:
		if b, ok := now.(map[string]any); ok {
			compareObjects(place, a, b, tell)
			return
		}
	case []any:
		if b, ok := now.([]any); ok {
			compareArrays(place, a, b, tell)
			return
		}
	}
	if a, b := writeJSON(old), writeJSON(now); a != b {
		tell(difference{placeName(place), a, b, true, true})
	}
}

func compareObjects(place string, a, b map[string]any, tell func(difference)) {
	names := slices.Collect(maps.Keys(a))
	for name := range b {
		if _, ok := a[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		old, had := a[name]
		now, has := b[name]
		compareEither(place+fieldName(place, name), old, now, had, has, tell)
	}
}

// compareArrays compares what stands between the equal beginning and the equal end of two
// arrays, element by element.
func compareArrays(place string, a, b []any, tell func(difference)) {
	same := func(x, y any) bool { return writeJSON(x) == writeJSON(y) }
	start := 0
	for start < len(a) && start < len(b) && same(a[start], b[start]) {
		start++
	}
	end := 0
	for end < len(a)-start && end < len(b)-start && same(a[len(a)-1-end], b[len(b)-1-end]) {
		end++
	}
	a, b = a[:len(a)-end], b[:len(b)-end]
	for i := start; i < max(len(a), len(b)); i++ {
		var old, now any
		if i < len(a) {
			old = a[i]
		}
		if i < len(b) {
			now = b[i]
		}
		compareEither(place+"["+strconv.Itoa(i)+"]", old, now, i < len(a), i < len(b), tell)
	}
}

// compareEither compares values of which one may be missing.
func compareEither(place string, old, now any, had, has bool, tell func(difference)) {
	switch {
	case had && has:
		compareValues(place, old, now, tell)
	case had:
		tell(difference{Place: placeName(place), Old: writeJSON(old), Had: true})
	default:
		tell(difference{Place: placeName(place), New: writeJSON(now), Has: true})
	}
}

// fieldName writes a field after the place that it is in, such as ".code" or `["a b"]`.
func fieldName(place, name string) string {
	for i, r := range name {
		letter := r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && (i == 0 || r != '-' && (r < '0' || r > '9')) {
			return "[" + writeJSON(name) + "]"
		}
	}
	switch {
	case name == "":
		return `[""]`
	case place == "":
		return name
	}
	return "." + name
}

func placeName(place string) string {
	if place == "" {
		return "the whole body"
	}
	return place
}

// writeJSON writes a value in one line, with the keys of objects in order.
func writeJSON(value any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		panic(err) // what was read as JSON can be written
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

// diffFields returns in which fields two sets of them differ, in the order of names.
func diffFields(a, b map[string]string) (list []difference) {
	names := slices.Collect(maps.Keys(a))
	for name := range b {
		if _, ok := a[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		old, had := a[name]
		now, has := b[name]
		if old != now || had != has {
			list = append(list, difference{name, old, now, had, has})
		}
	}
	return list
}
