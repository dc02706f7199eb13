package batch

import (
	"context"
	"database/sql"

	"github.com/jackc/pgx/v5"
)

// A Session is a transaction that stays open between statements.
type Session interface {
	// Run runs statements in their order. After an error the transaction can only be
	// rolled back.
	Run(ctx context.Context, list ...Statement) error
}

// Pgx returns a session in a transaction of pgx. It sends the statements of one Run in
// one round trip.
func Pgx(tx pgx.Tx, text func(string) string) Session { return pgxSession{tx, text} }

type pgxSession struct {
	tx   pgx.Tx
	text func(string) string
}

func (p pgxSession) Run(ctx context.Context, list ...Statement) error {
	if len(list) == 0 {
		return nil
	}
	return send(ctx, p.tx, list, p.text)
}

// SQL returns a session in a transaction of database/sql, with whatever driver. It sends
// one statement after the other, and arrays as texts.
func SQL(tx *sql.Tx, text func(string) string) Session { return sqlSession{tx, text} }

type sqlSession struct {
	tx   *sql.Tx
	text func(string) string
}

func (q sqlSession) Run(ctx context.Context, list ...Statement) error {
	for _, st := range list {
		if err := q.runOne(ctx, st); err != nil {
			return err
		}
	}
	return nil
}

func (q sqlSession) runOne(ctx context.Context, st Statement) error {
	rows, err := q.tx.QueryContext(ctx, q.text(st.SQL), asLiterals(st.Args)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() && st.Each != nil {
		if err := st.Each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
