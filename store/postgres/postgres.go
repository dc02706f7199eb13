// Package postgres keeps events in PostgreSQL, for any number of processes:
// all may publish, and all may dispatch. It needs PostgreSQL 15 or later and
// the driver github.com/jackc/pgx/v5, and nothing beside the database.
//
//	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
//	store, err := postgres.New(pool, postgres.Config{})
//	err = store.Migrate(ctx) // or run Migrations with your own tool
//	h, err := hooks.New(hooks.Config{Store: store})
//
// The tables lie in a schema of their own. [Store.Tx] and [Store.SQLTx] publish
// in the application's own transaction, from pgx and from database/sql.
//
// # How it works
//
// Writes that come at the same time share a transaction: a group of them is a
// handful of statements, however many writes there are, and one group is sent while the
// server does another. A group inserts its events without looking whether they are there,
// because nearly all events are new. If one is a duplicate, the server refuses the group,
// and its log shows an error about a duplicate key, with the key. The store writes the group
// again with statements that look first, and uses those for the next second. In the
// application's transaction it always uses those. A claim takes its rows with SKIP LOCKED,
// so dispatchers do not wait for each other, and never reads finished rows. Advisory
// transaction locks keep the order of ordering keys.
//
// The store announces what it has written with NOTIFY, in a statement of its own and at most
// ten times a second. A dispatcher listens on one connection of its own, outside the pool.
// That saves up to a second: it looks into the database every second in any case. Only
// [Store.Wake] announces what was published in the application's transaction, because
// commits that notify wait for each other. All times are the database's, so that all
// processes agree on them.
//
// A call may outlast its context by up to a second, to know what became of what it
// has begun. Errors say what ails the database, see [ErrUnavailable] and those after
// it.
//
// Every transaction of the store's own is READ COMMITTED and short; none is open while
// a delivery is attempted. What a role or a database sets (DateStyle, bytea_output,
// array_nulls, statement_timeout, search_path and the like) changes nothing in them, in
// any exec mode of the driver. What the driver itself refuses is a [*hooks.InvalidError]
// that names the setting. How durable a commit is, synchronous_commit says: leave it on,
// see [Store.Weaknesses].
//
// Functions and types are named with the schema pg_catalog, so that one of the same name
// in a schema of the search_path, such as public, is never called. Operators are not.
// They are those of pg_catalog for exactly these types, which PostgreSQL takes as long as
// search_path does not name pg_catalog behind a schema in which others may create.
package postgres

import (
	"context"
	"crypto/rand"
	"fmt"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/hooks"
	"example.com/hooks/store/postgres/internal/batch"
	"example.com/hooks/store/postgres/internal/bounds"
)

// A Store is a [hooks.Store] in a PostgreSQL database. It is a [hooks.Waker],
// [hooks.Clock], [hooks.Weak] and [hooks.Reporter] as well. It needs no closing. Close the
// pool when Run has returned and no other method is under way.
type Store struct {
	pool     *pgxpool.Pool
	schema   string
	pollOnly bool
	name     string // of this store among those that announce

	simple    bool // the pool's driver uses the simple protocol
	pipelined bool // it is as it is by default, and nobody traces it: [batch.Pipeline] may be used

	writer   writer
	bounds   bounds.Bounds
	pruned   pruned
	herald   herald
	listener listener
}

var (
	_ hooks.Store    = (*Store)(nil)
	_ hooks.Waker    = (*Store)(nil)
	_ hooks.Clock    = (*Store)(nil)
	_ hooks.Weak     = (*Store)(nil)
	_ hooks.Reporter = (*Store)(nil)
)

// A Config says where a [Store] keeps its tables and how it hears of news.
type Config struct {
	// Schema holds the tables. Empty: "hooks". It is written in lower case
	// letters, digits and _, begins with no digit, and has at most 40 of them.
	Schema string
	// PollOnly does without LISTEN and NOTIFY, for databases that are reached
	// through a pooler such as PgBouncer in transaction mode, where LISTEN does not
	// work. What other processes publish is then found by looking, within about a
	// second.
	//
	// Such a pooler gives each transaction another connection to the server, where
	// statements that the driver has prepared may be missing. Unless the pooler keeps
	// track of them (PgBouncer since 1.21, with max_prepared_statements), choose another
	// mode of the driver in the connection string, as in
	// "postgres://…/app?default_query_exec_mode=exec"; cache_describe and
	// simple_protocol work as well.
	PollOnly bool
}

