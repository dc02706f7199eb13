package main

import (
	"cmp"
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"errors"
	"net/http"
	"time"

	"example.com/hooks/admin"
)

// A user is somebody who may sign in: of a company, or of the staff if that is empty.
type user struct{ email, company string }

const (
	cookie       = "session"
	sessionTime  = 12 * time.Hour
	rounds       = 600_000 // of PBKDF2 with SHA-256, as OWASP advises
	demoPassword = "let me in"
)

// people are those of the demonstration.
var people = []user{{"sam@staff.example", ""}, {"ann@acme.example", "acme"}, {"gus@globex.example", "globex"}}

const tables = `
	CREATE TABLE IF NOT EXISTS webapp_users (email TEXT PRIMARY KEY, company TEXT NOT NULL, salt TEXT NOT NULL, hash TEXT NOT NULL);
	CREATE TABLE IF NOT EXISTS webapp_sessions (hash TEXT PRIMARY KEY, email TEXT NOT NULL, ends BIGINT NOT NULL);
	CREATE TABLE IF NOT EXISTS webapp_invoices (
		id TEXT PRIMARY KEY, company TEXT NOT NULL, cents BIGINT NOT NULL, sent BIGINT NOT NULL, paid INTEGER NOT NULL DEFAULT 0)`

// makeTables makes the application's tables, with the people of the demonstration.
func makeTables(ctx context.Context, db *sql.DB) error {
	if _, err := db.ExecContext(ctx, tables); err != nil {
		return err
	}
	salt := rand.Text()
	hash, err := passwordHash(demoPassword, salt)
	if err != nil {
		return err
	}
	for _, u := range people {
		_, err := db.ExecContext(ctx, `INSERT INTO webapp_users (email, company, salt, hash) VALUES ($1, $2, $3, $4)
			ON CONFLICT DO NOTHING`, u.email, u.company, salt, hash)
		if err != nil {
			return err
		}
	}
	return nil
}

func passwordHash(password, salt string) (string, error) {
	key, err := pbkdf2.Key(sha256.New, password, []byte(salt), rounds, sha256.Size)
	return hexOf(key), err
}

var errWrong = errors.New("the address or the password is wrong")

// signIn begins a session and returns its token. The database has only the token's hash.
func (a *app) signIn(ctx context.Context, email, password string) (token string, err error) {
	var salt, want string
	err = a.db.QueryRowContext(ctx, `SELECT salt, hash FROM webapp_users WHERE email = $1`, email).Scan(&salt, &want)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", err
	}
	got, err := passwordHash(password, cmp.Or(salt, "nobody")) // it takes as long for an address that nobody has
	if err != nil {
		return "", err
	}
	if subtle.ConstantTimeCompare([]byte(got), []byte(want)) != 1 {
		return "", errWrong
	}
	token = rand.Text()
	_, err = a.db.ExecContext(ctx, `INSERT INTO webapp_sessions (hash, email, ends) VALUES ($1, $2, $3)`,
		tokenHash(token), email, time.Now().Add(sessionTime).UnixMicro())
	return token, err
}

func (a *app) signOut(ctx context.Context, token string) error {
	_, err := a.db.ExecContext(ctx, `DELETE FROM webapp_sessions WHERE hash = $1 OR ends < $2`, tokenHash(token), time.Now().UnixMicro())
	return err
}

func tokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hexOf(sum[:])
}

// user returns who sent a request. It is false if nobody is signed in.
func (a *app) user(r *http.Request) (u user, ok bool, err error) {
	c, err := r.Cookie(cookie)
	if err != nil {
		return u, false, nil
	}
	const query = `SELECT u.email, u.company FROM webapp_sessions s JOIN webapp_users u ON u.email = s.email WHERE s.hash = $1 AND s.ends > $2`
	err = a.db.QueryRowContext(r.Context(), query, tokenHash(c.Value), time.Now().UnixMicro()).Scan(&u.email, &u.company)
	if errors.Is(err, sql.ErrNoRows) {
		return u, false, nil
	}
	return u, err == nil, err
}

var errNotYours = errors.New("it is for others")

// staffAccess is what the staff may do on the operator's pages: everything.
func (a *app) staffAccess(r *http.Request) (admin.Access, error) {
	u, ok, err := a.user(r)
	if err != nil || !ok || u.company != "" {
		return admin.Access{}, cmp.Or(err, errNotYours)
	}
	return admin.Access{Level: admin.Secrets, AllTenants: true, User: u.email}, nil
}

// customerAccess is what somebody of a company may do in the portal: everything of their own.
func (a *app) customerAccess(r *http.Request) (admin.Access, error) {
	u, ok, err := a.user(r)
	if err != nil || !ok || u.company == "" {
		return admin.Access{}, cmp.Or(err, errNotYours)
	}
	return admin.Access{Level: admin.Secrets, Tenant: u.company, User: u.email}, nil
}
