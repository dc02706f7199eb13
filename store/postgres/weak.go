package postgres

import "context"

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

// Weaknesses is [hooks.Weak]'s: it reports, in sentences, which settings make the
// store's promises weaker than PostgreSQL's defaults do: what is set, what it risks and
// what to do. It returns none when all is well. It asks one of the pool's connections.
//
// It also tells of a snapshot, of whatever transaction in the database, that has kept
// thousands of dead entries from being removed when the backlog was last looked at.
func (s *Store) Weaknesses(ctx context.Context) ([]string, error) {
	off, err := rows(ctx, s, "weaknesses", weakSQL, nil, func(r row) (string, error) {
		var name string
		err := r.Scan(&name)
		return name + " is off: " + weaknesses[name], err
	})
	return append(off, s.bounds.weaknesses()...), err
}
