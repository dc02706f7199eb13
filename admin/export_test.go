package admin

// A Route is a row of the table of routes, for tests that are made from it.
type Route struct {
	Method, Path string
	Level        Level
	Action       string
	Operator     bool
}

// Routes returns the table of routes.
func Routes() []Route {
	list := make([]Route, len(routes))
	for i, rt := range routes {
		list[i] = Route{rt.method, rt.path, rt.level, rt.action, rt.operator}
	}
	return list
}
