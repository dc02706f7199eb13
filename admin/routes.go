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
	{get, "deliveries", View, "", false, (*call).deliveriesPage},

	{get, "api/v1/deliveries", View, "", false, (*call).listDeliveries},
}
