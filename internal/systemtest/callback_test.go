package systemtest_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/retry"
	"example.com/hooks/store/memory"
)

// A talker is a logger, a Trace, a retry policy and a Keeper, each of which calls back
// into the Hooks that it is told by: the first time that it is told something, every
// method that it may call, with a context of a second.
type talker struct {
	t    *testing.T
	keys hooks.Keeper // of the Keeper

	mu    sync.Mutex // guards what follows
	h     *hooks.Hooks
	args  arguments
	heard map[string]bool
}

// newTalker returns a Hooks as cfg says, and who is told by it. args are those of the
// calls back.
func newTalker(t *testing.T, cfg hooks.Config, args arguments) (*hooks.Hooks, *talker) {
	t.Helper()
	k := &talker{t: t, keys: cfg.Keeper, args: args, heard: make(map[string]bool)}
	cfg.Logger, cfg.Trace, cfg.Retry = slog.New(k), k.trace(), k
	cfg.Transport = kit.Exchange(func(*http.Request) (*http.Response, error) { return kit.Answer(500, nil, ""), nil })
	if cfg.Keeper != nil {
		cfg.Keeper = k
	}
	h := kit.New(t, cfg)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.h = h
	return h, k
}

// hear calls every method back that may be called, but only once for each thing heard.
func (k *talker) hear(what string, may func(method string) bool) {
	k.mu.Lock()
	h, args, first := k.h, k.args, !k.heard[what]
	k.heard[what] = true
	k.mu.Unlock()
	if !first || h == nil {
		return
	}
	for m := range reflect.TypeFor[*hooks.Hooks]().Methods() {
		if may(m.Name) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			args.call(k.t, h, m, ctx)
			cancel()
		}
	}
}

// wantHeard checks that the talker was told each of these.
func (k *talker) wantHeard(whats ...string) {
	k.t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, what := range whats {
		if !k.heard[what] {
			k.t.Errorf("nobody was told of %q, so that nobody called back", what)
		}
	}
}

// notRun is for whoever may call every method but those that wait for all the work.
func notRun(method string) bool { return method != "Run" && method != "Flush" }

// readsNoEndpoint is for a Keeper: the others need what it decrypts.
func readsNoEndpoint(method string) bool {
	return notRun(method) && !slices.Contains([]string{
		"Publish", "PublishBatch", "PublishTx", "PutEndpoint", "Endpoint", "Endpoints",
		"DeleteEndpoint", "RotateSecret", "Handlers", "DeleteHandler", "Backlog", "Replay", "Reseal", "Health",
		"SendTest", "Request", "ExplainEvent", "ExplainDelivery", "DisableEndpoint", "EnableEndpoint", "EndpointHealth",
	}, method)
}

// trace returns a Trace of which every function calls back.
func (k *talker) trace() (t hooks.Trace) {
	for field, v := range reflect.ValueOf(&t).Elem().Fields() {
		v.Set(reflect.MakeFunc(field.Type, func([]reflect.Value) []reflect.Value {
			k.hear("Trace."+field.Name, notRun)
			return slices.Repeat([]reflect.Value{reflect.Zero(reflect.TypeFor[context.Context]())}, field.Type.NumOut())
		}))
	}
	return t
}

func (k *talker) Enabled(context.Context, slog.Level) bool { return true }

func (k *talker) Handle(_ context.Context, r slog.Record) error {
	k.hear(r.Message, notRun)
	return nil
}

func (k *talker) WithAttrs([]slog.Attr) slog.Handler { return k }

func (k *talker) WithGroup(string) slog.Handler { return k }

func (k *talker) Next(n int) (time.Duration, bool) {
	k.hear("Policy.Next", notRun)
	return retry.Schedule{time.Second, time.Minute}.Next(n)
}

func (k *talker) Encrypt(plaintext, associated []byte) ([]byte, error) {
	k.hear("Keeper.Encrypt", readsNoEndpoint)
	return k.keys.Encrypt(plaintext, associated)
}

