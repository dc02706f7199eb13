package hooks

import (
	"cmp"
	"context"
	"maps"
	"slices"
)

// A Route says whether a subscriber receives an event, and why.
type Route struct {
	Subscriber string `json:"subscriber"`
	Receives   bool   `json:"receives"`
	// Because is the reason, a word that stays as it is:
	//
	//   - "pattern": one of its patterns matches the type; or if it does not receive the
	//     event, none does.
	//   - "disabled": one of its patterns matches, and it receives the event, but it is
	//     disabled: the delivery is held, see [Hooks.DisableEndpoint].
	//   - "unverified": the same, but its owner has to answer a challenge first, see
	//     [Hooks.VerifyEndpoint].
	//   - "tenant": the endpoint is another tenant's.
	//   - "private": a pattern of the endpoint matches, but only handlers receive a private
	//     type, or a notice about a delivery that is not the tenant's, see [DeliveryFailed].
	Because string `json:"because"`
}

// The values of [Route].Because.
const (
	becausePattern    = "pattern"
	becauseDisabled   = "disabled"
	becauseUnverified = "unverified"
	becauseTenant     = "tenant"
	becausePrivate    = "private"
)

// mostOthers bounds how many subscribers ExplainEvent lists that do not receive the event.
const mostOthers = 1000

// ExplainEvent says who would receive ev if it were published now, and who would not, and
// why. It stores nothing, and a [Trace] is not told. The subscribers are those that this
// process knows, handlers of other programs included. The list is in the order of their
// ids, and has:
//
//   - all that would receive ev, however many they are,
//   - of the others at most 1,000: first the endpoints of ev's tenant, then handlers, then
//     endpoints of other tenants, each in the order of ids.
//
// ev is checked as by Publish, and what is wrong with it is an [*InvalidError]: its Type
// must be registered, and its Data must be JSON. Whether it is stored already does not
// matter here, although publishing it again would reach nobody. Nor does it matter if the type
// is one of the library's own, such as [EndpointDisabled].
//
// A [Tenant] is shown its own endpoints only. An event without a tenant costs a look at
// every endpoint, some 30 ms for 100,000; any other one only at those that may be listed.
func (v *view) ExplainEvent(ctx context.Context, ev Event) ([]Route, error) {
	if err := v.check(ctx); err != nil {
		return nil, err
	}
	ev, err := v.complete(ev)
	if err != nil {
		return nil, err
	}
	if err := v.h.refresh(ctx, nil, staleAfter); err != nil {
		return nil, err
	}
	r := router{view: v, ev: ev, private: v.h.isPrivate(ev.Type)}
	if v.all { // from a notice that a tenant makes up, it would learn whose subscriber is named in it
		r.private = v.h.isForHandlers(ev)
	}
	routes := slices.Concat(r.receivers(), r.others())
	slices.SortFunc(routes, func(a, b Route) int { return cmp.Compare(a.Subscriber, b.Subscriber) })
	return routes, nil
}

// A router finds the routes of one event. Call receivers first.
type router struct {
	*view
	ev       Event
	private  bool
	receives map[string]bool // the ids of the receivers, also of those that are not shown
}

// receivers returns the routes of the subscribers that receive the event.
func (r *router) receivers() (routes []Route) {
	matches := r.h.dir.matches(r.ev.Tenant, r.ev.Type, r.private)
	r.receives = make(map[string]bool, len(matches))
	for _, m := range matches {
		r.receives[m.id] = true
		if r.all || r.endpoint(m.id) != nil {
			routes = append(routes, Route{m.id, true, r.becauseReceived(m.id)})
		}
	}
	return routes
}

// becauseReceived says why a subscriber receives the event, or that it is held.
func (r *router) becauseReceived(id string) string {
	if s := r.h.subscriber(id); s.obstacle == held && s.health.Why == notVerified {
		return becauseUnverified
	} else if s.obstacle == held {
		return becauseDisabled
	}
	return becausePattern
}

// others returns the routes of at most mostOthers subscribers that do not receive the
// event. A tenant is shown its own endpoints only.
func (r *router) others() []Route {
	routes := r.otherEndpoints(r.ev.Tenant, true)
	if r.all {
		routes = slices.Concat(routes, r.otherHandlers(), r.otherEndpoints("", false))
	}
	return routes[:min(len(routes), mostOthers)]
}

// otherEndpoints returns the routes of at most mostOthers endpoints that do not receive
// the event: those of the event's tenant if own, and otherwise those of other tenants. It
// looks at the endpoints of one tenant, or with an empty tenant at all.
func (r *router) otherEndpoints(tenant string, own bool) (routes []Route) {
	for after, more := "", true; more && len(routes) < mostOthers; {
		var page []*endpoint
		page, more = r.h.dir.page(tenant, after, mostOthers)
		for _, e := range page {
			after = e.ID
			if (e.Tenant == r.ev.Tenant) == own && !r.receives[e.ID] {
				routes = append(routes, Route{e.ID, false, r.because(e)})
			}
		}
	}
	return routes
}

// because says why an endpoint does not receive the event.
func (r *router) because(e *endpoint) string {
	switch {
	case e.Tenant != r.ev.Tenant:
		return becauseTenant
	case r.private && slices.ContainsFunc(e.Events, func(p string) bool { return pattern(p).match(r.ev.Type) }):
		return becausePrivate
	}
	return becausePattern
}

// otherHandlers returns the routes of handlers that do not receive the event.
func (r *router) otherHandlers() (routes []Route) {
	for _, name := range r.h.dir.handlerNames() {
		if !r.receives[name] && !r.h.dir.isEndpoint(name) {
			routes = append(routes, Route{name, false, becausePattern})
		}
	}
	return routes
}

// handlerNames returns the names of all handlers that have a record or are of this process,
// sorted.
func (dir *directory) handlerNames() []string {
	dir.mu.RLock()
	defer dir.mu.RUnlock()
	return slices.Sorted(maps.Keys(dir.handlers))
}
