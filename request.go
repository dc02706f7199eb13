package hooks

import (
	"context"
	"fmt"
	"net/http"
)

// Request returns the request that an attempt at a delivery would send now, signed as of
// now, also if the delivery waits or is final. It is for display: the next attempt signs
// anew, and sends to the URL that the endpoint has then. The request has ctx as its
// context. Nothing is sent or stored.
//
// The request holds the whole URL with its tokens, the values of the endpoint's Header,
// and a signature that receivers accept for some minutes. So show it only to somebody who
// may know the endpoint's secrets.
//
// A delivery that does not exist, or whose event or endpoint was deleted, is
// [ErrNotFound]. One for a handler has no request, which is an [*InvalidError]. An endpoint
// whose secrets cannot be decrypted is [ErrUndecryptable]. A URL that [Config].Egress does
// not allow is an [*egress.Error].
func (v *view) Request(ctx context.Context, id DeliveryID) (*http.Request, error) {
	if err := v.check(ctx); err != nil {
		return nil, err
	}
	if err := v.h.refresh(ctx, nil, staleAfter); err != nil {
		return nil, err
	}
	d, err := v.Delivery(ctx, id)
	if err != nil {
		return nil, err
	}
	w, err := v.webhookOf(d)
	if err != nil {
		return nil, err
	}
	ev, err := v.Event(ctx, id.Event)
	if err != nil {
		return nil, err
	}
	req, err := w.request(ctx, ev, v.h.now())
	if err != nil {
		return nil, fmt.Errorf("hooks: request of delivery %v: %w", id, err)
	}
	return req, nil
}

// webhookOf returns the sender of a delivery to an endpoint.
func (v *view) webhookOf(d Delivery) (*webhook, error) {
	s := v.h.subscriber(d.Subscriber)
	w, ok := s.sender.(*webhook)
	switch {
	case s.obstacleTo(d).forGood():
		return nil, fmt.Errorf("hooks: delivery %v: its subscriber was deleted: %w", d.DeliveryID, ErrNotFound)
	case !ok:
		return nil, invalid("DeliveryID", "%v is for a handler, which is called without a request; choose a delivery to an endpoint", d.DeliveryID)
	case w.endpoint.closed != nil:
		return nil, fmt.Errorf("hooks: delivery %v: %w", d.DeliveryID, w.endpoint.closed)
	}
	return w, nil
}
