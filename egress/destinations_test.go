package egress_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/hooks/egress"
)

// A destination is a row of testdata/destinations.tsv.
type destination struct {
	id     string
	text   string // a URL, or for ids that start with D a host name
	expect string // block, dial, dial-public-only or error
	rule   string // the Error.Rule of block
	answer string // of the name server
	why    string
}

// destinations reads the table. In the second column, Go's escapes stand for
// control characters and {a*N} for N times the letter a; - is an empty field.
func destinations(tb testing.TB) []destination {
	tb.Helper()
	data, err := os.ReadFile("testdata/destinations.tsv")
	if err != nil {
		tb.Fatal(err)
	}
	var rows []destination
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 6 {
			tb.Fatalf("row %q has %d fields; want 6", line, len(f))
		}
		rows = append(rows, destination{f[0], expand(tb, f[1]), f[2], f[3], f[4], f[5]})
	}
	return rows
}

// expand undoes the notation of the destination column.
func expand(tb testing.TB, text string) string {
	tb.Helper()
	s, err := strconv.Unquote(`"` + text + `"`)
	if err != nil {
		tb.Fatalf("%s: %v", text, err)
	}
	before, rest, found := strings.Cut(s, "{a*")
	if !found {
		return s
	}
	count, after, _ := strings.Cut(rest, "}")
	n, err := strconv.Atoi(count)
	if err != nil {
		tb.Fatalf("%s: %v", text, err)
	}
	return before + strings.Repeat("a", n) + after
}

func TestDestinationURLs(t *testing.T) {
	for _, row := range destinations(t) {
		if strings.HasPrefix(row.id, "D") {
			continue
		}
		t.Run(row.id, func(t *testing.T) {
			u, err := egress.Policy{}.CheckURL(row.text)
			if row.expect == "dial" {
				if err != nil {
					t.Fatalf("CheckURL(%q) = %v; want nil (%s)", row.text, err, row.why)
				}
				if !strings.EqualFold(u.Scheme, "https") || u.Host == "" {
					t.Errorf("CheckURL(%q) = %v; want an https URL with a host", row.text, u)
				}
				return
			}
			wantDenied(t, err, row)
		})
	}
}

// wantDenied checks that err is the refusal that row expects.
func wantDenied(t *testing.T, err error, row destination) {
	t.Helper()
	denied, ok := errors.AsType[*egress.Error](err)
	if !ok || !errors.Is(err, egress.ErrDenied) {
		t.Fatalf("%q: error %v; want an *egress.Error (%s)", row.text, err, row.why)
	}
	if denied.Rule != row.rule {
		t.Errorf("%q: refused by %q; want %q (%s)", row.text, denied.Rule, row.rule, row.why)
	}
	if !strings.HasSuffix(denied.Reason, ".") {
		t.Errorf("%q: reason %q; want a sentence", row.text, denied.Reason)
	}
}

// errStopped ends a dial that the policy has permitted.
var errStopped = errors.New("permitted; stopped before the connection")

// A gate asks the policy, writes down what it permits, and stops it all the same.
type gate struct {
	policy egress.Policy

	mu        sync.Mutex // guards what follows
	asked     []netip.AddrPort
	permitted []netip.AddrPort
}

func (g *gate) check(addr netip.AddrPort) error {
	err := g.policy.CheckAddr(addr)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = append(g.asked, addr)
	if err != nil {
		return err
	}
	g.permitted = append(g.permitted, addr)
	return errStopped
}

// post sends one request to name and returns the error: nothing can succeed,
// since g lets no connection be made.
func post(t *testing.T, c egress.Config, g *gate, name string) error {
	t.Helper()
	transport := egress.NewTransportWithCheck(c, g.check)
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+name+"/", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err == nil {
		resp.Body.Close()
		t.Fatalf("POST to %s succeeded; want an error", name)
	}
	return err
}

func TestDestinationNames(t *testing.T) {
	rows := destinations(t)
	server := startNameServer(t, rows)
	for _, row := range rows {
		if row.answer == "-" {
			continue
		}
		t.Run(row.id, func(t *testing.T) {
			if strings.Contains(row.answer, "AAAA") && !hasIPv6() {
				t.Skip("without IPv6 there is no socket, so the policy is never asked")
			}
			c := egress.Config{Resolver: server.resolver()}
			if row.answer == "silence" {
				c.DialTimeout = 50 * time.Millisecond
			}
			g := new(gate)
			name := strings.Trim(strings.TrimPrefix(row.text, "https://"), "/")
			err := post(t, c, g, name)
			wantOutcome(t, row, g, err)
		})
	}
}