func (k *talker) Decrypt(ciphertext, associated []byte) ([]byte, error) {
	k.hear("Keeper.Decrypt", readsNoEndpoint)
	return k.keys.Decrypt(ciphertext, associated)
}

func (k *talker) Current([]byte) bool {
	k.hear("Keeper.Current", readsNoEndpoint)
	return false
}

// arguments are what methods of Hooks are called with, by type.
type arguments map[reflect.Type]reflect.Value

// argumentsFor returns arguments that find something: a delivery, and a store that is
// its own transaction.
func argumentsFor(id hooks.DeliveryID, tx hooks.Tx) arguments {
	ev := kit.InvoicePaid.New(kit.Invoice{Number: 1})
	args := make(arguments)
	for _, arg := range []any{
		"back", 10, id, ev,
		time.Time{},
		[]hooks.Event{ev},
		hooks.Query{},
		hooks.Rotation{},
		hooks.Action{ID: "act_back", Kind: hooks.ActionCancel, Query: hooks.Query{Subscriber: "back"}},
		hooks.Endpoint{ID: "back", URL: kit.AnyURL, Events: []string{"invoice.paid"}},
		hooks.Handler{Name: "late", Events: []string{"**"}, Func: kit.Ignore},
		[]hooks.AnyEventType{kit.InvoicePaid},
	} {
		args[reflect.TypeOf(arg)] = reflect.ValueOf(arg)
	}
	args[reflect.TypeFor[hooks.Tx]()] = reflect.ValueOf(tx)
	return args
}

// call calls a method of h, and returns its results.
func (a arguments) call(t *testing.T, h *hooks.Hooks, m reflect.Method, ctx context.Context) []reflect.Value {
	in := []reflect.Value{reflect.ValueOf(h)}
	for p := range m.Type.Ins() {
		switch v, ok := a[p]; {
		case p == reflect.TypeFor[*hooks.Hooks](): // there already
		case p == reflect.TypeFor[context.Context]():
			in = append(in, reflect.ValueOf(&ctx).Elem())
		case ok:
			in = append(in, v)
		default:
			t.Errorf("%s takes a %v, of which the test knows none; add one to argumentsFor", m.Name, p)
			return nil
		}
	}
	if m.Type.IsVariadic() {
		return m.Func.CallSlice(in)
	}
	return m.Func.Call(in)
}

// A logger, Trace, policy or Keeper may call back: nothing is told under a lock that
// the call would wait for.
func TestWhoIsToldMayCallBack(t *testing.T) {
	for name, check := range map[string]func(*testing.T){
		"of deliveries":                     tellOfDeliveries,
		"of a store that fails":             tellOfAStoreThatFails,
		"of records and keys":               tellOfRecords,
		"of secrets in plain text":          tellOfPlainSecrets,
		"of what comes too late":            tellOfLateLeases,
		"of a delivery whose lease is lost": tellOfLostLeases,
	} {
		t.Run(name, func(t *testing.T) {
			endIfStuck(t)
			synctest.Test(t, check)
		})
	}
}

// scheduled stores an event for an hour later, and returns its delivery to a handler.
func scheduled(t *testing.T, h *hooks.Hooks, handler string) hooks.DeliveryID {
	t.Helper()
	ev := kit.InvoicePaid.New(kit.Invoice{Number: 1})
	ev.DeliverAt = time.Now().Add(time.Hour)
	return hooks.DeliveryID{Event: kit.Publish(t, h, ev).EventID, Subscriber: handler}
}

