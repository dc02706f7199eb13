package main

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/hooks"
	"example.com/hooks/store/postgres"
)

// An observedStore tells how long claims and the looks before them take.
type observedStore struct {
	*postgres.Store
	claimed, looked func(began time.Time)
}

func (s observedStore) Claim(ctx context.Context, now time.Time, lanes []hooks.ClaimLane) ([]hooks.Entry, error) {
	defer s.claimed(time.Now())
	return s.Store.Claim(ctx, now, lanes)
}

func (s observedStore) Backlog(ctx context.Context) ([]hooks.BacklogLane, error) {
	defer s.looked(time.Now())
	return s.Store.Backlog(ctx)
}

// A fetchTracer tells how long statements take that lock what they find.
type fetchTracer struct{ observe func(began time.Time) }

type fetchBegan struct{}

// TraceQueryStart is pgx's.
func (f fetchTracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	if !strings.Contains(q.SQL, "SKIP LOCKED") {
		return ctx
	}
	return context.WithValue(ctx, fetchBegan{}, time.Now())
}

// TraceQueryEnd is pgx's.
func (f fetchTracer) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryEndData) {
	if began, ok := ctx.Value(fetchBegan{}).(time.Time); ok {
		f.observe(began)
	}
}

var (
	_ hooks.Waker     = observedStore{}
	_ hooks.Clock     = observedStore{}
	_ pgx.QueryTracer = fetchTracer{}
)