var schemaForm = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,39}$`)

// New returns a store on the pool's database. It does not connect; the tables
// must be there before the first call of another method, see [Store.Migrate].
//
// All writes together borrow one connection of the pool, or up to five while they wait for
// other transactions. Each claim and each read borrows one. A dispatcher listens on one
// more, outside of the pool. The store follows the pool's settings. With another
// DefaultQueryExecMode than the driver's default, or with a Tracer, it publishes somewhat
// slower, because it sends no group while the server does another. An error is a
// [*hooks.InvalidError].
//
// A program that publishes and then ends calls [Store.Wake] before it closes the pool, or
// dispatchers find its events only by polling.
func New(pool *pgxpool.Pool, c Config) (*Store, error) {
	if pool == nil {
		return nil, &hooks.InvalidError{Field: "pool", Problem: "it is nil; give what pgxpool.New returns"}
	}
	if c.Schema == "" {
		c.Schema = defaultSchema
	}
	if !schemaForm.MatchString(c.Schema) {
		return nil, &hooks.InvalidError{
			Field:   "Config.Schema",
			Problem: fmt.Sprintf("%q: write up to 40 lower case letters, digits and _, not beginning with a digit", c.Schema),
		}
	}
	s := &Store{pool: pool, schema: c.Schema, pollOnly: c.PollOnly, name: rand.Text()[:8]}
	driver := pool.Config().ConnConfig
	s.simple = driver.DefaultQueryExecMode == pgx.QueryExecModeSimpleProtocol
	s.pipelined = driver.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement && driver.Tracer == nil
	s.writer.store = s
	s.herald.send, s.herald.mute = s.announce, c.PollOnly
	s.listener.turn = make(chan struct{}, 1)
	s.listener.turn <- struct{}{}
	return s, nil
}

const defaultSchema = "hooks"

// text returns a statement for the store's schema. All are written for the
// default one, and say "hooks." nowhere else.
func (s *Store) text(sql string) string {
	if s.schema == defaultSchema {
		return sql
	}
	return strings.ReplaceAll(sql, "hooks.", pgx.Identifier{s.schema}.Sanitize()+".")
}

// channel is what dispatchers on the same tables listen to.
func (s *Store) channel() string { return "hooks_" + s.schema }

// weaknesses are what it means that a setting is off, and what to do.
var weaknesses = map[string]string{
	"fsync":            "a power cut may destroy the database; set it to on in postgresql.conf.",
	"full_page_writes": "a power cut may destroy the database; set it to on in postgresql.conf.",
	"synchronous_commit": "a crash of the server may lose the last events that Publish has acknowledged;" +
		" set it to on for the role and the database of the pool.",
}

// weakSQL lists settings that are off.
const weakSQL = `SELECT name FROM pg_catalog.unnest(ARRAY['fsync', 'full_page_writes', 'synchronous_commit']) AS name
	WHERE pg_catalog.current_setting(name) = 'off'`

// Weaknesses implements [hooks.Weak]: it reports, in sentences, which settings make the
// store's promises weaker than PostgreSQL's defaults do: what is set, what it risks and
// what to do. It returns none when all is well. It asks one of the pool's connections.
//
// It also tells of a snapshot, of whatever transaction in the database, that has kept
// thousands of dead entries from being removed when the backlog was last looked at.
func (s *Store) Weaknesses(ctx context.Context) ([]string, error) {
	off, err := rows(ctx, s, "weaknesses", weakSQL, nil, func(r batch.Row) (string, error) {
		var name string
		err := r.Scan(&name)
		return name + " is off: " + weaknesses[name], err
	})
	return append(off, s.bounds.Weaknesses()...), err
}
