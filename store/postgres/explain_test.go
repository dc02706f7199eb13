package postgres_test

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/hooks"
	"example.com/hooks/store/postgres"
)

// plans collects the plans of what a connection runs, as auto_explain notices them.
type plans struct {
	mu   sync.Mutex // guards list
	list []string
}

// take returns the plans that have come since it was last called.
func (p *plans) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.list
	p.list = nil
	return list
}

// explain makes a pool tell its plans.
func (p *plans) explain(c *pgxpool.Config) {
	c.MaxConns = 1
	c.ConnConfig.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if plan, ok := strings.CutPrefix(n.Message, "duration: "); ok {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.list = append(p.list, plan)
		}
	}
	c.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `LOAD 'auto_explain'; SET auto_explain.log_analyze = on; SET auto_explain.log_buffers = on;
			SET auto_explain.log_timing = off; SET auto_explain.log_min_duration = 0; SET auto_explain.log_level = notice`)
		return err
	}
}

// The plans of Claim, Backlog and Update beside a held snapshot read the tables by
// their indexes only, and few pages. With -hooks.long there are 500,000 dead entries;
// with -v the plans are printed.
func TestPlansBesideAHeldSnapshot(t *testing.T) {
	n := many
	if *long {
		n = 500_000
	}
	var p plans
	h := holdSnapshot(t, p.explain)
	h.kill("crm", n)
	s := h.store()
	id := h.publish(s, "crm", h.now)
	show := func(name string, most int) {
		t.Helper()
		for _, plan := range p.take() {
			if !strings.Contains(plan, "hooks.deliveries") || strings.Contains(plan, "pg_stat_get") {
				continue
			}
			t.Logf("%s\n%s", name, plan)
			if strings.Contains(plan, "Seq Scan on deliveries") {
				t.Errorf("%s reads all deliveries", name)
			}
			if got := pagesOf(plan); got > most {
				t.Errorf("%s touched %d pages; want at most %d", name, got, most)
			}
		}
	}
	p.take()
	h.backlog(s)
	show("Backlog", 100)
	d := h.claim(s, "crm", 20)
	show("Claim", 100)
	if len(d) != 1 || d[0].Event != id {
		t.Fatalf("Claim = %v; want %s", eventsOf(d), id)
	}
	c := finished(d[0], h.now)
	c.Attempt = &hooks.Attempt{Run: 1, Number: 1, Token: d[0].Token, Start: h.now, Took: time.Millisecond}
	h.update(s, c)
	show("Update", 100)
	h.look(storeOn(t, h.pool))
	p.take()
	h.backlog(storeOn(t, h.pool))
	show("Backlog, a whole look", 2*n)
}

// What operators ask reads no more than it has to: by indexes, however many deliveries are
// finished, and where no index serves, a bounded number of rows.
func TestPlansOfReports(t *testing.T) {
	n := 20_000
	if *long {
		n = 500_000
	}
	var p plans
	pool := poolOn(t, database(t), p.explain)
	s := storeOn(t, pool)
	mustExec(t, pool, formerInsertSQL, 1, n)
	mustEnqueue(t, s, numbered("unfinished_", 20)...)
	mustEnqueue(t, s, linedUp("first", "crm", "line", at(0)), linedUp("second", "crm", "line", at(0)))
	claimSoon(t, s, "crm")
	mustExec(t, pool, `UPDATE hooks.deliveries SET status = 5, error = 'timeout', reason = 'exhausted'
		WHERE event_id IN ('evt_1', 'evt_2', 'evt_3')`)
	day := make([]hooks.Minute, n/20)
	for i := range day {
		day[i] = hooks.Minute{Start: at(60 * i), Subscriber: "crm"}
	}
	if err := s.AddMinutes(t.Context(), day); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"events", "deliveries", "keys", "attempts", "minutes"} {
		run(t, pool, `VACUUM ANALYZE hooks.`+table)
	}
	for name, ask := range reports {
		p.take()
		if err := ask.call(t.Context(), s); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		p.check(t, name, ask.pages)
	}
}

// check fails the test if a statement has touched more than so many pages.
func (p *plans) check(t *testing.T, name string, most int) {
	t.Helper()
	read := false
	for _, plan := range p.take() {
		if !strings.Contains(plan, "hooks.") {
			continue
		}
		read = true
		t.Logf("%s\n%s", name, plan)
		if got := pagesOf(plan); got > most {
			t.Errorf("%s touched %d pages; want at most %d:\n%s", name, got, most, plan)
		}
	}
	if !read {
		t.Errorf("%s: no plan has come", name)
	}
}

