package memory_test

import (
	"testing"

	"example.com/hooks"
	"example.com/hooks/internal/kit"
	"example.com/hooks/store/memory"
)

// TestReadsOfAnArchive makes every call that reads, in a store of 20,000 deliveries. What
// waits for an endpoint is counted whatever else the store has. With -hooks.long there are
// 1,000,000, and the calls are measured.
func TestReadsOfAnArchive(t *testing.T) {
	size := 20_000
	if *kit.Long {
		size = 1_000_000
	}
	s := memory.New()
	a := kit.FillArchive(t, s, size)
	reads := a.Reads(t, s)
	if *kit.Long {
		kit.MeasureReads(t, reads)
	}
	for _, read := range reads {
		if err := read.Call(t.Context(), 1); err != nil {
			t.Errorf("%s: %v", read.Name, err)
		}
	}
	q := hooks.Query{Subscriber: kit.Quiet, Statuses: []hooks.Status{hooks.Pending}}
	if c, err := s.Count(t.Context(), q, 10_000); err != nil || c != (hooks.Count{N: 3}) {
		t.Errorf("Count(%+v) = %+v, %v; want the three oldest, beside those that have succeeded", q, c, err)
	}
}
