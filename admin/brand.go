package admin

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Link leads from the pages to elsewhere. The zero Link leads nowhere, and is not shown.
type Link struct {
	Text string // one line of at most 64 bytes
	URL  string // a path, such as "/account", or an address that begins with https:// or http://
}

// A brand is how the pages show whose they are.
type brand struct {
	Title  string
	Accent string // the colour of the icon, as hexadecimal digits
	Home   Link
}

const (
	defaultTitle  = "Hooks"
	defaultAccent = "#0b57c4"
	mostTitle     = 64 // bytes
)

// brand returns how the pages show whose they are, as c says.
func (c Config) brand() brand {
	return brand{cmp.Or(c.Title, defaultTitle), strings.TrimPrefix(cmp.Or(c.Accent, defaultAccent), "#"), c.Home}
}

// checkBrand returns what is wrong with Title, Accent and Home.
func (c Config) checkBrand() error {
	var errs []error
	for _, line := range []struct{ field, text string }{{"Title", c.Title}, {"Home.Text", c.Home.Text}} {
		if len(line.text) > mostTitle || !utf8.ValidString(line.text) || strings.ContainsFunc(line.text, unicode.IsControl) {
			errs = append(errs, fmt.Errorf("admin: Config.%s is %q: write one line of at most %d bytes", line.field, line.text, mostTitle))
		}
	}
	if c.Home != (Link{}) && (c.Home.Text == "" || !leadsSomewhere(c.Home.URL)) {
		errs = append(errs, fmt.Errorf("admin: Config.Home is %q with the URL %q: give a text, and a path such as \"/account\" "+
			"or an address that begins with https:// or http://", c.Home.Text, c.Home.URL))
	}
	if c.Accent != "" {
		errs = append(errs, checkAccent(c.Accent))
	}
	return errors.Join(errs...)
}

// leadsSomewhere reports whether a URL is a path of the same site, or an address of another.
// Browsers take a path that begins with two slashes, or a slash and a backslash, for a host.
func leadsSomewhere(raw string) bool {
	u, err := url.Parse(raw)
	switch {
	case err != nil || strings.Contains(raw, `\`):
		return false
	case u.Scheme == "":
		return strings.HasPrefix(raw, "/") && !strings.HasPrefix(raw, "//")
	}
	return (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

// A colour is red, green and blue, each from 0 to 255.
type colour [3]float64

var hexColour = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

func parseColour(text string) colour {
	n, _ := strconv.ParseUint(text[1:], 16, 32)
	return colour{float64(n >> 16), float64(n >> 8 & 0xff), float64(n & 0xff)}
}

func (c colour) String() string {
	return fmt.Sprintf("#%02x%02x%02x", uint8(math.Round(c[0])), uint8(math.Round(c[1])), uint8(math.Round(c[2])))
}

// luminance is the relative luminance of WCAG 2.2.
func (c colour) luminance() float64 {
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		v := c[i] / 255
		if v <= 0.04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+0.055)/1.055, 2.4)
		}
		sum += weight * v
	}
	return sum
}

// contrast is the contrast ratio of WCAG 2.2, from 1 to 21.
func contrast(a, b colour) float64 {
	light, dark := a.luminance(), b.luminance()
	return (max(light, dark) + 0.05) / (min(light, dark) + 0.05)
}

// mix returns the colour that is part of the way from c to another one.
func (c colour) mix(to colour, part float64) colour {
	for i := range c {
		c[i] += (to[i] - c[i]) * part
	}
	return c
}

// leastContrast is what text needs (WCAG 2.2, success criterion 1.4.3).
const leastContrast = 4.5

// The grounds that links stand on in admin.css. White, or almost black in the dark scheme,
// is also the text on buttons that have the accent as their ground.
var (
	lightGrounds = []string{"#ffffff", "#f5f6f8", "#fdf1ef", "#fdf6e7", "#edf3fd"}
	darkGrounds  = []string{"#13161b", "#1a1e25", "#2a1a1b", "#272014", "#182438"}
)

// worst returns the least contrast of a colour with any of the grounds.
func (c colour) worst(grounds []string) float64 {
	least := math.Inf(1)
	for _, g := range grounds {
		least = min(least, contrast(c, parseColour(g)))
	}
	return least
}

func checkAccent(text string) error {
	if !hexColour.MatchString(text) {
		return fmt.Errorf("admin: Config.Accent is %q: write a colour such as %q", text, defaultAccent)
	}
	c := parseColour(text)
	reached := c.worst(lightGrounds)
	if reached >= leastContrast {
		return nil
	}
	return fmt.Errorf("admin: Config.Accent %s cannot be read on the pages: its contrast is %.1f and must be %.1f (WCAG 2.2, 1.4.3). "+
		"%s is the same colour, dark enough", text, math.Floor(reached*10)/10, leastContrast, c.readable(colour{}, lightGrounds))
}

// readable returns c, or as little as possible of the way from c to another colour, so that it
// can be read on all grounds.
func (c colour) readable(towards colour, grounds []string) colour {
	for part := 0.0; part <= 1; part += 0.01 {
		if mixed := parseColour(c.mix(towards, part).String()); mixed.worst(grounds) >= leastContrast {
			return mixed
		}
	}
	return towards
}

// accentStyle returns the rules that give the pages an accent, for the end of the style sheet.
// The dark scheme has a lighter colour of the same hue. Text on a button is white, or almost
// black in the dark scheme.
func accentStyle(accent string) string {
	light := parseColour(accent)
	dark := light.readable(colour{255, 255, 255}, darkGrounds)
	rule := func(c colour) string { return fmt.Sprintf(":root { --link: %s; --bar-dark: %s; }", c, c) }
	return fmt.Sprintf("\n%s\n@media (prefers-color-scheme: dark) { %s }\n", rule(light), rule(dark))
}
