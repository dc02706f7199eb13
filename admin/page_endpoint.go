package admin

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.com/hooks"
)

// An endpointData is what the page of one endpoint shows.
type endpointData struct {
	hooks.Endpoint
	Health  hooks.EndpointHealth
	Verdict verdict
	// Challenge says what was wrong with the answer to the challenge that was just sent.
	Challenge string
	Day       tally // the attempts of 24 h
	Activity  activity
	Settings  []setting
	Rotate    form
	Test      testForm
}

// A verdict says how an endpoint stands: why, and what ends it.
type verdict struct {
	Tone             string // of the notice
	Title, Why, Ends string
}

// A setting is a name and value of an endpoint.
type setting struct{ Name, Value string }

// endpointPage shows one endpoint.
func (c *call) endpointPage() error {
	data, err := c.endpointData()
	if err != nil {
		return err
	}
	return c.page(data.page(true, c.notice()))
}

// page returns the page. It is live only at its own address, and not as the answer of a form.
func (d endpointData) page(live bool, n *notice) page {
	return page{Name: "endpoint", Nav: "Endpoints", Title: d.ID, Live: live, Notice: n, Data: d}
}

// endpointData reads what the page of the endpoint in the address shows.
func (c *call) endpointData() (d endpointData, err error) {
	ctx, id := c.r.Context(), c.r.PathValue("id")
	if d.Endpoint, err = c.view.Endpoint(ctx, id); err != nil {
		return d, err
	}
	if d.Health, err = c.view.EndpointHealth(ctx, id); err != nil {
		return d, err
	}
	now := time.Now()
	minutes, err := c.view.Activity(ctx, hooks.Query{Subscriber: id, From: now.Add(-24 * time.Hour)})
	if err != nil {
		return d, err
	}
	d.Day, d.Activity = tallySince(minutes, time.Time{}), endpointActivity(minutes, now)
	d.Verdict, d.Settings = judge(d.Endpoint, d.Health, now), settings(d.Endpoint)
	d.Rotate.Values = rotateValues(d.Endpoint, d.Health)
	d.Test = newTestForm(c.view.Types(), d.Events)
	return d, nil
}

// backToEndpoint leads from the address of a form, which the browser still shows after the
// answer, to the endpoint.
func (c *call) backToEndpoint() error { return c.redirect("endpoints/" + c.r.PathValue("id")) }

// judge says in words how an endpoint stands.
func judge(e hooks.Endpoint, h hooks.EndpointHealth, now time.Time) verdict {
	switch h.State {
	case hooks.StateFailing:
		return verdict{
			"red", "Failing since " + stamp(h.Since, now) + ", for " + span(now.Sub(h.Since)),
			fmt.Sprintf("%d attempts in a row failed, the last one with %s. %s", h.Failures, failure(h), lastSuccess(h, now)),
			"with the next success" + nextTry(h, now) + ". Until then deliveries are sent and tried again as always.",
		}
	case hooks.StateDisabled:
		v := verdict{"", "Disabled since " + stamp(h.Since, now), "Nobody gave a reason.", "when somebody enables it."}
		if h.Reason != "" {
			v.Why = "“" + visible(h.Reason) + "”"
		}
		if !h.Until.IsZero() {
			v.Ends = "at " + stamp(h.Until, now) + ", " + until(h.Until, now) + ", or when somebody enables it."
		}
		v.Ends += " Until then what is due is held. " + holdText(e)
		return v
	case hooks.StateUnverified:
		return verdict{
			"amber", "Not verified", "the owner has to prove that this URL is theirs. Nothing is sent to it before, and what is due is held. " + holdText(e),
			"when the endpoint answers a challenge, a signed request, with the text in data.challenge and nothing else.",
		}
	case hooks.StateNoKey:
		return verdict{
			"red", "No key", "its secrets and headers cannot be decrypted, so nothing can be signed and what is due waits.",
			"when the application has the key again. If the key is lost, rotate the secret, and then enter the headers again.",
		}
	case hooks.StateWorking:
		return verdict{"green", "Working", "", ""}.with(h, now)
	}
	return verdict{Title: string(h.State), Why: h.Reason}
}