func tellOfDeliveries(t *testing.T) {
	store := memory.New()
	before := kit.New(t, hooks.Config{Store: store})
	works := hooks.Handler{Name: "works", Events: []string{"**"}, Func: kit.Ignore}
	if err := before.Subscribe(works); err != nil {
		t.Fatal(err)
	}
	id := scheduled(t, before, "works")
	h, k := newTalker(t, hooks.Config{Store: store}, argumentsFor(id, store))
	panics := hooks.Handler{Name: "panics", Events: []string{"**"}, Func: func(context.Context, hooks.Event) error { panic("no") }}
	cancels := hooks.Handler{Name: "cancels", Events: []string{"**"}, Func: func(ctx context.Context, _ hooks.Event) error {
		d, _ := hooks.DeliveryFrom(ctx)
		_, err := h.Cancel(ctx, d.DeliveryID) // so that the outcome is stale
		return err
	}}
	for _, s := range []hooks.Handler{works, panics, cancels} {
		if err := h.Subscribe(s); err != nil {
			t.Fatal(err)
		}
	}
	kit.StartInBubble(t, h)
	kit.Put(t, h, hooks.Endpoint{ID: "gone", URL: kit.AnyURL})
	kit.Send(t, h)
	synctest.Wait()
	if err := h.DeleteEndpoint(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Hour)
	k.wantHeard("Trace.Publishing", "Trace.Published", "Trace.Started", "Trace.Finished", "Trace.Ended", "Policy.Next",
		"hooks: attempt ended by a panic", "hooks: outcome is stale", "hooks: a subscriber fails", "hooks: deliveries failed for good")
}

func tellOfAStoreThatFails(t *testing.T) {
	store := newFlaky(memory.New(), nil)
	h, k := newTalker(t, hooks.Config{Store: store}, argumentsFor(hooks.DeliveryID{Event: "e", Subscriber: "a"}, store))
	if err := h.Subscribe(hooks.Handler{Name: "a", Events: []string{"**"}, Func: kit.Ignore}); err != nil {
		t.Fatal(err)
	}
	kit.StartInBubble(t, h)
	kit.Send(t, h)
	store.follow(func(string) fate { return failsBefore })
	h.Wake(t.Context())
	time.Sleep(time.Minute)
	store.follow(nil)
	time.Sleep(time.Minute)
	k.wantHeard("Trace.StoreError", "hooks: the store fails; trying again", "hooks: the store works again")
}

