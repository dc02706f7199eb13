package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"regexp"
	"sync"
	"testing"

	"example.com/hooks"
	"example.com/hooks/store/sqlite"
)

var dsnPattern = regexp.MustCompile(`sql\.Open\("sqlite", "([^"]+)"\)`)

// TestDocumentedDSNs runs what the README and the package's documentation tell
// people to write, with as many requests at once as a small web server has.
func TestDocumentedDSNs(t *testing.T) {
	for _, file := range []string{"../../README.md", "sqlite.go"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := dsnPattern.FindAllSubmatch(b, -1)
		if len(found) == 0 {
			t.Errorf("%s has no %s", file, dsnPattern)
		}
		for _, m := range found {
			t.Run(file, func(t *testing.T) {
				dir := t.TempDir()
				t.Chdir(dir)
				serve(t, string(m[1]))
			})
		}
	}
}

// serve has 8 goroutines write and publish in transactions of their own.
func serve(t *testing.T, dsn string) {
	db := openDB(t, dsn)
	s := share(t, db)
	if got, err := s.Weaknesses(t.Context()); len(got) > 0 || err != nil {
		t.Errorf("Weaknesses of %s = %q, %v; want none", dsn, got, err)
	}
	h, err := hooks.New(hooks.Config{Store: s})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Register(InvoicePaid); err != nil {
		t.Fatal(err)
	}
	const goroutines, rounds = 8, 20
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for range rounds {
				if err := order(t.Context(), h, s, db); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := len(events(t, s)); got != goroutines*rounds {
		t.Errorf("len(Events()) = %d; want %d", got, goroutines*rounds)
	}
}

// order reads, writes and publishes in one transaction.
func order(ctx context.Context, h *hooks.Hooks, s *sqlite.Store, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback()
	var n int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM orders`).Scan(&n); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO orders (id) VALUES (?)`, n); err != nil {
		return err
	}
	if _, err := h.PublishTx(ctx, s.Tx(tx), InvoicePaid.New(Invoice{n})); err != nil {
		return err
	}
	return tx.Commit()
}
