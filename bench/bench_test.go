package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/hooks/internal/pgserver"
	"example.com/hooks/signer"
)

// testServer returns a server as the program uses it: the one that
// HOOKS_TEST_POSTGRES names, or one that ends with the test.
func testServer(t *testing.T) *server {
	t.Helper()
	s, err := openServer(t.Context(), os.Getenv("HOOKS_TEST_POSTGRES"))
	if errors.Is(err, pgserver.ErrNotInstalled) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func testReceiver(t *testing.T) *receiver {
	r, err := newReceiver(signer.NewSecret())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.close() })
	return r
}

// Every peer does all that is measured, with nothing lost and nothing twice, and
// what it used was counted.
func TestPeersDeliverOnce(t *testing.T) {
	const n = 300
	s := testServer(t)
	s.counting = s.statements
	r := testReceiver(t)
	for _, p := range peers {
		for _, m := range measures {
			t.Run(p.name+"/"+m.name, func(t *testing.T) {
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errTooSlow)
				defer cancel()
				res, err := m.take(ctx, s, p, r, n)
				if err != nil {
					t.Fatal(err)
				}
				if res.n != n || res.took <= 0 || res.commits <= 0 || res.used.wal < n*100 {
					t.Errorf("take() = %+v; want %d deliveries, time, commits and bytes", res, n)
				}
				if m.publish && res.used.wal < n*payloadSize {
					t.Errorf("%d bytes were written ahead; want those of %d payloads at least", res.used.wal, n)
				}
				if p.name == "goqite" && m.publish && res.commits < n {
					t.Errorf("%d commits; want one for each of %d inserts", res.commits, n)
				}
				if s.statements && res.used.statements <= 0 {
					t.Error("no statements were counted")
				}
			})
		}
	}
	if n := r.unverified.Load(); n > 0 {
		t.Errorf("%d requests had no valid signature; want none", n)
	}
}

// Claims are measured under every load. How long they take is for the program
// to judge, which measures more of them.
func TestClaimsAreMeasuredUnderEveryLoad(t *testing.T) {
	const samples = 10
	small := []load{{name: "nothing"}, {name: "finished", finished: 500}, {name: "dead", dead: 500}}
	claimants, err := measureClaims(t.Context(), testServer(t), small, samples, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range claimants {
		if len(c.claims) != samples || len(c.updates) != samples || len(c.both) != samples {
			t.Errorf("%s: %d claims, %d updates, %d of both; want %d", c.name, len(c.claims), len(c.updates), len(c.both), samples)
		}
	}
	var out strings.Builder
	printClaims(&out, claimants)
	if !regexp.MustCompile(`nothing.*×\n +finished.*×\n +dead.*×\n$`).MatchString(out.String()) || !strings.Contains(out.String(), " 1.00×") {
		t.Errorf("printClaims() wrote\n%s", &out)
	}
}

// Commits are measured in every way, and what they publish is delivered.
func TestCommitsAreMeasuredInEveryWay(t *testing.T) {
	s := testServer(t)
	rates, err := measureNotify(t.Context(), s, options{n: 32, rounds: 1}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	printNotify(&out, rates)
	if n := strings.Count(out.String(), "×"); n != len(settings)*len(ways) || !strings.Contains(out.String(), " 1.00×") {
		t.Errorf("printNotify() wrote\n%s", &out)
	}
	for _, here := range []int{0, 1} {
		list, err := measureDelays(t.Context(), s, way{wake: true}, here, 16)
		if err != nil || len(list) != 16 || list.at(0) > list.at(1) {
			t.Errorf("measureDelays() = %v, %v; want 16, sorted", list, err)
		}
	}
}

func TestLossAndRepetitionAreErrors(t *testing.T) {
	for _, c := range []struct {
		name   string
		bodies [][]byte
		want   string // empty: no error
	}{
		{"each once", [][]byte{payload(1), payload(0)}, ""},
		{"lost", [][]byte{payload(1)}, "of 2 payloads 1 did not come, 0 came more than once; 0 others came"},
		{"repeated", [][]byte{payload(0), payload(1), payload(0)}, "of 2 payloads 0 did not come, 1 came more than once; 0 others came"},
		{"of another run", [][]byte{payload(0), payload(1), payload(2)}, "of 2 payloads 0 did not come, 0 came more than once; 1 others came"},
		{"nonsense", [][]byte{payload(0), payload(1), []byte("{}")}, "of 2 payloads 0 did not come, 0 came more than once; 1 others came"},
	} {
		tally := testReceiver(t).expect(2, nil)
		for _, body := range c.bodies {
			tally.count(body)
		}
		var got string
		if err := tally.check(); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: check() = %q; want %q", c.name, got, c.want)
		}
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errTooSlow)
	r := testReceiver(t)
	if err := r.expect(1, nil).wait(ctx); !errors.Is(err, errTooSlow) || !strings.Contains(err.Error(), "1 did not come") {
		t.Errorf("wait() = %v; want what was lost, and %v", err, errTooSlow)
	}
}

func TestUnsignedRequestsDoNotCount(t *testing.T) {
	r := testReceiver(t)
	tally := r.expect(1, nil)
	forger := newSender(r.url, signer.NewSecret())
	defer forger.close()
	if err := forger.post(t.Context(), "msg_1", payload(0)); err == nil {
		t.Error("the receiver took a request with another's signature")
	}
	if r.unverified.Load() != 1 || tally.check() == nil {
		t.Error("a request with another's signature was counted")
	}
}

func TestPayloadTellsItsNumber(t *testing.T) {
	for _, want := range []int{0, 7, 123_456} {
		b := payload(want)
		if len(b) != payloadSize || !json.Valid(b) {
			t.Errorf("payload(%d) is %d bytes long, JSON %v; want %d bytes of JSON", want, len(b), json.Valid(b), payloadSize)
		}
		spaced := bytes.ReplaceAll(b, []byte(`":"`), []byte(`": "`)) // as jsonb is written
		for _, body := range [][]byte{b, spaced} {
			if got, ok := payloadNumber(body); got != want || !ok {
				t.Errorf("payloadNumber(%.20s) = %d, %v; want %d", body, got, ok, want)
			}
		}
	}
}

// Ratios are medians of those of the rounds, not ratios of medians.
func TestReportComparesWithinRounds(t *testing.T) {
	c := &comparison{options: options{n: 100}, peers: []peer{{name: "ours"}, {name: "theirs"}}}
	for _, seconds := range [][2]int{{1, 2}, {10, 40}, {4, 4}} { // ours is 2, 4 and 1 times as fast
		results := make(round)
		for _, m := range measures {
			for i, p := range c.peers {
				results[[2]string{m.name, p.name}] = result{
					n:    100,
					took: time.Duration(seconds[i]) * time.Second,
					used: usage{process: time.Second, wal: 204_800},
				}
			}
		}
		c.rounds = append(c.rounds, results)
	}
	var out strings.Builder
	c.print(&out)
	for _, want := range []string{
		`(?m)^ +ours +25 +100\.00 +- +100\.00 +2048 +- +- +- +100 10 25$`,
		`(?m)^ +ours ÷ theirs +2\.00× +- +- +1\.00× +1\.00× +- +- +- +2\.00× 4\.00× 1\.00×$`,
	} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("print() wrote\n%s\nwant a line %s", &out, want)
		}
	}
}

