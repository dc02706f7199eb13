package admin

import (
	"net/url"
	"slices"
	"strconv"
	"time"

	"example.com/hooks"
)

// mostRows bounds the rows of a page.
const mostRows = 200

// parameters are what the address of a list may say, in pages and in the API alike. A
// filter is in the address and nowhere else, so that it can be kept and shared.
var parameters = map[string]func(q *hooks.Query, value string) error{
	"event":      text(func(q *hooks.Query) *string { return &q.Event }),
	"subscriber": text(func(q *hooks.Query) *string { return &q.Subscriber }),
	"tenant":     text(func(q *hooks.Query) *string { return &q.Tenant }),
	"key":        text(func(q *hooks.Query) *string { return &q.Key }),
	"cursor":     text(func(q *hooks.Query) *string { return &q.Cursor }),
	"type":       list(func(q *hooks.Query) *[]string { return &q.Types }),
	"error": func(q *hooks.Query, value string) error {
		if value == noClass {
			value = ""
		}
		q.Errors = append(q.Errors, value)
		return nil
	},
	"code": status,
	"from": instant(func(q *hooks.Query) *time.Time { return &q.From }),
	"to":   instant(func(q *hooks.Query) *time.Time { return &q.To }),
	"state": func(q *hooks.Query, value string) error {
		q.States = append(q.States, hooks.EndpointState(value))
		return nil
	},
	"reason": func(q *hooks.Query, value string) error {
		q.Reasons = append(q.Reasons, hooks.Reason(value))
		return nil
	},
	"status": func(q *hooks.Query, value string) error {
		var s hooks.Status
		if err := s.UnmarshalText([]byte(value)); err != nil {
			return badRequest("status", "%q is none of pending, retrying, sending, succeeded, failed, canceled.", value)
		}
		q.Statuses = append(q.Statuses, s)
		return nil
	},
	"order": func(q *hooks.Query, value string) error {
		if value != "oldest" && value != "newest" {
			return badRequest("order", "%q is neither newest nor oldest.", value)
		}
		q.OldestFirst = value == "oldest"
		return nil
	},
	"limit": func(q *hooks.Query, value string) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || n > mostRows {
			return badRequest("limit", "%q is no number of rows from 1 to %d.", value, mostRows)
		}
		q.Limit = n
		return nil
	},
	"since": func(q *hooks.Query, value string) error {
		for _, s := range sinces {
			if s.Value == value {
				q.From = time.Now().Add(-s.span)
				return nil
			}
		}
		return badRequest("since", "%q is none of 1h, 24h, 7d, 30d; from takes any time.", value)
	},
}

// noClass is what an address says for deliveries whose last attempt has no class of
// failure, or that were never tried.
const noClass = "none"

// status reads an HTTP status, or 0 for deliveries without a response.
func status(q *hooks.Query, value string) error {
	code, err := strconv.Atoi(value)
	if err != nil {
		return badRequest("code", "%q is no HTTP status; write a number such as 503, or 0 for no response.", value)
	}
	q.Codes = append(q.Codes, code)
	return nil
}

// A since is a time up to now, as the filter offers it.
type since struct {
	Value, Name string
	span        time.Duration
}

var sinces = []since{
	{"1h", "1 hour", time.Hour},
	{"24h", "24 hours", 24 * time.Hour},
	{"7d", "7 days", 7 * 24 * time.Hour},
	{"30d", "30 days", 30 * 24 * time.Hour},
}

func text(field func(*hooks.Query) *string) func(*hooks.Query, string) error {
	return func(q *hooks.Query, value string) error {
		*field(q) = value
		return nil
	}
}

func list(field func(*hooks.Query) *[]string) func(*hooks.Query, string) error {
	return func(q *hooks.Query, value string) error {
		*field(q) = append(*field(q), value)
		return nil
	}
}

func instant(field func(*hooks.Query) *time.Time) func(*hooks.Query, string) error {
	return func(q *hooks.Query, value string) error {
		t, err := time.Parse(time.RFC3339, value)
		if err != nil {
			return badRequest("", "%q is no time; write one such as 2026-11-30T09:15:00Z.", value)
		}
		*field(q) = t
		return nil
	}
}

// parseQuery reads a query from the parameters of an address. Empty ones are left out, as
// forms send them. One that does not exist is refused, because a list that ignored it would
// show too much; others names further ones that the caller reads itself.
func parseQuery(values url.Values, others ...string) (q hooks.Query, err error) {
	for name, list := range values {
		set, ok := parameters[name]
		if !ok {
			if slices.Contains(others, name) {
				continue
			}
			return q, badRequest(name, "There is no parameter %q.", name)
		}
		for _, value := range list {
			if value == "" {
				continue
			}
			if err := set(&q, value); err != nil {
				return q, err
			}
		}
	}
	return q, nil
}
