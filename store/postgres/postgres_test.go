package postgres_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"example.com/hooks"
	"example.com/hooks/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) hooks.Store { return open(t) })
}

func TestStoreIsDurable(t *testing.T) {
	storetest.RunDurable(t, func(t *testing.T) func() hooks.Store {
		config := database(t)
		return func() hooks.Store { return storeOn(t, poolOn(t, config)) }
	})
}

func TestTx(t *testing.T) {
	storetest.RunTx(t, func(t *testing.T) (hooks.Store, func() storetest.Transaction) {
		pool := poolOn(t, database(t))
		s := storeOn(t, pool)
		ctx := context.Background()
		return s, func() storetest.Transaction {
			tx, err := pool.Begin(ctx)
			if err != nil {
				t.Fatal(err)
			}
			return storetest.Transaction{
				Tx:       s.Tx(tx),
				Commit:   func() error { return tx.Commit(ctx) },
				Rollback: func() error { return tx.Rollback(ctx) },
			}
		}
	})
}

func TestSQLTx(t *testing.T) {
	storetest.RunTx(t, func(t *testing.T) (hooks.Store, func() storetest.Transaction) {
		config := database(t)
		s, db := storeOn(t, poolOn(t, config)), sqlDB(t, config)
		return s, func() storetest.Transaction {
			tx, err := db.Begin()
			if err != nil {
				t.Fatal(err)
			}
			return storetest.Transaction{Tx: s.SQLTx(tx), Commit: tx.Commit, Rollback: tx.Rollback}
		}
	})
}

func TestWaker(t *testing.T) {
	storetest.RunWaker(t, func(t *testing.T) (s, other hooks.Store, _ func() storetest.Transaction) {
		a, b, pool := pair(t)
		return a, b, func() storetest.Transaction {
			tx, err := pool.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			ctx := context.Background()
			return storetest.Transaction{
				Tx:       a.Tx(tx),
				Commit:   func() error { return tx.Commit(ctx) },
				Rollback: func() error { return tx.Rollback(ctx) },
			}
		}
	})
}

// sqlDB connects to a database with database/sql, until the test ends.
func sqlDB(t testing.TB, config *pgx.ConnConfig) *sql.DB {
	t.Helper()
	db := stdlib.OpenDB(*config)
	t.Cleanup(func() { db.Close() })
	return db
}
