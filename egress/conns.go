package egress

import (
	"errors"
	"net"
	"sync"
)

// ErrCrowded reports that a host has as many connections open as it may have. It
// keeps them from being used and does not close them, as one can with HTTP/2's
// GOAWAY.
var ErrCrowded = errors.New("too many connections are open to this host")

// What a host may have open beyond two connections for each that may be idle: room
// for a caller who makes more requests at a time than he said.
const spareConns = 64

// conns counts the open connections to each host. A transport forgets a connection
// that it cannot use any more and leaves it to the receiver to close it, or to the
// idle timeout; so a receiver could pile them up.
type conns struct {
	most int // to one host

	mu   sync.Mutex // guards what follows
	open map[string]int
}

func newConns(most int) *conns { return &conns{most: most, open: make(map[string]int)} }

// enter takes a place at a host, and reports whether there was one.
func (c *conns) enter(host string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[host] >= c.most {
		return false
	}
	c.open[host]++
	return true
}

func (c *conns) leave(host string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[host]--; c.open[host] == 0 {
		delete(c.open, host)
	}
}

// A countedConn leaves its place when it is closed.
type countedConn struct {
	net.Conn
	leave func() // does something once
}

func (c countedConn) Close() error {
	c.leave()
	return c.Conn.Close()
}
