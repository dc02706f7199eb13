package postgres

import "time"

// AgeTime makes what calls have told of the time older.
func (s *Store) AgeTime(by time.Duration) {
	s.bounds.mu.Lock()
	defer s.bounds.mu.Unlock()
	s.bounds.nowAt = s.bounds.nowAt.Add(-by)
	s.bounds.now = s.bounds.now.Add(-by)
}
