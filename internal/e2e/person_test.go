package e2e_test

import (
	"fmt"
	"time"

	"github.com/chromedp/chromedp"
)

// A person counts what they do: a click, a key, or a field filled and sent.
type person struct {
	*tab
	actions int
}

// find is a function in the page: it returns the middle of what a person would click that
// has these words, or null. Words that stand there alone win over longer ones.
const find = `((words) => {
	const norm = (e) => (e.innerText || e.value || e.getAttribute("aria-label") || "").replace(/\s+/g, " ").trim();
	const all = [...document.querySelectorAll("a[href], button, summary, label, input[type=submit], input[type=checkbox]")]
		.filter((e) => e.checkVisibility());
	const e = all.find((e) => norm(e) === words) || all.find((e) => norm(e).includes(words));
	if (!e) return null;
	e.scrollIntoView({ block: "center" });
	const box = e.getClientRects()[0];
	return [box.x + box.width / 2, box.y + box.height / 2];
})`

// click clicks on what has these words: a link, a button, a label.
func (p *person) click(words string) {
	p.t.Helper()
	p.actions++
	p.sees(words)
	at := eval[[]float64](p.tab, fmt.Sprintf("%s(%q)", find, words))
	if len(at) != 2 {
		p.t.Fatalf("there is nothing to click with the words %q; the page says:\n%s", words, p.text())
	}
	p.do(chromedp.MouseClickXY(at[0], at[1]))
}

// fill types a text into the field with a label, without what was in it.
func (p *person) fill(label, text string) {
	p.t.Helper()
	p.actions++
	selector := p.field(label)
	eval[bool](p.tab, fmt.Sprintf(`(() => { const e = document.querySelector(%q); e.focus(); e.select(); return true; })()`, selector))
	p.do(chromedp.KeyEvent(text))
}

// field returns a selector of the field with a label, when there is one.
func (p *person) field(label string) string {
	p.t.Helper()
	expression := fmt.Sprintf(`((label) => {
		const l = [...document.querySelectorAll("label")].find((l) => l.textContent.trim().startsWith(label));
		return l && l.htmlFor ? "#" + l.htmlFor : "";
	})(%q)`, label)
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if selector, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](expression)); err == nil && selector != "" {
			return selector
		}
	}
	p.t.Fatalf("no field has the label %q; the page says:\n%s", label, p.text())
	return ""
}

// send fills a field and sends its form with Enter.
func (p *person) send(label, text string) {
	p.t.Helper()
	p.fill(label, text)
	p.do(chromedp.KeyEvent("\r"))
}

// press presses a key.
func (p *person) press(key string) {
	p.t.Helper()
	p.actions++
	p.do(chromedp.KeyEvent(key))
}

// within fails the test if what was done since the last call took more than most actions.
func (p *person) within(task string, most int) {
	p.t.Helper()
	p.t.Logf("%s: %d actions (at most %d)", task, p.actions, most)
	if p.actions > most {
		p.t.Errorf("%s took %d actions; at most %d", task, p.actions, most)
	}
	p.actions = 0
}
