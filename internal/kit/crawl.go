package kit

import (
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// mostPages bounds how many addresses Crawl follows: filters lead to each other without end.
const mostPages = 400

var (
	tags       = regexp.MustCompile(`<(a|link|script|img|form|button|input)\b[^>]*>`)
	attributes = regexp.MustCompile(`\b(href|src|action|formaction|method)="([^"]*)"`)
)

// A Crawler follows the links of pages, as far as they lead below its root.
type Crawler struct {
	Do   func(*http.Request) (*http.Response, error)
	Root string // the absolute address of the first page, with a slash at its end

	seen  map[string]bool
	posts map[string]bool
	queue []string
}

// Crawl follows every link, asset and form of the pages from the root on, and returns the
// addresses, without Root before them. Each must be relative, lead below the root and answer
// 200. A form that is sent by POST is tried as if another site sent it: the handler refuses
// it with 403 if it has such a route, and answers 404 or 405 if not.
func (c *Crawler) Crawl(t *testing.T) (followed []string) {
	t.Helper()
	c.seen, c.posts, c.queue = map[string]bool{c.Root: true}, map[string]bool{}, []string{c.Root}
	for i := 0; i < len(c.queue) && i < mostPages; i++ {
		c.follow(t, c.queue[i])
		followed = append(followed, strings.TrimPrefix(c.queue[i], c.Root))
	}
	for address := range c.posts {
		if status, _, _ := c.ask(t, http.MethodPost, address); status != http.StatusForbidden {
			t.Errorf("the form of %s = %d; want 403, because another site sent it", address, status)
		}
	}
	return followed
}

// follow reads a page and notes where it leads.
func (c *Crawler) follow(t *testing.T, address string) {
	t.Helper()
	status, at, body := c.ask(t, http.MethodGet, address)
	if status != http.StatusOK {
		t.Errorf("%s = %d; want 200", address, status)
		return
	}
	for _, tag := range tags.FindAllString(body, -1) {
		to := make(map[string]string)
		for _, a := range attributes.FindAllStringSubmatch(tag, -1) {
			to[a[1]] = html.UnescapeString(a[2])
		}
		for _, name := range []string{"href", "src", "action", "formaction"} {
			if link, ok := to[name]; ok && !strings.HasPrefix(link, "#") && !strings.HasPrefix(link, "data:") {
				c.note(t, at, link, strings.EqualFold(to["method"], "post") || name == "formaction")
			}
		}
	}
}

// note notes a link or a form of a page.
func (c *Crawler) note(t *testing.T, page *url.URL, link string, post bool) {
	t.Helper()
	to, err := page.Parse(link)
	if err != nil || strings.HasPrefix(link, "/") || strings.Contains(link, "://") || !strings.HasPrefix(to.String(), c.Root) {
		t.Errorf("%s leads to %q, %v; want a relative link below %s", page, link, err, c.Root)
		return
	}
	to.Fragment = ""
	switch address := to.String(); {
	case post:
		c.posts[address] = true
	case !c.seen[address]:
		c.seen[address] = true
		c.queue = append(c.queue, address)
	}
}

// ask sends a request. It returns the answer's status, its address, and its body if that is
// a page.
func (c *Crawler) ask(t *testing.T, method, address string) (status int, at *url.URL, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Sec-Fetch-Site", "cross-site")
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		body = string(text)
	}
	return resp.StatusCode, resp.Request.URL, body
}
