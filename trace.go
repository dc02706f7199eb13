package hooks

import "time"

// A Trace is told what happens, in the manner of [net/http/httptrace]: every
// function may be nil. They are called from the goroutines that do the work,
// several at once, and hold them up while they run. They may call every method of
// [Hooks] but Run and Flush, because they are called while no lock is held. A panic in one is
// logged, and ends nothing.
type Trace struct {
	// Published is called when an event is stored, or turned out to be a
	// duplicate (then ev was not stored, and r names the first), by Publish and
	// PublishBatch, before the first attempt that they hand over. PublishTx
	// does not call it, for what it wrote may yet be rolled back.
	Published func(ev Event, r Receipt)
	// Started is called when an attempt begins. d.Attempts counts those before.
	Started func(d Delivery)
	// Finished is called when an attempt has ended and its outcome is stored:
	// d is the delivery as it now stands. If it will be tried again, d.Due
	// says when, and a why this one failed.
	Finished func(d Delivery, a Attempt)
	// Ended is called when a delivery becomes final without an attempt: because
	// it expired, was lost, or its subscriber is gone.
	Ended func(d Delivery)
	// StoreError is called when the dispatcher's store fails; it will try again
	// after wait.
	StoreError func(err error, wait time.Duration)
}
