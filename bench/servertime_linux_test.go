package main

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// The time of a server's process counts while it lives and when it has ended.
func TestServerTimeCountsAllProcesses(t *testing.T) {
	s := testServer(t)
	if s.postmaster == "" {
		t.Skip("the server is not ours")
	}
	conn, err := pgx.Connect(t.Context(), s.url("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	before := mustServerTime(t, s)
	if _, err := conn.Exec(t.Context(), "SELECT count(*) FROM generate_series(1, 1000000)"); err != nil {
		t.Fatal(err)
	}
	living := mustServerTime(t, s)
	if living < before+20*time.Millisecond {
		t.Errorf("time after much work = %v; want 20ms more than the %v before", living, before)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ended := mustServerTime(t, s); ended < living {
		t.Errorf("time after the session's end = %v; want at least the %v before", ended, living)
	}
}

func mustServerTime(t *testing.T, s *server) time.Duration {
	t.Helper()
	used, err := serverTime(s.postmaster)
	if err != nil {
		t.Fatal(err)
	}
	return used
}
