package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/hooks/signer"
)

// What every peer is given alike.
const (
	publishers  = 16 // goroutines that insert at once
	workers     = 64 // deliveries under way at once
	connections = 32 // to the server, at most
)

// A peer is a library that keeps work in PostgreSQL and does it.
type peer struct {
	name string
	// migrate makes an empty database its own.
	migrate func(ctx context.Context, b bench) error
	// open returns the library at rest, as an application would set it up.
	open func(ctx context.Context, b bench) (library, error)
}

var peers = []peer{hooksPeer, riverPeer, goqitePeer}

// A bench is where a peer works: a database, and whom it delivers to.
type bench struct {
	name     string // of the database
	database string // its URL
	receiver string // its URL
	secret   signer.Secret

	// Told, after a claim or a look at the backlog, when it began; nil: nobody is.
	claimed, looked func(began time.Time)
}

// pool returns connections to the database.
func (b bench) pool(ctx context.Context, change ...func(*pgxpool.Config)) (*pgxpool.Pool, error) {
	c, err := pgxpool.ParseConfig(b.database)
	if err != nil {
		return nil, err
	}
	c.MaxConns = connections
	for _, f := range change {
		f(c)
	}
	return pgxpool.NewWithConfig(ctx, c)
}

// A library does what the peers are compared in.
type library interface {
	// insert saves one payload that shall be delivered. When it returns nil,
	// the payload is on disk.
	insert(ctx context.Context, payload []byte) error
	// start begins to deliver.
	start(ctx context.Context) error
	// stop returns when nothing is under way, and what was delivered is marked
	// as done, on disk.
	stop(ctx context.Context) error
	// left returns how many payloads are not marked as done.
	left(ctx context.Context) (int, error)
	// close ends all connections.
	close() error
}

const (
	payloadSize = 1024
	digits      = 10 // of a payload's number
)

// filler makes a payload up to its size. It cannot be compressed much, so that
// no peer gains by it.
var filler = func() string {
	chance := rand.NewChaCha8([32]byte{})
	b := make([]byte, payloadSize/2)
	chance.Read(b) // never fails
	return hex.EncodeToString(b)
}()

// payload returns JSON of 1 KiB that tells its number.
func payload(i int) []byte {
	head := fmt.Sprintf(`{"id":"%0*d","data":"`, digits, i)
	return []byte(head + filler[:payloadSize-len(head)-2] + `"}`)
}

// payloadNumber returns the number of a payload, which a peer may have encoded
// anew, with spaces between its tokens.
func payloadNumber(body []byte) (i int, ok bool) {
	for at, c := range body {
		if c < '0' || c > '9' {
			continue
		}
		if len(body) < at+digits {
			return 0, false
		}
		i, err := strconv.Atoi(string(body[at : at+digits]))
		return i, err == nil
	}
	return 0, false
}
