// Command outbox writes an order and its event in one transaction of PostgreSQL:
// both are there, or neither.
//
//	go run ./examples/outbox                                # on a server of its own
//	go run ./examples/outbox -db postgres://user@host/name  # on yours
//
// Read pgx.go for the driver pgx, or sql.go for database/sql; shop.go sets both
// up. The rest shows what happens. In a database of yours it writes to the
// schemas outbox_shop, its orders, and outbox_hooks, their events, and leaves them
// there.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	url := flag.String("db", "", "the `URL` of a database; without it, a server is started for this run")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second Ctrl-C ends the program at once
	err := run(ctx, *url, os.Stdout)
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "outbox:", err)
		os.Exit(1)
	}
}
