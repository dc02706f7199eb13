package lanes

import (
	"fmt"
	"testing"
	"time"
)

// hangingSet has many lanes with a job each that may not start, and slots for proven ones.
func hangingSet(b *testing.B, lanes int) *Set[*job] {
	b.Helper()
	const concurrency = 64
	s := opened(concurrency)
	prove(b, s, 4, "works")
	for i := range lanes {
		id := fmt.Sprint("hang", i)
		for range 2 {
			if lease, ok := s.Reserve(Lane{id, 4, timeout}); ok {
				s.Push(id, &job{lane: id}, epoch.Add(lease))
			} else {
				s.Left(id)
			}
		}
	}
	begin(s, epoch)
	now := epoch.Add(time.Second)
	for range 9 {
		begin(s, now)
		now = now.Add(time.Second)
	}
	return s
}

var counts = []int{10, 1_000, 50_000}

// A start costs the same however many lanes hang.
func BenchmarkNextWithNothingToStart(b *testing.B) {
	for _, n := range counts {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := hangingSet(b, n)
			now := epoch.Add(10 * time.Second)
			for b.Loop() {
				if a, _ := s.Next(now); a != nil {
					b.Fatal("an attempt starts")
				}
			}
		})
	}
}

// So does the whole way of a job, from Reserve to Saved.
func BenchmarkReserveToSaved(b *testing.B) {
	for _, n := range counts {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := hangingSet(b, n)
			now := epoch.Add(10 * time.Second)
			j := &job{lane: "works"}
			lane := Lane{j.lane, 4, timeout}
			for b.Loop() {
				lease, ok := s.Reserve(lane)
				if !ok {
					b.Fatal("no place")
				}
				s.Push(j.lane, j, now.Add(lease))
				a, _ := s.Next(now)
				if a == nil || a.Job != j {
					b.Fatal("it does not start")
				}
				s.Finish(a, Worked, now)
				s.Saved(j.lane, false)
			}
		})
	}
}

// An event for many new lanes costs as much a lane as one for few.
func BenchmarkFanOut(b *testing.B) {
	for _, n := range []int{400, 4_000, 40_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				m := newSimulation(nil, 64)
				for i := range n {
					id := fmt.Sprint("a", i)
					m.takes[id] = 20 * time.Millisecond
					m.publish(id)
				}
				m.run(time.Minute)
				if m.total() != n {
					b.Fatalf("%d of %d started", m.total(), n)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/lane")
		})
	}
}
