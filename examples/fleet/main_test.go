package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/hooks/internal/pgserver"
)

// TestMain lets the fleet start this very program as its processes.
func TestMain(m *testing.M) {
	const asProgram = "FLEET_TEST_AS_PROGRAM"
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Setenv(asProgram, "1")
	code := m.Run()
	if shared.stop != nil {
		shared.stop()
	}
	os.Exit(code)
}

func TestKilledDispatcherLosesNothing(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("the leases of a killed process last for 36 s")
	}
	var out strings.Builder
	got, err := run(t.Context(), options{
		events: 400,
		db:     newDatabase(t),
		over:   16 * time.Second,
		killAt: 2 * time.Second,
	}, &out)
	if err != nil {
		t.Errorf("run = %v; want nil", err)
	}
	if got.events != 400 || got.deliveries != 1200 || got.lost+got.disorder+got.unmade != 0 {
		t.Errorf("run = %+v; want 400 events, 1200 deliveries, none lost, unmade or out of order", got)
	}
	for _, name := range names {
		if got.made[name] == 0 {
			t.Errorf("run: %s made no deliveries", name)
		}
	}
	if got.carriedOn <= 0 || got.carriedOn > 15*time.Second {
		t.Errorf("run: others carried on %v after the kill; want less than 15 s", got.carriedOn)
	}
	if got.tookOver < 30*time.Second || got.tookOver > 50*time.Second {
		t.Errorf("run: what A had leased was delivered %v after the kill; want 30 to 50 s", got.tookOver)
	}
	if t.Failed() {
		t.Log(out.String())
	}
}

func TestFleetDeliversEveryEvent(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	got, err := run(t.Context(), options{events: 60, db: newDatabase(t), over: time.Second}, &out)
	if err != nil || got.events != 60 || got.made["A"]+got.made["B"] != 180 || got.lost+got.disorder != 0 {
		t.Errorf("run = %+v, %v; want 60 events, 180 deliveries by A and B, none lost or out of order", got, err)
	}
	if !strings.Contains(out.String(), "Nothing was lost") {
		t.Errorf("run printed\n%s\nwant a happy end", &out)
	}
}

func TestStopsWhenInterrupted(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	db := newDatabase(t)
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		_, err := run(ctx, options{events: 1000, db: db, over: time.Hour}, w)
		w.Close()
		ended <- err
	}()
	for lines := bufio.NewScanner(r); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "   2 s") {
			interrupt()
		}
	}
	if err := <-ended; fmt.Sprint(err) != context.Canceled.Error() {
		t.Errorf("run, interrupted = %v; want %v and no more, for all processes stop in good order", err, context.Canceled)
	}
}

func TestOneFleetPerDatabase(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	first, err := assemble(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	second, err := assemble(t.Context(), db)
	if !errors.Is(err, errTwo) {
		t.Errorf("assemble, twice = %v; want %v", err, errTwo)
	}
	for _, f := range []*fleet{first, second} {
		if f == nil {
			continue
		}
		if err := f.close(); err != nil {
			t.Errorf("close = %v; want nil", err)
		}
	}
}

// shared is the server of all tests: the one that HOOKS_TEST_POSTGRES names, or
// one of their own.
var shared struct {
	sync.Once
	url  string
	stop func() error
	err  error
}

// newDatabase returns the URL of a database that lives as long as the test.
func newDatabase(t *testing.T) string {
	t.Helper()
	shared.Do(func() {
		shared.url, shared.stop, shared.err = pgserver.Use(context.Background(), os.Getenv("HOOKS_TEST_POSTGRES"))
	})
	if errors.Is(shared.err, pgserver.ErrNotInstalled) && os.Getenv("CI") == "" {
		t.Skip(shared.err)
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	u, err := url.Parse(shared.url)
	if err != nil {
		t.Fatal(err)
	}
	name := "fleet_test_" + strings.ToLower(rand.Text()[:8])
	administer(t, "CREATE DATABASE "+name+" TEMPLATE template0 ENCODING UTF8")
	t.Cleanup(func() { administer(t, "DROP DATABASE "+name) }) // refused while a process still uses it
	u.Path = "/" + name
	return u.String()
}

func administer(t *testing.T, statement string) {
	t.Helper()
	ctx := context.Background() // the test's has ended when it cleans up
	conn, err := pgx.Connect(ctx, shared.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Errorf("%s: %v", statement, err)
	}
}
