package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"example.com/hooks"
	"example.com/hooks/store/postgres/internal/batch"
)

// Enqueue implements [hooks.Tx]. Calls that come at the same time share a transaction. One
// that names an event or idempotency key which somebody's open transaction has
// written waits for that one, for about three seconds, and then is [ErrTimeout].
func (s *Store) Enqueue(ctx context.Context, now time.Time, entries []hooks.Entry) ([]hooks.Receipt, error) {
	s.told(now)
	o := &op{now: now, entries: entries}
	err := s.writer.submit(ctx, o)
	s.bounds.Wrote(entries, nil)
	if err != nil {
		return nil, explain(ctx, "enqueue", err)
	}
	return o.receipts, nil
}

// An insertion is an entry on its way into the database.
type insertion struct {
	*hooks.Entry
	now     time.Time
	receipt *hooks.Receipt
}

// insertions returns one for each entry, and where their receipts will be.
func insertions(now time.Time, entries []hooks.Entry) ([]insertion, []hooks.Receipt) {
	receipts := make([]hooks.Receipt, len(entries))
	list := make([]insertion, len(entries))
	for i := range entries {
		list[i] = insertion{&entries[i], now, &receipts[i]}
	}
	return list, receipts
}

// insert returns the statements that write entries. Those that name the same
// event or idempotency key come one after the other, so that the later one sees
// the earlier. Entries to Add to must be known to exist; see [missing].
// Bold statements fail if an event or a key is there already.
func insert(list []insertion, bold bool) (sts []batch.Statement) {
	for len(list) > 0 {
		n := apart(list)
		sts = append(sts, insertWave(list[:n], bold)...)
		list = list[n:]
	}
	return sts
}

// usualGroup is how many different rows room is made for. With room for all that are
// left, a batch of one event again and again would take the square of its length.
const usualGroup = 64

// apart returns how many of the first entries have nothing in common, and are all
// to be added to or none.
func apart(list []insertion) int {
	ids, keys := make(map[string]bool, min(len(list), usualGroup)), make(map[[2]string]bool)
	for i, in := range list {
		ev := &in.Event
		key := [2]string{ev.Tenant, ev.IdempotencyKey}
		if ids[ev.ID] || keys[key] || in.Add != list[0].Add {
			return i
		}
		ids[ev.ID] = true
		if ev.IdempotencyKey != "" {
			keys[key] = true
		}
	}
	return len(list)
}

var (
	inputSQL = `WITH input AS ` + keyedEventInput.Table(1)

	// takenSQL takes the idempotency keys of events that are not there yet, where
	// nobody has them, or not any more. The time at which an event is stored is not in
	// the row that conflicts; it is looked up in an object that is made once, because a
	// subquery on input would read all of it for each key.
	takenSQL = `, taken AS (
		INSERT INTO hooks.keys AS k (tenant, key, event_id, until)
		SELECT i.tenant, i.idempotency_key, i.id, i.key_until FROM input i
		WHERE i.idempotency_key <> '' AND (SELECT e.id FROM hooks.events e WHERE e.id = i.id) IS NULL
		ORDER BY i.tenant, i.idempotency_key
		ON CONFLICT (tenant, key) DO UPDATE SET event_id = excluded.event_id, until = excluded.until
		WHERE k.until <= ((SELECT pg_catalog.jsonb_object_agg(i.id, i.stored) FROM input i) ->> excluded.event_id)::pg_catalog.timestamptz
		RETURNING event_id
	)`
	storedSQL = `, stored AS (
		INSERT INTO hooks.events (` + eventInput.Names() + `)
		SELECT ` + eventInput.Stored() + ` FROM input `

	// deliveriesSQL ends the statement. IS TRUE has the events looked up in a hash
	// table; without it there would be a join.
	deliveriesSQL = ` ORDER BY ord ON CONFLICT (id) DO NOTHING RETURNING id
	), added AS (
		INSERT INTO hooks.deliveries (` + deliveryInput.Names() + `)
		SELECT ` + deliveryInput.Names() + ` FROM ` + deliveryInput.Table(len(eventInput)+2) + ` AS d
		WHERE (event_id IN (SELECT id FROM stored)) IS TRUE
		ORDER BY ord ON CONFLICT (event_id, subscriber) DO NOTHING
	)
	SELECT id FROM stored`

	insertSQL      = inputSQL + storedSQL + deliveriesSQL
	insertKeyedSQL = inputSQL + takenSQL + storedSQL +
		`WHERE idempotency_key = '' OR (id IN (SELECT event_id FROM taken)) IS TRUE` + deliveriesSQL

	// Nearly all events are new, so a group is first inserted without looking ("boldly"),
	// which costs the server a quarter less. Rows are locked in the same order as by the
	// careful statements, or two groups could deadlock: keys, events, deliveries.
	// PostgreSQL runs the WITH clause last here. It does not promise that; if it changes,
	// one of two crossing groups is repeated. The rows of unnested arrays come in the
	// arrays' order, and are numbered so, without a sort, which would cost a tenth.
	boldKeysSQL = `INSERT INTO hooks.keys (` + keyInput.Names() + `, until)
		SELECT ` + keyInput.Names() + `, key_until FROM ` + keyUntilInput.Table(1) + ` AS i
		ORDER BY tenant, key`
	boldSQL = `WITH added AS (
		INSERT INTO hooks.deliveries (` + deliveryInput.Names() + `)
		SELECT ` + deliveryInput.Names() + ` FROM ` + deliveryInput.Table(1+len(eventInput)) + ` AS d
	)
	INSERT INTO hooks.events (` + eventInput.Names() + `)
	SELECT ` + eventInput.Stored() + ` FROM ` + eventInput.Table(1) + ` AS i`

	addSQL = `WITH added AS (
		INSERT INTO hooks.deliveries (` + deliveryInput.Names() + `)
		SELECT ` + deliveryInput.Names() + ` FROM ` + deliveryInput.Table(1) + ` AS d
		ORDER BY ord ON CONFLICT (event_id, subscriber) DO NOTHING RETURNING event_id
	), heard AS (
		UPDATE hooks.events SET unheard = false
		WHERE id = ANY(ARRAY(SELECT event_id FROM added)) AND unheard
	)
	SELECT event_id, pg_catalog.count(*) FROM added GROUP BY event_id`
)

