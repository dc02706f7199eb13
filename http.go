package hooks

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync"
	"time"

	"example.com/hooks/egress"
	"example.com/hooks/internal/lanes"
)

const (
	readBody   = 64 << 10 // bytes of a response's body that are read
	keepBody   = 4 << 10  // and kept
	keepHeader = 8 << 10  // bytes of its header that are kept

	// bodyTime is how the envelope writes a time: always of the same width, because
	// receivers compare and sort timestamps as text.
	bodyTime = "2006-01-02T15:04:05.000Z"
)

// A client is what all webhooks share.
type client struct {
	policy    egress.Policy
	transport http.RoundTripper
	userAgent string
	log       attemptLog
	now       func() time.Time
}

// A webhook is the sender of an endpoint.
type webhook struct {
	*client
	endpoint *endpoint
}

// send makes one request. Redirects are not followed, because a Transport does not
// follow them. Success is 2xx with a body that ends properly or is longer than we read.
func (w *webhook) send(ctx context.Context, d Delivery, ev Event, a *Attempt) (verdict, lanes.Result) {
	a.URL = w.endpoint.masked
	clock := &stopwatch{a: a}
	defer clock.stop()
	req, err := w.request(httptrace.WithClientTrace(ctx, clock.trace()), ev, a.Start)
	if err != nil {
		return w.unsent(ctx, d.DeliveryID, a, err)
	}
	resp, err := w.transport.RoundTrip(req)
	switch {
	case err != nil:
		return w.unsent(ctx, d.DeliveryID, a, finite(err))
	case resp == nil:
		return w.unsent(ctx, d.DeliveryID, a, errNoResponse)
	case resp.Body == nil: // as net/http's Client takes it
		resp.Body = http.NoBody
	}
	defer resp.Body.Close()
	err = w.read(resp, a)
	switch {
	case err != nil:
		a.Error = classify(ctx, finite(err))
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		a.Error = "status"
	default:
		return verdict{ok: true}, lanes.Worked
	}
	if a.Code == http.StatusTooManyRequests || a.Code == http.StatusServiceUnavailable {
		a.RetryAfter = retryAfter(resp.Header.Get("Retry-After"), w.now())
	}
	return verdict{permanent: a.Code == http.StatusGone, after: a.RetryAfter}, blame(a)
}

// read notes a response in a. It returns the error that reading the body ended with.
func (w *webhook) read(resp *http.Response, a *Attempt) (err error) {
	tokens := w.endpoint.tokens
	a.Code = resp.StatusCode
	a.Header = boundHeader(resp.Header, tokens)
	limit := int64(readBody)
	if resp.StatusCode == http.StatusSwitchingProtocols {
		limit = 0 // the body is the connection, and ctx does not end reading it
	}
	var body []byte
	if resp.Body != http.NoBody { // for which memory would be allocated as well
		body, err = io.ReadAll(io.LimitReader(resp.Body, limit))
	}
	if len(tokens) > 0 {
		body = []byte(hide(string(body), tokens))
	}
	a.Body, a.BodyCut = cut(body, keepBody)
	return err
}

// errNoResponse is for a Transport that returns neither a response nor an error.
var errNoResponse = errors.New("hooks: Config.Transport returned no response and no error")

// unsent is an attempt without a response. The error itself is not kept, because it may
// carry the URL's tokens or addresses of the internal network.
func (c *client) unsent(ctx context.Context, id DeliveryID, a *Attempt, err error) (verdict, lanes.Result) {
	a.Error = classify(ctx, err)
	c.log.refused(id, err)
	return verdict{}, blame(a)
}

