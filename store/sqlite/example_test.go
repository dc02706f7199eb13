package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"example.com/hooks"
	"example.com/hooks/store/sqlite"
)

type Invoice struct{ Number int }

var InvoicePaid = hooks.EventType[Invoice]{Name: "invoice.paid"}

// An application with a file for its events.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "hooks")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	store, err := sqlite.Open(filepath.Join(dir, "hooks.db"))
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	h, err := hooks.New(hooks.Config{Store: store})
	if err != nil {
		log.Fatal(err)
	}
	if err := h.Register(InvoicePaid); err != nil {
		log.Fatal(err)
	}
	receipt, err := h.Publish(context.Background(), InvoicePaid.New(Invoice{Number: 7}))
	fmt.Println(receipt.Duplicate, err)
	// Output: false <nil>
}

// An application that publishes in its own transactions: the invoice and the
// event are stored together, or neither is.
func ExampleStore_Tx() {
	dir, err := os.MkdirTemp("", "hooks")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	db, err := sql.Open("sqlite", filepath.Join(dir, "app.db")+
		"?_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)&_txlock=immediate")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	store, err := sqlite.New(db, sqlite.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	h, err := hooks.New(hooks.Config{Store: store})
	if err != nil {
		log.Fatal(err)
	}
	if err := h.Register(InvoicePaid); err != nil {
		log.Fatal(err)
	}

	pay := func(ctx context.Context, number int) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		const create = `CREATE TABLE IF NOT EXISTS paid (number INTEGER)`
		if _, err := tx.ExecContext(ctx, create); err != nil {
			return err
		}
		const insert = `INSERT INTO paid (number) VALUES (?)`
		if _, err := tx.ExecContext(ctx, insert, number); err != nil {
			return err
		}
		if _, err := h.PublishTx(ctx, store.Tx(tx), InvoicePaid.New(Invoice{number})); err != nil {
			return err
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		h.Wake(ctx)
		return nil
	}
	fmt.Println(pay(context.Background(), 7))
	// Output: <nil>
}

// What to ask of an application's database at its start.
func ExampleStore_Weaknesses() {
	db, err := sql.Open("sqlite", ":memory:?_busy_timeout=5000")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	store, err := sqlite.New(db, sqlite.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	sentences, err := store.Weaknesses(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range sentences {
		fmt.Println(s)
	}
	// Output: The database is in memory: all events are gone when the process ends. Give New a database in a file, or use package store/memory in tests.
}

// A process that only publishes, beside one that delivers from the same file:
// both open it as a shared one, so that the other notices what this one has written.
func ExampleStore_Wait() {
	dir, err := os.MkdirTemp("", "hooks")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "hooks.db")

	dispatcher, err := sqlite.OpenShared(path)
	if err != nil {
		log.Fatal(err)
	}
	defer dispatcher.Close()

	publisher, err := sqlite.OpenShared(path)
	if err != nil {
		log.Fatal(err)
	}
	defer publisher.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	entry := hooks.Entry{Event: hooks.Event{ID: "evt_1", Type: "invoice.paid", Time: time.Now()}}
	if _, err := publisher.Enqueue(ctx, time.Now(), []hooks.Entry{entry}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(dispatcher.Wait(ctx))
	// Output: <nil>
}
