package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"math"
	"time"

	"example.com/hooks"
)

const (
	minuteSQL    = `SELECT succeeded, failed, took FROM hooks_minutes WHERE subscriber = ? AND start = ?`
	putMinuteSQL = `INSERT INTO hooks_minutes (subscriber, start, succeeded, failed, took) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET succeeded = excluded.succeeded, failed = excluded.failed, took = excluded.took`
	minutesSQL = `SELECT subscriber, start, succeeded, failed, took FROM hooks_minutes
		WHERE subscriber = ? AND start >= ? AND start < ? ORDER BY start`
	pruneMinutesSQL = `DELETE FROM hooks_minutes WHERE (subscriber, start) IN (
		SELECT subscriber, start FROM hooks_minutes WHERE start < ? ORDER BY start LIMIT ?)`
)

// AddMinutes implements [hooks.Reporter].
func (s *Store) AddMinutes(ctx context.Context, ms []hooks.Minute) error {
	_, err := write(ctx, &s.writer, "add minutes", func(t *tx) (none struct{}, err error) {
		for _, m := range ms {
			if err := t.addMinute(m); err != nil {
				return none, err
			}
		}
		return none, nil
	})
	return err
}

func (t *tx) addMinute(m hooks.Minute) error {
	var old hooks.Minute
	err := t.row(minuteSQL, []any{m.Subscriber, micros(m.Start)}, &old.Succeeded, &old.Failed, fromJSON{&old.Took})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	for i, n := range old.Took {
		m.Took[i] += n
	}
	took, _ := json.Marshal(m.Took) // numbers always can be
	_, err = t.exec(putMinuteSQL, m.Subscriber, micros(m.Start),
		old.Succeeded+m.Succeeded, old.Failed+m.Failed, string(took))
	return err
}

// Minutes implements [hooks.Reporter].
func (s *Store) Minutes(ctx context.Context, q hooks.Query) ([]hooks.Minute, error) {
	return read(ctx, s, "minutes", func(rows *sql.Rows) (m hooks.Minute, err error) {
		err = rows.Scan(&m.Subscriber, (*stamp)(&m.Start), &m.Succeeded, &m.Failed, fromJSON{&m.Took})
		return m, err
	}, minutesSQL, q.Subscriber, microsOr(q.From, math.MinInt64), microsOr(q.To, math.MaxInt64))
}

// microsOr returns t as it is stored, and if it is zero, another number.
func microsOr(t time.Time, other int64) int64 {
	if t.IsZero() {
		return other
	}
	return micros(t)
}
