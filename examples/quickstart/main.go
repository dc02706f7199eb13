// Command quickstart is a small shop that tells others about its orders.
//
//	go run ./examples/quickstart                # a tour; then place orders yourself
//	go run ./examples/quickstart -once -n 500   # end when everything is delivered
//
// It takes orders at POST /orders and publishes an event for each, which goes
// to a function of its own and to three receivers, all on 127.0.0.1. Kill it
// whenever you like: what it has accepted is in quickstart.db, and the next
// run delivers it. The receivers' secrets are encrypted in it, with the key in
// quickstart.db.key; quickstart.db.log is the library's log.
//
// Read shop.go for what an application writes, and receivers.go for what the
// others write; demo.go sets them up. The rest shows what happens.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	var o options
	flag.IntVar(&o.orders, "n", 5, "how many `orders` the demo places")
	flag.BoolVar(&o.once, "once", false, "end when everything is delivered, with status 0 if it is")
	flag.DurationVar(&o.timeout, "timeout", time.Minute, "how long -once may take")
	flag.StringVar(&o.db, "db", "quickstart.db", "the `file` that keeps the events, also for the next run")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "Usage of quickstart:")
		flag.PrintDefaults()
	}
	flag.Parse()
	if err := o.check(flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		flag.Usage()
		os.Exit(2)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second Ctrl-C ends the program at once
	if _, err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// check refuses what the flags cannot mean.
func (o options) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("%q is not a flag; there are no other arguments", rest[0])
	case o.orders < 0:
		return fmt.Errorf("-n %d is negative; write how many orders to place, or 0", o.orders)
	case o.timeout <= 0:
		return fmt.Errorf("-timeout %v is no time; write one such as 30s", o.timeout)
	}
	return nil
}
