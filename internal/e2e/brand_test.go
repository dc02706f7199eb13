package e2e_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"example.com/hooks"
	"example.com/hooks/admin"
	"example.com/hooks/store/memory"
)

// customerOf may do everything that a customer can.
func customerOf(tenant string) func(*http.Request) (admin.Access, error) {
	return func(*http.Request) (admin.Access, error) {
		return admin.Access{Level: admin.Secrets, Tenant: tenant, User: "lee@acme.example"}, nil
	}
}

// readable returns a colour, or the one that New names in its place if it cannot be read.
func readable(t testing.TB, accent string) string {
	t.Helper()
	h, err := hooks.New(hooks.Config{Store: memory.New()})
	check(t, err)
	_, err = admin.New(h, admin.Config{Authorize: admin.Unprotected, Accent: accent})
	if err == nil {
		return accent
	}
	other := regexp.MustCompile(`(#[0-9a-f]{6}) is the same colour`).FindStringSubmatch(err.Error())
	if other == nil {
		t.Fatalf("New with the Accent %s = %v; want it to name another colour", accent, err)
	}
	return other[1]
}

// A customer's portal in the application's own colours can be read, in both schemes. Yellow
// is refused, and the colour that New names instead is as dark as it needs to be and no
// darker.
func TestAccentsAreAccessible(t *testing.T) {
	source := axe(t)
	if got := readable(t, "#ffd400"); got == "#ffd400" {
		t.Errorf("New takes the Accent %s; want it refused, because nobody can read it", got)
	}
	for name, accent := range map[string]string{"purple": "#7a1fa2", "green": "#0a6b4f", "black": "#000000", "for yellow": readable(t, "#ffd400")} {
		w := newWorld(t, customerOf("acme"), func(c *admin.Config) {
			c.Title, c.Accent, c.Home = "Acme webhooks", accent, admin.Link{Text: "Back to Acme", URL: "/account"}
		})
		furnish(t, w)
		events, _, err := w.Events(t.Context(), hooks.Query{Tenant: "acme", Limit: 1, OldestFirst: true})
		check(t, err)
		for how, l := range looks {
			if name != "purple" && l.width < desktop.width {
				continue // colours do not depend on the width
			}
			t.Run(name+", "+how, func(t *testing.T) {
				tb := open(t, l)
				for _, path := range []string{
					"", "deliveries", "failures", "deliveries/" + events[0].ID + ".crm-sync", "events/" + events[0].ID, "endpoints/crm-sync",
					"endpoints/crm-sync/edit", "endpoints/crm-sync/disable", "actions/new?kind=replay&status=failed", "no/such/page",
				} {
					tb.isAccessible(source, w.url+path, path)
					if title := eval[string](tb, "document.title"); !strings.HasSuffix(title, " · Acme webhooks") {
						t.Errorf("%q has the title %q; want Acme webhooks at its end", path, title)
					}
				}
			})
		}
	}
}
