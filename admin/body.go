package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// mostShown bounds how much of a body a page shows, in bytes.
const mostShown = 64 << 10

// A shownBody is the body of a request or a response, or an event's data, as a page shows
// it: other people's bytes, made readable.
type shownBody struct {
	Text string
	Size int  // of the whole body, in bytes
	JSON bool // Text is indented
	Cut  bool // Text is only the beginning
}

// shownBytes returns a body of an event's as it may be shown or downloaded.
func (c *call) shownBytes(eventType string, body []byte) []byte {
	if c.cfg.Redact == nil {
		return body
	}
	return c.cfg.Redact(eventType, body)
}

// show makes a body readable. JSON is indented as it is, so that large numbers survive.
func (c *call) show(eventType string, body []byte) shownBody {
	body = c.shownBytes(eventType, body)
	shown := shownBody{Size: len(body)}
	var indented bytes.Buffer
	if isShallow(body) && json.Indent(&indented, body, "", "  ") == nil {
		body, shown.JSON = indented.Bytes(), true
	}
	if shown.Cut = len(body) > mostShown; shown.Cut {
		body = body[:mostShown]
		for i := 1; i < utf8.UTFMax; i++ { // leave out half a rune
			if start := len(body) - i; utf8.RuneStart(body[start]) {
				if !utf8.FullRune(body[start:]) {
					body = body[:start]
				}
				break
			}
		}
	}
	shown.Text = visible(string(body))
	return shown
}

// isShallow reports whether a text is nested so little that indenting it cannot make it a
// hundred times as long.
func isShallow(text []byte) bool {
	const most = 32
	depth, inString, escaped := 0, false, false
	for _, b := range text {
		switch {
		case escaped:
			escaped = false
		case inString:
			escaped, inString = b == '\\', b != '"'
		case b == '"':
			inString = true
		case b == '{' || b == '[':
			if depth++; depth > most {
				return false
			}
		case b == '}' || b == ']':
			depth--
		}
	}
	return true
}

// visible writes what cannot be seen as escapes: control characters, those that change the
// direction of writing, and bytes that are no UTF-8. Line feeds and tabs stay.
func visible(text string) string {
	if strings.IndexFunc(text, isHidden) < 0 && utf8.ValidString(text) {
		return text
	}
	var b strings.Builder
	for i, r := range text {
		switch _, size := utf8.DecodeRuneInString(text[i:]); {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case isHidden(r) && r < utf8.RuneSelf:
			fmt.Fprintf(&b, `\x%02x`, r)
		case isHidden(r) && r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		case isHidden(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func isHidden(r rune) bool { return r != '\n' && r != '\t' && !unicode.IsGraphic(r) }

// oneLine returns the beginning of a text, to be quoted in a sentence.
func oneLine(text string, most int) string {
	text = visible(strings.Join(strings.Fields(text), " "))
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return strings.TrimSpace(string([]rune(text)[:most])) + " …"
}

// bytesText writes a size, such as "139 bytes" or "12.4 KiB".
func bytesText(n int) string {
	switch {
	case n == 1:
		return "1 byte"
	case n < 10<<10:
		return number(n) + " bytes"
	default:
		return fmt.Sprintf("%.1f KiB", float64(n)/1024)
	}
}

// download answers with a body as a file. It is plain text and an attachment, so that no
// browser shows what others wrote as if it were a page of ours. name has only letters,
// digits, "_", "-" and full stops.
func (c *call) download(name string, body []byte) error {
	c.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	c.w.Header().Set("Content-Disposition", `attachment; filename="`+name+`.txt"`)
	c.wrote = true
	_, _ = c.w.Write(body) // the client may be gone; nothing can be done then
	return nil
}