func tellOfRecords(t *testing.T) {
	store, keys := memory.New(), kit.NewKeeper(t, "1")
	kit.Put(t, kit.New(t, hooks.Config{Store: store, Keeper: keys}), sealedEndpoint)
	if _, err := store.Put(t.Context(), time.Now(), hooks.Record{Key: "endpoint/broken", Data: []byte("{")}, nil); err != nil {
		t.Fatal(err)
	}
	doubt := &unlocked{Keeper: keys}
	h, k := newTalker(t, hooks.Config{Store: store, Keeper: doubt}, argumentsFor(hooks.DeliveryID{Event: "e", Subscriber: "a"}, store))
	kit.StartInBubble(t, h)
	time.Sleep(time.Minute)
	doubt.works.Store(true)
	time.Sleep(time.Minute)
	if _, err := h.Health(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.wantHeard("hooks: a record cannot be read, and stays as it was known",
		"hooks: an endpoint waits for its key, and what is due for it too",
		"hooks: an endpoint's secrets can be decrypted again",
		"Keeper.Encrypt", "Keeper.Decrypt", "Keeper.Current")
}

// An unlocked Keeper decrypts nothing until it works, and has no mutex that who calls
// back could wait for.
type unlocked struct {
	hooks.Keeper
	works atomic.Bool
}

func (u *unlocked) Decrypt(ciphertext, associated []byte) ([]byte, error) {
	if !u.works.Load() {
		return nil, errDown
	}
	return u.Keeper.Decrypt(ciphertext, associated)
}

func tellOfPlainSecrets(t *testing.T) {
	store := memory.New()
	h, k := newTalker(t, hooks.Config{Store: lasting{store}}, argumentsFor(hooks.DeliveryID{Event: "e", Subscriber: "a"}, store))
	kit.Put(t, h, hooks.Endpoint{ID: "crm", URL: kit.AnyURL})
	kit.Send(t, h)
	if _, err := h.Health(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.wantHeard("hooks: The secrets and header values of endpoints lie in the store in plain text; set Config.Keeper.")
}

// A lease that nobody can give back any more, for Publish returns when Run has all but
// ended, is told of when no lock is held that Publish waits for.
func tellOfLateLeases(t *testing.T) {
	store := &belated{Store: memory.New(), unlock: make(chan struct{}), enqueue: make(chan error)}
	h, k := newTalker(t, hooks.Config{Store: store, DrainTimeout: time.Second}, argumentsFor(hooks.DeliveryID{Event: "e", Subscriber: "a"}, store))
	if err := h.Subscribe(hooks.Handler{Name: "a", Events: []string{"**"}, Func: kit.Ignore}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	kit.Send(t, h) // all that Publish tells the trace is heard here
	synctest.Wait()
	store.holds.Lock()
	store.held = true
	store.holds.Unlock()
	published := make(chan error, 1)
	go func() {
		_, err := h.Publish(t.Context(), kit.InvoicePaid.New(kit.Invoice{Number: 1}))
		published <- err
	}()
	synctest.Wait()
	cancel()
	time.Sleep(time.Minute) // now Run waits for unlock only
	store.enqueue <- errDown
	if err := <-published; !errors.Is(err, errDown) {
		t.Errorf("Publish = %v; want %v", err, errDown)
	}
	close(store.unlock)
	if err := <-ended; err != nil {
		t.Errorf("Run = %v; want nil", err)
	}
	k.wantHeard("hooks: too late to give back a lease; it ends by itself")
}

// A belated store holds its next Enqueue back when told to, and every unlock.
type belated struct {
	*memory.Store
	unlock  chan struct{}
	enqueue chan error // what a call that was held back returns

	holds sync.Mutex // guards what follows
	held  bool       // the next call is held back
}

func (s *belated) Enqueue(ctx context.Context, now time.Time, entries []hooks.Entry) ([]hooks.Receipt, error) {
	s.holds.Lock()
	held := s.held
	s.held = false
	s.holds.Unlock()
	if held {
		return nil, <-s.enqueue
	}
	return s.Store.Enqueue(ctx, now, entries)
}

func (s *belated) Lock(ctx context.Context, now time.Time) (func() error, error) {
	unlock, err := s.Store.Lock(ctx, now)
	return func() error {
		<-s.unlock
		return unlock()
	}, err
}

// The policy is asked about a delivery that may be what ends the process before it is
// tried.
func tellOfLostLeases(t *testing.T) {
	store := memory.New()
	before := kit.New(t, hooks.Config{Store: store})
	a := hooks.Handler{Name: "a", Events: []string{"**"}, Func: kit.Ignore}
	if err := before.Subscribe(a); err != nil {
		t.Fatal(err)
	}
	r := kit.Send(t, before)
	d := kit.Delivery(t, before, r.EventID, "a")
	d.Attempts, d.Lost, d.Error = 2, 3, "lost" // it was under way when a process ended
	if _, err := store.Update(t.Context(), time.Now(), []hooks.Change{{Delivery: d}}); err != nil {
		t.Fatal(err)
	}
	h, k := newTalker(t, hooks.Config{Store: store}, argumentsFor(d.DeliveryID, store))
	if err := h.Subscribe(a); err != nil {
		t.Fatal(err)
	}
	kit.StartInBubble(t, h)
	time.Sleep(time.Minute)
	k.wantHeard("Policy.Next")
}

// endIfStuck ends the program, with the stacks of all goroutines, if the test is not over
// in a minute: a goroutine of a bubble that waits for a mutex stops the bubble's clock, so
// that no timeout in it ends the test. Call it outside of a bubble.
func endIfStuck(t *testing.T) {
	timer := time.AfterFunc(time.Minute, func() { panic(t.Name() + " waits for a lock that nobody frees") })
	t.Cleanup(func() { timer.Stop() })
}
