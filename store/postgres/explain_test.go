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

// pagesOf returns how many pages a plan has touched in all.
func pagesOf(plan string) (n int) {
	line := regexp.MustCompile(`Buffers: shared[^\n]*`).FindString(plan)
	for _, m := range regexp.MustCompile(`(?:hit|read)=(\d+)`).FindAllStringSubmatch(line, -1) {
		pages, _ := strconv.Atoi(m[1])
		n += pages
	}
	return n
}
