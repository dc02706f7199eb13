package main

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"example.com/hooks/signer"
)

// A browser is somebody who is signed in.
type browser struct {
	http.Client
	root string
}

// tour does what people do with the application, over HTTP, and prints what happens.
func tour(ctx context.Context, url string, out io.Writer) (err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	dir, err := os.MkdirTemp("", "webapp")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	a, err := open(ctx, filepath.Join(dir, "webapp.db"), url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- a.serve(serving, listener) }()
	err = walk(ctx, "http://"+listener.Addr().String(), out)
	stop()
	return errors.Join(err, <-served)
}

// walk is the tour through an application that runs at root.
func walk(ctx context.Context, root string, out io.Writer) error {
	got := make(chan received, 16)
	receiver := httptest.NewServer(receive(got))
	defer receiver.Close()
	customer, err := signIn(ctx, root, people[1].email)
	if err != nil {
		return err
	}
	made, err := customer.post(ctx, "/webhooks/new-endpoint", url.Values{"url": {receiver.URL}, "events": {"invoice.**"}})
	if err != nil {
		return err
	}
	secret, err := signer.ParseSecret(regexp.MustCompile(`whsec_[A-Za-z0-9+/=]+`).FindString(html.UnescapeString(made)))
	if err != nil {
		return fmt.Errorf("the page of a new endpoint shows no secret: %w", err)
	}
	fmt.Fprintf(out, "%s makes an endpoint in the portal and sees its secret once.\n", people[1].email)
	staff, err := signIn(ctx, root, people[0].email)
	if err != nil {
		return err
	}
	list, err := staff.post(ctx, "/invoices", url.Values{"company": {"acme"}, "euros": {"42"}})
	if err != nil {
		return err
	}
	id := regexp.MustCompile(`R-[A-Z0-9]{6}`).FindString(list)
	if _, err := staff.post(ctx, "/invoices/"+id+"/pay", nil); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s sends acme an invoice and marks it as paid.\n", people[0].email)
	for range 2 {
		select {
		case r := <-got:
			v := signer.Verifier{Secrets: []signer.Secret{secret}}
			if err := v.Verify(r.header, r.body, time.Now()); err != nil {
				return err
			}
			fmt.Fprintf(out, "acme's server gets a webhook, and its signature verifies:\n  %s\n", r.body)
		case <-ctx.Done():
			return fmt.Errorf("no webhook came: %w", ctx.Err())
		}
	}
	return lookAround(ctx, root, customer, staff, out)
}

// lookAround reads the pages of the webhooks as each of the three sees them.
func lookAround(ctx context.Context, root string, customer, staff *browser, out io.Writer) error {
	for _, step := range []struct {
		who        *browser
		path, says string
		tells      string
	}{
		{customer, "/webhooks/deliveries", "invoice.paid", "acme's portal lists what was delivered."},
		{staff, "/staff/webhooks/deliveries", "receipts", "The staff's page lists that, and the receipt that a handler has mailed."},
	} {
		text, err := step.who.get(ctx, step.path)
		if err != nil {
			return err
		}
		if !strings.Contains(text, step.says) {
			return fmt.Errorf("%s does not show %q", step.path, step.says)
		}
		fmt.Fprintln(out, step.tells)
	}
	other, err := signIn(ctx, root, people[2].email)
	if err != nil {
		return err
	}
	text, err := other.get(ctx, "/webhooks/api/v1/deliveries")
	if err != nil || !strings.Contains(text, `"deliveries":[]`) {
		return errors.Join(err, fmt.Errorf("globex sees %s", text))
	}
	if _, err := other.get(ctx, "/staff/webhooks/"); err == nil {
		return errors.New("globex sees the staff's page")
	}
	fmt.Fprintln(out, "globex's portal shows nothing of that, and the staff's page is refused.")
	return nil
}

// A received is a request that came to acme's server.
type received struct {
	header http.Header
	body   []byte
}

func receive(got chan<- received) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		got <- received{r.Header, body}
	}
}

func signIn(ctx context.Context, root, email string) (*browser, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	b := &browser{http.Client{Jar: jar}, root}
	_, err = b.post(ctx, "/login", url.Values{"email": {email}, "password": {demoPassword}})
	return b, err
}

func (b *browser) get(ctx context.Context, path string) (string, error) {
	return b.do(ctx, http.MethodGet, path, nil)
}

func (b *browser) post(ctx context.Context, path string, form url.Values) (string, error) {
	return b.do(ctx, http.MethodPost, path, form)
}

func (b *browser) do(ctx context.Context, method, path string, form url.Values) (string, error) {
	r, err := http.NewRequestWithContext(ctx, method, b.root+path, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	resp, err := b.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s", method, path, resp.Status)
	}
	return string(text), err
}
