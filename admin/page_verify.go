package admin

import (
	"fmt"
	"net/http"
	"strings"

	"example.com/hooks"
)

// verifyEndpoint sends a challenge, and shows the endpoint again with what came of it.
func (c *call) verifyEndpoint() error {
	id := c.r.PathValue("id")
	a, err := c.view.VerifyEndpoint(c.r.Context(), id)
	if err != nil {
		return err
	}
	if a.Error == "" {
		return c.redirect("endpoints/" + id + "?did=verified")
	}
	d, err := c.endpointData()
	if err != nil {
		return err
	}
	d.Challenge = challengeText(a, c.shownBytes("", a.Body))
	return c.pageStatus(http.StatusOK, d.page(false, nil))
}

// challengeText says what the answer to a challenge was, and what it should have been.
func challengeText(a hooks.Attempt, body []byte) string {
	const most = 80
	got := "The request failed: " + a.Error + "."
	switch text := strings.TrimSpace(string(body)); {
	case a.Code != 0 && a.Error == "status":
		got = "The endpoint answered " + codeText(a.Code) + "; the challenge needs a status from 200 to 299."
	case a.Code != 0 && text == "":
		got = "The endpoint answered " + codeText(a.Code) + " with an empty body."
	case a.Code != 0:
		if len(text) > most {
			text = strings.ToValidUTF8(text[:most], "") + "…"
		}
		got = fmt.Sprintf("The endpoint answered %s with the body “%s”.", codeText(a.Code), visible(text))
	}
	return got + " It must answer with the text of data.challenge, and nothing else."
}

// apiVerifyEndpoint sends a challenge.
func (c *call) apiVerifyEndpoint() error {
	if err := c.noBody(); err != nil {
		return err
	}
	a, err := c.view.VerifyEndpoint(c.r.Context(), c.r.PathValue("id"))
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, struct {
		Verified bool           `json:"verified"`
		Attempt  *hooks.Attempt `json:"attempt,omitempty"` // missing if it was verified before
	}{a.Error == "", attemptMade(c.redactAttempt("", a))})
}

// attemptMade returns an attempt, or nil if there was none.
func attemptMade(a hooks.Attempt) *hooks.Attempt {
	if a.Start.IsZero() {
		return nil
	}
	return &a
}
