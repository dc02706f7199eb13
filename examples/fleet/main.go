// Command fleet delivers from several processes at once, on one PostgreSQL, and
// kills one of them.
//
//	go run ./examples/fleet                                # on a server of its own
//	go run ./examples/fleet -db postgres://user@host/name  # on yours
//
// It takes about 50 seconds, most of them to wait for the leases of the killed
// process. Its exit status is 0 if nothing was lost and everything came in order.
// In a database of yours it writes to the schema hooks_fleet and leaves it there.
//
// Read publisher.go and dispatcher.go for what the processes of an application
// do, and receivers.go for what the others do. show.go says what happens when;
// the rest starts, counts and prints.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	o := options{over: 36 * time.Second, killAt: 6 * time.Second}
	flag.IntVar(&o.events, "n", 800, "how many `events` to publish")
	flag.StringVar(&o.db, "db", "", "the `URL` of a database, where the schema hooks_fleet is written;\n"+
		"without it, a server is started for this run")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second Ctrl-C ends the program at once
	if role := flag.Arg(0); role != "" {
		err := play(ctx, role, o)
		if errors.Is(err, context.Canceled) {
			err = nil // it was told to stop
		}
		exit(role, err)
	}
	_, err := run(ctx, o, os.Stdout)
	if ctx.Err() != nil {
		err = errors.New("interrupted before its end, which proves nothing")
	}
	exit("fleet", err)
}

// options are the flags, and what tests change.
type options struct {
	events int
	db     string
	over   time.Duration // how long publishing takes
	killAt time.Duration // zero: nobody is killed
}

// play is what the processes do that this program starts: it is given the role,
// and a name or a time.
func play(ctx context.Context, role string, o options) error {
	log.SetPrefix(role + " " + flag.Arg(1) + ": ")
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		io.Copy(io.Discard, os.Stdin) // ends with the process that has started this one
		cancel()
	}()
	switch role {
	case publisherRole:
		over, err := time.ParseDuration(flag.Arg(1))
		if err != nil {
			return err
		}
		return publish(ctx, placeOfProcess(), o.events, over)
	case dispatcherRole:
		return dispatch(ctx, placeOfProcess(), flag.Arg(1))
	default:
		return fmt.Errorf("arguments are not understood: %q", flag.Args())
	}
}

const (
	publisherRole  = "publisher"
	dispatcherRole = "dispatcher"
)

func exit(who string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", who, err)
		os.Exit(1)
	}
	os.Exit(0)
}
