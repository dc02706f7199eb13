package hooks

import (
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	longSegment = 16 // bytes of a path's segment from which on it may be a token
	keepSegment = 4  // bytes of such a segment that are kept

	shortestToken = 8 // bytes of a query that may be a token
)

// maskURL returns raw without what may be a secret, for people to read: without user
// name and password, query and fragment, and with the first 4 bytes and "***" for
// each segment of the path that has 16 bytes or more, as the tokens of Slack's and
// Discord's URLs do. What is no URL becomes empty.
func maskURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	segments := strings.Split(u.EscapedPath(), "/")
	for i, s := range segments {
		segments[i] = maskSegment(s)
	}
	path := strings.Join(segments, "/")
	if u.Host == "" { // as a Location may be
		return path
	}
	masked := url.URL{Scheme: u.Scheme, Host: u.Host}
	return masked.String() + path
}

// maskSegment masks a segment as it is written in a URL. The cut falls neither into a
// percent-encoded byte nor into a character of several bytes.
func maskSegment(s string) string {
	if len(s) < longSegment {
		return s
	}
	if plain, err := url.PathUnescape(s); err == nil {
		s = plain
	}
	n := min(keepSegment, len(s))
	for n > 0 && n < len(s) && !utf8.RuneStart(s[n]) {
		n--
	}
	return url.PathEscape(s[:n]) + hidden
}

// urlTokens returns what in a URL may be a secret, as a receiver may repeat it in its
// answer: the query, and the segments of the path that maskURL hides. A query of less
// than 8 bytes, such as "v=2", is none, because it may stand anywhere in a text.
func urlTokens(raw string) (tokens []string) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil
	}
	add := func(s string) {
		if s != "" && !slices.Contains(tokens, s) {
			tokens = append(tokens, s)
		}
	}
	if len(u.RawQuery) >= shortestToken {
		add(u.RawQuery)
	}
	for _, values := range u.Query() {
		for _, v := range values {
			if len(v) >= longSegment {
				add(v)
			}
		}
	}
	for s := range strings.SplitSeq(u.EscapedPath(), "/") {
		if len(s) < longSegment {
			continue
		}
		add(s)
		if plain, err := url.PathUnescape(s); err == nil {
			add(plain)
		}
	}
	return tokens
}

// hide replaces tokens in what a receiver has answered.
func hide(text string, tokens []string) string {
	for _, t := range tokens {
		text = strings.ReplaceAll(text, t, hidden)
	}
	return text
}
