package admin

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	mostMessage = 160  // bytes of a normalised message
	mostRead    = 1000 // bytes of a text that are looked at for its message
)

// variable is what differs between messages that mean the same. The order matters: what
// contains others comes first. Each pattern leaves alone what stands for the others.
var variable = []struct {
	form *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`(?i)\b[a-z][a-z0-9+.-]*://[^\s"'<>]*`), "‹url›"},
	{regexp.MustCompile(`[^\s"'<>@‹›]+@[^\s"'<>@‹›]+`), "‹address›"},
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?([.,]\d+)?(Z|[+-]\d\d:?\d\d)?)?`), "‹time›"},
	{regexp.MustCompile(`\b\d\d:\d\d(:\d\d)?([.,]\d+)?\b`), "‹time›"},
	{regexp.MustCompile(`(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`), "‹id›"},
	{regexp.MustCompile(`"[^"‹›]*"`), "‹text›"},
	{regexp.MustCompile(`'[^'‹›]*'`), "‹text›"},
	{regexp.MustCompile("`[^`‹›]*`"), "‹text›"},
	{regexp.MustCompile(`\b\d{1,3}(\.\d{1,3}){3}(:\d+)?\b`), "‹address›"},
	{regexp.MustCompile(`\[?[0-9A-Fa-f]*:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*\]?(:\d+)?`), "‹address›"},
	{regexp.MustCompile(`[\pL\pN_-]*\d[\pL\pN_-]*[\pL_-][\pL\pN_-]*\d[\pL\pN_-]*`), "‹id›"},
	{regexp.MustCompile(`[A-Za-z0-9+/_=-]{24,}`), "‹id›"},
	{regexp.MustCompile(`\d+([.,]\d+)*`), "‹n›"},
}

// messageFields are where JSON has its message, as people write such answers (RFC 9457 says
// detail and title).
var messageFields = []string{"message", "error", "detail", "error_description", "title", "reason", "errors"}

// messageIn returns what a response says: for a JSON object the text of one of its
// messageFields, also within another one of these, and otherwise the whole.
func messageIn(body []byte) string {
	if value, ok := readJSON(body); ok {
		if text := messageOf(value); text != "" {
			return text
		}
	}
	return string(body[:min(len(body), mostRead)])
}

func messageOf(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case []any:
		if len(v) > 0 {
			return messageOf(v[0])
		}
	case map[string]any:
		for _, name := range messageFields {
			if text := messageOf(v[name]); text != "" {
				return text
			}
		}
	}
	return ""
}

// normalise returns the first line of a text without what differs between messages that mean
// the same: numbers, ids, addresses, times, and what stands in quotation marks. If nothing but
// these is in it, it is empty. What remains is valid UTF-8, is bounded, and stays the same if
// it is normalised again.
func normalise(text string) string {
	text = strings.ToValidUTF8(text[:min(len(text), mostRead)], "")
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	text = strings.Join(strings.Fields(visible(text)), " ")
	for range 4 { // what stands beside a placeholder may be a number only now
		before := text
		for _, v := range variable {
			text = v.form.ReplaceAllString(text, v.as)
		}
		if text == before {
			break
		}
	}
	if !strings.ContainsFunc(placeholder.ReplaceAllString(text, ""), unicode.IsLetter) {
		return "" // nothing is left that says anything
	}
	return cutMessage(text)
}

var placeholder = regexp.MustCompile(`‹[a-z]*›`)

// cutMessage bounds a message. It does not cut a placeholder in two.
func cutMessage(text string) string {
	if len(text) <= mostMessage {
		return text
	}
	n := mostMessage - len(" …")
	for !utf8.RuneStart(text[n]) {
		n--
	}
	text = text[:n]
	if open := strings.LastIndex(text, "‹"); open > strings.LastIndex(text, "›") {
		text = text[:open]
	}
	return strings.TrimRight(text, " …") + " …"
}
