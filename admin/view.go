package admin

import (
	"context"
	"net/http"
	"time"

	"example.com/hooks"
)

// A view is what one request may see: a [hooks.Hooks] for the operator, or a [hooks.Tenant].
type view interface {
	Publish(context.Context, hooks.Event) (hooks.Receipt, error)
	Types() []hooks.TypeInfo

	PutEndpoint(context.Context, hooks.Endpoint) (hooks.Endpoint, error)
	Endpoint(ctx context.Context, id string) (hooks.Endpoint, error)
	Endpoints(context.Context, hooks.Query) (page []hooks.Endpoint, next string, err error)
	DeleteEndpoint(ctx context.Context, id string) error
	RotateSecret(ctx context.Context, id string, r hooks.Rotation) (hooks.Endpoint, error)
	DisableEndpoint(ctx context.Context, id, reason string, until time.Time) error
	EnableEndpoint(ctx context.Context, id string) error
	EndpointHealth(ctx context.Context, id string) (hooks.EndpointHealth, error)
	EndpointHealths(context.Context, hooks.Query) (page []hooks.EndpointHealth, next string, err error)
	SendTest(ctx context.Context, endpoint string, ev hooks.Event) (hooks.Attempt, error)
	VerifyEndpoint(ctx context.Context, id string) (hooks.Attempt, error)
	CheckURL(raw string) error

	Event(ctx context.Context, id string) (hooks.Event, error)
	Events(context.Context, hooks.Query) (page []hooks.Event, next string, err error)
	Delivery(context.Context, hooks.DeliveryID) (hooks.Delivery, error)
	Deliveries(context.Context, hooks.Query) (page []hooks.Delivery, next string, err error)
	Attempts(context.Context, hooks.DeliveryID) ([]hooks.Attempt, error)
	Request(context.Context, hooks.DeliveryID) (*http.Request, error)
	Backlog(context.Context, hooks.Query) (page []hooks.Backlog, next string, err error)
	Activity(context.Context, hooks.Query) ([]hooks.Minute, error)
	ExplainEvent(context.Context, hooks.Event) ([]hooks.Route, error)
	ExplainDelivery(context.Context, hooks.DeliveryID) (hooks.Explanation, error)

	Replay(context.Context, hooks.DeliveryID) (hooks.Delivery, error)
	Cancel(context.Context, hooks.DeliveryID) (hooks.Delivery, error)
	StartAction(context.Context, hooks.Action) (hooks.Action, error)
	StopAction(ctx context.Context, id string) (hooks.Action, error)
	Action(ctx context.Context, id string) (hooks.Action, error)
	Actions(context.Context, hooks.Query) (page []hooks.Action, next string, err error)
}

var (
	_ view = (*hooks.Hooks)(nil)
	_ view = (*hooks.Tenant)(nil)
)

// sees returns the view that an access gives.
func (h *handler) sees(a Access) view {
	if a.AllTenants {
		return h.hooks
	}
	return h.hooks.Tenant(a.Tenant)
}
