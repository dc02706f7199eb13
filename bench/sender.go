package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"example.com/hooks/egress"
	"example.com/hooks/signer"
)

// A sender makes the requests of the peers that send no webhooks themselves,
// the way hooks makes its own: through the same transport, signed by the same
// package.
type sender struct {
	url       string
	transport *http.Transport
	sign      signer.Signer
}

func newSender(url string, secret signer.Secret) *sender {
	return &sender{
		url:       url,
		transport: newTransport(),
		sign:      signer.Signer{Secrets: []signer.Secret{secret}},
	}
}

// loopback permits to call the receiver.
var loopback = egress.Policy{AllowHTTP: true, AllowLoopback: true}

func newTransport() *http.Transport {
	return egress.NewTransport(egress.Config{Policy: loopback, IdlePerHost: workers})
}

func (s *sender) close() { s.transport.CloseIdleConnections() }

// post sends a webhook, and returns nil if it was taken.
func (s *sender) post(ctx context.Context, id string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if err := s.sign.SignTo(req.Header, id, time.Now(), body); err != nil {
		return err
	}
	resp, err := s.transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("the receiver answered %d", resp.StatusCode)
	}
	return nil
}
