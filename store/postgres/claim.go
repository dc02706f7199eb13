package postgres

import (
	"cmp"
	"context"
	"slices"
	"time"

	"example.com/hooks"
	"example.com/hooks/store/postgres/internal/batch"
	"example.com/hooks/store/postgres/internal/bounds"
)

// Claim implements [hooks.Store]. Of deliveries with an ordering key it parks those that are
// blocked, some thousands at a time, so it may return fewer than are due. It passes over
// what another dispatcher is claiming. If ctx ends while it is at work, it gives back what
// it has leased.
func (s *Store) Claim(ctx context.Context, now time.Time, lanes []hooks.ClaimLane) ([]hooks.Entry, error) {
	lanes = slices.DeleteFunc(slices.Clone(lanes), func(l hooks.ClaimLane) bool { return l.Max <= 0 })
	if len(lanes) == 0 {
		return nil, ctx.Err()
	}
	caller := ctx
	entries, err := detached(ctx, func(ctx context.Context) ([]hooks.Entry, error) {
		return s.claim(ctx, caller, now, lanes)
	}, func(leased []hooks.Entry) { s.giveBack(now, leased) })
	return entries, explain(ctx, "claim", err)
}

// giveBack ends leases that nobody was told of, so that the deliveries are due again.
func (s *Store) giveBack(now time.Time, leased []hooks.Entry) {
	var changes []hooks.Change
	for _, e := range leased {
		for _, d := range e.Deliveries {
			changes = append(changes, hooks.Change{Delivery: d.Released(now)})
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, _ = s.update(ctx, now, changes) // if this fails, the leases end by themselves
}

const (
	lanesTable = `unnest($1::pg_catalog.text[], $2::int[], $3::pg_catalog.timestamptz[], $4::pg_catalog.timestamptz[], $6::pg_catalog.timestamptz[], $7::bigint[])
		WITH ORDINALITY AS l (subscriber, most, before, lease_until, from_due, from_seq, lane)`
	isDue = ` d.due <= l.before AND d.status <= 3 AND (d.status <> 3 OR d.due <= $5::pg_catalog.timestamptz) `
	lease = ` status = 3, parked = false, lost = d.lost + (d.status = 3)::int, token = d.token + 1 `

	// claimSQL leases what is due and has no ordering key. It lists what is due and has
	// one, with status 0, which no delivery has. So a claim reads the index only once,
	// which is nearly all that it costs beside a held snapshot, see [bounds].
	claimSQL = `WITH due AS MATERIALIZED (
			SELECT c.*, l.lane, l.lease_until FROM ` + lanesTable + ` CROSS JOIN LATERAL (
				SELECT d.ctid AS place, d.due, d.seq, d.tenant, d.ordering_key FROM hooks.deliveries d
				WHERE d.subscriber = l.subscriber AND (d.due, d.seq) >= (l.from_due, l.from_seq)
					AND NOT d.parked AND ` + isDue + `
				ORDER BY d.due, d.seq LIMIT l.most FOR UPDATE SKIP LOCKED) AS c
		), leased AS (
			UPDATE hooks.deliveries d SET due = due.lease_until, ` + lease + `
			FROM due WHERE d.ctid = due.place AND due.ordering_key = ''
			RETURNING due.lane, due.due AS was, d.*
		)
		SELECT d.lane, d.was, ` + deliveryColumnsSQL + `, ` + eventColumnsSQL + `
		FROM leased d CROSS JOIN LATERAL (SELECT * FROM hooks.events e WHERE e.id = d.event_id LIMIT 1) AS e
		UNION ALL
		SELECT m.lane, m.due, m.seq, '', '', '', m.tenant, m.ordering_key, 0::smallint, '',
			m.due, 0, 0, 0, 0::bigint, m.due, m.due, 0, '',
			0::bigint, '', '', '', m.due, '', '', NULL::pg_catalog.timestamptz, NULL::pg_catalog.timestamptz, NULL::pg_catalog.timestamptz,
			NULL::pg_catalog.json, NULL::pg_catalog.bytea
		FROM due m WHERE m.ordering_key <> ''`
)

// parkings is how often one Claim reads the index again because it has parked something.
const parkings = 10

// claim leases until the lanes are full, or nothing more was parked, or the caller has
// gone.
func (s *Store) claim(ctx, caller context.Context, now time.Time, lanes []hooks.ClaimLane) ([]hooks.Entry, error) {
	found := gathering{next: newNextRow()}
	for _, l := range lanes {
		found.room = append(found.room, l.Max)
	}
	s.told(now)
	for range parkings {
		parked, err := s.claimOnce(ctx, now, lanes, &found)
		if err != nil {
			return nil, err
		}
		if parked == 0 || slices.Max(found.room) <= 0 || caller.Err() != nil {
			break
		}
	}
	entries := found.entries()
	s.bounds.Wrote(entries, nil)
	return entries, nil
}

// claimOnce leases what has no ordering key, and then the first of each line that
// it has met on the way. It returns how many it has parked.
func (s *Store) claimOnce(ctx context.Context, now time.Time, lanes []hooks.ClaimLane, found *gathering) (parked int, err error) {
	var subscribers []string
	var before, until []time.Time
	for _, l := range lanes {
		subscribers = append(subscribers, l.Subscriber)
		before = append(before, l.Before)
		until = append(until, l.LeaseUntil)
	}
	dues, seqs := s.bounds.Of(now, subscribers)
	args := []any{subscribers, slices.Clone(found.room), before, until, now, dues, seqs}
	had := *found
	err = s.submit(ctx, func() []batch.Statement {
		*found = had.clone()
		return []batch.Statement{{SQL: claimSQL, Args: args, Each: found.add}}
	})
	met := found.lines(lanes)
	if err == nil && len(met.keys) > 0 {
		parked, err = s.claimLines(ctx, met, now, found)
	}
	return parked, err
}

// A gathering is what one Claim has found so far.
type gathering struct {
	room   []int // how many more may be leased in each lane
	leased []*leased
	met    []meeting // what the last statement listed
	next   *nextRow
}

// A nextRow is the memory that each row is read into.
type nextRow struct {
	lane int
	leased
	fields []any // pointers to all of the above
}

func newNextRow() *nextRow {
	n := &nextRow{}
	n.fields = slices.Concat([]any{&n.lane, &n.was}, deliveryFields(&n.delivery), eventFields(&n.event))
	return n
}

// A leased is a delivery that was leased, with its event.
type leased struct {
	was      time.Time // when it was due
	event    hooks.Event
	delivery hooks.Delivery
}

func (g gathering) clone() gathering {
	return gathering{room: slices.Clone(g.room), leased: slices.Clip(g.leased), next: g.next}
}

func (g *gathering) add(r batch.Row) error {
	g.next.leased = leased{}
	if err := r.Scan(g.next.fields...); err != nil {
		return err
	}
	l := g.next.leased
	if d := &l.delivery; d.Status == 0 {
		g.met = append(g.met, meeting{g.next.lane, l.was, d.Seq, line{tenant: d.Tenant, key: d.OrderingKey}})
		return nil
	}
	g.room[g.next.lane-1]--
	g.leased = append(g.leased, &l)
	return nil
}

// entries returns what was leased, in the order in which it was due.
func (g *gathering) entries() []hooks.Entry {
	slices.SortFunc(g.leased, func(a, b *leased) int {
		return cmp.Or(a.was.Compare(b.was), cmp.Compare(a.delivery.Seq, b.delivery.Seq))
	})
	deliveries, events := make([]hooks.Delivery, len(g.leased)), make(map[string]*hooks.Event, len(g.leased))
	for i, l := range g.leased {
		deliveries[i], events[l.event.ID] = deliveryInUTC(l.delivery), &l.event
	}
	entries := hooks.GroupByEvent(deliveries)
	for i := range entries {
		entries[i].Event = eventInUTC(*events[entries[i].Event.ID])
	}
	return entries
}

const (
	isUnfinished = ` d.status <= 3 AND NOT d.parked `

	// backlogSQL goes from one subscriber to the next, with a seek for each.
	backlogSQL = `WITH RECURSIVE lanes (subscriber, due, seq) AS (
			(SELECT d.subscriber, d.due, d.seq FROM hooks.deliveries d
				WHERE ` + isUnfinished + ` ORDER BY d.subscriber, d.due, d.seq LIMIT 1)
			UNION ALL
			SELECT n.* FROM lanes l CROSS JOIN LATERAL (
				SELECT d.subscriber, d.due, d.seq FROM hooks.deliveries d
				WHERE d.subscriber > l.subscriber AND ` + isUnfinished + `
				ORDER BY d.subscriber, d.due, d.seq LIMIT 1) AS n
		)
		SELECT subscriber, due, seq FROM lanes`

	// nearBacklogSQL reads only what is due near the present. Of a subscriber that has a
	// bound it reads from there on. Between two such subscribers, where there are hardly
	// any entries, it reads from the bound of all others on.
	nearBacklogSQL = `WITH RECURSIVE known AS MATERIALIZED (
			SELECT * FROM unnest($1::pg_catalog.text[], $2::pg_catalog.timestamptz[], $3::bigint[]) AS k (subscriber, due, seq)
		), gaps AS MATERIALIZED (
			SELECT k.subscriber AS after, pg_catalog.lead(k.subscriber) OVER (ORDER BY k.subscriber) AS before
			FROM (SELECT '' AS subscriber UNION ALL SELECT subscriber FROM known) AS k
		), others (subscriber, due, seq, before) AS (
			SELECT n.*, l.before FROM gaps l CROSS JOIN LATERAL (` + nextInGapSQL + `) AS n
			UNION ALL
			SELECT n.*, l.before FROM (SELECT subscriber AS after, before FROM others) AS l
			CROSS JOIN LATERAL (` + nextInGapSQL + `) AS n
		)
		SELECT k.subscriber, first.due, first.seq FROM known k CROSS JOIN LATERAL (
			SELECT d.due, d.seq FROM hooks.deliveries d
			WHERE d.subscriber = k.subscriber AND (d.due, d.seq) >= (k.due, k.seq) AND d.due <= $5
				AND ` + isUnfinished + `
			ORDER BY d.due, d.seq LIMIT 1) AS first
		UNION ALL
		SELECT subscriber, due, seq FROM others`
	// nextInGapSQL finds the first subscriber in the gap l. The last gap has no end.
	nextInGapSQL = `(SELECT d.subscriber, d.due, d.seq FROM hooks.deliveries d
			WHERE l.before IS NOT NULL AND d.subscriber > l.after AND d.subscriber < l.before
				AND d.due >= $4 AND d.due <= $5 AND ` + isUnfinished + `
			ORDER BY d.subscriber, d.due, d.seq LIMIT 1)
		UNION ALL
		(SELECT d.subscriber, d.due, d.seq FROM hooks.deliveries d
			WHERE l.before IS NULL AND d.subscriber > l.after
				AND d.due >= $4 AND d.due <= $5 AND ` + isUnfinished + `
			ORDER BY d.subscriber, d.due, d.seq LIMIT 1)`

	// readSQL counts the entries of the index that this transaction has read. The time that
	// a look takes would not do, because on a busy machine a cheap look takes long, too.
	// The count is 0 if the server does not count (track_counts) or has no such index.
	readSQL = `SELECT coalesce(pg_catalog.pg_stat_get_xact_tuples_returned(pg_catalog.to_regclass('hooks.deliveries_due')), 0)`
)

// Backlog implements [hooks.Store]. Deliveries that wait for another of their ordering key do
// not count once a claim has met them. While dead rows cannot be cleaned up, Backlog and
// Claim find late what others commit late, see [Store.Weaknesses].
func (s *Store) Backlog(ctx context.Context) ([]hooks.BacklogLane, error) {
	list, err := detached(ctx, s.backlog, nil)
	return list, explain(ctx, "backlog", err)
}

func (s *Store) backlog(ctx context.Context) (list []hooks.BacklogLane, err error) {
	if s.bounds.WantsTime() {
		_, _ = s.Now(ctx) // if it fails, the look is a whole one
	}
	l := s.bounds.Begin()
	defer s.bounds.Abandon(l)
	var found map[string]bounds.Place
	var before, after int
	err = s.submit(ctx, func() []batch.Statement {
		found = make(map[string]bounds.Place)
		add := func(r batch.Row) error {
			var subscriber string
			var at bounds.Place
			err := r.Scan(&subscriber, &at.Due, &at.Seq)
			found[subscriber] = at
			return err
		}
		if !l.Whole {
			return []batch.Statement{{SQL: nearBacklogSQL, Args: []any{l.Subscribers, l.From, l.Seqs, l.Others, l.Reach()}, Each: add}}
		}
		return []batch.Statement{
			{SQL: readSQL, Each: func(r batch.Row) error { return r.Scan(&before) }},
			{SQL: backlogSQL, Each: add},
			{SQL: readSQL, Each: func(r batch.Row) error { return r.Scan(&after) }},
		}
	})
	if err != nil {
		return nil, err
	}
	s.bounds.End(l, found, after-before-len(found))
	for subscriber, at := range found {
		list = append(list, hooks.BacklogLane{Subscriber: subscriber, Due: at.Due.UTC()})
	}
	return list, nil
}
