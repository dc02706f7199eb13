package egress_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/hooks/egress"
)

const canaryVar = "EGRESS_CANARY"

// TestCanaries runs itself again in a network of its own, in which everything
// a webhook must not reach is there and listens: no address is only pretended,
// and nothing stands between a mistake and the connection.
func TestCanaries(t *testing.T) {
	if os.Getenv(canaryVar) != "" {
		checkCanaries(t)
		return
	}
	name := newNamespace(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ip", "netns", "exec", name,
		os.Args[0], "-test.run=^TestCanaries$", "-test.count=1", "-test.v", "-test.timeout=9s")
	cmd.Env = append(os.Environ(), canaryVar+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestCanaries ") {
		t.Errorf("in the namespace: %v\n%s", err, out)
	}
}

// newNamespace makes a network namespace that lasts as long as the test, or
// skips it.
func newNamespace(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%v; install iproute2", err)
		}
		t.Skipf("needs a network namespace: %v", err)
	}
	if os.Geteuid() != 0 {
		t.Skip("needs a network namespace: only root can make one")
	}
	name := "egress-canary-" + strconv.Itoa(os.Getpid())
	if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
		exec.Command("ip", "netns", "delete", name).Run() // what it began, if anything
		t.Skipf("needs a network namespace: ip netns add: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "delete", name).CombinedOutput(); err != nil {
			t.Errorf("ip netns delete %s: %v: %s", name, err, out)
		}
	})
	return name
}

// Where the canaries sit, and the receivers that are public.
var (
	canaries = []string{
		"127.0.0.1", "::1", "169.254.169.254", "10.9.9.9", "192.168.9.9", "100.100.100.200",
		"168.63.129.16", "fd00:ec2::254", "64:ff9b::a9fe:a9fe", "64:ff9b::a09:909", "2002:a09:909::1",
	}
	publics     = []string{"93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822"}
	canaryPorts = []string{"80", "443"}
)

// canaryNames are what the name server answers, and who may be reached then.
var canaryNames = []struct{ answer, reaches string }{
	{"A 93.184.216.34", "93.184.216.34"},
	{"AAAA 2606:2800:220:1::1", "2606:2800:220:1::1"},
	{"AAAA 64:ff9b::5db8:d822", "64:ff9b::5db8:d822"},
	{"AAAA ::ffff:93.184.216.34", "93.184.216.34"},
	{"A 169.254.169.254, A 93.184.216.34", "93.184.216.34"},
	{"A 93.184.216.34, A 10.9.9.9, AAAA fd00:ec2::254", "93.184.216.34"},
	{"AAAA ::1, AAAA fd00:ec2::254, AAAA 2606:2800:220:1::1", "2606:2800:220:1::1"},
	{"AAAA ::1, A 93.184.216.34", "93.184.216.34"},
	{"A 127.0.0.1", ""},
	{"A 0.0.0.0", ""},
	{"AAAA ::", ""},
	{"AAAA ::1", ""},
	{"A 169.254.169.254", ""},
	{"A 10.9.9.9, A 192.168.9.9", ""},
	{"A 100.100.100.200", ""},
	{"A 168.63.129.16", ""},
	{"AAAA fd00:ec2::254", ""},
	{"AAAA ::ffff:169.254.169.254", ""},
	{"AAAA ::ffff:10.9.9.9, A 127.0.0.1", ""},
	{"AAAA 64:ff9b::a9fe:a9fe", ""},
	{"AAAA 64:ff9b::a09:909, AAAA 2002:a09:909::1", ""},
	{"CNAME localhost", ""},
}

// canaryLiterals are hosts that need no name server, or that some resolvers
// take for addresses.
var canaryLiterals = []string{
	"127.0.0.1", "[::1]", "[::]", "0.0.0.0", "localhost", "169.254.169.254", "[fd00:ec2::254]",
	"[::ffff:169.254.169.254]", "[::ffff:a09:909]", "[64:ff9b::10.9.9.9]", "[2002:a09:909::1]",
	"0x7f.1", "127.1", "2130706433", "0251.0376.0251.0376", "0",
}

// A wire counts the connections that reach the addresses of the namespace.
type wire struct {
	counts  map[string]*atomic.Int32
	serving sync.WaitGroup
}

