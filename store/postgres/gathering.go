package postgres

import (
	"cmp"
	"slices"
	"time"

	"example.com/hooks"
)

// A gathering is what a claim has leased.
type gathering struct {
	room   []int // how many more may be leased in each lane
	leased []*leased
	met    []meeting // by the last claim
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
	return gathering{room: slices.Clone(g.room), leased: slices.Clip(g.leased), next: g.next}
}

func (g *gathering) add(r row) error {
	g.next.leased = leased{}
	if err := r.Scan(g.next.fields...); err != nil {
		return err
	}
	l := g.next.leased
	if d := &l.delivery[0]; d.Status == 0 {
		g.met = append(g.met, meeting{g.next.lane, l.was, d.Seq, line{tenant: d.Tenant, key: d.OrderingKey}})
		return nil
	}
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

// A meeting is a delivery that a claim did not lease because it has an ordering key.
type meeting struct {
	lane int // from 1
	due  time.Time
	seq  int64
	line line
}

// lines returns the lines of what was met, oldest first, for as many deliveries as
// their lanes still have room.
func (g *gathering) lines(lanes []hooks.Lane) (m metLines) {
	slices.SortFunc(g.met, func(a, b meeting) int {
		return cmp.Or(cmp.Compare(a.lane, b.lane), a.due.Compare(b.due), cmp.Compare(a.seq, b.seq))
	})
	room, seen := slices.Clone(g.room), make(map[line]bool)
	for _, met := range g.met {
		l := lanes[met.lane-1]
		met.line.subscriber = l.Subscriber
		if room[met.lane-1]--; room[met.lane-1] < 0 {
			continue
		}
		m.seqs = append(m.seqs, met.seq)
		if seen[met.line] || len(m.keys) == maxLines {
			continue
		}
		seen[met.line] = true
		m.lane = append(m.lane, met.lane)
		m.subscribers = append(m.subscribers, l.Subscriber)
		m.tenants = append(m.tenants, met.line.tenant)
		m.keys = append(m.keys, met.line.key)
		m.before = append(m.before, l.Before)
		m.until = append(m.until, l.LeaseUntil)
	}
	return m
}
