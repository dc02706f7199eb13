package egress_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"example.com/hooks/egress"
)

// The zero Policy is the safe one, and tells people what to change.
func ExamplePolicy_CheckURL() {
	var policy egress.Policy
	for _, raw := range []string{
		"https://hooks.example.com/in",
		"http://hooks.example.com/in",
		"https://user:secret@hooks.example.com/in",
		"https://0x7f.1/in",
		"https://169.254.169.254/latest/meta-data/",
	} {
		_, err := policy.CheckURL(raw)
		fmt.Println(err)
	}
	// Output:
	// <nil>
	// destination not allowed: Start the URL with https://.
	// destination not allowed: Remove the user name and password before the @; webhooks are authenticated by their signature.
	// destination not allowed: Write an IPv4 address as four decimal numbers without leading zeros, or use a host name whose last part is not a number.
	// destination not allowed
}

// A sender with receivers in its own network permits that network by name, and
// keeps one part of it out of reach.
func ExamplePolicy() {
	policy := egress.Policy{
		AllowPrefixes: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16")},
		DenyPrefixes:  []netip.Prefix{netip.MustParsePrefix("10.20.99.0/24")},
		AllowPorts:    []uint16{443, 8443},
	}
	if err := policy.Validate(); err != nil {
		fmt.Println(err)
		return
	}
	for _, text := range []string{"10.20.0.7:8443", "10.20.99.7:8443", "10.21.0.7:8443", "10.20.0.7:80"} {
		err := policy.CheckAddr(netip.MustParseAddrPort(text))
		if denied, ok := errors.AsType[*egress.Error](err); ok {
			fmt.Println(text, denied.Rule)
			continue
		}
		fmt.Println(text, "permitted")
	}
	// Output:
	// 10.20.0.7:8443 permitted
	// 10.20.99.7:8443 denied-prefix
	// 10.21.0.7:8443 private
	// 10.20.0.7:80 port
}

// The transport refuses what the policy refuses, and tells the operator where a
// name really led; the subscriber does not learn it.
func ExampleNewTransport() {
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	}))
	defer receiver.Close()

	for _, policy := range []egress.Policy{
		{AllowHTTP: true},
		{AllowHTTP: true, AllowLoopback: true}, // for development
	} {
		transport := egress.NewTransport(egress.Config{Policy: policy})
		req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, receiver.URL, strings.NewReader("{}"))
		if err != nil {
			fmt.Println(err)
			return
		}
		resp, err := transport.RoundTrip(req)
		if refusal, ok := errors.AsType[*egress.Error](err); ok {
			fmt.Println("log:", refusal.Addr.Addr(), "rule", refusal.Rule)
		}
		if err != nil {
			fmt.Println(err)
			continue
		}
		resp.Body.Close()
		fmt.Println(resp.Status)
		transport.CloseIdleConnections()
	}
	// Output:
	// log: 127.0.0.1 rule loopback
	// destination not allowed
	// 204 No Content
}

// In a network where webhooks have to leave through a proxy, the URL is still
// judged here; what a name resolves to is judged by the proxy.
func ExampleConfig_Validate() {
	config := egress.Config{Proxy: &url.URL{
		Scheme: "http",
		Host:   "smokescreen.internal:4750",
		User:   url.UserPassword("hooks", os.Getenv("PROXY_PASSWORD")),
	}}
	fmt.Println(config.Validate())

	config.Proxy.Scheme = "socks5"
	fmt.Println(config.Validate())
	// Output:
	// <nil>
	// egress: Proxy: unusable egress proxy: start the URL with http:// or https://
}

// Behind a NAT64 gateway, an IPv6 address is judged as the IPv4 address in it.
func ExamplePolicy_nat64() {
	policy := egress.Policy{NAT64: []netip.Prefix{netip.MustParsePrefix("64:ff9b::/96")}}
	for _, raw := range []string{
		"https://[64:ff9b::93.184.216.34]/in",
		"https://[64:ff9b::169.254.169.254]/latest/meta-data/",
	} {
		_, err := policy.CheckURL(raw)
		fmt.Println(err)
	}
	// Output:
	// <nil>
	// destination not allowed
}