// checkCanaries is what TestCanaries does inside the namespace.
func checkCanaries(t *testing.T) {
	setUpLoopback(t)
	w := listenEverywhere(t)
	server := startNameServer(t, nil)
	server.set("localhost", "A 127.0.0.1, AAAA ::1")
	c := egress.Config{
		Policy:      egress.Policy{AllowHTTP: true, NAT64: prefixes("64:ff9b::/96")},
		Resolver:    server.resolver(),
		DialTimeout: 2 * time.Second,
	}
	for i, n := range canaryNames {
		name := "n" + strconv.Itoa(i) + ".test"
		server.set(name, n.answer)
		before := w.count(n.reaches)
		sendTo(t, c, name)
		if got := w.count(n.reaches) - before; n.reaches != "" && got == 0 {
			t.Errorf("%s: %s saw no connection; want one", n.answer, n.reaches)
		}
	}
	// A name server that answers a check with one address and the dialer with another.
	for i, canary := range []string{"127.0.0.1", "169.254.169.254", "10.9.9.9"} {
		name := "rebind" + strconv.Itoa(i) + ".test"
		server.set(name, "A 93.184.216.34 | A "+canary+" | A 93.184.216.34 | A "+canary)
		for range 4 {
			sendTo(t, c, name)
		}
	}
	for _, host := range canaryLiterals {
		sendTo(t, c, host)
	}
	for _, addr := range canaries {
		touched := touch(t, addr)
		if n := w.count(addr) - touched; n != 0 {
			t.Errorf("%s saw %d connections; want 0", addr, n)
		}
	}
}

// touch connects to addr, which shows that the canary is alive and, since
// connections are accepted in order, that it has counted all the earlier ones.
// It returns how many connections it made.
func touch(t *testing.T, addr string) int32 {
	t.Helper()
	for _, port := range canaryPorts {
		conn, err := net.Dial("tcp", net.JoinHostPort(addr, port))
		if err != nil {
			t.Fatalf("the canary is dead: %v", err)
		}
		io.WriteString(conn, "GET / HTTP/1.1\r\n\r\n")
		io.Copy(io.Discard, conn)
		conn.Close()
	}
	return int32(len(canaryPorts))
}

// setUpLoopback gives every address to the namespace's loopback device.
func setUpLoopback(t *testing.T) {
	t.Helper()
	commands := [][]string{{"link", "set", "lo", "up"}}
	for _, addr := range append(publics, canaries...) {
		ip := netip.MustParseAddr(addr)
		if !ip.IsLoopback() {
			prefix := netip.PrefixFrom(ip, ip.BitLen()).String()
			args := []string{"address", "add", prefix, "dev", "lo"}
			if ip.Is6() {
				args = append(args, "nodad") // usable at once
			}
			commands = append(commands, args)
		}
	}
	for _, args := range commands {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
}

// listenEverywhere counts connections to the ports of http and https on every
// address, until the test ends.
func listenEverywhere(t *testing.T) *wire {
	t.Helper()
	w := &wire{counts: make(map[string]*atomic.Int32)}
	t.Cleanup(w.serving.Wait) // after the listeners are closed
	for _, addr := range append(publics, canaries...) {
		count := new(atomic.Int32)
		w.counts[addr] = count
		for _, port := range canaryPorts {
			l, err := net.Listen("tcp", net.JoinHostPort(addr, port))
			if err != nil {
				t.Fatal(err)
			}
			w.serving.Go(func() { w.serve(l, count) })
			t.Cleanup(func() { l.Close() })
		}
	}
	return w
}

// serve counts the connections to l and sends each of them to a canary.
func (w *wire) serve(l net.Listener, count *atomic.Int32) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		count.Add(1)
		conn.Read(make([]byte, 1)) // an answer before the question is an error
		io.WriteString(conn, "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://169.254.169.254/\r\n"+
			"Content-Length: 0\r\nConnection: close\r\n\r\n")
		conn.Close()
	}
}

// count returns how many connections addr has seen.
func (w *wire) count(addr string) int32 {
	if count := w.counts[addr]; count != nil {
		return count.Load()
	}
	return 0
}

// sendTo sends webhooks to host by http and https: as hooks does, and with a
// client that follows redirects. What becomes of them is told by who was
// connected to.
func sendTo(t *testing.T, c egress.Config, host string) {
	t.Helper()
	for _, url := range []string{"http://" + host + "/", "https://" + host + "/"} {
		send(t, c, url)
		transport := egress.NewTransport(c)
		resp, err := (&http.Client{Transport: transport}).Post(url, "application/json", strings.NewReader("{}"))
		if err == nil {
			resp.Body.Close()
		}
		transport.CloseIdleConnections()
	}
}
