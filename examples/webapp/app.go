package main

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"example.com/hooks"
	"example.com/hooks/egress"
	"example.com/hooks/store/postgres"
	"example.com/hooks/store/sqlite"
)

// An app is the application: its tables and its webhooks are in one database.
type app struct {
	db    *sql.DB
	tx    func(*sql.Tx) hooks.Tx // the webhooks' store inside a transaction of db
	hooks *hooks.Hooks
	close func() error
}

// An Invoice is a row of the table invoices, and the data of its events.
type Invoice struct {
	ID      string `json:"id"`
	Company string `json:"-"`
	Cents   int64  `json:"cents"`
	Paid    bool   `json:"paid"`
}

var (
	InvoiceSent = hooks.EventType[Invoice]{
		Name: "invoice.sent", Description: "An invoice was sent.", Example: Invoice{ID: "R-1001", Cents: 4200},
	}
	InvoicePaid = hooks.EventType[Invoice]{
		Name: "invoice.paid", Description: "An invoice was paid in full.", Example: Invoice{ID: "R-1001", Cents: 4200, Paid: true},
	}
)

// open opens the database and makes what is missing in it.
func open(ctx context.Context, file, url string) (*app, error) {
	var (
		store hooks.Store
		a     *app
		err   error
	)
	if url != "" {
		a, store, err = openPostgres(ctx, url)
	} else {
		a, store, err = openSQLite(file)
	}
	if err != nil {
		return nil, err
	}
	if err := a.setUp(ctx, store); err != nil {
		return nil, errors.Join(err, a.close())
	}
	return a, nil
}

// openSQLite opens a file that the application's tables and those of the webhooks share.
func openSQLite(file string) (*app, hooks.Store, error) {
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)&_txlock=immediate")
	if err != nil {
		return nil, nil, err
	}
	db.SetMaxOpenConns(4) // requests wait in turn for a connection, because SQLite's lock is not fair
	store, err := sqlite.New(db, sqlite.Config{})
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	close := func() error { return errors.Join(store.Close(), db.Close()) }
	return &app{db: db, tx: store.Tx, close: close}, store, nil
}

// openPostgres opens a database that the application's tables and those of the webhooks share.
func openPostgres(ctx context.Context, url string) (*app, hooks.Store, error) {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return nil, nil, err
	}
	db := stdlib.OpenDBFromPool(pool)
	close := func() error {
		defer pool.Close()
		return db.Close()
	}
	store, err := postgres.New(pool, postgres.Config{})
	if err == nil {
		err = store.Migrate(ctx)
	}
	if err != nil {
		return nil, nil, errors.Join(err, close())
	}
	return &app{db: db, tx: store.SQLTx, close: close}, store, nil
}

// setUp makes the application's tables, and says what it announces and who hears of it.
func (a *app) setUp(ctx context.Context, store hooks.Store) (err error) {
	if err := makeTables(ctx, a.db); err != nil {
		return err
	}
	a.hooks, err = hooks.New(hooks.Config{
		Store: store, Logger: slog.Default(),
		// While you develop, receivers run on your own machine. Leave this out in production.
		Egress: egress.Policy{AllowHTTP: true, AllowLoopback: true},
	})
	if err != nil {
		return err
	}
	if err := a.hooks.Register(InvoiceSent, InvoicePaid); err != nil {
		return err
	}
	return a.hooks.Subscribe(InvoicePaid.Handler("receipts", func(ctx context.Context, ev hooks.Event, inv Invoice) error {
		slog.InfoContext(ctx, "a receipt was mailed", "company", ev.Tenant, "invoice", inv.ID) // a real one sends it
		return nil
	}))
}

// change does something to the tables and publishes an event, in one transaction: both are
// there afterwards, or neither.
func (a *app) change(ctx context.Context, ev hooks.Event, query string, args ...any) error {
	tx, err := a.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // nothing, after the commit
	result, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, errNothingToDo)
	}
	if _, err := a.hooks.PublishTx(ctx, a.tx(tx), ev); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	a.hooks.Wake(ctx) // deliver it now
	return nil
}

// errNothingToDo says that no row had to be changed, so that nothing was announced.
var errNothingToDo = errors.New("there is no such invoice, or it is paid already")

// send makes an invoice, and announces it.
func (a *app) send(ctx context.Context, inv Invoice) error {
	ev := InvoiceSent.New(inv)
	ev.Tenant = inv.Company
	return a.change(ctx, ev, `INSERT INTO webapp_invoices (id, company, cents, sent) VALUES ($1, $2, $3, $4)`,
		inv.ID, inv.Company, inv.Cents, time.Now().UnixMicro())
}

// pay marks an invoice as paid, and announces that.
func (a *app) pay(ctx context.Context, id string) error {
	inv := Invoice{ID: id, Paid: true}
	err := a.db.QueryRowContext(ctx, `SELECT company, cents FROM webapp_invoices WHERE id = $1`, id).Scan(&inv.Company, &inv.Cents)
	if errors.Is(err, sql.ErrNoRows) {
		return errNothingToDo
	}
	if err != nil {
		return err
	}
	ev := InvoicePaid.New(inv)
	ev.Tenant = inv.Company
	return a.change(ctx, ev, `UPDATE webapp_invoices SET paid = 1 WHERE id = $1 AND paid = 0`, id)
}

// invoices lists those of a company, or all if it is empty, the newest first.
func (a *app) invoices(ctx context.Context, company string) (list []Invoice, err error) {
	const query = `SELECT id, company, cents, paid FROM webapp_invoices WHERE company = $1 OR $2 = '' ORDER BY sent DESC, id LIMIT 200`
	rows, err := a.db.QueryContext(ctx, query, company, company)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var inv Invoice
		var paid int
		if err := rows.Scan(&inv.ID, &inv.Company, &inv.Cents, &paid); err != nil {
			return nil, err
		}
		inv.Paid = paid == 1
		list = append(list, inv)
	}
	return list, rows.Err()
}
