package hooks

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// A pattern selects event types: "*" stands for one segment and "**", at the
// end, for one or more. "**" alone is every type. The library's own types, whose names
// begin with "hooks.", are selected only by patterns that begin in the same way.
type pattern string

var patternForm = regexp.MustCompile(`^([A-Za-z0-9_]+|\*)(\.([A-Za-z0-9_]+|\*))*(\.\*\*)?$|^\*\*$`)

func (p pattern) check(field string) error {
	if len(p) > maxName || !patternForm.MatchString(string(p)) {
		return invalid(field, "%q: write a type name, with * for one segment or ** for the rest, such as invoice.*", string(p))
	}
	return nil
}

func (p pattern) match(name string) bool {
	if isOwn(name) && !isOwn(string(p)) {
		return false
	}
	rest := string(p)
	for {
		want, more, pMore := strings.Cut(rest, ".")
		if want == "**" {
			return true
		}
		have, tail, nMore := strings.Cut(name, ".")
		if want != "*" && want != have {
			return false
		}
		if !pMore || !nMore {
			return pMore == nMore
		}
		rest, name = more, tail
	}
}

// maxPatterns is how many patterns one subscriber may have. Publish may have to try all
// of them.
const maxPatterns = 64

// An audience is who may receive events of a type.
type audience bool

const (
	customers audience = false // endpoints: no private types
	ourselves audience = true  // handlers: all types
)

// checkPatterns refuses too many or none, what is no pattern, and what matches no
// registered type that the audience may receive. h.mu is held.
func (h *Hooks) checkPatterns(field string, ps []string, who audience) error {
	if len(ps) == 0 {
		return invalid(field, "it is empty; write the types to receive, or ** for all")
	}
	if len(ps) > maxPatterns {
		return invalid(field, "%d patterns; at most %d: write * for any segment, ** for the rest, or ** for all", len(ps), maxPatterns)
	}
	for _, p := range ps {
		if err := pattern(p).check(field); err != nil {
			return err
		}
		if len(h.matching(pattern(p), who)) == 0 {
			return h.noMatch(field, p, who)
		}
	}
	return nil
}

// noMatch is the error about a pattern that matches nothing. It names the registered
// types to the program's author, and otherwise in its Detail alone, because an
// endpoint's patterns may be a customer's. h.mu is held.
func (h *Hooks) noMatch(field, p string, who audience) error {
	types := slices.Sorted(maps.Keys(h.types))
	if who == ourselves {
		return invalid(field, "%q matches no registered type (there are %v); register the type first, or mend the pattern", p, types).because(ErrNoMatch)
	}
	return invalid(field, "%q matches no event type; mend the pattern, or have the type registered first", p).
		because(ErrNoMatch).detail("the registered types are %v", types)
}

// matching returns the registered types that a pattern matches and the audience may
// receive. h.mu is held.
func (h *Hooks) matching(p pattern, who audience) (names []string) {
	for name, d := range h.types {
		if p.match(name) && (who == ourselves || !d.Private) {
			names = append(names, name)
		}
	}
	return names
}
