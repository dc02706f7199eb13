// Command webapp is a small invoicing application with webhooks: its own tables, a login, a
// page for the operator and a portal for its customers. See README.md.
//
//	go run ./examples/webapp                      # on http://127.0.0.1:8080, in webapp.db
//	go run ./examples/webapp -postgres postgres://user@host/name
//	go run ./examples/webapp -once                # shows what happens, and ends
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "the `address` to listen on")
	file := flag.String("db", "webapp.db", "the SQLite `file`")
	url := flag.String("postgres", "", "the `URL` of a PostgreSQL database, instead of the file")
	once := flag.Bool("once", false, "show what happens with a temporary file, or the PostgreSQL database, and end")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second Ctrl-C ends the program at once
	var err error
	if *once {
		err = tour(ctx, *url, os.Stdout)
	} else {
		err = run(ctx, *addr, *file, *url)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "webapp:", err)
		os.Exit(1)
	}
}

// run serves the application until ctx ends.
func run(ctx context.Context, addr, file, url string) error {
	a, err := open(ctx, file, url)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return errors.Join(err, a.close())
	}
	fmt.Printf("http://%s/ · sign in as %s, %s or %s, each with the password %q\n",
		listener.Addr(), people[0].email, people[1].email, people[2].email, demoPassword)
	return errors.Join(a.serve(ctx, listener), a.close())
}

// serve answers requests and delivers events until ctx ends. Then requests end first, because
// they may still publish; deliveries end after them.
func (a *app) serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{Handler: a.routes(), ReadHeaderTimeout: 10 * time.Second}
	deliver, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	delivered := make(chan error, 1)
	go func() {
		err := a.hooks.Run(deliver)
		if context.Cause(deliver) == nil { // it could not go on
			_ = server.Close()
		}
		delivered <- err
	}()
	context.AfterFunc(ctx, func() {
		patience, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if server.Shutdown(patience) != nil {
			_ = server.Close()
		}
	})
	err := server.Serve(listener)
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	stop(errors.New("the server has ended"))
	return errors.Join(err, <-delivered)
}
