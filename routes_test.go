package hooks

import (
	"log/slog"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A subscription is a subscriber of a [routes], its patterns separated by spaces.
type subscription struct{ id, patterns string }

// routesOf returns a tree with subscriptions, that is built anew.
func routesOf(list ...subscription) *routes {
	tree := new(routes)
	for _, s := range list {
		addAll(tree, s)
	}
	return tree
}

func addAll(tree *routes, s subscription) {
	for p := range strings.FieldsSeq(s.patterns) {
		tree.add(p, s.id, isOrdered(s.id))
	}
}

func removeAll(tree *routes, s subscription) {
	for p := range strings.FieldsSeq(s.patterns) {
		tree.remove(p, s.id)
	}
}

// isOrdered reports whether the tests have a subscriber with an id in order.
func isOrdered(id string) bool { return strings.HasPrefix(id, "o") }

func TestRoutesMatchByPattern(t *testing.T) {
	tree := routesOf(
		subscription{"all", "**"},
		subscription{"any-one", "*"},
		subscription{"exact", "invoice.paid"},
		subscription{"first", "invoice.*"},
		subscription{"last", "*.paid"},
		subscription{"many", "invoice.paid invoice.* ** *.paid invoice.paid"},
		subscription{"middle", "invoice.*.late"},
		subscription{"ordered", "invoice.paid"},
		subscription{"root", "invoice"},
		subscription{"tail", "invoice.**"},
		subscription{"two-more", "*.*.**"},
		subscription{"own", "hooks.**"},
		subscription{"failures", "hooks.delivery.failed"},
	)
	for _, c := range []struct{ typ, want string }{
		{"hooks.delivery.failed", "failures own"},
		{"hooks.delivery", "own"},
		{"hooks", "all any-one many"},
		{"invoice", "all any-one many root"},
		{"order", "all any-one many"},
		{"invoice.paid", "all exact first last many ordered tail"},
		{"invoice.sent", "all first many tail"},
		{"order.paid", "all last many"},
		{"invoice.paid.late", "all many middle tail two-more"},
		{"order.paid.late", "all many two-more"},
		{"invoices.paid", "all last many"},
	} {
		var want []match
		for id := range strings.FieldsSeq(c.want) {
			want = append(want, match{id, isOrdered(id)})
		}
		if got := unique(tree.matches(nil, c.typ)); !slices.Equal(got, want) {
			t.Errorf("matches(%s) = %v; want %v", c.typ, got, want)
		}
	}
}

func TestNoRoutesMatchNothing(t *testing.T) {
	if got := (*routes)(nil).matches(nil, "a"); got != nil {
		t.Errorf("appendMatches of nil = %v; want none", got)
	}
	if got := new(routes).matches(nil, "a"); got != nil {
		t.Errorf("appendMatches of an empty tree = %v; want none", got)
	}
}

// Whatever was added and removed, in whatever order, the tree finds the subscribers that
// trying every pattern finds, and it is the tree that is built of the present patterns:
// nothing is left of the removed ones.
func FuzzRoutes(f *testing.F) {
	f.Add("a a.b\nb a.*\nc **\nd a.** a.b", "a.b")
	f.Add("a a.b.c\na a.b\na\nb *.*.** *\nb", "a.b.c")
	f.Add("a x a x x\no x\na\no", "x")
	f.Add("a **.b a.**.c .. . *\nb ***", "a..")
	f.Fuzz(func(t *testing.T, script, typ string) {
		tree, present := new(routes), make(map[string]subscription)
		for line := range strings.SplitSeq(script, "\n") {
			id, patterns, more := strings.Cut(line, " ")
			removeAll(tree, present[id])
			delete(present, id)
			if more {
				present[id] = subscription{id, patterns}
				addAll(tree, present[id])
			}
			checkRoutes(t, tree, present, typ)
		}
		for id, s := range present {
			removeAll(tree, s)
			removeAll(tree, s) // does nothing
			delete(present, id)
			checkRoutes(t, tree, present, typ)
		}
		if !reflect.DeepEqual(tree, new(routes)) {
			t.Errorf("without patterns, the tree is %+v; want the zero value", tree)
		}
	})
}

func checkRoutes(t *testing.T, tree *routes, present map[string]subscription, typ string) {
	t.Helper()
	var want []match
	for _, id := range slices.Sorted(maps.Keys(present)) {
		if slices.ContainsFunc(strings.Fields(present[id].patterns), func(p string) bool { return pattern(p).match(typ) }) {
			want = append(want, match{id, isOrdered(id)})
		}
	}
	if got := unique(tree.matches(nil, typ)); !slices.Equal(got, want) {
		t.Fatalf("matches(%q) among %q = %v; want %v", typ, present, got, want)
	}
	if anew := routesOf(slices.Collect(maps.Values(present))...); !reflect.DeepEqual(tree, anew) {
		t.Fatalf("the tree of %q = %+v; want %+v, as it is when built anew", present, tree, anew)
	}
}

// An id that both an endpoint and a handler have appears once. Its deliveries are in order
// if either wants that.
func TestUniqueKeepsOrderedOfEqualIDs(t *testing.T) {
	for range 20 {
		list := []match{{"b", false}, {"a", false}, {"b", true}, {"a", false}, {"c", true}, {"b", false}}
		rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		if got, want := unique(list), []match{{"a", false}, {"b", true}, {"c", true}}; !slices.Equal(got, want) {
			t.Errorf("unique = %v; want %v", got, want)
		}
	}
}

// A handler whose record changes is found by its new patterns only, and one of this
// process by those of its code.
func TestHandlersAreMatchedByTheirPresentPatterns(t *testing.T) {
	dir := newDirectory(slog.New(slog.DiscardHandler), nil, func(*endpoint) {})
	version := int64(0)
	record := func(data string) {
		version++
		dir.update(edit{Record: Record{Key: "handler/audit", Version: version, Data: []byte(data)}})
	}
	want := func(when, typ string, n int) {
		t.Helper()
		if got := dir.matches("acme", typ, false); len(got) != n {
			t.Errorf("%s: matches(%s) = %v; want %d", when, typ, got, n)
		}
	}
	record(`{"Events":["a.b","a.c"]}`)
	want("recorded", "a.b", 1)
	record(`{"Events":["x.y"],"Ordered":true}`)
	want("changed", "a.b", 0)
	want("changed", "a.c", 0)
	if got := dir.matches("", "x.y", false); !slices.Equal(got, []match{{"audit", true}}) {
		t.Errorf("changed: matches(x.y) = %v; want audit, in order", got)
	}
	record(`{"Events":["broken"`)
	want("unreadable", "x.y", 1)
	record("")
	want("deleted", "x.y", 0)
	if !dir.routes.empty() {
		t.Errorf("deleted: the routes are %+v; want none", dir.routes)
	}
	record(`{"Events":["x.y"]}`)
	dir.addLocal(&function{Handler: Handler{Name: "audit", Events: []string{"code"}}})
	record(`{"Events":["x.z"]}`)
	record("")
	want("local", "code", 1)
	want("local", "x.y", 0)
	want("local", "x.z", 0)
}

// The tree of a tenant that has no endpoints any more is dropped.
func TestTenantsWithoutEndpointsCostNoMemory(t *testing.T) {
	r := newRoster()
	for i := range 100 {
		id := strconv.Itoa(i)
		r.set(id, &endpoint{Endpoint: Endpoint{ID: id, Tenant: strconv.Itoa(i % 10), Events: []string{"a." + id, "**"}}})
	}
	if len(r.tenants) != 10 {
		t.Errorf("%d tenants have trees; want 10", len(r.tenants))
	}
	for i := range 100 {
		r.set(strconv.Itoa(i), nil)
	}
	if len(r.tenants) != 0 {
		t.Errorf("%d tenants have trees after the endpoints were deleted; want none", len(r.tenants))
	}
}
