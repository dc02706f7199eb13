package postgres

import (
	"cmp"
	"context"
	"slices"
	"time"

	"example.com/hooks"
)

// Claim is [hooks.Store]'s. Of deliveries with an ordering key it parks those that
// are blocked, some thousands at a time; so it may return fewer than there are. What
// another dispatcher is claiming is passed over. If ctx ends while it is at work,
// what it has leased is given back.
func (s *Store) Claim(ctx context.Context, now time.Time, lanes []hooks.Lane) ([]hooks.Entry, error) {
	lanes = slices.DeleteFunc(slices.Clone(lanes), func(l hooks.Lane) bool { return l.Max <= 0 })
	if len(lanes) == 0 {
		return nil, ctx.Err()
	}
	caller := ctx
	entries, err := detached(ctx, func(ctx context.Context) ([]hooks.Entry, error) {
		return s.claim(ctx, caller, now, lanes)
	}, func(leased []hooks.Entry) { s.giveBack(now, leased) })
	return entries, explain(ctx, "claim", err)
}

// giveBack ends leases that nobody has: the deliveries are due again.
func (s *Store) giveBack(now time.Time, leased []hooks.Entry) {
	var changes []hooks.Change
	for _, e := range leased {
		for _, d := range e.Deliveries {
			d.Status, d.Due = hooks.Pending, now
			if d.Attempts > 0 {
				d.Status = hooks.Retrying
			}
			changes = append(changes, hooks.Change{Delivery: d})
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, _ = s.Update(ctx, now, changes) // or else they end by themselves
}

const (
	lanesTable = `unnest($1::text[], $2::int[], $3::timestamptz[], $4::timestamptz[]) WITH ORDINALITY
		AS l (subscriber, most, before, lease_until, lane)`
	isDue = ` d.due <= l.before AND d.status <= 3 AND (d.status <> 3 OR d.due <= $5::timestamptz) `
	lease = ` status = 3, parked = false, lost = d.lost + (d.status = 3)::int, token = d.token + 1 `

	deliveryColumnsSQL = `d.seq, d.event_id, d.subscriber, d.type, d.tenant, d.ordering_key, d.status, d.reason,
		d.due, d.run, d.attempts, d.lost, d.token, d.created, d.updated, d.code, d.error`
	eventColumnsSQL = `e.seq, e.id, e.type, e.tenant, e.time, e.ordering_key, e.idempotency_key, e.deliver_at,
		e.expires_at, e.metadata, e.fanout, e.data`

	claimSQL = `WITH due AS MATERIALIZED (
			SELECT c.*, l.lane, l.lease_until FROM ` + lanesTable + ` CROSS JOIN LATERAL (
				SELECT d.ctid AS place, d.due, d.ordering_key FROM hooks.deliveries d
				WHERE d.subscriber = l.subscriber AND NOT d.parked AND ` + isDue + `
				ORDER BY d.due, d.seq LIMIT l.most FOR UPDATE SKIP LOCKED) AS c
		), leased AS (
			UPDATE hooks.deliveries d SET due = due.lease_until, ` + lease + `
			FROM due WHERE d.ctid = due.place AND due.ordering_key = ''
			RETURNING due.lane, due.due AS was, d.*
		)
		SELECT d.lane, d.was, ` + deliveryColumnsSQL + `, ` + eventColumnsSQL + `
		FROM leased d CROSS JOIN LATERAL (SELECT * FROM hooks.events e WHERE e.id = d.event_id LIMIT 1) AS e`
	// metSQL lists those that stand in the way because they have a key.
	metSQL = `SELECT l.lane, c.tenant, c.ordering_key, c.seq
		FROM ` + lanesTable + ` CROSS JOIN LATERAL (
			SELECT d.tenant, d.ordering_key, d.due, d.seq FROM hooks.deliveries d
			WHERE d.subscriber = l.subscriber AND NOT d.parked AND ` + isDue + `
			ORDER BY d.due, d.seq LIMIT l.most) AS c
		WHERE c.ordering_key <> '' ORDER BY l.lane, c.due, c.seq`
)

// parkings is how often one claim looks again after it has set something aside.
const parkings = 10

// claim leases until the lanes are full, nothing stands in the way any more, or the
// caller has gone.
func (s *Store) claim(ctx, caller context.Context, now time.Time, lanes []hooks.Lane) ([]hooks.Entry, error) {
	found := gathering{next: newNextRow()}
	for _, l := range lanes {
		found.room = append(found.room, l.Max)
	}
	for range parkings {
		parked, err := s.claimOnce(ctx, now, lanes, &found)
		if err != nil {
			return nil, err
		}
		if parked == 0 || slices.Max(found.room) <= 0 || caller.Err() != nil {
			break
		}
	}
	return found.entries(), nil
}

// claimOnce leases what has no ordering key, and then the first of each line that
// it has met on the way. It returns how many it has parked.
func (s *Store) claimOnce(ctx context.Context, now time.Time, lanes []hooks.Lane, found *gathering) (parked int, err error) {
	var subscribers []string
	var before, until []time.Time
	for _, l := range lanes {
		subscribers = append(subscribers, l.Subscriber)
		before = append(before, l.Before)
		until = append(until, l.LeaseUntil)
	}
	args := []any{subscribers, slices.Clone(found.room), before, until, now}
	had := *found
	var met metLines
	err = s.submit(ctx, func() []statement {
		*found = had.clone()
		met = metLines{lanes: lanes, found: found}
		return []statement{{claimSQL, args, found.add}, {metSQL, args, met.add}}
	})
	if err == nil && len(met.keys) > 0 {
		parked, err = s.claimLines(ctx, met, now, found)
	}
	return parked, err
}

// maxLines is how many lines one transaction locks, for the server's table of locks
// is the application's too. What has no place is met again.
const maxLines = 200

// metLines are the lines that a claim has met, each once, as columns.
type metLines struct {
	lanes []hooks.Lane
	found *gathering
	room  []int // how many more may be met in each lane
	seen  map[line]bool
	seqs  []int64 // of the deliveries that were met

	lane                       []int
	subscribers, tenants, keys []string
	before, until              []time.Time
}

// add takes in a line of which a delivery was met, unless that comes too late for
// its lane to have room.
func (m *metLines) add(r row) error {
	var lane int
	var l line
	var seq int64
	if err := r.Scan(&lane, &l.tenant, &l.key, &seq); err != nil {
		return err
	}
	if m.room == nil {
		m.room, m.seen = slices.Clone(m.found.room), make(map[line]bool)
	}
	i := lane - 1
	l.subscriber = m.lanes[i].Subscriber
	if m.room[i]--; m.room[i] < 0 {
		return nil
	}
	m.seqs = append(m.seqs, seq)
	if m.seen[l] || len(m.keys) == maxLines {
		return nil
	}
	m.seen[l] = true
	m.lane = append(m.lane, lane)
	m.subscribers = append(m.subscribers, l.subscriber)
	m.tenants = append(m.tenants, l.tenant)
	m.keys = append(m.keys, l.key)
	m.before = append(m.before, m.lanes[i].Before)
	m.until = append(m.until, m.lanes[i].LeaseUntil)
	return nil
}

const (
	metTable = `unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $6::timestamptz[], $7::bigint[])
		AS l (subscriber, tenant, key, before, lease_until, lane)`
	// firstInLine is what goes next: the one in flight, or else the first.
	firstInLine = `coalesce(
			(SELECT d.seq FROM hooks.deliveries d WHERE ` + inLine + ` AND d.status = 3 LIMIT 1),
			least(
				(SELECT d.seq FROM hooks.deliveries d
				WHERE ` + inLine + ` AND d.status < 3 AND NOT d.parked ORDER BY d.seq + 0 LIMIT 1),
				(SELECT d.seq FROM hooks.deliveries d
				WHERE ` + inLine + ` AND d.status < 3 AND d.parked ORDER BY d.seq + 0 LIMIT 1)))`

	claimFirstSQL = `WITH line AS MATERIALIZED (SELECT l.*, ` + firstInLine + ` AS seq FROM ` + metTable + `
		), first AS MATERIALIZED (
			SELECT l.*, d.place, d.due AS was FROM line l CROSS JOIN LATERAL (
				SELECT d.ctid AS place, d.due FROM hooks.deliveries d
				WHERE d.seq = l.seq LIMIT 1 FOR UPDATE SKIP LOCKED) AS d
			WHERE l.seq = ANY($8::bigint[])
		), leased AS (
			UPDATE hooks.deliveries d SET due = l.lease_until, ` + lease + `
			FROM first l WHERE d.ctid = l.place AND ` + isDue + `
			RETURNING l.lane, l.was, d.*
		)
		SELECT d.lane, d.was, ` + deliveryColumnsSQL + `, ` + eventColumnsSQL + `
		FROM leased d CROSS JOIN LATERAL (SELECT * FROM hooks.events e WHERE e.id = d.event_id LIMIT 1) AS e`
	// parkSQL parks what the first of each line blocks. It bounds what one claim
	// writes; the next one parks more. IS FALSE keeps the planner from the index of
	// Claim, which is for other rows.
	parkSQL = `UPDATE hooks.deliveries SET parked = true WHERE (parked OR status > 2) IS FALSE AND ctid = ANY(ARRAY(
		SELECT blocked.place FROM (
			SELECT l.*, ` + firstInLine + ` AS first FROM ` + linesSQL + `
		) AS l CROSS JOIN LATERAL (
			SELECT d.ctid AS place FROM hooks.deliveries d
			WHERE ` + inLine + ` AND d.status < 3 AND NOT d.parked AND d.seq <> l.first
			ORDER BY d.seq + 0 LIMIT 1000 FOR UPDATE SKIP LOCKED
		) AS blocked LIMIT 2000)) RETURNING 1`
)

// claimLines leases those that were met and are the first of their line, and
// parks what these block. Lines that others have locked are left to them.
func (s *Store) claimLines(ctx context.Context, met metLines, now time.Time, found *gathering) (parked int, err error) {
	had := *found
	err = again(ctx, func() error {
		*found, parked = had.clone(), 0
		return s.inTx(ctx, shortly, func(to session) error {
			ours, err := met.lock(ctx, s, to)
			if err != nil || len(ours.keys) == 0 {
				return err
			}
			count := func(row) error { parked++; return nil }
			return to.run(ctx, s,
				statement{claimFirstSQL, append(ours.names(), ours.before, now, ours.until, ours.lane, met.seqs), found.add},
				statement{parkSQL, ours.names(), count})
		})
	})
	return parked, err
}

// lock locks what it can of the lines until the transaction ends, and returns that.
func (m *metLines) lock(ctx context.Context, s *Store, in session) (ours metLines, err error) {
	err = in.run(ctx, s, statement{tryLinesSQL, m.names(), func(r row) error {
		var ord int
		if err := r.Scan(&ord); err != nil {
			return err
		}
		i := ord - 1
		ours.lane = append(ours.lane, m.lane[i])
		ours.subscribers = append(ours.subscribers, m.subscribers[i])
		ours.tenants = append(ours.tenants, m.tenants[i])
		ours.keys = append(ours.keys, m.keys[i])
		ours.before = append(ours.before, m.before[i])
		ours.until = append(ours.until, m.until[i])
		return nil
	}})
	return ours, err
}

func (m *metLines) names() []any { return []any{m.subscribers, m.tenants, m.keys} }

// A gathering is what a claim has leased.
type gathering struct {
	room   []int // how many more may be leased in each lane
	leased []*leased
	next   *nextRow
}

// A nextRow is what a row is read into.
type nextRow struct {
	lane int
	leased
	fields []any // all of the above
}

func newNextRow() *nextRow {
	n := &nextRow{}
	n.fields = slices.Concat([]any{&n.lane, &n.was}, deliveryFields(&n.delivery[0]), eventFields(&n.event))
	return n
}

// A leased delivery, with its event, and when it was due.
type leased struct {
	was      time.Time
	event    hooks.Event
	delivery [1]hooks.Delivery // as an entry has it
}

func (g gathering) clone() gathering {
	return gathering{slices.Clone(g.room), slices.Clip(g.leased), g.next}
}

func (g *gathering) add(r row) error {
	g.next.leased = leased{}
	if err := r.Scan(g.next.fields...); err != nil {
		return err
	}
	l := g.next.leased
	g.room[g.next.lane-1]--
	g.leased = append(g.leased, &l)
	return nil
}

// entries puts each delivery to its event, in the order in which they were due.
func (g *gathering) entries() (list []hooks.Entry) {
	slices.SortFunc(g.leased, func(a, b *leased) int {
		return cmp.Or(a.was.Compare(b.was), cmp.Compare(a.delivery[0].Seq, b.delivery[0].Seq))
	})
	place := make(map[string]int, len(g.leased))
	list = make([]hooks.Entry, 0, len(g.leased))
	for _, l := range g.leased {
		l.delivery[0] = deliveryInUTC(l.delivery[0])
		if i, ok := place[l.event.ID]; ok {
			list[i].Deliveries = append(list[i].Deliveries, l.delivery[0])
			continue
		}
		place[l.event.ID] = len(list)
		list = append(list, hooks.Entry{Event: eventInUTC(l.event), Deliveries: l.delivery[:]})
	}
	return list
}

// The recursion goes from one subscriber to the next, with a seek for each.
const backlogSQL = `WITH RECURSIVE lanes (subscriber) AS (
		(SELECT d.subscriber FROM hooks.deliveries d
			WHERE d.status <= 3 AND NOT d.parked ORDER BY d.subscriber LIMIT 1)
		UNION ALL
		SELECT (SELECT d.subscriber FROM hooks.deliveries d
			WHERE d.subscriber > lanes.subscriber AND d.status <= 3 AND NOT d.parked
			ORDER BY d.subscriber LIMIT 1)
		FROM lanes WHERE lanes.subscriber IS NOT NULL
	)
	SELECT l.subscriber, first.due FROM lanes l CROSS JOIN LATERAL (
		SELECT d.due FROM hooks.deliveries d
		WHERE d.subscriber = l.subscriber AND d.status <= 3 AND NOT d.parked
		ORDER BY d.due LIMIT 1) AS first`

// Backlog is [hooks.Store]'s. Deliveries that wait for another of their ordering
// key do not count once a claim has met them.
func (s *Store) Backlog(ctx context.Context) ([]hooks.Waiting, error) {
	list, err := detached(ctx, func(ctx context.Context) (list []hooks.Waiting, err error) {
		err = s.submit(ctx, func() []statement {
			list = nil
			return []statement{{backlogSQL, nil, func(r row) error {
				var w hooks.Waiting
				err := r.Scan(&w.Subscriber, &w.Due)
				w.Due = w.Due.UTC()
				list = append(list, w)
				return err
			}}}
		})
		return list, err
	}, nil)
	return list, explain(ctx, "backlog", err)
}
