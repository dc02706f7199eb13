package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"example.com/hooks"
	"example.com/hooks/signer"
)

var errTooSlow = errors.New("not everything was delivered in time (see -timeout)")

// tour places the orders, waits until they are delivered, shows a webhook, tries a
// forgery, replays what failed for good, and leaves the shop to the reader.
func (d *demo) tour(ctx context.Context) error {
	if d.once {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, d.timeout, errTooSlow)
		defer cancel()
	}
	d.introduce()
	if err := d.placeOrders(ctx); err != nil {
		return d.stopped(ctx, err)
	}
	if err := d.timeline.wait(ctx); err != nil {
		return d.stopped(ctx, err)
	}
	if err := d.forge(ctx); err != nil {
		return d.stopped(ctx, err)
	}
	if err := d.replay(ctx); err != nil {
		return d.stopped(ctx, err)
	}
	d.toured = true
	if d.once {
		return nil
	}
	d.timeline.showAll()
	d.timeline.say("\nYour turn; Ctrl-C ends it:\n\n  curl -d '%s' %s/orders\n\nand look at the admin pages:\n\n  %s/admin/\n",
		order(0), d.shop.URL, d.shop.URL)
	<-ctx.Done()
	return d.stopped(ctx, nil)
}

// stopped says why the tour ends early. Without -once, a reader who has seen
// enough is no error.
func (d *demo) stopped(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	d.timeline.say("\nStopping: finishing what is under way.")
	if d.once {
		return context.Cause(ctx)
	}
	return nil
}

func (d *demo) introduce() {
	d.timeline.say("A shop takes orders at %s/orders\nand keeps its events in %s. Process %d can be killed at any time.\n"+
		"What hooks tells an operator is in %s.log, and on its admin pages:\n\n  %s/admin/\n",
		d.shop.URL, d.db, os.Getpid(), d.db, d.shop.URL)
	d.timeline.say("Each order goes to a function, mailer, and to three receivers: warehouse answers\n" +
		"503 twice before it takes an order, crm refuses one order for good, and bank is\n" +
		"sent a forgery, too.")
	if d.resumed > 0 {
		d.timeline.say("Deliveries that a former run has left, and this one makes: %d.", d.resumed)
	}
	d.timeline.say("")
	d.timeline.heading()
}

// placeOrders orders as customers do, spread over at most two seconds.
func (d *demo) placeOrders(ctx context.Context) error {
	if d.orders < 1 {
		return nil
	}
	pause := min(400*time.Millisecond, 2*time.Second/time.Duration(d.orders))
	pace := time.NewTicker(pause)
	defer pace.Stop()
	whole := context.WithoutCancel(ctx) // an order that was begun is not broken off
	for i := range d.orders {
		if err := d.placeOrder(whole, order(i)); err != nil {
			return err
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// order returns what customer i sends.
func order(i int) string {
	teas := []string{"Assam", "Darjeeling", "Genmaicha", "Keemun", "Oolong"}
	return fmt.Sprintf(`{"item":"%s","cents":%d}`, teas[i%len(teas)], 450+i%7*80)
}

func (d *demo) placeOrder(ctx context.Context, body string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.shop.URL+"/orders", strings.NewReader(body))
	if err != nil {
		return err
	}
	status, answer, err := send(req)
	if err != nil {
		return err
	}
	if status != http.StatusAccepted {
		return fmt.Errorf("the shop answered %d: %s", status, answer)
	}
	return nil
}

// forge shows a webhook that bank got, and sends it again at another price.
func (d *demo) forge(ctx context.Context) error {
	bank := d.receivers[len(d.receivers)-1]
	genuine, ok := bank.capture()
	if !ok {
		return nil // there was none
	}
	d.timeline.say("\nThe last webhook that bank took, as it came over the wire (long lines folded):\n\n%s", genuine.text())
	d.timeline.say("\nSomebody changes its price and sends it to bank, with the signature as it was:\n")
	forged := bytes.Replace(genuine.body, []byte(`"cents":`), []byte(`"cents":9`), 1)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, bank.server.URL+"/hooks", bytes.NewReader(forged))
	if err != nil {
		return err
	}
	req.Header = genuine.header.Clone()
	status, answer, err := send(req)
	if err != nil {
		return err
	}
	d.timeline.forged(genuine.header.Get(signer.HeaderID), bank.name, fmt.Sprint(status, " ", answer))
	if status != http.StatusUnauthorized {
		return errors.New("bank believed a forged webhook")
	}
	return nil
}

// replay mends the receivers and delivers once more what has failed for good, be it in
// a former run.
func (d *demo) replay(ctx context.Context) error {
	for _, r := range d.receivers {
		r.mend()
	}
	var failed []hooks.DeliveryID
	note := func(id hooks.DeliveryID) error { failed = append(failed, id); return nil }
	if err := d.each(ctx, note, hooks.Failed); err != nil || len(failed) == 0 {
		return err
	}
	d.timeline.say("\nThe receivers are mended; what failed for good is replayed (%d):\n", len(failed))
	for _, id := range failed {
		d.timeline.replay(id)
		if _, err := d.hooks.Replay(ctx, id); err != nil {
			return err
		}
	}
	return d.timeline.wait(ctx)
}

// send makes a request and returns the answer.
func send(req *http.Request) (status int, answer string, err error) {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, strings.TrimSpace(string(body)), err
}
