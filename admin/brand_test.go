package admin_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"example.com/hooks"
	"example.com/hooks/admin"
	"example.com/hooks/store/memory"
)

// openBrand returns the pages with a Config, or New's error.
func openBrand(t *testing.T, c admin.Config) (*console, error) {
	t.Helper()
	h, err := hooks.New(hooks.Config{Store: memory.New()})
	if err != nil {
		t.Fatal(err)
	}
	c.Authorize = admin.Unprotected
	if _, err := admin.New(h, c); err != nil {
		return nil, err
	}
	return openConsole(t, hooks.Config{Store: memory.New()}, c), nil
}

func TestThePagesSayWhoseTheyAre(t *testing.T) {
	c, err := openBrand(t, admin.Config{
		Title: "Acme <Webhooks>", Accent: "#8a1c7c", Home: admin.Link{Text: "Back to Acme & Co", URL: "/account?tab=1&x=2"},
	})
	if err != nil {
		t.Fatal(err)
	}
	c.put(hooks.Endpoint{ID: "crm"})
	for path, status := range map[string]int{"/": 200, "/deliveries": 200, "/endpoints/crm": 200, "/endpoints/none": 404} {
		c.get(path).is(status, "← Back to Acme & Co", "Acme <Webhooks>").
			has(`<a class="home" href="/account?tab=1&amp;x=2">`, "· Acme &lt;Webhooks&gt;</title>", "stroke=%22%238a1c7c%22").
			lacks("Hooks</a>")
	}
	c.access = admin.Access{}
	c.get("/").is(403, "← Back to Acme & Co", "Acme <Webhooks>").has(`<a class="home" href="/account?tab=1&amp;x=2">`)
	plain, err := openBrand(t, admin.Config{})
	if err != nil {
		t.Fatal(err)
	}
	plain.get("/").is(200).has(`">Hooks</a>`, "· Hooks</title>", "%230b57c4").lacks("←")
}

func TestBrandsThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		admin.Config
		says string
	}{
		"a name of a colour":   {admin.Config{Accent: "blue"}, `"blue": write a colour such as "#0b57c4"`},
		"three digits":         {admin.Config{Accent: "#07c"}, "write a colour"},
		"a rule":               {admin.Config{Accent: "#0b57c4;}*{color:red"}, "write a colour"},
		"yellow":               {admin.Config{Accent: "#ffd400"}, "its contrast is 1.2 and must be 4.5"},
		"a title of two lines": {admin.Config{Title: "a\nb"}, "Config.Title"},
		"a long title":         {admin.Config{Title: strings.Repeat("x", 65)}, "at most 64 bytes"},
		"a script":             {admin.Config{Home: admin.Link{Text: "x", URL: "javascript:alert(1)"}}, "Config.Home"},
		"data":                 {admin.Config{Home: admin.Link{Text: "x", URL: "data:text/html,x"}}, "Config.Home"},
		"another host":         {admin.Config{Home: admin.Link{Text: "x", URL: "//evil.example"}}, "Config.Home"},
		"the same by \\":       {admin.Config{Home: admin.Link{Text: "x", URL: `/\evil.example`}}, "Config.Home"},
		"a relative path":      {admin.Config{Home: admin.Link{Text: "x", URL: "account"}}, "Config.Home"},
		"no text":              {admin.Config{Home: admin.Link{URL: "/account"}}, "Config.Home"},
		"no URL":               {admin.Config{Home: admin.Link{Text: "x"}}, "Config.Home"},
	} {
		if _, err := openBrand(t, c.Config); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: New = %v; want an error that says %q", name, err, c.says)
		}
	}
	for _, home := range []string{"/", "/a/b?c=d#e", "https://acme.example/x", "http://localhost:8080"} {
		if _, err := openBrand(t, admin.Config{Home: admin.Link{Text: "x", URL: home}}); err != nil {
			t.Errorf("Home %q: New = %v; want nil", home, err)
		}
	}
}

var suggested = regexp.MustCompile(`(#[0-9a-f]{6}) is the same colour`)

// Each accent that New takes, and each that it names in place of one, can be read on every
// ground of the style sheet, in both schemes.
func TestEveryAccentCanBeRead(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	accents := []string{"#000000", "#0b57c4", "#ffffff", "#767676", "#ff0000", "#00ff00"}
	for range 60 {
		accents = append(accents, fmt.Sprintf("#%06x", rng.IntN(1<<24)))
	}
	for _, accent := range accents {
		c, err := openBrand(t, admin.Config{Accent: accent})
		if err != nil {
			other := suggested.FindStringSubmatch(err.Error())
			if other == nil {
				t.Fatalf("Accent %s: New = %v; want it to name another colour", accent, err)
			}
			if c, err = openBrand(t, admin.Config{Accent: other[1]}); err != nil {
				t.Errorf("instead of %s New names %s, and refuses that too: %v", accent, other[1], err)
				continue
			}
		}
		checkSheet(t, accent, c.styleSheet())
	}
}

// styleSheet returns the style sheet that the pages load.
func (c *console) styleSheet() string {
	c.t.Helper()
	name := regexp.MustCompile(`rel="stylesheet" href="\./([^"]+)"`).FindStringSubmatch(c.get("/").html)
	if name == nil {
		c.t.Fatal("the page has no style sheet")
	}
	return c.get("/" + name[1]).html
}

var variable = regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{3,6});`)

// checkSheet looks whether links, and the text of buttons, can be read.
func checkSheet(t *testing.T, accent, sheet string) {
	t.Helper()
	light, dark := make(map[string]string), make(map[string]string)
	for part := range strings.SplitSeq(sheet, ":root {") {
		into := light
		if before, _, _ := strings.Cut(sheet, part); strings.HasSuffix(strings.TrimSpace(strings.TrimSuffix(before, ":root {")), "dark) {") {
			into = dark
		}
		part, _, _ = strings.Cut(part, "}")
		for _, v := range variable.FindAllStringSubmatch(part, -1) {
			into[v[1]] = v[2]
		}
	}
	for scheme, v := range map[string]map[string]string{"light": light, "dark": dark} {
		if v["link"] == "" || v["ticked"] == "" {
			t.Fatalf("the %s scheme has the variables %v", scheme, v)
		}
		for _, ground := range []string{"bg", "low", "red-ground", "amber-ground", "ticked", "on-link"} {
			if r := ratio(v["link"], v[ground]); r < 4.5 {
				t.Errorf("accent %s, %s: %s on %s %s has the contrast %.2f; want 4.5", accent, scheme, v["link"], ground, v[ground], r)
			}
		}
	}
}

// ratio is the contrast of two colours by WCAG 2.2.
func ratio(a, b string) float64 {
	l := [2]float64{}
	for i, text := range []string{a, b} {
		if len(text) == 4 {
			text = "#" + strings.Repeat(text[1:2], 2) + strings.Repeat(text[2:3], 2) + strings.Repeat(text[3:4], 2)
		}
		n, _ := strconv.ParseUint(strings.TrimPrefix(text, "#"), 16, 32)
		for j, weight := range []float64{0.0722, 0.7152, 0.2126} {
			v := float64(n>>(8*j)&0xff) / 255
			if v > 0.04045 {
				v = math.Pow((v+0.055)/1.055, 2.4)
			} else {
				v /= 12.92
			}
			l[i] += weight * v
		}
	}
	return (max(l[0], l[1]) + 0.05) / (min(l[0], l[1]) + 0.05)
}
