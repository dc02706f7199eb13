package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"example.com/hooks"
	"example.com/hooks/store/sqlite"
)

// A shop that is killed in the middle of its work has lost nothing that it
// acknowledged: the next run delivers it.
func TestKilledShopLosesNothing(t *testing.T) {
	db := filepath.Join(t.TempDir(), "shop.db")
	acknowledged := killedShop(t, db)
	if !slices.ContainsFunc(deliveries(t, db), isUnfinished) {
		t.Fatal("the killed shop left nothing to do; kill it earlier")
	}

	out, err := program(t, "-db", db, "-n", "0", "-once").CombinedOutput()
	if err != nil {
		t.Errorf("the run after the killed one: %v; want success\n%s", err, out)
	}
	perEvent := make(map[string]int)
	for _, d := range deliveries(t, db) {
		perEvent[d.Event]++
		if d.Status != hooks.Succeeded {
			t.Errorf("delivery %v is %v; want succeeded", d.DeliveryID, d.Status)
		}
	}
	for _, event := range acknowledged {
		if perEvent[event] != 4 {
			t.Errorf("acknowledged %s has %d deliveries; want 4", event, perEvent[event])
		}
	}
}

func TestExitStatusTellsOfFailure(t *testing.T) {
	db := filepath.Join(t.TempDir(), "shop.db")
	out, err := program(t, "-db", db, "-n", "1", "-once", "-timeout", "1ms").CombinedOutput()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != 1 || !strings.Contains(string(out), errTooSlow.Error()) {
		t.Errorf("quickstart -once -timeout 1ms: %v; want exit status 1 and %q\n%s", err, errTooSlow, out)
	}
}

func isUnfinished(d hooks.Delivery) bool { return !d.Status.Final() }

// killedShop starts a shop that is busy with orders of its own, places others,
// kills it, and returns the events of those that it acknowledged.
func killedShop(t *testing.T, db string) (acknowledged []string) {
	t.Helper()
	cmd := program(t, "-db", db, "-n", "2000", "-once")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		io.Copy(io.Discard, stdout)
		cmd.Wait() // says that it was killed
	}()

	lines := bufio.NewReader(stdout)
	intro, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url := regexp.MustCompile(`http://\S+`).FindString(intro)
	for i := range 60 {
		acknowledged = append(acknowledged, post(t, url, order(i)))
	}
	return acknowledged
}

func post(t *testing.T, url, order string) (event string) {
	t.Helper()
	resp, err := http.Post(url, "application/json", strings.NewReader(order))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var p placed
	if err := json.NewDecoder(resp.Body).Decode(&p); err != nil || resp.StatusCode != http.StatusAccepted {
		t.Fatalf("POST %s = %d, %v; want 202", url, resp.StatusCode, err)
	}
	return p.Event
}

// program is the quickstart as a process of its own.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

// deliveries returns all that a file holds.
func deliveries(t *testing.T, db string) (all []hooks.Delivery) {
	t.Helper()
	store, err := sqlite.Open(db)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for q := (hooks.Query{Limit: 1000}); ; {
		page, next, err := store.Deliveries(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page...)
		if next == "" {
			return all
		}
		q.Cursor = next
	}
}
