package main

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

const width = 80 // of everything that is printed, in columns

// text returns a request as it is written on the wire, indented. No secret is in it: a
// webhook carries signatures only.
func (c capture) text() string {
	lines := bytes.Join([][]byte{c.head, c.body}, nil)
	return fold(strings.ReplaceAll(string(lines), "\r\n", "\n"), "  ")
}

// fold returns text with every line indented, and cut where it would be too wide. What
// is cut off goes on below, indented a little more.
func fold(text, indent string) string {
	var b strings.Builder
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			b.WriteByte('\n')
		}
		for room := width - len(indent); utf8.RuneCountInString(line) > room; room = width - len(indent) - 2 {
			at := cutAt(line, room)
			b.WriteString(indent + strings.TrimRight(line[:at], " ") + "\n  ")
			line = line[at:]
		}
		if line != "" {
			b.WriteString(indent + line)
		}
	}
	return b.String()
}

// cutAt returns where to cut a line so that at most room characters are before: after
// the last space, if there is one in the second half, or else in the middle of a word.
func cutAt(line string, room int) int {
	at := 0
	for range room {
		_, size := utf8.DecodeRuneInString(line[at:])
		at += size
	}
	if space := strings.LastIndexByte(line[:at], ' '); space >= at/2 {
		return space + 1
	}
	return at
}