const (
	// A key is given back if its event was stored by somebody else meanwhile, with
	// another key or none.
	giveKeysBackSQL = `DELETE FROM hooks.keys WHERE event_id = ANY($1::pg_catalog.text[]) AND ctid = ANY(ARRAY(
		SELECT k.place FROM unnest($1::pg_catalog.text[], $2::pg_catalog.text[], $3::pg_catalog.text[]) AS i (id, tenant, key) CROSS JOIN LATERAL (
			SELECT k.ctid AS place FROM hooks.keys k
			WHERE k.tenant = i.tenant AND k.key = i.key AND k.event_id = i.id LIMIT 1) AS k
		WHERE (SELECT e.id FROM hooks.events e
			WHERE e.id = i.id AND (e.tenant <> i.tenant OR e.idempotency_key <> i.key)) IS NOT NULL))`
	holdersSQL = `SELECT i.id, coalesce(
			(SELECT e.id FROM hooks.events e WHERE e.id = i.id),
			(SELECT k.event_id FROM hooks.keys k WHERE k.tenant = i.tenant AND k.key = i.key), i.id)
		FROM unnest($1::pg_catalog.text[], $2::pg_catalog.text[], $3::pg_catalog.text[]) AS i (id, tenant, key)`
	// Prune, which removes events, waits for this lock and then looks again.
	existSQL = `SELECT id FROM hooks.events WHERE id = ANY($1::pg_catalog.text[]) ORDER BY id FOR KEY SHARE`
)

// insertWave returns the statements for entries that have nothing in common, and
// are all to be added to or none.
func insertWave(list []insertion, bold bool) []batch.Statement {
	receipts := make(map[string]*hooks.Receipt, len(list))
	for _, in := range list {
		receipts[in.Event.ID] = in.receipt
		*in.receipt = hooks.Receipt{EventID: in.Event.ID}
	}
	if list[0].Add {
		return []batch.Statement{addDeliveries(list, receipts)}
	}
	return storeEvents(list, receipts, bold)
}

// addDeliveries returns the statement that adds what stored events do not have.
func addDeliveries(list []insertion, receipts map[string]*hooks.Receipt) batch.Statement {
	return batch.Statement{SQL: addSQL, Args: deliveryInput.Args(newDeliveries(list)), Each: func(r batch.Row) error {
		var id string
		var n int
		err := r.Scan(&id, &n)
		if err == nil {
			receipts[id].Deliveries = n
		}
		return err
	}}
}

