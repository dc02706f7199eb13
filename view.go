package hooks

import (
	"cmp"
	"context"
)

// A Tenant is a view of one customer's data, to build a portal on. It has those methods of
// [Hooks] that are for customers too. They show:
//
//   - the endpoints of this tenant,
//   - its events, if their type is registered here and not private,
//   - deliveries of such events to endpoints, never to handlers, and their attempts,
//   - the bulk actions that were started through it.
//
// An id of anything else is [ErrNotFound], in the same words as an id that does not exist.
// Pages are as full as those of a list in which nothing is hidden. (But a list that finds
// little in some ten thousand rows gives up, and a page may be short, even empty; only an
// empty next says that there is no more.)
//
// The methods set the Tenant of what they publish, put and list: leave it empty in an
// [Event], an [Endpoint] and a [Query]. Another tenant's id there is an [*InvalidError]. All
// tenants share the ids of events and endpoints. If another tenant has an id already, an
// endpoint with it is refused, and an event with it is a duplicate. So leave ids empty, and
// PutEndpoint and Publish make them.
//
// The texts of these errors may be shown to the customer: [*InvalidError], [*StatusError],
// [ErrNotFound] and [ErrConflict]. A handler of HTTP may answer them with the statuses 400,
// 409, 404 and 409; look for the two types first. Other errors are for the operator.
//
// A function that takes a *Tenant cannot be given a *Hooks by mistake. [Hooks.Tenant] makes
// one; its methods are safe for concurrent use.
type Tenant struct{ view }

// Tenant returns the view of the tenant with an id, such as the customer's in your database.
// It is one line of at most 128 bytes. Hooks keeps no list of tenants, so it need not be
// known before. Tenant costs next to nothing, so make one for each request. If id is
// empty, every method of the view returns an [*InvalidError], and Types returns nothing.
func (h *Hooks) Tenant(id string) *Tenant { return &Tenant{view{h: h, tenant: id}} }

// A view has the methods that [Hooks] and [Tenant] share. It shows everything, or what
// belongs to one tenant.
type view struct {
	h      *Hooks
	all    bool   // everything: the operator's
	tenant string // whose data it shows, unless all
}

// check refuses a nil context, and a view that is nobody's.
func (v *view) check(ctx context.Context) error {
	if v.isNobodys() {
		return invalid("Tenant", "the tenant's id is empty; say whose data is meant")
	}
	return cmp.Or(checkContext(ctx), checkText("Tenant", v.tenant, maxName))
}

func (v *view) isNobodys() bool { return !v.all && v.tenant == "" }

// begin is check for methods that show deliveries. A tenant's view must know which
// subscribers are endpoints, so it reads them.
func (v *view) begin(ctx context.Context) error {
	if err := v.check(ctx); err != nil || v.all {
		return err
	}
	return v.h.refresh(ctx, nil, staleAfter)
}

// own returns the tenant of what somebody publishes, puts or asks for through the view.
// tenant is what they wrote.
func (v *view) own(field, tenant string) (string, error) {
	if v.all {
		return tenant, nil
	}
	if tenant != "" && tenant != v.tenant {
		return "", invalid(field, "%q is not yours; leave it empty", tenant)
	}
	return v.tenant, nil
}

// knows reports whether an event type exists for the view: it is registered, and private
// ones are the operator's.
func (v *view) knows(typ string) bool {
	v.h.mu.Lock()
	defer v.h.mu.Unlock()
	d, ok := v.h.types[typ]
	return ok && (v.all || !d.Private)
}

// showsEvent reports whether the view shows an event.
func (v *view) showsEvent(ev Event) bool {
	return v.all || ev.Tenant == v.tenant && v.knows(ev.Type)
}

// showsDelivery reports whether the view shows a delivery. A subscriber that is or was a
// handler, or of whom nothing is known, is the operator's.
func (v *view) showsDelivery(d Delivery) bool {
	return v.all || d.Tenant == v.tenant && v.knows(d.Type) && v.h.dir.wasOnlyEndpoint(d.Subscriber)
}

// endpoint returns the endpoint with an id, or nil if there is none that the view shows.
// The caller must not change it.
func (v *view) endpoint(id string) *endpoint {
	e := v.h.dir.endpoint(id)
	if e == nil || !v.all && e.Tenant != v.tenant {
		return nil
	}
	return e
}

// narrow returns q so that a store leaves out what the view does not show, as far as a query
// can say that. Rows that are left out after the store returned them show that they exist:
// with a small Limit, next is not empty. none says that the view shows nothing of what q
// asks for.
func (v *view) narrow(q Query) (_ Query, none bool, err error) {
	if v.all {
		return q, false, nil
	}
	if _, err := q.Position(); err != nil {
		return q, false, err
	}
	if len(q.Types) == 0 {
		q.Types = v.types()
	}
	e := v.h.dir.endpoint(q.Subscriber)
	foreign := e != nil && e.Tenant != v.tenant
	return q, len(q.Types) == 0 || foreign || q.Subscriber != "" && !v.h.dir.wasOnlyEndpoint(q.Subscriber), nil
}

const (
	tenantPage = 1000 // rows of a tenant's page at most
	mostToFill = 100  // pages of the store that are read for one of a tenant's
	mostShort  = 4    // of them that the store may end early, before the page ends too
)

// fill returns a page of the rows that a tenant is shown. It reads on in the store until the
// page is full: a short one would tell how many rows were left out of it. After 100 pages of
// the store, or 4 that the store has ended because it had examined enough, it gives up, so
// that a list does not take for ever.
func fill[T any](
	ctx context.Context, list func(context.Context, Query) (page []T, next string, err error), q Query,
	shows func(T) bool, seq func(T) int64,
) (rows []T, next string, err error) {
	q.Limit = q.PageSize(tenantPage)
	short := 0
	for range mostToFill {
		page, next, err := list(ctx, q)
		if err != nil {
			return nil, "", err
		}
		for _, row := range page {
			if !shows(row) {
				continue
			}
			if rows = append(rows, row); len(rows) == q.Limit {
				return rows, Cursor(seq(row)), nil
			}
		}
		if next == "" {
			return rows, "", nil
		}
		q.Cursor = next
		if len(page) == q.Limit {
			continue
		}
		if short++; short == mostShort {
			break
		}
	}
	return rows, q.Cursor, nil
}

// receipts returns receipts as the view shows them: a tenant's do not count deliveries to
// handlers, and name another event, which had the idempotency key first, only if shows
// reports that it is shown.
func (v *view) receipts(entries []Entry, receipts []Receipt, shows func(event string) bool) []Receipt {
	if v.all {
		return receipts
	}
	for i := range receipts {
		if r := &receipts[i]; r.Duplicate {
			if r.EventID != entries[i].Event.ID && !shows(r.EventID) {
				r.EventID = ""
			}
			continue
		}
		receipts[i].Deliveries = 0
		for _, d := range entries[i].Deliveries {
			if v.endpoint(d.Subscriber) != nil {
				receipts[i].Deliveries++
			}
		}
	}
	return receipts
}

// finds reports whether the view shows the event with an id. It reports false if the store
// cannot be asked.
func (v *view) finds(ctx context.Context, event string) bool {
	_, err := v.Event(ctx, event)
	return err == nil
}
