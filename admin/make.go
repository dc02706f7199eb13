package admin

import (
	"errors"
	"net/http"

	"example.com/hooks"
)

// errExists is why an endpoint is not made: its form was sent before, or somebody has taken
// the id.
var errExists = &problem{
	Status: http.StatusConflict, Field: "Endpoint.ID",
	Detail: "There is an endpoint with this id. Choose another id to make another endpoint.",
}

// makeNew stores an endpoint that does not exist yet. PutEndpoint generates an id if there
// is none. With an id, the handler makes one endpoint after the other, so that of two with
// the same id one is refused. It does not keep out other processes.
func (c *call) makeNew(e hooks.Endpoint) (hooks.Endpoint, error) {
	if e.ID == "" {
		return c.view.PutEndpoint(c.r.Context(), e)
	}
	select {
	case c.making <- struct{}{}:
		defer func() { <-c.making }()
	case <-c.r.Context().Done():
		return e, c.r.Context().Err()
	}
	_, err := c.view.Endpoint(c.r.Context(), e.ID)
	switch {
	case err == nil:
		return e, errExists
	case !errors.Is(err, hooks.ErrNotFound):
		return e, err
	}
	return c.view.PutEndpoint(c.r.Context(), e)
}