// wantOutcome checks what became of a request to the name of row.
func wantOutcome(t *testing.T, row destination, g *gate, err error) {
	t.Helper()
	switch row.expect {
	case "block":
		if len(g.permitted) > 0 {
			t.Errorf("%s: permitted %v; want none (%s)", row.text, g.permitted, row.why)
		}
		wantDenied(t, err, row)
		if got := err.Error(); got != "destination not allowed" {
			t.Errorf("%s: error text %q; want no word about the address", row.text, got)
		}
		if len(g.asked) > 16 {
			t.Errorf("%s: %d addresses considered; want at most 16", row.text, len(g.asked))
		}
	case "dial", "dial-public-only":
		if len(g.permitted) != 1 || g.permitted[0].Addr().IsLoopback() {
			t.Errorf("%s: permitted %v; want the one public address (%s)", row.text, g.permitted, row.why)
		}
		if errors.Is(err, egress.ErrDenied) {
			t.Errorf("%s: error %v; want that of the permitted address", row.text, err)
		}
	case "error":
		if len(g.asked) > 0 || errors.Is(err, egress.ErrDenied) {
			t.Errorf("%s: error %v after the addresses %v; want a lookup error", row.text, err, g.asked)
		}
	default:
		t.Fatalf("row %s expects %q; want a word the test knows", row.id, row.expect)
	}
}

// hasIPv6 reports whether the machine can make IPv6 sockets.
func hasIPv6() bool {
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		return false
	}
	l.Close()
	return true
}

func TestEveryAnswerIsJudgedAfresh(t *testing.T) {
	server := startNameServer(t, nil)
	g := new(gate)
	c := egress.Config{Resolver: server.resolver()}
	for _, answer := range []string{"A 93.184.216.34", "A 127.0.0.1", "A 93.184.216.34", "A 169.254.169.254"} {
		server.set("rebind.test", answer)
		err := post(t, c, g, "rebind.test")
		if want := answer != "A 93.184.216.34"; errors.Is(err, egress.ErrDenied) != want {
			t.Errorf("after the answer %q: error %v; want ErrDenied %t", answer, err, want)
		}
	}
	public := netip.MustParseAddrPort("93.184.216.34:443")
	if want := []netip.AddrPort{public, public}; !slices.Equal(g.permitted, want) {
		t.Errorf("permitted %v; want %v", g.permitted, want)
	}
}

func TestAnswersThatChangeAreJudgedAfresh(t *testing.T) {
	server := startNameServer(t, nil)
	server.set("flip.test", "A 93.184.216.34 | A 127.0.0.1")
	g := new(gate)
	c := egress.Config{Resolver: server.resolver()}
	if err := post(t, c, g, "flip.test"); errors.Is(err, egress.ErrDenied) {
		t.Errorf("after a public answer: error %v; want it permitted", err)
	}
	if err := post(t, c, g, "flip.test"); !errors.Is(err, egress.ErrDenied) || len(g.permitted) != 1 {
		t.Errorf("after the answer changed: error %v, permitted %v; want ErrDenied", err, g.permitted)
	}
}

func TestRefusalNamesTheFirstAddress(t *testing.T) {
	server := startNameServer(t, destinations(t))
	g := new(gate)
	err := post(t, egress.Config{Resolver: server.resolver()}, g, "many.test")
	refusal, ok := errors.AsType[*egress.Error](err)
	if !ok || len(g.asked) == 0 || refusal.Addr != g.asked[0] {
		t.Errorf("error %#v; want one with the first address of %v", err, g.asked)
	}
}

func TestLookupIsBoundedByDialTimeout(t *testing.T) {
	server := startNameServer(t, nil)
	server.set("slow.test", "silence")
	c := egress.Config{Resolver: server.resolver(), DialTimeout: 50 * time.Millisecond}
	start := time.Now()
	post(t, c, new(gate), "slow.test")
	if took := time.Since(start); took > 4*time.Second { // a resolver left alone takes 10 s
		t.Errorf("a lookup that is never answered took %v; want about %v", took, c.DialTimeout)
	}
}

func TestManyPermittedAddressesAreNotAllTried(t *testing.T) {
	server := startNameServer(t, nil)
	server.set("scan.test", "A 8.1.0.0+200")
	g := new(gate)
	err := post(t, egress.Config{Resolver: server.resolver()}, g, "scan.test")
	if len(g.permitted) != 16 {
		t.Errorf("considered %d addresses of 200; want 16", len(g.permitted))
	}
	if !errors.Is(err, errStopped) {
		t.Errorf("error %v; want that of the first address", err)
	}
}

func TestLookupStopsWithTheRequest(t *testing.T) {
	server := startNameServer(t, nil)
	server.set("slow.test", "silence")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	transport := egress.NewTransport(egress.Config{Resolver: server.resolver()})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://slow.test/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = transport.RoundTrip(req); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("RoundTrip to a silent name server = %v; want %v", err, context.DeadlineExceeded)
	}
}
