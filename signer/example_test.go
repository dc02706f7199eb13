package signer_test

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"example.com/hooks/signer"
)

func ExampleSigner_Sign() {
	secret, err := signer.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		fmt.Println(err)
		return
	}
	s := signer.Signer{Secrets: []signer.Secret{secret}}

	id, now := "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0)
	signature, err := s.Sign(id, now, []byte(`{"test": 2432232314}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	h := http.Header{}
	h.Set(signer.HeaderID, id)
	h.Set(signer.HeaderTimestamp, strconv.FormatInt(now.Unix(), 10))
	h.Set(signer.HeaderSignature, signature)
	fmt.Println(h.Get("webhook-signature"))
	// Output: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=
}

func ExampleSigner_SignTo() {
	secret, err := signer.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		fmt.Println(err)
		return
	}
	s := signer.Signer{Secrets: []signer.Secret{secret}}

	h := http.Header{}              // of an http.Request
	now := time.Unix(1614265330, 0) // time.Now()
	if err := s.SignTo(h, "msg_p5jXN8AQM9LWM0D4loKWxJek", now, []byte(`{"test": 2432232314}`)); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(h.Get("webhook-id"))
	fmt.Println(h.Get("webhook-timestamp"))
	fmt.Println(h.Get("webhook-signature"))
	// Output:
	// msg_p5jXN8AQM9LWM0D4loKWxJek
	// 1614265330
	// v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=
}

func ExampleVerifier_Verify() {
	secret, err := signer.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		fmt.Println(err)
		return
	}
	v := signer.Verifier{Secrets: []signer.Secret{secret}}

	h := http.Header{} // of an http.Request
	h.Set(signer.HeaderID, "msg_p5jXN8AQM9LWM0D4loKWxJek")
	h.Set(signer.HeaderTimestamp, "1614265330")
	h.Set(signer.HeaderSignature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
	now := time.Unix(1614265332, 0) // time.Now()

	fmt.Println(v.Verify(h, []byte(`{"test": 2432232314}`), now))

	err = v.Verify(h, []byte(`{"test":2432232314}`), now) // decoded and encoded again
	fmt.Println(errors.Is(err, signer.ErrMismatch))

	err = v.Verify(h, []byte(`{"test": 2432232314}`), now.Add(time.Hour))
	fmt.Println(err)
	// Output:
	// <nil>
	// true
	// signer: timestamp out of range: too old by 55m2s (1h0m2s ago, tolerance 5m0s): a replay, a late delivery, or a wrong clock
}

func ExampleParseSecret() {
	secret, err := signer.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(secret)

	_, err = signer.ParseSecret("whsec_dG9vIHNob3J0")
	fmt.Println(err)
	// Output:
	// whsec_***
	// signer: invalid secret: it holds 9 bytes, want 24 to 64
}

func ExampleKeyPair() {
	pair, err := signer.ParseKeyPair("whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(pair)
	fmt.Println(pair.Public()) // for the receivers

	id, now, body := "evt_1", time.Unix(1767225600, 0), []byte(`{"type":"invoice.paid"}`)
	h := http.Header{} // of an http.Request
	if err := (signer.Signer{KeyPairs: []signer.KeyPair{pair}}).SignTo(h, id, now, body); err != nil {
		fmt.Println(err)
		return
	}

	receiver := signer.Verifier{PublicKeys: []signer.PublicKey{pair.Public()}}
	fmt.Println(receiver.Verify(h, body, now))
	// Output:
	// whsk_***
	// whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
	// <nil>
}
