package admin

import "example.com/hooks"

// A startData is how to begin, for the pages of an application that has not published
// anything yet.
type startData struct {
	Types          []string // a few
	MoreTypes      int
	Endpoints      []hooks.Endpoint // a few
	MoreEndpoints  bool
	Handlers       []string // a few
	MoreHandlers   int
	HasSubscribers bool
}

// start returns how to begin.
func (c *call) start() (*startData, error) {
	const few = 3
	var s startData
	for _, t := range c.view.Types() {
		switch {
		case isOwn(t.Name): // they are there from the beginning
		case len(s.Types) < few:
			s.Types = append(s.Types, t.Name)
		default:
			s.MoreTypes++
		}
	}
	endpoints, next, err := c.view.Endpoints(c.r.Context(), hooks.Query{Limit: few})
	if err != nil {
		return nil, err
	}
	s.Endpoints, s.MoreEndpoints = endpoints, next != ""
	if c.access.AllTenants {
		handlers, err := c.hooks.Handlers(c.r.Context())
		if err != nil {
			return nil, err
		}
		for _, h := range handlers {
			if len(s.Handlers) < few {
				s.Handlers = append(s.Handlers, h.Name)
			} else {
				s.MoreHandlers++
			}
		}
	}
	s.HasSubscribers = len(s.Endpoints)+len(s.Handlers) > 0
	return &s, nil
}
