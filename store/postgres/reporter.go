package postgres

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"example.com/hooks"
	"example.com/hooks/store/postgres/internal/batch"
)

// minuteInput has the columns of hooks.minutes.
var minuteInput = append(batch.Input[hooks.Minute]{
	batch.Text("subscriber", func(m *hooks.Minute) string { return m.Subscriber }),
	batch.Timestamptz("start", func(m *hooks.Minute) time.Time { return m.Start }),
	batch.Bigint("succeeded", func(m *hooks.Minute) int64 { return int64(m.Succeeded) }),
	batch.Bigint("failed", func(m *hooks.Minute) int64 { return int64(m.Failed) }),
}, tookInput()...)

// tookColumns are the columns of [hooks.Minute].Took.
var tookColumns = [...]string{
	"took_1", "took_2", "took_5", "took_10", "took_20", "took_50", "took_100", "took_200", "took_500",
	"took_1000", "took_2000", "took_5000", "took_longer",
}

func tookInput() (in batch.Input[hooks.Minute]) {
	for i, name := range tookColumns {
		in = append(in, batch.Bigint(name, func(m *hooks.Minute) int64 { return int64(m.Took[i]) }))
	}
	return in
}

var (
	// addMinutesSQL adds to counters, in the order of its rows, so that two calls do not
	// wait for each other.
	addMinutesSQL = `INSERT INTO hooks.minutes AS m (` + minuteInput.Names() + `)
		SELECT ` + minuteInput.Names() + ` FROM ` + minuteInput.Table(1) + ` AS i ORDER BY ord
		ON CONFLICT (subscriber, start) DO UPDATE SET ` + addedSQL()

	minutesSQL = `SELECT ` + minuteInput.Names() + ` FROM hooks.minutes
		WHERE subscriber = $1 AND start >= $2 AND start < $3 ORDER BY start`
)

// addedSQL returns the assignments that add the counters of a row to those of m.
func addedSQL() string {
	var list []string
	for _, name := range append([]string{"succeeded", "failed"}, tookColumns[:]...) {
		list = append(list, fmt.Sprintf("%s = m.%[1]s + excluded.%[1]s", name))
	}
	return strings.Join(list, ", ")
}

// AddMinutes implements [hooks.Reporter].
func (s *Store) AddMinutes(ctx context.Context, ms []hooks.Minute) error {
	if len(ms) == 0 {
		return ctx.Err()
	}
	args := minuteInput.Args(summed(ms))
	_, err := detached(ctx, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.submit(ctx, func() []batch.Statement {
			return []batch.Statement{{SQL: addMinutesSQL, Args: args}}
		})
	}, nil)
	return explain(ctx, "add minutes", err)
}

// summed returns counters with one row for each subscriber and start, in this order, which
// is the same in all processes.
func summed(ms []hooks.Minute) []hooks.Minute {
	type place struct {
		subscriber string
		start      int64 // in microseconds, as it is stored
	}
	sums := make(map[place]hooks.Minute, len(ms))
	for _, m := range ms {
		at := place{m.Subscriber, m.Start.UnixMicro()}
		old := sums[at]
		m.Succeeded += old.Succeeded
		m.Failed += old.Failed
		for i, n := range old.Took {
			m.Took[i] += n
		}
		sums[at] = m
	}
	return slices.SortedFunc(maps.Values(sums), func(a, b hooks.Minute) int {
		return cmp.Or(cmp.Compare(a.Subscriber, b.Subscriber), a.Start.Compare(b.Start))
	})
}

// endOfTime is later than all counters.
var endOfTime = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

// Minutes implements [hooks.Reporter].
func (s *Store) Minutes(ctx context.Context, q hooks.Query) ([]hooks.Minute, error) {
	to := q.To
	if to.IsZero() {
		to = endOfTime
	}
	return rows(ctx, s, "minutes", minutesSQL, []any{q.Subscriber, q.From, to}, scanMinute)
}

func scanMinute(r batch.Row) (m hooks.Minute, err error) {
	fields := []any{&m.Subscriber, &m.Start, &m.Succeeded, &m.Failed}
	for i := range m.Took {
		fields = append(fields, &m.Took[i])
	}
	err = r.Scan(fields...)
	m.Start = m.Start.UTC()
	return m, err
}