// request returns the signed request of an attempt that starts at a time.
func (w *webhook) request(ctx context.Context, ev Event, at time.Time) (*http.Request, error) {
	e := w.endpoint
	u, err := w.policy.CheckURL(e.URL)
	if err != nil {
		return nil, err
	}
	body := []byte(ev.Data)
	if !e.Raw {
		body = envelope(ev)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.URL, req.Host = u, u.Host // as a text it would be parsed once more
	for name, value := range e.Header {
		req.Header.Set(name, value)
	}
	// Ours come last, so that nothing replaces them.
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", w.userAgent)
	if err := e.signer(at).SignTo(req.Header, ev.ID, at, body); err != nil {
		return nil, err
	}
	allowRepeat(req)
	return req, nil
}

// allowRepeat tells net/http that it may send req once more if the receiver closes a
// kept connection as the request arrives, before the first byte of a response. An
// endpoint's own Idempotency-Key says the same. A field without values is never sent.
func allowRepeat(req *http.Request) {
	const field = "Idempotency-Key"
	if _, ok := req.Header[field]; !ok {
		req.Header[field] = []string{}
	}
}

// envelope is the body that Standard Webhooks recommends, with the data byte
// for byte as it was published.
func envelope(ev Event) []byte {
	typ, _ := json.Marshal(ev.Type) // a string: it cannot fail
	b := make([]byte, 0, len(ev.Data)+len(typ)+80)
	b = append(b, `{"type":`...)
	b = append(b, typ...)
	b = append(b, `,"timestamp":"`...)
	b = ev.Time.UTC().AppendFormat(b, bodyTime)
	b = append(b, `","data":`...)
	b = append(b, ev.Data...)
	return append(b, '}')
}

// retryAfter returns how long a Retry-After header asks to wait, RFC 9110 section 10.2.3:
// seconds or a date. It returns 0 for a value that makes no sense, and at most longestAfter.
func retryAfter(value string, at time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil || seconds > int64(longestAfter/time.Second) {
			return longestAfter
		}
		return time.Duration(seconds) * time.Second
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(date.Sub(at), 0), longestAfter)
}

// cut returns at most n bytes of b, and whether there were more.
func cut(b []byte, n int) ([]byte, bool) {
	if len(b) <= n {
		return b, false
	}
	return bytes.Clone(b[:n]), true
}

// boundHeader returns as many fields of a response's header as are kept, without the
// tokens of the URL that was called. A Location is masked as that is.
func boundHeader(from http.Header, tokens []string) http.Header {
	kept, size := make(http.Header, len(from)), 0
	for name, values := range from {
		for _, v := range values {
			if name == "Location" {
				v = maskURL(v)
			}
			v = hide(v, tokens)
			if n := len(name) + len(v); size+n <= keepHeader {
				size += n
				kept[name] = append(kept[name], v)
			}
		}
	}
	return kept
}

// A stopwatch measures the parts of an attempt. A transport may still call it
// when the attempt has ended, for connections that it opened in vain.
type stopwatch struct {
	mu      sync.Mutex // guards what follows
	a       *Attempt
	stopped bool
	marks   [4]time.Time
}

// The beginnings that a stopwatch marks.
const (
	dnsBegan = iota
	connectBegan
	tlsBegan
	waitBegan
)

func (s *stopwatch) mark(i int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marks[i] = time.Now()
}

// forget undoes a mark.
func (s *stopwatch) forget(i int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marks[i] = time.Time{}
}

// markFirst is mark, but keeps an earlier mark.
func (s *stopwatch) markFirst(i int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.marks[i].IsZero() {
		s.marks[i] = time.Now()
	}
}

func (s *stopwatch) measure(i int, field func(*Attempt) *time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped && !s.marks[i].IsZero() {
		*field(s.a) = time.Since(s.marks[i]).Truncate(time.Microsecond)
	}
}

func (s *stopwatch) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
}

func (s *stopwatch) trace() *httptrace.ClientTrace {
	dns := func(a *Attempt) *time.Duration { return &a.DNS }
	connect := func(a *Attempt) *time.Duration { return &a.Connect }
	handshake := func(a *Attempt) *time.Duration { return &a.TLS }
	wait := func(a *Attempt) *time.Duration { return &a.Wait }
	return &httptrace.ClientTrace{
		DNSStart:             func(httptrace.DNSStartInfo) { s.mark(dnsBegan) },
		DNSDone:              func(httptrace.DNSDoneInfo) { s.measure(dnsBegan, dns) },
		ConnectStart:         func(_, _ string) { s.mark(connectBegan); s.forget(tlsBegan) },
		ConnectDone:          func(_, _ string, _ error) { s.measure(connectBegan, connect) },
		TLSHandshakeStart:    func() { s.markFirst(tlsBegan) }, // net/http calls it once more for HTTP/2, when all is done
		TLSHandshakeDone:     func(tls.ConnectionState, error) { s.measure(tlsBegan, handshake) },
		WroteHeaders:         func() { s.mark(waitBegan) }, // because a response may arrive before WroteRequest is called
		WroteRequest:         func(httptrace.WroteRequestInfo) { s.mark(waitBegan) },
		GotFirstResponseByte: func() { s.measure(waitBegan, wait) },
	}
}
