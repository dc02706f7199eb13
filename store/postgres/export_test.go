package postgres

import "time"

// ForgetTime makes the store forget what calls have told of the time.
func (s *Store) ForgetTime() { s.bounds.Told(time.Time{}, time.Time{}) }