// storeEvents returns the statements that store events with their deliveries. Unless
// they are bold, each is a duplicate until the database says that it has stored it.
func storeEvents(list []insertion, receipts map[string]*hooks.Receipt, bold bool) []batch.Statement {
	var keyed []insertion
	for _, in := range list {
		in.receipt.Duplicate, in.receipt.Deliveries = !bold, subscribers(in.Entry)
		if in.Event.IdempotencyKey != "" {
			keyed = append(keyed, in)
		}
	}
	deliveries := deliveryInput.Args(newDeliveries(list))
	if bold {
		args := slices.Concat(eventInput.Args(list), deliveries)
		return append(takeKeys(keyed), batch.Statement{SQL: boldSQL, Args: args})
	}
	stored := func(r batch.Row) error {
		var id string
		err := r.Scan(&id)
		if err == nil {
			receipts[id].Duplicate = false
		}
		return err
	}
	args := slices.Concat(keyedEventInput.Args(list), deliveries)
	if len(keyed) == 0 {
		return []batch.Statement{{SQL: insertSQL, Args: args, Each: stored}}
	}
	keys := keyInput.Args(keyed)
	return []batch.Statement{
		{SQL: insertKeyedSQL, Args: args, Each: stored},
		{SQL: giveKeysBackSQL, Args: keys},
		{SQL: holdersSQL, Args: keys, Each: func(r batch.Row) error {
			var id, holder string
			err := r.Scan(&id, &holder)
			if err == nil && receipts[id].Duplicate {
				receipts[id].EventID = holder
			}
			return err
		}},
	}
}

// takeKeys returns the bold statement that takes the keys of events, if there are any.
func takeKeys(keyed []insertion) []batch.Statement {
	if len(keyed) == 0 {
		return nil
	}
	return []batch.Statement{{SQL: boldKeysSQL, Args: keyUntilInput.Args(keyed)}}
}

// closed returns receipts as they are to be when all statements have run: a
// duplicate has no deliveries.
func closed(receipts []hooks.Receipt) []hooks.Receipt {
	for i := range receipts {
		if receipts[i].Duplicate {
			receipts[i].Deliveries = 0
		}
	}
	return receipts
}

// subscribers counts those of an entry.
func subscribers(e *hooks.Entry) int {
	if len(e.Deliveries) < 2 {
		return len(e.Deliveries)
	}
	names := make(map[string]bool, len(e.Deliveries))
	for _, d := range e.Deliveries {
		names[d.Subscriber] = true
	}
	return len(names)
}

// enqueueIn writes entries in a session. If it returns [hooks.ErrNotFound], it has changed
// nothing, unless the event that is missing comes before in entries and is a duplicate by its
// idempotency key: then the transaction must be rolled back.
func enqueueIn(ctx context.Context, to batch.Session, now time.Time, entries []hooks.Entry) ([]hooks.Receipt, error) {
	if err := missing(ctx, to, entries); err != nil {
		return nil, err
	}
	list, receipts := insertions(now, entries)
	if !adds(entries) {
		if err := to.Run(ctx, insert(list, false)...); err != nil {
			return nil, err
		}
		return closed(receipts), nil
	}
	for len(list) > 0 {
		n := apart(list)
		if list[0].Add {
			if err := missing(ctx, to, entries[len(entries)-len(list):][:n]); err != nil {
				return nil, err
			}
		}
		if err := to.Run(ctx, insertWave(list[:n], false)...); err != nil {
			return nil, err
		}
		list = list[n:]
	}
	return closed(receipts), nil
}

// missing returns [hooks.ErrNotFound] if an event that an entry adds to is neither
// stored nor comes before it. Until the transaction ends, none of them can go.
func missing(ctx context.Context, in batch.Session, entries []hooks.Entry) error {
	known := make(map[string]bool)
	var wanted []string
	for _, e := range entries {
		if e.Add && !known[e.Event.ID] {
			wanted = append(wanted, e.Event.ID)
		}
		known[e.Event.ID] = true
	}
	if len(wanted) == 0 {
		return nil
	}
	found := make(map[string]bool)
	err := in.Run(ctx, batch.Statement{SQL: existSQL, Args: []any{wanted}, Each: func(r batch.Row) error {
		var id string
		err := r.Scan(&id)
		found[id] = true
		return err
	}})
	if err != nil {
		return err
	}
	for _, id := range wanted {
		if !found[id] {
			return fmt.Errorf("event %s: %w", id, hooks.ErrNotFound)
		}
	}
	return nil
}

// waiting reports whether entries have a delivery for others to make.
func waiting(entries []hooks.Entry) bool {
	return slices.ContainsFunc(entries, func(e hooks.Entry) bool {
		return slices.ContainsFunc(e.Deliveries, func(d hooks.Delivery) bool { return d.Status < hooks.Sending })
	})
}

// adds reports whether an entry is to be added to a stored event, which takes more
// than statements that can be sent at once.
func adds(entries []hooks.Entry) bool {
	return slices.ContainsFunc(entries, func(e hooks.Entry) bool { return e.Add })
}
