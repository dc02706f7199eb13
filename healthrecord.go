package hooks

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// healthForm is the form of health records.
const healthForm = 1

// A healthRecord is what the store keeps of how an endpoint stands, under "health/" and
// the endpoint's id. It is a record of its own, so that the endpoint's version stays the
// same when the endpoint is disabled while somebody edits it. An endpoint without a
// health record is enabled.
type healthRecord struct {
	Form int `json:"form"`
	// EndpointSince is since of the endpoint that the record is about. A record that
	// outlived a deleted endpoint says nothing about the next one with the same id.
	EndpointSince time.Time `json:"endpoint_since,omitzero"`
	Since         time.Time `json:"since,omitzero"`   // when it was disabled; zero: it is enabled
	Why           closing   `json:"why,omitempty"`    // who or what disabled it
	Until         time.Time `json:"until,omitzero"`   // when that ends by itself; zero: never
	Reason        string    `json:"reason,omitempty"` // the words of whoever disabled it
}

// A closing is why deliveries of an endpoint are held. The texts are stored.
type closing string

const (
	byHand      closing = "by_hand"      // DisableEndpoint was called
	notVerified closing = "not_verified" // see [endpoint.unproven]; never stored
)

// A health is a healthRecord as this process knows it. It does not change.
type health struct {
	healthRecord
	record     Record
	unreadable error // why record cannot be read; the healthRecord is the one known before
}

// applyHealth applies the health record of an endpoint. A record that cannot be read
// changes nothing but what a later write must replace. The caller holds dir.mu.
func (dir *directory) applyHealth(id string, r Record) error {
	if len(r.Data) == 0 {
		delete(dir.health, id)
		return nil
	}
	next := &health{record: r}
	next.unreadable = json.Unmarshal(r.Data, &next.healthRecord)
	if next.unreadable == nil && next.Form > healthForm {
		next.unreadable = errRecordTooNew
	}
	if next.unreadable != nil {
		next.healthRecord = healthRecord{}
		if known := dir.health[id]; known != nil {
			next.healthRecord = known.healthRecord
		}
	}
	dir.health[id] = next
	dir.noteUntil(next.Until)
	return next.unreadable
}

// healthOf returns the health of e as its record says it, or nil if there is none, or if
// the record is about a former endpoint with its id. The caller holds dir.mu.
func (dir *directory) healthOf(e *endpoint) *health {
	known := dir.health[e.ID]
	if known == nil || !known.EndpointSince.Equal(e.since) {
		return nil
	}
	return known
}

// disabled reports whether the endpoint is disabled at a time. h may be nil.
func (h *health) disabled(at time.Time) bool {
	return h != nil && !h.Since.IsZero() && (h.Until.IsZero() || at.Before(h.Until))
}

// writeHealth writes what change makes of the health record of an endpoint. It tells the
// dispatcher, which then holds or sends what is due. An endpoint that the view does not
// show is [ErrNotFound]. A record that this program cannot read is left alone.
func (v *view) writeHealth(ctx context.Context, id string, change func(was *health) healthRecord) error {
	h := v.h
	return untilWritten(0, func() error {
		if err := h.reload(ctx, nil); err != nil {
			return err
		}
		e := v.endpoint(id)
		if e == nil {
			return fmt.Errorf("hooks: endpoint %q: %w", id, ErrNotFound)
		}
		record, err := h.dir.healthRecord(id)
		if err != nil {
			return fmt.Errorf("hooks: health of endpoint %q: %w", id, err)
		}
		_, _, was, _ := h.dir.lookUp(id)
		next := change(was)
		if was == nil && next.Since.IsZero() {
			return nil // it is enabled already
		}
		next.Form, next.EndpointSince = healthForm, e.since
		notices, err := h.healthNotices(ctx, e, was, next)
		if err != nil {
			return fmt.Errorf("hooks: notice about endpoint %q: %w", id, err)
		}
		if err := h.putRecord(ctx, h.store, "health/"+id, record, next, notices); err != nil {
			return err
		}
		h.lookNow()
		return nil
	})
}

// healthRecord returns the health record of the endpoints that have or had an id, as it
// was read last, and an error if it is unreadable.
func (dir *directory) healthRecord(id string) (Record, error) {
	dir.mu.RLock()
	defer dir.mu.RUnlock()
	known := dir.health[id]
	if known == nil {
		return Record{}, nil
	}
	return known.record, known.unreadable
}

// deleteHealth deletes the health record of an endpoint that was deleted. If that fails,
// the record stays, and nothing goes by it.
func (h *Hooks) deleteHealth(ctx context.Context, id string) {
	record, _ := h.dir.healthRecord(id)
	if len(record.Data) == 0 {
		return
	}
	gone := Record{Key: record.Key, Version: record.Version}
	version, err := h.store.Put(ctx, h.now(), gone, nil)
	if err != nil {
		h.log.Warn("hooks: the health record of a deleted endpoint stays; nothing goes by it", "endpoint", id, "error", err)
		return
	}
	gone.Version = version
	h.dir.update(edit{Record: gone})
}
