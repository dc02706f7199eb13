package sqlite

import (
	"context"
	"database/sql"
	"fmt"
)

// maxAsked bounds how many connections of a pool Weaknesses asks.
const maxAsked = 8

// Weaknesses reports, in sentences, what makes the store's promises weaker
// than in a file that [Open] made on a local disk: what is wrong, what it
// risks and what to do. It returns none when all is well.
//
// It asks the idle connections of a pool given to [New] and a new one, because
// a PRAGMA that the application executed reaches only one of them. For that it
// waits for at least one connection until ctx ends. On Linux it knows network
// file systems, too.
func (s *Store) Weaknesses(ctx context.Context) ([]string, error) {
	if err := check(ctx); err != nil {
		return nil, err
	}
	leave, err := s.writer.enter("weaknesses")
	if err != nil {
		return nil, err
	}
	defer leave()
	all, err := askPool(ctx, s.writer.db)
	if err != nil {
		return nil, explain("weaknesses", err)
	}
	path := s.writer.file.path
	if path == "" {
		list := []string{"The database is in memory: all events are gone when the process ends." +
			" Give New a database in a file, or use package store/memory in tests."}
		return append(list, timeoutWeakness(all)...), nil
	}
	list := append(journalWeakness(all), syncWeakness(all)...)
	list = append(list, timeoutWeakness(all)...)
	if name := networkFileSystem(path); name != "" {
		list = append(list, "The database lies on a network file system ("+name+"):"+
			" two machines that use it at once destroy it. Move it to a local disk, or use PostgreSQL.")
	}
	return list, nil
}

// settings are those of one connection.
type settings struct {
	mode        string // of the journal
	synchronous int
	timeout     int // milliseconds
}

// askPool reads the settings of several connections, which it holds at once so
// that they are different ones.
func askPool(ctx context.Context, db *sql.DB) (all []settings, err error) {
	st := db.Stats()
	n := min(st.Idle+1, maxAsked)
	if st.MaxOpenConnections > 0 {
		n = min(n, st.MaxOpenConnections-st.InUse)
	}
	for range max(n, 1) {
		conn, err := db.Conn(ctx)
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		var c settings
		const query = `SELECT * FROM pragma_journal_mode, pragma_synchronous, pragma_busy_timeout`
		if err := conn.QueryRowContext(ctx, query).Scan(&c.mode, &c.synchronous, &c.timeout); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

func journalWeakness(all []settings) []string {
	mode := all[0].mode // the file's, and so the same everywhere
	if mode == "wal" {
		return nil
	}
	const extra = 3 // syncs the directory from which the journal was deleted
	risk := "readers and writers wait for each other"
	switch {
	case mode == "off" || mode == "memory":
		risk = "a crash in the middle of a write may destroy the database"
	case mode == "delete" && all[0].synchronous < extra:
		risk += ", and a power cut may undo the last commit"
	}
	return []string{"journal_mode is " + mode + ": " + risk + ". Add _pragma=journal_mode(wal) to the DSN."}
}

func syncWeakness(all []settings) []string {
	const full = 2
	where := on(all, func(c settings) bool { return c.synchronous < full })
	if where == "" {
		return nil
	}
	return []string{"synchronous is below FULL" + where +
		": a power cut may lose events that Publish has acknowledged." +
		" Add _pragma=synchronous(full) to the DSN."}
}

func timeoutWeakness(all []settings) []string {
	where := on(all, func(c settings) bool { return c.timeout == 0 })
	if where == "" {
		return nil
	}
	return []string{"busy_timeout is 0" + where +
		": a write fails at once when another transaction holds the lock. " + timeoutRemedy + "."}
}

// on says on how many connections a setting is weak; it is empty if on none.
func on(all []settings, weak func(settings) bool) string {
	n := 0
	for _, c := range all {
		if weak(c) {
			n++
		}
	}
	switch n {
	case 0:
		return ""
	case len(all):
		return " on every connection"
	}
	return fmt.Sprintf(" on %d of %d connections, because a PRAGMA that is executed reaches only one", n, len(all))
}
