package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"example.com/hooks"
)

// A problem is an error as RFC 9457 describes it. As an error it is one of the user's.
type problem struct {
	Title  string `json:"title"` // set when it is written: the text of the Status
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Field  string `json:"field,omitempty"` // of the input, such as "Endpoint.URL"
}

func (p *problem) Error() string { return p.Detail }

// write answers with p.
func (p *problem) write(w http.ResponseWriter) {
	titled := *p
	titled.Title = http.StatusText(p.Status)
	body, err := json.Marshal(titled)
	if err != nil {
		body = []byte(`{}`)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n'))
}

func badRequest(field, format string, args ...any) *problem {
	return &problem{Status: http.StatusBadRequest, Field: field, Detail: fmt.Sprintf(format, args...)}
}

// sentinels are the statuses of errors that a program can compare.
var sentinels = []struct {
	err      error
	status   int
	detail   string
	customer string // what customers are told instead; empty: the same
}{
	{hooks.ErrNotFound, http.StatusNotFound, "There is no such thing, or it is not yours.", ""},
	{hooks.ErrConflict, http.StatusConflict, "Somebody has changed this meanwhile. Read it again, and repeat your change if it is still right.", ""},
	{hooks.ErrUndecryptable, http.StatusConflict, "The secrets of this endpoint cannot be decrypted. The application has to provide the key.", ""},
	{hooks.ErrClosed, http.StatusServiceUnavailable, "The store is closed. Try again when the application runs.", "This is closed at the moment. Try again later."},
	{context.DeadlineExceeded, http.StatusServiceUnavailable, "The store did not answer in time. Try again.", "This took too long. Try again."},
	{context.Canceled, http.StatusServiceUnavailable, "The request was given up.", ""},
}

// asProblem returns err as the user is told it. What is not the user's fault is for the
// operator only.
func asProblem(err error, operator bool) *problem {
	p := &problem{Status: http.StatusInternalServerError, Detail: "Something failed here. Try again. If it fails again, tell whoever runs the application."}
	if operator {
		p.Detail = "Something failed: " + err.Error()
	}
	var (
		own     *problem
		invalid *hooks.InvalidError
		status  *hooks.StatusError
		large   *http.MaxBytesError
	)
	switch {
	case errors.As(err, &own):
		*p = *own
	case errors.As(err, &invalid):
		*p = problem{Status: http.StatusBadRequest, Field: invalid.Field, Detail: invalid.Problem}
		if errors.Is(err, hooks.ErrConflict) {
			p.Status = http.StatusConflict
		}
		if operator && invalid.Detail != "" {
			p.Detail += " (" + invalid.Detail + ")"
		}
	case errors.As(err, &status):
		*p = problem{Status: http.StatusConflict, Detail: status.Error()}
	case errors.As(err, &large):
		*p = problem{Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("The request is too large; %d bytes at most.", large.Limit)}
	default:
		for _, s := range sentinels {
			if errors.Is(err, s.err) {
				*p = problem{Status: s.status, Detail: s.detail}
				if !operator {
					p.Detail = cmp.Or(s.customer, s.detail)
				}
				break
			}
		}
	}
	return p
}
