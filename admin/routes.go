package admin

import "net/http"

// A route is one address and method: who may use it, and what answers.
type route struct {
	method string
	path   string // below the prefix, without a slash at its beginning, as http.ServeMux writes it
	level  Level  // that the user needs
	// action is what the audit calls the change that the route makes. It is empty for routes
	// that change nothing.
	action   string
	operator bool // for AllTenants only; for others there is no such page
	serve    func(*call) error
}

// changes reports whether the route is for requests that change something, or cost as much
// as if they did. Those of another site are refused.
func (rt route) changes() bool { return rt.method != http.MethodGet }

const (
	get  = http.MethodGet
	post = http.MethodPost
	put  = http.MethodPut
	del  = http.MethodDelete
)

// routes is all that the handler answers, but for the assets.
var routes = []route{
	{get, "{$}", View, "", false, (*call).overviewPage},

	// Deliveries and events.
	{get, "deliveries", View, "", false, (*call).deliveriesPage},
	{get, "failures", View, "", false, (*call).failuresPage},
	{post, "selected/replay", Replay, "delivery.replay", false, (*call).replaySelected},
	{post, "selected/cancel", Replay, "delivery.cancel", false, (*call).cancelSelected},
	{get, "deliveries/{id}", View, "", false, (*call).deliveryPage},
	{get, "deliveries/{id}/body", View, "", false, (*call).downloadBody},
	{get, "deliveries/{id}/response", View, "", false, (*call).downloadResponse},
	{get, "deliveries/{id}/compare", View, "", false, (*call).comparePage},
	{get, "deliveries/{id}/replay", Replay, "", false, (*call).replayPage},
	{post, "deliveries/{id}/replay", Replay, "delivery.replay", false, (*call).replayDelivery},
	{post, "deliveries/{id}/cancel", Replay, "delivery.cancel", false, (*call).cancelDelivery},
	{get, "events", View, "", false, (*call).eventsPage},
	{get, "events/{id}", View, "", false, (*call).eventPage},
	{get, "events/{id}/data", View, "", false, (*call).downloadEvent},
	{get, "search", View, "", false, (*call).searchPage},

	// Endpoints, event types, actions and the system.
	{get, "endpoints", View, "", false, (*call).endpointsPage},
	{get, "new-endpoint", Manage, "", false, (*call).newEndpointPage}, // "endpoints/new" may be an endpoint
	{post, "new-endpoint", Manage, "endpoint.create", false, (*call).makeEndpoint},
	{get, "endpoints/{id}", View, "", false, (*call).endpointPage},
	{get, "endpoints/{id}/edit", Manage, "", false, (*call).editEndpointPage},
	{post, "endpoints/{id}/edit", Manage, "endpoint.change", false, (*call).changeEndpoint},
	{get, "endpoints/{id}/disable", Manage, "", false, (*call).disablePage},
	{post, "endpoints/{id}/disable", Manage, "endpoint.disable", false, (*call).switchOff},
	{post, "endpoints/{id}/enable", Manage, "endpoint.enable", false, (*call).switchOn},
	{get, "endpoints/{id}/delete", Manage, "", false, (*call).deleteEndpointPage},
	{post, "endpoints/{id}/delete", Manage, "endpoint.delete", false, (*call).removeEndpoint},
	{get, "endpoints/{id}/rotate", View, "", false, (*call).backToEndpoint},
	{post, "endpoints/{id}/rotate", Secrets, "endpoint.rotate", false, (*call).rotateSecret},
	{get, "endpoints/{id}/test", View, "", false, (*call).backToEndpoint},
	{post, "endpoints/{id}/test", Replay, "endpoint.test", false, (*call).sendTest},
	{get, "endpoints/{id}/verify", View, "", false, (*call).backToEndpoint},
	{post, "endpoints/{id}/verify", Manage, "endpoint.verify", false, (*call).verifyEndpoint},
	{get, "endpoints/{id}/example", View, "", false, (*call).backToEndpoint},
	{post, "endpoints/{id}/example", Replay, "", false, (*call).fillExample},
	{get, "endpoints/{id}/recover", Manage, "", false, (*call).recoverPage},
	{get, "actions", View, "", false, (*call).actionsPage},
	{post, "actions", Manage, "action.start", false, (*call).beginAction},
	{get, "actions/new", Manage, "", false, (*call).newActionPage},
	{get, "actions/{id}", View, "", false, (*call).actionPage},
	{post, "actions/{id}/stop", Manage, "action.stop", false, (*call).haltAction},
	{get, "types", View, "", false, (*call).typesPage},
	{get, "system", View, "", true, (*call).systemPage},
	{get, "handlers/{id}/delete", Manage, "", true, (*call).handlerPage},
	{post, "handlers/{id}/delete", Manage, "handler.delete", true, (*call).removeHandler},

	// The API, which openapi.json describes.
	{get, "api/v1/openapi.json", View, "", false, (*call).apiDocument},
	{get, "api/v1/types", View, "", false, (*call).apiTypes},
	{get, "api/v1/failures", View, "", false, (*call).apiFailures},
	{get, "api/v1/events", View, "", false, (*call).apiEvents},
	{post, "api/v1/events", Manage, "event.publish", false, (*call).apiPublishEvent},
	{post, "api/v1/events/explain", View, "", false, (*call).apiExplainEvent},
	{get, "api/v1/events/{id}", View, "", false, (*call).apiEvent},
	{get, "api/v1/deliveries", View, "", false, (*call).apiDeliveries},
	{get, "api/v1/deliveries/{id}", View, "", false, (*call).apiDelivery},
	{get, "api/v1/deliveries/{id}/attempts", View, "", false, (*call).apiAttempts},
	{get, "api/v1/deliveries/{id}/explanation", View, "", false, (*call).apiExplainDelivery},
	{get, "api/v1/deliveries/{id}/request", Secrets, "", false, (*call).apiRequest},
	{post, "api/v1/deliveries/{id}/replay", Replay, "delivery.replay", false, (*call).apiReplayDelivery},
	{post, "api/v1/deliveries/{id}/cancel", Replay, "delivery.cancel", false, (*call).apiCancelDelivery},
	{get, "api/v1/endpoints", View, "", false, (*call).apiEndpoints},
	{post, "api/v1/endpoints", Manage, "endpoint.create", false, (*call).apiCreateEndpoint},
	{get, "api/v1/endpoints/{id}", View, "", false, (*call).apiEndpoint},
	{put, "api/v1/endpoints/{id}", Manage, "endpoint.change", false, (*call).apiPutEndpoint},
	{del, "api/v1/endpoints/{id}", Manage, "endpoint.delete", false, (*call).apiDeleteEndpoint},
	{get, "api/v1/endpoint-healths", View, "", false, (*call).apiEndpointHealths},
	{get, "api/v1/endpoints/{id}/health", View, "", false, (*call).apiEndpointHealth},
	{post, "api/v1/endpoints/{id}/rotate", Secrets, "endpoint.rotate", false, (*call).apiRotateEndpoint},
	{post, "api/v1/endpoints/{id}/disable", Manage, "endpoint.disable", false, (*call).apiDisableEndpoint},
	{post, "api/v1/endpoints/{id}/enable", Manage, "endpoint.enable", false, (*call).apiEnableEndpoint},
	{post, "api/v1/endpoints/{id}/test", Replay, "endpoint.test", false, (*call).apiTestEndpoint},
	{post, "api/v1/endpoints/{id}/verify", Manage, "endpoint.verify", false, (*call).apiVerifyEndpoint},
	{post, "api/v1/check-url", View, "", false, (*call).apiCheckURL},
	{get, "api/v1/actions", View, "", false, (*call).apiActions},
	{post, "api/v1/actions", Manage, "action.start", false, (*call).apiStartAction},
	{post, "api/v1/actions/count", Manage, "", false, (*call).apiCountAction},
	{get, "api/v1/actions/{id}", View, "", false, (*call).apiAction},
	{post, "api/v1/actions/{id}/stop", Manage, "action.stop", false, (*call).apiStopAction},
	{get, "api/v1/backlog", View, "", false, (*call).apiBacklog},
	{get, "api/v1/activity", View, "", false, (*call).apiActivity},
	{get, "api/v1/handlers", View, "", true, (*call).apiHandlers},
	{del, "api/v1/handlers/{id}", Manage, "handler.delete", true, (*call).apiDeleteHandler},
	{get, "api/v1/health", View, "", true, (*call).apiHealth},
}
