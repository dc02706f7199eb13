package e2e_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// browser is the one chromium of the tests, started by the first that needs it.
var browser = sync.OnceValues(startBrowser)

// stopBrowser ends it, and removes what it has written.
var stopBrowser = func() {}

func TestMain(m *testing.M) {
	status := m.Run()
	stopBrowser()
	os.Exit(status)
}

func startBrowser() (context.Context, error) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		return nil, errors.New("chromium is not installed (on Debian: apt-get install chromium)")
	}
	dir, err := os.MkdirTemp("", "hooks-e2e-")
	if err != nil {
		return nil, err
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.UserDataDir(dir),
	}
	for _, flag := range []string{
		"disable-quic", "disable-background-networking", "disable-component-update", "disable-sync", "hide-scrollbars",
	} {
		options = append(options, chromedp.Flag(flag, true))
	}
	// A name that is not localhost, for what browsers do differently over plain HTTP.
	options = append(options, chromedp.Flag("host-resolver-rules", "MAP intranet.test 127.0.0.1"))
	allocated, end := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocated)
	stopBrowser = func() {
		cancel()
		end()
		os.RemoveAll(dir)
	}
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		return nil, fmt.Errorf("start chromium: %w", err)
	}
	return ctx, nil
}

// missing skips a test for want of something, or fails it in CI, where all is installed.
func missing(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(err)
	}
	t.Skip(err)
}

// axe returns the source of axe-core.
func axe(t testing.TB) string {
	t.Helper()
	source, err := os.ReadFile(filepath.Join("node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		missing(t, errors.New("axe-core is not installed: npm ci in internal/e2e"))
	}
	return string(source)
}

// A tab is a page that a person looks at.
type tab struct {
	t    testing.TB
	ctx  context.Context
	mu   sync.Mutex // guards what follows
	said []string   // errors and warnings of the console
}

// A look is how a page is looked at.
type look struct {
	width, height int64
	dark          bool
	noScript      bool
}

var desktop = look{width: 1280, height: 1000}

// open opens a tab that ends with the test. What a page writes to the console, other than
// for information, fails the test.
func open(t testing.TB, l look) *tab {
	t.Helper()
	parent, err := browser()
	if err != nil {
		missing(t, err)
	}
	ctx, cancel := chromedp.NewContext(parent)
	ctx, stop := context.WithTimeout(ctx, 2*time.Minute)
	tb := &tab{t: t, ctx: ctx}
	check(t, chromedp.Do(ctx, chromedp.Navigate("about:blank"))) // with ctx itself: the tab ends with this context
	scheme := "light"
	if l.dark {
		scheme = "dark"
	}
	tb.do(chromedp.EmulateViewport(l.width, l.height))
	tb.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	}))
	if l.noScript {
		tb.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
			_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
			return err
		}))
	}
	listening, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		messages := chromedp.Console(ctx)
		close(listening)
		for m, err := range messages {
			if err != nil {
				return
			}
			if m.Type == "error" || m.Type == "warning" || m.IsException() {
				tb.mu.Lock()
				tb.said = append(tb.said, m.String())
				tb.mu.Unlock()
			}
		}
	}()
	<-listening
	t.Cleanup(func() {
		cancel()
		<-ended
		stop()
		if said := tb.console(); len(said) > 0 {
			t.Errorf("the console says: %s", strings.Join(said, "\n"))
		}
	})
	return tb
}

// console returns what was written to the console, and forgets it.
func (tb *tab) console() []string {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	said := tb.said
	tb.said = nil
	return said
}

// expectConsole waits until something was written to the console, and forgets it.
func (tb *tab) expectConsole() {
	tb.t.Helper()
	for deadline := time.Now().Add(5 * time.Second); len(tb.console()) == 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.t.Fatal("nothing was written to the console")
		}
	}
}

// screens is where TestPagesAreAccessible keeps a picture of each page and look.
var screens = flag.String("hooks.screens", "", "keep a picture of each page in this `directory`, to look at")

// keepPicture keeps a picture of the page, if pictures are wanted.
func (tb *tab) keepPicture(path string) {
	tb.t.Helper()
	if *screens == "" {
		return
	}
	picture, err := chromedp.Run(tb.ctx, chromedp.FullScreenshot(100))
	check(tb.t, err)
	name := regexp.MustCompile(`[^A-Za-z0-9.]+`).ReplaceAllString(tb.t.Name()+"-"+path, "_")
	check(tb.t, os.WriteFile(filepath.Join(*screens, name[:min(len(name), 150)]+".png"), picture, 0o600))
}

// do makes steps, and fails the test if one does not work within ten seconds.
func (tb *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, 10*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		tb.t.Fatalf("the browser: %v (at %s)\n%s", err, eval[string](tb, "location.href"), eval[string](tb, "document.body ? document.body.innerText.slice(0, 2000) : ''"))
	}
}

// visit opens an address.
func (tb *tab) visit(url string) {
	tb.t.Helper()
	tb.do(chromedp.Navigate(url))
}

// eval evaluates an expression in the page, although its content policy forbids that to
// the page itself.
func eval[T any](tb *tab, expression string) (value T) {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, 10*time.Second)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		tb.t.Fatalf("evaluate %.200s: %v", expression, err)
	}
	return value
}

// text returns the words that a person sees.
func (tb *tab) text() string {
	tb.t.Helper()
	return eval[string](tb, "document.body.innerText")
}

// sees fails the test unless the page has all words within five seconds. A page may be
// replaced meanwhile, so an error of the browser counts as not yet.
func (tb *tab) sees(words ...string) {
	tb.t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for _, w := range words {
		for !strings.Contains(tb.wordsNow(), w) {
			if time.Now().After(deadline) {
				tb.t.Fatalf("the page does not say %q; it says:\n%s", w, tb.text())
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// wordsNow returns the words that a person sees, with one space between them, or nothing
// if the page is being replaced.
func (tb *tab) wordsNow() string {
	text, err := chromedp.Run(tb.ctx, chromedp.Evaluate[string]("document.body.innerText"))
	if err != nil {
		return ""
	}
	return strings.Join(strings.Fields(text), " ")
}
