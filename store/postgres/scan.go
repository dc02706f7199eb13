package postgres

import (
	"time"

	"example.com/hooks"
)

// The fields of rows, in the order of the columns that are read.

func deliveryFields(d *hooks.Delivery) []any {
	return []any{
		&d.Seq, &d.Event, &d.Subscriber, &d.Type, &d.Tenant, &d.OrderingKey, &d.Status, &d.Reason,
		&d.Due, &d.Run, &d.Attempts, &d.Lost, &d.Token, &d.Created, &d.Updated, &d.Code, &d.Error,
	}
}

func eventFields(ev *hooks.Event) []any {
	return []any{
		&ev.Seq, &ev.ID, &ev.Type, &ev.Tenant, &ev.Time, &ev.OrderingKey, &ev.IdempotencyKey,
		(*zeroTime)(&ev.DeliverAt), (*zeroTime)(&ev.ExpiresAt), &ev.Metadata, &ev.Fanout, (*[]byte)(&ev.Data),
	}
}

func scanDelivery(r row) (d hooks.Delivery, err error) {
	err = r.Scan(deliveryFields(&d)...)
	return deliveryInUTC(d), err
}

func scanEvent(r row) (ev hooks.Event, err error) {
	err = r.Scan(eventFields(&ev)...)
	return eventInUTC(ev), err
}

func scanAttempt(r row) (a hooks.Attempt, err error) {
	err = r.Scan(&a.Run, &a.Number, &a.Token, &a.Start,
		&a.DNS, &a.Connect, &a.TLS, &a.Wait, &a.Took, &a.URL, &a.Code, &a.Error,
		&a.RetryAfter, &a.Header, &a.Body, &a.BodyCut, &a.Instance)
	a.Start = a.Start.UTC()
	return a, err
}

// The driver returns times in the zone of this process.

func deliveryInUTC(d hooks.Delivery) hooks.Delivery {
	d.Due, d.Created, d.Updated = d.Due.UTC(), d.Created.UTC(), d.Updated.UTC()
	return d
}

func eventInUTC(ev hooks.Event) hooks.Event {
	ev.Time, ev.DeliverAt, ev.ExpiresAt = ev.Time.UTC(), ev.DeliverAt.UTC(), ev.ExpiresAt.UTC()
	return ev
}

// A zeroTime scans a time, and null as the zero one.
type zeroTime time.Time

func (z *zeroTime) Scan(src any) error {
	t, _ := src.(time.Time) // nil otherwise: the column has no other type
	*z = zeroTime(t)
	return nil
}
