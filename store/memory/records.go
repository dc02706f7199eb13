package memory

import (
	"bytes"
	"context"
	"time"

	"example.com/hooks"
)

// Put implements [hooks.Store]. When an entry of emit cannot be enqueued, it returns
// [hooks.ErrNotFound] and has changed nothing at all.
func (s *Store) Put(ctx context.Context, now time.Time, r hooks.Record, emit []hooks.Entry) (version int64, err error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	if !s.current(r) {
		return 0, hooks.ErrConflict
	}
	emitted := draft{store: s, now: now}
	if err := emitted.plan(emit); err != nil {
		return 0, err
	}
	if old := s.records[r.Key]; old != nil {
		s.recordLog.remove(old.Version)
	}
	r.Data = contents(r.Data)
	r.Version = s.next()
	s.records[r.Key] = &r
	s.recordLog.add(r.Version, &r)
	emitted.write()
	return r.Version, nil
}

// current reports whether r.Version is still the version of its key.
func (s *Store) current(r hooks.Record) bool {
	old := s.records[r.Key]
	if old == nil || old.Data == nil && r.Version == 0 {
		return r.Version == 0
	}
	return r.Version == old.Version
}

// contents copies data; of a deleted record it is nil.
func contents(data []byte) []byte {
	if len(data) == 0 {
		return nil
	}
	return bytes.Clone(data)
}

// Records implements [hooks.Tx].
func (s *Store) Records(ctx context.Context, since int64) ([]hooks.Record, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	var list []hooks.Record
	for _, r := range s.recordLog.after(since) {
		list = append(list, hooks.Record{Key: r.Key, Version: r.Version, Data: contents(r.Data)})
	}
	return list, nil
}