func TestChoosePeers(t *testing.T) {
	for _, c := range []struct{ names, want string }{
		{"", "hooks River goqite"},
		{"goqite,hooks", "hooks goqite"},
		{"river", "River"},
		{"nobody", "error"},
		{"hooks,nobody", "error"},
	} {
		var got []string
		chosen, err := choose(c.names)
		for _, p := range chosen {
			got = append(got, p.name)
		}
		if err != nil {
			got = []string{"error"}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("choose(%q) = %v; want %s", c.names, got, c.want)
		}
	}
}

// BenchmarkPostsAlone is what the deliveries of any peer cost before it keeps
// anything: the same requests, with as many at once. No peer can drain faster.
func BenchmarkPostsAlone(b *testing.B) {
	r, err := newReceiver(signer.NewSecret())
	if err != nil {
		b.Fatal(err)
	}
	defer r.close()
	s := newSender(r.url, r.verify.Secrets[0])
	defer s.close()
	tally := r.expect(b.N, nil)
	var next atomic.Int64
	before, err := processTime()
	if err != nil {
		b.Fatal(err)
	}
	b.SetParallelism(workers / runtime.GOMAXPROCS(0))
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := int(next.Add(1)) - 1
			if err := s.post(b.Context(), fmt.Sprintf("msg_%d", i), payload(i)); err != nil {
				b.Error(err)
			}
		}
	})
	b.StopTimer()
	after, err := processTime()
	if err != nil {
		b.Fatal(err)
	}
	if err := tally.check(); err != nil {
		b.Error(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "posts/s")
	b.ReportMetric((after-before).Seconds()/float64(b.N)*10_000, "CPU-s/10000")
}

// Both libraries are measured before the readers, beside them and after them, and
// deliver everything.
func TestSnapshotsAreMeasuredInEveryPhase(t *testing.T) {
	var out strings.Builder
	err := compareSnapshots(t.Context(), testServer(t), 1500*time.Millisecond, &out, io.Discard)
	if err != nil && !strings.Contains(err.Error(), "99th percentile") { // how long they take is for the program to judge
		t.Fatal(err)
	}
	for _, name := range []string{"hooks", "River"} {
		form := fmt.Sprintf(`%s +before +[1-9].*1\.00×.*\n +%[1]s +beside +[1-9].*×.*\n +%[1]s +after +[1-9].*×.* 0 *\n`, name)
		if !regexp.MustCompile(form).MatchString(out.String()) {
			t.Errorf("compareSnapshots() wrote\n%s\nwant all phases of %s, and nothing left", &out, name)
		}
	}
}

func TestWhatIsLeftAndSlowClaimsAreErrors(t *testing.T) {
	claims := func(before, beside time.Duration) (l [3][]time.Duration) {
		l[0], l[1] = []time.Duration{before}, []time.Duration{beside}
		return l
	}
	for _, c := range []struct {
		run  *snapshotRun
		want string
	}{
		{&snapshotRun{claims: claims(10, 20)}, ""},
		{&snapshotRun{claims: claims(10, 21)}, "99th percentile"},
		{&snapshotRun{claims: claims(10, 10), left: 3}, "left 3 deliveries"},
		{&snapshotRun{}, "has not claimed"},
	} {
		err := c.run.judge()
		if got := fmt.Sprint(err); (err != nil) != (c.want != "") || !strings.Contains(got, c.want) {
			t.Errorf("judge() of %v, %d left = %v; want %q", c.run.claims, c.run.left, err, c.want)
		}
	}
}