// A report is a call whose statements touch a number of pages at most.
type report struct {
	pages int
	call  func(ctx context.Context, s *postgres.Store) error
}

// counted and listed are reports of deliveries, found the reports of events.

func counted(pages int, q hooks.Query) report {
	return report{pages, func(ctx context.Context, s *postgres.Store) error {
		_, err := s.Count(ctx, q, 1000)
		return err
	}}
}

func listed(pages int, q hooks.Query) report {
	return report{pages, func(ctx context.Context, s *postgres.Store) error {
		_, _, err := s.Deliveries(ctx, q)
		return err
	}}
}

func found(pages int, q hooks.Query) report {
	return report{pages, func(ctx context.Context, s *postgres.Store) error {
		_, _, err := s.Events(ctx, q)
		return err
	}}
}

// reports are by what is asked. The tables of 20,000 have some 600 pages each, of which
// 5,000 rows, as many as are examined for one page of a list, have a quarter.
var reports = map[string]report{
	"an event by its key":             found(10, hooks.Query{Tenant: "acme", Key: "key 9000"}),
	"the oldest events":               found(100, hooks.Query{OldestFirst: true}),
	"older events, in the middle":     found(100, hooks.Query{OldestFirst: true, Cursor: "10000"}),
	"the oldest deliveries":           listed(100, hooks.Query{OldestFirst: true, Subscriber: "crm"}),
	"deliveries in the middle":        listed(100, hooks.Query{OldestFirst: true, Subscriber: "crm", Cursor: "10000"}),
	"failed ones, oldest first":       listed(100, hooks.Query{OldestFirst: true, Statuses: []hooks.Status{hooks.Failed}}),
	"failed ones of a class":          listed(100, hooks.Query{Statuses: []hooks.Status{hooks.Failed}, Errors: []string{"timeout"}}),
	"any of a class":                  listed(300, hooks.Query{Errors: []string{"timeout"}}),
	"any for a reason":                listed(300, hooks.Query{Reasons: []hooks.Reason{hooks.ReasonRejected}, OldestFirst: true}),
	"number of pending ones":          counted(200, hooks.Query{Statuses: []hooks.Status{hooks.Pending}}),
	"number of a subscriber's":        counted(200, hooks.Query{Subscriber: "crm", Statuses: []hooks.Status{hooks.Pending, hooks.Retrying}}),
	"number of nobody's":              counted(20, hooks.Query{Subscriber: "nobody", Statuses: []hooks.Status{hooks.Retrying}}),
	"number of those being sent":      counted(200, hooks.Query{Subscriber: "crm", Statuses: []hooks.Status{hooks.Sending}}),
	"number of failed ones":           counted(100, hooks.Query{Statuses: []hooks.Status{hooks.Failed}}),
	"number of a subscriber's failed": counted(100, hooks.Query{Subscriber: "crm", Statuses: []hooks.Status{hooks.Failed}}),
	"number of an event's":            counted(20, hooks.Query{Event: "evt_7"}),
	"number of any, to a bound":       counted(200, hooks.Query{}),
	"minutes of an hour": {50, func(ctx context.Context, s *postgres.Store) error {
		_, err := s.Minutes(ctx, hooks.Query{Subscriber: "crm", From: at(600), To: at(4200)})
		return err
	}},
	"adding to minutes": {50, func(ctx context.Context, s *postgres.Store) error {
		return s.AddMinutes(ctx, []hooks.Minute{{Start: at(600), Subscriber: "crm"}, {Start: at(600)}})
	}},
	"removing minutes": {50, func(ctx context.Context, s *postgres.Store) error {
		_, err := s.Prune(ctx, hooks.Cutoffs{Minutes: at(9), Limit: 10})
		return err
	}},
	"erasing two events": {100, func(ctx context.Context, s *postgres.Store) error {
		_, err := s.Prune(ctx, hooks.Cutoffs{Erase: []string{"evt_8", "evt_9"}, Now: at(0)})
		return err
	}},
}

// pagesOf returns how many pages a plan has touched in all.
func pagesOf(plan string) (n int) {
	line := regexp.MustCompile(`Buffers: shared[^\n]*`).FindString(plan)
	for _, m := range regexp.MustCompile(`(?:hit|read)=(\d+)`).FindAllStringSubmatch(line, -1) {
		pages, _ := strconv.Atoi(m[1])
		n += pages
	}
	return n
}
