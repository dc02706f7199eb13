package egress_test

import (
	"errors"
	"net"
	"testing"

	"example.com/hooks/egress"
)

// openUntilCrowded opens connections until no more are let through.
func openUntilCrowded(t *testing.T, dial func() (net.Conn, error)) (open []net.Conn) {
	t.Helper()
	for range 1000 {
		conn, err := dial()
		if errors.Is(err, egress.ErrCrowded) {
			return open
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		open = append(open, conn)
	}
	t.Fatal("1000 connections to one host were let through")
	panic("unreachable")
}

func TestConnectionsToOneHostAreBounded(t *testing.T) {
	listen := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l.Addr().String()
	}
	transport := egress.NewTransport(egress.Config{Policy: egress.Policy{AllowLoopback: true}, IdlePerHost: 3})
	first, second := listen(), listen()
	dial := func() (net.Conn, error) { return transport.DialContext(t.Context(), "tcp", first) }
	open := openUntilCrowded(t, dial)
	if len(open) != 70 {
		t.Errorf("%d connections were let through; want 64, and 2 for each of IdlePerHost", len(open))
	}
	other, err := transport.DialContext(t.Context(), "tcp", second)
	if err != nil {
		t.Fatalf("another host = %v; want a connection", err)
	}
	other.Close()
	for range 2 { // closing one twice makes room for one
		open[0].Close()
	}
	if again := openUntilCrowded(t, dial); len(again) != 1 {
		t.Errorf("%d more were let through after one was closed; want 1", len(again))
	}
}

func TestConnectionsThatFailDoNotCount(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	l.Close()
	transport := egress.NewTransport(egress.Config{Policy: egress.Policy{AllowLoopback: true}, IdlePerHost: 1})
	for range 100 {
		if _, err := transport.DialContext(t.Context(), "tcp", nobody); err == nil || errors.Is(err, egress.ErrCrowded) {
			t.Fatalf("dial = %v; want it refused by the host", err)
		}
	}
}