// with adds what is known of a working endpoint's attempts.
func (v verdict) with(h hooks.EndpointHealth, now time.Time) verdict {
	v.Why = lastSuccess(h, now)
	if h.Failures > 0 {
		v.Why = fmt.Sprintf("The last attempt failed with %s. After three in a row it is failing. %s", failure(h), v.Why)
	}
	return v
}

// failure says how the last attempt failed.
func failure(h hooks.EndpointHealth) string {
	if h.LastCode != 0 {
		return codeText(h.LastCode)
	}
	return cmp.Or(h.LastError, "an error")
}

// lastSuccess says when an attempt has succeeded.
func lastSuccess(h hooks.EndpointHealth, now time.Time) string {
	if h.LastSuccess.IsZero() {
		return "No success is known yet."
	}
	return "The last success was at " + stamp(h.LastSuccess, now) + ", " + ago(h.LastSuccess, now) + "."
}

// nextTry says when the next attempt begins, as far as that is known.
func nextTry(h hooks.EndpointHealth, now time.Time) string {
	switch {
	case h.Oldest.IsZero():
		return ""
	case h.Oldest.After(now):
		return ", tried " + until(h.Oldest, now)
	default:
		return ", tried now"
	}
}

// holdText says what becomes of deliveries that are held for too long.
func holdText(e hooks.Endpoint) string {
	hold := "72 h, unless the application sets another time,"
	if e.Hold > 0 {
		hold = writeSpan(e.Hold)
	}
	return "A delivery that is held for " + hold + " fails for good."
}

// settings returns what the page shows of an endpoint's settings.
func settings(e hooks.Endpoint) []setting {
	list := []setting{
		{"Events", strings.Join(e.Events, ", ")},
		{"Concurrency", orDefault(strconv.Itoa(e.Concurrency), e.Concurrency == 0)},
		{"Timeout", orDefault(writeSpan(e.Timeout), e.Timeout == 0)},
		{"Retry", orDefault(retryText(e.Retry), e.Retry == nil)},
		{"Hold", orDefault(writeSpan(e.Hold), e.Hold == 0)},
		{"Ordered", yesNo(e.Ordered, "yes, by ordering key")},
		{"Body", "type, timestamp and data"},
		{"Headers", cmp.Or(strings.Join(slices.Sorted(maps.Keys(e.Header)), ", "), "none")},
	}
	if e.Raw {
		list[6].Value = "the data alone"
	}
	return list
}

func orDefault(value string, isDefault bool) string {
	if isDefault {
		return "default"
	}
	return value
}

func yesNo(is bool, yes string) string {
	if is {
		return yes
	}
	return "no"
}

// retryText says what an endpoint's own schedule is.
func retryText(waits []time.Duration) string {
	if len(waits) == 0 {
		return "1 attempt only"
	}
	total := time.Duration(0)
	for _, w := range waits {
		total += w
	}
	return fmt.Sprintf("%d attempts over %s", len(waits)+1, span(total))
}

// SchemeText says how requests are signed.
func (d endpointData) SchemeText() string {
	if d.Scheme == hooks.SchemeEd25519 {
		return "v1a, Ed25519"
	}
	return "v1, HMAC-SHA256"
}

// OldestDue says how far the earliest unfinished delivery is from being due; nil if there
// is none.
func (d endpointData) OldestDue(now time.Time) *setting {
	switch wait := d.Health.Oldest.Sub(now); {
	case d.Health.Oldest.IsZero():
		return nil
	case wait > 0:
		return &setting{"until the oldest is due", span(wait)}
	default:
		return &setting{"since the oldest was due", span(-wait)}
	}
}

// Disabled reports that the endpoint is disabled.
func (d endpointData) Disabled() bool { return d.Health.State == hooks.StateDisabled }

// NoKey reports that the endpoint's secrets cannot be decrypted.
func (d endpointData) NoKey() bool { return d.Health.State == hooks.StateNoKey }

// refused answers with the endpoint's page, in which a form says why it was refused.
func (c *call) refused(d endpointData, status int, why error) error {
	return c.answer(cmp.Or(status, http.StatusBadRequest), d.page(false, nil), why)
}
